"""From an account to be swept to committed decisions about those whom events have missed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import events_lost_alert
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.sweep.account_lists import (
    REPORT_LIFE,
    AccountLists,
    CredentialReport,
    ReportState,
)
from mfa_watcher.domain.sweep.comparison import (
    NOT_IN_INVENTORY,
    Candidate,
    SweepTask,
    candidates_for_missing_devices,
    candidates_with_unread_devices,
    compare,
    count_by_call,
    decide_candidate,
    lost_events,
    recently_changed,
    unexplained,
)
from mfa_watcher.domain.sweep.user_inventory import (
    InventoryEntry,
    SweepResult,
    inventory_entry,
    summary,
)
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.user import IamState, User
from mfa_watcher.domain.users.user_state import MFA_STATUS_FACTS, Decision, Fact, Situation
from mfa_watcher.ports.errors import (
    AlreadyDecidedError,
    ExternalServiceError,
    LostRaceError,
    UnactionableError,
)
from mfa_watcher.ports.iam import AccountListReader, IamReader, IamUser
from mfa_watcher.ports.queues import SweepQueue
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.read_user import read_user

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


class OutOfTimeError(ExternalServiceError):
    """The function's time is over. What is decided is decided, and the next run goes on."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The account has to wait."""

    order: SweepTask
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class SweepAccounts:
    """Sweeps accounts. Safe to break off anywhere, to run twice, and beside itself and events.

    Each user's case is committed under the version of the record that it was decided from.
    """

    accounts: Callable[[], Iterable[str]]
    store: Store
    iam_of: Callable[[str], IamReader]
    list_reader_of: Callable[[str], AccountListReader]
    queue: SweepQueue
    policy: Policy
    clock: Callable[[], datetime]

    def order(
        self, accounts: Sequence[str] = (), *, at_once: bool = False, read_devices: bool = False
    ) -> list[SweepTask]:
        """Have accounts swept, all if none is named; gives the orders that are in the queue now."""
        now = self.clock()
        run = f"{now:%Y%m%dT%H%M%SZ}"
        orders = [
            SweepTask(account_id, run, now, at_once=at_once, read_devices=read_devices)
            for account_id in accounts or self.accounts()
        ]
        for order in orders:
            self.queue.send(order)
        return orders

    def sweep(
        self, order: SweepTask, *, seconds_left: Callable[[], float]
    ) -> SweepResult | Postponed:
        """Sweep one account, if its credential report is there.

        Raises UnactionableError if no report ever comes, IamReadError if IAM cannot be listed, and
        an ExceptionGroup of what kept single users from being decided about, OutOfTimeError
        perhaps: the others are, so another run of the same order goes on from there.
        """
        list_reader = self.list_reader_of(order.account_id)
        report = self._report(list_reader, order)
        if isinstance(report, Postponed):
            calls = order.calls + list_reader.calls
            return replace(report, order=replace(report.order, calls=calls))
        return _Run(self, order, list_reader, report, seconds_left).make()

    def _report(
        self, list_reader: AccountListReader, order: SweepTask
    ) -> CredentialReport | Postponed:
        """Give the report. Ours are made for us: near its end one is waited for to be renewed."""
        found = list_reader.report()
        if isinstance(found, CredentialReport):
            left = found.generated_at + REPORT_LIFE - self.clock()
            if left > SOON or (order.at_once and left > timedelta()):
                return found
            if left > timedelta():
                return _postpone(order, left + RENEWED_AFTER, "IAM makes a new report soon")
        if (
            found is not ReportState.IN_PROGRESS
            and list_reader.request_report() is ReportState.COMPLETE
        ):
            found = list_reader.report()  # somebody else had it made
            if isinstance(found, CredentialReport):
                return found
        return _postpone(order, WAITS[min(order.waits, len(WAITS) - 1)], "IAM is making the report")


def _postpone(order: SweepTask, delay: timedelta, why: str) -> Postponed:
    if order.waits >= MOST_WAITS:
        raise UnactionableError(
            f"account {order.account_id} has had no credential report since"
            f" {order.asked_at:%Y-%m-%d %H:%M} UTC, for all {MOST_WAITS} times it was asked for"
        )
    return Postponed(replace(order, waits=order.waits + 1), delay, why)


@dataclass(frozen=True, slots=True)
class _Attended:
    """What became of a suspect."""

    candidate: Candidate
    before: User
    after: User
    decided: bool


@dataclass(slots=True)
class _Run:
    """One sweep of one account."""

    sweeper: SweepAccounts
    order: SweepTask
    list_reader: AccountListReader
    report: CredentialReport
    seconds_left: Callable[[], float]
    iam: "_Counted" = field(init=False)
    entries: dict[str, InventoryEntry] = field(default_factory=dict)
    young: frozenset[str] = frozenset()
    first: bool = False
    candidates: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    lost: dict[str, tuple[str, ...]] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.iam = _Counted(self.sweeper.iam_of(self.order.account_id))

    def make(self) -> SweepResult:
        """List, compare, ask and decide, in this order: see the version in ``Suspect``."""
        account_id, store = self.order.account_id, self.sweeper.store
        last = store.last_sweep(account_id)
        self.first = last is None
        self.entries = {entry.key.user_id: entry for entry in store.inventory(account_id)}
        account_lists = AccountLists(
            self.report,
            self.list_reader.users(),
            self.list_reader.assigned_devices(),
            self.list_reader.devices_in_use(),
            self.order.asked_at,
        )
        self.young = recently_changed(self.sweeper.clock(), account_lists)
        found = compare(account_lists, self.entries, account_id)
        self._attend([*self._note(found.notes), *found.candidates])
        before = last.unexplained if last else None
        short = candidates_for_missing_devices(account_lists, self.entries, before)
        self._attend(short)
        self._attend(
            candidates_with_unread_devices(self.entries, all_of_them=self.order.read_devices)
        )
        known = (
            account_lists.fresh or bool(short) or unexplained(account_lists, self.entries) == before
        )
        return self._end(last, unexplained(account_lists, self.entries) if known else before)

    def _note(self, notes: Sequence[User]) -> Iterator[Candidate]:
        """Write the records of newcomers; who turns out to be known is to be asked about."""
        known = self.sweeper.store.note(notes)
        for user in notes:
            if user not in known:
                self._take_up(user, User(user.key, user.name), decided="newcomer")
        for user in known:
            yield Candidate(user.key, user.name, NOT_IN_INVENTORY)

    def _attend(self, candidates: Iterable[Candidate]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for attended in pool.map(self._try, candidates):
                self.candidates += 1
                if isinstance(attended, Exception):
                    self.errors.append(attended)
                    continue
                why = attended.candidate.why if attended.decided else None
                self._take_up(attended.after, attended.before, decided=why)

    def _take_up(self, after: User, before: User, *, decided: str | None) -> None:
        if after.gone_at:
            self.entries.pop(after.key.user_id, None)
        elif decided or after.version:
            self.entries[after.key.user_id] = inventory_entry(after)
        if not decided:
            return
        self.decisions[decided] += 1
        newcomer = before.version == 0
        if newcomer and self.first:
            return  # there was nobody yet to miss his events
        if calls := lost_events(before, after, self.young):
            # A name may have gone from one user to another.
            self.lost[after.name] = (*self.lost.get(after.name, ()), *calls)

    def _try(self, candidate: Candidate) -> _Attended | Exception:
        if self.seconds_left() < _SECONDS_TO_SPARE:
            return OutOfTimeError("the function's time was over")
        try:
            return self._decide(candidate)
        except Exception as error:  # noqa: BLE001 - raised when all have been attended to
            return error

    def _decide(self, candidate: Candidate) -> _Attended:
        sweeper, key = self.sweeper, candidate.key
        for race in range(RACES):
            # Who is not in the roster has no record; if he has, the first try says so.
            unknown = race == 0 and candidate.version == 0 and candidate.why != NOT_IN_INVENTORY
            user = (None if unknown else sweeper.store.user(key)) or User(key, candidate.name)
            iam_state = self._live(candidate, user)
            request = sweeper.store.request(user.request_id) if user.request_id else None
            event_id = f"sweep-{self.order.run}-{key.user_id}-{user.version}"
            situation = Situation(
                event_id, sweeper.clock(), None, user, sweeper.policy, request, iam_state
            )
            decision = decide_candidate(situation, candidate.why, known=candidate.version > 0)
            if decision is None or decision.user is None:
                return _Attended(candidate, user, user, decided=False)
            try:
                sweeper.store.commit(decision, now=sweeper.clock())
            except (LostRaceError, AlreadyDecidedError):
                continue
            return _Attended(candidate, user, decision.user, decided=True)
        raise LostRaceError(f"lost {RACES} races for the user {candidate.name!r}")

    def _live(self, candidate: Candidate, user: User) -> IamState | None:
        """Say how a user stands: as the lists have it, if the record is still the one compared."""
        if candidate.iam_state and candidate.version == user.version:
            return candidate.iam_state
        if candidate.gone:
            return read_user(
                self.iam, candidate.key, (candidate.name,), MFA_STATUS_FACTS | {Fact.IDENTITY}
            )
        facts = frozenset({Fact.DEVICES}) if candidate.password else MFA_STATUS_FACTS
        iam_state = read_user(self.iam, candidate.key, (candidate.name,), facts)
        if iam_state and iam_state.devices == () and candidate.password:
            return replace(iam_state, console_access=True)
        return iam_state

    def _end(self, last: SweepResult | None, unexplained_devices: int | None) -> SweepResult:
        """Commit what is kept of the sweep; of a broken one only what was missed."""
        now, order = self.sweeper.clock(), self.order
        swept = SweepResult(
            order.account_id,
            order.run,
            now,
            self.report.generated_at,
            order.calls + self.list_reader.calls + self.iam.calls,
            self.candidates,
            self.decisions.total(),
            summary(self.entries.values()),
            unexplained_devices,
            count_by_call(self.lost),
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

    def _decision(self, swept: SweepResult, last: SweepResult | None) -> Decision:
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
        intents = tuple(intent(event_id, swept.at, notification) for notification in alerts)
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
