"""The templates against the quotas of AWS, at the shortest and the longest names and values."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from tests.template.cloudformation import ROOT, Template

# AWS's default quotas: a pattern may be adjusted upwards, the rest is fixed.
PATTERN = 2048
MANAGED_POLICY = 6144
ENVIRONMENT = 4096
NAMES = {
    "AWS::IAM::Role": 64,
    "AWS::IAM::ManagedPolicy": 128,
    "AWS::Serverless::Function": 64,
    "AWS::Events::Rule": 64,
    "AWS::SQS::Queue": 80,
    "AWS::DynamoDB::Table": 255,
    "AWS::SNS::Topic": 256,
    "AWS::SES::ConfigurationSet": 64,
    "AWS::CloudWatch::Alarm": 255,
    "AWS::CloudFormation::Stack": 128,
    "AWS::Serverless::LayerVersion": 64,
}
"""The characters that a generated name may have before CloudFormation cuts it."""

LONGEST_NAME = "w" * 25
STACKS = {
    f"{kind}, {'all parameters set' if longest else 'no parameter set'}": Template.extreme(
        stack=stack, longest=longest
    )
    for kind, stack in (("shortest name", "w"), ("longest name", LONGEST_NAME))
    for longest in (False, True)
}
FORWARDERS = {
    name: Template.forwarder(
        "444455556666",
        "ap-southeast-2",
        HubStackName=name,
        OrganizationId=f"o-{'x' * 32}",
        GuardScpId=f"p-{'x' * 128}",
        FulfilRole="yes",
        QuarantineRole="yes",
    )
    for name in ("w", LONGEST_NAME)
}


def _compact(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":")))


@pytest.mark.parametrize("stack", STACKS)
def test_each_event_pattern_of_the_hub_is_below_the_default_quota(stack: str) -> None:
    sizes = {name: _compact(pattern) for name, pattern in STACKS[stack].patterns().items()}
    assert len(sizes) == 9
    assert {name: size for name, size in sizes.items() if size > PATTERN} == {}


@pytest.mark.parametrize("name", FORWARDERS)
def test_each_event_pattern_of_the_forwarder_is_below_the_default_quota(name: str) -> None:
    there = FORWARDERS[name]
    # Its own stack's name is chosen by a StackSet: 128 characters at the most.
    there.place["AWS::StackName"] = "s" * 128
    sizes = {rule: _compact(pattern) for rule, pattern in there.patterns().items()}
    assert len(sizes) == 4
    assert {rule: size for rule, size in sizes.items() if size > PATTERN} == {}


@pytest.mark.parametrize("stack", STACKS)
def test_the_guard_policy_is_below_the_quota(stack: str) -> None:
    nested = STACKS[stack].nested("Guard")
    document = nested.resolve(nested.properties("GuardPolicy")["PolicyDocument"])
    assert _compact(document) <= MANAGED_POLICY


@pytest.mark.parametrize("count", [1, 2])
def test_the_guard_policy_is_below_the_quota_with_as_many_names_as_may_be(count: int) -> None:
    longest = Template.extreme(stack=LONGEST_NAME, longest=True)
    for parameter in ("BreakGlassRoles", "OperatorRoles"):
        declared = longest.body["Parameters"][parameter]
        room = declared["MaxLength"] - (count - 1)
        names = ["n" * (room // count)] * count
        longest.parameters[parameter] = ",".join(names)
        assert re.fullmatch(declared["AllowedPattern"], longest.parameters[parameter])
        assert not re.fullmatch(declared["AllowedPattern"], "a,b,c")
    nested = longest.nested("Guard")
    document = nested.resolve(nested.properties("GuardPolicy")["PolicyDocument"])
    assert _compact(document) <= MANAGED_POLICY


@pytest.mark.parametrize(
    "function", STACKS["shortest name, no parameter set"].of_type("AWS::Serverless::Function")
)
def test_a_functions_environment_is_below_the_quota_whatever_the_parameters(function: str) -> None:
    template = STACKS["longest name, all parameters set"]
    assert _compact(template.environment(function)) <= ENVIRONMENT


@pytest.mark.parametrize("stack", STACKS)
def test_no_generated_name_is_cut_and_so_each_begins_with_the_stacks_name(stack: str) -> None:
    named = STACKS[stack].place["AWS::StackName"]
    for template in STACKS[stack].all():
        for logical_id, resource in template.body["Resources"].items():
            limit = NAMES.get(resource["Type"])
            given = [
                key
                for key in ("Name", "RoleName", "ManagedPolicyName")
                if key in resource["Properties"]
            ]
            name = (
                template.resolve(resource["Properties"][given[0]])
                if given
                else template.resolve({"Ref": logical_id})
            )
            if limit:
                name = re.split(r"[:/]", name)[-1]
                assert len(name) <= limit, logical_id
                assert name.startswith(named)


def test_schedules_and_rules_are_named_after_the_stack_and_fit() -> None:
    longest = STACKS["longest name, all parameters set"]
    names = {
        function: longest.resolve(event["Properties"].get("Name", ""))
        for function, declared in longest.of_type("AWS::Serverless::Function").items()
        for event in declared["Properties"].get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    }
    wrong = [
        function
        for function, name in names.items()
        if not name.startswith(f"{LONGEST_NAME}-") or len(name) > 64
    ]
    assert names
    assert not wrong, (
        f"template.yaml: give the schedule of {wrong} a Name, !Sub ${{AWS::StackName}}-<function>,"
        " with at most 64 characters"
    )


def test_a_longer_name_of_the_stack_is_refused() -> None:
    declared = (
        STACKS["longest name, no parameter set"].nested("Guard").body["Parameters"]["WatcherName"]
    )
    hubs = FORWARDERS["w"].body["Parameters"]["HubStackName"]["AllowedPattern"]
    assert declared["AllowedPattern"] == hubs
    assert re.fullmatch(hubs, LONGEST_NAME)
    assert not re.fullmatch(hubs, LONGEST_NAME + "w")


def test_event_sources_together_stay_below_the_concurrency_of_a_new_account() -> None:
    new_account = 10
    template = STACKS["shortest name, no parameter set"]
    sources = [
        event["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        for function in template.of_type("AWS::Serverless::Function").values()
        for event in function["Properties"].get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    # One more each for the stream and for whoever calls a desk.
    assert sum(template.resolve(sources)) + 2 <= new_account


@pytest.mark.parametrize(
    "name",
    ["template.yaml", "alarms.yaml", "guard-policy.yaml", "tampering.yaml", "forwarder.yaml"],
)
def test_a_template_is_below_the_size_that_cloudformation_takes_from_s3(name: str) -> None:
    assert len((ROOT / name).read_bytes()) <= 1_000_000


def test_the_forwarder_is_below_the_size_that_a_stack_set_takes_inline() -> None:
    assert len((ROOT / "forwarder.yaml").read_bytes()) <= 51_200


def test_no_stack_of_samconfig_takes_another_ones_parts_for_its_own() -> None:
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    names = {
        section["global"]["parameters"]["stack_name"]
        for section in configured.values()
        if isinstance(section, dict) and "stack_name" in section["global"]["parameters"]
    }
    assert len(names) == 2
    assert [(a, b) for a in names for b in names if b.startswith(f"{a}-")] == []
    assert all(len(name) <= len(LONGEST_NAME) for name in names)


def test_samconfig_deploys_no_stack_with_a_sender_that_nobody_chose() -> None:
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = configured["dev"]["deploy"]["parameters"]["parameter_overrides"]
    [sender] = re.findall(r"SenderAddress=(\S+)", overrides)
    declared = STACKS["shortest name, no parameter set"].body["Parameters"]["SenderAddress"]
    assert not re.fullmatch(declared["AllowedPattern"], sender)


def test_the_documented_sizes_are_the_largest() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    patterns = [size for one in STACKS.values() for size in map(_compact, one.patterns().values())]
    environments = [
        _compact(one.environment(function))
        for one in STACKS.values()
        for function in one.of_type("AWS::Serverless::Function")
    ]
    alarms = Template.read().nested("Alarms").of_type("AWS::CloudWatch::Alarm")
    assert f"| EventBridge: characters of an event pattern | 2,048 | {max(patterns):,} at" in text
    assert f"| Lambda: bytes of a function's environment | 4,096 | {max(environments):,} at" in text
    assert re.search(rf"\| alarms \| {len(alarms)} . 0.10 \| {len(alarms) * 0.10:.2f} \|", text)


def test_the_documented_costs_add_up() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text().partition("## Cost")[2].partition("\n## ")[0]
    tables = re.findall(r"\| what \| arithmetic \| USD \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", text)
    assert len(tables) == 2
    for table in tables:
        *rows, total = [row.strip("| \n").split("|")[-1].strip("* ") for row in table.splitlines()]
        assert f"{sum(map(float, rows)):.2f}" == total
