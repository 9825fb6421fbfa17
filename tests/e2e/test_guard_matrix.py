"""Callers by actions: what the deployed guard policy allows, asked of the real evaluator.

Each cell is a call. Who is denied calls on what the stack made; who is let through calls on
something of a matching name that does not exist, so that nothing breaks. What would break it all
the same is put to the evaluator (`SimulatePrincipalPolicy`).
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from sandbox import totp
from sandbox.actors import ADMINISTRATOR_POLICY
from sandbox.emulator import ACCOUNT_ID, REGION, EmulatorError, interpreter
from tests.e2e.guarded import (
    BREAK_GLASS,
    OPERATOR,
    RESCUE,
    Guarded,
    verdict,
)
from tests.template.cloudformation import STACK, Template

DENIED, LET_THROUGH = "denied by the guard", "let through"

# All of them administrators but for carol, who may do about herself what AWS advises, and for the
# fulfil role, which has what the template gives it.
CAROL, OLIVIA = "carol", "olivia"
ADMINISTRATOR, UNGUARDED = "administrator", "unguarded"
# An exempt role is named with its path: this one has the name under another.
NAMED, IMPOSTOR = "security/watch", "elsewhere/watch"
FULFIL = "the fulfil role"

REMOVING = {
    CAROL: DENIED,
    OLIVIA: DENIED,
    ADMINISTRATOR: DENIED,
    IMPOSTOR: DENIED,
    OPERATOR: DENIED,
    FULFIL: LET_THROUGH,
    BREAK_GLASS: LET_THROUGH,
    RESCUE: LET_THROUGH,
    UNGUARDED: LET_THROUGH,
}
TAMPERING = {
    OLIVIA: DENIED,
    ADMINISTRATOR: DENIED,
    IMPOSTOR: DENIED,
    OPERATOR: LET_THROUGH,
    BREAK_GLASS: LET_THROUGH,
    RESCUE: LET_THROUGH,
    UNGUARDED: LET_THROUGH,
}


@dataclass(frozen=True)
class Things:
    """What a call is about."""

    table: str
    queue: str
    function: str
    rule: str
    role: str
    policy: str
    topic: str
    key: str
    user: str = ""
    serial: str = ""
    name: str = f"{STACK}-spare"

    @property
    def group(self) -> str:
        """The function's log group."""
        return f"/aws/lambda/{STACK}/spare"


Call = Callable[[Callable[[str], Any], Things], object]

STATE = {"pk": {"S": "USER#1"}, "sk": {"S": "HISTORY#1"}}
EMPTY = json.dumps({"Version": "2012-10-17", "Statement": []})
OWNER = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"}}
OWNED = json.dumps({"Statement": [OWNER | {"Action": "kms:*", "Resource": "*"}]})
NEW_PASSWORD = "Correct-Horse-9!"  # noqa: S105 - of users who do not exist
TARGET = {"Id": "SignInQueue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:elsewhere"}
PLAN = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ScheduleExpression": "rate(1 day)"}
UPDATE = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}

CALLS: dict[str, Call] = {
    "cloudformation:CreateChangeSet": lambda to, _: to("cloudformation").create_change_set(
        StackName=STACK, ChangeSetName="spare", TemplateBody="{}"
    ),
    "cloudformation:ExecuteChangeSet": lambda to, _: to("cloudformation").execute_change_set(
        StackName=STACK, ChangeSetName="none"
    ),
    "cloudtrail:DeleteTrail": lambda to, on: to("cloudtrail").delete_trail(Name=on.name),
    "cloudtrail:PutEventSelectors": lambda to, on: to("cloudtrail").put_event_selectors(
        TrailName=on.name, EventSelectors=[]
    ),
    "cloudtrail:StopLogging": lambda to, on: to("cloudtrail").stop_logging(Name=on.name),
    "cloudtrail:UpdateTrail": lambda to, on: to("cloudtrail").update_trail(Name=on.name),
    "cloudwatch:PutMetricAlarm": lambda to, on: to("cloudwatch").put_metric_alarm(
        AlarmName=on.name, EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold"
    ),
    "dynamodb:BatchWriteItem": lambda to, on: to("dynamodb").batch_write_item(
        RequestItems={on.table: [{"PutRequest": {"Item": STATE}}]}
    ),
    "dynamodb:DeleteItem": lambda to, on: to("dynamodb").delete_item(TableName=on.table, Key=STATE),
    "dynamodb:DeleteTable": lambda to, on: to("dynamodb").delete_table(TableName=on.table),
    "dynamodb:PutItem": lambda to, on: to("dynamodb").put_item(TableName=on.table, Item=STATE),
    "dynamodb:PutItem, in a transaction": lambda to, on: to("dynamodb").transact_write_items(
        TransactItems=[{"Put": {"TableName": on.table, "Item": STATE}}]
    ),
    "dynamodb:UpdateContinuousBackups": lambda to, on: to("dynamodb").update_continuous_backups(
        TableName=on.table,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
    ),
    "dynamodb:UpdateItem": lambda to, on: to("dynamodb").update_item(
        TableName=on.table, Key=STATE, **UPDATE
    ),
    "dynamodb:UpdateTable": lambda to, on: to("dynamodb").update_table(
        TableName=on.table, StreamSpecification={"StreamEnabled": False}
    ),
    "dynamodb:UpdateTimeToLive": lambda to, on: to("dynamodb").update_time_to_live(
        TableName=on.table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "at"},
    ),
    "events:DeleteRule": lambda to, on: to("events").delete_rule(Name=on.rule),
    "events:DisableRule": lambda to, on: to("events").disable_rule(Name=on.rule),
    "events:PutRule": lambda to, on: to("events").put_rule(Name=on.rule, EventPattern="{}"),
    "events:PutTargets": lambda to, on: to("events").put_targets(Rule=on.rule, Targets=[TARGET]),
    "events:RemoveTargets": lambda to, on: to("events").remove_targets(
        Rule=on.rule, Ids=["SignInQueue"]
    ),
    "iam:AttachRolePolicy": lambda to, on: to("iam").attach_role_policy(
        RoleName=on.role, PolicyArn=ADMINISTRATOR_POLICY
    ),
    "iam:CreatePolicyVersion": lambda to, on: to("iam").create_policy_version(
        PolicyArn=on.policy, PolicyDocument=EMPTY, SetAsDefault=True
    ),
    "iam:CreateRole": lambda to, _: to("iam").create_role(
        RoleName=f"{STACK}-Fulfil-forged", AssumeRolePolicyDocument="{}"
    ),
    "iam:CreateRole, of a break-glass role": lambda to, _: to("iam").create_role(
        RoleName=BREAK_GLASS, AssumeRolePolicyDocument="{}"
    ),
    "iam:CreateRole, of an operator": lambda to, _: to("iam").create_role(
        RoleName=OPERATOR, AssumeRolePolicyDocument="{}"
    ),
    "iam:DeletePolicy": lambda to, on: to("iam").delete_policy(PolicyArn=on.policy),
    "iam:DeletePolicyVersion": lambda to, on: to("iam").delete_policy_version(
        PolicyArn=on.policy, VersionId="v9"
    ),
    "iam:DeleteRole": lambda to, on: to("iam").delete_role(RoleName=on.role),
    "iam:DeleteRolePolicy": lambda to, on: to("iam").delete_role_policy(
        RoleName=on.role, PolicyName="deliver"
    ),
    "iam:DetachGroupPolicy": lambda to, on: to("iam").detach_group_policy(
        GroupName="none", PolicyArn=_guard_of(on)
    ),
    "iam:DetachRolePolicy": lambda to, on: to("iam").detach_role_policy(
        RoleName=on.role, PolicyArn=ADMINISTRATOR_POLICY
    ),
    "iam:DetachRolePolicy, the guard": lambda to, on: to("iam").detach_role_policy(
        RoleName="none", PolicyArn=_guard_of(on)
    ),
    "iam:DetachUserPolicy": lambda to, on: to("iam").detach_user_policy(
        UserName="none", PolicyArn=_guard_of(on)
    ),
    "iam:PutRolePermissionsBoundary": lambda to, on: to("iam").put_role_permissions_boundary(
        RoleName=on.role, PermissionsBoundary=ADMINISTRATOR_POLICY
    ),
    "iam:PutRolePolicy": lambda to, on: to("iam").put_role_policy(
        RoleName=on.role, PolicyName="more", PolicyDocument=EMPTY
    ),
    "iam:SetDefaultPolicyVersion": lambda to, on: to("iam").set_default_policy_version(
        PolicyArn=on.policy, VersionId="v9"
    ),
    "iam:UpdateAssumeRolePolicy": lambda to, on: to("iam").update_assume_role_policy(
        RoleName=on.role, PolicyDocument="{}"
    ),
    "kms:DisableKey": lambda to, on: to("kms").disable_key(KeyId=on.key),
    "kms:PutKeyPolicy": lambda to, on: to("kms").put_key_policy(KeyId=on.key, Policy=OWNED),
    "kms:ScheduleKeyDeletion": lambda to, on: to("kms").schedule_key_deletion(KeyId=on.key),
    "kms:TagResource": lambda to, on: to("kms").tag_resource(KeyId=on.key, Tags=[]),
    "kms:UntagResource": lambda to, on: to("kms").untag_resource(KeyId=on.key, TagKeys=["none"]),
    "lambda:AddPermission": lambda to, on: to("lambda").add_permission(
        FunctionName=on.function,
        StatementId="all",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
    ),
    "lambda:CreateFunctionUrlConfig": lambda to, on: to("lambda").create_function_url_config(
        FunctionName=on.function, AuthType="NONE"
    ),
    "lambda:DeleteFunction": lambda to, on: to("lambda").delete_function(FunctionName=on.function),
    "lambda:DeleteFunctionUrlConfig": lambda to, on: to("lambda").delete_function_url_config(
        FunctionName=on.function
    ),
    "lambda:InvokeFunction": lambda to, on: to("lambda").invoke(FunctionName=on.function),
    "lambda:PutFunctionConcurrency": lambda to, on: to("lambda").put_function_concurrency(
        FunctionName=on.function, ReservedConcurrentExecutions=0
    ),
    "lambda:RemovePermission": lambda to, on: to("lambda").remove_permission(
        FunctionName=on.function, StatementId="none"
    ),
    "lambda:UpdateFunctionCode": lambda to, on: to("lambda").update_function_code(
        FunctionName=on.function, ZipFile=b"-"
    ),
    "lambda:UpdateFunctionConfiguration": lambda to, on: to("lambda").update_function_configuration(
        FunctionName=on.function, Environment={"Variables": {}}
    ),
    "lambda:UpdateFunctionUrlConfig": lambda to, on: to("lambda").update_function_url_config(
        FunctionName=on.function, AuthType="NONE"
    ),
    "logs:DeleteLogGroup": lambda to, on: to("logs").delete_log_group(logGroupName=on.group),
    "logs:DeleteLogStream": lambda to, on: to("logs").delete_log_stream(
        logGroupName=on.group, logStreamName="none"
    ),
    "logs:PutRetentionPolicy": lambda to, on: to("logs").put_retention_policy(
        logGroupName=on.group, retentionInDays=1
    ),
    "scheduler:DeleteSchedule": lambda to, on: to("scheduler").delete_schedule(Name=on.name),
    "scheduler:UpdateSchedule": lambda to, on: to("scheduler").update_schedule(
        Name=on.name, Target={"Arn": TARGET["Arn"], "RoleArn": "arn:aws:iam::1:role/x"}, **PLAN
    ),
    "sns:DeleteTopic": lambda to, on: to("sns").delete_topic(TopicArn=on.topic),
    "sns:SetTopicAttributes": lambda to, on: to("sns").set_topic_attributes(
        TopicArn=on.topic, AttributeName="DisplayName", AttributeValue="x"
    ),
    "sqs:AddPermission": lambda to, on: to("sqs").add_permission(
        QueueUrl=on.queue, Label="all", AWSAccountIds=[ACCOUNT_ID], Actions=["SendMessage"]
    ),
    "sqs:DeleteMessage": lambda to, on: to("sqs").delete_message(
        QueueUrl=on.queue, ReceiptHandle="none"
    ),
    "sqs:DeleteQueue": lambda to, on: to("sqs").delete_queue(QueueUrl=on.queue),
    "sqs:PurgeQueue": lambda to, on: to("sqs").purge_queue(QueueUrl=on.queue),
    "sqs:ReceiveMessage": lambda to, on: to("sqs").receive_message(QueueUrl=on.queue),
    "sqs:SendMessage": lambda to, on: to("sqs").send_message(QueueUrl=on.queue, MessageBody="{}"),
    "sqs:SetQueueAttributes": lambda to, on: to("sqs").set_queue_attributes(
        QueueUrl=on.queue, Attributes={"Policy": ""}
    ),
}

_HERE = f"{REGION}:{ACCOUNT_ID}"
EVALUATED = {
    "cloudformation:DeleteStack": f"arn:aws:cloudformation:{_HERE}:stack/{STACK}/1",
    "cloudformation:UpdateStack": f"arn:aws:cloudformation:{_HERE}:stack/{STACK}/1",
    "cloudwatch:DeleteAlarms": f"arn:aws:cloudwatch:{_HERE}:alarm:{STACK}-RedeliverSilent-1",
    "cloudwatch:DisableAlarmActions": f"arn:aws:cloudwatch:{_HERE}:alarm:{STACK}-RemindErrors-1",
    "dynamodb:PartiQLDelete": f"arn:aws:dynamodb:{_HERE}:table/{STACK}-Table-1",
    "dynamodb:PartiQLInsert": f"arn:aws:dynamodb:{_HERE}:table/{STACK}-Table-1",
    "dynamodb:PartiQLUpdate": f"arn:aws:dynamodb:{_HERE}:table/{STACK}-Table-1",
    "dynamodb:PutResourcePolicy": f"arn:aws:dynamodb:{_HERE}:table/{STACK}-Table-1",
    "iam:PassRole": f"arn:aws:iam::{ACCOUNT_ID}:role/{STACK}-FulfilRole-1",
    "lambda:DeleteEventSourceMapping": f"arn:aws:lambda:{_HERE}:event-source-mapping:1",
    "lambda:InvokeAsync": f"arn:aws:lambda:{_HERE}:function:{STACK}-Fulfil-1",
    "lambda:UpdateEventSourceMapping": f"arn:aws:lambda:{_HERE}:event-source-mapping:1",
}
"""Put to the evaluator: the first two would end the test, for the others the emulator asks nobody,
or about no resource."""


def _guard_of(things: Things) -> str:
    return f"{things.policy.rpartition('/')[0]}/{STACK}-guard"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("guarded")
    named = {
        "BreakGlassRoles": f"{BREAK_GLASS},{RESCUE}",
        "OperatorRoles": f"{OPERATOR},{NAMED}",
    }
    with Guarded.set_up(home, **named) as guarded:
        guarded.user(CAROL, guarded.guard)
        guarded.user(OLIVIA, guarded.guard, ADMINISTRATOR_POLICY)
        # As a service control policy has it, the guard is on the roles, too, and on the exempt.
        for role in (ADMINISTRATOR, IMPOSTOR, OPERATOR, BREAK_GLASS, RESCUE):
            guarded.role(role, guarded.guard, ADMINISTRATOR_POLICY)
        guarded.role(UNGUARDED, ADMINISTRATOR_POLICY)
        iam = guarded.account.root.client("iam")
        fulfil = guarded.resources["FulfilRole"]
        iam.attach_role_policy(RoleName=fulfil, PolicyArn=guarded.guard)
        guarded.callers[FULFIL] = guarded.session(fulfil)
        yield guarded


@pytest.fixture(scope="module")
def deployed(guarded: Guarded) -> Things:
    """What the stack made."""
    ids = guarded.resources
    return Things(
        table=ids["Table"],
        queue=ids["IamChangeQueue"],
        function=ids["Fulfil"],
        rule=ids["IamChangeRule"],
        role=ids["DeliverRole"],
        policy=guarded.guard,
        topic=ids["AlertTopic"],
        key=ids["Key"],
    )


@pytest.fixture
def spare(guarded: Guarded, deployed: Things) -> Things:
    """The like under names that the stack's could have; of these, only the key exists."""
    name = f"{STACK}-spare"
    kms = guarded.account.root.client("kms")
    key = kms.create_key(Tags=[{"TagKey": "mfa-watcher", "TagValue": STACK}])
    return Things(
        table=name,
        queue=deployed.queue.replace("IamChangeQueue", "Spare"),
        function=name,
        rule=name,
        role=name,
        policy=f"arn:aws:iam::{ACCOUNT_ID}:policy/{name}",
        topic=f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{name}",
        key=key["KeyMetadata"]["KeyId"],
    )


@pytest.mark.parametrize("action", CALLS)
def test_tampering_is_denied_to_all_but_operators_and_break_glass(
    guarded: Guarded, deployed: Things, spare: Things, action: str
) -> None:
    found = {
        caller: verdict(
            CALLS[action], guarded.callers[caller], deployed if expected == DENIED else spare
        )
        for caller, expected in TAMPERING.items()
    }
    assert found == TAMPERING


@pytest.mark.parametrize("action", EVALUATED)
def test_policy_evaluation_answers_as_expected_for_actions_that_are_not_called(
    guarded: Guarded, action: str
) -> None:
    def evaluated(caller: str) -> str:
        kind = "user" if caller in {CAROL, OLIVIA} else "role"
        answer = guarded.account.root.client("iam").simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT_ID}:{kind}/{caller}",
            ActionNames=[action],
            ResourceArns=[EVALUATED[action]],
        )
        decision = answer["EvaluationResults"][0]["EvalDecision"]
        return {"explicitDeny": DENIED, "allowed": LET_THROUGH}[decision]

    # It finds no role that has a path.
    asked = {caller: TAMPERING[caller] for caller in TAMPERING if "/" not in caller}
    assert {caller: evaluated(caller) for caller in asked} == asked


def test_each_action_of_the_guard_policy_is_in_the_matrix() -> None:
    template = Template.read().nested("Guard")
    document = template.resolve(template.properties("GuardPolicy")["PolicyDocument"])
    asked = {action.partition(",")[0] for action in (*CALLS, *EVALUATED)}
    asked |= {"iam:DeactivateMFADevice", "iam:DeleteVirtualMFADevice"}
    assert asked == {action for one in document["Statement"] for action in one["Action"]}


@pytest.fixture
def device(guarded: Guarded) -> Iterator[Callable[[], Things]]:
    """Make users who have a device, one after the other."""
    made: list[str] = []

    def make() -> Things:
        name = f"dora-{secrets.token_hex(3)}"
        guarded.user(name, guarded.guard)
        guarded.actors.enrol(name, device=name)
        made.append(name)
        return _of(name, guarded.actors.serial(name))

    yield make
    iam = guarded.account.root.client("iam")
    for name in made:
        for held in iam.list_mfa_devices(UserName=name)["MFADevices"]:
            iam.deactivate_mfa_device(UserName=name, SerialNumber=held["SerialNumber"])


def _of(user: str, serial: str) -> Things:
    return Things("", "", "", "", "", "", "", "", user=user, serial=serial)


def _deactivate(client: Callable[[str], Any], on: Things) -> object:
    return client("iam").deactivate_mfa_device(UserName=on.user, SerialNumber=on.serial)


def _delete(client: Callable[[str], Any], on: Things) -> object:
    return client("iam").delete_virtual_mfa_device(SerialNumber=on.serial)


def test_a_device_is_deactivated_by_the_fulfil_role_and_break_glass_alone(
    guarded: Guarded, device: Callable[[], Things]
) -> None:
    found, kept = {}, {}
    for caller in REMOVING:
        on = device()
        found[caller] = verdict(_deactivate, guarded.callers[caller], on)
        kept[caller] = bool(
            guarded.account.root.client("iam").list_mfa_devices(UserName=on.user)["MFADevices"]
        )
    assert found == REMOVING
    assert kept == {caller: expected == DENIED for caller, expected in REMOVING.items()}


def test_a_virtual_device_is_deleted_by_the_fulfil_role_and_break_glass_alone(
    guarded: Guarded, device: Callable[[], Things]
) -> None:
    iam = guarded.account.root.client("iam")
    found, kept = {}, {}
    for caller in REMOVING:
        on = device()
        iam.deactivate_mfa_device(UserName=on.user, SerialNumber=on.serial)
        found[caller] = verdict(_delete, guarded.callers[caller], on)
        kept[caller] = on.serial in {
            one["SerialNumber"]
            for one in iam.list_virtual_mfa_devices(AssignmentStatus="Any")["VirtualMFADevices"]
        }
    assert found == REMOVING
    assert kept == {caller: expected == DENIED for caller, expected in REMOVING.items()}


def test_nobody_removes_their_own_device(guarded: Guarded) -> None:
    guarded.user("erin", guarded.guard)
    guarded.actors.enrol("erin", device="erin-phone")
    own = _of("erin", guarded.actors.serial("erin-phone"))
    assert verdict(_deactivate, guarded.callers["erin"], own) == DENIED
    assert verdict(_delete, guarded.callers["erin"], own) == DENIED


def test_guarded_user_may_do_all_it_takes_to_enrol_two_devices(guarded: Guarded) -> None:
    guarded.user("frida", guarded.guard)
    guarded.actors.grant_console_access("frida", by=guarded.account.root)
    iam = guarded.callers["frida"]("iam")
    iam.change_password(OldPassword=guarded.actors.passwords["frida"], NewPassword=NEW_PASSWORD)
    guarded.actors.enrol("frida", device="frida-phone")
    guarded.actors.enrol("frida", device="frida-tablet")
    serial = guarded.actors.serial("frida-phone")
    seed, now = guarded.actors.seeds[serial], time.time()
    iam.resync_mfa_device(
        UserName="frida",
        SerialNumber=serial,
        AuthenticationCode1=totp.code(seed, now, steps=-1),
        AuthenticationCode2=totp.code(seed, now),
    )
    held = {one["SerialNumber"] for one in iam.list_mfa_devices()["MFADevices"]}
    assert held == {serial, guarded.actors.serial("frida-tablet")}


def test_an_administrator_may_add_a_device_for_a_user_and_set_their_password(
    guarded: Guarded,
) -> None:
    guarded.user("gustav", guarded.guard)
    iam = guarded.callers[OLIVIA]("iam")
    iam.create_login_profile(UserName="gustav", Password=NEW_PASSWORD)
    iam.update_login_profile(UserName="gustav", PasswordResetRequired=True)
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="gustav-phone")["VirtualMFADevice"]
    seed, now = made["Base32StringSeed"].decode(), time.time()
    iam.enable_mfa_device(
        UserName="gustav",
        SerialNumber=made["SerialNumber"],
        AuthenticationCode1=totp.code(seed, now, steps=-1),
        AuthenticationCode2=totp.code(seed, now),
    )
    assert iam.list_mfa_devices(UserName="gustav")["MFADevices"]


def test_the_guard_policy_denies_a_direct_invocation_but_not_the_function_url(
    guarded: Guarded,
) -> None:
    name = guarded.resources["Fulfil"]
    url = guarded.account.root.client("lambda").get_function_url_config(FunctionName=name)
    olivia = guarded.actors[OLIVIA]
    request = AWSRequest("POST", url["FunctionUrl"], {"content-type": "application/json"}, b"{}")
    keys: Any = boto3.Session(olivia.access_key_id, olivia.secret_access_key).get_credentials()
    SigV4Auth(keys.get_frozen_credentials(), "lambda", REGION).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    assert (answer.status_code, answer.text) == (200, "let in")
    assert verdict(lambda: olivia.client("lambda").invoke(FunctionName=name)) == DENIED


def test_the_guard_policy_does_not_deny_calls_about_other_resources(guarded: Guarded) -> None:
    client = guarded.callers[OLIVIA]
    for call in (
        lambda: client("events").put_rule(Name="other", EventPattern='{"source": ["x"]}'),
        lambda: client("dynamodb").delete_table(TableName="other"),
        lambda: client("lambda").delete_function(FunctionName="other"),
        lambda: client("iam").delete_role(RoleName="other"),
        lambda: client("kms").schedule_key_deletion(
            KeyId=client("kms").create_key()["KeyMetadata"]["KeyId"]
        ),
        lambda: client("iam").detach_user_policy(
            UserName=OLIVIA, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
        ),
        lambda: client("sqs").delete_queue(
            QueueUrl=client("sqs").create_queue(QueueName="other")["QueueUrl"]
        ),
    ):
        assert verdict(call) == LET_THROUGH


def test_unassigned_devices_may_be_deleted_if_the_parameter_allows_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("clearing")
    with Guarded.set_up(home, ClearAbandonedDevices="yes") as guarded:
        guarded.user("hans", guarded.guard)
        guarded.actors.enrol("hans", device="hans-phone")
        iam = guarded.callers["hans"]("iam")
        abandoned = iam.create_virtual_mfa_device(VirtualMFADeviceName="hans-old")
        serial = abandoned["VirtualMFADevice"]["SerialNumber"]
        own = _of("hans", guarded.actors.serial("hans-phone"))
        assert verdict(_deactivate, guarded.callers["hans"], own) == DENIED
        with pytest.raises(ClientError, match="DeleteConflict"):
            iam.delete_virtual_mfa_device(SerialNumber=own.serial)
        iam.delete_virtual_mfa_device(SerialNumber=serial)
