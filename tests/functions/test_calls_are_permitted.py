"""Each function's role in the template permits the calls that the function makes."""

import json
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.functions.approved import approved, fulfil
from tests.functions.product import Product
from tests.support.account import Account
from tests.support.builders import ACCOUNT, denied_removal, iam_user, sign_in
from tests.template.cloudformation import ACCOUNT as SHOWN_ACCOUNT
from tests.template.cloudformation import ROOT, Template

TEMPLATE = Template.read()
EVENTS = sorted((ROOT / "events").glob("*/*.json"))
FUNCTIONS = {
    function["Properties"]["CodeUri"].removeprefix("functions/"): function["Properties"]
    for function in TEMPLATE.of_type("AWS::Serverless::Function").values()
}
ACTIONS_OF_A_TRANSACTION = ("dynamodb:PutItem", "dynamodb:UpdateItem")


def permitted(function: str) -> set[str]:
    """Return the actions that the role of a function allows."""
    role = FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]
    statements = TEMPLATE.statements(role)
    for policy in TEMPLATE.of_type("AWS::IAM::Policy").values():
        if {"Ref": role} in policy["Properties"]["Roles"]:
            statements = [*statements, *policy["Properties"]["PolicyDocument"]["Statement"]]
    found: set[str] = set()
    for statement in statements:
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def unpermitted(function: str, made: list[str]) -> list[str]:
    """Return the calls that the role of a function does not allow."""
    actions = permitted(function)

    def allows(call: str) -> bool:
        wanted = ACTIONS_OF_A_TRANSACTION if call == "dynamodb:TransactWriteItems" else (call,)
        return any(fnmatchcase(one, pattern) for one in wanted for pattern in actions)

    return sorted({call for call in made if not allows(call)})


@pytest.fixture
def busy(account: Account, monkeypatch: pytest.MonkeyPatch) -> Product:
    """An account in which every schedule has something to do."""
    product = Product(account, monkeypatch, quarantine="on", regions="us-east-1")
    for name in ("alice", "bert"):
        user = iam_user(name, account.new_user(name, device=name == "bert"))
        product.observe(denied_removal(user, name) if name == "bert" else sign_in(user, name))
    return product


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_role_permits_the_calls_of_each_shown_event(
    busy: Product, account: Account, path: Path
) -> None:
    function = path.parent.name
    account.clock.time = datetime(2026, 11, 24, 12, tzinfo=UTC)  # the day of the shown events
    if function == "quarantine":
        busy.remind()
    event: dict[str, Any] = json.loads(path.read_text().replace(SHOWN_ACCOUNT, ACCOUNT))
    account.calls.reset()
    busy.invoke(function, event)
    missing = unpermitted(function, account.calls.made)
    assert not missing, f"template.yaml: the role of {function} lacks {missing}"


def test_schedules_of_a_busy_account_do_have_something_to_do(
    busy: Product, account: Account
) -> None:
    for function, call, later in (
        ("redeliver", "dynamodb:TransactWriteItems", timedelta(minutes=10)),
        ("remind", "iam:ListMFADevices", timedelta(days=30)),
        ("expire", "iam:ListMFADevices", timedelta(days=30)),
        ("quarantine", "iam:AttachUserPolicy", timedelta(minutes=1)),
        ("watch", "dynamodb:UpdateItem", timedelta(hours=1)),
    ):
        account.clock.move(later)
        account.calls.reset()
        busy.invoke(function, {})
        assert call in account.calls.made, function
        assert unpermitted(function, account.calls.made) == []


def test_role_of_fulfil_permits_its_calls(product: Product, account: Account) -> None:
    request = approved(product)
    account.calls.reset()
    assert fulfil(product, request)[0] == 200
    assert "iam:UpdateLoginProfile" in account.calls.made
    assert unpermitted("fulfil", account.calls.made) == []


def test_a_call_that_no_role_permits_is_named() -> None:
    made = ["iam:GetUser", "iam:DeleteUser", "dynamodb:TransactWriteItems", "dynamodb:DeleteItem"]
    assert unpermitted("on_sign_in", made) == ["dynamodb:DeleteItem", "iam:DeleteUser"]
