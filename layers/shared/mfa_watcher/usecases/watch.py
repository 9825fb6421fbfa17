"""The watch: alerting about accounts and regions from which no events arrive."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mfa_watcher.domain.health.heartbeats import Heartbeat, HeartbeatSource, expected_sources
from mfa_watcher.domain.health.silence import decide_heartbeat_alerts
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.store import Store


@dataclass(frozen=True, slots=True)
class WatchResult:
    """How many sources are expected to send events, which are silent, and how many alerts."""

    expected: int
    silent: tuple[HeartbeatSource, ...]
    alerts: int


@dataclass(frozen=True, slots=True)
class WatchHeartbeats:
    """Finds accounts and regions from which no events arrive any more.

    Safe to run twice, late, and concurrently: of two runs that report a silence, one loses the
    race and reports nothing.
    """

    accounts: Callable[[], Iterable[str]]
    regions: tuple[str, ...]
    iam_region: str
    store: Store
    silence_threshold: timedelta
    clock: Callable[[], datetime]

    def watch(self) -> WatchResult:
        """Evaluate all expected heartbeats; alert about new silences and about recoveries."""
        now = self.clock()
        known = {heartbeat.source: heartbeat for heartbeat in self.store.heartbeats()}
        sources = tuple(expected_sources(self.accounts(), self.regions, self.iam_region))
        heartbeats = [
            self._expected(known.get(source) or Heartbeat(source), now) for source in sources
        ]
        alerts = 0
        for decision in decide_heartbeat_alerts(
            heartbeats, now=now, silence_threshold=self.silence_threshold
        ):
            with suppress(LostRaceError, AlreadyDecidedError):
                self.store.commit(decision, now=now)
                alerts += 1
        silent = tuple(
            heartbeat.source
            for heartbeat in heartbeats
            if heartbeat.is_silent(now, self.silence_threshold)
        )
        return WatchResult(len(sources), silent, alerts)

    def _expected(self, heartbeat: Heartbeat, now: datetime) -> Heartbeat:
        """Return the heartbeat; the first time, note since when it is expected."""
        if heartbeat.expected_since:
            return heartbeat
        self.store.expect_heartbeat(heartbeat.source, now)
        return replace(heartbeat, expected_since=now)
