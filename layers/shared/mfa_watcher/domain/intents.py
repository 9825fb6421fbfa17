"""Intents: the outgoing acts that a decision commits to the outbox."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.users import Cause, MailKind, UserKey


class Severity(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """The alerts a security team can get."""

    SIGN_IN_WITHOUT_MFA = "sign_in_without_mfa"
    REMOVAL_DENIED = "removal_denied"
    REMOVAL_UNAPPROVED = "removal_unapproved"
    REMOVAL_BREAK_GLASS = "removal_break_glass"
    PASSWORD_KEPT = "password_kept"  # noqa: S105 - an alert's name, no password
    PASSWORD_POLICY_CHANGED = "password_policy_changed"  # noqa: S105 - an alert's name
    ROOT_ACTIVITY = "root_activity"
    WATCHER_DISTURBED = "watcher_disturbed"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one user. The address is looked up when it is sent, not when it is decided.

    ``actor`` and the texts after it are as the record has them: hostile until escaped.
    """

    kind: MailKind
    user: UserKey
    user_name: str
    at: datetime
    finding_id: str | None = None
    request_id: str | None = None
    cause: Cause | None = None
    serial: str | None = None
    actor: str | None = None
    own_doing: bool = False
    source_ip: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert to the security team: a title of our own words, and facts as the record has them."""

    kind: AlertKind
    severity: Severity
    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """One outgoing act. ``event_id`` is the CloudTrail event it goes back to."""

    id: str
    event_id: str
    created_at: datetime
    act: Mail | Alert


class IntentStatus(StrEnum):
    """Where an intent is on its way out."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"
