"""The state that decisions read and commit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.health.heartbeats import Heartbeat, HeartbeatSource
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.notifications.mails import UnreachableUser
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.user import User, UserKey
from mfa_watcher.domain.users.user_state import Decision


@dataclass(frozen=True, slots=True)
class RequestSearch:
    """Which change requests are wanted. Nothing given: all."""

    states: tuple[RequestState, ...] = ()
    subject: UserKey | None = None
    subject_name: str | None = None
    """The subject's name when the request was opened, whatever its case. With ``subject``, too:
    those of either."""
    opened_from: datetime | None = None
    opened_before: datetime | None = None
    limit: int = 25
    after: str | None = None
    """Where the page before ended."""


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Some of the requests searched for, the newest first."""

    requests: tuple[ChangeRequest, ...]
    after: str | None = None
    """Where the page ends, if there are more."""


class Store(Protocol):
    """The state that decisions read and commit."""

    def user(self, key: UserKey) -> User | None:
        """Give the user's record."""
        ...

    def user_id_named(self, account_id: str, name: str) -> str | None:
        """Give the id of the user last known under a name, whatever its case."""
        ...

    def user_id_of_removed_device(self, account_id: str, serial: str) -> str | None:
        """Give the id of the user from whom a device was lately removed, or tried to be."""
        ...

    def request(self, request_id: str) -> ChangeRequest | None:
        """Give a change request."""
        ...

    def requests(self, search: RequestSearch) -> RequestPage:
        """Give a page of the change requests that are searched for, the newest first."""
        ...

    def request_history(self, request_id: str) -> list[HistoryEntry]:
        """Give all that is recorded of a change request, the oldest first."""
        ...

    def due_users(self, *, now: datetime) -> Iterator[UserKey]:
        """Give the users whom the schedule is to look at, page by page."""
        ...

    def due_requests(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of the requests that the schedule is to look at, page by page."""
        ...

    def unreachable(self, *, now: datetime) -> list[tuple[UserKey, UnreachableUser]]:
        """Give users out of reach whom security has not been told of, as many as fit one mail."""
        ...

    def due_quarantines(self, *, now: datetime) -> Iterator[UserKey]:
        """Give the users who are to be shut in or let out, as their records say."""
        ...

    def quarantine_done(self, key: UserKey, *, decided_at: datetime) -> None:
        """Take a user off that list, unless there was a decision after the given moment."""
        ...

    def inventory(self, account_id: str) -> Iterator[InventoryEntry]:
        """Give all users of an account who are not gone. It may be a moment behind."""
        ...

    def note(self, users: Sequence[User]) -> tuple[User, ...]:
        """Write records of users nobody knew; gives those who are known after all, left as found.

        For users about whom nothing is decided: no history, no intents.
        """
        ...

    def last_sweep(self, account_id: str) -> SweepResult | None:
        """Give what is kept of an account's last sweep."""
        ...

    def beat(self, source: HeartbeatSource, at: datetime) -> None:
        """Note when an event happened that came by a path, unless a later one is noted."""
        ...

    def expect(self, source: HeartbeatSource, now: datetime) -> None:
        """Note since when events are expected by a path, unless that is noted."""
        ...

    def heartbeats(self) -> Iterator[Heartbeat]:
        """Give all heartbeats, of whatever was ever seen or expected."""
        ...

    def exempted(self) -> Iterator[User]:
        """Give all users with an exemption. Reads the whole table: for a person, not a function."""
        ...

    def commit(self, decision: Decision, *, now: datetime) -> None:
        """Write a decision in one transaction: all of it or nothing.

        Raises AlreadyDecidedError if its event was committed before, LostRaceError if the user or
        the request changed since it was read.
        """
        ...
