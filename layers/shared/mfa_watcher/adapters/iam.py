"""Reads IAM and changes it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.adapters.aws_errors import AWS_ERRORS, error_code
from mfa_watcher.domain.requests.approvers import Role
from mfa_watcher.domain.requests.passwords import Password
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.ports.errors import (
    IamDeniedError,
    IamReadError,
    IamWriteError,
    PolicyQuotaError,
)
from mfa_watcher.ports.iam import IamUser

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

Answer = TypeVar("Answer")


@dataclass(slots=True)
class BotoIamReader:
    """Reads one account's IAM."""

    client: "IAMClient"
    calls: int = field(default=0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def user(self, name: str) -> IamUser | None:
        """Call GetUser."""
        found = self._ask("GetUser", lambda: self.client.get_user(UserName=name))
        if found is None:
            return None
        user = found["User"]
        tags = {tag["Key"]: tag["Value"] for tag in user.get("Tags", [])}
        return IamUser(user["UserId"], user["UserName"], user["Arn"], tags)

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Call ListMFADevices.

        One page is enough: IAM allows eight devices and returns a hundred per page (IAM quotas).
        """
        found = self._ask("ListMFADevices", lambda: self.client.list_mfa_devices(UserName=name))
        if found is None:
            return None
        return tuple(Device(device["SerialNumber"]) for device in found["MFADevices"])

    def has_console_access(self, name: str) -> bool:
        """Call GetLoginProfile; IAM's answer is the same if the user does not exist."""
        return (
            self._ask("GetLoginProfile", lambda: self.client.get_login_profile(UserName=name))
            is not None
        )

    def role(self, name: str) -> Role | None:
        """Call GetRole."""
        found = self._ask("GetRole", lambda: self.client.get_role(RoleName=name))
        return Role(found["Role"]["RoleId"], found["Role"]["Path"]) if found else None

    def _ask(self, call: str, read: Callable[[], Answer]) -> Answer | None:
        with self._lock:  # the sweep reads several users at the same time
            self.calls += 1
        return _read(call, read)


def _read(call: str, read: Callable[[], Answer]) -> Answer | None:
    """Return the answer; None if there is no such user. Raises IamReadError for other errors.

    The record of a failed call may contain any text as the user's name. For a name that no user
    can have (too long, invalid characters) IAM answers ``ValidationError``, so there is no such
    user either.
    """
    try:
        return read()
    except AWS_ERRORS as error:
        code = error_code(error)
        if code.startswith("NoSuchEntity") or code == "ValidationError":
            return None
        raise IamReadError(f"IAM did not answer {call}: {code}") from error


@dataclass(frozen=True, slots=True)
class BotoIamQuarantine:
    """Attaches and detaches the quarantine policy, which only permits to enrol a device."""

    client: "IAMClient"
    policy_arn: str

    def quarantine(self, name: str) -> None:
        """Call AttachUserPolicy; a second call has no effect, nor one for a deleted user.

        A user can have 10 managed policies by default (IAM user guide, "IAM and AWS STS quotas").
        """
        code = _error_code(
            "AttachUserPolicy",
            lambda: self.client.attach_user_policy(UserName=name, PolicyArn=self.policy_arn),
            _NO_SUCH,
            _QUOTA,
        )
        if code == _QUOTA:
            raise PolicyQuotaError(f"IAM attaches no further policy to {name}")

    def release(self, name: str) -> None:
        """Call DetachUserPolicy; nothing to detach, or a deleted user, is no error."""
        _error_code(
            "DetachUserPolicy",
            lambda: self.client.detach_user_policy(UserName=name, PolicyArn=self.policy_arn),
            _NO_SUCH,
        )


@dataclass(frozen=True, slots=True)
class BotoIamReset:
    """Removes users' devices and sets new passwords."""

    client: "IAMClient"

    def shortest_password(self) -> int:
        """Call GetAccountPasswordPolicy; return 0 if the account has no policy."""
        found = _read("GetAccountPasswordPolicy", self.client.get_account_password_policy)
        return found["PasswordPolicy"].get("MinimumPasswordLength", 0) if found else 0

    def deactivate(self, name: str, serial: str) -> bool:
        """Call DeactivateMFADevice; IAM's answer is the same if the user does not exist."""
        code = _error_code(
            "DeactivateMFADevice",
            lambda: self.client.deactivate_mfa_device(UserName=name, SerialNumber=serial),
            _NO_SUCH,
        )
        return code is None

    def delete(self, serial: str) -> bool:
        """Call DeleteVirtualMFADevice."""
        code = _error_code(
            "DeleteVirtualMFADevice",
            lambda: self.client.delete_virtual_mfa_device(SerialNumber=serial),
            _NO_SUCH,
            _IN_USE,
        )
        return code != _IN_USE

    def set_password(self, name: str, password: Password) -> bool:
        """Call UpdateLoginProfile.

        During the call nothing below a warning is logged, because botocore can be configured to
        log whole requests, with the password.
        """
        with _no_details_logged():
            code = _error_code(
                "UpdateLoginProfile",
                lambda: self.client.update_login_profile(
                    UserName=name, Password=password.reveal(), PasswordResetRequired=True
                ),
                _NO_SUCH,
            )
        return code is None


_NO_SUCH = "NoSuchEntity"
_IN_USE = "DeleteConflict"
_QUOTA = "LimitExceeded"

_BUSY = "IAM is busy. Try again in a minute"
_REMEDIES = {
    "AccessDenied": "A policy outside this stack, such as a service control policy or the role's"
    " permissions boundary, denies this to the role. Exempt the role in that policy, then try"
    " again",
    "ConcurrentModification": _BUSY,
    "EntityTemporarilyUnmodifiable": "IAM is still busy with an earlier change of this user. Try"
    " again in a minute",
    "LimitExceeded": _BUSY,
    "PasswordPolicyViolation": "The account's password policy rejects the new password. Check"
    " whether somebody has just changed the policy, then try again",
    "RequestLimitExceeded": _BUSY,
    "ServiceFailure": _BUSY,
    "ServiceUnavailable": _BUSY,
    "Throttling": _BUSY,
}
"""The remedy for each of IAM's error codes."""


def _error_code(call: str, change: Callable[[], object], *expected: str) -> str | None:
    """Make a change; return None if it was made, or IAM's error code if that is an expected one.

    Raises IamWriteError for other errors. The errors of botocore and IAM may contain values of the
    request, such as a password, so neither their text nor the errors themselves are passed on.
    """
    try:
        change()
    except ClientError as error:
        code = error.response["Error"]["Code"].removesuffix("Exception")
        remedy = _REMEDIES.get(code, "Try again in a minute")
    except BotoCoreError as error:
        code, remedy = type(error).__name__, "The change may have been made nevertheless. Try again"
    else:
        return None
    if code in expected:
        return code
    kind = IamDeniedError if code == "AccessDenied" else IamWriteError
    raise kind(f"IAM did not do {call}: {code}. {remedy}")


@contextmanager
def _no_details_logged() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
