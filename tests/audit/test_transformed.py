"""What SAM makes of the template is within AWS's quotas, at the longest names and values.

``tests/template/test_limits.py`` has the quotas of what we write ourselves. SAM adds roles,
policies and permissions: only then it shows how many resources there are and what each role has.
"""

import json
import os
import subprocess
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from tests.template.cloudformation import ROOT, Template, longest_value

Json = dict[str, Any]

STACK = "w" * 25
"""The longest name that the hub's stack may have."""

# CloudFormation user guide, "Understand CloudFormation quotas".
PARTS = {"Resources": 500, "Outputs": 200, "Parameters": 200, "Mappings": 200}
TEMPLATE_BYTES = 1_000_000
# IAM user guide, "IAM and AWS STS quotas": without white space, not adjustable unless it says so.
MANAGED_POLICY = 6144
INLINE_POLICIES = 10_240
TRUST_POLICY = 2048
"""Adjustable up to 4,096."""
ATTACHED = 10
"""Adjustable up to 20."""
# SQS developer guide, "Policy quotas"; SNS and KMS: "Quotas" in their developer guides.
QUEUE_POLICY = {"bytes": 8192, "statements": 20, "conditions": 10, "principals": 50}
TOPIC_POLICY = 30 * 1024
KEY_POLICY = 32 * 1024
# EventBridge user guide, "EventBridge quotas".
BUS_POLICY = 10_240
PATTERN = 2048
TARGETS = 5
# Lambda developer guide, "Lambda quotas".
FUNCTION_POLICY = 20 * 1024
LAYERS = 5


@cache
def transformed() -> Template:
    """Return the hub's template as CloudFormation gets it, as a stack with the longest values."""
    made = subprocess.run(  # noqa: S603 - our own script
        [ROOT / ".venv-sam/bin/python", ROOT / "tests/audit/transform.py", ROOT / "template.yaml"],
        capture_output=True,
        check=True,
        env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"},
        text=True,
    )
    body: Json = json.loads(made.stdout)
    place = {
        "AWS::StackName": STACK,
        "AWS::Region": "us-gov-west-1",
        "AWS::Partition": "aws-us-gov",
    }
    values = {name: longest_value(one) for name, one in body["Parameters"].items()}
    return Template(body, values, place, STACK, "1A2B3C4D5E6F7")


@cache
def forwarder() -> Template:
    """Return the forwarder's template, which SAM does not transform, with the longest values."""
    return Template.forwarder(
        "444455556666",
        "us-east-1",
        "aws-us-gov",
        HubStackName=STACK,
        FulfilRole="yes",
        QuarantineRole="yes",
        OrganizationId=f"o-{'x' * 32}",
        GuardScpId=f"p-{'x' * 128}",
    )


def everywhere(kind: str) -> dict[str, tuple[Template, Json]]:
    """Return all resources of a type, also of the nested templates and of the forwarder's."""
    return {
        f"{place} {name}": (template, resource["Properties"])
        for place, root in (("hub", transformed()), ("forwarder", forwarder()))
        for template in root.all()
        for name, resource in template.of_type(kind).items()
    }


def size(template: Template, document: Any) -> int:
    """Return the bytes of a document without white space."""
    return len(json.dumps(template.resolve(document), separators=(",", ":")).encode())


def too_large(sizes: dict[str, int], most: int) -> dict[str, int]:
    assert sizes
    return {name: found for name, found in sizes.items() if found > most}


def test_sam_adds_what_the_template_does_not_show() -> None:
    before, after = Template.read().body["Resources"], transformed().body["Resources"]
    assert len(after) > len(before)
    assert "AWS::Serverless" not in json.dumps([one["Type"] for one in after.values()])


@pytest.mark.parametrize("part", PARTS)
def test_there_are_not_too_many(part: str) -> None:
    for template in (*transformed().all(), *forwarder().all()):
        assert len(template.body.get(part, {})) <= PARTS[part]


def test_the_transformed_template_is_not_too_large() -> None:
    assert len(json.dumps(transformed().body)) <= TEMPLATE_BYTES


def test_managed_policies_are_not_too_large() -> None:
    sizes = {
        name: size(template, one["PolicyDocument"])
        for name, (template, one) in everywhere("AWS::IAM::ManagedPolicy").items()
    }
    assert len(sizes) > 9
    assert too_large(sizes, MANAGED_POLICY) == {}


def test_inline_policies_of_a_role_together_are_not_too_large() -> None:
    sizes: dict[str, int] = defaultdict(int)
    for name, (template, role) in everywhere("AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            sizes[name] += size(template, policy["PolicyDocument"])
    for template, policy in everywhere("AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            sizes[f"hub {role['Ref']}"] += size(template, policy["PolicyDocument"])
    assert len(sizes) > 20
    assert too_large(sizes, INLINE_POLICIES) == {}


def test_roles_have_not_too_many_managed_policies() -> None:
    numbers = {
        name: len(role.get("ManagedPolicyArns", ()))
        for name, (_, role) in everywhere("AWS::IAM::Role").items()
    }
    assert max(numbers.values()) > 3
    assert too_large(numbers, ATTACHED) == {}


def test_trust_policies_are_not_too_large() -> None:
    sizes = {
        name: size(template, role["AssumeRolePolicyDocument"])
        for name, (template, role) in everywhere("AWS::IAM::Role").items()
    }
    assert too_large(sizes, TRUST_POLICY) == {}


def test_policies_of_queues_are_within_their_quotas() -> None:
    for name, (template, policy) in everywhere("AWS::SQS::QueuePolicy").items():
        document = template.resolve(policy["PolicyDocument"])
        conditions = [
            key
            for statement in document["Statement"]
            for keys in statement.get("Condition", {}).values()
            for key in keys
        ]
        found = {
            "bytes": size(template, document),
            "statements": len(document["Statement"]),
            "conditions": len(conditions),
            "principals": sum(len(one["Principal"]) for one in document["Statement"]),
        }
        assert {what: n for what, n in found.items() if n > QUEUE_POLICY[what]} == {}, name


@pytest.mark.parametrize(
    ("kind", "field", "most"),
    [
        ("AWS::SNS::TopicPolicy", "PolicyDocument", TOPIC_POLICY),
        ("AWS::KMS::Key", "KeyPolicy", KEY_POLICY),
        ("AWS::Events::EventBusPolicy", "Statement", BUS_POLICY),
        ("AWS::Events::Rule", "EventPattern", PATTERN),
    ],
)
def test_other_documents_are_not_too_large(kind: str, field: str, most: int) -> None:
    sizes = {name: size(template, one[field]) for name, (template, one) in everywhere(kind).items()}
    assert too_large(sizes, most) == {}


def test_rules_have_not_too_many_targets() -> None:
    numbers = {
        name: len(one["Targets"]) for name, (_, one) in everywhere("AWS::Events::Rule").items()
    }
    assert too_large(numbers, TARGETS) == {}


def test_permissions_of_a_function_together_are_not_too_large() -> None:
    sizes: dict[str, int] = defaultdict(int)
    for template, permission in everywhere("AWS::Lambda::Permission").values():
        sizes[json.dumps(permission["FunctionName"])] += size(template, permission) + 200
    assert too_large(sizes, FUNCTION_POLICY) == {}


def test_functions_have_not_too_many_layers() -> None:
    numbers = {
        name: len(one.get("Layers", ()))
        for name, (_, one) in everywhere("AWS::Lambda::Function").items()
    }
    assert too_large(numbers, LAYERS) == {}
