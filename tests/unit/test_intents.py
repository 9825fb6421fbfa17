from mfa_watcher.domain.events.records import Record
from mfa_watcher.domain.events.signals import classify
from mfa_watcher.domain.notifications.alerts import signal_alert
from mfa_watcher.domain.notifications.intents import Alert, AlertKind
from tests.support.builders import ACCOUNT, an_alert


def alert_of(*facts: tuple[str, str]) -> Alert:
    act = an_alert("a", *facts).act
    assert isinstance(act, Alert)
    return act


def test_an_alert_is_named_with_its_accounts_alias_and_number() -> None:
    act = alert_of(("User", "mia"), ("Account", ACCOUNT))
    assert act.account_id == ACCOUNT
    assert act.with_account_alias("acme").facts == (
        ("User", "mia"),
        ("Account", f"acme ({ACCOUNT})"),
    )
    assert act.with_account_alias(None) == act


def test_an_alert_whose_record_names_no_account_stays_as_it_is() -> None:
    act = signal_alert(classify(Record()), AlertKind.ROOT_ACTIVITY)
    assert not act.account_id
    assert ("Account", "unknown") in act.facts
