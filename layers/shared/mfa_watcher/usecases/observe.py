"""CloudTrail events: classify, read IAM where needed, decide, commit."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.events import decisions
from mfa_watcher.domain.events.records import Event
from mfa_watcher.domain.events.signals import Signal, SignalKind, classify
from mfa_watcher.domain.events.tampering import Watcher
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.user import IamState, User, UserKey
from mfa_watcher.domain.users.user_state import MFA_STATUS_FACTS, Situation, is_fulfil_role_acting
from mfa_watcher.ports.accounts import Accounts
from mfa_watcher.ports.errors import AlreadyDecidedError, UnactionableError
from mfa_watcher.ports.iam import IamReaderFactory
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.lost_races import attempts, lost_all_races
from mfa_watcher.usecases.read_user import read_user

EARLIER_REQUESTS_READ = 5
"""A late record of a fulfilment may belong to one of this many earlier requests of the user."""

_NOTHING_TO_DO = frozenset(
    {SignalKind.IGNORED, SignalKind.SIGN_IN_FAILED, SignalKind.SIGN_IN_NOT_JUDGED}
)
_ABOUT_THE_ACCOUNT = frozenset(
    {
        SignalKind.WATCHER_DISTURBED,
        SignalKind.PASSWORD_POLICY_CHANGED,
        SignalKind.ROOT_CREDENTIALS,
    }
)

_KNOWN_USERS_ONLY = frozenset(
    {
        SignalKind.CONSOLE_ACCESS_REMOVED,
        SignalKind.DEVICE_RESYNCED,
        SignalKind.PASSWORD_CHANGED,
        SignalKind.USER_DELETED,
        SignalKind.USER_TAGGED,
    }
)
"""Signals that change nothing for an unknown user, so IAM is not asked who the user is."""


class ObserveResult(StrEnum):
    """What became of an event."""

    DECIDED = "decided"
    DUPLICATE = "duplicate"
    NOTHING_TO_DO = "nothing_to_do"


@dataclass(frozen=True, slots=True)
class Observation:
    """What an event means, what became of it, and the effects of the decision."""

    signal: Signal
    result: ObserveResult
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObserveEvents:
    """Observes all watched accounts, and with them the watcher itself."""

    accounts: Accounts
    watcher: Watcher
    store: Store
    iam_of: IamReaderFactory
    policy: Policy
    clock: Callable[[], datetime]

    def observe(self, event: Event) -> Observation:
        """Decide about an event and commit the decision.

        Raises UnactionableError for an event of an account that is not watched, or too old to be
        told from a duplicate; IamReadError if IAM does not answer; LostRaceError.
        """
        signal = classify(event.record, self.watcher)
        if signal.kind in _NOTHING_TO_DO:
            return Observation(signal, ObserveResult.NOTHING_TO_DO)
        self._refuse_unactionable(event)
        for attempt in attempts():
            with attempt:
                decision = self._decide(event, signal)
                if decision is None:
                    return Observation(signal, ObserveResult.NOTHING_TO_DO)
                try:
                    self.store.commit(decision, now=self.clock())
                except AlreadyDecidedError:
                    return Observation(signal, ObserveResult.DUPLICATE)
                return Observation(signal, ObserveResult.DECIDED, decision.effects)
        raise lost_all_races(f"event {event.id}")

    def _refuse_unactionable(self, event: Event) -> None:
        if not self.accounts.include(event.account_id):
            raise UnactionableError(
                f"the event is about account {event.account_id}, which is not watched: it is"
                " neither the watcher's own account nor one of its members"
            )
        if self.clock() - event.at > self.policy.remember_events:
            raise UnactionableError(
                f"the event is of {event.at:%Y-%m-%d}, too old to know whether it was decided"
                " before"
            )

    def _decide(self, event: Event, signal: Signal) -> Decision | None:
        if signal.kind in _ABOUT_THE_ACCOUNT or signal.subject_is_root:
            return decisions.decide_for_account(event, signal, self.policy)
        if signal.names_only_device and not signal.only_deletes_device_entity:
            owner = self._owner(event.account_id, signal)
            signal = signal.of_owner(owner.name) if owner else signal
        else:
            owner = None
        namesake = self._namesake(event, signal)
        late = namesake is not None and _has_name(namesake, signal.subject)
        user = None if late else owner or self._subject(event, signal)
        if user is None:
            # Evidence of a removal is kept, and root's acts are alerted, also for unknown users.
            if signal.kind is SignalKind.DEVICE_REMOVAL or signal.root:
                return decisions.decide_for_account(event, signal, self.policy)
            return None
        facts = decisions.facts_needed(signal, user)
        if namesake:  # earlier events under this name may have been taken for the new user's
            facts |= MFA_STATUS_FACTS
        if not facts and decisions.changes_nothing(signal, user):
            return None
        iam_state = read_user(self.iam_of(event.account_id), user.key, _names(signal, user), facts)
        request = self.store.request(user.request_id) if user.request_id else None
        earlier = self._earlier(event, signal, request)
        situation = Situation(
            event.id, event.at, signal, user, self.policy, request, iam_state, earlier
        )
        return decisions.decide(situation, signal)

    def _earlier(
        self, event: Event, signal: Signal, request: ChangeRequest | None
    ) -> ChangeRequest | None:
        """Return the earlier request whose fulfilment caused a late record, or None."""
        if not is_fulfil_role_acting(signal, event.account_id, self.policy):
            return None
        earlier = request
        for _ in range(EARLIER_REQUESTS_READ):
            if earlier is None or earlier.previous is None:
                break
            if earlier.is_being_fulfilled_at(event.at) and signal.serial in {
                None,
                *earlier.devices,
            }:
                break
            earlier = self.store.request(earlier.previous)
        return earlier if earlier is not request else None

    def _subject(self, event: Event, signal: Signal) -> User | None:
        """Return the user that the signal is about: by the record's id, our table, or IAM."""
        account_id = event.account_id
        if (user_id := signal.subject_id) is not None:
            key = UserKey(account_id, user_id)
            name = signal.subject or signal.record.identity.name_in_arn
            return self.store.user(key) or (User(key, name) if name else None)
        # A rename has two names. The old one may be another user's now, so IAM is asked.
        known = None if signal.kind is SignalKind.USER_RENAMED else self._from_table(event, signal)
        if known:
            return known
        if signal.subject is None or signal.only_deletes_device_entity:
            return None
        if signal.kind in _KNOWN_USERS_ONLY and not signal.record.tags:
            return None
        found = self.iam_of(account_id).user(signal.record.new_user_name or signal.subject)
        if found is None:
            former = self._last_named(account_id, signal.subject)
            return former if former and self._may_be_former_owner(former, event, signal) else None
        key = UserKey(account_id, found.user_id)
        return self.store.user(key) or User(key, found.name)

    def _owner(self, account_id: str, signal: Signal) -> User | None:
        """Return whose device a call is about that names nobody; None: perhaps the caller's own.

        All users are searched only if the device is not the caller's, and was not tried before.
        """
        serial = signal.serial or ""
        tried = self.store.user_id_of_removed_device(account_id, serial)
        if tried:
            return self.store.user(UserKey(account_id, tried))
        acting = signal.record.identity.user_id
        caller = self.store.user(UserKey(account_id, acting)) if acting else None
        if caller and any(device.serial == serial for device in caller.devices):
            return caller
        for entry in self.store.inventory(account_id):
            if any(device.serial == serial for device in entry.devices):
                return self.store.user(entry.key)
        return None

    def _may_be_former_owner(self, former: User, event: Event, signal: Signal) -> bool:
        """Return whether a record about a name that IAM does not know is about its last owner.

        A removal from a user who is gone happened before that, or belongs to the off-boarding.
        """
        if former.gone_at is None:
            return True
        soon = event.at - former.gone_at <= self.policy.off_boarding_grace
        return signal.removes_device and soon

    def _from_table(self, event: Event, signal: Signal) -> User | None:
        """Return the subject from our table. A name is only a hint: it may pass to another user."""
        account_id = event.account_id
        user_id = self._of_fulfilment(event, signal)
        if signal.only_deletes_device_entity and not user_id:
            user_id = self.store.user_id_of_removed_device(account_id, signal.serial or "")
        if user_id or signal.only_deletes_device_entity:
            return self.store.user(UserKey(account_id, user_id)) if user_id else None
        if signal.subject is None:
            return None
        user = self._last_named(account_id, signal.subject)
        return user if user and _has_name(user, signal.subject) else None

    def _of_fulfilment(self, event: Event, signal: Signal) -> str | None:
        """Return the id of the user of whose fulfilment the signal may be a step, by its device.

        The user's name may belong to somebody else when the record arrives. And somebody else may
        have a device of that name since: another time than that of the fulfilment tells them apart.
        """
        by_role = is_fulfil_role_acting(signal, event.account_id, self.policy)
        if not (by_role and signal.kind is SignalKind.DEVICE_REMOVAL and signal.serial):
            return None
        return self.store.user_id_of_fulfilment(event.account_id, signal.serial, event.at)

    def _last_named(self, account_id: str, name: str) -> User | None:
        """Return the user last known under a name, who may be renamed or gone since."""
        user_id = self.store.user_id_named(account_id, name)
        return self.store.user(UserKey(account_id, user_id)) if user_id else None

    def _namesake(self, event: Event, signal: Signal) -> User | None:
        """Return the user known by the name of a user just created, and mark them gone if so.

        The name was free when the new user was created, so its last owner is gone or renamed. But
        records come in any order: this one may be late, and about an even earlier owner.
        """
        if signal.kind is not SignalKind.USER_CREATED or signal.subject is None:
            return None
        known = self._last_named(event.account_id, signal.subject)
        if known is None or known.key.user_id == signal.subject_id:
            return None
        if not _has_name(known, signal.subject):
            return known
        found = self.iam_of(event.account_id).user(signal.subject)
        if found and found.user_id == known.key.user_id:
            return known
        self._mark_gone(event, signal, known)
        return replace(known, gone_at=event.at)

    def _mark_gone(self, event: Event, signal: Signal, user: User) -> None:
        event_id, gone = f"{event.id}/predecessor", IamState(exists=False)
        request = self.store.request(user.request_id) if user.request_id else None
        situation = Situation(event_id, event.at, signal, user, self.policy, request, gone)
        decision = decisions.decide(situation, signal)
        with suppress(AlreadyDecidedError):
            # Without notifications. If root created the new user, that is alerted by itself.
            self.store.commit(replace(decision, intents=()), now=self.clock())


def _has_name(user: User, name: str | None) -> bool:
    """Return whether a user has that name now, as far as we know."""
    return user.gone_at is None and name is not None and user.name.casefold() == name.casefold()


def _names(signal: Signal, user: User) -> tuple[str, ...]:
    """Return the names that a user may have, the likeliest first."""
    record = signal.record
    current = record.new_user_name or signal.subject or record.identity.name_in_arn
    return (current, user.name) if current else (user.name,)
