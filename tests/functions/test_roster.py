"""``mfa-watcher roster``, on an account that was swept."""

import json
from types import SimpleNamespace

import pytest

from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.cli import main, roster
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.ports.errors import ExternalServiceError
from mfa_watcher.usecases.administer import AdministerUsers
from tests.adapters.conftest import KEEP, REMEMBER
from tests.functions.product import Product
from tests.functions.test_sweep import fido, reporting
from tests.support.account import Account
from tests.support.builders import ACCOUNT

pytestmark = pytest.mark.moto


@pytest.fixture
def swept(product: Product, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account whose users' devices are all known but one's, and the desk that reads it."""
    reporting(account, monkeypatch)
    account.new_user("ana")
    account.new_user("Bob", device=True)
    account.new_user("key", password=False)
    account.new_user("eva")
    fido(account, "eva")
    product.sweep(read_devices=True)
    account.new_user("zoe", device=True)
    product.sweep(at_once=True)
    store = DynamoStore(
        Table(account.dynamodb, account.table), remember_events=REMEMBER, keep_evidence=KEEP
    )
    book = AddressBook(frozenset())
    desk = AdministerUsers(
        ACCOUNT, "arn", store, None, Policy(), book, account.clock, lambda: "desk-1"
    )
    monkeypatch.setattr(roster, "administer_users", lambda _: desk)


@pytest.mark.usefixtures("swept")
def test_the_roster_shows_everybody_the_unprotected_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert main(["roster", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["user"], line["mfa_status"]) for line in lines] == [
        ("ana", "unprotected"),
        ("Bob", "protected"),
        ("eva", "protected"),
        ("zoe", "protected"),
        ("key", "no_console_access"),
    ]
    assert [line["user"] for line in lines if line["phishing_resistant"]] == ["eva"]
    assert [line["user"] for line in lines if line["only_virtual"]] == ["Bob"]
    assert [line["user"] for line in lines if line["single_device"]] == ["Bob", "eva"]
    assert [line["user"] for line in lines if not line["devices_known"]] == ["zoe"]
    assert [one["kind"] for line in lines for one in line["devices"]] == [
        "virtual",
        "fido",
        "virtual",
    ]


@pytest.mark.usefixtures("swept")
def test_the_roster_says_in_words_what_security_asks_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()
    assert main(["roster", "--mfa-status", "protected"]) == 0
    shown = capsys.readouterr().out
    assert "ana" not in shown
    assert "virtual, more?" in shown
    assert "5 users: 1 without MFA, 0 exempt, 3 with MFA, 1 without console access" in shown
    assert "1 have a phishing-resistant device, 1 only virtual devices, 2 a single device" in shown
    assert "Last sweep: 20" in shown


def test_an_account_that_cannot_be_read_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ExternalServiceError("out of reach")

    monkeypatch.setattr(roster, "administer_users", lambda _: SimpleNamespace(inventory=fail))
    assert main(["roster"]) == 1
    assert capsys.readouterr().err == "mfa-watcher roster: out of reach\n"
