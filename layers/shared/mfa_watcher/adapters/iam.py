"""Reading IAM, and changing it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.requests.passwords import Password
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.ports.errors import IamDeniedError, IamReadError, IamWriteError
from mfa_watcher.ports.iam import IamUser

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

Answer = TypeVar("Answer")


class BotoIamReader:
    """Reads one account's IAM, one call per question."""

    def __init__(self, client: "IAMClient") -> None:
        """Take an IAM client of the account to read."""
        self._client = client
        self._lock = Lock()
        self.calls = 0

    def user(self, name: str) -> IamUser | None:
        """Give the user of that name, or None."""
        self._count()
        found = _asked("GetUser", lambda: self._client.get_user(UserName=name))
        if found is None:
            return None
        user = found["User"]
        tags = {tag["Key"]: tag["Value"] for tag in user.get("Tags", [])}
        return IamUser(user["UserId"], user["UserName"], user["Arn"], tags)

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Give a user's devices, or None if there is no such user.

        One page holds them all: IAM allows eight devices and gives a hundred a page (IAM quotas).
        """
        self._count()
        found = _asked("ListMFADevices", lambda: self._client.list_mfa_devices(UserName=name))
        if found is None:
            return None
        return tuple(Device(device["SerialNumber"]) for device in found["MFADevices"])

    def has_console_access(self, name: str) -> bool:
        """Tell whether there is a console password; IAM answers alike for one who is not there."""
        self._count()
        found = _asked("GetLoginProfile", lambda: self._client.get_login_profile(UserName=name))
        return found is not None

    def _count(self) -> None:
        with self._lock:  # the sweep reads several users at the same time
            self.calls += 1


def _asked(call: str, ask: Callable[[], Answer]) -> Answer | None:
    """Ask; None where there is no such user, IamReadError for whatever else went wrong.

    A failed call's record may hold any text as the user's name. IAM calls one that no user can
    have (too long, odd characters) a ``ValidationError``: there is no such user either.
    """
    try:
        return ask()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.startswith("NoSuchEntity") or code == "ValidationError":
            return None
        raise IamReadError(f"IAM did not answer {call}: {code}") from error
    except BotoCoreError as error:
        raise IamReadError(f"IAM did not answer {call}: {type(error).__name__}") from error


class BotoIamQuarantine:
    """Attaches and detaches the quarantine policy."""

    def __init__(self, client: "IAMClient", *, policy_arn: str) -> None:
        """Take an IAM client and the ARN of the policy that leaves nothing but enrolling."""
        self._client = client
        self._policy_arn = policy_arn

    def quarantine(self, name: str) -> None:
        """Attach the policy; IAM takes it twice as once. A user who is gone needs none."""
        _changed(
            "AttachUserPolicy",
            lambda: self._client.attach_user_policy(UserName=name, PolicyArn=self._policy_arn),
        )

    def release(self, name: str) -> None:
        """Detach the policy; if it is not attached, or the user is gone, that is as good."""
        _changed(
            "DetachUserPolicy",
            lambda: self._client.detach_user_policy(UserName=name, PolicyArn=self._policy_arn),
        )


class BotoIamReset:
    """Takes devices off users and gives them new passwords."""

    def __init__(self, client: "IAMClient") -> None:
        """Take an IAM client of the account."""
        self._client = client

    def shortest_password(self) -> int:
        """Give how long a password must be at least; an account without a policy asks for eight."""
        found = _asked("GetAccountPasswordPolicy", self._client.get_account_password_policy)
        return found["PasswordPolicy"].get("MinimumPasswordLength", 0) if found else 0

    def deactivate(self, name: str, serial: str) -> bool:
        """Take a device off a user; False if it is not his, or there is no such user."""
        code = _refusal(
            "DeactivateMFADevice",
            lambda: self._client.deactivate_mfa_device(UserName=name, SerialNumber=serial),
            _NO_SUCH,
        )
        return code is None

    def delete(self, serial: str) -> bool:
        """Delete a virtual device, if there is one; False if it is some user's."""
        code = _refusal(
            "DeleteVirtualMFADevice",
            lambda: self._client.delete_virtual_mfa_device(SerialNumber=serial),
            _NO_SUCH,
            _IN_USE,
        )
        return code != _IN_USE

    def set_password(self, name: str, password: Password) -> bool:
        """Give a user a password to be changed at the next sign-in; False if he has none yet.

        While the password is on its way, nothing is logged below a warning: botocore writes whole
        requests for whoever asks it to.
        """
        with _no_details_logged():
            code = _refusal(
                "UpdateLoginProfile",
                lambda: self._client.update_login_profile(
                    UserName=name, Password=password.reveal(), PasswordResetRequired=True
                ),
                _NO_SUCH,
            )
        return code is None


_NO_SUCH = "NoSuchEntity"
_IN_USE = "DeleteConflict"

_BUSY = "IAM is busy. Try again in a minute"
_WHAT_TO_DO = {
    "AccessDenied": "A policy outside this stack, such as a service control policy or the role's"
    " permissions boundary, does not let the role do that. Have it let the role through, then try"
    " again",
    "ConcurrentModification": _BUSY,
    "EntityTemporarilyUnmodifiable": "IAM is still busy with an earlier change of this user. Try"
    " again in a minute",
    "LimitExceeded": _BUSY,
    "PasswordPolicyViolation": "The account's password policy refuses the new password. See whether"
    " somebody has just changed it, then try again",
    "RequestLimitExceeded": _BUSY,
    "ServiceFailure": _BUSY,
    "ServiceUnavailable": _BUSY,
    "Throttling": _BUSY,
}
"""By IAM's code: what a person can do about it."""


def _refusal(call: str, change: Callable[[], object], *expected: str) -> str | None:
    """Change something; give IAM's code if it is an expected one, None if it was done.

    Raises IamWriteError for all else. What botocore and IAM say of a request may hold what was in
    it, a password for example, so neither their text nor they themselves go along.
    """
    try:
        change()
    except ClientError as error:
        code = error.response["Error"]["Code"].removesuffix("Exception")
        what_to_do = _WHAT_TO_DO.get(code, "Try again in a minute")
    except BotoCoreError as error:
        code, what_to_do = type(error).__name__, "Nobody knows whether it did. Try again"
    else:
        return None
    if code in expected:
        return code
    kind = IamDeniedError if code == "AccessDenied" else IamWriteError
    raise kind(f"IAM did not do {call}: {code}. {what_to_do}")


@contextmanager
def _no_details_logged() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _changed(call: str, change: Callable[[], object]) -> None:
    try:
        change()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if not code.startswith("NoSuchEntity"):
            raise IamWriteError(f"IAM did not do {call}: {code}") from error
    except BotoCoreError as error:
        raise IamWriteError(f"IAM did not do {call}: {type(error).__name__}") from error
