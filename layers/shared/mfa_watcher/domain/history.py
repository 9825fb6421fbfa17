"""History: entries that are written once, next to their subject, and never changed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class About(StrEnum):
    """What a history entry belongs to."""

    USER = "user"
    REQUEST = "request"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of evidence: when it happened, who did what, and the CloudTrail event behind it.

    ``subject_id`` is ``account/user id``, a request's id, or an account's id.
    """

    about: About
    subject_id: str
    at: datetime
    event_id: str
    what: str
    actor: str | None = None
    effects: tuple[str, ...] = ()
    before: str | None = None
    """The MFA status of the user, or the state of the request, before this."""
    after: str | None = None
