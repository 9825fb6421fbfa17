"""The doctor command: in a healthy account, then in one in which everything is broken at once.

What is broken is repaired again, so that the account can be used further.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape

from mfa_watcher.domain.health.event_checks import forwarder_rule
from sandbox import command_line
from sandbox.deploy import DOMAIN, STACK, verify_sender
from sandbox.emulator import REGION
from sandbox.records import Json
from sandbox.setup import Sandbox

TRAIL: Final = "all-regions"
SWEPT_WITHIN_SECONDS: Final = 30
EVENTS_TAKE_SECONDS: Final = 20
CHECK_EVERY_SECONDS: Final = 0.2
_STYLES: Final = {"ok": "green", "warning": "yellow", "fail": "bold red", "unknown": "magenta"}


@dataclass(frozen=True)
class CheckedAccount:
    """The account that is checked, and the root user's clients to break things in it."""

    sandbox: Sandbox
    kept: dict[str, Any] = field(default_factory=dict)
    """What is needed to repair it."""

    def client(self, service: str, region: str = REGION) -> Any:  # noqa: ANN401 - any service's
        """Return the root user's client of a service."""
        return self.sandbox.account.root.client(service, region)

    @property
    def ids(self) -> dict[str, str]:
        """Return physical ids of the stack's resources by logical ids."""
        return self.sandbox.stack.resources

    @cached_property
    def forwarders(self) -> list[str]:
        """Return the regions that a forwarder is deployed in."""
        return [
            region
            for region in self.sandbox.stack["SignInRegions"].split(",")
            if self._forwards(region)
        ]

    def _forwards(self, region: str) -> bool:
        try:
            self.client("events", region).describe_rule(Name=forwarder_rule(STACK))
        except ClientError:
            return False
        return True

    def check(self) -> list[Json]:
        """Run the doctor command, and return its verdicts."""
        regions = ",".join(dict.fromkeys((REGION, *self.forwarders)))
        command = ["doctor", "--json", "--stack", STACK, "--region", REGION]
        finished = command_line.run(
            [*command, "--sign-in-regions", regions], self.sandbox.account.root.environment
        )
        verdicts = [json.loads(line) for line in finished.stdout.splitlines()]
        if not verdicts:
            raise RuntimeError(f"the doctor printed nothing: {finished.stderr}")
        return verdicts


@dataclass(frozen=True)
class Fault:
    """Something that the doctor must find, how to cause it and how to repair it."""

    check: str
    what: str
    cause: Callable[[CheckedAccount], object]
    repair: Callable[[CheckedAccount], object]


def run(console: Console, sandbox: Sandbox) -> list[str]:
    """Run the doctor twice, and return what it reported wrongly, and what it did not find."""
    account = CheckedAccount(sandbox)
    console.print()
    console.rule("[bold]the doctor", align="left", style="dim")
    console.print("[italic]mfa-watcher doctor: does everything that the watcher needs work?")
    make_healthy(account)
    healthy = account.check()
    _show(console, healthy)
    wrong = [
        f"the doctor: {one['check']} is {one['level']}, although nothing is broken: {one['seen']}"
        for one in healthy
        if one["level"] in {"fail", "unknown"}
    ]
    faults = [one for one in FAULTS if one.check != "forwarders" or account.forwarders]
    named = "; ".join(fault.what for fault in faults)
    console.print(f"\n[italic]Now all of this at once: {escape(named)}.", highlight=False)
    with _broken(account, faults):
        reported = [one for one in account.check() if one["level"] in {"fail", "unknown"}]
    _show(console, reported)
    found, broken = {one["check"] for one in reported}, {one.check for one in faults}
    wrong += [
        f"the doctor did not find that {one.what}" for one in faults if one.check not in found
    ]
    return wrong + [f"the doctor reported {check} wrongly" for check in sorted(found - broken)]


@contextmanager
def _broken(account: CheckedAccount, faults: list[Fault]) -> Iterator[None]:
    """Cause all faults, and repair them in any case."""
    try:
        for fault in faults:
            fault.cause(account)
        yield
    finally:
        for fault in reversed(faults):
            fault.repair(account)


def _show(console: Console, verdicts: list[Json]) -> None:
    for one in verdicts:
        style = _STYLES[one["level"]]
        what = " ".join(filter(None, (one["check"].replace("_", " "), one["about"])))
        console.print(
            f"{'':8}  [{style}]{one['level']:<8}[/] {escape(what)}: {escape(one['seen'])}",
            highlight=False,
            soft_wrap=True,
        )


def make_healthy(account: CheckedAccount) -> None:
    """Do what a person does once in an account, and run what the schedules run."""
    cloudtrail, s3 = account.client("cloudtrail"), account.client("s3")
    if not cloudtrail.describe_trails()["trailList"]:
        s3.create_bucket(Bucket=TRAIL)
        cloudtrail.create_trail(
            Name=TRAIL, S3BucketName=TRAIL, IsMultiRegionTrail=True, IncludeGlobalServiceEvents=True
        )
        cloudtrail.start_logging(Name=TRAIL)
    account.sandbox.run("Watch")
    accounts = account.sandbox.run("Sweep")["accounts"]
    deadline = time.monotonic() + SWEPT_WITHIN_SECONDS
    while not all(_item(account, f"ACCOUNT#{one}", "SWEEP") for one in accounts):
        if time.monotonic() > deadline:
            return  # the doctor reports it
        time.sleep(CHECK_EVERY_SECONDS)


# What can be broken -------------------------------------------------------------------------------


def _item(account: CheckedAccount, pk: str, sk: str) -> Json | None:
    found: Json | None = (
        account.client("dynamodb")
        .get_item(TableName=account.ids["Table"], Key={"pk": {"S": pk}, "sk": {"S": sk}})
        .get("Item")
    )
    return found


def _age(prefix: str, naming: str, attribute: str) -> Callable[[CheckedAccount], None]:
    """Return a fault: a time in the table is long ago."""

    def cause(account: CheckedAccount) -> None:
        dynamodb, table = account.client("dynamodb"), account.ids["Table"]
        items = dynamodb.scan(TableName=table)["Items"]
        item = next(
            one
            for one in items
            if one["pk"]["S"].startswith(prefix) and naming in one["sk"]["S"]
            if attribute in one
        )
        account.kept[attribute] = item
        dynamodb.put_item(
            TableName=table, Item={**item, attribute: {"S": "2020-01-01T00:00:00.000+00:00"}}
        )

    return cause


def _make_silent(account: CheckedAccount) -> None:
    """Wait for the events of all earlier faults, since each counts as a heartbeat."""
    deadline = time.monotonic() + EVENTS_TAKE_SECONDS
    while any(_waiting(account, queue) for queue in ("SignInQueue", "IamChangeQueue")):
        if time.monotonic() > deadline:
            break  # the doctor reports it
        time.sleep(CHECK_EVERY_SECONDS)
    # Of the other regions, only those with a forwarder are checked.
    _age("HEARTBEAT", f"#{REGION}#", "seen_at")(account)


def _waiting(account: CheckedAccount, queue: str) -> int:
    found = account.client("sqs").get_queue_attributes(
        QueueUrl=account.ids[queue], AttributeNames=["All"]
    )
    counts = found["Attributes"]
    return sum(int(counts[name]) for name in counts if name.startswith("ApproximateNumber"))


def _restore(attribute: str) -> Callable[[CheckedAccount], None]:
    def repair(account: CheckedAccount) -> None:
        account.client("dynamodb").put_item(
            TableName=account.ids["Table"], Item=account.kept[attribute]
        )

    return repair


def _schedule(state: str) -> Callable[[CheckedAccount], None]:
    def put(account: CheckedAccount) -> None:
        scheduler = account.client("scheduler")
        known = scheduler.get_schedule(Name=account.ids["QuarantineEveryMinute"])
        kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        scheduler.update_schedule(**{name: known[name] for name in kept}, State=state)

    return put


def _take_letters(account: CheckedAccount) -> None:
    sqs, queue = account.client("sqs"), account.ids["SweepDeadLetters"]
    for letter in sqs.receive_message(QueueUrl=queue).get("Messages", []):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])


def _unsubscribe(account: CheckedAccount) -> None:
    sns, topic = account.client("sns"), account.ids["AlertTopic"]
    account.kept["subscriptions"] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    for one in account.kept["subscriptions"]:
        sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])


def _subscribe(account: CheckedAccount) -> None:
    for one in account.kept["subscriptions"]:
        account.client("sns").subscribe(
            TopicArn=one["TopicArn"], Protocol=one["Protocol"], Endpoint=one["Endpoint"]
        )


def _groups(account: CheckedAccount) -> Iterator[tuple[str, str]]:
    """Return the groups that the guard policy is attached to, each with its ARN."""
    arn = account.sandbox.stack["GuardPolicyArn"]
    if "groups" not in account.kept:
        found = account.client("iam").list_entities_for_policy(PolicyArn=arn)
        account.kept["groups"] = [one["GroupName"] for one in found["PolicyGroups"]]
    return ((group, arn) for group in account.kept["groups"])


def _detach(account: CheckedAccount) -> None:
    for group, arn in _groups(account):
        account.client("iam").detach_group_policy(GroupName=group, PolicyArn=arn)


def _attach(account: CheckedAccount) -> None:
    for group, arn in _groups(account):
        account.client("iam").attach_group_policy(GroupName=group, PolicyArn=arn)


def _shorten(account: CheckedAccount) -> None:
    iam = account.client("iam")
    known = iam.get_account_password_policy()["PasswordPolicy"]
    known.pop("ExpirePasswords", None)
    account.kept["passwords"] = {name: value for name, value in known.items() if value is not None}
    iam.update_account_password_policy(**account.kept["passwords"] | {"MinimumPasswordLength": 8})


_LOCKED_OUT: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "NotAction": ["iam:CreateVirtualMFADevice", "iam:EnableMFADevice"],
                "Resource": "*",
                "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
            }
        ],
    }
)

FAULTS: Final = (
    Fault(
        "trail",
        "the trail is stopped",
        lambda at: at.client("cloudtrail").stop_logging(Name=TRAIL),
        lambda at: at.client("cloudtrail").start_logging(Name=TRAIL),
    ),
    Fault(
        "rules",
        "a rule is disabled",
        lambda at: at.client("events").disable_rule(Name=at.ids["MailFeedbackRule"]),
        lambda at: at.client("events").enable_rule(Name=at.ids["MailFeedbackRule"]),
    ),
    Fault(
        "forwarders",
        "a forwarder is disabled",
        lambda at: at.client("events", at.forwarders[0]).disable_rule(Name=forwarder_rule(STACK)),
        lambda at: at.client("events", at.forwarders[0]).enable_rule(Name=forwarder_rule(STACK)),
    ),
    Fault(
        "event_bus",
        "the bus accepts events from anybody",
        lambda at: at.client("events").put_permission(
            EventBusName="default", StatementId="anybody", Action="events:PutEvents", Principal="*"
        ),
        lambda at: at.client("events").remove_permission(
            EventBusName="default", StatementId="anybody"
        ),
    ),
    Fault(
        "event_sources",
        "a queue's event source is disabled",
        lambda at: at.client("lambda").update_event_source_mapping(
            UUID=at.ids["OnMailFeedbackQueue"], Enabled=False
        ),
        lambda at: at.client("lambda").update_event_source_mapping(
            UUID=at.ids["OnMailFeedbackQueue"], Enabled=True
        ),
    ),
    Fault(
        "functions",
        "a function's concurrency is 0",
        lambda at: at.client("lambda").put_function_concurrency(
            FunctionName=at.ids["Quarantine"], ReservedConcurrentExecutions=0
        ),
        lambda at: at.client("lambda").delete_function_concurrency(
            FunctionName=at.ids["Quarantine"]
        ),
    ),
    Fault("schedules", "a schedule is off", _schedule("DISABLED"), _schedule("ENABLED")),
    Fault(
        "dead_letters",
        "there is a dead letter",
        lambda at: at.client("sqs").send_message(
            QueueUrl=at.ids["SweepDeadLetters"], MessageBody="{}"
        ),
        _take_letters,
    ),
    Fault(
        "ses_identity",
        "the sender is not verified",
        lambda at: at.client("sesv2").delete_email_identity(EmailIdentity=DOMAIN),
        lambda at: verify_sender(at.sandbox.account),
    ),
    Fault("alert_topic", "nobody is subscribed to the alerts", _unsubscribe, _subscribe),
    Fault("guard_policy", "the guard policy is detached", _detach, _attach),
    Fault(
        "password_policy",
        "passwords may have 8 characters",
        _shorten,
        lambda at: at.client("iam").update_account_password_policy(**at.kept["passwords"]),
    ),
    Fault(
        "first_password",
        "a policy denies alice their first password",
        lambda at: at.client("iam").put_user_policy(
            UserName="alice", PolicyName="ForceMfa", PolicyDocument=_LOCKED_OUT
        ),
        lambda at: at.client("iam").delete_user_policy(UserName="alice", PolicyName="ForceMfa"),
    ),
    Fault(
        "last_sweep", "the last sweep is long ago", _age("ACCOUNT#", "SWEEP", "at"), _restore("at")
    ),
    Fault(
        "heartbeat",
        "no event comes from a region",
        _make_silent,
        _restore("seen_at"),
    ),
)
