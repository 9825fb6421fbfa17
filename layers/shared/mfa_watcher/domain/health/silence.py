"""Which alerts to send about heartbeats: sources that fell silent, and sources that recovered."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from mfa_watcher.domain.health.heartbeats import Heartbeat, HeartbeatDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import recovered_alert, silent_alert
from mfa_watcher.domain.notifications.intents import Alert, intent


def decide_heartbeat_alerts(
    heartbeats: Iterable[Heartbeat], *, now: datetime, silence_threshold: timedelta
) -> Iterator[HeartbeatDecision]:
    """Return for each account what to alert: sources that fell silent or that recovered."""
    by_account = sorted(heartbeats, key=lambda one: one.source)
    for account_id, members in groupby(by_account, key=lambda one: one.source.account_id):
        silent, back = [], []
        for heartbeat in members:
            if heartbeat.is_silent(now, silence_threshold):
                silent += [heartbeat] if heartbeat.is_alert_due(now) else []
            elif heartbeat.silent_since:
                back.append(heartbeat)
        if silent:
            yield _decision(account_id, now, silent_alert(account_id, silent, now), silent=silent)
        if back:
            yield _decision(account_id, now, recovered_alert(account_id, back, now), back=back)


def _decision(
    account_id: str,
    now: datetime,
    alert: Alert,
    *,
    silent: Iterable[Heartbeat] = (),
    back: Iterable[Heartbeat] = (),
) -> HeartbeatDecision:
    event_id = f"{alert.kind}-{account_id}-{now:%Y%m%dT%H%M%S}"
    about, effects = (About.ACCOUNT, account_id, now, event_id), (f"alert: {alert.title}",)
    entry = HistoryEntry(*about, alert.title, effects=effects)
    return HeartbeatDecision(
        event_id,
        (entry,),
        (intent(event_id, now, alert),),
        silent=tuple(silent),
        recovered=tuple(back),
    )
