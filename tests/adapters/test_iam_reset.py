import traceback
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from mfa_watcher.adapters.iam import BotoIamReset
from mfa_watcher.domain.requests.passwords import Password
from mfa_watcher.ports.errors import IamDeniedError, IamReadError, IamWriteError
from tests.support.account import Account, Refusal, client

NAME = "ana+=,.@_-x"
SECRET = "Correct-horse-2"  # noqa: S105 - an example
PASSWORD = Password(SECRET)
PHONE = "arn:aws:iam::123456789012:mfa/phone"
CHANGES: dict[str, Callable[[BotoIamReset], bool]] = {
    "DeactivateMFADevice": lambda iam: iam.deactivate(NAME, PHONE),
    "DeleteVirtualMFADevice": lambda iam: iam.delete(PHONE),
    "UpdateLoginProfile": lambda iam: iam.set_password(NAME, PASSWORD),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture
def iam(account: Account) -> BotoIamReset:
    assert account.table
    return BotoIamReset(client("iam"))


def test_a_device_is_taken_off_its_user_and_can_then_be_deleted(
    iam: BotoIamReset, account: Account
) -> None:
    account.new_user(NAME)
    serial = account.enrol(NAME)
    account.calls.reset()
    assert iam.deactivate(NAME, serial)
    assert account.iam.list_mfa_devices(UserName=NAME)["MFADevices"] == []
    assert iam.delete(serial)
    assert account.iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    assert account.calls.made == ["iam:DeactivateMFADevice", "iam:DeleteVirtualMFADevice"]


def test_a_device_of_another_user_is_not_deactivated(iam: BotoIamReset, account: Account) -> None:
    assert not iam.deactivate(NAME, PHONE)
    account.new_user(NAME)
    account.new_user("eve")
    serial = account.enrol("eve")
    assert not iam.deactivate(NAME, serial)
    assert len(account.iam.list_mfa_devices(UserName="eve")["MFADevices"]) == 1


def test_deleting_a_missing_device_succeeds_and_one_in_use_is_kept(
    iam: BotoIamReset, account: Account
) -> None:
    assert iam.delete(PHONE)
    account.calls.refused["iam:DeleteVirtualMFADevice"] = Refusal("DeleteConflict", status=409)
    assert not iam.delete(PHONE)


def test_a_password_is_set_to_be_changed_if_there_was_one(
    iam: BotoIamReset, account: Account
) -> None:
    assert not iam.set_password(NAME, PASSWORD)
    account.new_user(NAME, password=False)
    assert not iam.set_password(NAME, PASSWORD)
    account.iam.create_login_profile(UserName=NAME, Password="Correct-horse-1")  # noqa: S106
    assert iam.set_password(NAME, PASSWORD)
    profile = account.iam.get_login_profile(UserName=NAME)["LoginProfile"]
    assert profile["PasswordResetRequired"]


@pytest.mark.parametrize("length", [6, 14, 128])
def test_the_accounts_policy_says_how_short_a_password_may_be(
    iam: BotoIamReset, account: Account, length: int
) -> None:
    assert iam.shortest_password() == 0
    account.iam.update_account_password_policy(MinimumPasswordLength=length)
    assert iam.shortest_password() == length
    account.calls.refused["iam:GetAccountPasswordPolicy"] = Refusal("Throttling")
    with pytest.raises(IamReadError, match="GetAccountPasswordPolicy: Throttling"):
        iam.shortest_password()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("Throttling", 400, IamWriteError),
        ("AccessDenied", 403, IamDeniedError),
        ("AccessDeniedException", 403, IamDeniedError),
        ("ServiceFailure", 500, IamWriteError),
        ("EntityTemporarilyUnmodifiable", 409, IamWriteError),
        ("PasswordPolicyViolation", 400, IamWriteError),
        ("Anything", 400, IamWriteError),
    ],
)
def test_a_refused_change_raises_an_error_with_the_call_the_reason_and_the_remedy(  # noqa: PLR0913
    iam: BotoIamReset,
    account: Account,
    change: str,
    *,
    code: str,
    status: int,
    error: type[IamWriteError],
) -> None:
    account.calls.refused[f"iam:{change}"] = Refusal(code, "no", status)
    with pytest.raises(IamWriteError, match=rf"{change}: \w+\. .*[Tt]ry again") as raised:
        CHANGES[change](iam)
    assert raised.type is error


@pytest.mark.parametrize("change", CHANGES)
def test_an_unreachable_iam_leaves_open_whether_the_change_was_made(
    iam: BotoIamReset, account: Account, change: str
) -> None:
    account.calls.unreachable.add(f"iam:{change}")
    with pytest.raises(IamWriteError, match=f"{change}: ReadTimeoutError. The change may have"):
        CHANGES[change](iam)


ECHOES: dict[str, Exception] = {
    "IAM": ClientError(
        {"Error": {"Code": "ValidationError", "Message": f"Value '{SECRET}' at 'password' is bad"}},
        "UpdateLoginProfile",
    ),
    "botocore": ParamValidationError(report=f"Invalid type for Password, value: {SECRET}"),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_no_error_contains_the_password(echo: Exception) -> None:
    class Echoing:
        """A client whose errors repeat what they were given."""

        def update_login_profile(self, **_: object) -> None:
            raise echo

    client_: Any = Echoing()
    with pytest.raises(IamWriteError) as raised:
        BotoIamReset(client_).set_password(NAME, PASSWORD)
    told = "".join(traceback.format_exception(raised.value))
    assert SECRET in str(echo)
    assert SECRET not in told
    assert raised.value.__cause__ is raised.value.__context__ is None
