"""Each command of the operator's pages runs as it stands there, in the sandbox."""

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from sandbox import doctor_story, totp
from sandbox.account import Principal
from sandbox.actors import GROUP
from sandbox.deploy import DOMAIN
from sandbox.emulator import ROOT
from sandbox.expectations import denied
from sandbox.only_this_machine import REFUSED, guarded
from sandbox.records import Json
from sandbox.setup import Sandbox
from tests.e2e.aws_cli import aws_cli
from tests.e2e.test_probe import documented
from tests.e2e.waiting import eventually

PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
BLOCK = re.compile(r"^( *)```(?:sh|bash|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

NOT_RUN = {
    "make demo ": "the targets of the Makefile themselves: CI runs them",
    "sam deploy --guided": "asks its questions at a terminal, and deploys into a real account",
    "make sandbox ": "test_local_functions.py runs it in Docker, one function at a time",
}
"""What a block contains that cannot run in the sandbox, and why."""

ONLY_CHECKED = {
    "create-stack-set": "the emulator has no StackSets: the command line checks the arguments",
    "create-stack-instances": "the same",
}


@dataclass(frozen=True)
class Block:
    """A block of shell commands, in a page."""

    page: str
    number: int
    text: str

    def __str__(self) -> str:
        """Return its id as a test's parameter."""
        return f"{self.page}-{self.number}"

    @property
    def reason_not_to_run(self) -> str:
        """Return why it cannot run in the sandbox; empty if it can."""
        return next((why for words, why in NOT_RUN.items() if words in self.text), "")


def blocks() -> list[Block]:
    return [
        Block(page, number, re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE))
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer((ROOT / page).read_text()), 1)
    ]


BLOCKS = blocks()


@dataclass
class Operator:
    """Runs blocks in an account in which there is something to operate."""

    sandbox: Sandbox
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, text: str, who: Principal, answers: str = "") -> str:
        """Run a block as somebody at a terminal; return its output; fail unless it ends with 0."""
        environment = guarded(
            {"HOME": str(self.folder), "BROWSER": "true", "COLUMNS": "200"}
            | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
            | who.environment
            | self.variables
        )
        # The guard is for Python; whatever else asks another address finds this proxy, and nothing.
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
        terminal, stdin = pty.openpty()
        try:
            os.write(terminal, answers.encode())
            ran = subprocess.run(  # noqa: S603 - our own pages
                ["bash", "-euo", "pipefail", "-c", text],  # noqa: S607 - wherever it is installed
                cwd=self.folder,
                env=environment | nowhere,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=300,
            )
        finally:
            os.close(terminal)
            os.close(stdin)
        assert ran.returncode == 0, ran.stdout
        assert "FunctionError" not in ran.stdout, ran.stdout
        assert REFUSED not in ran.stdout, ran.stdout
        return ran.stdout

    def items(self, kind: str) -> list[Json]:
        """Return the present state of all items of one kind."""
        self.sandbox.observations.update()
        return self.sandbox.observations.kind(kind)

    def request_of(self, name: str) -> Json | None:
        """Return the request about a user that waits for details or a decision."""
        return next(
            (
                one
                for one in self.items("REQUEST")
                if one["subject_name"] == name and one["state"] in {"open", "submitted"}
            ),
            None,
        )


@pytest.fixture(scope="module")
def operator(fresh: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Return an operator of a healthy account, in a folder that looks like the checkout."""
    program = aws_cli()
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in {".git", ".sandbox", "bin", "mail-preview"}:
            (folder / path.name).symlink_to(path)
    (folder / "bin").mkdir()
    (folder / "bin" / "aws").symlink_to(program)
    olivia = fresh.actors["olivia"]
    for name in ("ana", "hugo"):
        fresh.actors.create_user(name, by=olivia)
        fresh.actors.grant_console_access(name, by=olivia)
        olivia.client("iam").add_user_to_group(GroupName=GROUP, UserName=name)
    fresh.actors.enrol("ana", device="ana-phone")
    fresh.other_accounts.actors.enrol("mia", device="mia-phone")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    olivia.client("iam").create_role(
        RoleName="Administrators",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    operator = Operator(fresh, folder)
    eventually(lambda: {"ana", "hugo", "mia"} <= {one["name"] for one in operator.items("USER")})
    doctor_story.make_healthy(doctor_story.CheckedAccount(fresh))
    lines = (json.dumps(one["record"]) for one in fresh.account.records())
    (folder / "records.jsonl").write_text("\n".join(lines))
    last_day = datetime.now(UTC) + timedelta(days=30)
    operator.variables = names(operator) | {"LAST_DAY": f"{last_day:%Y-%m-%d}"}
    # The health check is about an account with forwarders.
    operator.run(the_block_with("cloudformation deploy").text, olivia)
    return operator


def the_block_with(words: str) -> Block:
    (found,) = (one for one in BLOCKS if words in one.text)
    return found


def names(operator: Operator) -> dict[str, str]:
    """Return the variables that the operator's page sets, by the block that it gives for it."""
    block = the_block_with("mfa-watcher names")
    output = operator.run(f"{block.text}\nexport -p", operator.sandbox.actors["olivia"])
    named = re.findall(r'^declare -x (\w+)="(.*)"$', output, re.MULTILINE)
    known = {"HOME", "PATH", "OLDPWD", "PWD", "SHLVL"}
    return {
        name: value for name, value in named if name not in known and not name.startswith("AWS_")
    }


def test_few_blocks_are_not_run_and_each_for_a_reason() -> None:
    not_run = [str(one) for one in BLOCKS if one.reason_not_to_run]
    assert sorted(not_run) == [
        "README.md-1",
        "README.md-4",
        "docs/deploy.md-1",
        "docs/local-functions.md-1",
    ]
    assert all(any(words in one.text for one in BLOCKS) for words in (*NOT_RUN, *ONLY_CHECKED))


@contextmanager
def a_user(operator: Operator) -> Iterator[tuple[Principal, str]]:
    """A user whose attempt has opened a request: the reason, the kind of device, then yes."""
    carol, serial = operator.sandbox.actors["carol"], operator.sandbox.actors.serial("carol-phone")
    denied(carol.client("iam").deactivate_mfa_device, UserName="carol", SerialNumber=serial)
    opened = eventually(lambda: operator.request_of("carol"))
    operator.variables["REQUEST"] = opened["id"]
    yield carol, "my phone is broken\n1\ny\n"
    ended = next(one for one in operator.items("REQUEST") if one["id"] == opened["id"])
    assert ended["state"] == "cancelled"
    assert (operator.request_of("carol") or {})["state"] == "submitted"


@contextmanager
def service_desk(operator: Operator) -> Iterator[tuple[Principal, str]]:
    yield operator.sandbox.actors.in_service_desk_role("lena"), ""
    assert (operator.request_of("ana") or {})["state"] == "submitted"
    assert (operator.request_of("mia") or {})["state"] == "submitted"


@contextmanager
def approver_who_signs_in(operator: Operator) -> Iterator[tuple[Principal, str]]:
    actors = operator.sandbox.actors
    device = actors.serial("petra-phone")
    operator.variables |= {
        "MY_DEVICE": device,
        "CODE": totp.code(actors.seeds[device], time.time()),
    }
    yield actors["petra"], ""


@contextmanager
def approver(operator: Operator) -> Iterator[tuple[Principal, str]]:
    """An approver who decides on what the service desk filed."""
    request = eventually(lambda: operator.request_of("ana"))
    operator.variables["REQUEST"] = request["id"]
    yield operator.sandbox.actors.as_approver("petra"), "y\n"
    fulfilled = next(one for one in operator.items("REQUEST") if one["id"] == request["id"])
    assert fulfilled["state"] == "fulfilled"


@contextmanager
def auditor(operator: Operator) -> Iterator[tuple[Principal, str]]:
    yield operator.sandbox.actors.as_approver("petra"), ""
    assert (operator.folder / "first-quarter.csv").read_text().count("\n") >= 1


@contextmanager
def event_set_aside(operator: Operator) -> Iterator[tuple[Principal, str]]:
    """An event that was set aside, and whose cause is corrected."""
    recorded = next(
        one["record"]
        for one in operator.sandbox.account.records()
        if one["record"]["eventName"] == "CreateLoginProfile"
    )
    event = {
        "version": "0",
        "id": "set-aside",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.iam",
        "account": recorded["recipientAccountId"],
        "time": recorded["eventTime"],
        "region": recorded["awsRegion"],
        "resources": [],
        "detail": recorded | {"eventID": str(uuid4())},
    }
    root = operator.sandbox.account.root
    root.client("sqs").send_message(
        QueueUrl=operator.sandbox.stack["IamChangeDeadLetters"],
        MessageBody=json.dumps(event),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "no table"}},
    )
    yield operator.sandbox.actors["olivia"], ""
    assert operator.sandbox.observations.dead_letters() == []
    taken = f"EVENT#{event['account']}#{event['detail']['eventID']}"
    table = operator.sandbox.stack["TableName"]
    eventually(lambda: any(taken in str(one) for one in operator.sandbox.account.items(table)))


@contextmanager
def mail_given_up(operator: Operator) -> Iterator[tuple[Principal, str]]:
    """A mail that was given up, as `mark_failed` leaves it, and whose cause is corrected."""
    observations = operator.sandbox.observations
    sent = eventually(
        lambda: next(
            (
                one
                for one in operator.items("INTENT")
                if one.get("sent_to") == f"hugo@{DOMAIN}" and one["status"] == "sent"
            ),
            None,
        )
    )
    operator.sandbox.account.root.client("dynamodb").update_item(
        TableName=operator.sandbox.stack["TableName"],
        Key={"pk": {"S": sent["pk"]}, "sk": {"S": sent["sk"]}},
        UpdateExpression="SET #status = :failed, reason = :reason",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":failed": {"S": "failed"}, ":reason": {"S": "rejected"}},
    )
    operator.variables["INTENT"] = sent["id"]
    mails = len(observations.mails)
    yield operator.sandbox.actors["olivia"], ""
    eventually(
        lambda: (
            operator.items("INTENT")
            and [one.to for one in observations.mails[mails:]] == [f"hugo@{DOMAIN}"]
        )
    )


@contextmanager
def somebody_who_probes(operator: Operator) -> Iterator[tuple[Principal, str]]:
    """An approver with MFA who has the policies of docs/doctor.md besides."""
    root = operator.sandbox.account.root
    for number, policy in enumerate(documented()):
        root.client("iam").put_user_policy(
            UserName="petra", PolicyName=f"probe-{number}", PolicyDocument=json.dumps(policy)
        )
    # Those whom the guard policy binds cannot tell whether conditions on keys hold.
    root.client("iam").remove_user_from_group(GroupName=GROUP, UserName="petra")
    yield operator.sandbox.actors.with_mfa("petra"), ""
    root.client("iam").add_user_to_group(GroupName=GROUP, UserName="petra")
    for number, _ in enumerate(documented()):
        root.client("iam").delete_user_policy(UserName="petra", PolicyName=f"probe-{number}")


@contextmanager
def somebody_who_operates(operator: Operator) -> Iterator[tuple[Principal, str]]:
    yield operator.sandbox.actors["olivia"], ""


PREPARED = {
    "requests details": a_user,
    "requests open --user": service_desk,
    "get-session-token": approver_who_signs_in,
    "requests approve": approver,
    "requests export": auditor,
    "start-message-move-task": event_set_aside,
    "INTENT#": mail_given_up,
    "doctor --probe": somebody_who_probes,
}
"""What a block contains whose commands need more than an account and an administrator."""


@pytest.mark.parametrize("block", [one for one in BLOCKS if not one.reason_not_to_run], ids=str)
def test_commands_run_as_they_are_written(operator: Operator, block: Block) -> None:
    text = block.text.replace("PATH…", "records.jsonl")
    for command in ONLY_CHECKED:
        text = text.replace(f" {command} ", f" {command} --generate-cli-skeleton output ")
    prepared = next(
        (how for words, how in PREPARED.items() if words in text), somebody_who_operates
    )
    with prepared(operator) as (who, answers):
        operator.run(text, who, answers)


def test_each_preparation_is_for_one_block() -> None:
    assert [sum(words in one.text for one in BLOCKS) for words in PREPARED] == [1] * len(PREPARED)
