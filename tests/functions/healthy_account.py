"""A healthy account for the doctor: all that template.yaml and the forwarders deploy, working."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.model import OperationModel

from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.cli import main
from mfa_watcher.domain.health.heartbeats import expected_sources
from mfa_watcher.domain.sweep.user_inventory import SweepDecision, SweepResult, UserCounts
from mfa_watcher.domain.users.user import MfaStatus, User, UserKey
from tests.support.account import REGION, TABLE, Account
from tests.support.aws_limits import LIMITS
from tests.support.builders import ACCOUNT, SENDER, Json
from tests.template.cloudformation import STACK, Template

if TYPE_CHECKING:
    from collections.abc import Callable

_TEMPLATE = Template.read()
SIGN_IN_REGIONS = _TEMPLATE.resolve(_TEMPLATE.body["Outputs"]["SignInRegions"]["Value"])
REGIONS = tuple(SIGN_IN_REGIONS.split(","))
ELSEWHERE = REGIONS[1:]
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
FORWARD_RULE = f"{STACK}-forward-sign-in"
FORWARD_LETTERS = f"{STACK}-forward-dead-letters"
TRAIL = "all-regions"
STRONG: Json = {
    "MinimumPasswordLength": 16,
    "RequireSymbols": True,
    "RequireNumbers": True,
    "RequireUppercaseCharacters": True,
    "RequireLowercaseCharacters": True,
    "AllowUsersToChangePassword": True,
    "PasswordReusePrevention": 24,
}
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"


def physical(logical: str) -> str:
    """Return a physical name as CloudFormation makes it."""
    return f"{STACK}-{logical}-1A2B3C"


@dataclass(frozen=True)
class Report:
    """The exit code and the output of the command."""

    code: int
    out: str
    err: str

    @property
    def results(self) -> list[Json]:
        """Return the parsed JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def not_ok(self) -> set[tuple[str, str]]:
        """Return the checks that are not ok, with their levels."""
        return {(one["check"], one["level"]) for one in self.results if one["level"] != "ok"}

    def of(self, check: str) -> list[Json]:
        """Return the results of one check."""
        return [one for one in self.results if one["check"] == check]


@dataclass
class CheckedAccount:
    """The account, what moto does not emulate of it, and the calls that the doctor made."""

    account: Account
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    parameters: dict[str, str] = field(
        default_factory=lambda: Template.read(
            SenderAddress=SENDER, MailDomains="example.com"
        ).values()
    )
    resources: dict[str, tuple[str, str]] = field(default_factory=dict)
    nested: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What is in the nested stack of rules."""
    status: str = "UPDATE_COMPLETE"
    root: Json = field(
        default_factory=lambda: {"AccountMFAEnabled": 1, "AccountPasswordPresent": 1}
    )
    identities: dict[str, bool] = field(default_factory=lambda: {"example.com": True})
    mail: Json = field(
        default_factory=lambda: {
            "ProductionAccessEnabled": True,
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "SendQuota": {"Max24HourSend": 50000.0},
        }
    )
    concurrency: Json = field(default_factory=lambda: {"UnreservedConcurrentExecutions": 10})
    decisions: dict[str, str] = field(default_factory=dict)
    """What IAM's simulation answers for an action, if not ``allowed``."""
    subscriptions: dict[str, str] = field(
        default_factory=lambda: {"SubscriptionsConfirmed": "1", "SubscriptionsPending": "0"}
    )
    refused: dict[str, str] = field(default_factory=dict)
    """Calls that fail, with the error code."""
    made: set[str] = field(default_factory=set)
    guard_arn: str = ""
    requester_arn: str = ""

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client for setting up the account, whose calls are not recorded."""
        return _setup_client(service, region)

    @property
    def store(self) -> DynamoStore:
        """The watcher's table."""
        day = timedelta(days=1)
        return DynamoStore(
            Table(self.account.dynamodb, TABLE), remember_events=day, keep_evidence=day
        )

    def run_doctor(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> Report:
        """Run the command, without output of the setup."""
        capsys.readouterr()
        self.made.clear()
        code = main(["doctor", *(arguments or ("--json",))])
        written = capsys.readouterr()
        return Report(code, written.out, written.err)

    # The account ------------------------------------------------------------------------------

    def deploy(self) -> None:
        """Create what the templates deploy, and what a person sets up in addition."""
        template = _template()
        trust = json.dumps(template.properties("SweepRole")["AssumeRolePolicyDocument"])
        self.account.iam.create_role(RoleName="function", AssumeRolePolicyDocument=trust)
        rules, queues = template.of_type("AWS::Events::Rule"), template.of_type("AWS::SQS::Queue")
        for name in queues:
            url = self.client("sqs").create_queue(QueueName=physical(name))["QueueUrl"]
            self.resources[name] = ("AWS::SQS::Queue", url)
        for name in rules:
            queue = template.properties(name)["Targets"][0]["Arn"]["Fn::GetAtt"][0]
            self.rule(physical(name), f"arn:aws:sqs:{REGION}:{ACCOUNT}:{physical(queue)}")
            self.resources[name] = ("AWS::Events::Rule", physical(name))
        self._nested(template)
        for name in template.of_type("AWS::Serverless::Function"):
            self._function(name, template.properties(name))
        for region in ELSEWHERE:
            self.rule(FORWARD_RULE, BUS, region)
            self.client("sqs", region).create_queue(QueueName=FORWARD_LETTERS)
        self._trail()
        self._guard(template)

    def _nested(self, template: Template) -> None:
        """Create the rules for tampering, which are in a stack of their own."""
        stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{physical('Tampering')}/4e5f"
        self.resources["Tampering"] = ("AWS::CloudFormation::Stack", stack)
        nested = template.nested("Tampering")
        for name, rule in nested.of_type("AWS::Events::Rule").items():
            named = nested.resolve(rule["Properties"]["Name"])
            self.rule(named, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{physical('IamChangeQueue')}")
            self.nested[name] = ("AWS::Events::Rule", named)

    def rule(self, name: str, target: str, region: str = REGION) -> None:
        """Create a rule."""
        events = self.client("events", region)
        events.put_rule(Name=name, EventPattern='{"source": ["aws.signin"]}', State="ENABLED")
        events.put_targets(Rule=name, Targets=[{"Id": "To", "Arn": target}])

    def _function(self, name: str, declared: Json) -> None:
        self.client("lambda").create_function(
            FunctionName=physical(name),
            Role=_ROLE,
            Code={"ZipFile": _CODE},
            Handler="app.handler",
            Runtime="python3.13",
        )
        self.resources[name] = ("AWS::Lambda::Function", physical(name))
        for event, of_event in declared.get("Events", {}).items():
            logical = f"{name}{event}"
            if of_event["Type"] == "ScheduleV2":
                self.client("scheduler").create_schedule(
                    Name=physical(logical),
                    ScheduleExpression="rate(1 hour)",
                    FlexibleTimeWindow={"Mode": "OFF"},
                    Target={"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:x", "RoleArn": _ROLE},
                )
                self.resources[logical] = ("AWS::Scheduler::Schedule", physical(logical))
            elif of_event["Type"] == "SQS":
                queue = of_event["Properties"]["Queue"]["Fn::GetAtt"][0]
                made = self.client("lambda").create_event_source_mapping(
                    FunctionName=physical(name),
                    EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{physical(queue)}",
                )
                self.resources[logical] = ("AWS::Lambda::EventSourceMapping", made["UUID"])

    def _trail(self) -> None:
        self.client("s3").create_bucket(Bucket="all-trails")
        cloudtrail = self.client("cloudtrail")
        cloudtrail.create_trail(
            Name=TRAIL,
            S3BucketName="all-trails",
            IsMultiRegionTrail=True,
            IncludeGlobalServiceEvents=True,
        )
        cloudtrail.start_logging(Name=TRAIL)

    def _guard(self, template: Template) -> None:
        iam = self.account.iam
        nested = template.nested("Guard")
        document = nested.resolve(nested.properties("GuardPolicy")["PolicyDocument"])
        made = iam.create_policy(PolicyName=f"{STACK}-guard", PolicyDocument=json.dumps(document))
        self.guard_arn = made["Policy"]["Arn"]
        requester = iam.create_policy(
            PolicyName=f"{STACK}-RequesterPolicy-1A2B3C", PolicyDocument=json.dumps(document)
        )
        self.requester_arn = requester["Policy"]["Arn"]
        iam.create_group(GroupName="people")
        iam.attach_group_policy(GroupName="people", PolicyArn=self.guard_arn)
        iam.update_account_password_policy(**STRONG)

    def add_user(self, name: str, mfa_status: MfaStatus, *, in_guarded_group: bool = True) -> None:
        """Create a user whom the watcher knows."""
        user_id = self.account.new_user(name)
        if in_guarded_group:
            self.account.iam.add_user_to_group(GroupName="people", UserName=name)
        self.store.add_users([User(UserKey(ACCOUNT, user_id), name, mfa_status)])

    def make_active(self) -> None:
        """Record recent activity: a sweep two hours ago, and events from each region."""
        self.swept(timedelta(hours=2))
        for source in expected_sources((ACCOUNT,), REGIONS, REGION):
            self.store.record_heartbeat(source, self.now - timedelta(hours=3))

    def swept(self, ago: timedelta, account_id: str = ACCOUNT, users: int = 40) -> None:
        """Record the last sweep of an account."""
        at = self.now - ago
        swept = SweepResult(account_id, "run", at, at, 9, 0, 0, UserCounts(users, protected=users))
        self.store.commit(SweepDecision(f"sweep-{account_id}-{at}", result=swept), now=at)

    # What moto does not emulate ----------------------------------------------------------------

    def answer(
        self, model: OperationModel, params: Json, **_: object
    ) -> tuple[AWSResponse, Any] | None:
        """Record a call, and answer it if moto does not emulate it."""
        name = f"{model.service_model.signing_name}:{model.name}"
        self.made.add(name)
        headers: Any = {}
        if name in self.refused:
            error = {"Code": self.refused[name], "Message": "no"}
            return AWSResponse("", 400, headers, None), {"Error": error, "ResponseMetadata": {}}
        answers: dict[str, Callable[[Json], Json]] = {
            "cloudformation:DescribeStacks": self._stack,
            "cloudformation:ListStackResources": self._resources,
            "iam:GetAccountSummary": lambda _: {"SummaryMap": self.root},
            "iam:SimulatePrincipalPolicy": self._simulated,
            "iam:SimulateCustomPolicy": self._simulated,
            "events:TestEventPattern": lambda _: {"Result": True},
            "lambda:GetAccountSettings": lambda _: {"AccountLimit": self.concurrency},
            # moto counts an address as neither confirmed nor pending.
            "sns:GetTopicAttributes": lambda _: {"Attributes": self.subscriptions},
            "ses:GetAccount": lambda _: self.mail,
            "ses:GetEmailIdentity": self._identity,
        }
        if name not in answers:
            return None
        said = answers[name](params)
        status = 404 if "Error" in said else 200
        return AWSResponse("", status, headers, None), {"ResponseMetadata": {}, **said}

    def _stack(self, _params: Json) -> Json:
        outputs = {
            "TableName": TABLE,
            "AlertTopicArn": self.account.topic_arn,
            "GuardPolicyArn": self.guard_arn,
            "RequesterPolicyArn": self.requester_arn,
            "ChangeDeskUrl": "http://127.0.0.1:9/change/",
            "ApprovalDeskUrl": "http://127.0.0.1:9/approval/",
            "SignInRegions": SIGN_IN_REGIONS,
        }
        stack = {
            "StackName": STACK,
            "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/1a2b",
            "StackStatus": self.status,
            "Parameters": _pairs("Parameter", self.parameters),
            "Outputs": _pairs("Output", outputs),
        }
        return {"Stacks": [stack]}

    def _resources(self, params: Json) -> Json:
        asked = parse_qs(params["body"]) if isinstance(params["body"], str) else params["body"]
        found = self.resources if asked["StackName"] in (STACK, [STACK]) else self.nested
        return {
            "StackResourceSummaries": [
                {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": id_}
                for name, (kind, id_) in found.items()
            ]
        }

    def _identity(self, params: Json) -> Json:
        asked = params["url_path"].rpartition("/")[2].replace("%40", "@")
        if asked not in self.identities:
            return {"Error": {"Code": "NotFoundException", "Message": "no"}}
        return {"VerifiedForSendingStatus": self.identities[asked]}

    def _simulated(self, params: Json) -> Json:
        body = params["body"]
        actions = [body[name] for name in body if name.startswith("ActionNames")]
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalDecision": self.decisions.get(action, "allowed"),
                    "MatchedStatements": [{"SourcePolicyId": "ForceMfa"}],
                }
                for action in actions
            ]
        }


def _pairs(kind: str, values: dict[str, str]) -> list[Json]:
    return [{f"{kind}Key": name, f"{kind}Value": value} for name, value in values.items()]


def _zip() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("app.py", "")
    return written.getvalue()


_CODE = _zip()


@cache
def _template() -> Template:
    return Template.read()


@cache
def _setup_client(service: str, region: str) -> Any:
    build: Any = _session().client
    return build(service, region_name=region)


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(region_name=REGION)


@dataclass
class _DoctorSession:
    """The account that answers the doctor's clients, which are built once per process."""

    checked: CheckedAccount | None = None

    def answer(self, **call: Any) -> tuple[AWSResponse, Any] | None:
        """Let the account answer a call."""
        return self.checked.answer(**call) if self.checked else None

    def client(self, service: str, region_name: str | None = None, **_: object) -> Any:
        """Return a client, as a boto3 session does."""
        return _doctor_client(service, region_name or REGION)


_SESSION = _DoctorSession()


@cache
def _doctor_client(service: str, region: str) -> Any:
    build: Any = _session().client
    made = build(service, region_name=region)
    made.meta.events.register("before-call", _SESSION.answer)
    LIMITS.watch(made.meta.events)
    return made


def healthy_account(account: Account, monkeypatch: pytest.MonkeyPatch) -> CheckedAccount:
    """Return a checked in which all is well."""
    checked = CheckedAccount(account)
    checked.deploy()
    checked.add_user("alice", MfaStatus.PROTECTED)
    checked.add_user("bob", MfaStatus.UNPROTECTED)
    checked.make_active()
    monkeypatch.setattr(_SESSION, "checked", checked)
    monkeypatch.setattr(boto3, "Session", lambda **_: _SESSION)
    return checked
