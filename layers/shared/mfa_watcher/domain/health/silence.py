"""Which alerts to send about heartbeats: sources that fell silent, and sources that recovered."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
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
            decision = _decision(silent_alert(account_id, silent, now), now)
            yield replace(decision, silent=tuple(silent))
        if back:
            decision = _decision(recovered_alert(account_id, back, now), now)
            yield replace(decision, recovered=tuple(back))


def _decision(alert: Alert, now: datetime) -> HeartbeatDecision:
    event_id = f"{alert.kind}-{alert.account_id}-{now:%Y%m%dT%H%M%S}"
    about, effects = (About.ACCOUNT, alert.account_id, now, event_id), (f"alert: {alert.title}",)
    entry = HistoryEntry(*about, alert.title, effects=effects)
    return HeartbeatDecision(event_id, (entry,), (intent(event_id, now, alert),))
