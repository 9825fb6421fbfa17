"""The lists in which IAM shows all users of an account in a few calls.

The list of users and the list of virtual devices show IAM's current state. The credential report
can be up to four hours old, because IAM does not generate a new one earlier (IAM user guide,
"Generate credential reports").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.users.devices import Device, DeviceKind

REPORT_LIFE = timedelta(hours=4)
"""How long IAM returns the same report."""


class ReportState(StrEnum):
    """IAM's answer while there is no report, or to a request for one."""

    NOT_PRESENT = "not present"
    IN_PROGRESS = "in progress"
    EXPIRED = "expired"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One user in the credential report; None where the report says neither yes nor no."""

    name: str
    created_at: datetime | None
    has_password: bool | None
    has_mfa: bool | None


@dataclass(frozen=True, slots=True)
class CredentialReport:
    """The report, with its rows by casefolded name."""

    generated_at: datetime
    rows: Mapping[str, ReportRow]
    root: ReportRow | None = None
    damaged: int = 0
    """How many rows could not be read."""

    def row_of(self, user: "ListedUser") -> ReportRow | None:
        """Return a user's row; None if the row is about an earlier user of the same name."""
        row = self.rows.get(user.name.casefold())
        if row is None or row.created_at is None:
            return row
        return row if row.created_at == user.created_at.replace(microsecond=0) else None


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user as ``ListUsers`` returns them."""

    user_id: str
    name: str
    created_at: datetime
    password_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssignedDevice:
    """A virtual device that belongs to a user, as ``ListVirtualMFADevices`` returns it."""

    device: Device
    user_id: str
    enabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedState:
    """Everything the lists say about one user.

    ``has_password`` and ``has_mfa`` come from the credential report; None if it does not say.
    """

    user: ListedUser
    virtual_devices: tuple[Device, ...] = ()
    has_password: bool | None = None
    has_mfa: bool | None = None
    password_used_since_report: bool = False
    """Whether the user used a password after the report was generated."""
    missing_from_report: bool = False
    """Whether the report should have a row for the user but does not: the user was renamed, or
    the row is damaged."""
    report_is_fresh: bool = False
    """Whether the report was generated for this very sweep."""


@dataclass(frozen=True, slots=True)
class AccountLists:
    """The lists of one account. ``asked_at`` is when the sweep was requested."""

    report: CredentialReport
    users: tuple[ListedUser, ...]
    assigned: tuple[AssignedDevice, ...]
    devices_in_use: int
    asked_at: datetime
    virtual_devices: Mapping[str, tuple[Device, ...]] = field(init=False)
    """By user id. A device counts as virtual if its serial number says so, as in our records."""

    def __post_init__(self) -> None:
        """Group the virtual devices by user."""
        devices: dict[str, tuple[Device, ...]] = {}
        for one in self.assigned:
            if one.device.kind is DeviceKind.VIRTUAL:
                devices[one.user_id] = (*devices.get(one.user_id, ()), one.device)
        object.__setattr__(self, "virtual_devices", devices)

    @property
    def report_is_fresh(self) -> bool:
        """Return whether the report was generated after the sweep was requested."""
        return self.report.generated_at >= self.asked_at

    def listed_state(self, user: ListedUser) -> ListedState:
        """Return everything the lists say about a user."""
        row = self.report.row_of(user)
        used_at = user.password_used_at
        return ListedState(
            user,
            self.virtual_devices.get(user.user_id, ()),
            row.has_password if row else None,
            row.has_mfa if row else None,
            password_used_since_report=used_at is not None and used_at > self.report.generated_at,
            missing_from_report=row is None and user.created_at < self.report.generated_at,
            report_is_fresh=self.report_is_fresh,
        )
