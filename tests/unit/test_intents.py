from mfa_watcher.domain.notifications.intents import Alert
from tests.support.builders import ACCOUNT, an_alert


def alert_of(*facts: tuple[str, str]) -> Alert:
    act = an_alert("a", *facts).act
    assert isinstance(act, Alert)
    return act


def test_an_alert_is_named_with_its_accounts_alias_and_number() -> None:
    alert = alert_of(("User", "mia"), ("Account", ACCOUNT))
    assert alert.account_id == ACCOUNT
    assert alert.with_account_alias("acme").facts == (
        ("User", "mia"),
        ("Account", f"acme ({ACCOUNT})"),
    )
    assert alert.with_account_alias(None) == alert


def test_an_alert_whose_record_names_no_account_stays_as_it_is() -> None:
    assert alert_of(("Account", "unknown")).account_id is None
    assert alert_of(("User", "mia")).account_id is None
