"""`mfa-watcher doctor --probe` in a deployed account, by an operator with the documented rights."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mfa_watcher.domain.health.probe import USER_PREFIX, USER_TAG, Sign
from sandbox import command_line
from sandbox.account import Account, Principal
from sandbox.actors import SELF_SERVICE, Actors
from sandbox.deploy import DOMAIN, STACK, Stack, build, deploy
from sandbox.emulator import REGION, ROOT, Emulator, EmulatorError, free_port, interpreter
from sandbox.multi_account import PACIFIC, deploy_forwarder
from sandbox.records import Json
from tests.e2e.waiting import eventually

ADDRESS = f"otto@{DOMAIN}"
PROBE = ("doctor", "--probe", "--stack", STACK, "--region", REGION, "--address", ADDRESS)


@dataclass(frozen=True)
class Probed:
    """The account, and the operator who probes it."""

    account: Account
    actors: Actors
    stack: Stack

    @property
    def operator(self) -> Principal:
        """The operator, in a session with MFA."""
        return self.actors.with_mfa("otto")

    def probe(self, *arguments: str, by: Principal | None = None) -> tuple[int, list[Json]]:
        """Run the probe; return the exit code and the results."""
        regions = ("--sign-in-regions", f"{REGION},{PACIFIC}")
        finished = command_line.run(
            [*PROBE, "--json", *regions, *arguments], (by or self.operator).environment
        )
        assert finished.stderr == ""
        return finished.returncode, [json.loads(line) for line in finished.stdout.splitlines()]

    def users(self) -> list[str]:
        """Return the names of the probe's users that exist."""
        users = self.account.root.client("iam").list_users()["Users"]
        return [one["UserName"] for one in users if one["UserName"].startswith(USER_PREFIX)]


def documented() -> list[Json]:
    """Return the policies of docs/doctor.md: of the health check, and of the probe."""
    text = (ROOT / "docs" / "doctor.md").read_text()
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("probed")
    with ThreadPoolExecutor() as pool:
        building = pool.submit(build, home)
        command_line.WARM.launch()
        with Emulator(free_port(), home) as emulator:
            account = Account(emulator.endpoint)
            actors = Actors(account)
            root = account.root
            actors.create_user("otto", by=root)
            building.result()
            stack = deploy(account, home, OrganizationId="", MemberAccounts="")
            deploy_forwarder(account, PACIFIC)
            iam = root.client("iam")
            for number, policy in enumerate((SELF_SERVICE, *documented())):
                iam.put_user_policy(
                    UserName="otto", PolicyName=f"{number}", PolicyDocument=json.dumps(policy)
                )
            iam.attach_user_policy(UserName="otto", PolicyArn=stack["ApproverPolicyArn"])
            actors.enrol("otto", device="otto-phone")
            yield Probed(account, actors, stack)


def test_with_the_documented_rights_everything_arrives_and_nothing_stays(probed: Probed) -> None:
    root = probed.account.root
    left = f"{USER_PREFIX}left"
    root.client("iam").create_user(UserName=left, Tags=[{"Key": USER_TAG, "Value": STACK}])
    root.client("iam").create_access_key(UserName=left)
    somebody = f"{USER_PREFIX}of-somebody-else"
    root.client("iam").create_user(UserName=somebody, Tags=[{"Key": USER_TAG, "Value": "other"}])

    code, results = probed.probe("--time-limit", "60")

    assert [one for one in results if one["level"] != "ok"] == []
    assert code == 0
    by_sign = {sign: [one for one in results if one["sign"] == sign.key] for sign in Sign}
    assert all(by_sign.values())
    assert {one["about"] for one in by_sign[Sign.CANARY]} == {
        f"{REGION} (sign-ins)",
        f"{REGION} (changes in IAM)",
        f"{PACIFIC} (sign-ins)",
    }
    assert by_sign[Sign.REMOVED][0]["about"] == left
    assert {one["about"] for one in by_sign[Sign.MAIL_DELIVERED]} == {"welcome", "removal_denied"}
    assert probed.users() == [somebody]
    root.client("iam").delete_user(UserName=somebody)
    assert {to for mail in probed.account.mails() for to in mail["To"]} == {ADDRESS}


def _disable_rule(name: str) -> Callable[[Probed, bool], None]:
    def switch(at: Probed, on: bool) -> None:  # noqa: FBT001 - one argument says it
        events = at.account.root.client("events")
        (events.enable_rule if on else events.disable_rule)(Name=at.stack.resources[name])

    return switch


def _disable_deliver(at: Probed, on: bool) -> None:  # noqa: FBT001 - as above
    at.account.root.client("lambda").update_event_source_mapping(
        UUID=at.stack.resources["DeliverOutbox"], Enabled=on
    )


BROKEN: dict[str, tuple[Callable[[Probed, bool], None], set[Sign]]] = {
    "the rule for reports about mails": (_disable_rule("MailFeedbackRule"), {Sign.MAIL_DELIVERED}),
    "the rule for sign-ins": (_disable_rule("SignInRule"), {Sign.CANARY}),
    "deliver's stream": (_disable_deliver, {Sign.MAIL_SENT, Sign.MAIL_DELIVERED, Sign.ALERT}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_named_as_the_sign_that_does_not_arrive(
    probed: Probed, what: str
) -> None:
    switch, missing = BROKEN[what]
    switch(probed, False)  # noqa: FBT003 - off
    try:
        code, results = probed.probe("--time-limit", "12")
    finally:
        switch(probed, True)  # noqa: FBT003 - on
    failed = [one for one in results if one["level"] == "fail"]
    assert {one["sign"] for one in failed} == {sign.key for sign in missing}
    assert all("not seen within 12 s" in one["seen"] and one["remedy"] for one in failed)
    assert code == 1
    assert probed.users() == []


def test_without_mfa_the_rejection_is_unknown_and_not_called_a_failure(probed: Probed) -> None:
    code, results = probed.probe("--time-limit", "60", by=probed.actors["otto"])
    assert {one["sign"] for one in results if one["level"] != "ok"} == {Sign.DECISION.key}
    [decision] = [one for one in results if one["sign"] == Sign.DECISION.key]
    assert "it needs the approver policy and MFA" in decision["seen"]
    assert code == 3
    assert probed.users() == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_probe_removes_its_user(
    probed: Probed, tmp_path: Path, by: signal.Signals
) -> None:
    _disable_deliver(probed, on=False)
    try:
        with (tmp_path / "said").open("w+") as said:
            running = _start(probed, said)
            try:
                _until(said, f"user {USER_PREFIX}")
                running.send_signal(by)
                assert running.wait(30) == 130
            finally:
                running.kill()
            said.seek(0)
            assert f"ok       removed {USER_PREFIX}" in said.read()
    finally:
        _disable_deliver(probed, on=True)
    assert probed.users() == []


def _start(probed: Probed, said: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "mfa_watcher", *PROBE],
        env=probed.operator.environment | {"COLUMNS": "200"},
        stdout=said,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _until(said: Any, text: str) -> None:
    def look() -> bool:
        said.seek(0)
        return text in said.read()

    eventually(look)
