"""The doors of the change desk: their URLs, and who gets through them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.cloudformation import Template

TEMPLATE = Template.read()
FUNCTIONS = TEMPLATE.of_type("AWS::Serverless::Function")
DOORS = {"ChangeDesk", "ApprovalDesk", "Fulfil"}
POLICIES = {"RequesterPolicy": {"ChangeDesk"}, "ApproverPolicy": DOORS}
URL_ALONE = ("Bool", "lambda:InvokedViaFunctionUrl", "true")
IAM_ALONE = ("StringEquals", "lambda:FunctionUrlAuthType", "AWS_IAM")
MFA = ("Bool", "aws:MultiFactorAuthPresent", "true")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(policy: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = TEMPLATE.properties(policy)["PolicyDocument"]["Statement"]
    return statements


def _conditions(statement: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (operator, key, value)
        for operator, tests in statement["Condition"].items()
        for key, value in tests.items()
    }


def test_only_the_doors_have_urls_and_each_asks_iam_who_calls() -> None:
    urls = {
        name: function["Properties"]["FunctionUrlConfig"]
        for name, function in FUNCTIONS.items()
        if "FunctionUrlConfig" in function["Properties"]
    }
    # No CORS: what a browser holds must not be able to sign for another site.
    assert urls == {name: {"AuthType": "AWS_IAM"} for name in DOORS}


def test_a_resource_policy_opens_the_change_desk_alone_by_its_url_to_the_organization() -> None:
    template = Template.read(OrganizationId="o-abcdefghij")
    permissions = template.of_type("AWS::Lambda::Permission")
    opened = [
        template.resolve(permission["Properties"])
        for name, permission in permissions.items()
        if template.properties(name)["FunctionName"]["Ref"] in DOORS
    ]
    assert {one["Action"] for one in opened} == {
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    }
    for one in opened:
        assert one["FunctionName"] == template.resolve({"Ref": "ChangeDesk"})
        assert one["PrincipalOrgID"] == "o-abcdefghij"
        by_url = "FunctionUrlAuthType" if one["Action"].endswith("Url") else "InvokedViaFunctionUrl"
        assert one[by_url] in {"AWS_IAM", True}
    assert all(
        permission["Condition"] == "WatchesMembers"
        for name, permission in permissions.items()
        if template.properties(name)["FunctionName"]["Ref"] in DOORS
    )


@pytest.mark.parametrize(("policy", "doors"), POLICIES.items())
def test_policy_allows_its_doors_by_their_urls_alone(policy: str, doors: set[str]) -> None:
    by_action = {statement["Action"]: statement for statement in _statements(policy)}
    assert set(by_action) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    for statement in by_action.values():
        assert statement["Effect"] == "Allow"
        arns = {TEMPLATE.resolve(arn) for arn in _listed(statement["Resource"])}
        assert arns == {TEMPLATE.resolve({"Fn::GetAtt": [door, "Arn"]}) for door in doors}
    assert IAM_ALONE in _conditions(by_action["lambda:InvokeFunctionUrl"])
    assert URL_ALONE in _conditions(by_action["lambda:InvokeFunction"])


def test_approver_role_has_the_approver_policy_and_only_named_users_with_mfa_assume_it() -> None:
    template = Template.read(Approvers="bob")
    assert template.resolve(template.properties("ApproverPolicy")["Roles"]) == [
        template.resolve({"Ref": "ApproverRole"})
    ]
    [statement] = template.properties("ApproverRole")["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["Bool"] == {"aws:MultiFactorAuthPresent": "true"}


def test_requester_gets_through_without_mfa_since_his_device_may_be_lost() -> None:
    assert not any(MFA in _conditions(statement) for statement in _statements("RequesterPolicy"))


@pytest.mark.parametrize("role", ["ChangeDeskRole", "ApprovalDeskRole"])
def test_desk_reads_users_writes_decisions_and_can_do_nothing_else(role: str) -> None:
    allowed = {
        statement["Sid"]: set(_listed(statement["Action"]))
        for statement in TEMPLATE.statements(role)
    }
    roles = {"ReadPermissionSetRoles": {"iam:GetRole"}} if role == "ApprovalDeskRole" else {}
    assert allowed == roles | {
        "Log": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "Trace": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
        "ReadDevices": {"iam:GetUser", "iam:ListMFADevices"},
        "Commit": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "ReadHistory": {"dynamodb:Query"},
        "ListRequests": {"dynamodb:Query"},
    }


@pytest.mark.parametrize("role", ["ChangeDeskRole", "ApprovalDeskRole"])
def test_desk_reads_the_histories_of_requests_alone(role: str) -> None:
    [history] = [s for s in TEMPLATE.statements(role) if s["Sid"] == "ReadHistory"]
    assert history["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "REQUEST#*"}
    }


def test_index_of_requests_holds_nothing_but_requests_and_all_of_them() -> None:
    indexes = {i["IndexName"]: i for i in TEMPLATE.properties("Table")["GlobalSecondaryIndexes"]}
    assert [key["AttributeName"] for key in indexes["requests"]["KeySchema"]] == [
        "request_state",
        "request_order",
    ]
    assert indexes["requests"]["Projection"] == {"ProjectionType": "ALL"}


def test_stack_tells_its_doors_and_their_policies() -> None:
    outputs = TEMPLATE.body["Outputs"]
    for door in DOORS:
        assert outputs[f"{door}Url"]["Value"] == {"Fn::GetAtt": [f"{door}Url", "FunctionUrl"]}
    for policy in POLICIES:
        assert outputs[f"{policy}Arn"]["Value"] == {"Ref": policy}


def test_service_desk_roles_reach_the_change_desk_as_they_were_given() -> None:
    template = Template.read(ServiceDeskRoles="ServiceDesk,AWSReservedSSO_Desk_*")
    variables = template.environment("ChangeDesk")
    assert variables["SERVICE_DESK_ROLES"] == "ServiceDesk,AWSReservedSSO_Desk_*"
