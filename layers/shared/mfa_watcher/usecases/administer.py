"""What the security team does by command: exempt users, set their addresses, list them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
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
    """Administers one account's users. ``caller`` is the ARN that STS returns for the person.

    IAM decides who may do this: it needs write access to the table. ``iam`` is None for a member
    account, which people cannot read from here; its users are those in the table.
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
        """Return the users who are exempt."""
        return self.store.exempted()

    def inventory(self) -> tuple[list[InventoryEntry], SweepResult | None]:
        """Return the account's users as the table has them, and the last sweep."""
        return list(self.store.inventory(self.account_id)), self.store.last_sweep(self.account_id)

    def grant(self, name: str, *, reason: str, until: datetime) -> User:
        """Exempt a user. Raises NoSuchUserError, ExemptionError, LostRaceError, IamReadError."""
        user, exemption = self._user(name), Exemption(reason, self.caller, self.clock(), until)
        return self._commit(grant(user, exemption, self.policy, event_id=self.new_id()))

    def revoke(self, name: str) -> User:
        """End an exemption now. Raises NoSuchUserError, ExemptionError, LostRaceError."""
        user, now = self._user(name), self.clock()
        return self._commit(revoke(user, self.caller, now, event_id=self.new_id()))

    def set_address(self, name: str, address: str | None) -> User:
        """Set the address that comes before any tag; None: the tags count again.

        Raises NoSuchUserError, AddressError, LostRaceError, IamReadError.
        """
        user, now, event_id = self._user(name), self.clock(), self.new_id()
        return self._commit(
            set_address(user, address, self.addresses, self.caller, now, event_id=event_id)
        )

    def _commit(self, decision: UserDecision) -> User:
        self.store.commit(decision, now=self.clock())
        return decision.user

    def _user(self, name: str) -> User:
        if self.iam is None:
            return self._known_user(name)
        found = self.iam.user(name)
        if found is None:
            raise NoSuchUserError(f"there is no IAM user {name!r} in account {self.account_id}")
        key = UserKey(self.account_id, found.user_id)
        return self.store.user(key) or User(key, found.name)

    def _known_user(self, name: str) -> User:
        user_id = self.store.user_id_named(self.account_id, name)
        user = self.store.user(UserKey(self.account_id, user_id)) if user_id else None
        if user is None or user.gone_at or user.name.casefold() != name.casefold():
            raise NoSuchUserError(
                f"the watcher knows no IAM user {name!r} in account {self.account_id}; a sweep"
                " makes all of them known"
            )
        return user
