"""The outbox: intents that wait to be delivered."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.notifications.intents import Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.notifications.mails import MailAboutUser


@dataclass(frozen=True, slots=True)
class Claim:
    """An intent that is ours to deliver until the claim runs out. ``attempts`` counts this one."""

    intent: Intent
    attempts: int
    waits: int = 0
    """How many of the attempts only found that it was not the intent's turn."""

    lapses: int = 0
    """How many earlier attempts came to no end at all: the function died in them."""

    @property
    def tries(self) -> int:
        """Count the attempts that something went wrong with, and this one."""
        return self.attempts - self.waits


@dataclass(frozen=True, slots=True)
class SentIntent:
    """An intent, and to whom it went, if it did."""

    intent: Intent
    to: str | None = None
    unmarked: Claim | None = None
    """Its last attempt, if it was tried and has not ended: it may have gone out."""


class Outbox(Protocol):
    """The intents on their way out."""

    def claim(self, intent_id: str, *, now: datetime) -> Claim | None:
        """Take an intent for ourselves; None if it is done, or in somebody else's hands now."""
        ...

    def mark_sent(self, claim: Claim, *, receipt: str, to: str, now: datetime) -> None:
        """Record that it went out: to whom, under which message id.

        This and the other ends raise LostRaceError if the intent is not in these hands any more.
        """
        ...

    def mark_skipped(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Record that it is not wanted any more."""
        ...

    def mark_failed(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Give it up, but keep it with the reason."""
        ...

    def put_back(
        self, claim: Claim, *, reason: str, due_at: datetime, waited: bool = False
    ) -> None:
        """Leave it for later. ``waited``: it was not its turn, and that is no failed try."""
        ...

    def note_unreachable(self, mail: MailAboutUser, *, why: str, now: datetime) -> None:
        """Put a user on the list of those whom no address leads to, unless he is on it."""
        ...

    def reopen(self, intent_id: str, *, now: datetime) -> bool:
        """Make a failed intent due again, its attempts forgotten; False if it has not failed."""
        ...

    def due(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of mails whose time has come and which nobody holds."""
        ...

    def due_alerts(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of such alerts."""
        ...

    def look_up(self, intent_id: str) -> SentIntent | None:
        """Give an intent, whatever has become of it."""
        ...

    def record_outcome(self, intent_id: str, outcome: MailOutcome, *, at: datetime) -> bool:
        """Note how a sent mail ended; False if as much or more is known."""
        ...
