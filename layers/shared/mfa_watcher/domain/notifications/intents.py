"""Intents: the outgoing acts that a decision commits to the outbox."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.user import Cause, MailKind, UserKey


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
    REQUEST_WAITING = "request_waiting"
    REQUEST_EXPIRED = "request_expired"
    REQUEST_FULFILLED = "request_fulfilled"
    ENROLMENT_OVERDUE = "enrolment_overdue"
    VIOLATION_WAITING = "violation_waiting"
    DEVICE_ADDED = "device_added"
    PASSWORD_KEPT = "password_kept"  # noqa: S105 - an alert's name, no password
    PASSWORD_POLICY_CHANGED = "password_policy_changed"  # noqa: S105 - an alert's name
    QUARANTINED = "quarantined"
    EXEMPTION_CLAIMED = "exemption_claimed"
    ADDRESS_LEADS_AWAY = "address_leads_away"
    MAIL_UNDELIVERABLE = "mail_undeliverable"
    ROOT_ACTIVITY = "root_activity"
    WATCHER_DISTURBED = "watcher_disturbed"
    EVENTS_LOST = "events_lost"
    WATCH_SILENT = "watch_silent"
    WATCH_BACK = "watch_back"


class Ending(StrEnum):
    """How a request ended without the change it asked for."""

    UNANSWERED = "unanswered"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    BROKEN_OFF = "broken_off"
    """Its window ran out after the carrying out was begun, so some of it may be done."""


@dataclass(frozen=True, slots=True)
class Case:
    """One user in a mail to the security team. ``note`` says why he is in it."""

    user_name: str
    since: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one user, or about users to the security team.

    The address is looked up when it is sent, not when it is decided. ``user`` is None only for a
    mail to security about several users, who stand in ``cases``. ``actor``, ``serial``,
    ``source_ip``, ``reason`` and all names are as records and people wrote them: hostile until
    escaped.
    """

    kind: MailKind
    account_id: str
    at: datetime
    """When what the mail is about happened."""
    user: UserKey | None = None
    user_name: str = ""
    finding_id: str | None = None
    request_id: str | None = None
    cause: Cause | None = None
    serial: str | None = None
    devices: tuple[str, ...] = ()
    """Serial numbers of the devices that the user has, or keeps."""
    removed: tuple[str, ...] = ()
    """Serial numbers of the devices that a request is to take away, or took."""
    wanted: DeviceKind | None = None
    """Of a request: the kind of the new device; None: none, or not said."""
    actor: str | None = None
    done_by_user: bool = False
    source_ip: str | None = None
    step: int = 0
    """Of a reminder: which one it is, from 1 on; of a denied removal: how many mails of the request
    said so before."""
    escalation_step: int = 0
    """The step of the ladder that was taken last when the mail was decided."""
    opened_at: datetime | None = None
    """Since when the finding or request is open."""
    next_at: datetime | None = None
    """When the next thing happens, if nothing is done: see each mail's words."""
    approved: bool | None = None
    """Of a decided request."""
    ending: Ending | None = None
    """Of an ended request."""
    reason: str | None = None
    """Of a request, a decision or an exemption."""
    cases: tuple[Case, ...] = ()


ACCOUNT = "Account"
"""The fact of an alert that holds the account's number."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert to the security team: a title of our own words, and facts as the record has them."""

    kind: AlertKind
    severity: Severity
    title: str
    facts: tuple[tuple[str, str], ...]
    attempt_id: str | None = None
    """The event id of the attempt that it tells of, if another event made us tell of it."""

    @property
    def account_id(self) -> str | None:
        """Give the account that the alert is about, as its facts have it."""
        named = dict(self.facts).get(ACCOUNT, "")
        return named if named.isdigit() else None

    def with_account_alias(self, alias: str | None) -> "Alert":
        """Give the alert with what its account is called beside the number."""
        if alias is None:
            return self
        facts = ((n, f"{alias} ({v})" if n == ACCOUNT else v) for n, v in self.facts)
        return replace(self, facts=tuple(facts))


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
