"""What a sweep costs for each thing that may have happened to a user, as docs/aws-calls.md says."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mfa_watcher.adapters.items import INVENTORY_SHARDS
from tests.functions.product import Product
from tests.functions.test_aws_calls import difference, documented
from tests.functions.test_sweep import fido, reporting
from tests.support.account import Account, opened
from tests.support.builders import ACCOUNT

LISTS = ["GetCredentialReport", "ListUsers", "ListVirtualMFADevices", "GetAccountSummary"]
PHONE = f"arn:aws:iam::{ACCOUNT}:mfa/phone-ana"
KEY = f"arn:aws:iam::{ACCOUNT}:u2f/user/ana/key-ana"


@dataclass(frozen=True)
class Case:
    """A user before the sweep, and what happens to them."""

    happens: Callable[[Account], object]
    before: Callable[[Account], object] | None = None
    old_report: bool = False


def bare(account: Account) -> None:
    account.new_user("ana")


def with_phone(account: Account) -> None:
    account.new_user("ana", device=True)


def with_key(account: Account) -> None:
    account.new_user("ana")
    fido(account, "ana")


def without_access(account: Account) -> None:
    account.new_user("ana", password=False)


def nothing(_: Account) -> None:
    pass


def deactivate(serial: str) -> Callable[[Account], object]:
    return lambda account: account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=serial)


def give_password(account: Account) -> None:
    account.iam.create_login_profile(UserName="ana", Password="Correct-horse-1")  # noqa: S106


def take_password(account: Account) -> None:
    account.iam.delete_login_profile(UserName="ana")


def rename(account: Account) -> None:
    account.iam.update_user(UserName="ana", NewUserName="anna")


def delete(account: Account) -> None:
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")


def recreate(account: Account) -> None:
    delete(account)
    account.new_user("ana")


CASES = {
    ("known", "nothing"): Case(nothing, with_phone),
    ("unknown", "has a virtual device"): Case(with_phone),
    ("unknown", "has a device of another kind"): Case(with_key),
    ("unknown", "has a device of another kind, old report"): Case(with_key, old_report=True),
    ("unknown", "has no console access"): Case(without_access),
    ("unknown", "has no device"): Case(bare),
    ("known", "got a virtual device"): Case(lambda account: account.enrol("ana"), bare),
    ("known", "got a device of another kind"): Case(lambda account: fido(account, "ana"), bare),
    ("known", "lost a virtual device"): Case(deactivate(PHONE), with_phone),
    ("known", "lost a virtual device, old report"): Case(
        deactivate(PHONE), with_phone, old_report=True
    ),
    ("known", "lost a device of another kind"): Case(deactivate(KEY), with_key),
    ("known", "lost a device of another kind, old report"): Case(
        deactivate(KEY), with_key, old_report=True
    ),
    ("known", "got console access"): Case(give_password, without_access),
    ("known", "lost console access"): Case(take_password, bare),
    ("known", "has another name"): Case(rename, with_phone),
    ("known", "is gone"): Case(delete, bare),
    ("known", "is gone, and another user has the name"): Case(recreate, bare),
}


def test_each_kind_of_change_costs_the_calls_that_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []
    for (who, what), case in CASES.items():
        with opened(monkeypatch, shards=INVENTORY_SHARDS) as account:
            product = Product(account, monkeypatch)
            reporting(account, monkeypatch)
            if case.before:
                case.before(account)
            product.sweep()
            if not case.old_report:
                account.clock.move(timedelta(hours=4))
            elif case.before is None:
                case.happens(account)
                account.clock.move(timedelta(hours=4))
                product.order_sweep()
                product.take_accounts()  # a report is made, and by the time of the sweep it is old
                account.take_all("SweepQueue")
                account.clock.move(timedelta(minutes=1))
                forget_everybody(account)
            if not (case.old_report and case.before is None):
                case.happens(account)
            measured.append((who, what, *cost(product, at_once=case.old_report)))
    assert documented("Sweeping") == measured, difference("Sweeping", measured)


def forget_everybody(account: Account) -> None:
    for item in account.items(""):
        account.dynamodb.delete_item(
            TableName=account.table, Key={"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}}
        )


def cost(product: Product, *, at_once: bool) -> tuple[str, str, str]:
    """Sweep, and count what comes on top of what each sweep costs."""
    calls = product.account.calls
    product.order_sweep(at_once=at_once)
    while True:
        calls.reset()
        if not product.take_accounts():
            raise AssertionError("the queue is empty, and no account was swept")
        if "iam:ListUsers" in calls.made:
            break
    asked = [call.split(":")[1] for call in calls.made if call.startswith("iam:")]
    assert asked[: len(LISTS)] == LISTS
    table = calls.tally("dynamodb")
    assert table.pop("Query") == INVENTORY_SHARDS
    reads, writes = table.pop("GetItem") - 1, table.pop("TransactWriteItems") - 1
    assert not table
    return ", ".join(asked[len(LISTS) :]) or "-", str(reads), str(writes)
