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

    @property
    def source(self) -> str:
        """Return who tried, as alerts count them: all sessions of a role are one source."""
        return source_of(self.actor)

    def repeats(self, earlier: "Attempt", policy: Policy) -> bool:
        """Return whether both count as one attempt: by the same source, within a short time.

        Removals of two devices are two, however soon one follows the other.
        """
        return (
            earlier.source == self.source
            and earlier.outcome is self.outcome
            and abs(earlier.at - self.at) <= policy.same_attempt
            and (
                self.outcome is not Outcome.SUCCEEDED
                or None in {earlier.serial, self.serial}
                or earlier.serial == self.serial
            )
        )


def source_of(actor: str) -> str:
    """Return an actor's ARN without a session's name, which whoever assumes a role chooses."""
    before, is_session, role = actor.partition(":assumed-role/")
    return f"{before}{is_session}{role.split('/', 1)[0]}"
