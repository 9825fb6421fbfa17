"""Whether an alert is sent at once, or in a digest with others of the same time."""

from collections.abc import Iterable

from mfa_watcher.domain.notifications.intents import Alert, Intent, Severity

NORMAL_AT_ONCE = 1
URGENT_AT_ONCE = 10
"""How many alerts of a window are sent one by one. Urgent and other alerts are counted apart, so
that many sign-ins do not delay the one alert about root. More than that is a storm, in which a
person reads one list sooner than a hundred messages."""

MAX_IN_DIGEST = 400
"""How many lines fit into one SNS message (256 KB), with room to spare."""

_URGENT = frozenset({Severity.HIGH, Severity.CRITICAL})


def is_urgent(alert: Alert) -> bool:
    """Return whether an alert deserves its own message even when others came before it."""
    return alert.severity in _URGENT


def is_sent_at_once(alert: Alert, number: int) -> bool:
    """Return whether to send the ``number``-th alert of its urgency in a window at once."""
    return number <= (URGENT_AT_ONCE if is_urgent(alert) else NORMAL_AT_ONCE)


def by_severity(intents: Iterable[Intent]) -> list[Intent]:
    """Return the alerts in the order of a digest: the most severe first, then by time."""
    rank = {severity: at for at, severity in enumerate(reversed(Severity))}
    alerts = [intent for intent in intents if isinstance(intent.act, Alert)]
    return sorted(alerts, key=lambda one: (rank[_severity(one)], one.created_at, one.id))


def highest_severity(intents: Iterable[Intent]) -> Severity:
    """Return the severity of the most severe alert."""
    return _severity(by_severity(intents)[0])


def _severity(intent: Intent) -> Severity:
    return intent.act.severity if isinstance(intent.act, Alert) else Severity.LOW
