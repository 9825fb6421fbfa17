"""From heartbeats to what security must know of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mfa_watcher.domain.events.records import Event
from mfa_watcher.domain.health.heartbeats import (
    RECORD_INTERVAL,
    EventPath,
    Heartbeat,
    HeartbeatSource,
    expected_sources,
    is_region,
)
from mfa_watcher.domain.health.silence import decide_heartbeat_alerts
from mfa_watcher.ports.accounts import Accounts
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.store import Store


@dataclass(frozen=True, slots=True)
class RecordHeartbeat:
    """Notes that events come, by the path of the function that it beats in."""

    accounts: Accounts
    store: Store
    path: EventPath
    _recorded: dict[HeartbeatSource, datetime] = field(default_factory=dict)

    def record(self, event: Event) -> None:
        """Note that an event came, at most once an hour for each account and region.

        Any event proves the path, whatever it means. Raises ExternalServiceError as the ports do.
        """
        region = event.record.region
        if region is None or not is_region(region):
            return
        source = HeartbeatSource(event.account_id, region, self.path)
        recorded = self._recorded.get(source)
        if recorded is not None and event.at - recorded < RECORD_INTERVAL:
            return
        if self.accounts.include(event.account_id):
            self.store.record_heartbeat(source, event.at)
            self._recorded[source] = event.at


@dataclass(frozen=True, slots=True)
class WatchResult:
    """What a look at all heartbeats found."""

    expected_sources: int
    silent: tuple[HeartbeatSource, ...]
    alerts: int


@dataclass(frozen=True, slots=True)
class WatchHeartbeats:
    """Looks for accounts and regions of which nothing is heard any more.

    Safe to run twice, late, and at the same time: of two that tell of a silence one loses the race.
    """

    accounts: Callable[[], Iterable[str]]
    regions: tuple[str, ...]
    iam_region: str
    store: Store
    silence_threshold: timedelta
    clock: Callable[[], datetime]

    def check(self) -> WatchResult:
        """Look at all that are expected, and tell of those that fell silent or speak again."""
        now = self.clock()
        known = {beat.source: beat for beat in self.store.heartbeats()}
        sources = tuple(expected_sources(self.accounts(), self.regions, self.iam_region))
        beats = [self._expected(known.get(source) or Heartbeat(source), now) for source in sources]
        alerts = 0
        for decision in decide_heartbeat_alerts(
            beats, now=now, silence_threshold=self.silence_threshold
        ):
            with suppress(LostRaceError, AlreadyDecidedError):
                self.store.commit(decision, now=now)
                alerts += 1
        silent = tuple(beat.source for beat in beats if beat.is_silent(now, self.silence_threshold))
        return WatchResult(len(sources), silent, alerts)

    def _expected(self, beat: Heartbeat, now: datetime) -> Heartbeat:
        """Begin to expect a pulse that nobody missed before."""
        if beat.expected_since:
            return beat
        self.store.expect_heartbeat(beat.source, now)
        return replace(beat, expected_since=now)
