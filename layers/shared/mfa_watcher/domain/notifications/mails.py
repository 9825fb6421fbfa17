"""The mails: one type for each kind, with what that kind says and nothing else.

A mail's address is looked up when it is sent, not when it is decided. ``actor``, ``serial``,
``source_ip``, ``reason`` and all names are as records and people wrote them: hostile until
escaped.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.user import Cause, MailKind, UserKey


class Ending(StrEnum):
    """How a request ended without the change it asked for."""

    UNANSWERED = "unanswered"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    """Its window ended after the fulfilment was started, so some of it may be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseMail:
    """What every mail has."""

    kind: MailKind
    account_id: str
    at: datetime
    """When what the mail is about happened."""

    @property
    def reference(self) -> str | None:
        """Return the id by which reader and security team refer to what the mail is about."""
        return None

    def once_per(self, event_id: str) -> str:
        """Return what the mail is sent at most once for; the event, unless a kind says more."""
        return event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMail(BaseMail):
    """What every mail about one user has."""

    user: UserKey
    user_name: str
    request_id: str | None = None
    """The change request that the mail is about, or that is open beside it."""

    @property
    def reference(self) -> str | None:
        """Return the change request."""
        return self.request_id


# About a finding -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingMail(UserMail):
    """What every mail about a finding has."""

    finding_id: str

    @property
    def reference(self) -> str | None:
        """Return the open change request, or else the finding."""
        return self.request_id or self.finding_id

    def once_per(self, _event_id: str) -> str:
        """Return the finding."""
        return self.finding_id


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideMail(FindingMail):
    """How to add a device: after a sign-in without MFA, or after the last device was removed."""

    kind: Literal[MailKind.GUIDE, MailKind.DEVICE_LOST]
    cause: Cause
    actor: str | None = None
    """The ARN of the identity that caused it; None: unknown, or nobody."""
    done_by_user: bool
    source_ip: str | None = None
    serial: str | None = None
    """The removed device."""
    next_at: datetime | None = None
    """When the first reminder is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomeMail(FindingMail):
    """How a new console user signs in and adds a device."""

    kind: Literal[MailKind.WELCOME] = MailKind.WELCOME
    next_at: datetime | None = None
    """When the first reminder is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMail(FindingMail):
    """What the mails of the escalation schedule have."""

    cause: Cause
    opened_at: datetime
    step: int
    """The step of the schedule; of a reminder: which one it is, from 1 on."""
    next_at: datetime | None = None
    """When the next step is due."""

    def once_per(self, _event_id: str) -> str:
        """Return the finding, with the step."""
        return _with_step(self.step, self.finding_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderMail(StepMail):
    """A reminder, or the final warning."""

    kind: Literal[MailKind.REMINDER, MailKind.FINAL_WARNING]
    escalation_step: int
    """The step of the escalation schedule that was taken when the mail was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedMail(FindingMail):
    """The user may do nothing but add a device."""

    kind: Literal[MailKind.QUARANTINED] = MailKind.QUARANTINED
    opened_at: datetime
    escalation_step: int
    """The step of the escalation schedule that was taken when the mail was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledMail(FindingMail):
    """A thank-you for a new device."""

    kind: Literal[MailKind.ENROLLED] = MailKind.ENROLLED
    serial: str
    """The new device."""
    devices: tuple[str, ...]
    """Serial numbers of all devices that the user has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSetMail(UserMail):
    """Somebody else set a password or added a device for the user."""

    kind: Literal[MailKind.CREDENTIAL_SET] = MailKind.CREDENTIAL_SET
    actor: str | None = None
    source_ip: str | None = None
    serial: str | None = None
    """The device; None: it was a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondDeviceMail(FindingMail):
    """The suggestion of a second device."""

    kind: Literal[MailKind.SECOND_DEVICE] = MailKind.SECOND_DEVICE
    devices: tuple[str, ...]
    """Serial numbers of the devices that the user has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityCaseMail(StepMail):
    """To security: the reminders and the final warning have changed nothing."""

    kind: Literal[MailKind.SECURITY_CASE] = MailKind.SECURITY_CASE


# About a change request ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMail(UserMail):
    """What every mail about a change request has."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalDeniedMail(RequestMail):
    """Somebody tried to remove a device, and was denied."""

    kind: Literal[MailKind.REMOVAL_DENIED] = MailKind.REMOVAL_DENIED
    actor: str | None = None
    done_by_user: bool
    source_ip: str | None = None
    serial: str | None = None
    """The device, if the record names it."""
    devices: tuple[str, ...]
    """Serial numbers of the devices that the user has."""
    step: int
    """How many mails of the same request said so before."""
    next_at: datetime | None = None
    """When the request is cancelled for lack of details; None: it does not wait for any."""

    def once_per(self, _event_id: str) -> str:
        """Return the request, with the number of such mails before."""
        return _with_step(self.step, self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesMail(RequestMail):
    """What mails have that say which devices go, and which stay."""

    wanted: DeviceKind | None = None
    """The kind of the new device; None: none, or not said."""
    devices: tuple[str, ...]
    """Serial numbers of the devices that the user has, or keeps after a decision."""
    removed: tuple[str, ...]
    """Serial numbers of the devices to be removed, as far as is known, or that were removed."""
    next_at: datetime | None = None
    """When the request is cancelled for lack of details, the approval ends, or the new device is
    no longer awaited; None: it waits for none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOpenedMail(DevicesMail):
    """Somebody filed a request at the change desk: the user, or another person for them."""

    kind: Literal[MailKind.REQUEST_OPENED] = MailKind.REQUEST_OPENED
    actor: str
    done_by_user: bool
    source_ip: str | None = None
    reason: str | None = None

    def once_per(self, _event_id: str) -> str:
        """Return the request."""
        return self.request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestNeedsDetailsMail(RequestMail):
    """A reminder that a request lacks details."""

    kind: Literal[MailKind.REQUEST_NEEDS_DETAILS] = MailKind.REQUEST_NEEDS_DETAILS
    actor: str | None = None
    """Who filed the request or made the attempt that opened it."""
    step: int
    """Which reminder it is, from 1 on."""
    opened_at: datetime
    devices: tuple[str, ...]
    """Serial numbers of the devices that the user has."""
    removed: tuple[str, ...]
    """Serial numbers of the devices to be removed, as far as is known."""
    next_at: datetime
    """When the request is cancelled for lack of details."""

    def once_per(self, _event_id: str) -> str:
        """Return the request, with the number of the reminder."""
        return _with_step(self.step, self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDecidedMail(DevicesMail):
    """A request was approved, approved once more, or rejected."""

    kind: Literal[MailKind.REQUEST_DECIDED] = MailKind.REQUEST_DECIDED
    approved: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFulfilledMail(DevicesMail):
    """The devices were removed, and there is a new password."""

    kind: Literal[MailKind.REQUEST_FULFILLED] = MailKind.REQUEST_FULFILLED


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEndedMail(RequestMail):
    """A request ended without the change it asked for."""

    kind: Literal[MailKind.REQUEST_ENDED] = MailKind.REQUEST_ENDED
    ending: Ending
    actor: str | None = None
    """Who withdrew it."""
    done_by_user: bool
    reason: str | None = None
    """Why it was withdrawn."""
    opened_at: datetime
    removed: tuple[str, ...]
    """Serial numbers of the devices that were to be removed, as far as is known."""


# To security, about neither ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemptionEndingMail(UserMail):
    """To security: a user's exemption ends soon."""

    kind: Literal[MailKind.EXEMPTION_ENDING] = MailKind.EXEMPTION_ENDING
    actor: str
    """Who granted it."""
    reason: str
    opened_at: datetime
    """When it was granted."""
    next_at: datetime
    """When it ends."""


@dataclass(frozen=True, slots=True)
class UnreachableUser:
    """A user to whom no mail can be sent, and a note of the reason."""

    user_name: str
    since: datetime
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableUsersMail(BaseMail):
    """To security: users to whom no mail can be sent."""

    kind: Literal[MailKind.UNREACHABLE] = MailKind.UNREACHABLE
    users: tuple[UnreachableUser, ...]


MailAboutUser = (
    GuideMail
    | WelcomeMail
    | ReminderMail
    | QuarantinedMail
    | EnrolledMail
    | CredentialSetMail
    | SecondDeviceMail
    | SecurityCaseMail
    | RemovalDeniedMail
    | RequestOpenedMail
    | RequestNeedsDetailsMail
    | RequestDecidedMail
    | RequestFulfilledMail
    | RequestEndedMail
    | ExemptionEndingMail
)
Mail = MailAboutUser | UnreachableUsersMail
"""Any mail. ``kind`` says which, also in the table."""


def _with_step(step: int, subject: str) -> str:
    return f"{step}-{subject}" if step else subject
