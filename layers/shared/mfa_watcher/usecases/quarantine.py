"""Quarantine: making IAM agree with what users' records say."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.users.escalation import decide_quarantine_failed
from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.ports.errors import AlreadyDecidedError, PolicyQuotaError
from mfa_watcher.ports.iam import IamQuarantineFactory, IamReaderFactory
from mfa_watcher.ports.store import Store


@dataclass(frozen=True, slots=True)
class QuarantineUsers:
    """Quarantines and releases users, as their records say. Safe to repeat, in any order."""

    store: Store
    iam_of: IamReaderFactory
    quarantine_of: IamQuarantineFactory
    clock: Callable[[], datetime]

    def due(self) -> Iterator[UserKey]:
        """Return the users who are to be quarantined or released."""
        return self.store.due_quarantines(now=self.clock())

    def apply(self, key: UserKey) -> str:
        """Quarantine or release one user, and return what was done.

        Raises IamReadError, IamWriteError or LostRaceError; the user then stays due. A user who has
        enrolled a device meanwhile is not quarantined: the event of the enrolment is about to
        update the record. A user who has too many policies is reported once, and not tried again.
        """
        read_at, user = self.clock(), self.store.user(key)
        iam, quarantine = self.iam_of(key.account_id), self.quarantine_of(key.account_id)
        found = iam.user(user.name) if user else None
        if user is None or found is None or found.user_id != key.user_id:
            done = "user gone"
        elif user.quarantined_at is None:
            quarantine.release(user.name)
            done = "released"
        elif iam.devices(user.name):
            done = "has enrolled"
        else:
            try:
                quarantine.quarantine(user.name)
                done = "quarantined"
            except PolicyQuotaError:
                with suppress(AlreadyDecidedError):
                    self.store.commit(decide_quarantine_failed(user, read_at), now=read_at)
                done = "not possible: too many policies"
        self.store.quarantine_done(key, decided_at=read_at)
        return done
