from collections.abc import Callable
from typing import Any

import pytest

from mfa_watcher.adapters.iam import BotoIamReader
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.ports.errors import IamReadError
from tests.support.account import Account, Refusal, client

NAME = "ana+=,.@_-x"
READS: dict[str, Callable[[BotoIamReader], Any]] = {
    "GetUser": lambda iam: iam.user(NAME),
    "ListMFADevices": lambda iam: iam.devices(NAME),
    "GetLoginProfile": lambda iam: iam.has_console_access(NAME),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture
def iam(account: Account) -> BotoIamReader:
    assert account.table
    return BotoIamReader(client("iam"))


def test_a_user_is_read_with_tags_in_one_call(iam: BotoIamReader, account: Account) -> None:
    user_id = account.new_user(NAME)
    account.iam.tag_user(UserName=NAME, Tags=[{"Key": "email", "Value": "a@example.com"}])
    account.calls.reset()
    user = iam.user(NAME)
    assert user
    assert (user.user_id, user.name, user.tags) == (user_id, NAME, {"email": "a@example.com"})
    assert account.calls.made == ["iam:GetUser"]


def test_all_devices_are_read_in_one_call(iam: BotoIamReader, account: Account) -> None:
    account.new_user(NAME)
    serials = [account.enrol(NAME, f"device{n}") for n in range(8)]
    account.calls.reset()
    devices = iam.devices(NAME)
    assert devices
    assert sorted(device.serial for device in devices) == sorted(serials)
    assert account.calls.made == ["iam:ListMFADevices"]


def test_a_user_without_a_device_differs_from_one_who_does_not_exist(
    iam: BotoIamReader, account: Account
) -> None:
    assert iam.devices(NAME) is None
    account.new_user(NAME)
    assert iam.devices(NAME) == ()
    serial = account.enrol(NAME)
    assert iam.devices(NAME) == (Device(serial),)


def test_console_access_is_a_login_profile(iam: BotoIamReader, account: Account) -> None:
    assert not iam.has_console_access(NAME)
    account.new_user(NAME, password=False)
    assert not iam.has_console_access(NAME)
    account.iam.create_login_profile(UserName=NAME, Password="Correct-horse-1")  # noqa: S106
    assert iam.has_console_access(NAME)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "says",
    [Refusal("NoSuchEntity", status=404), Refusal("ValidationError", "The specified value ...")],
    ids=["unknown", "no legal name"],
)
def test_a_user_who_does_not_exist_is_an_answer_and_not_an_error(
    iam: BotoIamReader, account: Account, read: str, says: Refusal
) -> None:
    account.calls.refused[f"iam:{read}"] = says
    assert not READS[read](iam)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Throttling", 400),
        ("AccessDenied", 403),
        ("ServiceFailure", 500),
        ("ExpiredToken", 403),
        ("InvalidClientTokenId", 403),
    ],
)
def test_a_failed_call_raises_an_error_that_names_call_and_code(
    iam: BotoIamReader, account: Account, read: str, code: str, status: int
) -> None:
    account.calls.refused[f"iam:{read}"] = Refusal(code, "no", status)
    with pytest.raises(IamReadError, match=f"{read}: {code}"):
        READS[read](iam)


@pytest.mark.parametrize("read", READS)
def test_an_unreachable_iam_raises_an_error_too(
    iam: BotoIamReader, account: Account, read: str
) -> None:
    account.calls.unreachable.add(f"iam:{read}")
    with pytest.raises(IamReadError, match=f"{read}: ReadTimeoutError"):
        READS[read](iam)
