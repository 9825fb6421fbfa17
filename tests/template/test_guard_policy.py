from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.template.cloudformation import ROOT, STACK, Template

TEMPLATE = Template.read(BreakGlassRoles="break-glass", OperatorRoles="watcher-operators")
NESTED = TEMPLATE.nested("Guard")
GUARD = NESTED.resolve(NESTED.properties("GuardPolicy"))
STATEMENTS = GUARD["PolicyDocument"]["Statement"]
BY_ID = {statement["Sid"]: statement for statement in STATEMENTS}
ACTIONS = {action for statement in STATEMENTS for action in statement["Action"]}
REMOVAL = "DenyDeviceRemovalOutsideChangeRequest"

# As long as Identity Center makes them.
LONG = "aws-reserved/sso.amazonaws.com/ap-southeast-2/AWSReservedSSO_{:_<32}_0123456789abcdef"


def _document(**parameters: str) -> dict[str, Any]:
    nested = Template.read(**parameters).nested("Guard")
    document: dict[str, Any] = nested.resolve(nested.properties("GuardPolicy")["PolicyDocument"])
    return document


def _exempt(**parameters: str) -> dict[str, list[str]]:
    return {
        one["Sid"]: one["Condition"]["ArnNotLikeIfExists"]["aws:PrincipalArn"]
        for one in _document(**parameters)["Statement"]
    }


def _roles(*names: str) -> list[str]:
    return [f"arn:*:iam::*:role/{name}" for name in names]


def _without_spaces(document: Any) -> int:
    return len("".join(json.dumps(document).split()))


def test_service_control_policy_in_the_docs_says_the_same() -> None:
    found = re.search(r"```json\n(.*?)```", (ROOT / "docs/guard-policy.md").read_text(), re.DOTALL)
    assert found
    assert json.loads(found[1]) == GUARD["PolicyDocument"]


def test_guard_policy_only_denies() -> None:
    assert {statement["Effect"] for statement in STATEMENTS} == {"Deny"}


def test_removal_is_denied_for_devices_of_every_kind_and_owner() -> None:
    assert BY_ID[REMOVAL]["Action"] == ["iam:DeactivateMFADevice", "iam:DeleteVirtualMFADevice"]
    assert BY_ID[REMOVAL]["Resource"] == "*"


def test_where_users_clear_up_themselves_deactivating_is_still_denied() -> None:
    statement, *others = _document(ClearAbandonedDevices="yes")["Statement"]
    assert statement["Action"] == ["iam:DeactivateMFADevice"]
    assert others == _document()["Statement"][1:]


@pytest.mark.parametrize(
    "action",
    [
        "iam:ChangePassword",
        "iam:CreateVirtualMFADevice",
        "iam:EnableMFADevice",
        "iam:ListMFADevices",
        "iam:ResyncMFADevice",
        "iam:UpdateLoginProfile",
        "lambda:InvokeFunctionUrl",
    ],
)
def test_complying_is_never_denied(action: str) -> None:
    assert action not in ACTIONS


def test_no_action_is_a_wildcard() -> None:
    assert [action for action in ACTIONS if "*" in action] == []


def test_guard_policy_protects_itself_under_the_name_it_has() -> None:
    own = f"arn:*:iam::*:policy/{GUARD['ManagedPolicyName']}"
    assert BY_ID["DenyDetachment"]["Condition"]["ArnLikeIfExists"]["iam:PolicyARN"] == own
    assert f"arn:*:iam::*:policy/{STACK}-*" in BY_ID["DenyTampering"]["Resource"]


def test_functions_are_invoked_through_their_urls_alone() -> None:
    statement = BY_ID["DenyTampering"]
    assert "lambda:InvokeFunction" in statement["Action"]
    # A direct call has no such key, so its absence counts as no.
    assert statement["Condition"]["BoolIfExists"] == {"lambda:InvokedViaFunctionUrl": "false"}


@pytest.mark.parametrize("write", ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"])
def test_nobody_writes_into_the_table_by_hand(write: str) -> None:
    # A transaction is authorised as the writes it consists of.
    assert f"dynamodb:{write}" in BY_ID["DenyTampering"]["Action"]


def test_the_watchers_key_is_known_by_its_tag() -> None:
    (tag,) = TEMPLATE.resolve(TEMPLATE.properties("Key")["Tags"])
    condition = BY_ID["DenyLosingTheKey"]["Condition"]["StringEquals"]
    assert condition == {f"aws:ResourceTag/{tag['Key']}": tag["Value"]}


def test_devices_are_removed_by_the_fulfil_role_and_the_break_glass_roles_alone() -> None:
    exempt = _exempt(BreakGlassRoles="break-glass,path/to/security", OperatorRoles="ops")
    assert exempt[REMOVAL] == _roles(f"{STACK}-Fulfil*", "break-glass", "path/to/security")


def test_the_watcher_is_touched_by_itself_its_operators_and_the_break_glass_roles_alone() -> None:
    exempt = _exempt(BreakGlassRoles="break-glass,path/to/security", OperatorRoles="ops")
    del exempt[REMOVAL]
    expected = _roles(f"{STACK}-*", "break-glass", "path/to/security", "ops")
    assert list(exempt.values()) == [expected] * (len(STATEMENTS) - 1)


def test_without_parameters_nobody_else_is_exempt_and_no_arn_is_without_a_name() -> None:
    exempt = _exempt()
    assert exempt.pop(REMOVAL) == _roles(f"{STACK}-Fulfil*")
    assert list(exempt.values()) == [_roles(f"{STACK}-*")] * (len(STATEMENTS) - 1)
    [protected] = [
        one["Resource"] for one in _document()["Statement"] if one["Sid"] == "DenyTampering"
    ]
    assert [one for one in protected if one.endswith("/")] == []


def test_nobody_makes_a_role_that_bears_an_exempt_name() -> None:
    statement = BY_ID["DenyTampering"]
    assert {"iam:CreateRole", "iam:PassRole", "iam:UpdateAssumeRolePolicy"} <= {
        *statement["Action"]
    }
    exempt = {arn for arns in _exempt(**TEMPLATE.parameters).values() for arn in arns}
    assert exempt - {f"arn:*:iam::*:role/{STACK}-Fulfil*"} <= {*statement["Resource"]}


def test_of_the_watchers_own_roles_only_that_of_fulfil_may_remove_a_device() -> None:
    named = [n for n in TEMPLATE.of_type("AWS::IAM::Role") if n.startswith("Fulfil")]
    assert named == ["FulfilRole"]


def test_no_role_name_is_a_pattern() -> None:
    for parameter in ("BreakGlassRoles", "OperatorRoles"):
        allowed = re.compile(TEMPLATE.body["Parameters"][parameter]["AllowedPattern"])
        for name in ("", "break-glass", "path/to/break-glass", LONG.format("Security")):
            assert allowed.fullmatch(name)
        for pattern in ("*", "break-*", "role?", "/break-glass", "path//role", "a b"):
            assert not allowed.fullmatch(pattern)


def test_guard_policy_fits_a_managed_policy_and_a_service_control_policy() -> None:
    long = {"BreakGlassRoles": LONG.format("Security"), "OperatorRoles": LONG.format("Operators")}
    assert _without_spaces(_document(**long)) <= 5120


def test_guard_policy_fits_a_managed_policy_with_two_long_names_each() -> None:
    two = ",".join(LONG.format(name) for name in ("Security", "Network"))
    assert _without_spaces(_document(BreakGlassRoles=two, OperatorRoles=two)) <= 6144
