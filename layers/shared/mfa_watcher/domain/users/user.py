"""An IAM user's record: what the watcher knows about them, and the finding about them."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.requests.attempts import Attempt
from mfa_watcher.domain.users.devices import Device


@dataclass(frozen=True, slots=True)
class UserKey:
    """What identifies a user: names change and are case-insensitive, the unique id stays."""

    account_id: str
    user_id: str


class MfaStatus(StrEnum):
    """Whether a user is protected by MFA, or why they need not be."""

    PROTECTED = "protected"
    UNPROTECTED = "unprotected"
    NO_CONSOLE_ACCESS = "no_console_access"
    EXEMPT = "exempt"


class Cause(StrEnum):
    """What opened a finding."""

    SIGNED_IN_WITHOUT_MFA = "signed_in_without_mfa"
    CONSOLE_ACCESS_GRANTED = "console_access_granted"
    DEVICE_REMOVED = "device_removed"
    REQUEST_FULFILLED = "request_fulfilled"
    FOUND_UNPROTECTED = "found_unprotected"


class Closure(StrEnum):
    """What closed a finding."""

    ENROLLED = "enrolled"
    CONSOLE_ACCESS_REMOVED = "console_access_removed"
    USER_GONE = "user_gone"
    EXEMPTED = "exempted"


class MailKind(StrEnum):
    """The kinds of mail. The last three go to the security team, all others to the user."""

    GUIDE = "guide"
    WELCOME = "welcome"
    REMINDER = "reminder"
    FINAL_WARNING = "final_warning"
    QUARANTINED = "quarantined"
    ENROLLED = "enrolled"
    SECOND_DEVICE = "second_device"
    DEVICE_LOST = "device_lost"
    CREDENTIAL_SET = "credential_set"
    REMOVAL_DENIED = "removal_denied"
    REQUEST_OPENED = "request_opened"
    REQUEST_NEEDS_DETAILS = "request_needs_details"
    REQUEST_DECIDED = "request_decided"
    REQUEST_FULFILLED = "request_fulfilled"
    REQUEST_ENDED = "request_ended"
    EXEMPTION_ENDING = "exemption_ending"
    SECURITY_CASE = "security_case"
    UNREACHABLE = "unreachable"

    @property
    def to_security(self) -> bool:
        """Return whether the mail goes to the security team."""
        return self in {self.EXEMPTION_ENDING, self.SECURITY_CASE, self.UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Finding:
    """Open from the moment a user is unprotected until they are protected again, or gone.

    ``mailed`` and ``alerted_at`` are what this finding has caused already, so that a duplicate or a
    second sign-in does not cause it again. ``escalation_step`` is the last step that was taken,
    ``due_at`` is when the next one is due.
    """

    id: str
    cause: Cause
    opened_at: datetime
    mailed: frozenset[MailKind] = frozenset()
    alerted_at: datetime | None = None
    escalation_step: int = 0
    due_at: datetime | None = None
    closed_at: datetime | None = None
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """The security team's permission to go without MFA until a day, with the reason."""

    reason: str
    granted_by: str
    granted_at: datetime
    until: datetime
    warn_at: datetime | None = None
    """When security is to be notified that it ends; None once that is done."""

    @property
    def due_at(self) -> datetime:
        """Return when the exemption is due next."""
        return self.warn_at or self.until


@dataclass(frozen=True, slots=True)
class Hand:
    """Who set a password or added a device for a user in their place, and when.

    ``source`` is an ARN; all sessions of a role are one.
    """

    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class IamState:
    """What IAM says about a user just now. None: it was not asked."""

    exists: bool
    name: str | None = None
    devices: tuple[Device, ...] | None = None
    console_access: bool | None = None
    devices_unread: bool = False
    """Whether there may be more devices than these: the sweep lists only virtual ones."""


@dataclass(frozen=True, slots=True)
class User:
    """What the watcher knows about one IAM user. ``version`` 0: not stored yet."""

    key: UserKey
    name: str
    mfa_status: MfaStatus | None = None
    devices: tuple[Device, ...] = ()
    finding: Finding | None = None
    request_id: str | None = None
    """The id of the user's latest change request. An earlier one is never open."""
    gone_at: datetime | None = None
    exemption: Exemption | None = None
    address: str | None = None
    """An address that security set by hand. It is used before any other."""
    bad_addresses: frozenset[str] = frozenset()
    """Addresses that mail bounced from, casefolded."""
    quarantined_at: datetime | None = None
    """Since when the user may do nothing but enrol a device."""
    evaluate_at: datetime | None = None
    """When the user is due although nothing else is, as after an exemption was revoked."""
    devices_unread: bool = False
    """Whether there may be more devices than these, since only the account's lists were read."""
    held_removal: Attempt | None = None
    """A removal while the user had no console password. It is judged if they get one again: see
    ``user_state``."""
    created_at: datetime | None = None
    """When the user was created; None if that was not seen."""
    password_set_by: Hand | None = None
    """The last other who set a password for the user."""
    device_added_by: Hand | None = None
    """The last other who added a device for the user."""
    version: int = 0

    @property
    def open_finding(self) -> Finding | None:
        """Return the finding if it is open."""
        return self.finding if self.finding and self.finding.closed_at is None else None

    @property
    def due_at(self) -> datetime | None:
        """Return when the user is due next; None: not before the next event."""
        if self.gone_at:
            return None
        moments = [
            self.open_finding.due_at if self.open_finding else None,
            self.exemption.due_at if self.exemption else None,
            self.evaluate_at,
        ]
        return min((moment for moment in moments if moment), default=None)

    def with_iam_state(self, iam_state: IamState) -> "User":
        """Return the record updated with what IAM says about an existing user."""
        asked = iam_state.devices is not None
        return replace(
            self,
            name=iam_state.name or self.name,
            devices=self.devices if iam_state.devices is None else iam_state.devices,
            devices_unread=iam_state.devices_unread if asked else self.devices_unread,
            mfa_status=_mfa_status(iam_state) or self.mfa_status,
            gone_at=None,
        )


def _mfa_status(iam_state: IamState) -> MfaStatus | None:
    if iam_state.console_access is False:
        return MfaStatus.NO_CONSOLE_ACCESS
    if iam_state.devices is None:
        return None
    if iam_state.devices:
        return MfaStatus.PROTECTED
    return MfaStatus.UNPROTECTED if iam_state.console_access else None
