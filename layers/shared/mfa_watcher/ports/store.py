"""The state that decisions read and commit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.health.heartbeats import Heartbeat, HeartbeatSource
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.notifications.mails import UnreachableUser
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.user import User, UserKey


@dataclass(frozen=True, slots=True)
class RequestSearch:
    """Which change requests to search for; all if no field is set."""

    states: tuple[RequestState, ...] = ()
    subject: UserKey | None = None
    subject_name: str | None = None
    """The subject's name when the request was opened, in any case. Together with ``subject``, a
    request matches if either does."""
    opened_from: datetime | None = None
    opened_before: datetime | None = None
    limit: int = 25
    after: str | None = None
    """Where the previous page ended."""


@dataclass(frozen=True, slots=True)
class RequestPage:
    """A page of the requests that match a search, the newest first."""

    requests: tuple[ChangeRequest, ...]
    after: str | None = None
    """Where the page ends, if there are more requests."""


class Store(Protocol):
    """The state that decisions read and commit."""

    def commit(self, decision: Decision, *, now: datetime) -> None:
        """Write a decision in one transaction: all of it or nothing.

        Raises AlreadyDecidedError if its event was committed before, LostRaceError if the user or
        the request was changed since it was read.
        """

    # Users

    def user(self, key: UserKey) -> User | None:
        """Return a user's record."""

    def user_id_named(self, account_id: str, name: str) -> str | None:
        """Return the id of the user last known under a name, in any case."""

    def user_id_of_removed_device(self, account_id: str, serial: str) -> str | None:
        """Return the id of the user whose device was recently removed, or almost removed."""

    def user_id_of_fulfilment(self, account_id: str, serial: str, at: datetime) -> str | None:
        """Return the id of the user of the last fulfilment for a device, if it ran at a moment."""

    def due_users(self, *, now: datetime) -> Iterator[UserKey]:
        """Return the users who are due for a reminder, page by page."""

    def unreachable(self, *, now: datetime) -> list[tuple[UserKey, UnreachableUser]]:
        """Return the users without a working address who were not reported yet, for one mail."""

    def exempted(self) -> Iterator[User]:
        """Return all users with an exemption.

        Reads the whole table, so it is for a person's command, not for a function.
        """

    # Quarantine

    def due_quarantines(self, *, now: datetime) -> Iterator[UserKey]:
        """Return the users who must be quarantined or released, according to their records."""

    def quarantine_done(self, key: UserKey, *, decided_at: datetime) -> None:
        """Remove a user from that list, unless there was a decision after the given time."""

    # Change requests

    def request(self, request_id: str) -> ChangeRequest | None:
        """Return a change request."""

    def requests(self, search: RequestSearch) -> RequestPage:
        """Return a page of the change requests that match."""

    def request_history(self, request_id: str) -> list[HistoryEntry]:
        """Return the history of a change request, the oldest entry first."""

    def due_requests(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of the requests that may have expired, page by page."""

    # Sweep

    def inventory(self, account_id: str) -> Iterator[InventoryEntry]:
        """Return all users of an account who exist. The result may be slightly out of date."""

    def add_users(self, users: Sequence[User]) -> tuple[User, ...]:
        """Write the records of new users, without history or intents.

        Returns those who already have a record, which is left unchanged.
        """

    def last_sweep(self, account_id: str) -> SweepResult | None:
        """Return the result of an account's last sweep."""

    # Heartbeats

    def record_heartbeat(self, source: HeartbeatSource, at: datetime) -> None:
        """Record when an event from a source happened, unless a later one is recorded."""

    def expect_heartbeat(self, source: HeartbeatSource, now: datetime) -> None:
        """Record since when events are expected from a source, unless that is recorded."""

    def heartbeats(self) -> Iterator[Heartbeat]:
        """Return all heartbeats that were recorded or expected."""
