"""What the security team's commands read from the deployed stack, and what they write by it."""

import time
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from mfa_watcher.cli import main
from tests.support.account import TABLE, Account
from tests.support.builders import ACCOUNT
from tests.template.cloudformation import STACK, Template

STACK_ID = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{STACK}/1a2b"
GRANT = ("exemptions", "grant", "ana", "--until", "2199-12-31", "--reason", "a reason")
SET_ADDRESS = ("addresses", "set", "ana", "ana@example.com")
COMMANDS = {
    "exemptions": ("exemptions", "list"),
    "addresses": SET_ADDRESS,
    "roster": ("roster",),
    "doctor": ("doctor",),
}
SECONDS_A_TEST_TAKES = 600


@pytest.fixture(autouse=True)
def ana(account: Account) -> str:
    return account.new_user("ana")


def deployed(monkeypatch: pytest.MonkeyPatch, template: Template, **outputs: str) -> None:
    """Let CloudFormation describe the stack as it was deployed with a template's parameters."""
    described = {
        "StackName": STACK,
        "StackId": STACK_ID,
        "StackStatus": "UPDATE_COMPLETE",
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in template.values().items()
        ],
        "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()],
    }
    answers: dict[str, Any] = {
        "DescribeStacks": {"Stacks": [described]},
        "ListStackResources": {"StackResourceSummaries": []},
    }
    headers: Any = {}

    def answer(model: Any, **_: object) -> Any:
        said = {**answers[model.name], "ResponseMetadata": {}}
        return AWSResponse("", 200, headers, None), said

    session = boto3.Session(region_name="us-east-1")
    respond: Any = answer  # botocore's types do not know that a handler may answer
    session.events.register("before-call.cloudformation", respond)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)


def without(*parameters: str) -> Template:
    """Return the template as if it lacked some parameters."""
    template = Template.read()
    kept = {
        name: one for name, one in template.body["Parameters"].items() if name not in parameters
    }
    given = {name: one for name, one in template.parameters.items() if name not in parameters}
    return Template({**template.body, "Parameters": kept}, given)


@pytest.mark.parametrize("days", [30, 3653])
@pytest.mark.parametrize("command", [GRANT, SET_ADDRESS], ids=["exemptions", "addresses"])
def test_what_a_command_writes_is_kept_for_as_long_as_the_stacks_parameter_says(
    account: Account, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], days: int
) -> None:
    deployed(monkeypatch, Template.read(EvidenceRetentionDays=str(days)), TableName=TABLE)
    assert main(command) == 0
    [entry] = account.items("USER#", "HISTORY#")
    kept = timedelta(seconds=float(entry["expires_at"]) - time.time())
    assert abs(kept - timedelta(days=days)).total_seconds() < SECONDS_A_TEST_TAKES


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "missing", [("EvidenceRetentionDays",), ("EscalationDays", "QuarantineMode", "SenderAddress")]
)
def test_a_stack_that_lacks_parameters_is_refused_with_their_names(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    missing: tuple[str, ...],
) -> None:
    deployed(monkeypatch, without(*missing), TableName=TABLE)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"the stack '{STACK}' has no parameter {', '.join(missing)}" in said
    assert "deploy it again" in said


def test_a_parameter_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(monkeypatch, Template.read(EvidenceRetentionDays="long"), TableName=TABLE)
    assert main(GRANT) == 1
    assert "RETENTION_DAYS" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_another_stack_is_not_taken_for_the_watchers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    deployed(monkeypatch, Template.read(), BucketName="b")
    assert main(command) == 1
    assert "has no output TableName" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "address", "code"),
    [
        ({"MailDomains": "example.org,example.com"}, "ana@example.com", 0),
        ({"MailDomains": "Example.ORG"}, "ana@example.org", 0),
        ({"MailDomains": "example.org"}, "ana@example.com", 1),
        ({"SenderAddress": "mfa@example.net"}, "ana@example.net", 0),
        ({"SenderAddress": "mfa@example.net"}, "ana@example.com", 1),
    ],
)
def test_an_address_must_be_in_a_domain_that_the_stack_allows(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, str], address: str, code: int
) -> None:
    deployed(monkeypatch, Template.read(**parameters), TableName=TABLE)
    assert main(("addresses", "set", "ana", address)) == code
