"""Shutting users in and letting them out, as their records say."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.ports.iam import IamQuarantineFactory, IamReaderFactory
from mfa_watcher.ports.store import Store


@dataclass(frozen=True, slots=True)
class QuarantineUsers:
    """Makes IAM agree with a user's record. Level-triggered: safe to repeat, in any order."""

    store: Store
    iam_of: IamReaderFactory
    quarantine_of: IamQuarantineFactory
    clock: Callable[[], datetime]

    def due(self) -> Iterator[UserKey]:
        """Give the users who are to be shut in or let out."""
        return self.store.due_quarantines(now=self.clock())

    def apply(self, key: UserKey) -> str:
        """Shut one user in, or let him out; gives what was done.

        Raises IamReadError or IamWriteError: he stays due. Who has enrolled since is not shut in:
        his record will say so in a moment.
        """
        seen_at, user = self.clock(), self.store.user(key)
        iam, quarantine_adapter = self.iam_of(key.account_id), self.quarantine_of(key.account_id)
        found = iam.user(user.name) if user else None
        if user is None or found is None or found.user_id != key.user_id:
            done = "user gone"
        elif user.quarantined_at is None:
            quarantine_adapter.release(user.name)
            done = "let out"
        elif iam.devices(user.name):
            done = "has enrolled"
        else:
            quarantine_adapter.quarantine(user.name)
            done = "shut in"
        self.store.quarantine_done(key, decided_at=seen_at)
        return done
