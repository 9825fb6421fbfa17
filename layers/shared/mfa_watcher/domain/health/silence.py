"""What is told of heartbeats: of paths that fell silent, and of those that speak again."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import recovered_alert, silent_alert
from mfa_watcher.domain.notifications.intents import Alert, intent
from mfa_watcher.domain.users.user_state import Decision


def decide_heartbeat_alerts(
    heartbeats: Iterable[Heartbeat], *, now: datetime, silence_threshold: timedelta
) -> Iterator[Decision]:
    """Give what is to be told of each account: which paths fell silent, and which speak again."""
    by_account = sorted(heartbeats, key=lambda one: one.source)
    for account_id, beats in groupby(by_account, key=lambda one: one.source.account_id):
        silent, back = [], []
        for beat in beats:
            if beat.is_silent(now, silence_threshold):
                silent += [beat] if beat.is_alert_due(now) else []
            elif beat.silent_since:
                back.append(beat)
        if silent:
            yield _decision(account_id, now, silent_alert(account_id, silent, now), silent=silent)
        if back:
            yield _decision(account_id, now, recovered_alert(account_id, back, now), back=back)


def _decision(
    account_id: str,
    now: datetime,
    notification: Alert,
    *,
    silent: Iterable[Heartbeat] = (),
    back: Iterable[Heartbeat] = (),
) -> Decision:
    event_id = f"{notification.kind}-{account_id}-{now:%Y%m%dT%H%M%S}"
    entry = HistoryEntry(
        About.ACCOUNT,
        account_id,
        now,
        event_id,
        notification.title,
        effects=(f"alert: {notification.title}",),
    )
    return Decision(
        event_id,
        (entry,),
        (intent(event_id, now, notification),),
        fell_silent=tuple(silent),
        came_back=tuple(back),
    )
