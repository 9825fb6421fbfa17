"""Decisions as data: each is committed in one transaction, whatever it is about."""

from dataclasses import dataclass

from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.notifications.intents import Intent
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.user import User, UserKey


@dataclass(frozen=True, slots=True)
class Decision:
    """Evidence and intents, under the id of the event that was decided about.

    By itself it changes no state, as for an event about an account. Each subtype adds the state
    that it changes.
    """

    event_id: str
    history: tuple[HistoryEntry, ...] = ()
    intents: tuple[Intent, ...] = ()

    @property
    def effects(self) -> tuple[str, ...]:
        """Return in short what is done, for logs and the timeline."""
        return tuple(effect for entry in self.history for effect in entry.effects)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDecision(Decision):
    """A decision that changes a user's record, and perhaps the user's change request."""

    user: User
    request: ChangeRequest | None = None
    """The user's change request, if it changes, too."""
    quarantine: bool = False
    """Whether the user is to be quarantined or released now, as their record says."""
    renamed: bool = False
    """Whether the user is known by another name than before, or for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDecision(Decision):
    """A decision that changes a change request alone."""

    request: ChangeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableUsersDecision(Decision):
    """A report to the security team of users without a usable address."""

    users: tuple[UserKey, ...]
