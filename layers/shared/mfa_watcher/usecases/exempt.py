"""Granting and taking back exemptions, which only the security team may do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.exemptions import grant, revoke
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users import Exemption, User, UserKey
from mfa_watcher.ports import IamReader, Store


class NoSuchUserError(Exception):
    """There is no IAM user of that name."""


@dataclass(frozen=True, slots=True)
class Exemptions:
    """The exemptions of one account. ``granted_by`` is the caller's ARN, as STS tells it.

    Who may do this is decided by IAM: it takes write access to the table.
    """

    account_id: str
    granted_by: str
    store: Store
    iam: IamReader
    policy: Policy
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def all(self) -> Iterator[User]:
        """Give the users who have one."""
        return self.store.exempted()

    def grant(self, name: str, *, reason: str, until: datetime) -> User:
        """Exempt a user. Raises NoSuchUserError, ExemptionError, LostRaceError, IamReadError."""
        now = self.clock()
        exemption = Exemption(reason, self.granted_by, now, until)
        user = self._user(name)
        decision = grant(user, exemption, self.policy, event_id=self.new_id())
        self.store.commit(decision, now=now)
        return decision.user or user

    def revoke(self, name: str) -> User:
        """Take an exemption back. Raises NoSuchUserError, ExemptionError, LostRaceError."""
        now = self.clock()
        user = self._user(name)
        decision = revoke(user, self.granted_by, now, event_id=self.new_id())
        self.store.commit(decision, now=now)
        return decision.user or user

    def _user(self, name: str) -> User:
        found = self.iam.user(name)
        if found is None:
            raise NoSuchUserError(f"there is no IAM user {name!r} in account {self.account_id}")
        key = UserKey(self.account_id, found.user_id)
        return self.store.user(key) or User(key, found.name)
