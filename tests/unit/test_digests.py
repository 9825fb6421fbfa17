import pytest

from mfa_watcher.domain.notifications.digests import by_severity, highest_severity, is_sent_at_once
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent, Severity
from tests.support.builders import ACCOUNT, later


def an_alert_of(severity: Severity, name: str = "alert-1", minutes: float = 0) -> Intent:
    act = Alert(AlertKind.REMOVAL_DENIED, severity, "It happened", (("User", "ana"),), ACCOUNT)
    return Intent(name, "e1", later(minutes), act)


@pytest.mark.parametrize(
    ("severity", "number", "at_once"),
    [
        (Severity.LOW, 1, True),
        (Severity.LOW, 2, False),
        (Severity.MEDIUM, 1, True),
        (Severity.MEDIUM, 2, False),
        (Severity.HIGH, 1, True),
        (Severity.HIGH, 10, True),
        (Severity.HIGH, 11, False),
        (Severity.CRITICAL, 10, True),
        (Severity.CRITICAL, 11, False),
    ],
)
def test_the_first_of_a_window_goes_at_once_and_more_of_the_urgent_ones(
    severity: Severity,
    number: int,
    at_once: bool,  # noqa: FBT001
) -> None:
    act = an_alert_of(severity).act
    assert isinstance(act, Alert)
    assert is_sent_at_once(act, number) is at_once


def test_a_digest_is_sorted_by_severity_and_then_by_time() -> None:
    late, low, high, early = (
        an_alert_of(Severity.MEDIUM, "late", 2),
        an_alert_of(Severity.LOW, "low", 0),
        an_alert_of(Severity.CRITICAL, "high", 3),
        an_alert_of(Severity.MEDIUM, "early", 1),
    )
    assert [one.id for one in by_severity([late, low, high, early])] == [
        "high",
        "early",
        "late",
        "low",
    ]
    assert highest_severity([late, low]) is Severity.MEDIUM
