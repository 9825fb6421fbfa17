"""Whether an alert is told at once, or together with others of its time."""

from collections.abc import Iterable

from mfa_watcher.domain.notifications.intents import Alert, Intent, Severity

NORMAL_AT_ONCE = 1
URGENT_AT_ONCE = 10
"""So many alerts of a window are told one by one, counted for the urgent and the calm apart: a
flood of sign-ins does not hold up the one alert about root. More than that is a storm, in which
a person reads one list sooner than a hundred messages."""

MAX_IN_DIGEST = 400
"""So many lines fit into one message of SNS with room to spare (256 KB)."""

_URGENT = frozenset({Severity.HIGH, Severity.CRITICAL})


def is_urgent(alert: Alert) -> bool:
    """Tell whether an alert is worth a message of its own even when others came before it."""
    return alert.severity in _URGENT


def is_sent_at_once(alert: Alert, number: int) -> bool:
    """Decide about the ``number``-th alert of its urgency in a window."""
    return number <= (URGENT_AT_ONCE if is_urgent(alert) else NORMAL_AT_ONCE)


def by_severity(intents: Iterable[Intent]) -> list[Intent]:
    """Give alerts as they are told together: the most severe first, then by time."""
    rank = {severity: at for at, severity in enumerate(reversed(Severity))}
    alerts = [intent for intent in intents if isinstance(intent.act, Alert)]
    return sorted(alerts, key=lambda one: (rank[_severity(one)], one.created_at, one.id))


def highest_severity(intents: Iterable[Intent]) -> Severity:
    """Give the severity of the most severe alert."""
    return _severity(by_severity(intents)[0])


def _severity(intent: Intent) -> Severity:
    return intent.act.severity if isinstance(intent.act, Alert) else Severity.LOW
