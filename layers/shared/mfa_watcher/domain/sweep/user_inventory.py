"""The user inventory: the users of an account and their devices, as last known to the watcher."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.user import MfaStatus, User, UserKey


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """A user in the inventory: the part of their record that a sweep compares."""

    key: UserKey
    name: str
    mfa_status: MfaStatus | None = None
    devices: tuple[Device, ...] = ()
    devices_unread: bool = False
    version: int = 1

    @property
    def virtual_devices(self) -> frozenset[Device]:
        """Return the virtual devices, which IAM lists for the whole account."""
        return frozenset(one for one in self.devices if one.kind is DeviceKind.VIRTUAL)

    @property
    def other_devices(self) -> tuple[Device, ...]:
        """Return the devices that IAM shows only when asked about this one user."""
        return tuple(one for one in self.devices if one.kind is not DeviceKind.VIRTUAL)

    @property
    def has_unnamed_device(self) -> bool:
        """Return whether the user is known to have a device, but not which one."""
        return self.devices_unread and self.mfa_status is MfaStatus.PROTECTED and not self.devices

    @property
    def unlisted_devices(self) -> int:
        """Return how many of the user's devices are in no list of the account."""
        return len(self.other_devices) + self.has_unnamed_device

    @property
    def has_console_access(self) -> bool:
        """Return whether the user is known to have a console password."""
        return self.mfa_status not in {None, MfaStatus.NO_CONSOLE_ACCESS}

    @property
    def only_virtual(self) -> bool:
        """Return whether all the user's devices are known, and all are virtual."""
        return bool(self.devices) and not self.devices_unread and not self.other_devices

    @property
    def single_device(self) -> bool:
        """Return whether all the user's devices are known, and there is exactly one."""
        return len(self.devices) == 1 and not self.devices_unread

    @property
    def phishing_resistant(self) -> bool:
        """Return whether the user has a security key or passkey, which phishing cannot misuse."""
        return any(one.kind is DeviceKind.FIDO for one in self.devices)


def inventory_entry(user: User) -> InventoryEntry:
    """Return a user's entry from their record."""
    return InventoryEntry(
        user.key, user.name, user.mfa_status, user.devices, user.devices_unread, user.version
    )


@dataclass(frozen=True, slots=True)
class UserCounts:
    """How many users of an account have which MFA status and which devices.

    The last four count users with a device. ``devices_unread`` counts users whose devices are not
    all known yet; ``only_virtual`` and ``single_device`` leave those users out.
    """

    users: int = 0
    protected: int = 0
    unprotected: int = 0
    exempt: int = 0
    no_console_access: int = 0
    never_evaluated: int = 0
    only_virtual: int = 0
    single_device: int = 0
    phishing_resistant: int = 0
    devices_unread: int = 0

    @property
    def console_users(self) -> int:
        """Return how many users are known to have a console password."""
        return self.protected + self.unprotected + self.exempt


def count_users(entries: Iterable[InventoryEntry]) -> UserCounts:
    """Return the counts of an account's users."""
    users = list(entries)
    mfa_statuses = [entry.mfa_status for entry in users]
    with_device = [entry for entry in users if entry.mfa_status is MfaStatus.PROTECTED]
    return UserCounts(
        users=len(users),
        protected=len(with_device),
        unprotected=mfa_statuses.count(MfaStatus.UNPROTECTED),
        exempt=mfa_statuses.count(MfaStatus.EXEMPT),
        no_console_access=mfa_statuses.count(MfaStatus.NO_CONSOLE_ACCESS),
        never_evaluated=mfa_statuses.count(None),
        only_virtual=sum(entry.only_virtual for entry in with_device),
        single_device=sum(entry.single_device for entry in with_device),
        phishing_resistant=sum(entry.phishing_resistant for entry in with_device),
        devices_unread=sum(entry.devices_unread for entry in with_device),
    )


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The last sweep of an account: its cost and its findings."""

    account_id: str
    run: str
    at: datetime
    report_at: datetime
    """When IAM generated the credential report that the sweep used."""
    iam_calls: int
    candidates: int
    """How many users seemed to differ from their record and were evaluated."""
    differences: int
    """How many user records had to change."""
    user_counts: UserCounts
    unaccounted_devices: int | None = None
    """How many devices in use are in no user's record; None if the sweep could not know."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """How many events of each API call were missed."""
    decided: Mapping[str, int] = field(default_factory=dict)
    """How many records changed for each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDecision(Decision):
    """The end of an account's sweep, whose result is kept."""

    result: SweepResult
