"""Whatever happens while a request is carried out, calling again ends in the same place."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.users.people import Person
from tests.functions.approved import (
    CARLA,
    DORA,
    FIDO,
    HARDWARE,
    PHONE,
    TABLET,
    Ana,
    approved,
    fulfil,
    story,
)
from tests.functions.product import FULFIL_ROLE, Product
from tests.support.account import Account, Crash, Refusal, opened
from tests.support.builders import Json, about, iam_call

Answer = tuple[int, Json]

LEASE = timedelta(minutes=2)
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a device of each kind": ((PHONE, FIDO, HARDWARE), ()),
    "one of two devices": ((PHONE,), (TABLET,)),
}
CHANGES = ("DeactivateMFADevice", "DeleteVirtualMFADevice", "UpdateLoginProfile")


@pytest.fixture(autouse=True)
def account() -> None:
    """Each run opens an account of its own."""


def crashed(product: Product, request: ChangeRequest) -> bool:
    """Call once; True if the function's process ended in it."""
    try:
        fulfil(product, request)
    except Crash:
        product.running = ""
        return True
    return False


def calls_of_a_plain_run(
    monkeypatch: pytest.MonkeyPatch, devices: tuple[str, ...], kept: tuple[str, ...]
) -> list[str]:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product, devices, kept)
        assert fulfil(product, request)[0] == 200
        return list(account.calls.made)


@pytest.mark.parametrize("again", [CARLA, DORA], ids=["at once", "another, when the lease is over"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("devices", "kept"), CASES.values(), ids=CASES)
def test_a_crash_at_any_call_and_a_second_try_lead_to_the_same_result(
    devices: tuple[str, ...],
    kept: tuple[str, ...],
    moment: str,
    again: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = calls_of_a_plain_run(monkeypatch, devices, kept)
    for number in range(1, len(calls) + 1):
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = approved(product, devices, kept)
            setattr(account.calls, f"crash_{moment}", number)
            assert crashed(product, request)
            if again is not CARLA:
                account.clock.move(LEASE)
            told = f"crash {moment} call {number}, {calls[number - 1]}"
            check_done(account, request, fulfil(product, request, again), told)


def check_done(account: Account, request: ChangeRequest, answered: Answer, told: str) -> None:
    """See that a call ended as if nothing had happened before it."""
    devices, kept = request.devices, request.kept
    status, answer = answered
    assert status == 200, (told, answer)
    ana = Ana.of(account)
    assert ana == Ana(frozenset(kept), frozenset(kept), answer["password"], reset_required=True), (
        told
    )
    [item] = account.items("REQUEST#", "STATE")
    assert item["state"] == RequestState.FULFILLED, told
    done = set(answer["steps"])
    for serial in devices:
        assert {f"deactivated {serial}", f"found {serial} deactivated"} & done, told
    assert (f"deleted {PHONE}" in done) == (PHONE in devices), told
    assert len(done) == len(devices) + (PHONE in devices) + 1, told
    told_once = story(account, request)
    steps = [what for what in told_once if what.startswith(("Deactivated", "Found", "Deleted"))]
    assert len(steps) == len(set(steps)) == len(done) - 1, told
    check_user(account, kept, told)


def check_user(account: Account, kept: tuple[str, ...], told: str) -> None:
    [user] = account.items("USER#", "STATE")
    assert user["mfa_status"] == ("protected" if kept else "unprotected"), told
    effects = [e for entry in account.items("USER#", "HISTORY#") for e in entry["effects"]]
    opened_by = [effect for effect in effects if "finding opened" in effect]
    assert opened_by == ([] if kept else ["finding opened: request_fulfilled"]), told
    ends = sum(effect.endswith(" fulfilled") for effect in effects)
    assert 1 <= ends <= 2, told  # a call after one that had come to its end tells of it, too
    for kind in ("mail", "alert"):
        assert len(account.items(f"INTENT#{kind}-request_fulfilled")) == ends, told


REFUSALS = {
    "Throttling": "IAM is busy. Try again in a minute",
    "AccessDenied": "A policy outside this stack",
    "ServiceFailure": "IAM is busy",
    "EntityTemporarilyUnmodifiable": "IAM is still busy with an earlier change of this user",
    "ConcurrentModification": "IAM is busy",
    "PasswordPolicyViolation": "The account's password policy rejects the new password",
    "SomethingNew": "Try again in a minute",
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("call", CHANGES)
def test_a_call_that_iam_refuses_is_a_problem_with_the_remedy_and_the_steps_done(
    call: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product, (PHONE, HARDWARE))
        account.calls.refused[f"iam:{call}"] = Refusal(code, "secret words of IAM")
        status, problem = fulfil(product, request)
        assert (status, problem["title"]) == (503, "IAM is temporarily unavailable")
        assert f"IAM did not do {call}: {code}. {REFUSALS[code]}" in problem["detail"]
        assert "Done so far: " in problem["detail"]
        assert "secret words" not in problem["detail"]
        assert story(account, request)[-1].startswith("Fulfilment stopped: IAM did not do")
        account.calls.reset()
        answered = fulfil(product, request, DORA)  # who need not wait: it was let go of
        check_done(account, request, answered, call)


READS = ("GetUser", "GetLoginProfile", "GetAccountPasswordPolicy", "ListMFADevices")


@pytest.mark.parametrize("call", READS)
def test_a_call_that_iam_does_not_answer_is_a_problem_too(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product)
        account.calls.refused[f"iam:{call}"] = Refusal("Throttling")
        status, problem = fulfil(product, request)
        assert (status, problem["title"]) == (503, "IAM is temporarily unavailable")
        assert f"IAM did not answer {call}: Throttling" in problem["detail"]
        account.calls.reset()
        check_done(account, request, fulfil(product, request, DORA), call)


@pytest.mark.parametrize("call", CHANGES)
def test_a_lost_answer_of_iam_leaves_nothing_undone(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        request = approved(product)
        account.calls.unreachable.add(f"iam:{call}")
        status, problem = fulfil(product, request)
        assert status == 503
        assert "The change may have been made nevertheless" in problem["detail"]
        account.calls.reset()
        check_done(account, request, fulfil(product, request, DORA), call)


# --- at once ---


@pytest.mark.parametrize("other", [CARLA, DORA], ids=["the same person", "another"])
def test_of_two_calls_at_once_the_last_answer_has_the_password_that_is_valid(
    other: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = approved(product, (PHONE, HARDWARE))
            answers: list[Answer] = []
            account.calls.meanwhile = (
                number,
                lambda: answers.append(fulfil(product, request, other)),  # noqa: B023
            )
            answers.append(fulfil(product, request))
            raced = account.calls.meanwhile is None
            told = f"at call {number} of {account.calls.made}: {answers}"
            assert {status for status, _ in answers} <= {200, 409}, told
            passwords = [answer["password"] for status, answer in answers if status == 200]
            assert passwords, told
            ana = Ana.of(account)
            assert ana == Ana(frozenset(), frozenset(), passwords[-1], reset_required=True), told
            [item] = account.items("REQUEST#", "STATE")
            assert item["state"] == RequestState.FULFILLED, told
            made = account.calls.tally("iam")
            assert made["DeactivateMFADevice"] <= 3, told
    assert number > 15


def test_the_records_of_a_fulfilment_are_never_a_violation_whenever_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = approved(product)
            account.calls.meanwhile = (number, observed(product))
            answered = fulfil(product, request)
            raced = account.calls.meanwhile is None
            observed(product)()
            told = f"before call {number} of {account.calls.made}"
            check_done(account, request, answered, told)
            product.deliver()
            told_to_security = {kind for kind in account.calls.sent if kind.startswith("alert")}
            assert told_to_security == {"alert request_fulfilled"}, told
            mails = {kind for kind in account.calls.sent if kind.startswith("mail")}
            assert mails == {"mail request_fulfilled"}, told
    assert number > 10


def observed(product: Product) -> Callable[[], None]:
    """Let those changes be seen that have happened by then."""
    role: Json = {
        "type": "AssumedRole",
        "principalId": "AROAFULFIL:mfa-watcher-fulfil",
        "arn": f"arn:aws:sts::123456789012:assumed-role/{FULFIL_ROLE}/mfa-watcher-fulfil",
        "accountId": "123456789012",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAFULFIL",
                "arn": f"arn:aws:iam::123456789012:role/{FULFIL_ROLE}",
                "accountId": "123456789012",
                "userName": FULFIL_ROLE,
            }
        },
    }

    def see() -> None:
        ana = Ana.of(product.account)
        if PHONE not in ana.devices:
            product.observe(about("DeactivateMFADevice", "ana", role, serialNumber=PHONE))
        if PHONE not in ana.virtual:
            product.observe(
                iam_call("DeleteVirtualMFADevice", role, requestParameters={"serialNumber": PHONE})
            )
        if ana.reset_required:
            product.observe(about("UpdateLoginProfile", "ana", role))

    return see
