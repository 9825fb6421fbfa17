"""What CloudTrail tells of a request that is carried out, early, late, twice and in any order."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import permutations
from random import Random

import pytest

from mfa_watcher.domain.requests.change_request import ChangeRequest
from tests.functions.approved import BOB, PHONE, TABLET, approved, fulfil
from tests.functions.product import FULFIL_ROLE, Product
from tests.support.account import Account, opened
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    NOW,
    Json,
    about,
    denied_removal,
    iam_call,
    iam_user,
    sign_in,
    user_created,
)

MINUTE = timedelta(minutes=1)
FULFILLER: Json = {
    "type": "AssumedRole",
    "principalId": "AROAFULFIL:mfa-watcher-Fulfil",
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{FULFIL_ROLE}/mfa-watcher-Fulfil",
    "accountId": ACCOUNT,
    "sessionContext": {
        "sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/{FULFIL_ROLE}"}
    },
}


@pytest.fixture(autouse=True)
def account() -> None:
    """Each run opens an account of its own."""


def steps(serial: str = PHONE) -> list[Json]:
    """Return the records that the carrying out leaves."""
    return [
        about("DeactivateMFADevice", "ana", FULFILLER, serialNumber=serial),
        iam_call("DeleteVirtualMFADevice", FULFILLER, requestParameters={"serialNumber": serial}),
        about("UpdateLoginProfile", "ana", FULFILLER),
    ]


def enrolment(account: Account, request: ChangeRequest) -> list[Json]:
    """Let the user sign in with the new password and enrol; return the records."""
    ana = iam_user("ana", request.subject.user_id)
    at = NOW + 10 * MINUTE
    asked = {"userName": "ana", "serialNumber": account.enrol("ana", "new")}
    return [
        sign_in(ana, at=at),
        iam_call("EnableMFADevice", ana, at=at + MINUTE, requestParameters=asked),
    ]


def states(account: Account) -> list[str]:
    return sorted(request["state"] for request in account.items("REQUEST#", "STATE"))


def told(product: Product) -> set[str]:
    """Deliver; return what went out, which is nothing twice."""
    assert product.deliver() == []
    sent = product.account.calls.sent
    assert set(sent.values()) <= {1}
    return set(sent)


def test_the_records_of_a_fulfilment_lead_to_the_same_result_in_every_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = Random(4)  # noqa: S311 - orders, no secrets
    for order in random.sample(list(permutations(range(5))), 20):
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = approved(product)
            assert fulfil(product, request)[0] == 200
            records = [*steps(), *enrolment(account, request)]
            for number in order:
                assert product.observe(*[records[number]] * random.randint(1, 2)) == []
            assert states(account) == ["closed"], order
            assert told(product) <= {"alert request_fulfilled", "mail enrolled"}, order
            [user] = account.items("USER#", "STATE")
            assert user["mfa_status"] == "protected", order
            evidence = [
                entry["event_id"]
                for entry in account.items(f"REQUEST#{request.id}", "HISTORY#")
                if any("a step of fulfilling" in effect for effect in entry["effects"])
            ]
            assert len(evidence) == 3, order


def test_a_late_record_of_a_fulfilment_is_no_violation_of_a_newer_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product)
        fulfil(product, request)
        ana = iam_user("ana", request.subject.user_id)
        product.observe(*enrolment(account, request))
        product.observe(denied_removal(ana, "ana"))
        assert states(account) == ["closed", "open"]
        product.observe(*steps())
        assert states(account) == ["closed", "open"]
        assert not any(item.get("violation") for item in account.items("REQUEST#", "STATE"))
        assert "alert removal_unapproved" not in told(product)


def test_a_record_of_a_fulfilment_two_requests_ago_is_no_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product)
        fulfil(product, request)
        ana = iam_user("ana", request.subject.user_id)
        product.observe(*enrolment(account, request))
        product.observe(denied_removal(ana, "ana"))
        [second] = [item for item in account.items("REQUEST#", "STATE") if item["state"] == "open"]
        path = f"/requests/{second['id']}/cancel"
        assert product.call("approval_desk", "POST", path, BOB, {"reason": "Mistake"})[0] == 200
        product.observe(denied_removal(ana, "ana", "another"))
        product.observe(*steps())
        assert states(account) == ["cancelled", "closed", "open"]
        assert not any(item.get("violation") for item in account.items("REQUEST#", "STATE"))


def test_a_late_record_of_a_fulfilment_is_no_violation_for_the_next_owner_of_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product)
        fulfil(product, request)
        account.iam.delete_login_profile(UserName="ana")
        account.iam.delete_user(UserName="ana")
        product.observe(user_created("ana", account.new_user("ana")))
        assert product.observe(*steps()) == []
        assert not any(item.get("violation") for item in account.items("REQUEST#", "STATE"))
        assert "alert removal_unapproved" not in told(product)


def during_each_call(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[Product], object]
) -> Iterator[tuple[int, list[str], set[str]]]:
    """Fulfil, with something happening right before each call in turn; return what it led to."""
    calls = fulfilled_with(monkeypatch, None, happens)[0]
    for number in range(2, calls + 1):  # before the first, nothing is begun
        yield fulfilled_with(monkeypatch, number, happens)[1:]


def fulfilled_with(
    monkeypatch: pytest.MonkeyPatch, number: int | None, happens: Callable[[Product], object]
) -> tuple[int, int, list[str], set[str]]:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product, (PHONE,), (TABLET,))
        account.calls.meanwhile = (number, lambda: happens(product)) if number else None
        status, _ = fulfil(product, request)
        assert account.calls.meanwhile is None
        return len(account.calls.made), status, states(account), told(product)


def test_records_that_arrive_before_the_fulfilment_ends_are_no_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_step_seen(product: Product) -> None:
        listed = product.account.iam.list_mfa_devices(UserName="ana")["MFADevices"]
        if len(listed) == 1:
            product.observe(*steps()[:1])

    for status, state, sent in during_each_call(monkeypatch, first_step_seen):
        assert (status, state) == (200, ["fulfilled"])
        assert sent <= {"alert request_fulfilled", "mail request_fulfilled"}


def test_a_denied_attempt_during_a_fulfilment_joins_and_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for status, state, sent in during_each_call(
        monkeypatch, lambda product: product.observe(denied_removal(ADMIN, "ana"))
    ):
        assert (status, state) == (200, ["fulfilled"])
        assert {"alert removal_denied", "alert request_fulfilled"} <= sent


def test_a_violation_during_a_fulfilment_stops_it_and_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def violation(product: Product) -> None:
        product.observe(about("DeactivateMFADevice", "ana", ADMIN, serialNumber=TABLET))

    for status, state, sent in during_each_call(monkeypatch, violation):
        assert status == 409
        assert state == ["open"]
        assert "alert removal_unapproved" in sent
        assert "alert request_fulfilled" not in sent
