"""From a user who is due to a committed decision: the clock's part of the watch."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.notifications.mails import UnreachableUser, UnreachableUsersMail
from mfa_watcher.domain.policy import Policy, Quarantine
from mfa_watcher.domain.users.escalation import decide_user_due
from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.domain.users.user_state import MFA_STATUS_FACTS, Decision, Fact, Situation
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.iam import IamOf
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.read_user import read_user


class ReminderResult(StrEnum):
    """What became of a user who was due."""

    DECIDED = "decided"
    NOT_DUE = "not_due"
    LOST_RACE = "lost_race"


@dataclass(frozen=True, slots=True)
class RemindedUser:
    """What became of one user, and what was done."""

    key: UserKey
    result: ReminderResult
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemindUsers:
    """Looks at users who are due. Safe to run twice, late, and at the same time.

    Each look is committed under the version of the user's record that it was decided from, so of
    two runs that meet at a user one changes nothing.
    """

    account_id: str
    store: Store
    iam_of: IamOf
    policy: Policy
    clock: Callable[[], datetime]
    quarantines_members: bool = False
    """Whether member accounts have the role that shuts users in: elsewhere nobody is."""

    def is_open(self) -> bool:
        """Tell whether reminders may go out now."""
        return self.policy.mail_hours.include(self.clock())

    def due(self) -> Iterator[UserKey]:
        """Give the users who are due now."""
        return self.store.due_users(now=self.clock())

    def remind(self, key: UserKey) -> RemindedUser:
        """Look at one user. Raises IamReadError if IAM does not answer: he stays due."""
        user, now = self.store.user(key), self.clock()
        if user is None or user.due_at is None or user.due_at > now:
            return RemindedUser(key, ReminderResult.NOT_DUE)
        facts = MFA_STATUS_FACTS | {Fact.IDENTITY}
        iam_state = read_user(self.iam_of(key.account_id), key, (user.name,), facts)
        request = self.store.request(user.request_id) if user.request_id else None
        event_id = f"due-{key.user_id}-{user.version}"
        situation = Situation(event_id, now, None, user, self._policy(key), request, iam_state)
        decision = decide_user_due(situation)
        try:
            self.store.commit(decision, now=now)
        except (LostRaceError, AlreadyDecidedError):
            return RemindedUser(key, ReminderResult.LOST_RACE)
        return RemindedUser(key, ReminderResult.DECIDED, decision.effects)

    def _policy(self, key: UserKey) -> Policy:
        if key.account_id == self.account_id or self.quarantines_members:
            return self.policy
        return replace(self.policy, quarantine=Quarantine.OFF)

    def report_unreachable(self) -> int:
        """Tell security of all users whom no address leads to; gives their number.

        An account's users are told of in one mail.
        """
        now, notification = self.clock(), 0
        accounts: defaultdict[str, list[tuple[UserKey, UnreachableUser]]] = defaultdict(list)
        for key, user in self.store.unreachable(now=now):
            accounts[key.account_id].append((key, user))
        for account_id, found in accounts.items():
            keys, users = zip(*found, strict=True)
            decision = _report(account_id, now, keys, users)
            try:
                self.store.commit(decision, now=now)
            except (LostRaceError, AlreadyDecidedError):
                continue
            notification += len(found)
        return notification


def _report(
    account_id: str, now: datetime, keys: tuple[UserKey, ...], users: tuple[UnreachableUser, ...]
) -> Decision:
    # One list never has the same first user twice: he is noted as reported with it.
    event_id = f"unreachable-{keys[0].user_id}"
    mail = UnreachableUsersMail(account_id=account_id, at=now, users=users)
    what = f"{len(users)} users out of reach reported to security"
    history = HistoryEntry(About.ACCOUNT, account_id, now, event_id, what)
    return Decision(event_id, (history,), (intent(event_id, now, mail),), reported=keys)
