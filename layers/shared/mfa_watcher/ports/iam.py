"""IAM, as use cases read and change it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mfa_watcher.domain.requests.passwords import Password
from mfa_watcher.domain.sweep import account_lists
from mfa_watcher.domain.users.devices import Device


@dataclass(frozen=True, slots=True)
class IamUser:
    """A user as ``GetUser`` returns them."""

    user_id: str
    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


class IamReader(Protocol):
    """Reads one account's IAM. Each method is one call and raises IamReadError."""

    def user(self, name: str) -> IamUser | None:
        """Return the user of that name; None if there is none."""

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Return a user's devices; None if there is no such user."""

    def has_console_access(self, name: str) -> bool:
        """Return whether a user has a console password; False if there is no such user."""


class CountedIamReader(IamReader, Protocol):
    """A reader that counts its calls."""

    @property
    def calls(self) -> int:
        """How many calls were made so far."""


IamReaderFactory: TypeAlias = Callable[[str], IamReader]
"""Returns the reader of an account by its id. An account that cannot be reached raises at the
first read."""


class AccountListReader(Protocol):
    """Lists all users of one account in few calls. Each method raises IamReadError."""

    @property
    def calls(self) -> int:
        """How many calls were made so far."""

    def report(self) -> account_lists.CredentialReport | account_lists.ReportState:
        """Return the credential report, or why there is none."""

    def request_report(self) -> account_lists.ReportState:
        """Ask for a new report; IAM only makes one if the last is too old."""

    def users(self) -> tuple[account_lists.ListedUser, ...]:
        """Return all users."""

    def assigned_devices(self) -> tuple[account_lists.AssignedDevice, ...]:
        """Return all virtual devices that belong to a user, including root's."""

    def devices_in_use(self) -> int:
        """Return how many devices of all kinds belong to somebody, including root's."""


class IamReset(Protocol):
    """Removes users' devices and sets new passwords.

    Each method is one call and can be repeated. Each raises IamWriteError, whose text names the
    remedy.
    """

    def shortest_password(self) -> int:
        """Return the minimum length of a password. Raises IamReadError instead."""

    def deactivate(self, name: str, serial: str) -> bool:
        """Remove a device from a user; return False if the device is not theirs."""

    def delete(self, serial: str) -> bool:
        """Delete a virtual device if it exists; return False if it still belongs to a user."""

    def set_password(self, name: str, password: Password) -> bool:
        """Set a password that must be changed at the next sign-in.

        Return False if the user has no password yet, or does not exist.
        """


class IamQuarantine(Protocol):
    """Quarantines and releases the users of one account.

    Each method is one call, can be repeated, and raises IamWriteError.
    """

    def quarantine(self, name: str) -> None:
        """Take all permissions from a user but those to enrol a device."""

    def release(self, name: str) -> None:
        """End a user's quarantine, if they are in one."""


IamQuarantineFactory: TypeAlias = Callable[[str], IamQuarantine]
"""Returns the quarantine of an account by its id."""
