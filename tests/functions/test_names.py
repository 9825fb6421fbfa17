"""``mfa-watcher names``, on a deployed stack."""

import os
import subprocess

import pytest

from mfa_watcher.cli import main
from tests.functions import healthy_account as healthy
from tests.functions.healthy_account import CheckedAccount
from tests.support.account import TABLE, Account
from tests.support.builders import ACCOUNT
from tests.template.cloudformation import STACK

pytestmark = pytest.mark.moto

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def deployed(account: Account, monkeypatch: pytest.MonkeyPatch) -> CheckedAccount:
    return healthy.healthy_account(account, monkeypatch)


def variables(capsys: Capture) -> dict[str, str]:
    """Return what a shell knows after it has evaluated the command's output."""
    capsys.readouterr()
    assert main(["names", "--stack", STACK]) == 0
    lines = capsys.readouterr().out
    assert all(line.startswith("export ") for line in lines.splitlines())
    shown = subprocess.run(  # noqa: S603 - the output is what is tested
        ["sh", "-c", 'eval "$1" && env', "sh", lines],  # noqa: S607 - any shell
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def test_shell_knows_functions_queues_and_outputs(
    deployed: CheckedAccount, capsys: Capture
) -> None:
    named = variables(capsys)
    ids = {name: id_ for name, (_, id_) in deployed.resources.items()}
    assert named["SWEEP"] == ids["Sweep"]
    assert named["ON_SIGN_IN"] == ids["OnSignIn"]
    assert named["TABLE_NAME"] == TABLE
    assert named["GUARD_POLICY_ARN"] == deployed.guard_arn
    assert named["IAM_CHANGE_DEAD_LETTERS"] == ids["IamChangeDeadLetters"]
    arn, _, name = named["IAM_CHANGE_DEAD_LETTERS_ARN"].rpartition(":")
    assert arn == f"arn:aws:sqs:us-east-1:{ACCOUNT}"
    assert ids["IamChangeDeadLetters"].endswith(f"/{name}")


def test_name_that_looks_like_a_command_is_none(deployed: CheckedAccount, capsys: Capture) -> None:
    hostile = "$(touch /nowhere/x); '\"`id`"
    deployed.resources["Sweep"] = ("AWS::Lambda::Function", hostile)
    assert variables(capsys)["SWEEP"] == hostile


@pytest.mark.parametrize(
    ("refused", "code", "said"),
    [
        ("cloudformation:DescribeStacks", "AccessDenied", "DescribeStacks is denied"),
        ("cloudformation:ListStackResources", "AccessDenied", "ListStackResources is denied"),
        ("cloudformation:DescribeStacks", "InternalFailure", "DescribeStacks: InternalFailure"),
    ],
)
def test_stack_that_cannot_be_read_has_no_names(
    deployed: CheckedAccount, capsys: Capture, refused: str, code: str, said: str
) -> None:
    deployed.refused = {refused: code}
    capsys.readouterr()
    assert main(["names"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("mfa-watcher names: ")
    assert said in shown.err
