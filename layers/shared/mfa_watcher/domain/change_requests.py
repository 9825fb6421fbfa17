"""The Password Reset change request: what a removal attempt becomes."""

from base64 import b32encode
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from mfa_watcher.domain.signals import Outcome
from mfa_watcher.domain.users import UserKey

ATTEMPTS_KEPT = 20
"""How many attempts a request carries itself; its history carries all."""


class RequestState(StrEnum):
    """The states reachable so far; the change desk adds the way from open to closed."""

    OPEN = "open"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at removing a device. All texts are as the record has them: hostile until escaped."""

    event_id: str
    at: datetime
    call: str
    outcome: Outcome
    actor: str
    serial: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One request. ``violation``: a device is gone without approval, which only security closes."""

    id: str
    subject: UserKey
    subject_name: str
    opened_at: datetime
    attempts: tuple[Attempt, ...]
    attempt_count: int = 1
    state: RequestState = RequestState.OPEN
    violation: bool = False
    ended_because: str | None = None
    version: int = 0

    def joined_by(self, attempt: Attempt, *, violation: bool) -> "ChangeRequest":
        """Give the request with one more attempt; once a violation, always a violation."""
        return replace(
            self,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            attempt_count=self.attempt_count + 1,
            violation=self.violation or violation,
        )

    def cancelled(self, because: str) -> "ChangeRequest":
        """End the request without a decision."""
        return replace(self, state=RequestState.CANCELLED, ended_because=because)

    def reopened(self) -> "ChangeRequest":
        """Take a cancellation back, when the user who seemed gone turns out to be there."""
        return replace(self, state=RequestState.OPEN, ended_because=None)


def open_request(
    subject: UserKey, subject_name: str, attempt: Attempt, *, violation: bool
) -> ChangeRequest:
    """Open a request. Its id follows from the event, so deciding twice gives the same one."""
    digest = b32encode(sha256(f"{subject.account_id}/{attempt.event_id}".encode()).digest())
    return ChangeRequest(
        id=f"PR-{attempt.at:%Y%m%d}-{digest.decode()[:8]}",
        subject=subject,
        subject_name=subject_name,
        opened_at=attempt.at,
        attempts=(attempt,),
        violation=violation,
    )
