from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.template.cloudformation import ROOT, STACK, Template

TEMPLATE = Template.read(BreakGlassRoles="break-glass")
GUARD = TEMPLATE.resolve(TEMPLATE.properties("GuardPolicy"))
STATEMENTS = GUARD["PolicyDocument"]["Statement"]
ACTIONS = {action for statement in STATEMENTS for action in statement["Action"]}


def _exempt(template: Template) -> list[list[str]]:
    document = template.resolve(template.properties("GuardPolicy")["PolicyDocument"])
    return [s["Condition"]["ArnNotLikeIfExists"]["aws:PrincipalArn"] for s in document["Statement"]]


def _without_spaces(document: Any) -> int:
    return len("".join(json.dumps(document).split()))


def test_service_control_policy_in_the_docs_says_the_same() -> None:
    found = re.search(r"```json\n(.*?)```", (ROOT / "docs/guard-policy.md").read_text(), re.DOTALL)
    assert found
    assert json.loads(found[1]) == GUARD["PolicyDocument"]


def test_guard_policy_only_denies() -> None:
    assert {statement["Effect"] for statement in STATEMENTS} == {"Deny"}


def test_removal_is_denied_for_devices_of_every_kind_and_owner() -> None:
    assert STATEMENTS[0]["Action"] == ["iam:DeactivateMFADevice", "iam:DeleteVirtualMFADevice"]
    assert STATEMENTS[0]["Resource"] == "*"


@pytest.mark.parametrize(
    "action",
    [
        "iam:ChangePassword",
        "iam:CreateVirtualMFADevice",
        "iam:EnableMFADevice",
        "iam:ListMFADevices",
        "iam:ResyncMFADevice",
        "iam:UpdateLoginProfile",
    ],
)
def test_complying_is_never_denied(action: str) -> None:
    assert action not in ACTIONS


def test_no_action_is_a_wildcard() -> None:
    assert [action for action in ACTIONS if "*" in action] == []


def test_guard_policy_protects_itself_under_the_name_it_has() -> None:
    own = f"arn:aws:iam::*:policy/{GUARD['ManagedPolicyName']}"
    by_id = {statement["Sid"]: statement for statement in STATEMENTS}
    assert by_id["DenyGuardChange"]["Resource"] == own
    assert by_id["DenyGuardDetachment"]["Condition"]["ArnLike"] == {"iam:PolicyARN": own}


def test_every_denial_exempts_the_fulfil_role_and_the_break_glass_roles_alone() -> None:
    template = Template.read(BreakGlassRoles="break-glass,path/to/security")
    roles = [f"{STACK}-Fulfil*", "break-glass", "path/to/security"]
    assert _exempt(template) == [[f"arn:*:iam::*:role/{role}" for role in roles]] * len(STATEMENTS)


def test_without_break_glass_roles_nobody_else_is_exempt() -> None:
    nobody = "arn:*:iam::*:role/"
    assert _exempt(Template.read())[0] == [f"arn:*:iam::*:role/{STACK}-Fulfil*", nobody]


def test_none_of_the_watchers_own_roles_has_an_exempt_name() -> None:
    assert [n for n in TEMPLATE.of_type("AWS::IAM::Role") if n.startswith("Fulfil")] == []


def test_guard_policy_fits_a_managed_policy_and_a_service_control_policy() -> None:
    assert _without_spaces(GUARD["PolicyDocument"]) <= 5120  # a managed policy may have 6144
