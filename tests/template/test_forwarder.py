"""What the forwarder does where, and that it sends what the hub's own rules would catch."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from moto.events.models import EventPattern

from mfa_watcher.domain.events.tampering import Part, find_tampering
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_record
from tests.support.tampering import CASES, IDS, OURS, SCP_ID, Case
from tests.template.cloudformation import ACCOUNT, Template

MEMBER = "444455556666"
REGIONS = ("us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")
HUB = Template.read(OrganizationId="o-abcdefghij", GuardScpId=SCP_ID)
EVERYTHING = Template.forwarder(
    MEMBER,
    "us-east-1",
    FulfilRole="yes",
    QuarantineRole="yes",
    OrganizationId="o-abcdefghij",
    GuardScpId=SCP_ID,
)
FORWARDED = EVERYTHING.patterns()
ROLES = EVERYTHING.of_type("AWS::IAM::Role")
FORWARDING = {
    "SignInRule",
    "TamperingRule",
    "DeadLetters",
    "DeadLettersPolicy",
    "ForwardRole",
    "Canary",
    "CanaryRole",
}
READING = {"IamChangeRule", "RoleTamperingRule", "ReaderRole"}


def statements(role: str) -> list[dict[str, Any]]:
    [policy] = ROLES[role]["Properties"]["Policies"]
    resolved: list[dict[str, Any]] = EVERYTHING.resolve(policy["PolicyDocument"]["Statement"])
    return resolved


def actions(role: str) -> set[str]:
    found: set[str] = set()
    for statement in statements(role):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


@pytest.mark.parametrize(
    ("account", "region", "partition", "made"),
    [
        (ACCOUNT, "us-east-1", "aws", set()),
        *((ACCOUNT, region, "aws", FORWARDING) for region in REGIONS[1:]),
        (MEMBER, "us-east-1", "aws", FORWARDING | READING),
        *((MEMBER, region, "aws", FORWARDING) for region in REGIONS[1:]),
        (ACCOUNT, "us-gov-west-1", "aws-us-gov", set()),
        (ACCOUNT, "us-gov-east-1", "aws-us-gov", FORWARDING),
        (MEMBER, "us-gov-west-1", "aws-us-gov", FORWARDING | READING),
        (MEMBER, "us-gov-east-1", "aws-us-gov", FORWARDING),
    ],
)
def test_in_each_account_and_region_there_is_what_is_needed_there(
    account: str, region: str, partition: str, made: set[str]
) -> None:
    assert Template.forwarder(account, region, partition).made() == made


def test_what_changes_iam_is_there_by_choice_alone() -> None:
    default = Template.forwarder(MEMBER, "us-east-1").made()
    chosen = {"FulfilmentRole", "QuarantinePolicy", "QuarantiningRole"}
    assert EVERYTHING.made() - default == {*chosen, "RequesterPolicy"}
    fulfils = Template.forwarder(MEMBER, "us-east-1", FulfilRole="yes").made()
    assert fulfils - default == {"FulfilmentRole"}


def _examples(pattern: Any) -> list[Any]:  # noqa: PLR0911 - one case an operator
    """Return values that a pattern matches: at least one for each alternative in it."""
    match pattern:
        case {"$or": alternatives, **others}:
            return [one for part in alternatives for one in _examples(part | others)]
        case {"prefix": text}:
            return [f"{text}x"]
        case {"suffix": text}:
            return [f"x{text}"]
        case {"wildcard": text}:
            return [text.replace("*", "x")]
        case {"anything-but": _}:
            return ["DescribeSomething"]
        case dict():
            combined: list[dict[str, Any]] = [{}]
            for key, part in pattern.items():
                combined = [one | {key: value} for one in combined for value in _examples(part)]
            return combined
        case list():
            return [value for one in pattern for value in _examples(one)]
        case _:
            return [pattern]


def _as_documented(event: Any) -> Any:
    """Return the event with the name that docs/deploy.md gives to the forwarder's stack."""
    return json.loads(json.dumps(event).replace("StackSet-forwarder-1a2b", "mfa-watcher-forwarder"))


BRANCHES = [
    pytest.param(_as_documented(event), id=f"{rule}-{number}")
    for rule, pattern in FORWARDED.items()
    for number, event in enumerate(_examples(pattern))
    # Each event has one source, its service's.
    if event["source"] in {"aws.x", f"aws.{event['detail'].get('eventSource', '').split('.')[0]}"}
]


@pytest.mark.parametrize("event", BRANCHES)
def test_whatever_a_forwarder_sends_is_taken_by_a_rule_of_the_hub(event: Any) -> None:
    assert matching(event) or "mfa-watcher-forwarder" in json.dumps(event)
    assert _hubs(event)


def test_the_examples_cover_each_alternative_of_each_pattern() -> None:
    def alternatives(pattern: Any) -> int:
        return len(pattern["detail"]["$or"])

    assert len(BRANCHES) > sum(map(alternatives, FORWARDED.values()))
    assert {str(branch.id).rpartition("-")[0] for branch in BRANCHES} == FORWARDED.keys()


def _hubs(event: Any) -> set[str]:
    return {
        name
        for name, pattern in HUB.patterns().items()
        if EventPattern(None, pattern).matches_event(event)
    }


def test_the_canary_is_forwarded_and_taken_by_the_rules_whose_way_it_proves() -> None:
    target = EVERYTHING.resolve(EVERYTHING.properties("Canary")["Target"])
    queue = json.loads(target["Input"])["QueueUrl"]
    assert queue == EVERYTHING.resolve({"Ref": "DeadLetters"})
    [statement] = statements("CanaryRole")
    assert statement["Action"] == "sqs:TagQueue"
    call = {"eventSource": "sqs.amazonaws.com", "eventName": "TagQueue"}
    event = {"source": "aws.sqs", "detail": {**call, "requestParameters": {"queueUrl": queue}}}
    assert matching(event) == {"SignInRule", "IamChangeRule"}
    assert _hubs(event) == {"SignInRule", "IamChangeRule"}


HERE = {
    Part.TRAIL,
    Part.RULE,
    Part.QUEUE,
    Part.ROLE,
    Part.GUARD,
    Part.POLICY,
    Part.SCHEDULE,
    Part.SCP,
}
MEMBERS_OWN = [
    ("iam", "CreatePolicyVersion", {"policyArn": f"arn:aws:iam::{MEMBER}:policy/{name}"})
    for name in ("mfa-watcher-guard", "mfa-watcher-quarantine", "mfa-watcher-requester")
]
MEMBERS_OWN += [
    ("iam", "DetachGroupPolicy", {"policyArn": f"arn:aws:iam::{MEMBER}:policy/mfa-watcher-guard"}),
    ("iam", "UpdateAssumeRolePolicy", {"roleName": "mfa-watcher-Fulfil"}),
    ("events", "DisableRule", {"name": "mfa-watcher-forward-sign-in"}),
    ("scheduler", "DeleteSchedule", {"name": "mfa-watcher-forward-canary"}),
    ("sqs", "PurgeQueue", {"queueUrl": f"https://q/{MEMBER}/mfa-watcher-forward-dead-letters"}),
]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_tampering_with_what_is_there_is_forwarded_and_taken(case: Case) -> None:
    call = json.loads(json.dumps(case.record).replace(ACCOUNT, MEMBER))
    event = {"source": f"aws.{case.service}", "detail": call}
    forwarded = matching(event) & {"TamperingRule", "RoleTamperingRule"}
    assert bool(forwarded) is (case.part in HERE)
    assert not forwarded or _hubs(event)


@pytest.mark.parametrize(("service", "name", "parameters"), MEMBERS_OWN)
def test_tampering_with_a_members_own_parts_is_forwarded_taken_and_found(
    service: str, name: str, parameters: dict[str, Any]
) -> None:
    call = {"eventSource": f"{service}.amazonaws.com", "eventName": name}
    event: Any = {"source": f"aws.{service}", "detail": {**call, "requestParameters": parameters}}
    assert matching(event)
    assert _hubs(event)
    assert _found(event["detail"])


@pytest.mark.parametrize("stack", ["mfa-watcher-forwarder", "StackSet-mfa-watcher-forwarder-0a1b"])
@pytest.mark.parametrize(
    "named", ["{}", f"arn:aws:cloudformation:us-east-1:{MEMBER}:stack/{{}}/2c"]
)
def test_deleting_the_forwarder_is_forwarded_taken_and_found(stack: str, named: str) -> None:
    there = Template.forwarder(MEMBER, "eu-north-1")
    there.place["AWS::StackName"] = stack
    call = {"eventSource": "cloudformation.amazonaws.com", "eventName": "DeleteStack"}
    parameters = {"stackName": named.format(stack)}
    event: Any = {
        "source": "aws.cloudformation",
        "detail": {**call, "requestParameters": parameters},
    }
    assert EventPattern(None, there.patterns()["TamperingRule"]).matches_event(event)
    assert _hubs(event)
    assert _found(event["detail"])


def _found(call: dict[str, Any]) -> bool:
    """Return whether the function finds tampering in a member's record."""
    record = parse_record({"eventID": "e", "recipientAccountId": MEMBER, **call})
    return find_tampering(record, OURS) is not None


@pytest.mark.parametrize("case", [one for one in CASES if one.part is Part.TRAIL], ids=str)
def test_a_denied_attempt_at_the_trail_is_forwarded(case: Case) -> None:
    assert matching({"source": "aws.cloudtrail", "detail": case.denied}) == {"TamperingRule"}


@pytest.mark.parametrize(
    "rule", ["SignInRule", "IamChangeRule", "TamperingRule", "RoleTamperingRule"]
)
def test_whoever_switches_a_rule_off_is_seen_by_another(rule: str) -> None:
    name = EVERYTHING.resolve(EVERYTHING.properties(rule)["Name"])
    call = {"eventSource": "events.amazonaws.com", "eventName": "DisableRule"}
    event = {"source": "aws.events", "detail": {**call, "requestParameters": {"name": name}}}
    assert matching(event) - {rule}


def matching(event: Any) -> set[str]:
    return {
        name
        for name, pattern in FORWARDED.items()
        if EventPattern(None, pattern).matches_event(event)
    }


@pytest.mark.parametrize("rule", EVERYTHING.of_type("AWS::Events::Rule"))
@pytest.mark.parametrize(
    ("partition", "region", "bus"),
    [
        ("aws", "eu-north-1", "arn:aws:events:us-east-1:111122223333:event-bus/default"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "arn:aws-us-gov:events:us-gov-west-1:111122223333:event-bus/default",
        ),
    ],
)
def test_each_rule_has_one_target_the_hubs_bus_in_its_partition(
    rule: str, partition: str, region: str, bus: str
) -> None:
    there = Template.forwarder(MEMBER, region, partition)
    [target] = there.resolve(there.properties(rule)["Targets"])
    [grant] = there.resolve(there.properties("ForwardRole")["Policies"][0]["PolicyDocument"])[
        "Statement"
    ]
    assert target["Arn"] == grant["Resource"] == bus


@pytest.mark.parametrize("rule", EVERYTHING.of_type("AWS::Events::Rule"))
def test_what_does_not_arrive_is_tried_for_a_day_and_then_kept(rule: str) -> None:
    hubs = HUB.properties("SignInRule")["Targets"][0]["RetryPolicy"]
    [target] = EVERYTHING.properties(rule)["Targets"]
    assert target["RetryPolicy"] == hubs
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
    assert EVERYTHING.properties("DeadLetters")["MessageRetentionPeriod"] == 1209600


@pytest.mark.parametrize("rule", EVERYTHING.of_type("AWS::Events::Rule"))
@pytest.mark.parametrize("guarded_by", ["DeadLettersPolicy", "ForwardRole"])
def test_dead_letters_and_role_serve_the_forwarders_rules_alone(rule: str, guarded_by: str) -> None:
    properties = EVERYTHING.resolve(EVERYTHING.properties(guarded_by))
    document = properties.get("PolicyDocument") or properties["AssumeRolePolicyDocument"]
    allowed = next(one for one in document["Statement"] if one["Effect"] == "Allow")
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    source = allowed["Condition"]["ArnLike"]["aws:SourceArn"]
    name = EVERYTHING.resolve(EVERYTHING.properties(rule)["Name"])
    own = f"arn:aws:events:us-east-1:{MEMBER}:rule/{name}"
    assert fnmatchcase(own, source)
    assert not fnmatchcase(own.replace(MEMBER, "999999999999"), source)
    assert not fnmatchcase(own.replace("mfa-watcher", "another"), source)


def test_dead_letters_are_refused_in_clear() -> None:
    document = EVERYTHING.resolve(EVERYTHING.properties("DeadLettersPolicy"))["PolicyDocument"]
    [denied] = [one for one in document["Statement"] if one["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("role", ["ReaderRole", "FulfilmentRole", "QuarantiningRole"])
@pytest.mark.parametrize("organization", ["", "o-abcdefghij"])
def test_a_role_lets_in_roles_of_the_hubs_stack_alone(role: str, organization: str) -> None:
    there = Template.forwarder(MEMBER, "us-east-1", OrganizationId=organization)
    [trust] = there.resolve(there.properties(role)["AssumeRolePolicyDocument"]["Statement"])
    assert trust["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    demanded = trust["Condition"]["StringEquals"]
    assert demanded["aws:PrincipalAccount"] == ACCOUNT
    assert demanded.get("aws:PrincipalOrgID", "") == organization
    [pattern] = trust["Condition"]["ArnLike"].values()
    hubs_role = {"FulfilmentRole": "FulfilRole", "QuarantiningRole": "QuarantineRole"}.get(
        role, "OnSignInRole"
    )
    assert fnmatchcase(f"arn:aws:iam::{ACCOUNT}:role/mfa-watcher-{hubs_role}-1A2B3C", pattern)
    assert not fnmatchcase(f"arn:aws:iam::{ACCOUNT}:role/Administrator", pattern)
    if role != "ReaderRole":
        assert not fnmatchcase(f"arn:aws:iam::{ACCOUNT}:role/mfa-watcher-OnSignInRole-1", pattern)


def test_the_role_that_reads_changes_nothing_and_reads_no_secret() -> None:
    assert [a for a in actions("ReaderRole") if not re.match(r"iam:(Get|List|Generate)", a)] == []
    assert [a for a in actions("ReaderRole") if "*" in a or "AccessKey" in a] == []


@pytest.mark.parametrize(
    ("roles", "role"),
    [(("OnSignInRole", "OnIamChangeRole", "RemindRole", "SweepRole"), "ReaderRole")],
)
def test_the_role_that_reads_can_do_in_a_member_what_the_hub_does_at_home(
    roles: tuple[str, ...], role: str
) -> None:
    at_home: set[str] = {"iam:ListAccountAliases"}
    for name in roles:
        for statement in HUB.statements(name):
            action = statement["Action"]
            at_home |= {action} if isinstance(action, str) else set(action)
    assert {action for action in at_home if action.startswith("iam:")} <= actions(role)


def test_the_hub_enters_members_by_the_names_that_the_forwarder_gives_and_by_no_other() -> None:
    environment = HUB.environment("Quarantine")
    for variable, resource, name in (
        ("READER_ROLE", "ReaderRole", "RoleName"),
        ("QUARANTINE_ROLE", "QuarantiningRole", "RoleName"),
        ("MEMBER_FULFIL_ROLE", "FulfilmentRole", "RoleName"),
        ("MEMBER_QUARANTINE_POLICY", "QuarantinePolicy", "ManagedPolicyName"),
    ):
        given = EVERYTHING.resolve(EVERYTHING.properties(resource)[name])
        assert given == environment[variable]
    for policy, role in {
        "ReadMembers": "ReaderRole",
        "QuarantineInMembers": "QuarantiningRole",
        "FulfilInMembers": "FulfilmentRole",
    }.items():
        [grant] = HUB.resolve(HUB.properties(policy)["PolicyDocument"]["Statement"])
        name = EVERYTHING.resolve(EVERYTHING.properties(role)["RoleName"])
        assert grant["Action"] == "sts:AssumeRole"
        assert grant["Resource"] == f"arn:aws:iam::*:role/{name}"


def test_the_quarantine_policy_is_the_hubs() -> None:
    hubs = HUB.properties("QuarantinePolicy")["PolicyDocument"]
    assert EVERYTHING.properties("QuarantinePolicy")["PolicyDocument"] == hubs


def test_the_role_that_quarantines_may_attach_and_detach_that_one_policy() -> None:
    [statement] = statements("QuarantiningRole")
    assert set(statement["Action"]) == {"iam:AttachUserPolicy", "iam:DetachUserPolicy"}
    own = f"arn:aws:iam::{MEMBER}:policy/mfa-watcher-quarantine"
    assert statement["Condition"] == {"ArnEquals": {"iam:PolicyARN": own}}


def test_the_guard_policy_lets_the_members_fulfil_role_pass_and_protects_the_rest() -> None:
    nested = HUB.nested("Guard")
    guard = nested.resolve(nested.properties("GuardPolicy")["PolicyDocument"]["Statement"])
    by_sid = {statement["Sid"]: statement for statement in guard}
    removal = by_sid["DenyDeviceRemovalOutsideChangeRequest"]["Condition"]["ArnNotLikeIfExists"]
    name = EVERYTHING.resolve(EVERYTHING.properties("FulfilmentRole")["RoleName"])
    fulfiller = f"arn:aws:iam::{MEMBER}:role/{name}"
    assert any(fnmatchcase(fulfiller, one) for one in removal["aws:PrincipalArn"])
    protected = by_sid["DenyTampering"]["Resource"]
    for logical_id, key, kind in (
        ("SignInRule", "Name", f"events:us-east-1:{MEMBER}:rule/"),
        ("IamChangeRule", "Name", f"events:us-east-1:{MEMBER}:rule/"),
        ("TamperingRule", "Name", f"events:us-east-1:{MEMBER}:rule/"),
        ("Canary", "Name", f"scheduler:us-east-1:{MEMBER}:schedule/default/"),
        ("DeadLetters", "QueueName", f"sqs:us-east-1:{MEMBER}:"),
        ("ReaderRole", "RoleName", f"iam::{MEMBER}:role/"),
        ("ForwardRole", "RoleName", f"iam::{MEMBER}:role/"),
    ):
        name = EVERYTHING.resolve(EVERYTHING.properties(logical_id)[key])
        arn = f"arn:aws:{kind}{name}"
        assert any(fnmatchcase(arn, one) for one in protected), arn


def test_role_names_fit_with_the_longest_name_of_a_hub_and_of_a_region() -> None:
    longest = "h" * 25
    there = Template.forwarder(MEMBER, "ap-southeast-2", HubStackName=longest)
    names = [there.resolve(there.properties(role)["RoleName"]) for role in ROLES]
    assert max(map(len, names)) <= 64


# The hub ------------------------------------------------------------------------------------------


def test_without_an_organization_nobody_may_send_and_nobody_is_entered() -> None:
    alone = Template.read()
    members = {"MembersSendEvents", "ReadMembers", "ListMembers", "RecogniseMembers"}
    members |= {"QuarantineInMembers", "FulfilInMembers"}
    members |= {"MembersCallChangeDesk", "MembersInvokeChangeDeskByItsUrl"}
    assert alone.made().isdisjoint(members)


def test_only_the_function_that_fulfils_enters_members_to_fulfil() -> None:
    assert HUB.properties("FulfilInMembers")["Roles"] == [{"Ref": "FulfilRole"}]
    [trust] = EVERYTHING.resolve(
        EVERYTHING.properties("FulfilmentRole")["AssumeRolePolicyDocument"]["Statement"]
    )
    assert trust["Condition"]["ArnLike"] == {
        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/mfa-watcher-Fulfil*"
    }


def test_members_users_ask_the_hubs_change_desk_and_no_other_door_by_its_url_alone() -> None:
    policy = EVERYTHING.resolve(EVERYTHING.properties("RequesterPolicy")["PolicyDocument"])
    by_action = {statement["Action"]: statement for statement in policy["Statement"]}
    hubs = HUB.resolve(HUB.properties("RequesterPolicy")["PolicyDocument"])
    assert {one["Action"]: one["Condition"] for one in hubs["Statement"]} == {
        action: statement["Condition"] for action, statement in by_action.items()
    }
    for statement in by_action.values():
        assert statement["Resource"] == (
            f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:mfa-watcher-ChangeDesk-*"
        )


def test_without_an_organization_a_member_has_no_policy_for_a_desk_that_lets_nobody_in() -> None:
    assert "RequesterPolicy" not in Template.forwarder(MEMBER, "us-east-1").made()


def test_the_hubs_bus_takes_events_from_its_organization_alone() -> None:
    [policy] = HUB.of_type("AWS::Events::EventBusPolicy")
    statement = HUB.resolve(HUB.properties(policy)["Statement"])
    assert policy in HUB.made()
    assert statement["Action"] == "events:PutEvents"
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}


def test_the_organization_is_asked_for_its_members_only_if_nobody_named_them() -> None:
    named = Template.read(OrganizationId="o-abcdefghij", MemberAccounts=MEMBER)
    asking = {"ListMembers", "RecogniseMembers"}
    assert asking <= HUB.made()
    assert named.made().isdisjoint(asking)
    assert "ReadMembers" in named.made()


def test_members_are_not_quarantined_unless_that_is_switched_on() -> None:
    on = Template.read(OrganizationId="o-abcdefghij", QuarantineMembers="yes")
    assert "QuarantineInMembers" not in HUB.made()
    assert "QuarantineInMembers" in on.made()


def test_members_without_their_organization_are_refused_at_deployment() -> None:
    rule = HUB.body["Rules"]["MembersAreOfAnOrganization"]
    wrong = Template.read(MemberAccounts=MEMBER)
    assert wrong.resolve(rule["RuleCondition"])
    assert not wrong.resolve(rule["Assertions"][0]["Assert"])
    assert HUB.resolve(rule["Assertions"][0]["Assert"])


@pytest.mark.parametrize(
    "template",
    [*HUB.all(), EVERYTHING],
    ids=["template", "guard-policy", "tampering", "alarms", "forwarder"],
)
def test_no_arn_names_a_partition(template: Template) -> None:
    def texts(value: Any) -> list[str]:
        match value:
            case dict():
                return [text for item in value.values() for text in texts(item)]
            case list():
                return [text for item in value for text in texts(item)]
            case str():
                return [value]
        return []

    assert [text for text in texts(template.body) if re.search(r"arn:aws[\w-]*:", text)] == []
