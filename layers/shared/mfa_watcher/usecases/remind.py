"""Users who are due: reminders, exemptions that end, quarantine."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain.decision import UnreachableUsersDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.notifications.mails import UnreachableUser, UnreachableUsersMail
from mfa_watcher.domain.policy import Policy, Quarantine
from mfa_watcher.domain.users.escalation import decide_user_due
from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.domain.users.user_state import ALL_FACTS, Situation
from mfa_watcher.usecases.due import DueResult, Evaluated, EvaluateDue
from mfa_watcher.usecases.read_user import read_user


@dataclass(frozen=True, slots=True)
class RemindUsers(EvaluateDue):
    """Evaluates users who are due."""

    account_id: str
    quarantines_members: bool = False
    """Whether member accounts have the role that quarantines. Without it, their users are not."""

    def is_mailing_time(self) -> bool:
        """Return whether reminders may be sent now."""
        return self.policy.mail_hours.include(self.clock())

    def due(self) -> Iterator[UserKey]:
        """Return the users who are due now."""
        return self.store.due_users(now=self.clock())

    def remind(self, key: UserKey) -> Evaluated:
        """Evaluate one user. Raises IamReadError, after which the user stays due."""
        user, now = self.store.user(key), self.clock()
        if user is None or user.due_at is None or user.due_at > now:
            return Evaluated(DueResult.NOT_DUE)
        iam_state = read_user(self.iam_of(key.account_id), key, (user.name,), ALL_FACTS)
        request = self.store.request(user.request_id) if user.request_id else None
        event_id = f"due-{key.user_id}-{user.version}"
        situation = Situation(event_id, now, None, user, self._policy(key), request, iam_state)
        return self._commit(decide_user_due(situation), now)

    def _policy(self, key: UserKey) -> Policy:
        if key.account_id == self.account_id or self.quarantines_members:
            return self.policy
        return replace(self.policy, quarantine=Quarantine.OFF)

    def report_unreachable(self) -> int:
        """Report the users without a usable address to security; return how many were reported.

        Security receives one mail with a list of users for each account.
        """
        now, reported = self.clock(), 0
        accounts: defaultdict[str, list[tuple[UserKey, UnreachableUser]]] = defaultdict(list)
        for key, user in self.store.unreachable(now=now):
            accounts[key.account_id].append((key, user))
        for account_id, found in accounts.items():
            keys, users = zip(*found, strict=True)
            committed = self._commit(_report(account_id, now, keys, users), now)
            reported += len(found) if committed.result is DueResult.DECIDED else 0
        return reported


def _report(
    account_id: str, now: datetime, keys: tuple[UserKey, ...], users: tuple[UnreachableUser, ...]
) -> UnreachableUsersDecision:
    # A user is first in a list only once: the same transaction marks them as reported.
    event_id = f"unreachable-{keys[0].user_id}"
    mail = UnreachableUsersMail(account_id=account_id, at=now, users=users)
    what = f"{len(users)} users without an address reported to security"
    history = HistoryEntry(About.ACCOUNT, account_id, now, event_id, what)
    return UnreachableUsersDecision(
        event_id, (history,), (intent(event_id, now, mail),), users=keys
    )
