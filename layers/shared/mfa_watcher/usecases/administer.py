"""What only the security team may do: exempt a user, or say where he is reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.address_overrides import set_address
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.exemptions import grant, revoke
from mfa_watcher.domain.users.user import Exemption, User, UserKey
from mfa_watcher.ports.iam import IamReader
from mfa_watcher.ports.store import Store


class NoSuchUserError(Exception):
    """There is no IAM user of that name."""


@dataclass(frozen=True, slots=True)
class AdministerUsers:
    """The desk of one account. ``caller`` is the ARN of whoever sits there, as STS tells it.

    Who may do this is decided by IAM: it takes write access to the table. ``iam`` is None for a
    member account, where a person has no reader: its users are those whom the watcher knows.
    """

    account_id: str
    caller: str
    store: Store
    iam: IamReader | None
    policy: Policy
    addresses: AddressBook
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def exempted(self) -> Iterator[User]:
        """Give the users who are exempt."""
        return self.store.exempted()

    def inventory(self) -> tuple[list[InventoryEntry], SweepResult | None]:
        """Give the account's users as they are known, and its last sweep."""
        return list(self.store.inventory(self.account_id)), self.store.last_sweep(self.account_id)

    def grant(self, name: str, *, reason: str, until: datetime) -> User:
        """Exempt a user. Raises NoSuchUserError, ExemptionError, LostRaceError, IamReadError."""
        now = self.clock()
        exemption = Exemption(reason, self.caller, now, until)
        user = self._user(name)
        decision = grant(user, exemption, self.policy, event_id=self.new_id())
        self.store.commit(decision, now=now)
        return decision.user

    def revoke(self, name: str) -> User:
        """Take an exemption back. Raises NoSuchUserError, ExemptionError, LostRaceError."""
        now = self.clock()
        user = self._user(name)
        decision = revoke(user, self.caller, now, event_id=self.new_id())
        self.store.commit(decision, now=now)
        return decision.user

    def set_address(self, name: str, address: str | None) -> User:
        """Say where a user is reached, before any tag; None leaves it to the tags again.

        Raises NoSuchUserError, AddressError, LostRaceError, IamReadError.
        """
        now = self.clock()
        user = self._user(name)
        decision = set_address(
            user, address, self.addresses, self.caller, now, event_id=self.new_id()
        )
        self.store.commit(decision, now=now)
        return decision.user

    def _user(self, name: str) -> User:
        if self.iam is None:
            return self._known(name)
        found = self.iam.user(name)
        if found is None:
            raise NoSuchUserError(f"there is no IAM user {name!r} in account {self.account_id}")
        key = UserKey(self.account_id, found.user_id)
        return self.store.user(key) or User(key, found.name)

    def _known(self, name: str) -> User:
        user_id = self.store.user_id_named(self.account_id, name)
        user = self.store.user(UserKey(self.account_id, user_id)) if user_id else None
        if user is None or user.gone_at or user.name.casefold() != name.casefold():
            raise NoSuchUserError(
                f"the watcher knows no IAM user {name!r} in account {self.account_id}; a sweep"
                " makes all of them known"
            )
        return user
