"""`mfa-watcher doctor --probe` where nothing arrives: what it calls, says, and leaves behind.

Where everything arrives: tests/e2e/test_probe.py.
"""

import json
import re
from datetime import timedelta

import pytest

from mfa_watcher.cli import main
from mfa_watcher.cli import probe as command
from mfa_watcher.domain.health.probe import ALLOWED, DENIED, USER_PREFIX, USER_TAG, Sign
from mfa_watcher.domain.health.results import Level
from tests.functions import healthy_account as healthy
from tests.functions.healthy_account import CheckedAccount, Report
from tests.functions.test_doctor import permissions as permissions_of_the_doctor
from tests.support.account import Account
from tests.support.builders import Json
from tests.template.cloudformation import ROOT, STACK

Capture = pytest.CaptureFixture[str]
PROBE = ("--probe", "--address", "otto@example.com", "--time-limit", "20")
LOST = {Sign.CANARY, Sign.MAIL_SENT, Sign.MAIL_DELIVERED}


@pytest.fixture
def checked(account: Account, monkeypatch: pytest.MonkeyPatch) -> CheckedAccount:
    """An account whose functions do not run, on a clock that sleeping advances."""
    checked = healthy.healthy_account(account, monkeypatch)
    checked.decisions = {DENIED: "explicitDeny", ALLOWED: "allowed"}
    slept: list[float] = []
    monkeypatch.setattr(command, "sleep", slept.append)
    monkeypatch.setattr(command, "now", lambda: checked.now + timedelta(seconds=sum(slept)))
    return checked


def levels(report: Report) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in report.results:
        found.setdefault(one["sign"], set()).add(one["level"])
    return found


def probe_users(at: CheckedAccount) -> list[str]:
    users = at.account.iam.list_users()["Users"]
    return [one["UserName"] for one in users if one["UserName"].startswith(USER_PREFIX)]


def test_what_does_not_arrive_fails_with_its_remedy_and_the_user_is_removed(
    checked: CheckedAccount, capsys: Capture
) -> None:
    report = checked.run_doctor(capsys, *PROBE, "--json")
    assert report.code == 1
    assert set(levels(report)) == {sign.key for sign in Sign}
    for sign in LOST:
        late = [one for one in report.results if one["sign"] == sign.key]
        assert all(one["seen"] == "not seen within 20 s" for one in late)
        assert all(one["level"] == "fail" and one["remedy"] == sign.remedy for one in late)
        assert all(20 <= one["seconds"] < 30 for one in late)
    # moto asks no policy.
    [attempt] = [one for one in report.results if one["sign"] == "attempt"]
    assert attempt["seen"] == "IAM allowed a user without permissions the removal"
    for sign in (Sign.REQUEST_OPENED, Sign.DETAILS, Sign.DECISION, Sign.ALERT):
        assert levels(report)[sign.key] == {"unknown"}
    assert levels(report)["removed"] == {"ok"}
    assert probe_users(checked) == []


def test_the_documented_policy_allows_what_is_called_and_no_more(
    checked: CheckedAccount, capsys: Capture
) -> None:
    checked.account.iam.create_user(
        UserName=f"{USER_PREFIX}left", Tags=[{"Key": USER_TAG, "Value": STACK}]
    )
    checked.run_doctor(capsys, *PROBE, "--json")
    without_policy = {"iam:DeactivateMFADevice"}  # made by the user, and denied
    in_transaction = {"dynamodb:TransactWriteItems"}  # DynamoDB asks for dynamodb:UpdateItem
    with_tags = {"iam:TagUser"}  # IAM asks for it when a user is created with tags
    made = (checked.made | with_tags) - without_policy - in_transaction
    assert documented() <= made
    assert made <= documented() | permissions_of_the_doctor()


def documented() -> set[str]:
    """Return the actions that docs/doctor.md lists for the probe."""
    text = (ROOT / "docs" / "doctor.md").read_text()
    _, block = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    actions: list[str] = []
    for statement in json.loads(block)["Statement"]:
        action = statement["Action"]
        actions += [action] if isinstance(action, str) else action
    assert len(actions) == len(set(actions))
    return set(actions)


@pytest.mark.parametrize("action", sorted(documented() - {"iam:TagUser"}))
def test_a_missing_permission_is_named_and_what_was_made_is_removed(
    checked: CheckedAccount, capsys: Capture, action: str
) -> None:
    checked.refused = {action: "AccessDeniedException"}
    report = checked.run_doctor(capsys, *PROBE, "--json")
    assert report.code == 1
    if action == "dynamodb:UpdateItem":
        [asked] = [one for one in report.results if one["sign"] == "transactions"]
        assert (asked["level"], "may not update" in asked["seen"]) == ("unknown", True)
    else:
        named = [one for one in report.results if action in one["seen"]]
        assert named
        assert all(one["level"] != "ok" for one in named)
    removed = [one for one in report.results if one["sign"] == "removed"]
    assert any(one["level"] == "fail" for one in removed) == bool(probe_users(checked))


def test_left_overs_of_this_stack_are_removed_and_no_others(
    checked: CheckedAccount, capsys: Capture
) -> None:
    iam = checked.account.iam
    for name, tags in {
        "left": {USER_TAG: STACK},
        "of-another-stack": {USER_TAG: f"{STACK}-2"},
        "of-somebody": {},
    }.items():
        iam.create_user(
            UserName=f"{USER_PREFIX}{name}",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    iam.create_access_key(UserName=f"{USER_PREFIX}left")
    iam.attach_user_policy(UserName=f"{USER_PREFIX}left", PolicyArn=checked.requester_arn)
    report = checked.run_doctor(capsys, *PROBE, "--json")
    assert probe_users(checked) == [f"{USER_PREFIX}of-another-stack", f"{USER_PREFIX}of-somebody"]
    first = next(one for one in report.results if one["sign"] == "removed")
    assert first["about"] == f"{USER_PREFIX}left"


def without_a_rule(checked: CheckedAccount) -> None:
    events, rule = checked.client("events"), f"{STACK}-tampering-denial"
    events.remove_targets(Rule=rule, Ids=["To"])
    events.delete_rule(Name=rule)


def refused(checked: CheckedAccount) -> None:
    checked.decisions = {DENIED: "allowed", ALLOWED: "allowed"}


def cut(checked: CheckedAccount) -> None:
    checked.nested["FulfilRole"] = ("AWS::IAM::Role", "mfa-watch-FulfilRole-1A2B3C")


@pytest.mark.parametrize(
    ("sign", "break_", "words"),
    [
        (Sign.GUARD, refused, f"{DENIED} allowed"),
        (Sign.PATTERNS, without_a_rule, "do not match their sample: DenialRule"),
        (Sign.NAMES, cut, "mfa-watch-FulfilRole-1A2B3C"),
    ],
)
def test_an_answer_that_is_not_as_it_should_be_fails(
    checked: CheckedAccount, capsys: Capture, sign: Sign, break_: object, words: str
) -> None:
    good = checked.run_doctor(capsys, *PROBE, "--json")
    assert levels(good)[sign.key] == {"ok"}
    assert callable(break_)
    break_(checked)
    report = checked.run_doctor(capsys, *PROBE, "--json")
    [found] = [one for one in report.results if one["sign"] == sign.key]
    assert found["level"] == Level.FAIL
    assert words in found["seen"]


def test_the_password_and_the_key_of_the_user_are_never_shown(
    checked: CheckedAccount, capsys: Capture
) -> None:
    secrets: list[str] = []
    answer = checked.answer

    def note(**call: Json) -> object:
        body = call["params"]["body"]
        if isinstance(body, dict) and "Password" in body:
            secrets.append(body["Password"])
        return answer(**call)  # type: ignore[arg-type]

    checked.answer = note  # type: ignore[method-assign, assignment]
    report = checked.run_doctor(capsys, *PROBE)
    [password] = secrets
    assert password not in report.out + report.err
    assert len(password) == 64


def test_lines_appear_with_seconds_and_remedies(checked: CheckedAccount, capsys: Capture) -> None:
    report = checked.run_doctor(capsys, *PROBE)
    lines = report.out.splitlines()
    assert any(
        re.fullmatch(r"  FAIL     mail sent welcome: not seen .* s \(2\d\.\d s\)", x) for x in lines
    )
    assert any(line.startswith("           → run the doctor") for line in lines)
    assert re.fullmatch(r"\d+ results: \d+ ok, \d+ fail, \d+ unknown", lines[-1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--probe",), "--probe needs --address"),
        (("--probe", "--address", "otto@evil.example"), "--address must be at example.com"),
        (("--probe", "--address", "otto@example.com", "--time-limit", "0"), "above 0"),
    ],
)
def test_wrong_arguments_exit_with_code_2_and_change_nothing(
    checked: CheckedAccount, capsys: Capture, arguments: tuple[str, ...], words: str
) -> None:
    checked.made.clear()
    try:
        code = main(["doctor", *arguments])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    assert code == 2
    assert words in capsys.readouterr().err
    assert not any("Create" in call for call in checked.made)


def test_every_sign_has_a_row_in_its_table() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text()
    rows = re.findall(
        r"^\| ((?:`[a-z ]+`(?:, )?)+) \|", text.partition("## The probe")[2], re.MULTILINE
    )
    assert {name for row in rows for name in re.findall("`(.+?)`", row)} == {
        sign.title for sign in Sign
    }
