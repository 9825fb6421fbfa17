"""Change requests that are due, run as the schedule runs it: twice, late, crashed and raced."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.functions.approved import PHONE, approved, fulfil
from tests.functions.product import Product
from tests.support.account import Account, Crash, Refusal, opened
from tests.support.builders import Json, about, denied_removal, iam_user

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def denied(product: Product, account: Account) -> Json:
    """A user who tried to remove the device today, and was told of the request."""
    ana = iam_user("ana", account.new_user("ana", device=True))
    product.observe(denied_removal(ana, "ana"))
    product.deliver()
    account.calls.reset()
    return ana


def request_of(account: Account) -> Json:
    [request] = account.items("REQUEST#", "STATE")
    return request


def sent(product: Product) -> dict[str, int]:
    """Return what went out since last asked."""
    assert product.deliver() == []
    counts = dict(product.account.calls.sent)
    product.account.calls.sent.clear()
    return counts


@pytest.mark.usefixtures("denied")
def test_an_unanswered_request_gets_three_reminders_and_is_then_cancelled_with_a_mail(
    product: Product, account: Account
) -> None:
    went = {}
    for day in range(1, 40):
        account.clock.move(DAY)
        product.expire()
        if told := sent(product):
            went[day] = told
    assert went == {
        2: {"mail request_needs_details": 1},
        7: {"mail request_needs_details": 1},
        14: {"mail request_needs_details": 1},
        30: {"mail request_ended": 1},
    }
    assert request_of(account)["state"] == "cancelled"
    assert "due_shard" not in request_of(account)


@pytest.mark.usefixtures("denied")
def test_a_schedule_that_fires_twice_or_an_hour_later_reminds_once(
    product: Product, account: Account
) -> None:
    account.clock.move(2 * DAY)
    assert product.expire() == {"decided": 1}
    assert product.expire() == {}
    account.clock.move(HOUR)
    assert product.expire() == {}
    assert sent(product) == {"mail request_needs_details": 1}


def test_a_violation_is_alerted_again_every_week(product: Product, account: Account) -> None:
    account.new_user("ana", device=True)
    product.observe(about("DeactivateMFADevice", "ana", serialNumber=PHONE))
    sent(product)
    went = Counter[str]()
    for _ in range(22 * 24):
        account.clock.move(HOUR)
        if request_of(account)["due_at"] <= account.clock().isoformat(timespec="milliseconds"):
            product.expire()
            went.update(sent(product))
    assert went == {"alert violation_waiting": 3}
    assert request_of(account)["state"] == "open"


def test_an_approval_that_is_not_fulfilled_expires_and_is_notified(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.clock.move(DAY - HOUR)
    assert product.expire() == {}
    account.clock.move(HOUR)
    assert product.expire() == {"decided": 1}
    assert request_of(account)["state"] == "expired"
    assert sent(product) == {"alert request_expired": 1, "mail request_ended": 1}
    status, problem = fulfil(product, request)
    assert (status, "expired" in problem["detail"]) == (409, True)


def test_a_missing_new_device_is_alerted_once_and_closes_the_request_when_it_comes(
    product: Product, account: Account
) -> None:
    request = approved(product)
    assert fulfil(product, request)[0] == 200
    sent(product)
    account.clock.move(3 * DAY)
    assert product.expire() == {"decided": 1}
    assert sent(product) == {"alert enrolment_overdue": 1}
    account.clock.move(3 * DAY)
    assert product.expire() == {}
    ana = iam_user("ana", request.subject.user_id)
    serial = account.enrol("ana", "another")
    product.observe(about("EnableMFADevice", "ana", ana, serialNumber=serial))
    assert request_of(account)["state"] == "closed"
    assert sent(product) == {"mail enrolled": 1}


def test_a_new_device_without_an_event_closes_the_request_when_it_is_due(
    product: Product, account: Account
) -> None:
    assert fulfil(product, approved(product))[0] == 200
    sent(product)
    account.enrol("ana", "another")
    account.clock.move(3 * DAY)
    product.expire()
    assert request_of(account)["ended_because"] == "new device: virtual"
    assert sent(product) == {"mail enrolled": 1}


@pytest.mark.usefixtures("denied")
def test_a_user_who_is_gone_gets_no_reminder(product: Product, account: Account) -> None:
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=serial_of(account))
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    account.clock.move(2 * DAY)
    product.expire()
    assert request_of(account)["state"] == "cancelled"
    assert sent(product) == {}


def serial_of(account: Account) -> str:
    [device] = account.iam.list_mfa_devices(UserName="ana")["MFADevices"]
    return str(device["SerialNumber"])


@pytest.mark.usefixtures("denied")
def test_a_request_whose_user_cannot_be_read_stays_due_and_the_others_are_evaluated(
    product: Product, account: Account
) -> None:
    bob = iam_user("bob", account.new_user("bob", device=True))
    product.observe(denied_removal(bob, "bob", "second"))
    sent(product)
    account.clock.move(2 * DAY)
    account.calls.refused["iam:GetUser"] = Refusal("Throttling", naming='"UserName": "ana"')
    with pytest.raises(ExceptionGroup, match="could not be evaluated"):
        product.expire()
    account.calls.refused.clear()
    assert sent(product) == {"mail request_needs_details": 1}
    assert product.expire() == {"decided": 1}
    assert sent(product) == {"mail request_needs_details": 1}


@pytest.mark.usefixtures("denied")
def test_a_run_that_has_no_time_left_leaves_the_rest_due(
    product: Product, account: Account
) -> None:
    account.clock.move(2 * DAY)
    assert product.expire(milliseconds=4_000) == {}
    assert product.expire() == {"decided": 1}


def test_of_two_simultaneous_runs_one_changes_nothing(
    product: Product, account: Account, denied: Json
) -> None:
    account.clock.move(2 * DAY)
    product.expire()
    calls = account.calls.made.index("dynamodb:TransactWriteItems") + 1
    account.clock.move(5 * DAY)
    account.calls.reset()
    account.calls.made.clear()

    def meanwhile() -> None:
        product.observe(denied_removal(denied, "ana", "again"))

    account.calls.meanwhile = (calls, meanwhile)
    assert product.expire() == {"lost_race": 1}
    product.running = ""
    assert product.expire() == {"decided": 1}
    assert request_of(account)["attempt_count"] == 2
    assert request_of(account)["reminders"] == 2


# A crash anywhere ---------------------------------------------------------------------------------


def unanswered(product: Product) -> timedelta:
    ana = iam_user("ana", product.account.new_user("ana", device=True))
    product.observe(denied_removal(ana, "ana"))
    product.deliver()
    return 2 * DAY


def expired(product: Product) -> timedelta:
    approved(product)
    return DAY


def overdue(product: Product) -> timedelta:
    assert fulfil(product, approved(product))[0] == 200
    product.deliver()
    return 3 * DAY


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("arrange", "told", "state"),
    [
        (unanswered, {"mail request_needs_details": 1}, "open"),
        (expired, {"alert request_expired": 1, "mail request_ended": 1}, "expired"),
        (overdue, {"alert enrolment_overdue": 1}, "fulfilled"),
    ],
)
def test_a_crash_at_any_call_loses_nothing_and_notifies_nobody_twice(
    arrange: Callable[[Product], timedelta],
    told: dict[str, int],
    state: str,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, calls = 0, 1
    while number <= calls:
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            account.clock.move(arrange(product))
            account.calls.reset()
            if number:
                setattr(account.calls, f"crash_{moment}", number)
                with pytest.raises(Crash):
                    product.expire()
                product.running = ""
            product.expire()
            calls = calls if number else len(account.calls.made)
            assert sent(product) == told, (number, account.calls.made)
            assert request_of(account)["state"] == state
            assert product.expire() == {}
        number += 1
