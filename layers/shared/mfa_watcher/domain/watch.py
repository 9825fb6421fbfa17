"""What is told of heartbeats: of paths that fell silent, and of those that speak again."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from mfa_watcher.domain.alerts import back_alert, silent_alert
from mfa_watcher.domain.casework import Decision, intent
from mfa_watcher.domain.heartbeats import Heartbeat
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.intents import Alert


def decide_watch(
    heartbeats: Iterable[Heartbeat], *, now: datetime, patience: timedelta
) -> Iterator[Decision]:
    """Give what is to be told of each account: which paths fell silent, and which speak again."""
    by_account = sorted(heartbeats, key=lambda one: one.pulse)
    for account_id, beats in groupby(by_account, key=lambda one: one.pulse.account_id):
        silent, back = [], []
        for beat in beats:
            if beat.is_silent(now, patience):
                silent += [beat] if beat.is_to_be_told(now) else []
            elif beat.silent_since:
                back.append(beat)
        if silent:
            yield _decision(account_id, now, silent_alert(account_id, silent, now), silent=silent)
        if back:
            yield _decision(account_id, now, back_alert(account_id, back, now), back=back)


def _decision(
    account_id: str,
    now: datetime,
    told: Alert,
    *,
    silent: Iterable[Heartbeat] = (),
    back: Iterable[Heartbeat] = (),
) -> Decision:
    event_id = f"{told.kind}-{account_id}-{now:%Y%m%dT%H%M%S}"
    entry = HistoryEntry(
        About.ACCOUNT, account_id, now, event_id, told.title, effects=(f"alert: {told.title}",)
    )
    return Decision(
        event_id,
        (entry,),
        (intent(event_id, now, told),),
        fell_silent=tuple(silent),
        came_back=tuple(back),
    )
