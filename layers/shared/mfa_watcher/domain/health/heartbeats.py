"""Heartbeats: when an event last arrived from each account and region, by each event path."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.decision import Decision

ALERT_AGAIN_AFTER = timedelta(days=1)
"""How long the alert about a silent path is not repeated."""

RECORD_INTERVAL = timedelta(hours=1)
"""How often a heartbeat is recorded at most, however many events arrive."""

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


class EventPath(StrEnum):
    """The paths by which events arrive: each has its own rule, queue and function."""

    SIGN_INS = "sign_ins"
    IAM_CHANGES = "iam_changes"

    @property
    def label(self) -> str:
        """Return the path's name in alerts."""
        return {EventPath.SIGN_INS: "sign-ins", EventPath.IAM_CHANGES: "changes in IAM"}[self]


@dataclass(frozen=True, slots=True, order=True)
class HeartbeatSource:
    """An account's region and an event path: where heartbeats come from."""

    account_id: str
    region: str
    path: EventPath


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What is recorded of a source. The last two fields are set while the source is silent."""

    source: HeartbeatSource
    expected_since: datetime | None = None
    """Since when events are expected; silence counts from then on."""
    seen_at: datetime | None = None
    """When the last event happened that arrived from the source."""
    silent_since: datetime | None = None
    alerted_at: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """Return when the last event happened or, if none ever arrived, since when it is due."""
        return self.seen_at or self.expected_since

    def is_silent(self, now: datetime, silence_threshold: timedelta) -> bool:
        """Return whether no event has arrived for longer than the threshold."""
        return self.since is not None and now - self.since > silence_threshold

    def is_alert_due(self, now: datetime) -> bool:
        """Return whether the silence was not alerted yet, or more than a day ago."""
        return self.alerted_at is None or now - self.alerted_at >= ALERT_AGAIN_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatDecision(Decision):
    """An alert to the security team about event paths of one account."""

    silent: tuple[Heartbeat, ...] = ()
    """Paths of which the alert says that no events arrive."""
    recovered: tuple[Heartbeat, ...] = ()
    """Paths of which the alert says that events arrive again."""


def is_region(region: str | None) -> bool:
    """Return whether a record's region is a real one: old sign-ins have ``global`` instead."""
    return region is not None and _REGION.fullmatch(region) is not None


def expected_sources(
    accounts: Iterable[str], regions: Iterable[str], iam_region: str
) -> Iterator[HeartbeatSource]:
    """Return every source that must send events; IAM's only appear in the IAM region."""
    all_regions = tuple(dict.fromkeys((iam_region, *regions)))
    for account_id in accounts:
        for region in all_regions:
            yield HeartbeatSource(account_id, region, EventPath.SIGN_INS)
        yield HeartbeatSource(account_id, iam_region, EventPath.IAM_CHANGES)
