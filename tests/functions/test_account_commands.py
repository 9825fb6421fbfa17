"""`mfa-watcher exemptions` and `addresses`: what they do and print."""

from datetime import UTC, datetime, timedelta

import pytest

from mfa_watcher.cli import main
from tests.functions.product import Product
from tests.functions.test_administer import deployed
from tests.support.account import TABLE, Account
from tests.support.builders import user_created
from tests.template.cloudformation import Template

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ana(product: Product, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the watcher knows, and the deployed stack."""
    product.observe(user_created("ana", account.new_user("ana")))
    deployed(monkeypatch, Template.read(), TableName=TABLE)


@pytest.mark.usefixtures("ana")
def test_address_is_set_and_cleared(capsys: Capture) -> None:
    assert main(["addresses", "set", "ana", "ana.b@example.com"]) == 0
    assert capsys.readouterr().out == "Mails for ana go to ana.b@example.com from now on.\n"
    assert main(["addresses", "clear", "ana"]) == 0
    assert "the address that the tags or the user name give" in capsys.readouterr().out


@pytest.mark.usefixtures("ana")
def test_exemption_is_granted_listed_and_revoked(capsys: Capture) -> None:
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


@pytest.mark.parametrize("command", ["exemptions", "addresses"])
def test_each_action_names_the_deployment_and_its_account(command: str, capsys: Capture) -> None:
    action = {"exemptions": "grant", "addresses": "set"}[command]
    with pytest.raises(SystemExit):
        main([command, action, "--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--stack", "--region", "--profile", "--account"))


def test_an_invalid_date_is_refused(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["exemptions", "grant", "ana", "--until", "2027-02-30", "--reason", "lost"])
    assert stopped.value.code == 2
    assert "not a date as YYYY-MM-DD" in capsys.readouterr().err
