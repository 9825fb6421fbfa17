"""From heartbeats to what security must know of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mfa_watcher.domain.heartbeats import (
    BEATS_EVERY,
    Heartbeat,
    Path,
    Pulse,
    beats_in,
    expected,
)
from mfa_watcher.domain.records import Event
from mfa_watcher.domain.watch import decide_watch
from mfa_watcher.ports import Accounts, AlreadyDecidedError, LostRaceError, Store


@dataclass(frozen=True, slots=True)
class Heart:
    """Notes that events come, by the path of the function that it beats in."""

    accounts: Accounts
    store: Store
    path: Path
    _felt: dict[Pulse, datetime] = field(default_factory=dict)

    def feel(self, event: Event) -> None:
        """Note that an event came, at most once an hour for each account and region.

        Any event proves the path, whatever it means. Raises WorldError as the ports do.
        """
        region = event.record.region
        if region is None or not beats_in(region):
            return
        pulse = Pulse(event.account_id, region, self.path)
        felt = self._felt.get(pulse)
        if felt is not None and event.at - felt < BEATS_EVERY:
            return
        if self.accounts.include(event.account_id):
            self.store.beat(pulse, event.at)
            self._felt[pulse] = event.at


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look at all heartbeats found."""

    expected: int
    silent: tuple[Pulse, ...]
    alerts: int


@dataclass(frozen=True, slots=True)
class Watchman:
    """Looks for accounts and regions of which nothing is heard any more.

    Safe to run twice, late, and at the same time: of two that tell of a silence one loses the race.
    """

    accounts: Callable[[], Iterable[str]]
    regions: tuple[str, ...]
    iam_region: str
    store: Store
    patience: timedelta
    clock: Callable[[], datetime]

    def look(self) -> Watched:
        """Look at all that are expected, and tell of those that fell silent or speak again."""
        now = self.clock()
        known = {beat.pulse: beat for beat in self.store.heartbeats()}
        pulses = tuple(expected(self.accounts(), self.regions, self.iam_region))
        beats = [self._expected(known.get(pulse) or Heartbeat(pulse), now) for pulse in pulses]
        alerts = 0
        for decision in decide_watch(beats, now=now, patience=self.patience):
            with suppress(LostRaceError, AlreadyDecidedError):
                self.store.commit(decision, now=now)
                alerts += 1
        silent = tuple(beat.pulse for beat in beats if beat.is_silent(now, self.patience))
        return Watched(len(pulses), silent, alerts)

    def _expected(self, beat: Heartbeat, now: datetime) -> Heartbeat:
        """Begin to expect a pulse that nobody missed before."""
        if beat.expected_since:
            return beat
        self.store.expect(beat.pulse, now)
        return replace(beat, expected_since=now)
