"""Heartbeats: when an event last came, by each path from an account's region to the table."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.decision import Decision

ALERT_AGAIN_AFTER = timedelta(days=1)
"""How long a path that stays silent is one alert."""

RECORD_INTERVAL = timedelta(hours=1)
"""How often a heartbeat is noted at most, however many events come."""

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


class EventPath(StrEnum):
    """The ways in which events come: each has a rule, a queue and a function of its own."""

    SIGN_INS = "sign_ins"
    IAM_CHANGES = "iam_changes"

    @property
    def words(self) -> str:
        """The path in an alert's words."""
        return {EventPath.SIGN_INS: "sign-ins", EventPath.IAM_CHANGES: "changes in IAM"}[self]


@dataclass(frozen=True, slots=True, order=True)
class HeartbeatSource:
    """Where a heartbeat is felt."""

    account_id: str
    region: str
    path: EventPath


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What is known of a pulse. ``silent_since`` and ``told_at`` are set while it is silent."""

    source: HeartbeatSource
    expected_since: datetime | None = None
    """When it was first missed; from then on silence counts."""
    seen_at: datetime | None = None
    """When the last event happened that came this way."""
    silent_since: datetime | None = None
    alerted_at: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """Since when nothing came, or, if nothing ever did, since when it should have."""
        return self.seen_at or self.expected_since

    def is_silent(self, now: datetime, silence_threshold: timedelta) -> bool:
        """Tell whether nothing came for longer than the patience."""
        return self.since is not None and now - self.since > silence_threshold

    def is_alert_due(self, now: datetime) -> bool:
        """Tell whether security has not been told of the silence, or a day ago."""
        return self.alerted_at is None or now - self.alerted_at >= ALERT_AGAIN_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatDecision(Decision):
    """An alert to the security team about event paths of one account."""

    silent: tuple[Heartbeat, ...] = ()
    """Paths of which the alert says that no events arrive."""
    recovered: tuple[Heartbeat, ...] = ()
    """Paths of which the alert says that events arrive again."""


def is_region(region: str | None) -> bool:
    """Tell whether a record's region is one: old sign-ins have ``global`` there."""
    return region is not None and _REGION.fullmatch(region) is not None


def expected_sources(
    accounts: Iterable[str], regions: Iterable[str], iam_region: str
) -> Iterator[HeartbeatSource]:
    """Give every pulse there has to be: IAM's events appear in the partition's IAM region alone."""
    everywhere = tuple(dict.fromkeys((iam_region, *regions)))
    for account_id in accounts:
        for region in everywhere:
            yield HeartbeatSource(account_id, region, EventPath.SIGN_INS)
        yield HeartbeatSource(account_id, iam_region, EventPath.IAM_CHANGES)
