"""What the probe asks and does in an account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.health.probe import IntentRecord
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.users.user import User, UserKey
from mfa_watcher.ports.errors import ExternalServiceError


class DeskRefusedError(ExternalServiceError):
    """A desk refused the call. The text says why."""


@dataclass(frozen=True, slots=True)
class ProbeUser:
    """The user made for the probe, with an access key of their own."""

    name: str
    key: UserKey
    arn: str
    access_key_id: str
    secret: str = field(repr=False)


class ProbedAccount(Protocol):
    """An account with a deployed watcher. Nothing is changed but the probe's own user.

    All methods raise MissingPermissionError or InspectionError.
    """

    def matches(self, rule: str, event: Mapping[str, Any]) -> bool:
        """Return whether the pattern of a deployed rule matches an event."""
        ...

    def simulated(self, policy_arn: str, user_arn: str, actions: Sequence[str]) -> dict[str, str]:
        """Return the simulated decisions for a user with this policy and all permissions."""
        ...

    def may_update(self, table: str, *keys: str) -> bool:
        """Return whether the caller may update items, in a transaction if there are several.

        Nothing is updated, because no item has these partition keys.
        """
        ...

    def tag_queue(self, queue: str, region: str) -> bool:
        """Make the canary's call on a queue; False if there is no such queue."""
        ...

    def left_overs(self, tag: tuple[str, str]) -> list[str]:
        """Return the names of earlier probes' users."""
        ...

    def create_user(self, name: str, tags: Mapping[str, str], policy_arn: str) -> ProbeUser:
        """Create a user with a password, an access key and a policy."""
        ...

    def removal_is_denied(self, user: ProbeUser) -> bool | None:
        """Let the user try to remove a device that does not exist; return whether IAM denied it.

        None: IAM does not know the user's access key yet.
        """
        ...

    def delete_user(self, name: str) -> None:
        """Delete a user and all that was made with them; nothing happens if there is none."""
        ...


class ProbedTable(Protocol):
    """The watcher's own records. All methods raise the same errors as ProbedAccount."""

    def heartbeats(self) -> list[Heartbeat]:
        """Return all recorded heartbeats."""
        ...

    def user(self, key: UserKey) -> User | None:
        """Return a user."""
        ...

    def user_history(self, key: UserKey) -> list[HistoryEntry]:
        """Return the history of a user."""
        ...

    def intent(self, intent_id: str) -> IntentRecord | None:
        """Return how far an intent is."""
        ...


class ProbedDesks(Protocol):
    """The desks. Both methods return the request's state, and raise DeskRefusedError."""

    def give_details(self, user: ProbeUser, request_id: str) -> str | None:
        """Give details of the user's own request; None if IAM does not admit the user yet."""
        ...

    def reject(self, request_id: str) -> str:
        """Reject the request as the caller, who needs MFA and the approver policy."""
        ...
