"""An IAM user's record: what the watcher knows of him, and the finding about him."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.users.devices import Device


@dataclass(frozen=True, slots=True)
class UserKey:
    """What identifies a user: names change and are case-insensitive, the unique id stays."""

    account_id: str
    user_id: str


class MfaStatus(StrEnum):
    """How a user stands now."""

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
    """The mails there are. The last three go to the security team, all others to the user."""

    GUIDE = "guide"
    WELCOME = "welcome"
    REMINDER = "reminder"
    FINAL_WARNING = "final_warning"
    QUARANTINED = "quarantined"
    ENROLLED = "enrolled"
    SECOND_DEVICE = "second_device"
    DEVICE_LOST = "device_lost"
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
        """Tell whether the mail goes to the security team."""
        return self in {self.EXEMPTION_ENDING, self.SECURITY_CASE, self.UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Finding:
    """Open from the moment a user is unprotected until he is protected again, or gone.

    ``mailed`` and ``alerted_at`` say what this finding has caused already, so that a duplicate
    or a second sign-in does not cause it again. ``ladder_step`` and ``due_at`` say which step of
    the ladder was taken last and when the next one is due.
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

    @property
    def is_open(self) -> bool:
        """Tell whether the finding still stands."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class Exemption:
    """Security's word that a user may go without MFA until a day, and why."""

    reason: str
    granted_by: str
    granted_at: datetime
    until: datetime
    warn_at: datetime | None = None
    """When security is to be told that it ends; None once that is done."""

    @property
    def due_at(self) -> datetime:
        """Say when the exemption is to be looked at next."""
        return self.warn_at or self.until


@dataclass(frozen=True, slots=True)
class IamState:
    """What IAM said of a user just now; None stands for what was not asked."""

    exists: bool
    name: str | None = None
    devices: tuple[Device, ...] | None = None
    console_access: bool | None = None
    devices_unread: bool = False
    """Whether there may be more devices than these: the sweep lists the virtual ones alone."""


@dataclass(frozen=True, slots=True)
class User:
    """What the watcher knows of one IAM user. ``version`` 0 means: not stored yet."""

    key: UserKey
    name: str
    mfa_status: MfaStatus | None = None
    devices: tuple[Device, ...] = ()
    finding: Finding | None = None
    request_id: str | None = None
    """The id of the user's latest change request: an earlier one is never open."""
    gone_at: datetime | None = None
    exemption: Exemption | None = None
    address: str | None = None
    """An address that security set by hand; it comes before any other."""
    bad_addresses: frozenset[str] = frozenset()
    """Addresses that mail bounced from, casefolded."""
    quarantined_at: datetime | None = None
    """Since when he may do nothing but enrol a device."""
    evaluate_at: datetime | None = None
    """When to look at him although nothing else is due: an exemption was taken back."""
    devices_unread: bool = False
    """Whether he may have more devices than these, since only lists of the account were read."""
    version: int = 0

    @property
    def open_finding(self) -> Finding | None:
        """Give the finding if it still stands."""
        return self.finding if self.finding and self.finding.is_open else None

    @property
    def due_at(self) -> datetime | None:
        """Say when the schedule is to look at the user next; None: not before an event does."""
        if self.gone_at:
            return None
        moments = [
            self.open_finding.due_at if self.open_finding else None,
            self.exemption.due_at if self.exemption else None,
            self.evaluate_at,
        ]
        return min((moment for moment in moments if moment), default=None)

    def with_iam_state(self, iam_state: IamState) -> "User":
        """Give the record with what IAM said of an existing user taken over."""
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
