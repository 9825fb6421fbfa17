"""From an account to be swept to committed decisions about those whom events have missed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from mfa_watcher.domain.alerts import events_lost_alert
from mfa_watcher.domain.casework import STANDING_FACTS, Decision, Fact, Situation, intent
from mfa_watcher.domain.census import REPORT_LIFE, Census, CredentialReport, ReportState
from mfa_watcher.domain.devices import Device
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.roster import Entry, Swept, entry_of, summary
from mfa_watcher.domain.sweep import (
    NOT_IN_ROSTER,
    Suspect,
    SweepOrder,
    compare,
    count_is_short,
    decide_swept,
    lost_events,
    spare_reads,
    tally,
    unexplained,
    young_at,
)
from mfa_watcher.domain.users import LiveUser, User
from mfa_watcher.ports import (
    AlreadyDecidedError,
    CensusTaker,
    IamReader,
    IamUser,
    LostRaceError,
    Store,
    SweepQueue,
    UnactionableError,
    WorldError,
)
from mfa_watcher.usecases.look import look

RACES = 5
"""How often a decision that lost a race is made anew before the account has to be swept again."""

WORKERS = 8
"""How many users are asked about at a time. IAM's rate is unpublished and the whole account's."""

SOON = timedelta(minutes=15)
"""A report that IAM will renew within this time is waited for: a queue keeps a message so long."""

RENEWED_AFTER = timedelta(seconds=5)
"""How long after that moment we ask: clocks differ."""

WAITS = tuple(timedelta(seconds=seconds) for seconds in (2, 5, 10, 20, 40, 80, 160, 300))
MOST_WAITS = 24
"""A report takes seconds to minutes. After an hour and a half of waiting something is wrong."""

_SECONDS_TO_SPARE = 20.0
"""Enough to end what was begun, and to put the account back into the queue."""


class OutOfTimeError(WorldError):
    """The function's time is over. What is decided is decided, and the next run goes on."""


@dataclass(frozen=True, slots=True)
class Later:
    """The account has to wait."""

    order: SweepOrder
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Sweeps accounts. Safe to break off anywhere, to run twice, and beside itself and events.

    Each user's case is committed under the version of the record that it was decided from.
    """

    accounts: Callable[[], Iterable[str]]
    store: Store
    iam_of: Callable[[str], IamReader]
    census_of: Callable[[str], CensusTaker]
    queue: SweepQueue
    policy: Policy
    clock: Callable[[], datetime]

    def order(
        self, accounts: Sequence[str] = (), *, at_once: bool = False, read_devices: bool = False
    ) -> list[SweepOrder]:
        """Have accounts swept, all if none is named; gives the orders that are in the queue now."""
        now = self.clock()
        run = f"{now:%Y%m%dT%H%M%SZ}"
        orders = [
            SweepOrder(account_id, run, now, at_once=at_once, read_devices=read_devices)
            for account_id in accounts or self.accounts()
        ]
        for order in orders:
            self.queue.send(order)
        return orders

    def sweep(self, order: SweepOrder, *, seconds_left: Callable[[], float]) -> Swept | Later:
        """Sweep one account, if its credential report is there.

        Raises UnactionableError if no report ever comes, IamReadError if IAM cannot be listed, and
        an ExceptionGroup of what kept single users from being decided about, OutOfTimeError
        perhaps: the others are, so another run of the same order goes on from there.
        """
        taker = self.census_of(order.account_id)
        report = self._report(taker, order)
        if isinstance(report, Later):
            calls = order.calls + taker.calls
            return replace(report, order=replace(report.order, calls=calls))
        return _Run(self, order, taker, report, seconds_left).make()

    def _report(self, taker: CensusTaker, order: SweepOrder) -> CredentialReport | Later:
        """Give the report. Ours are made for us: near its end one is waited for to be renewed."""
        found = taker.report()
        if isinstance(found, CredentialReport):
            left = found.generated_at + REPORT_LIFE - self.clock()
            if left > SOON or (order.at_once and left > timedelta()):
                return found
            if left > timedelta():
                return _later(order, left + RENEWED_AFTER, "IAM makes a new report soon")
        if found is not ReportState.IN_PROGRESS and taker.order_report() is ReportState.COMPLETE:
            found = taker.report()  # somebody else had it made
            if isinstance(found, CredentialReport):
                return found
        return _later(order, WAITS[min(order.waits, len(WAITS) - 1)], "IAM is making the report")


def _later(order: SweepOrder, delay: timedelta, why: str) -> Later:
    if order.waits >= MOST_WAITS:
        raise UnactionableError(
            f"account {order.account_id} has had no credential report since"
            f" {order.asked_at:%Y-%m-%d %H:%M} UTC, for all {MOST_WAITS} times it was asked for"
        )
    return Later(replace(order, waits=order.waits + 1), delay, why)


@dataclass(frozen=True, slots=True)
class _Attended:
    """What became of a suspect."""

    suspect: Suspect
    before: User
    after: User
    decided: bool


@dataclass(slots=True)
class _Run:
    """One sweep of one account."""

    sweeper: Sweeper
    order: SweepOrder
    taker: CensusTaker
    report: CredentialReport
    seconds_left: Callable[[], float]
    iam: "_Counted" = field(init=False)
    entries: dict[str, Entry] = field(default_factory=dict)
    young: frozenset[str] = frozenset()
    first: bool = False
    suspects: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    lost: dict[str, tuple[str, ...]] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.iam = _Counted(self.sweeper.iam_of(self.order.account_id))

    def make(self) -> Swept:
        """List, compare, ask and decide, in this order: see the version in ``Suspect``."""
        account_id, store = self.order.account_id, self.sweeper.store
        last = store.last_sweep(account_id)
        self.first = last is None
        self.entries = {entry.key.user_id: entry for entry in store.roster(account_id)}
        census = Census(
            self.report,
            self.taker.users(),
            self.taker.assigned_devices(),
            self.taker.devices_in_use(),
            self.order.asked_at,
        )
        self.young = young_at(self.sweeper.clock(), census)
        found = compare(census, self.entries, account_id)
        self._attend([*self._note(found.notes), *found.suspects])
        before = last.unexplained if last else None
        short = count_is_short(census, self.entries, before)
        self._attend(short)
        self._attend(spare_reads(self.entries, all_of_them=self.order.read_devices))
        known = census.fresh or bool(short) or unexplained(census, self.entries) == before
        return self._end(last, unexplained(census, self.entries) if known else before)

    def _note(self, notes: Sequence[User]) -> Iterator[Suspect]:
        """Write the records of newcomers; who turns out to be known is to be asked about."""
        known = self.sweeper.store.note(notes)
        for user in notes:
            if user not in known:
                self._take_up(user, User(user.key, user.name), decided="newcomer")
        for user in known:
            yield Suspect(user.key, user.name, NOT_IN_ROSTER)

    def _attend(self, suspects: Iterable[Suspect]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for attended in pool.map(self._try, suspects):
                self.suspects += 1
                if isinstance(attended, Exception):
                    self.errors.append(attended)
                    continue
                why = attended.suspect.why if attended.decided else None
                self._take_up(attended.after, attended.before, decided=why)

    def _take_up(self, after: User, before: User, *, decided: str | None) -> None:
        if after.gone_at:
            self.entries.pop(after.key.user_id, None)
        elif decided or after.version:
            self.entries[after.key.user_id] = entry_of(after)
        if not decided:
            return
        self.decisions[decided] += 1
        newcomer = before.version == 0
        if newcomer and self.first:
            return  # there was nobody yet to miss his events
        if calls := lost_events(before, after, self.young):
            # A name may have gone from one user to another.
            self.lost[after.name] = (*self.lost.get(after.name, ()), *calls)

    def _try(self, suspect: Suspect) -> _Attended | Exception:
        if self.seconds_left() < _SECONDS_TO_SPARE:
            return OutOfTimeError("the function's time was over")
        try:
            return self._decide(suspect)
        except Exception as error:  # noqa: BLE001 - raised when all have been attended to
            return error

    def _decide(self, suspect: Suspect) -> _Attended:
        sweeper, key = self.sweeper, suspect.key
        for race in range(RACES):
            # Who is not in the roster has no record; if he has, the first try says so.
            unknown = race == 0 and suspect.version == 0 and suspect.why != NOT_IN_ROSTER
            user = (None if unknown else sweeper.store.user(key)) or User(key, suspect.name)
            live = self._live(suspect, user)
            request = sweeper.store.request(user.request_id) if user.request_id else None
            event_id = f"sweep-{self.order.run}-{key.user_id}-{user.version}"
            situation = Situation(
                event_id, sweeper.clock(), None, user, sweeper.policy, request, live
            )
            decision = decide_swept(situation, suspect.why, known=suspect.version > 0)
            if decision is None or decision.user is None:
                return _Attended(suspect, user, user, decided=False)
            try:
                sweeper.store.commit(decision, now=sweeper.clock())
            except (LostRaceError, AlreadyDecidedError):
                continue
            return _Attended(suspect, user, decision.user, decided=True)
        raise LostRaceError(f"lost {RACES} races for the user {suspect.name!r}")

    def _live(self, suspect: Suspect, user: User) -> LiveUser | None:
        """Say how a user stands: as the lists have it, if the record is still the one compared."""
        if suspect.live and suspect.version == user.version:
            return suspect.live
        if suspect.gone:
            return look(self.iam, suspect.key, (suspect.name,), STANDING_FACTS | {Fact.IDENTITY})
        facts = frozenset({Fact.DEVICES}) if suspect.password else STANDING_FACTS
        live = look(self.iam, suspect.key, (suspect.name,), facts)
        if live and live.devices == () and suspect.password:
            return replace(live, console_access=True)
        return live

    def _end(self, last: Swept | None, unexplained_devices: int | None) -> Swept:
        """Commit what is kept of the sweep; of a broken one only what was missed."""
        now, order = self.sweeper.clock(), self.order
        swept = Swept(
            order.account_id,
            order.run,
            now,
            self.report.generated_at,
            order.calls + self.taker.calls + self.iam.calls,
            self.suspects,
            self.decisions.total(),
            summary(self.entries.values()),
            unexplained_devices,
            tally(self.lost),
            dict(self.decisions),
        )
        decision = self._decision(swept, last)
        if self.errors:
            decision = replace(decision, swept=None)
        with suppress(AlreadyDecidedError):  # the same message once more
            self.sweeper.store.commit(decision, now=now)
        if self.errors:
            raise ExceptionGroup("users who could not be decided about", self.errors)
        return swept

    def _decision(self, swept: Swept, last: Swept | None) -> Decision:
        order, policy = self.order, self.sweeper.policy
        event_id = f"sweep-{order.run}-{order.account_id}-{order.tries}"
        since = last.at if last else None
        loud = 0 < policy.lost_events_alerted <= sum(swept.lost.values())
        alerts = [events_lost_alert(order.account_id, swept.at, since, self.lost)] if loud else []
        entry = HistoryEntry(
            About.ACCOUNT,
            order.account_id,
            swept.at,
            event_id,
            f"Swept: {swept.summary.users} users, {swept.differences} differed",
            effects=tuple(f"{why}: {number}" for why, number in sorted(swept.decided.items())),
        )
        intents = tuple(intent(event_id, swept.at, told) for told in alerts)
        return Decision(event_id, (entry,), intents, swept=swept)


@dataclass(slots=True)
class _Counted:
    """A reader of IAM that counts: each of its methods is one call."""

    iam: IamReader
    calls: int = 0
    _lock: Lock = field(default_factory=Lock)

    def user(self, name: str) -> IamUser | None:
        self._one_more()
        return self.iam.user(name)

    def devices(self, name: str) -> tuple[Device, ...] | None:
        self._one_more()
        return self.iam.devices(name)

    def has_console_access(self, name: str) -> bool:
        self._one_more()
        return self.iam.has_console_access(name)

    def _one_more(self) -> None:
        with self._lock:
            self.calls += 1
