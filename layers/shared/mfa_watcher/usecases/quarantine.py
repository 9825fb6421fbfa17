"""Shutting users in and letting them out, as their records say."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.users import UserKey
from mfa_watcher.ports import IamOf, Store, WardenOf


@dataclass(frozen=True, slots=True)
class Warden:
    """Makes IAM agree with a user's record. Level-triggered: safe to repeat, in any order."""

    store: Store
    iam_of: IamOf
    warden_of: WardenOf
    clock: Callable[[], datetime]

    def due(self) -> Iterator[UserKey]:
        """Give the users who are to be shut in or let out."""
        return self.store.due_quarantines(now=self.clock())

    def attend_to(self, key: UserKey) -> str:
        """Shut one user in, or let him out; gives what was done.

        Raises IamReadError or IamWriteError: he stays due. Who has enrolled since is not shut in:
        his record will say so in a moment.
        """
        seen_at, user = self.clock(), self.store.user(key)
        iam, warden = self.iam_of(key.account_id), self.warden_of(key.account_id)
        found = iam.user(user.name) if user else None
        if user is None or found is None or found.user_id != key.user_id:
            done = "user gone"
        elif user.quarantined_at is None:
            warden.let_out(user.name)
            done = "let out"
        elif iam.devices(user.name):
            done = "has enrolled"
        else:
            warden.shut_in(user.name)
            done = "shut in"
        self.store.quarantine_done(key, decided_at=seen_at)
        return done
