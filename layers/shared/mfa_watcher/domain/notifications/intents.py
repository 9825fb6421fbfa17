"""Intents: the outgoing mails and alerts that a decision commits to the outbox."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.notifications.mails import Mail


class Severity(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """The alerts that a security team can receive."""

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
    """The event id of the attempt that it reports, if another event caused the report."""

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
    return Intent(f"{_channel(act)}-{act.kind}-{act.once_per(event_id)}", event_id, at, act)


def effect_of(act: Mail | Alert) -> str:
    """Return in short what a mail or an alert is, for the history."""
    return f"{_channel(act)}: {act.kind}"


def _channel(act: Mail | Alert) -> str:
    return "alert" if isinstance(act, Alert) else "mail"


class IntentStatus(StrEnum):
    """How far the delivery of an intent is."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"
