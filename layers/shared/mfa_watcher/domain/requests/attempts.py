"""Attempts at removing a device: what a change request, or a user's record, keeps of them."""

from dataclasses import dataclass
from datetime import datetime

from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to remove a device. All texts are those of the record: hostile until escaped."""

    event_id: str
    at: datetime
    call: str
    outcome: Outcome
    actor: str
    serial: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    notified: bool = True
    """False: its user seemed gone. Security is alerted if the user still exists."""

    def repeats(self, earlier: "Attempt", policy: Policy) -> bool:
        """Return whether both count as one attempt: by the same person, within a short time."""
        return (
            earlier.actor == self.actor
            and earlier.outcome is self.outcome
            and abs(earlier.at - self.at) <= policy.same_attempt
        )
