"""An emulated AWS account for tests: what template.yaml puts into it, and every call made to it."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.model import OperationModel
from moto import mock_aws
from moto.core.utils import unix_time_millis
from moto.sesv2.models import sesv2_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from mfa_watcher.adapters import items
from tests.support.aws_limits import LIMITS
from tests.support.boto3_calls import answered_by, compared_with
from tests.support.builders import ACCOUNT, NOW, SENDER
from tests.support.dynamodb import LONG_PAGE, MemoryDynamo
from tests.support.quick_moto import speed_up
from tests.template.cloudformation import Template

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_iam import IAMClient
    from types_boto3_organizations import OrganizationsClient
    from types_boto3_sqs import SQSClient

REGION = "us-east-1"
TABLE = "mfa-watcher-Table"
QUEUES = (
    "SignInDeadLetters",
    "IamChangeDeadLetters",
    "MailFeedbackDeadLetters",
    "SweepQueue",
    "SweepDeadLetters",
    "Alerts",
)

QUEUE_URLS = {name: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}" for name in QUEUES}

speed_up()


class Crash(BaseException):
    """The function's process ends here. Nothing may catch it, as nothing survives a crash."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    time: datetime = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.time

    def move(self, by: timedelta) -> datetime:
        """Let time go by."""
        self.time += by
        return self.time


@dataclass(frozen=True)
class Refusal:
    """What AWS says instead of doing as asked, to all calls or to those that name somebody."""

    code: str
    message: str = "no"
    status: int = 400
    naming: str = ""


@dataclass
class Calls:
    """Watches the product's AWS calls from inside botocore, and makes some of them go wrong.

    Calls are named as permissions are (``iam:GetUser``). A crash comes right before the call of
    that number is made, or right after it was answered.
    """

    made: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list, repr=False)
    """What was asked in each of these calls. botocore logs its handlers, whose repr this is in."""
    tries: list[str] = field(default_factory=list)
    """What really went out: botocore tries some calls more than once."""
    sent: Counter[str] = field(default_factory=Counter)
    """Mails and alerts that SES and SNS accepted, by kind."""
    refused: dict[str, Refusal] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    rate: float = 1000.0
    """Mails a second that SES allows."""
    crash_before: int | None = None
    crash_after: int | None = None
    deadly: str = ""
    """A call that never comes to be made: the process always ends right before it."""
    meanwhile: tuple[int, Callable[[], object]] | None = None
    """What somebody else does right before the call of that number."""

    def watch(self, session: boto3.Session) -> None:
        """Look at all calls of clients that this session makes from now on."""
        before: Any = self._before  # botocore's types do not know that a handler may answer
        session.events.register("before-call", before)
        session.events.register_first("before-send", self._send)
        session.events.register("after-call", self._after)

    def reset(self) -> None:
        """Forget what was called, and let all calls go well."""
        for noted in (self.made, self.bodies, self.tries, self.sent, self.refused):
            noted.clear()
        self.unreachable.clear()
        self.rate = 1000.0
        self.crash_before = self.crash_after = self.meanwhile = None
        self.deadly = ""

    def tally(self, service: str) -> Counter[str]:
        """Count the calls made to one service, by operation."""
        return Counter(call.split(":")[1] for call in self.made if call.startswith(f"{service}:"))

    def _before(
        self, model: OperationModel, params: dict[str, Any], context: dict[str, Any], **_: object
    ) -> tuple[AWSResponse, Any] | None:
        name = f"{model.service_model.signing_name}:{model.name}"
        body = params["body"]
        text = body.decode() if isinstance(body, bytes) else json.dumps(body)
        self.made.append(name)
        self.bodies.append(text)
        headers: Any = {}
        context["name"] = name
        context["sending"] = _kind_of(body)
        if len(self.made) == self.crash_before:
            self.crash_before = None
            raise Crash
        if name == self.deadly:
            raise Crash
        if self.meanwhile and len(self.made) == self.meanwhile[0]:
            act, self.meanwhile = self.meanwhile[1], None
            act()
        refusal = self.refused.get(name)
        if refusal and refusal.naming in text:
            return _answer(refusal)
        if name == "ses:GetAccount":  # moto has no such call
            return AWSResponse("", 200, headers, None), {"SendQuota": {"MaxSendRate": self.rate}}
        return None

    def _send(self, request: AWSRequest, **_: object) -> None:
        context: Any = request.context
        self.tries.append(context["name"])
        if context["name"] in self.unreachable:
            raise ReadTimeoutError(endpoint_url=str(request.url))

    def _after(self, http_response: AWSResponse, context: dict[str, Any], **_: object) -> None:
        if context.get("sending") and http_response.status_code == 200:
            self.sent[context["sending"]] += 1
        if len(self.made) == self.crash_after:
            self.crash_after = None
            raise Crash


def _kind_of(body: object) -> str | None:
    """Tell from a request to SES or SNS which mail or alert it carries."""
    if isinstance(body, dict):
        for at in range(1, 10):
            if body.get(f"MessageAttributes.entry.{at}.Name") == "kind":
                return f"alert {body[f'MessageAttributes.entry.{at}.Value.StringValue']}"
    if isinstance(body, bytes) and b"EmailTags" in body:
        tags = {tag["Name"]: tag["Value"] for tag in json.loads(body)["EmailTags"]}
        return f"mail {tags['mail']}"
    return None


def _answer(refusal: Refusal) -> tuple[AWSResponse, Any]:
    headers: Any = {}
    error = {"Code": refusal.code, "Message": refusal.message}
    said = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": refusal.status}}
    return AWSResponse("", refusal.status, headers, None), said


CALLS = Calls()


@cache
def _session() -> boto3.Session:
    boto3.setup_default_session(region_name=REGION)
    session = boto3.DEFAULT_SESSION
    assert session is not None
    CALLS.watch(session)
    LIMITS.watch(session.events)
    return session


@cache
def client(service: str, config: object = None, **credentials: str) -> Any:
    """Return the product's client: real, watched, and built once per process (20 ms each)."""
    build: Any = _session().client
    return build(service, config=config, **credentials)


@cache
def _unwatched(service: str) -> Any:
    build: Any = boto3.Session(region_name=REGION).client
    return build(service)


@cache
def _iam_in(account_id: str) -> Any:
    """Return a client of another account's IAM, as moto tells accounts apart."""
    build: Any = boto3.Session(region_name=REGION).client
    iam = build("iam")

    def say_which(params: dict[str, Any], **_: object) -> None:
        params["headers"]["x-moto-account-id"] = account_id

    iam.meta.events.register("before-call", say_which)
    return iam


@dataclass
class Account:
    """The account, with clients for arranging and examining it, whose calls nobody counts."""

    clock: Clock
    calls: Calls
    topic_arn: str
    queue_urls: dict[str, str]
    stored: MemoryDynamo
    """What the table holds."""
    table: str = TABLE
    number: str = ACCOUNT

    def member(self, number: str) -> "Account":
        """Return another account of the organization; table and queues stay the hub's."""
        return replace(self, number=number)

    def organization(self) -> str:
        """Make this account the management account of an organization; return a member's number."""
        organizations: OrganizationsClient = _unwatched("organizations")
        organizations.create_organization(FeatureSet="ALL")
        return self.new_member("lab")

    def new_member(self, name: str) -> str:
        """Make a member account; return its number."""
        organizations: OrganizationsClient = _unwatched("organizations")
        made = organizations.create_account(Email=f"{name}@example.com", AccountName=name)
        return made["CreateAccountStatus"]["AccountId"]

    @property
    def iam(self) -> "IAMClient":
        """IAM, for making users."""
        hubs = self.number == ACCOUNT
        return _unwatched("iam") if hubs else _iam_in(self.number)  # type: ignore[no-any-return]

    @property
    def dynamodb(self) -> "DynamoDBClient":
        """The table, for looking at it."""
        return _unwatched("dynamodb")  # type: ignore[no-any-return]

    @property
    def sqs(self) -> "SQSClient":
        """The dead-letter queues, for reading them."""
        return _unwatched("sqs")  # type: ignore[no-any-return]

    def new_user(self, name: str, *, password: bool = True, device: bool = False) -> str:
        """Make an IAM user; return the unique id."""
        user_id = self.iam.create_user(UserName=name)["User"]["UserId"]
        if password:
            self.iam.create_login_profile(UserName=name, Password="Correct-horse-1")  # noqa: S106
        if device:
            self.enrol(name)
        return user_id

    def enrol(self, name: str, device: str = "phone") -> str:
        """Assign a new virtual MFA device to a user; return its serial number."""
        made = self.iam.create_virtual_mfa_device(VirtualMFADeviceName=f"{device}-{name}")
        serial = made["VirtualMFADevice"]["SerialNumber"]
        self.iam.enable_mfa_device(
            UserName=name,
            SerialNumber=serial,
            AuthenticationCode1="123456",
            AuthenticationCode2="654321",
        )
        return serial

    def items(self, prefix: str, sort: str = "") -> list[dict[str, Any]]:
        """Return the items whose keys begin so, in the order of their keys."""
        keys = (k for k in self.stored.items if k[0].startswith(prefix) and k[1].startswith(sort))
        return [self.stored.plain(key) for key in sorted(keys)]

    def take_all(self, queue: str) -> list[str]:
        """Take a queue's messages out; the clock moves on for those that are held back."""
        messages = sqs_backends[ACCOUNT][REGION].queues[queue]._messages  # noqa: SLF001
        bodies = []
        for message in messages:
            held_back = message.delayed_until - unix_time_millis()
            self.clock.move(timedelta(milliseconds=max(0, held_back)))
            bodies.append(message.body)
        messages.clear()
        return bodies

    def parked(self, queue: str) -> list[tuple[str, dict[str, str]]]:
        """Take what lies in a queue: bodies and attributes."""
        messages = self.sqs.receive_message(
            QueueUrl=self.queue_urls[queue],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        return [
            (
                message["Body"],
                {
                    name: attribute["StringValue"]
                    for name, attribute in message.get("MessageAttributes", {}).items()
                },
            )
            for message in messages
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Take the alerts as a subscribed queue gets them."""
        return [json.loads(body) for body, _ in self.parked("Alerts")]


@contextmanager
def opened(
    monkeypatch: pytest.MonkeyPatch, *, moto: bool = False, shards: int = 1
) -> Iterator[Account]:
    """Open an empty account, watched and with the product's clients going there.

    Its table is in memory, unless moto's is wanted: then moto answers, and the table in memory has
    to answer the same. What is due and who is in an account are in so many shards of the indexes.
    """
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    stored = MemoryDynamo(name=TABLE, stale=0, page=LONG_PAGE)
    moto = moto or bool(os.environ.get("COMPARE_WITH_MOTO"))
    with mock_aws(), compared_with(stored) if moto else answered_by(stored):
        monkeypatch.setattr(boto3, "client", client)
        for name in [one for one in vars(items) if one.endswith("_SHARDS")]:
            monkeypatch.setattr(items, name, shards)
        if moto:
            _create_table(_unwatched("dynamodb"))
        # Past moto's API, which takes as long for these as for a short test.
        sqs, sns = sqs_backends[ACCOUNT][REGION], sns_backends[ACCOUNT][REGION]
        for name in QUEUES:
            sqs.create_queue(name)
        topic = sns.create_topic("mfa-watcher-AlertTopic").arn
        sns.subscribe(topic, f"arn:aws:sqs:{REGION}:{ACCOUNT}:Alerts", "sqs")
        sesv2_backends[ACCOUNT][REGION].create_email_identity(SENDER, None, None, None)
        CALLS.reset()
        yield Account(Clock(), CALLS, topic, QUEUE_URLS, stored)
        CALLS.reset()


@cache
def _declared_table() -> dict[str, Any]:
    return Template.read().properties("Table")


def _create_table(dynamodb: "DynamoDBClient") -> None:
    """Make the table that template.yaml declares, less key and stream, which no test needs."""
    declared = _declared_table()
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode=declared["BillingMode"],
        AttributeDefinitions=declared["AttributeDefinitions"],
        KeySchema=declared["KeySchema"],
        GlobalSecondaryIndexes=declared["GlobalSecondaryIndexes"],
    )
    dynamodb.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification=declared["TimeToLiveSpecification"]
    )
