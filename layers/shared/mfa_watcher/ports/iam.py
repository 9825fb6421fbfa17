"""What the use cases need of IAM."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mfa_watcher.domain.requests.passwords import Password
from mfa_watcher.domain.sweep.account_lists import (
    AssignedDevice,
    CredentialReport,
    ListedUser,
    ReportState,
)
from mfa_watcher.domain.users.devices import Device


@dataclass(frozen=True, slots=True)
class IamUser:
    """What ``GetUser`` says."""

    user_id: str
    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


class IamReader(Protocol):
    """Reads one account's IAM. Each method is one call and raises IamReadError."""

    def user(self, name: str) -> IamUser | None:
        """Give the user of that name; None if there is none (``GetUser``)."""
        ...

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Give a user's devices; None if there is no such user (``ListMFADevices``)."""
        ...

    def has_console_access(self, name: str) -> bool:
        """Tell whether there is a console password (``GetLoginProfile``); False if no such user."""
        ...


class CountedIamReader(IamReader, Protocol):
    """A reader that counts its calls."""

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        ...


IamOf: TypeAlias = Callable[[str], IamReader]
"""Gives the reader of an account by its id. What it cannot reach, it says at the first read."""


class AccountListReader(Protocol):
    """Lists all users of one account, in few calls. Each method raises IamReadError."""

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        ...

    def report(self) -> CredentialReport | ReportState:
        """Give the credential report, or say why there is none (``GetCredentialReport``)."""
        ...

    def request_report(self) -> ReportState:
        """Have a report made, if the last is too old (``GenerateCredentialReport``)."""
        ...

    def users(self) -> tuple[ListedUser, ...]:
        """Give all users, a thousand a call (``ListUsers``)."""
        ...

    def assigned_devices(self) -> tuple[AssignedDevice, ...]:
        """Give all users' virtual devices, a thousand a call (``ListVirtualMFADevices``)."""
        ...

    def devices_in_use(self) -> int:
        """Count the devices of all kinds that somebody has (``GetAccountSummary``)."""
        ...


class IamReset(Protocol):
    """Takes devices off users and gives them new passwords.

    Each method is one call, can be repeated, and raises IamWriteError, whose text says what to do.
    """

    def shortest_password(self) -> int:
        """Give how long a password must be at least (``GetAccountPasswordPolicy``).

        Raises IamReadError.
        """
        ...

    def deactivate(self, name: str, serial: str) -> bool:
        """Take a device off a user (``DeactivateMFADevice``); False if it is not his."""
        ...

    def delete(self, serial: str) -> bool:
        """Delete a virtual device, if there is one (``DeleteVirtualMFADevice``).

        False if it is some user's: such a device stays.
        """
        ...

    def set_password(self, name: str, password: Password) -> bool:
        """Give a password that is to be changed at the next sign-in (``UpdateLoginProfile``).

        False if the user has no password, or is not there.
        """
        ...


class IamQuarantine(Protocol):
    """Shuts users in and lets them out, in one account.

    Each method is one call, can be repeated, and raises IamWriteError.
    """

    def quarantine(self, name: str) -> None:
        """Leave the user nothing but enrolling a device (``AttachUserPolicy``)."""
        ...

    def release(self, name: str) -> None:
        """Take that back, if it is so (``DetachUserPolicy``)."""
        ...


IamQuarantineOf: TypeAlias = Callable[[str], IamQuarantine]
"""Gives the warden of an account by its id."""
