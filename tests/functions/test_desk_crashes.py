"""Each step at a desk is one transaction: a crash after any call leaves all of it, or nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from mfa_watcher.domain.users.people import Person
from tests.functions.approved import BOB, PHONE
from tests.functions.product import Product
from tests.support.account import Account, Crash
from tests.support.builders import ACCOUNT, Json

DETAILS = {"reason": "My phone was stolen on Monday.", "wanted": "fido"}
WORD = {"reason": "Spoke to her on the phone"}

Ready = Callable[[Product, Account, Person], str]


def _nothing(_product: Product, _account: Account, _ana: Person) -> str:
    return "/requests"


def _filed(product: Product, _account: Account, ana: Person) -> str:
    body = {"details": DETAILS}
    _, answer = product.call("change_desk", "POST", "/requests", ana, body)
    return f"/requests/{answer['request']['id']}"


def _opened(product: Product, _account: Account, ana: Person) -> str:
    _, answer = product.call("change_desk", "POST", "/requests", ana, {})
    return f"/requests/{answer['request']['id']}"


def _expired(product: Product, account: Account, ana: Person) -> str:
    path = _filed(product, account, ana)
    product.call("approval_desk", "POST", f"{path}/approve", BOB, WORD)
    account.clock.move(timedelta(hours=25))
    product.invoke("expire", {})
    return path


STEPS: dict[str, tuple[Ready, str, str, Json, str]] = {
    "file": (_nothing, "change_desk", "", {"details": DETAILS}, "submitted"),
    "details": (_opened, "change_desk", "/details", DETAILS, "submitted"),
    "cancel": (_filed, "change_desk", "/cancel", WORD, "cancelled"),
    "approve": (_filed, "approval_desk", "/approve", WORD, "approved"),
    "reject": (_filed, "approval_desk", "/reject", WORD, "rejected"),
    "reopen": (_expired, "approval_desk", "/reopen", WORD, "approved"),
}


@pytest.fixture
def ana(account: Account) -> Person:
    user_id = account.new_user("ana", device=True)
    return Person(f"arn:aws:iam::{ACCOUNT}:user/ana", user_id, ACCOUNT)


@pytest.mark.parametrize("step", STEPS)
def test_step_killed_at_any_call_and_sent_again_is_done_once(
    product: Product, account: Account, ana: Person, step: str
) -> None:
    ready, function, suffix, body, state = STEPS[step]
    path = ready(product, account, ana) + suffix
    by = ana if function == "change_desk" else BOB
    before = len(account.items("INTENT#"))
    history = len(account.items("REQUEST#", "HISTORY#"))
    for crash in range(1, 20):
        account.calls.reset()
        account.calls.crash_after = crash
        try:
            status, answer = product.call(function, "POST", path, by, body)
        except Crash:
            continue
        break
    else:
        pytest.fail("it never came to an end")
    # The last crash came after the commit, so that the step was done, and the answer lost.
    again = step == "details"
    assert status == (200 if again else 409), answer
    [request] = [i for i in account.items("REQUEST#", "STATE") if i["state"] == state]
    assert request["version"] == history + 1
    assert len(account.items("REQUEST#", "HISTORY#")) == history + 1
    assert len(account.items("INTENT#")) > before
    if state == "approved":
        assert request["devices"] == [PHONE]
