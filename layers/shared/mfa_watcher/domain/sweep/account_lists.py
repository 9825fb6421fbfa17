"""What IAM says of all users of an account in a few calls: three lists, of different ages.

The list of users and the list of virtual devices are as IAM is now. The credential report is up to
four hours old: IAM makes no new one earlier (IAM user guide, "Generate credential reports").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.users.devices import Device, DeviceKind

REPORT_LIFE = timedelta(hours=4)
"""How long IAM gives out the same report."""


class ReportState(StrEnum):
    """What IAM says instead of a report, or when one is asked for."""

    NOT_PRESENT = "not present"
    IN_PROGRESS = "in progress"
    EXPIRED = "expired"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A user in the credential report; None where the report does not say yes or no."""

    name: str
    created_at: datetime | None
    password: bool | None
    mfa: bool | None


@dataclass(frozen=True, slots=True)
class CredentialReport:
    """The report, its rows by casefolded name. ``damaged`` counts rows that could not be read."""

    generated_at: datetime
    rows: Mapping[str, ReportRow]
    root: ReportRow | None = None
    damaged: int = 0

    def row_of(self, user: "ListedUser") -> ReportRow | None:
        """Give a user's row; one about an earlier user of the same name is not his."""
        row = self.rows.get(user.name.casefold())
        if row is None or row.created_at is None:
            return row
        return row if row.created_at == user.created_at.replace(microsecond=0) else None


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user as ``ListUsers`` gives him."""

    user_id: str
    name: str
    created_at: datetime
    password_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssignedDevice:
    """A virtual device that belongs to a user, as ``ListVirtualMFADevices`` gives it."""

    device: Device
    user_id: str
    enabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserInLists:
    """All that the lists say of one user.

    ``password`` and ``mfa`` are the report's word, and None where it has none. ``fresh``: the
    report was made for this very sweep.
    """

    user: ListedUser
    virtual: tuple[Device, ...] = ()
    password: bool | None = None
    mfa: bool | None = None
    signed_in_since: bool = False
    """Whether the user used a password after the report was made."""
    unreported: bool = False
    """Whether the report should have him, and has not: under another name, or in a damaged row."""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AccountLists:
    """The lists of one account. ``asked_at`` is when the sweep was asked for."""

    report: CredentialReport
    users: tuple[ListedUser, ...]
    assigned: tuple[AssignedDevice, ...]
    devices_in_use: int
    asked_at: datetime
    virtual: Mapping[str, tuple[Device, ...]] = field(init=False)

    def __post_init__(self) -> None:
        """Put the devices to their users: what their serial numbers call virtual, as records do."""
        devices: dict[str, tuple[Device, ...]] = {}
        for one in self.assigned:
            if one.device.kind is DeviceKind.VIRTUAL:
                devices[one.user_id] = (*devices.get(one.user_id, ()), one.device)
        object.__setattr__(self, "virtual", devices)

    @property
    def fresh(self) -> bool:
        """Tell whether the report was made after the sweep was asked for."""
        return self.report.generated_at >= self.asked_at

    def state_of(self, user: ListedUser) -> UserInLists:
        """Put together what the lists say of a user."""
        row = self.report.row_of(user)
        used_at = user.password_used_at
        return UserInLists(
            user,
            self.virtual.get(user.user_id, ()),
            row.password if row else None,
            row.mfa if row else None,
            signed_in_since=used_at is not None and used_at > self.report.generated_at,
            unreported=row is None and user.created_at < self.report.generated_at,
            fresh=self.fresh,
        )
