"""Intents: the outgoing mails and alerts that a decision commits to the outbox."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.users.user import MailKind


class Severity(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """The alerts that a security team can receive, each with its usual severity and title."""

    usual: tuple[Severity, str]

    def __new__(cls, name: str, severity: Severity, title: str) -> Self:
        """Return the kind, which is its name."""
        kind = str.__new__(cls, name)
        kind._value_, kind.usual = name, (severity, title)
        return kind

    SIGN_IN_WITHOUT_MFA = "sign_in_without_mfa", Severity.MEDIUM, "Console sign-in without MFA"
    REMOVAL_DENIED = "removal_denied", Severity.MEDIUM, "Attempt to remove an MFA device was denied"
    REMOVAL_UNAPPROVED = "removal_unapproved", Severity.HIGH, "MFA device removed without approval"
    REMOVAL_BREAK_GLASS = (
        "removal_break_glass",
        Severity.HIGH,
        "MFA device removed by a break-glass role",
    )
    REQUEST_WAITING = "request_waiting", Severity.LOW, "A change request waits for a decision"
    REQUEST_EXPIRED = "request_expired", Severity.MEDIUM, "An approved request expired"
    REQUEST_FULFILLED = "request_fulfilled", Severity.LOW, "A change request was fulfilled"
    ENROLMENT_OVERDUE = (
        "enrolment_overdue",
        Severity.HIGH,
        "A user has no MFA device yet after a change request",
    )
    VIOLATION_WAITING = (
        "violation_waiting",
        Severity.MEDIUM,
        "A removal without approval waits to be acknowledged",
    )
    DEVICE_ADDED = "device_added", Severity.LOW, "MFA device added for a user by somebody else"
    PASSWORD_KEPT = (
        "password_kept",
        Severity.LOW,
        "Console password that need not be changed at first sign-in",
    )
    PASSWORD_SET = "password_set", Severity.LOW, "Console password set for a user by somebody else"
    PASSWORD_POLICY_CHANGED = (
        "password_policy_changed",
        Severity.MEDIUM,
        "The account's password policy changed",
    )
    QUARANTINED = "quarantined", Severity.MEDIUM, "A user without MFA was quarantined"
    QUARANTINE_FAILED = (
        "quarantine_failed",
        Severity.MEDIUM,
        "A user without MFA could not be quarantined",
    )
    EXEMPTION_CLAIMED = (
        "exemption_claimed",
        Severity.MEDIUM,
        "A tag claims an exemption from MFA, which tags cannot grant",
    )
    ADDRESS_LEADS_AWAY = (
        "address_leads_away",
        Severity.MEDIUM,
        "A tag names a mail address that is not allowed, so it is not used",
    )
    MAIL_UNDELIVERABLE = "mail_undeliverable", Severity.LOW, "A mail cannot be delivered"
    ROOT_ACTIVITY = "root_activity", Severity.HIGH, "Root user acted on an IAM user or the account"
    WATCHER_DISTURBED = "watcher_disturbed", Severity.HIGH, "The watcher was tampered with"
    EVENTS_LOST = "events_lost", Severity.HIGH, "Events about users did not reach the watcher"
    WATCH_SILENT = (
        "watch_silent",
        Severity.HIGH,
        "No events arrive, not even the watcher's own canary",
    )
    WATCH_BACK = "watch_back", Severity.LOW, "Events arrive again"


ACCOUNT = "Account"
"""The fact of an alert that shows its account."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert to the security team: a title in our words, and facts as the record has them."""

    kind: AlertKind
    severity: Severity
    title: str
    facts: tuple[tuple[str, str], ...]
    account_id: str
    """The account that the alert is about; empty if the record does not name it."""
    attempt_id: str | None = None
    """What it is sent once for, if that is not the event: the event id of an attempt that another
    event made known, or a user's day."""

    def once_per(self, event_id: str) -> str:
        """Return what the alert is sent at most once for: the attempt, or else the event."""
        return self.attempt_id or event_id

    def with_account_alias(self, alias: str | None) -> "Alert":
        """Return the alert with its account's alias beside the number."""
        if alias is None:
            return self
        facts = ((n, f"{alias} ({v})" if n == ACCOUNT else v) for n, v in self.facts)
        return replace(self, facts=tuple(facts))


@dataclass(frozen=True, slots=True)
class Intent:
    """One outgoing mail or alert. ``event_id`` is the CloudTrail event that caused it."""

    id: str
    event_id: str
    created_at: datetime
    act: Mail | Alert


def intent(event_id: str, at: datetime, act: Mail | Alert) -> Intent:
    """Return an intent, with an id that is the same however often the decision is made."""
    id_ = intent_id(act.kind, act.account_id, act.once_per(event_id))
    return Intent(id_, event_id, at, act)


def intent_id(kind: MailKind | AlertKind, account_id: str, once_per: str) -> str:
    """Return the id of the intent of a kind that is sent at most once for this in an account."""
    return f"{'alert' if isinstance(kind, AlertKind) else 'mail'}-{kind}-{account_id}-{once_per}"


def effect_of(act: Mail | Alert) -> str:
    """Return in short what a mail or an alert is, for the history."""
    return f"{'alert' if isinstance(act, Alert) else 'mail'}: {act.kind}"


class IntentStatus(StrEnum):
    """How far the delivery of an intent is."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"
