"""`sam deploy` with the rights that docs/deploy.md documents, and not without any of them."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from sandbox.account import Account, Principal
from sandbox.actors import Actors
from sandbox.deploy import (
    DOMAIN,
    SENDER,
    STACK,
    DeployError,
    Stack,
    build,
    sam_deploy,
    verify_sender,
)
from sandbox.emulator import ROOT, Emulator, EmulatorError, free_port, interpreter, layer_target
from sandbox.records import Json
from tests.template.cloudformation import Template

MANAGED_POLICY = 6144
PARAMETERS = {
    "SenderAddress": SENDER,
    "MailDomains": DOMAIN,
    "Architecture": layer_target()["LAYER_ARCHITECTURE"],
}

# In the schemas, but for what the template does not use.
NOT_USED = (
    "dynamodb:*Item",  # imports, replicas, Kinesis, resource policies, insights
    "dynamodb:*Replica",
    "dynamodb:*ContributorInsights",
    "dynamodb:*Kinesis*",
    "dynamodb:*ResourcePolicy",
    "dynamodb:ImportTable",
    "dynamodb:DescribeImport",
    "dynamodb:Query",
    "dynamodb:Scan",
    "ec2:*",
    "elasticfilesystem:*",
    "firehose:*",
    "iam:*GroupPolicy",
    "iam:*UserPolicy",
    "iam:*PermissionsBoundary",
    "iam:CreateServiceLinkedRole",
    "iam:GetRole",
    "kinesis:*",
    "kms:CreateGrant",  # the key's own policy allows what a table or topic does with it
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ListAliases",
    "kms:RevokeGrant",
    "lambda:*Capacity*",
    "lambda:*CodeSigningConfig",
    "lambda:*RuntimeAlias",
    "lambda:PublishVersion",
    "logs:*BearerToken*",
    "logs:*Delivery",
    "logs:*DeletionProtection",
    "logs:*IndexPolicy",
    "logs:*KmsKey",
    "logs:*LogStream*",
    "logs:PutLogEvents",
    "logs:*ProtectionPolicy",
    "logs:*ResourcePolicy",
    "s3files:*",
    "s3:GetObjectMetadata",
    "s3:REST.PUT.OBJECT",
    "sns:PutDataProtectionPolicy",
    "cloudformation:SetStackPolicy",
    "cloudformation:UpdateTerminationProtection",
)

# Asked for by SAM and CloudFormation themselves, not by a resource type.
BY_SAM = (
    "cloudformation:*ChangeSet",
    "cloudformation:Describe*",
    "cloudformation:Get*",
    "cloudformation:ListStackResources",
    "cloudformation:TagResource",
    "cloudformation:ValidateTemplate",
    "iam:*Policy",  # a stack's tags are put on its policies
    "s3:*",
)


def documented() -> Json:
    """Return the policy of docs/deploy.md."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    [block] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    policy: Json = json.loads(block)
    return policy


STATEMENTS = {statement["Sid"]: statement for statement in documented()["Statement"]}


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


# What CloudFormation says that it needs ----------------------------------------------------------


@pytest.fixture(scope="module")
def demanded() -> set[str]:
    """The actions in the schemas of all resource types of the stack."""
    interpreter = ROOT / ".venv-sam" / "bin" / "python"
    if not interpreter.exists():
        pytest.skip("cfn-lint, which has the schemas, is not there: make setup")
    finished = subprocess.run(  # noqa: S603 - our own script
        [interpreter, "-c", _READ_SCHEMAS, *sorted(_types())],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(finished.stdout))


_READ_SCHEMAS = """
import json, sys
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as schemas
found = set()
for kind in sys.argv[1:]:
    handlers = schemas.get_resource_schema("us-east-1", kind).schema["handlers"]
    for step in ("create", "read", "update", "delete"):
        found.update(handlers.get(step, {}).get("permissions", []))
print(json.dumps(sorted(found)))
"""


def _types() -> set[str]:
    """Return the types of all resources, after SAM has expanded its own."""
    found = {
        resource["Type"]
        for template in Template.read().all()
        for resource in template.body["Resources"].values()
    }
    expanded = {one for one in found if "Serverless" not in one} | {
        "AWS::Events::Rule",
        *(
            f"AWS::Lambda::{kind}"
            for kind in (
                *("EventInvokeConfig", "EventSourceMapping", "Function", "LayerVersion"),
                *("Permission", "Url"),
            )
        ),
        "AWS::Scheduler::Schedule",
    }
    assert len(expanded) == 24
    return expanded


def test_the_documented_rights_are_what_the_schemas_demand(demanded: set[str]) -> None:
    allowed = [action for one in STATEMENTS.values() for action in _listed(one["Action"])]
    missing = {
        action
        for action in demanded
        if not any(fnmatchcase(action, one) for one in allowed)
        and not any(fnmatchcase(action, one) for one in NOT_USED)
    }
    assert missing == set()


def test_no_documented_right_is_without_a_use(demanded: set[str]) -> None:
    allowed = [action for one in STATEMENTS.values() for action in _listed(one["Action"])]
    unused = {
        one
        for one in allowed
        if not any(fnmatchcase(action, one) for action in demanded)
        and not any(fnmatchcase(one, use) for use in BY_SAM)
    }
    assert unused == set()


def test_the_documented_policy_fits_a_managed_policy_at_the_longest_name() -> None:
    text = json.dumps(documented(), separators=(",", ":")).replace(STACK, "w" * 25)
    assert len(text) <= MANAGED_POLICY


# In the sandbox ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deployment:
    """The account, who deploys into it, and what was built."""

    account: Account
    actors: Actors
    home: Path

    def deployer(self, name: str, stack: str, *left_out: str) -> Principal:
        """Create a user with the documented policy, for a stack, but for some statements."""
        self.actors.create_user(name, by=self.account.root)
        kept = [one for sid, one in STATEMENTS.items() if sid not in left_out]
        policy = json.dumps({"Version": "2012-10-17", "Statement": kept}).replace(STACK, stack)
        self.account.root.client("iam").put_user_policy(
            UserName=name, PolicyName="deploy", PolicyDocument=policy
        )
        return self.actors[name]

    def deploy(self, by: Principal, stack: str = STACK, **parameters: str) -> Stack:
        """Run `sam deploy` as somebody."""
        given = PARAMETERS | parameters
        return sam_deploy(by, self.home, given, stack=stack, bucket=None)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("deployment")
    build(home)
    with Emulator(free_port(), home) as emulator:
        account = Account(emulator.endpoint)
        verify_sender(account)
        yield Deployment(account, Actors(account), home)


def test_with_the_documented_rights_sam_deploys_and_each_statement_is_needed(
    deployment: Deployment,
) -> None:
    dora = deployment.deployer("dora", STACK)
    stack = deployment.deploy(dora)
    assert stack["GuardPolicyArn"].endswith(f":policy/{STACK}-guard")
    calls = [
        (decision["action"], decision["resource"])
        for decision in deployment.account.decisions()
        if decision["principal_arn"].endswith(":user/dora")
    ]
    needed = {
        sid
        for sid in STATEMENTS
        if any(_allowed(call) and not _allowed(call, without=sid) for call in calls)
    }
    # Nobody is asked for these by the emulator.
    assert set(STATEMENTS) - needed == {"ThisKey", "WithoutResource"}


def _allowed(call: tuple[str, str], without: str = "") -> bool:
    """Return whether a statement names the call, whatever its condition."""
    action, resource = call
    return any(
        any(fnmatchcase(action, one) for one in _listed(statement["Action"]))
        and any(fnmatchcase(resource, f"{one}*") for one in _listed(statement["Resource"]))
        for sid, statement in STATEMENTS.items()
        if sid != without
    )


@pytest.mark.parametrize(
    ("left_out", "action"),
    [("GiveRolesToServices", "iam:PassRole"), ("Alarms", "cloudwatch:PutMetricAlarm")],
)
def test_without_a_statement_the_deployment_fails_and_names_the_missing_right(
    deployment: Deployment, left_out: str, action: str
) -> None:
    stack = f"w{left_out.lower()[:8]}"
    deployer = deployment.deployer(f"without-{left_out}", stack, left_out)
    with pytest.raises(DeployError) as failed:
        deployment.deploy(deployer, stack)
    assert any(f"not authorized to perform: {action}" in line for line in failed.value.__notes__)


# The extremes -------------------------------------------------------------------------------------

LONGEST = {
    "SenderAddress": f"{'m' * 64}@{'d' * 51}.example.com",
    "SecurityAddress": f"{'s' * 64}@{'d' * 51}.example.com",
    "MailDomains": ",".join([f"{'d' * 48}.example.com"] * 4 + [f"{'e' * 44}.example.com"]),
    "DefaultMailDomain": f"{'d' * 116}.example.com",
    "AddressTags": "t" * 128,
    "ManagerTag": "m" * 64,
    "LanguageTag": "l" * 64,
    "DefaultLanguage": "de",
    "AccountAlias": "a" * 63,
    "EscalationDays": "0,100,200,300,999",
    "SecondDeviceDays": "365",
    "MailHours": "08-18",
    "TimeZone": "America/Argentina/ComodRivadavia",
    "QuarantineMode": "on",
    "QuarantineDays": "365",
    "FirstSignInGraceMinutes": "1440",
    "ApprovalWindowHours": "720",
    "EnrolmentWindowHours": "720",
    "OffBoardingGraceMinutes": "1440",
    "BreakGlassRoles": f"{'b' * 110},{'c' * 110}",
    "OrganizationId": f"o-{'x' * 32}",
    "MemberAccounts": ",".join(str(111122223300 + number) for number in range(60)),
    "QuarantineMembers": "yes",
    "OperatorRoles": f"{'o' * 110},{'p' * 110}",
    "ClearAbandonedDevices": "yes",
    "ServiceDeskRoles": "s" * 200,
    "SettleSeconds": "900",
    "QueueConcurrency": "100",
    "AlertDigestSeconds": "900",
    "LostEventsAlertThreshold": "1000000",
    "SignInRegions": ",".join(["ap-southeast-2"] * 20),
    "CanaryHours": "24",
    "HeartbeatHours": "168",
    "GuardScpId": f"p-{'x' * 128}",
    "LogLevel": "WARNING",
    "LogRetentionDays": "3653",
    "EvidenceRetentionDays": "3653",
}
QUOTAS = {
    "event pattern": 2048,
    "managed policy": MANAGED_POLICY,
    "inline policies of a role": 10240,
    "environment of a function": 4096,
    "name": 64,
}


def test_the_longest_parameters_are_all_and_as_long_as_may_be() -> None:
    declared = Template.read().body["Parameters"]
    assert set(declared) == {*LONGEST, "Architecture"}
    for name, value in LONGEST.items():
        assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value), name
        longest = declared[name].get("MaxLength", 0)
        if name not in {"EscalationDays", "SignInRegions", "TimeZone"} and longest:
            assert len(value) == longest, name


# A stack of its own each time, because the emulator cannot update a rule of a nested stack.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("w", {}), ("x", LONGEST), ("w" * 25, {}), ("x" * 25, LONGEST)],
    ids=["1, none set", "1, all set", "25, none set", "25, all set"],
)
def test_the_shortest_and_the_longest_stack_deploy_with_the_documented_rights(
    deployment: Deployment, name: str, parameters: dict[str, str]
) -> None:
    deployment.deployer(name, name)
    stack = deployment.deploy(deployment.actors[name], name, **parameters)
    sizes = _sizes(deployment.account, name, stack)
    assert {what: size for what, size in sizes.items() if size > QUOTAS[what]} == {}
    assert all(sizes.values())
    print(f"\n{len(name)} characters, {len(parameters)} parameters: {sizes}")  # noqa: T201 - for -s


def _sizes(account: Account, name: str, stack: Stack) -> dict[str, int]:
    """Return the characters of the largest of each, as they are deployed."""
    root = account.root
    events, iam, lambda_ = (root.client(service) for service in ("events", "iam", "lambda"))
    rules = [one for one in events.list_rules()["Rules"] if one["Name"].startswith(f"{name}-")]
    assert len(rules) == 9
    policies = [
        one
        for one in iam.list_policies(Scope="Local")["Policies"]
        if one["PolicyName"].startswith(f"{name}-")
    ]
    roles = [
        one["RoleName"]
        for one in iam.list_roles()["Roles"]
        if one["RoleName"].startswith(f"{name}-")
    ]
    functions = [
        one
        for page in lambda_.get_paginator("list_functions").paginate()
        for one in page["Functions"]
        if one["FunctionName"].startswith(f"{name}-")
    ]
    assert len(functions) == 13
    names = [*roles, *(one["Name"] for one in rules), *(one["FunctionName"] for one in functions)]
    assert stack["FulfilRole"] in roles
    return {
        "event pattern": max(_compact(json.loads(one["EventPattern"])) for one in rules),
        "managed policy": max(
            _compact(
                iam.get_policy_version(PolicyArn=one["Arn"], VersionId=one["DefaultVersionId"])[
                    "PolicyVersion"
                ]["Document"]
            )
            for one in policies
        ),
        "inline policies of a role": max(_inline(iam, role) for role in roles),
        "environment of a function": max(
            _compact(one["Environment"]["Variables"]) for one in functions
        ),
        "name": max(map(len, names)),
    }


def _inline(iam: Any, role: str) -> int:
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return sum(
        _compact(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for name in names
    )


def _compact(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":")))
