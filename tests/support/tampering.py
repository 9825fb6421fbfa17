"""Every way to disturb the watcher that is watched for, as CloudTrail records it."""

from dataclasses import dataclass, field
from typing import Any

from mfa_watcher.domain.events.tampering import Part, Watcher

ACCOUNT = "111122223333"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
SCP_ID = "p-examplescp1"
OURS = Watcher("mfa-watcher", KEY_ID, SCP_ID)
GUARD = f"arn:aws:iam::{ACCOUNT}:policy/mfa-watcher-guard"
DELIVERY = f"arn:aws:iam::{ACCOUNT}:policy/mfa-watcher-DeliveryPolicy-1A2B3C"
TRAIL = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/management-events"
RULE = "mfa-watcher-SignInRule-1A2B3C"
QUEUE = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/mfa-watcher-SignInQueue-1A2B3C"
OTHER_URL = f"https://us-east-1.queue.amazonaws.com/{ACCOUNT}/mfa-watcher-SignInQueue-1A2B3C"
QUEUE_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:mfa-watcher-SignInQueue-1A2B3C"
FUNCTION = "mfa-watcher-OnSignIn-1A2B3C"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{FUNCTION}"
ROLE = "mfa-watcher-OnSignInRole-1A2B3C"
TABLE = "mfa-watcher-Table-1A2B3C"
TABLE_ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{TABLE}"
KEY_ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{KEY_ID}"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:mfa-watcher-AlertTopic-1A2B3C"
SUBSCRIPTION = f"{TOPIC}:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
LOGS = "/aws/lambda/mfa-watcher/on_sign_in"
ALARM = "mfa-watcher-Alarms-1A2B3C-OnSignInErrorsAlarm-1A2B3C"
STACK_ARN = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/mfa-watcher/0a1b2c3d"
NESTED = "mfa-watcher-Alarms-1A2B3C"
NESTED_ARN = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{NESTED}/4e5f6a7b"


@dataclass(frozen=True)
class Case:
    """One such call."""

    service: str
    name: str
    part: Part
    parameters: dict[str, Any] = field(default_factory=dict)
    response: dict[str, Any] | None = None
    resource: str = ""
    """What a denial's text names; empty: nothing that tells whose it is."""

    def __str__(self) -> str:
        """Name the case in a test's id."""
        return f"{self.service}-{self.name}"

    @property
    def record(self) -> dict[str, Any]:
        """What the record says of the call alone."""
        return {
            "eventSource": f"{self.service}.amazonaws.com",
            "eventName": self.name,
            "requestParameters": self.parameters or None,
            "responseElements": self.response,
        }

    @property
    def denied(self) -> dict[str, Any]:
        """The same call, denied by a policy: its parameters are dropped."""
        resource = self.resource or "*"
        return {
            **self.record,
            "requestParameters": None,
            "responseElements": None,
            "errorCode": "AccessDenied",
            "errorMessage": (
                f"User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform:"
                f" {self.service}:Call on resource: {resource} with an explicit deny in an"
                " identity-based policy"
            ),
        }


def _rules() -> list[Case]:
    arn = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{RULE}"
    return [
        *(
            Case("events", name, Part.RULE, {"name": RULE}, resource=arn)
            for name in ("DisableRule", "DeleteRule", "PutRule")
        ),
        *(
            Case("events", name, Part.RULE, {"rule": RULE}, resource=arn)
            for name in ("RemoveTargets", "PutTargets")
        ),
    ]


CASES: list[Case] = [
    *(
        Case("cloudtrail", name, Part.TRAIL, {field: TRAIL}, resource=TRAIL)
        for name, field in (
            ("StopLogging", "name"),
            ("DeleteTrail", "name"),
            ("UpdateTrail", "name"),
            ("PutEventSelectors", "trailName"),
        )
    ),
    *_rules(),
    *(
        Case("events", name, Part.BUS, {"statementId": "mfa-watcher-members"})
        for name in ("RemovePermission", "PutPermission")
    ),
    Case("events", "RemovePermission", Part.BUS, {"removeAllPermissions": True}),
    *(
        Case("sqs", name, Part.QUEUE, {"queueUrl": url}, resource=QUEUE_ARN)
        for name in (
            "PurgeQueue",
            "DeleteQueue",
            "SetQueueAttributes",
            "AddPermission",
            "RemovePermission",
        )
        for url in (QUEUE, OTHER_URL)
    ),
    *(
        Case("lambda", name, Part.FUNCTION, {"functionName": function}, resource=FUNCTION_ARN)
        for name in (
            "PutFunctionConcurrency20171031",
            "UpdateFunctionCode20150331v2",
            "UpdateFunctionConfiguration20150331v2",
            "DeleteFunction20150331",
            "AddPermission20150331v2",
            "RemovePermission20150331v2",
            "CreateFunctionUrlConfig",
            "UpdateFunctionUrlConfig",
            "DeleteFunctionUrlConfig",
        )
        for function in (FUNCTION, FUNCTION_ARN, f"{ACCOUNT}:function:{FUNCTION}")
    ),
    *(
        Case("lambda", name, Part.SOURCE, {"uUID": "u"}, {"functionArn": FUNCTION_ARN})
        for name in ("UpdateEventSourceMapping20150331", "DeleteEventSourceMapping20150331")
    ),
    Case(
        "lambda",
        "CreateEventSourceMapping20150331",
        Part.SOURCE,
        {"functionName": "thief", "eventSourceArn": QUEUE_ARN},
    ),
    *(
        Case(
            "iam",
            name,
            Part.ROLE,
            {"roleName": ROLE},
            resource=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        )
        for name in (
            "AttachRolePolicy",
            "PutRolePolicy",
            "DeleteRolePolicy",
            "UpdateAssumeRolePolicy",
            "PutRolePermissionsBoundary",
            "DeleteRolePermissionsBoundary",
            "DeleteRole",
            "CreateRole",
        )
    ),
    Case(
        "iam",
        "DetachRolePolicy",
        Part.ROLE,
        {"roleName": ROLE, "policyArn": DELIVERY},
        resource=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
    ),
    Case("iam", "DetachRolePolicy", Part.GUARD, {"roleName": "Administrator", "policyArn": GUARD}),
    Case("iam", "DetachUserPolicy", Part.GUARD, {"userName": "alice", "policyArn": GUARD}),
    Case("iam", "DetachGroupPolicy", Part.GUARD, {"groupName": "staff", "policyArn": GUARD}),
    *(
        Case("iam", name, part, {"policyArn": policy}, resource=policy)
        for name in (
            "DeletePolicy",
            "CreatePolicyVersion",
            "SetDefaultPolicyVersion",
            "DeletePolicyVersion",
        )
        for policy, part in ((GUARD, Part.GUARD), (DELIVERY, Part.POLICY))
    ),
    *(
        Case("dynamodb", name, Part.TABLE, {"tableName": TABLE}, resource=TABLE_ARN)
        for name in ("DeleteTable", "UpdateTable", "UpdateTimeToLive", "UpdateContinuousBackups")
    ),
    *(
        Case("dynamodb", name, Part.TABLE, {"resourceArn": TABLE_ARN}, resource=TABLE_ARN)
        for name in ("PutResourcePolicy", "DeleteResourcePolicy")
    ),
    *(
        Case("kms", name, Part.KEY, {"keyId": key}, resource=KEY_ARN)
        for name in ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "UntagResource")
        for key in (KEY_ID, KEY_ARN)
    ),
    *(
        Case("sns", name, Part.TOPIC, {"topicArn": TOPIC}, resource=TOPIC)
        for name in (
            "DeleteTopic",
            "SetTopicAttributes",
            "AddPermission",
            "RemovePermission",
            "Subscribe",
        )
    ),
    *(
        Case("sns", name, Part.TOPIC, {"subscriptionArn": SUBSCRIPTION}, resource=TOPIC)
        for name in ("Unsubscribe", "SetSubscriptionAttributes")
    ),
    *(
        Case(
            "scheduler",
            name,
            Part.SCHEDULE,
            {"name": "mfa-watcher-sweep", "groupName": "default"},
            resource=f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/mfa-watcher-sweep",
        )
        for name in ("UpdateSchedule", "DeleteSchedule")
    ),
    *(
        Case(
            "logs",
            name,
            Part.LOGS,
            {"logGroupName": LOGS},
            resource=f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{LOGS}:log-stream:",
        )
        for name in ("DeleteLogGroup", "DeleteLogStream", "PutRetentionPolicy")
    ),
    *(
        Case(
            "monitoring",
            name,
            Part.ALARM,
            {"alarmNames": ["other", ALARM]},
            resource=f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{ALARM}",
        )
        for name in ("DeleteAlarms", "DisableAlarmActions")
    ),
    Case(
        "monitoring",
        "PutMetricAlarm",
        Part.ALARM,
        {"alarmName": ALARM},
        resource=f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{ALARM}",
    ),
    *(
        Case("organizations", name, Part.SCP, {"policyId": SCP_ID})
        for name in ("DetachPolicy", "UpdatePolicy", "DeletePolicy")
    ),
    Case("organizations", "DisablePolicyType", Part.SCP, {"policyType": "SERVICE_CONTROL_POLICY"}),
    *(
        Case("cloudformation", "DeleteStack", Part.STACK, {"stackName": name}, resource=arn)
        for name, arn in (
            ("mfa-watcher", STACK_ARN),
            (STACK_ARN, STACK_ARN),
            (NESTED, NESTED_ARN),
            (NESTED_ARN, NESTED_ARN),
        )
    ),
]

IDS = [f"{number}-{case}" for number, case in enumerate(CASES)]

OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("events", "DisableRule", {"name": "nightly-backup"}),
    ("events", "DisableRule", {"name": "not-mfa-watcher-SignInRule"}),
    ("events", "DisableRule", {"name": "mfa-watchers-own"}),
    ("events", "RemoveTargets", {"rule": "nightly-backup"}),
    ("events", "RemovePermission", {"statementId": "partner"}),
    ("sqs", "PurgeQueue", {"queueUrl": f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders"}),
    ("lambda", "PutFunctionConcurrency20171031", {"functionName": "orders"}),
    ("lambda", "UpdateFunctionCode20150331v2", {"functionName": "an-mfa-watcher-client"}),
    ("lambda", "CreateEventSourceMapping20150331", {"eventSourceArn": "arn:aws:sqs:r:1:orders"}),
    ("iam", "DetachUserPolicy", {"policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
    ("iam", "DetachUserPolicy", {"policyArn": DELIVERY}),
    ("iam", "CreatePolicyVersion", {"policyArn": f"arn:aws:iam::{ACCOUNT}:policy/other-guard"}),
    ("iam", "UpdateAssumeRolePolicy", {"roleName": "Administrator"}),
    ("dynamodb", "DeleteTable", {"tableName": "orders"}),
    ("kms", "DisableKey", {"keyId": "99999999-12ab-34cd-56ef-1234567890ab"}),
    ("sns", "Unsubscribe", {"subscriptionArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:orders:1"}),
    ("scheduler", "DeleteSchedule", {"name": "nightly-backup"}),
    ("logs", "DeleteLogGroup", {"logGroupName": "/aws/lambda/orders"}),
    ("monitoring", "DeleteAlarms", {"alarmNames": ["orders-alarm"]}),
    ("organizations", "DetachPolicy", {"policyId": "p-another1"}),
    ("organizations", "DisablePolicyType", {"policyType": "TAG_POLICY"}),
    ("cloudformation", "DeleteStack", {"stackName": "orders"}),
    ("cloudformation", "DeleteStack", {"stackName": "mfa-watchers-own"}),
    (
        "cloudformation",
        "DeleteStack",
        {"stackName": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/not-mfa-watcher-1/4e5f"},
    ),
]
"""What the same calls do to somebody else's resources."""
