"""The roster: who there is in an account as the watcher last knew it, and with which devices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.user import MfaStatus, User, UserKey


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """A user in the roster: the few things of his record that a sweep compares."""

    key: UserKey
    name: str
    mfa_status: MfaStatus | None = None
    devices: tuple[Device, ...] = ()
    devices_unread: bool = False
    version: int = 1

    @property
    def virtual(self) -> frozenset[Device]:
        """Give the virtual devices, which IAM lists for the whole account."""
        return frozenset(one for one in self.devices if one.kind is DeviceKind.VIRTUAL)

    @property
    def others(self) -> tuple[Device, ...]:
        """Give the devices that only a question about this one user shows."""
        return tuple(one for one in self.devices if one.kind is not DeviceKind.VIRTUAL)

    @property
    def has_unnamed_device(self) -> bool:
        """Tell whether all that is known of his devices is that he has one."""
        return self.devices_unread and self.mfa_status is MfaStatus.PROTECTED and not self.devices

    @property
    def unlisted_devices(self) -> int:
        """Count the devices he must have that no list of the account shows."""
        return len(self.others) + self.has_unnamed_device

    @property
    def only_virtual(self) -> bool:
        """Tell whether all he has is known, and is nothing but virtual devices."""
        return bool(self.devices) and not self.devices_unread and not self.others

    @property
    def single_device(self) -> bool:
        """Tell whether all he has is known, and is one device."""
        return len(self.devices) == 1 and not self.devices_unread

    @property
    def phishing_resistant(self) -> bool:
        """Tell whether he has a security key or passkey: what no look-alike page can use."""
        return any(one.kind is DeviceKind.FIDO for one in self.devices)


def inventory_entry(user: User) -> InventoryEntry:
    """Give a user's entry as his record stands."""
    return InventoryEntry(
        user.key, user.name, user.mfa_status, user.devices, user.devices_unread, user.version
    )


@dataclass(frozen=True, slots=True)
class InventorySummary:
    """How an account stands, in numbers of users.

    The last four count users with a device. ``devices_unread``: those of whom not all devices are
    known yet; they are in neither ``only_virtual`` nor ``single_device``.
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


def summary(entries: Iterable[InventoryEntry]) -> InventorySummary:
    """Count."""
    known = list(entries)
    mfa_statuses = [entry.mfa_status for entry in known]
    holders = [entry for entry in known if entry.mfa_status is MfaStatus.PROTECTED]
    return InventorySummary(
        users=len(known),
        protected=len(holders),
        unprotected=mfa_statuses.count(MfaStatus.UNPROTECTED),
        exempt=mfa_statuses.count(MfaStatus.EXEMPT),
        no_console_access=mfa_statuses.count(MfaStatus.NO_CONSOLE_ACCESS),
        never_evaluated=mfa_statuses.count(None),
        only_virtual=sum(entry.only_virtual for entry in holders),
        single_device=sum(entry.single_device for entry in holders),
        phishing_resistant=sum(entry.phishing_resistant for entry in holders),
        devices_unread=sum(entry.devices_unread for entry in holders),
    )


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The last sweep of an account: what it cost, and what it found."""

    account_id: str
    run: str
    at: datetime
    report_at: datetime
    """When IAM made the credential report that it used."""
    iam_calls: int
    candidates: int
    """Users of whom IAM was asked, or who were decided about."""
    differences: int
    """Users whose record had to change."""
    summary: InventorySummary
    unexplained: int | None = None
    """How many devices in use are in nobody's record; None if that could not be told."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """How many events of which call must have been missed."""
    decided: Mapping[str, int] = field(default_factory=dict)
    """How many records changed for which reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDecision(Decision):
    """The end of an account's sweep, whose result is kept."""

    result: SweepResult
