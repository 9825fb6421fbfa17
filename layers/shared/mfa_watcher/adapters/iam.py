"""Reading IAM."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.devices import Device
from mfa_watcher.ports import IamReadError, IamUser, IamWriteError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

Answer = TypeVar("Answer")


class BotoIamReader:
    """Reads one account's IAM, one call per question."""

    def __init__(self, client: "IAMClient") -> None:
        """Take an IAM client of the account to read."""
        self._client = client

    def user(self, name: str) -> IamUser | None:
        """Give the user of that name, or None."""
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
        found = _asked("ListMFADevices", lambda: self._client.list_mfa_devices(UserName=name))
        if found is None:
            return None
        return tuple(Device(device["SerialNumber"]) for device in found["MFADevices"])

    def has_console_access(self, name: str) -> bool:
        """Tell whether there is a console password; IAM answers alike for one who is not there."""
        found = _asked("GetLoginProfile", lambda: self._client.get_login_profile(UserName=name))
        return found is not None


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


class BotoIamWarden:
    """Attaches and detaches the quarantine policy."""

    def __init__(self, client: "IAMClient", *, policy_arn: str) -> None:
        """Take an IAM client and the ARN of the policy that leaves nothing but enrolling."""
        self._client = client
        self._policy_arn = policy_arn

    def shut_in(self, name: str) -> None:
        """Attach the policy; IAM takes it twice as once. A user who is gone needs none."""
        _changed(
            "AttachUserPolicy",
            lambda: self._client.attach_user_policy(UserName=name, PolicyArn=self._policy_arn),
        )

    def let_out(self, name: str) -> None:
        """Detach the policy; if it is not attached, or the user is gone, that is as good."""
        _changed(
            "DetachUserPolicy",
            lambda: self._client.detach_user_policy(UserName=name, PolicyArn=self._policy_arn),
        )


def _changed(call: str, change: Callable[[], object]) -> None:
    try:
        change()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if not code.startswith("NoSuchEntity"):
            raise IamWriteError(f"IAM did not do {call}: {code}") from error
    except BotoCoreError as error:
        raise IamWriteError(f"IAM did not do {call}: {type(error).__name__}") from error
