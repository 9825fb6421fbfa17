"""The nested templates: what is in them, and that the watcher's protection covers them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.template.cloudformation import ACCOUNT, REGION, ROOT, STACK, Template

TEMPLATE = Template.read()
NESTED = {name: TEMPLATE.nested(name) for name in TEMPLATE.of_type("AWS::CloudFormation::Stack")}
KINDS = {
    "Alarms": "AWS::CloudWatch::Alarm",
    "Guard": "AWS::IAM::ManagedPolicy",
    "Tampering": "AWS::Events::Rule",
}


def _protected() -> list[str]:
    """Return the patterns of what the guard policy protects."""
    guard = NESTED["Guard"]
    statements = guard.resolve(guard.properties("GuardPolicy")["PolicyDocument"]["Statement"])
    [protected] = [one["Resource"] for one in statements if one["Sid"] == "DenyTampering"]
    return list(protected)


def test_each_template_beside_the_root_is_nested_or_the_forwarder() -> None:
    files = {path.name for path in ROOT.glob("*.yaml")}
    nested = {TEMPLATE.properties(name)["TemplateURL"] for name in NESTED}
    assert files == {"template.yaml", "forwarder.yaml", *nested}


@pytest.mark.parametrize("name", NESTED)
def test_nested_template_has_one_kind_of_resource_and_no_function(name: str) -> None:
    # `sam local invoke FUNCTION` finds functions of the root template by their plain names.
    kinds = {resource["Type"] for resource in NESTED[name].body["Resources"].values()}
    assert kinds == {KINDS[name]}
    assert "Transform" not in NESTED[name].body


@pytest.mark.parametrize("name", NESTED)
def test_nested_template_gets_each_of_its_parameters_and_no_other(name: str) -> None:
    properties = TEMPLATE.properties(name)
    passed, declared = properties["Parameters"], NESTED[name].body["Parameters"].keys()
    file = properties["TemplateURL"]
    assert not declared - passed.keys(), (
        f"template.yaml, {name}: pass on {declared - passed.keys()}"
    )
    assert not passed.keys() - declared, f"{file}: declare {passed.keys() - declared}"
    # CloudFormation takes strings only.
    assert all(isinstance(one, str) for one in TEMPLATE.resolve(passed).values())


@pytest.mark.parametrize("name", NESTED)
def test_names_in_a_nested_stack_begin_with_the_root_stacks_name(name: str) -> None:
    """By this beginning the rules and the guard policy know the watcher's parts."""
    for logical, resource in NESTED[name].body["Resources"].items():
        properties = resource["Properties"]
        [given] = [
            properties[key] for key in ("Name", "ManagedPolicyName") if key in properties
        ] or [{"Ref": logical}]
        named = NESTED[name].resolve(given)
        assert named.rpartition("/")[2].startswith(f"{STACK}-")


@pytest.mark.parametrize("name", NESTED)
def test_the_guard_policy_protects_a_nested_stack(name: str) -> None:
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NESTED[name].prefix}/0a1b2c3d"
    assert any(fnmatchcase(stack, pattern) for pattern in _protected())


def test_the_guard_policy_protects_no_other_stack() -> None:
    for other in ("orders", "not-mfa-watcher-Alarms", "mfa-watchers-own"):
        stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{other}/0a1b2c3d"
        assert not any(fnmatchcase(stack, pattern) for pattern in _protected())


@pytest.mark.parametrize("alarm", NESTED["Alarms"].of_type("AWS::CloudWatch::Alarm"))
def test_the_guard_policy_protects_the_alarms(alarm: str) -> None:
    name = NESTED["Alarms"].resolve({"Ref": alarm})
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
    assert any(fnmatchcase(arn, pattern) for pattern in _protected())


def test_the_guard_policys_arn_is_an_output() -> None:
    guard = TEMPLATE.resolve(TEMPLATE.body["Outputs"]["GuardPolicyArn"]["Value"])
    assert guard == f"arn:aws:iam::{ACCOUNT}:policy/{STACK}-guard"
