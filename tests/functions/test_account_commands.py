"""`mfa-watcher exemptions` and `addresses` with a deployed stack."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mfa_watcher.cli import aws, main
from tests.functions.product import Product
from tests.support.account import Account
from tests.support.builders import user_created

Deploy = Callable[..., None]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def deploy(account: Account, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Return a function that sets the outputs and parameters of the stack."""

    def deployed(*, outputs: dict[str, str] | None = None, **parameters: str) -> None:
        given = {"SenderAddress": "mfa@example.com", **parameters}
        named = {aws.TABLE_OUTPUT: account.table} if outputs is None else outputs
        stack = {
            "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in named.items()],
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
        }
        monkeypatch.setattr(aws, "_described", lambda _session, _name: stack)

    return deployed


@pytest.fixture
def ana(product: Product, account: Account) -> None:
    """A user whom the watcher knows."""
    product.observe(user_created("ana", account.new_user("ana")))


def last_entry(account: Account) -> dict[str, Any]:
    """Return the history entry that a command wrote."""
    [entry] = [
        item for item in account.items("USER#") if str(item.get("event_id", "")).startswith("desk-")
    ]
    return entry


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("days", [30, 2000])
def test_command_keeps_its_evidence_as_long_as_the_stack_says(
    deploy: Deploy, account: Account, capsys: Capture, days: int
) -> None:
    deploy(EvidenceRetentionDays=str(days))
    before = datetime.now(UTC)
    assert main(["addresses", "set", "ana", "ana.b@example.com"]) == 0
    assert "Mails for ana go to ana.b@example.com from now on." in capsys.readouterr().out
    kept_until = datetime.fromtimestamp(int(last_entry(account)["expires_at"]), UTC)
    assert abs(kept_until - before - timedelta(days=days)) < timedelta(minutes=5)


@pytest.mark.usefixtures("ana")
def test_exemption_is_granted_listed_and_revoked(deploy: Deploy, capsys: Capture) -> None:
    deploy(EvidenceRetentionDays="400")
    end = f"{datetime.now(UTC) + timedelta(days=20):%Y-%m-%d}"
    grant = ["exemptions", "grant", "ana", "--until", end, "--reason", "lost key, new one ordered"]
    assert main(grant) == 0
    assert f"ana is exempt until the end of {end} (UTC)." in capsys.readouterr().out
    assert main(["exemptions", "list"]) == 0
    assert "lost key" in capsys.readouterr().out
    assert main(["exemptions", "revoke", "ana"]) == 0
    assert "ana is no longer exempt." in capsys.readouterr().out
    assert main(["exemptions", "list"]) == 0
    assert capsys.readouterr().out == "No user is exempt.\n"


@pytest.mark.parametrize(
    ("outputs", "parameters", "missing"),
    [
        (None, {}, "no parameter EvidenceRetentionDays"),
        ({}, {"EvidenceRetentionDays": "400"}, "no output TableName"),
    ],
)
def test_stack_that_is_not_the_watchers_is_refused_by_what_it_lacks(
    deploy: Deploy,
    capsys: Capture,
    outputs: dict[str, str] | None,
    parameters: dict[str, str],
    missing: str,
) -> None:
    deploy(outputs=outputs, **parameters)
    assert main(["exemptions", "list"]) == 1
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize("command", ["exemptions", "addresses"])
def test_each_action_names_the_deployment_and_its_account(command: str, capsys: Capture) -> None:
    action = {"exemptions": "grant", "addresses": "set"}[command]
    with pytest.raises(SystemExit):
        main([command, action, "--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--stack", "--region", "--profile", "--account"))


def test_a_date_that_is_none_is_refused(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["exemptions", "grant", "ana", "--until", "2027-02-30", "--reason", "lost"])
    assert stopped.value.code == 2
    assert "not a date as YYYY-MM-DD" in capsys.readouterr().err
