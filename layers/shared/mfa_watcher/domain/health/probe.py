"""The signs that the probe sends through a deployed watcher, and what it asks of the account."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mfa_watcher.domain.health.event_checks import forwarder_dead_letters
from mfa_watcher.domain.health.readings import Stack
from mfa_watcher.domain.health.results import Level, named

USER_PREFIX = "mfa-watcher-probe-"
"""How the names of the probe's users begin."""

USER_TAG = "mfa-watcher-probe"
"""The tag of the probe's users; its value is the stack's name."""

UNUSED_KEY = "PROBE#"
"""How the partition keys begin that no item of the watcher has."""

DENIED, ALLOWED = "iam:DeactivateMFADevice", "iam:EnableMFADevice"
"""What the guard policy denies every user, and what it never denies."""


class Sign(Enum):
    """What the probe shows: its name, and what to do if it is not seen."""

    NAMES = ("names", "deploy under a shorter name")
    PATTERNS = ("patterns", "deploy the stack again; run the doctor")
    TRANSACTIONS = (
        "transactions",
        "report it: the roles' conditions on keys do not protect history in transactions",
    )
    GUARD = ("guard", "deploy the stack again")
    CANARY = (
        "canary",
        "run the doctor: trail, rule, queue and its dead letters, function and its log",
    )
    HEARTBEAT = ("heartbeat", "run the doctor")
    USER = ("user", "read what denies it")
    ATTEMPT = ("attempt", "read the error; access keys take seconds to work")
    MAIL_SENT = (
        "mail sent",
        "run the doctor: the event source of deliver, and its log",
    )
    MAIL_DELIVERED = (
        "mail delivered",
        "check the rule and the queue of on_mail_feedback, and the address",
    )
    ALERT = (
        "alert sent",
        "run the doctor: the event source of deliver, and its log",
    )
    REQUEST_OPENED = (
        "request opened",
        "check rule, queue and log of on_iam_change",
    )
    DETAILS = ("details given", "check the change desk's URL and its log")
    DECISION = (
        "request rejected",
        "use a session with MFA and the approver policy",
    )
    REMOVED = ("removed", "remove it by hand")

    def __init__(self, title: str, remedy: str) -> None:
        """Store the name and the remedy."""
        self.title = title
        self.remedy = remedy

    @property
    def key(self) -> str:
        """Return the name in JSON."""
        return self.title.replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a sign."""

    level: Level
    what: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A line of the probe. ``about`` is a region, a path or a name; empty: the sign's only one.

    ``seconds`` is how long the sign took; None if it was asked and not sent.
    """

    sign: Sign
    level: Level
    seen: str
    about: str = ""
    seconds: float | None = None

    @property
    def remedy(self) -> str:
        """Return what to do about a failure."""
        return self.sign.remedy if self.level is Level.FAIL else ""


@dataclass(frozen=True, slots=True)
class IntentRecord:
    """How far an intent is, as the table has it."""

    status: str
    to: str = ""
    receipt: str = ""
    """The id under which SES or SNS took it."""
    reason: str = ""
    outcome: str = ""
    """What SES reported of a mail last."""


# The names ---------------------------------------------------------------------------------------

_NAMED = frozenset(
    f"AWS::{kind}"
    for kind in (
        *("CloudFormation::Stack", "CloudWatch::Alarm", "DynamoDB::Table", "Events::Rule"),
        *("IAM::ManagedPolicy", "IAM::Role", "Lambda::Function", "Logs::LogGroup"),
        *("Scheduler::Schedule", "SNS::Topic", "SQS::Queue"),
    )
)
"""The types by whose names the rules and the guard policy know the watcher's parts."""


def check_names(stack: str, resources: Iterable[tuple[str, str]]) -> Seen:
    """Check that all names begin with the stack's, from types and physical ids."""
    names = [_name(kind, id_) for kind, id_ in resources if kind in _NAMED]
    wrong = [one for one in names if not one.startswith(f"{stack}-")]
    if wrong:
        return Seen(
            Level.FAIL, f"cut by CloudFormation, so the guard does not know them: {named(wrong)}"
        )
    return Seen(Level.OK, f"all {len(names)} names of parts begin with {stack}-")


def _name(kind: str, physical_id: str) -> str:
    """Return the name in a physical id: a name, an ARN or a URL."""
    if kind == "AWS::CloudFormation::Stack":
        return physical_id.split("/")[1]
    if kind == "AWS::Logs::LogGroup":
        return physical_id.removeprefix("/aws/lambda/").replace("/", "-", 1)
    return physical_id.rpartition("/")[2].rpartition(":")[2]


# The patterns ------------------------------------------------------------------------------------

RULES = (
    "SignInRule",
    "IamChangeRule",
    "PathRule",
    "RoleRule",
    "StateRule",
    "OperationRule",
    "DenialRule",
)
"""The rules, by logical id, whose patterns have wildcards or depend on the stack's name."""


def sample(rule: str, stack: Stack) -> dict[str, Any]:
    """Return an event that a rule must match."""
    name, partition = stack.name, stack.partition
    service, call, about = {
        "PathRule": ("sqs", "PurgeQueue", {"queueUrl": f"https://q/1/{name}-SignInQueue-1"}),
        "RoleRule": (
            "iam",
            "CreatePolicyVersion",
            {"policyArn": f"arn:{partition}:iam::1:policy/{name}-guard"},
        ),
        "StateRule": (
            "lambda",
            "DeleteFunction20150331",
            {"functionName": f"arn:{partition}:lambda:x:1:function:{name}-OnSignIn-1"},
        ),
        "OperationRule": (
            "cloudformation",
            "DeleteStack",
            {"stackName": f"arn:{partition}:cloudformation:x:1:stack/{name}/1"},
        ),
        "DenialRule": ("sqs", "SetQueueAttributes", {}),
    }.get(rule, ("sqs", "TagQueue", {"queueUrl": f"https://q/1/{forwarder_dead_letters(name)}"}))
    denial = {
        "errorCode": "AccessDenied",
        "errorMessage": f"not authorized on resource: arn:{partition}:sqs:x:1:{name}-SignInQueue-1",
    }
    detail = {
        "eventSource": f"{service}.amazonaws.com",
        "eventName": call,
        **(denial if rule == "DenialRule" else {"requestParameters": about}),
    }
    return {
        "id": "12345678-1234-1234-1234-123456789012",
        "detail-type": "AWS API Call via CloudTrail",
        "source": f"aws.{service}",
        "account": stack.account_id,
        "time": "2026-01-01T00:00:00Z",
        "region": stack.region,
        "resources": [],
        "detail": detail,
    }


def check_patterns(matched: Mapping[str, bool]) -> Seen:
    """Check that each rule matches its sample."""
    if wrong := [rule for rule, does in matched.items() if not does]:
        return Seen(Level.FAIL, f"do not match their sample: {named(wrong)}")
    return Seen(Level.OK, f"{len(matched)} deployed patterns match their samples, with wildcards")


# Other questions ---------------------------------------------------------------------------------


def check_transactions(*, unused: bool, other: bool, both: bool) -> Seen:
    """Check whether a condition on ``dynamodb:LeadingKeys`` holds for each item of a transaction.

    The arguments are what IAM allows the caller to update: a key that no item has, another key, and
    both in one transaction. No such update changes anything: each demands an item that does not
    exist.
    """
    if not unused:
        return Seen(
            Level.UNKNOWN, "you may not update unused keys: docs/doctor.md has the statement"
        )
    if other:
        return Seen(
            Level.UNKNOWN,
            "you may update every item; only the policy in docs/doctor.md alone can tell",
        )
    if both:
        return Seen(Level.FAIL, "a condition on dynamodb:LeadingKeys is ignored in transactions")
    return Seen(
        Level.OK,
        "a condition on dynamodb:LeadingKeys holds for each item (nothing was written)",
    )


def check_guard(decisions: Mapping[str, str]) -> Seen:
    """Check what IAM's simulation says of the guard policy for a user who may do everything."""
    good = decisions == {DENIED: "explicitDeny", ALLOWED: "allowed"}
    said = ", ".join(f"{action} {decision}" for action, decision in decisions.items())
    return Seen(Level.OK if good else Level.FAIL, f"IAM's simulation: {said}")
