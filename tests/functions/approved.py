"""An approved change request of an emulated account, and the people around it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from moto.iam.models import iam_backends

from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest, Details, file_request
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import MfaStatus, User, UserKey
from tests.functions.product import Product
from tests.support.account import Account
from tests.support.builders import ACCOUNT, Json

FIDO = f"arn:aws:iam::{ACCOUNT}:u2f/user/ana/key-ABCDEFGHIJ"
PASSKEY = f"arn:aws:iam::{ACCOUNT}:u2f/user/ana/laptop-KLMNOPQRST"
HARDWARE = "GAHT12345678"
PHONE = f"arn:aws:iam::{ACCOUNT}:mfa/phone-ana"
TABLET = f"arn:aws:iam::{ACCOUNT}:mfa/tablet-ana"


def member(name: str, role: str = "Security") -> Person:
    """Return a session of a role, as IAM names it."""
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"
    return Person(arn, f"AROA{role.upper()}:{name}", ACCOUNT)


def reserved_role(account: Account, name: str) -> str:
    """Make a role as Identity Center makes it; return its unique id."""
    role = account.iam.create_role(
        RoleName=name,
        Path="/aws-reserved/sso.amazonaws.com/eu-north-1/",
        AssumeRolePolicyDocument="{}",
    )
    return role["Role"]["RoleId"]


SUE = member("sue", "ServiceDesk")
BOB = member("bob")
CARLA = member("carla")
DORA = member("dora")


def give_device(account: Account, name: str, serial: str) -> None:
    """Assign a device to a user, of the kind that the serial number says."""
    if ":mfa/" in serial:
        account.enrol(name, serial.rsplit("/", 1)[-1].removesuffix(f"-{name}"))
        return
    account.iam.enable_mfa_device(
        UserName=name,
        SerialNumber=serial,
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    )


def store(account: Account) -> DynamoStore:
    """Return the table, past what the tests watch."""
    return DynamoStore(
        Table(account.dynamodb, account.table),
        remember_events=timedelta(days=35),
        keep_evidence=timedelta(days=400),
    )


def approved(
    product: Product,
    devices: Iterable[str] = (PHONE,),
    kept: Iterable[str] = (),
    *,
    password: bool = True,
) -> ChangeRequest:
    """Make ana with her devices, and a request about her that sue filed and bob approved."""
    account, now = product.account, product.account.clock()
    devices, kept = tuple(devices), tuple(kept)
    key = UserKey(ACCOUNT, account.new_user("ana", password=password))
    for serial in (*devices, *kept):
        give_device(account, "ana", serial)
    request = file_request(User(key, "ana"), SUE, now, Policy(), event_id="desk-filed")
    details = Details("New phone", SUE.arn, now, devices=devices)
    request = request.submitted(details, Policy()).approved(
        BOB, "Seen her in person", now, Policy(), devices=devices, kept=kept
    )
    user = User(
        key,
        "ana",
        MfaStatus.PROTECTED,
        tuple(Device(serial) for serial in (*devices, *kept)),
        request_id=request.id,
    )
    entry = HistoryEntry(About.REQUEST, request.id, now, "approved", "Approved", BOB.arn)
    decision = UserDecision("approved", (entry,), user=user, request=request, renamed=True)
    store(account).commit(decision, now=now)
    account.calls.reset()
    return request


@dataclass(frozen=True)
class Ana:
    """What IAM says of ana."""

    devices: frozenset[str]
    virtual: frozenset[str]
    """The virtual devices of the account, whoever has them."""
    password: str | None
    reset_required: bool

    @classmethod
    def of(cls, account: Account, name: str = "ana") -> "Ana":
        """Ask IAM, and moto's inside for the password."""
        listed = account.iam.list_mfa_devices(UserName=name)["MFADevices"]
        virtual = account.iam.list_virtual_mfa_devices()["VirtualMFADevices"]
        user = iam_backends[ACCOUNT]["aws"].users[name]
        return cls(
            frozenset(device["SerialNumber"] for device in listed),
            frozenset(device["SerialNumber"] for device in virtual),
            user.password,
            bool(user.password_reset_required),
        )


def fulfil(product: Product, request: ChangeRequest, by: Person = CARLA) -> tuple[int, Json]:
    """Have a request carried out; return status and answer."""
    return product.call("fulfil", "POST", f"/requests/{request.id}/fulfil", by)


def story(account: Account, request: ChangeRequest) -> list[str]:
    """Return what the history says of a request, in order."""
    entries = account.items(f"REQUEST#{request.id}", "HISTORY#")
    return [entry["what"] for entry in entries]
