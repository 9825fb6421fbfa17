"""The roster: who there is in an account as the watcher last knew it, and with which devices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mfa_watcher.domain.devices import Device, DeviceKind
from mfa_watcher.domain.users import Standing, User, UserKey


@dataclass(frozen=True, slots=True)
class Entry:
    """A user in the roster: the few things of his record that a sweep compares."""

    key: UserKey
    name: str
    standing: Standing | None = None
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
    def nameless(self) -> bool:
        """Tell whether all that is known of his devices is that he has one."""
        return self.devices_unread and self.standing is Standing.PROTECTED and not self.devices

    @property
    def unlisted(self) -> int:
        """Count the devices he must have that no list of the account shows."""
        return len(self.others) + self.nameless

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


def entry_of(user: User) -> Entry:
    """Give a user's entry as his record stands."""
    return Entry(
        user.key, user.name, user.standing, user.devices, user.devices_unread, user.version
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """How an account stands, in numbers of users.

    The last four count users with a device. ``devices_unread``: those of whom not all devices are
    known yet; they are in neither ``only_virtual`` nor ``single_device``.
    """

    users: int = 0
    protected: int = 0
    unprotected: int = 0
    exempt: int = 0
    no_console_access: int = 0
    never_looked_at: int = 0
    only_virtual: int = 0
    single_device: int = 0
    phishing_resistant: int = 0
    devices_unread: int = 0


def summary(entries: Iterable[Entry]) -> Summary:
    """Count."""
    known = list(entries)
    standings = [entry.standing for entry in known]
    holders = [entry for entry in known if entry.standing is Standing.PROTECTED]
    return Summary(
        users=len(known),
        protected=len(holders),
        unprotected=standings.count(Standing.UNPROTECTED),
        exempt=standings.count(Standing.EXEMPT),
        no_console_access=standings.count(Standing.NO_CONSOLE_ACCESS),
        never_looked_at=standings.count(None),
        only_virtual=sum(entry.only_virtual for entry in holders),
        single_device=sum(entry.single_device for entry in holders),
        phishing_resistant=sum(entry.phishing_resistant for entry in holders),
        devices_unread=sum(entry.devices_unread for entry in holders),
    )


@dataclass(frozen=True, slots=True)
class Swept:
    """The last sweep of an account: what it cost, and what it found."""

    account_id: str
    run: str
    at: datetime
    report_at: datetime
    """When IAM made the credential report that it used."""
    iam_calls: int
    suspects: int
    """Users of whom IAM was asked, or who were decided about."""
    differences: int
    """Users whose record had to change."""
    summary: Summary
    unexplained: int | None = None
    """How many devices in use are in nobody's record; None if that could not be told."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """How many events of which call must have been missed."""
    decided: Mapping[str, int] = field(default_factory=dict)
    """How many records changed for which reason."""
