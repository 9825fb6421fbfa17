"""The outbox: the intents (mails and alerts) that wait to be delivered."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.notifications.intents import Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.notifications.mails import MailAboutUser


@dataclass(frozen=True, slots=True)
class Claim:
    """An intent that only we may deliver until the claim expires."""

    intent: Intent
    attempts: int
    """How many attempts were made, including this one."""
    waits: int = 0
    """How many of the attempts only found that the intent had to wait."""

    lapses: int = 0
    """How many earlier attempts never ended, because the function was stopped."""

    @property
    def tries(self) -> int:
        """Return how many attempts failed, plus this one."""
        return self.attempts - self.waits


@dataclass(frozen=True, slots=True)
class SentIntent:
    """An intent, and to whom it was sent."""

    intent: Intent
    to: str | None = None
    """None if the intent was not sent."""
    unmarked: Claim | None = None
    """The last attempt if it has not ended: the intent may have been sent."""


class Outbox(Protocol):
    """The intents that wait to be delivered."""

    # Which intents are due

    def due(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of mails that are due and that nobody has claimed."""

    def due_alerts(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of alerts that are due and that nobody has claimed."""

    # The delivery of one intent. The methods that end a claim raise LostRaceError if somebody else
    # has claimed the intent meanwhile.

    def claim(self, intent_id: str, *, now: datetime) -> Claim | None:
        """Claim an intent; None if it is done, or claimed by somebody else."""

    def mark_sent(self, claim: Claim, *, receipt: str, to: str, now: datetime) -> None:
        """Record to whom the intent was sent, and its message id."""

    def mark_skipped(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Record that the intent is no longer needed."""

    def mark_failed(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Return up the intent, but keep it with the reason."""

    def put_back(
        self, claim: Claim, *, reason: str, due_at: datetime, waited: bool = False
    ) -> None:
        """Postpone the intent.

        ``waited`` is whether it only had to wait, which does not count as a failed attempt.
        """

    def reopen(self, intent_id: str, *, now: datetime) -> bool:
        """Make a failed intent due again as if new; return False if it has not failed."""

    # After the delivery

    def look_up(self, intent_id: str) -> SentIntent | None:
        """Return an intent in whatever state; None if it does not exist."""

    def record_outcome(self, intent_id: str, outcome: MailOutcome, *, at: datetime) -> bool:
        """Record the outcome of a sent mail; return False if as much or more is known."""

    def record_unreachable(self, mail: MailAboutUser, *, why: str, now: datetime) -> None:
        """Add a user to the list of users without a working address, unless they are on it."""
