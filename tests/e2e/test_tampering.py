"""Each disturbance of the watcher, done by a real call in the emulated account, and alerted."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.emulator import ACCOUNT_ID, Emulator, EmulatorError, free_port, interpreter
from sandbox.setup import Sandbox

LONGEST_WAIT = 60
Call = Callable[["Deployed"], object]


class Deployed:
    """The deployed watcher, and an administrator without the guard policy."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Take the sandbox before any story."""
        self.sandbox = sandbox
        self.stack = sandbox.stack
        self.parts = sandbox.stack.resources

    def client(self, service: str) -> Any:
        """Call as the administrator."""
        return self.sandbox.actors["olivia"].client(service)

    def alerted(self, event_id: str) -> bool:
        """Return whether the alert about an event was sent."""
        self.sandbox.observations.update()
        return any(
            intent["id"] == f"alert-watcher_disturbed-{event_id}" and intent["status"] == "sent"
            for intent in self.sandbox.observations.kind("INTENT")
        )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    with Sandbox.running(Emulator(free_port(), tmp_path_factory.mktemp("disturbed"))) as sandbox:
        yield Deployed(sandbox)


def code() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): pass")
    return packed.getvalue()


def trail(here: Deployed) -> Any:
    cloudtrail = here.client("cloudtrail")
    here.sandbox.account.root.client("s3").create_bucket(Bucket="trail-bucket")
    if not cloudtrail.describe_trails(trailNameList=["main"])["trailList"]:
        cloudtrail.create_trail(Name="main", S3BucketName="trail-bucket")
    return cloudtrail


def event_source(here: Deployed) -> str:
    mappings = here.client("lambda").list_event_source_mappings(
        FunctionName=here.parts["OnMailFeedback"]
    )
    return str(mappings["EventSourceMappings"][0]["UUID"])


def topic_reader(here: Deployed) -> str:
    sqs = here.sandbox.account.root.client("sqs")
    url = sqs.create_queue(QueueName="outsider")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(found["Attributes"]["QueueArn"])


def subscription(here: Deployed) -> str:
    sns = here.sandbox.account.root.client("sns")
    made = sns.subscribe(
        TopicArn=here.stack["AlertTopicArn"], Protocol="sqs", Endpoint=topic_reader(here)
    )
    return str(made["SubscriptionArn"])


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
NOTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}],
    }
)
KEY_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
        ],
    }
)

CALLS: dict[str, Call] = {
    "StopLogging": lambda here: trail(here).stop_logging(Name="main"),
    "UpdateTrail": lambda here: trail(here).update_trail(Name="main", IsMultiRegionTrail=False),
    "PutEventSelectors": lambda here: trail(here).put_event_selectors(
        TrailName="main",
        EventSelectors=[{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}],
    ),
    "DeleteTrail": lambda here: trail(here).delete_trail(Name="main"),
    "DisableRule": lambda here: here.client("events").disable_rule(
        Name=here.stack["MailFeedbackRule"]
    ),
    "RemoveTargets": lambda here: here.client("events").remove_targets(
        Rule=here.stack["MailFeedbackRule"], Ids=["MailFeedbackQueue"]
    ),
    "DeleteRule": lambda here: here.client("events").delete_rule(
        Name=here.stack["MailFeedbackRule"], Force=True
    ),
    "PurgeQueue": lambda here: here.client("sqs").purge_queue(
        QueueUrl=here.stack["DeliverDeadLetters"]
    ),
    "SetQueueAttributes": lambda here: here.client("sqs").set_queue_attributes(
        QueueUrl=here.stack["DeliverDeadLetters"], Attributes={"DelaySeconds": "900"}
    ),
    "DeleteQueue": lambda here: here.client("sqs").delete_queue(
        QueueUrl=here.stack["SweepDeadLetters"]
    ),
    "PutFunctionConcurrency20171031": lambda here: here.client("lambda").put_function_concurrency(
        FunctionName=here.parts["Remind"], ReservedConcurrentExecutions=0
    ),
    "UpdateFunctionCode20150331v2": lambda here: here.client("lambda").update_function_code(
        FunctionName=here.parts["Remind"], ZipFile=code()
    ),
    "UpdateFunctionConfiguration20150331v2": lambda here: here.client(
        "lambda"
    ).update_function_configuration(FunctionName=here.parts["Remind"], Timeout=3),
    "AddPermission20150331v2": lambda here: here.client("lambda").add_permission(
        FunctionName=here.parts["Remind"],
        StatementId="outsider",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
    ),
    "RemovePermission20150331v2": lambda here: here.client("lambda").remove_permission(
        FunctionName=here.parts["Remind"], StatementId="outsider"
    ),
    "UpdateEventSourceMapping20150331": lambda here: here.client(
        "lambda"
    ).update_event_source_mapping(UUID=event_source(here), Enabled=False),
    "DeleteEventSourceMapping20150331": lambda here: here.client(
        "lambda"
    ).delete_event_source_mapping(UUID=event_source(here)),
    "DeleteFunction20150331": lambda here: here.client("lambda").delete_function(
        FunctionName=here.parts["Remind"]
    ),
    "PutRolePolicy": lambda here: here.client("iam").put_role_policy(
        RoleName=here.parts["RemindRole"], PolicyName="nothing", PolicyDocument=NOTHING
    ),
    "DeleteRolePolicy": lambda here: here.client("iam").delete_role_policy(
        RoleName=here.parts["RemindRole"], PolicyName="nothing"
    ),
    "UpdateAssumeRolePolicy": lambda here: here.client("iam").update_assume_role_policy(
        RoleName=here.parts["RemindRole"], PolicyDocument=TRUST
    ),
    "CreateRole": lambda here: here.client("iam").create_role(
        RoleName="mfa-watcher-FulfilAnything", AssumeRolePolicyDocument=TRUST
    ),
    "CreatePolicyVersion": lambda here: here.client("iam").create_policy_version(
        PolicyArn=here.stack["GuardPolicyArn"], PolicyDocument=NOTHING
    ),
    "DetachGroupPolicy": lambda here: here.client("iam").detach_group_policy(
        GroupName=here.sandbox.account.root.client("iam").list_entities_for_policy(
            PolicyArn=here.stack["GuardPolicyArn"]
        )["PolicyGroups"][0]["GroupName"],
        PolicyArn=here.stack["GuardPolicyArn"],
    ),
    "UpdateTimeToLive": lambda here: here.client("dynamodb").update_time_to_live(
        TableName=here.stack["TableName"],
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    ),
    "UpdateContinuousBackups": lambda here: here.client("dynamodb").update_continuous_backups(
        TableName=here.stack["TableName"],
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
    ),
    "PutKeyPolicy": lambda here: here.client("kms").put_key_policy(
        KeyId=here.parts["Key"], PolicyName="default", Policy=KEY_POLICY
    ),
    "DisableKey": lambda here: here.client("kms").disable_key(KeyId=here.parts["Key"]),
    "ScheduleKeyDeletion": lambda here: here.client("kms").schedule_key_deletion(
        KeyId=here.parts["Key"], PendingWindowInDays=7
    ),
    "Subscribe": lambda here: here.client("sns").subscribe(
        TopicArn=here.stack["AlertTopicArn"], Protocol="sqs", Endpoint=topic_reader(here)
    ),
    "Unsubscribe": lambda here: here.client("sns").unsubscribe(SubscriptionArn=subscription(here)),
    "SetTopicAttributes": lambda here: here.client("sns").set_topic_attributes(
        TopicArn=here.stack["AlertTopicArn"], AttributeName="DisplayName", AttributeValue="x"
    ),
    "DeleteSchedule": lambda here: here.client("scheduler").delete_schedule(
        Name="mfa-watcher-remind"
    ),
    "PutRetentionPolicy": lambda here: here.client("logs").put_retention_policy(
        logGroupName="/aws/lambda/mfa-watcher/remind", retentionInDays=1
    ),
    "DeleteLogGroup": lambda here: here.client("logs").delete_log_group(
        logGroupName="/aws/lambda/mfa-watcher/remind"
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_tampering_is_alerted(deployed: Deployed, name: str) -> None:
    before = len(deployed.sandbox.account.records(after=0))
    CALLS[name](deployed)
    made = deployed.sandbox.account.records(after=before)
    [entry] = [one for one in made if one["record"]["eventName"] == name]
    assert entry["rules"], json.dumps(entry["record"])
    deadline = time.monotonic() + LONGEST_WAIT
    while not deployed.alerted(entry["record"]["eventID"]):
        assert time.monotonic() < deadline, f"no alert within {LONGEST_WAIT} s"
        time.sleep(0.5)


def test_the_canary_makes_a_heartbeat_and_a_silent_region_is_alerted(deployed: Deployed) -> None:
    sqs = deployed.sandbox.account.root.client("sqs")
    sqs.tag_queue(QueueUrl=deployed.stack["SignInQueue"], Tags={"mfa-watcher-canary": "sings"})
    deadline = time.monotonic() + LONGEST_WAIT
    while len(seen := _heartbeats(deployed)) < 2:
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)
    assert {sk.split("#", 1)[1] for sk in seen} >= {"us-east-1#sign_ins", "us-east-1#iam_changes"}
    assert deployed.sandbox.run("Watch")["silent"] == 0
    _long_ago(deployed, f"{ACCOUNT_ID}#eu-north-1#sign_ins")
    # Five ways of each account: the sign-ins of four regions, and the changes in IAM.
    assert deployed.sandbox.run("Watch") == {"expected": 10, "silent": 1, "alerts": 1}


def _heartbeats(deployed: Deployed) -> set[str]:
    deployed.sandbox.observations.update()
    return {
        item["sk"]
        for item in deployed.sandbox.observations.items
        if item["pk"] == "HEARTBEAT" and "seen_at" in item
    }


def _long_ago(deployed: Deployed, path: str) -> None:
    """Have a path be expected for a long time."""
    deployed.sandbox.observations.update()
    [sk] = [
        item["sk"]
        for item in deployed.sandbox.observations.items
        if item["pk"] == "HEARTBEAT" and item["sk"] == path
    ]
    deployed.sandbox.account.root.client("dynamodb").update_item(
        TableName=deployed.stack["TableName"],
        Key={"pk": {"S": "HEARTBEAT"}, "sk": {"S": sk}},
        UpdateExpression="SET expected_since = :then",
        ExpressionAttributeValues={":then": {"S": "2026-01-01T00:00:00.000+00:00"}},
    )
