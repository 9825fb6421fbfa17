"""The sweep: comparing an account's lists with the inventory, and deciding about differences."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import events_lost_alert
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.sweep import comparison, user_inventory
from mfa_watcher.domain.sweep.account_lists import (
    REPORT_LIFE,
    AccountLists,
    CredentialReport,
    ReportState,
)
from mfa_watcher.domain.sweep.comparison import NOT_IN_INVENTORY, Candidate, SweepTask
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepDecision, SweepResult
from mfa_watcher.domain.users.user import IamState, User
from mfa_watcher.domain.users.user_state import ALL_FACTS, MFA_STATUS_FACTS, Fact, Situation
from mfa_watcher.ports.errors import AlreadyDecidedError, ExternalServiceError, UnactionableError
from mfa_watcher.ports.iam import AccountListReader, CountedIamReader
from mfa_watcher.ports.queues import SweepQueue
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.lost_races import attempts, lost_all_races
from mfa_watcher.usecases.read_user import read_user

WORKERS = 8
"""How many users are read from IAM at the same time. IAM's rate limit is unpublished, and counts
for the whole account."""

RENEWAL_MARGIN = timedelta(minutes=15)
"""If IAM renews the report within this time, the sweep waits for the new one: as long as a queue
can delay a message."""

RENEWED_AFTER = timedelta(seconds=5)
"""How long after that moment the report is asked for: clocks differ."""

REPORT_WAITS = tuple(timedelta(seconds=seconds) for seconds in (2, 5, 10, 20, 40, 80, 160, 300))
MAX_REPORT_WAITS = 24
"""A report takes seconds to minutes. After an hour and a half of waiting something is wrong."""

_RESERVED_SECONDS = 20.0
"""Enough to finish what was started, and to put the account back into the queue."""

_NEW_USER = "newcomer"
"""The reason of records that are written for unknown users without asking IAM about them."""


class OutOfTimeError(ExternalServiceError):
    """The function's time is over. What is decided is decided, and the next run continues."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The account has to wait in the queue."""

    task: SweepTask
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A user before and after the sweep. ``reason`` is None if nothing had to be decided."""

    before: User
    after: User
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Progress:
    """What a sweep has found so far."""

    inventory: Mapping[str, InventoryEntry]
    """The account's users by id, as the outcomes so far have left them."""
    outcomes: tuple[_Outcome, ...] = ()
    candidates: int = 0
    errors: tuple[Exception, ...] = ()

    def with_new_users(self, users: Iterable[User]) -> "_Progress":
        """Return the progress after records of unknown users were written."""
        return self._with([_Outcome(User(user.key, user.name), user, _NEW_USER) for user in users])

    def with_evaluated(self, evaluated: Sequence[_Outcome | Exception]) -> "_Progress":
        """Return the progress after candidates were evaluated, or failed to be."""
        errors = tuple(one for one in evaluated if isinstance(one, Exception))
        outcomes = [one for one in evaluated if isinstance(one, _Outcome)]
        return replace(
            self._with(outcomes),
            candidates=self.candidates + len(evaluated),
            errors=(*self.errors, *errors),
        )

    def _with(self, outcomes: Sequence[_Outcome]) -> "_Progress":
        inventory = dict(self.inventory)
        for outcome in outcomes:
            user_id = outcome.after.key.user_id
            if outcome.after.gone_at:
                inventory.pop(user_id, None)
            elif outcome.reason or outcome.after.version:
                inventory[user_id] = user_inventory.inventory_entry(outcome.after)
        return replace(self, inventory=inventory, outcomes=(*self.outcomes, *outcomes))

    @property
    def decided(self) -> dict[str, int]:
        """How many records changed for which reason."""
        return dict(Counter(one.reason for one in self.outcomes if one.reason))

    def lost_events(
        self, recent: frozenset[str], *, first_sweep: bool
    ) -> dict[str, tuple[str, ...]]:
        """Return the calls whose events must have been missed, by user name.

        In an account's first sweep, a new user's events could not be missed: nobody listened yet.
        """
        lost: dict[str, tuple[str, ...]] = {}
        for outcome in self.outcomes:
            unknown = outcome.before.version == 0
            if outcome.reason is None or (unknown and first_sweep):
                continue
            if calls := comparison.lost_events(outcome.before, outcome.after, recent):
                # A name may have passed from one user to another.
                lost[outcome.after.name] = (*lost.get(outcome.after.name, ()), *calls)
        return lost


@dataclass(frozen=True, slots=True)
class SweepAccounts:
    """Sweeps accounts. Safe to interrupt anywhere, to run twice, and concurrently with events.

    Each decision is committed only if the user's record is unchanged since it was read.
    """

    accounts: Callable[[], Iterable[str]]
    store: Store
    iam_of: Callable[[str], CountedIamReader]
    list_reader_of: Callable[[str], AccountListReader]
    queue: SweepQueue
    policy: Policy
    clock: Callable[[], datetime]

    def enqueue(
        self, accounts: Sequence[str] = (), *, at_once: bool = False, read_devices: bool = False
    ) -> list[SweepTask]:
        """Put accounts into the queue, all if none is named; return the tasks."""
        now = self.clock()
        run = f"{now:%Y%m%dT%H%M%SZ}"
        tasks = [
            SweepTask(account_id, run, now, at_once=at_once, read_devices=read_devices)
            for account_id in accounts or self.accounts()
        ]
        for task in tasks:
            self.queue.send(task)
        return tasks

    def sweep(
        self, task: SweepTask, *, seconds_left: Callable[[], float]
    ) -> SweepResult | Postponed:
        """Sweep one account, if its credential report exists.

        The lists are read after the inventory, and compared before users are read: see the version
        in ``Candidate``. Raises UnactionableError if no report is ever made, IamReadError if IAM
        cannot be listed, and an ExceptionGroup of the errors about single users (OutOfTimeError
        among them). The other users are decided then, so that another run of the task continues.
        """
        reader = self.list_reader_of(task.account_id)
        report = self._report(reader, task)
        if isinstance(report, Postponed):
            calls = task.calls + reader.calls
            return replace(report, task=replace(report.task, calls=calls))
        last = self.store.last_sweep(task.account_id)
        known = {entry.key.user_id: entry for entry in self.store.inventory(task.account_id)}
        users, assigned, in_use = reader.users(), reader.assigned_devices(), reader.devices_in_use()
        lists = AccountLists(report, users, assigned, in_use, task.asked_at)
        recent = comparison.recently_changed(self.clock(), lists)
        evaluation = _Evaluation(self, task, self.iam_of(task.account_id))

        compared = comparison.compare(lists, known, task.account_id)
        known_after_all = self.store.add_users(compared.new_users)
        new_users = [user for user in compared.new_users if user not in known_after_all]
        progress = _Progress(known).with_new_users(new_users)
        candidates = [
            *(Candidate(user.key, user.name, NOT_IN_INVENTORY) for user in known_after_all),
            *compared.candidates,
        ]
        progress = progress.with_evaluated(evaluation.of_all(candidates, seconds_left))
        before = last.unaccounted_devices if last else None
        missing = comparison.candidates_if_devices_missing(lists, progress.inventory, before)
        progress = progress.with_evaluated(evaluation.of_all(missing, seconds_left))
        unread = comparison.candidates_with_unread_devices(
            progress.inventory, all_of_them=task.read_devices
        )
        progress = progress.with_evaluated(evaluation.of_all(unread, seconds_left))

        unaccounted_now = comparison.unaccounted_devices(lists, progress.inventory)
        reliable = lists.report_is_fresh or bool(missing) or unaccounted_now == before
        lost = progress.lost_events(recent, first_sweep=last is None)
        result = SweepResult(
            task.account_id,
            task.run,
            self.clock(),
            report.generated_at,
            task.calls + reader.calls + evaluation.iam.calls,
            progress.candidates,
            sum(progress.decided.values()),
            user_inventory.count_users(progress.inventory.values()),
            unaccounted_now if reliable else before,
            comparison.count_by_call(lost),
            progress.decided,
        )
        decision: Decision = self._decide_result(task, result, lost, last)
        if progress.errors:  # the result of a sweep is only kept if it is complete
            decision = Decision(decision.event_id, decision.history, decision.intents)
        with suppress(AlreadyDecidedError):  # the queue delivered the same message again
            self.store.commit(decision, now=result.at)
        if progress.errors:
            raise ExceptionGroup("users who could not be evaluated", progress.errors)
        return result

    def _report(self, reader: AccountListReader, task: SweepTask) -> CredentialReport | Postponed:
        """Return the report. If IAM will renew it soon, wait for the new one."""
        found = reader.report()
        if isinstance(found, CredentialReport):
            left = found.generated_at + REPORT_LIFE - self.clock()
            if left > RENEWAL_MARGIN or (task.at_once and left > timedelta()):
                return found
            if left > timedelta():
                return _postpone(task, left + RENEWED_AFTER, "IAM makes a new report soon")
        if found is not ReportState.IN_PROGRESS and reader.request_report() is ReportState.COMPLETE:
            found = reader.report()  # somebody else had it made
            if isinstance(found, CredentialReport):
                return found
        wait = REPORT_WAITS[min(task.waits, len(REPORT_WAITS) - 1)]
        return _postpone(task, wait, "IAM is making the report")

    def _decide_result(
        self,
        task: SweepTask,
        result: SweepResult,
        lost: Mapping[str, tuple[str, ...]],
        last: SweepResult | None,
    ) -> SweepDecision:
        """Return the decision that keeps the result, with an alert if many events were lost."""
        event_id = f"sweep-{task.run}-{task.account_id}-{task.tries}"
        since = last.at if last else None
        alerted = 0 < self.policy.lost_events_alerted <= sum(result.lost.values())
        alerts = [events_lost_alert(task.account_id, result.at, since, lost)] if alerted else []
        what = f"Swept: {result.user_counts.users} users, {result.differences} differed"
        effects = tuple(f"{why}: {number}" for why, number in sorted(result.decided.items()))
        about = About.ACCOUNT, task.account_id, result.at, event_id
        entry = HistoryEntry(*about, what, effects=effects)
        intents = tuple(intent(event_id, result.at, alert) for alert in alerts)
        return SweepDecision(event_id, (entry,), intents, result=result)


def _postpone(task: SweepTask, delay: timedelta, why: str) -> Postponed:
    if task.waits >= MAX_REPORT_WAITS:
        raise UnactionableError(
            f"account {task.account_id} has had no credential report since"
            f" {task.asked_at:%Y-%m-%d %H:%M} UTC; it was asked for {MAX_REPORT_WAITS} times"
        )
    return Postponed(replace(task, waits=task.waits + 1), delay, why)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """Evaluates candidates of one account, several at a time."""

    sweep: SweepAccounts
    task: SweepTask
    iam: CountedIamReader

    def of_all(
        self, candidates: Iterable[Candidate], seconds_left: Callable[[], float]
    ) -> list[_Outcome | Exception]:
        """Evaluate candidates. One that fails yields its error, and does not stop the others."""
        with ThreadPoolExecutor(WORKERS) as pool:
            running = [pool.submit(self._of_one, one, seconds_left) for one in candidates]
        return [_outcome_or_error(one) for one in running]

    def _of_one(self, candidate: Candidate, seconds_left: Callable[[], float]) -> _Outcome:
        """Read a candidate from IAM where the lists do not suffice, decide, and commit."""
        if seconds_left() < _RESERVED_SECONDS:
            raise OutOfTimeError("the function's time was over")
        store, clock, key = self.sweep.store, self.sweep.clock, candidate.key
        for number, attempt in enumerate(attempts()):
            with attempt, suppress(AlreadyDecidedError):
                # A user who is not in the inventory has no record; if they do, the first attempt
                # loses the race.
                unknown = (
                    number == 0 and candidate.version == 0 and candidate.why != NOT_IN_INVENTORY
                )
                user = (None if unknown else store.user(key)) or User(key, candidate.name)
                if candidate.iam_state and candidate.version == user.version:
                    iam_state: IamState | None = candidate.iam_state
                else:
                    facts = _facts_to_read(candidate)
                    iam_state = read_user(self.iam, key, (candidate.name,), facts)
                    iam_state = _with_reported_password(iam_state, candidate)
                request = store.request(user.request_id) if user.request_id else None
                event_id = f"sweep-{self.task.run}-{key.user_id}-{user.version}"
                situation = Situation(
                    event_id, clock(), None, user, self.sweep.policy, request, iam_state
                )
                decision = comparison.decide_candidate(
                    situation, candidate.why, known=candidate.version > 0
                )
                if decision is None:
                    return _Outcome(user, user, None)
                store.commit(decision, now=clock())
                return _Outcome(user, decision.user, candidate.why)
        raise lost_all_races(f"user {candidate.name!r}")


def _facts_to_read(candidate: Candidate) -> frozenset[Fact]:
    if candidate.gone:
        return ALL_FACTS
    return frozenset({Fact.DEVICES}) if candidate.has_password else MFA_STATUS_FACTS


def _with_reported_password(iam_state: IamState | None, candidate: Candidate) -> IamState | None:
    """Add what a report made for this sweep says, so that IAM need not be asked for it."""
    if iam_state and iam_state.devices == () and candidate.has_password and not candidate.gone:
        return replace(iam_state, console_access=True)
    return iam_state


def _outcome_or_error(running: Future[_Outcome]) -> _Outcome | Exception:
    error = running.exception()
    if error is None:
        return running.result()
    if isinstance(error, Exception):
        return error
    raise error
