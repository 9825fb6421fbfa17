"""No role of a function can update or delete a history entry, whatever its code is made to do."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest

from mfa_watcher.adapters import items
from mfa_watcher.domain.history import About, HistoryEntry
from tests.support.builders import NOW
from tests.template.cloudformation import Template

TEMPLATE = Template.read(QuarantineMode="on")
ROLES = sorted(TEMPLATE.of_type("AWS::IAM::Role"))

# Whatever changes or removes an item that is there, without being asked for the item's key.
NEVER = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:DeleteTable",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutResourcePolicy",
    "dynamodb:UpdateTable",
    "dynamodb:UpdateTimeToLive",
]
HISTORY = [
    items.history_pk(HistoryEntry(about, "111122223333/AIDA1", NOW, "e1", "seen"))
    for about in About
]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(role: str) -> list[dict[str, Any]]:
    """Return all that a role may do: its own statements, and those of policies apart from it."""
    apart = [
        statement
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for policy in TEMPLATE.of_type(kind).values()
        if {"Ref": role} in policy["Properties"].get("Roles", [])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    resolved: list[dict[str, Any]] = TEMPLATE.resolve([*TEMPLATE.statements(role), *apart])
    return resolved


def _allows(statement: dict[str, Any], action: str) -> bool:
    # A statement of what is not allowed would have to be understood first.
    assert statement["Effect"] == "Allow"
    assert "NotAction" not in statement
    return any(
        fnmatchcase(action.casefold(), pattern.casefold())
        for pattern in _listed(statement["Action"])
    )


def _updates() -> list[tuple[str, dict[str, Any]]]:
    return [
        (role, statement)
        for role in ROLES
        for statement in _statements(role)
        if _allows(statement, "dynamodb:UpdateItem")
    ]


@pytest.mark.parametrize("role", ROLES)
def test_role_may_do_nothing_that_removes_an_item_or_asks_for_no_key(role: str) -> None:
    allowed = {a for s in _statements(role) for a in NEVER if _allows(s, a)}
    assert allowed == set()


@pytest.mark.parametrize(
    ("role", "statement"), _updates(), ids=[f"{r}-{s['Sid']}" for r, s in _updates()]
)
def test_role_updates_the_kinds_of_items_that_it_marks_and_never_a_history(
    role: str, statement: dict[str, Any]
) -> None:
    assert statement["Condition"].keys() == {"ForAllValues:StringLike"}, role
    condition = statement["Condition"]["ForAllValues:StringLike"]
    patterns = _listed(condition["dynamodb:LeadingKeys"])
    assert [
        (pattern, pk) for pattern in patterns for pk in HISTORY if fnmatchcase(pk, pattern)
    ] == []
    # Nor one that a longer id would make: what stands before the wildcard is a kind of its own.
    kinds = {pk.partition("#")[0] for pk in HISTORY}
    assert not {pattern.partition("#")[0] for pattern in patterns} & kinds
    assert [p for p in patterns if p.startswith(("*", "?"))] == []


def test_history_lies_where_no_update_reaches() -> None:
    assert {pk.partition("#")[0] for pk in HISTORY} == {"USER", "REQUEST", "ACCOUNT"}


def test_some_roles_do_update_something() -> None:
    assert {role for role, _ in _updates()} >= {"DeliverRole", "OnMailFeedbackRole"}
