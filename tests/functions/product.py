"""The functions as Lambda runs them, in an emulated account."""

import importlib.util
import json
import logging
import re
import sys
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import ModuleType
from urllib.parse import parse_qs
from warnings import catch_warnings, filterwarnings

import pytest

from mfa_watcher import bootstrap
from mfa_watcher.adapters.items import key_of
from mfa_watcher.domain.requests.approvers import PROOF_HEADER
from mfa_watcher.domain.users.people import Person
from mfa_watcher.entrypoints.api.desk_api import signed_call
from tests.support import sts
from tests.support.account import Account
from tests.support.aws_limits import answer_faults
from tests.support.builders import ACCOUNT, SENDER, Json, envelope
from tests.template.cloudformation import ROOT, STACK, Template
from tools.wrap_event import QUEUES

OBSERVING = ("on_sign_in", "on_iam_change")
MAX_RECEIVES = 5
VISIBILITY = timedelta(seconds=180)
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
SCP_ID = "p-examplescp1"
OPERATOR = "Deployment"
TEMPLATE = Template.read(
    SenderAddress=SENDER,
    SecurityAddress="security@example.com",
    MailDomains="example.com",
    OperatorRoles=OPERATOR,
    BreakGlassRoles="Emergency",
    ServiceDeskRoles="ServiceDesk",
    Approvers="bob,carla,dora",
    ApproverPermissionSets="Approvers",
    GuardScpId=SCP_ID,
)
APPROVER_ROLE_ID = "AROASECURITY"
FULFIL_ROLE = TEMPLATE.environment("Fulfil")["FULFIL_ROLE"]
MEMBER_FULFIL_ROLE = TEMPLATE.environment("Fulfil")["MEMBER_FULFIL_ROLE"]


@cache
def app(function: str) -> ModuleType:
    """Import a function's app.py, as Lambda does: by its path, once per process."""
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"app_of_{function}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Stdout:
    """Writes to what is standard output now: Powertools keeps the one of its first import."""

    def write(self, text: str) -> int:
        """Write a piece."""
        return sys.stdout.write(text)

    def flush(self) -> None:
        """Write it through."""
        sys.stdout.flush()


@dataclass
class Context:
    """What Lambda tells a function of its invocation."""

    function_name: str
    memory_limit_in_mb: int = 512
    aws_request_id: str = "c0ffee"
    milliseconds: int = 30_000

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left."""
        return self.milliseconds


@dataclass
class Product:
    """The functions, their environment, and what AWS does between them."""

    account: Account
    monkeypatch: pytest.MonkeyPatch
    running: str = ""
    digest_seconds: int = 0
    mail_hours: str = "0-24"
    second_device_days: int = 0
    default_mail_domain: str = "example.com"
    quarantine: str = "off"
    organization: str = ""
    members: str = ""
    quarantines_members: str = "no"
    account_alias: str = "acme"
    operators: str = OPERATOR
    lost_events_alert_threshold: int = 3
    regions: str = "us-east-1,eu-north-1"
    quarantine_policy_arn: str = f"arn:aws:iam::{ACCOUNT}:policy/quarantine"

    def __post_init__(self) -> None:
        """Make all functions use the account's clock."""
        self.monkeypatch.setattr(bootstrap, "now", self.account.clock)
        self.monkeypatch.setattr(bootstrap, "sleep", lambda _seconds: None)
        # moto's table does not bear two calls at a time.
        self.monkeypatch.setattr("mfa_watcher.usecases.sweep.WORKERS", 1)
        for handler in logging.getLogger(STACK).handlers:
            self.monkeypatch.setattr(handler, "stream", Stdout())

    def observe(self, *records: Json, receives: int = 1) -> list[str]:
        """Hand records to the functions of their rules; return the bodies to be retried."""
        failed = []
        for function in OBSERVING:
            bodies = [envelope(record) for record in records if _fed_by(record) == function]
            if bodies:
                failed += self.take(function, *bodies, receives=receives)
        return failed

    def feel(self, record: Json) -> None:
        """Let the function of a record write its hourly heartbeat."""
        nothing: Json = {"eventName": "CreateGroup", "eventSource": "iam.amazonaws.com"}
        if record["eventName"] == "ConsoleLogin":
            nothing = {"errorMessage": "Failed", "responseElements": {"ConsoleLogin": "Failure"}}
        assert self.observe({**record, **nothing}) == []

    def take(self, function: str, *bodies: str, receives: int = 1) -> list[str]:
        """Hand over a batch of a queue's messages; return the bodies to be retried."""
        answer = self.invoke(function, {"Records": _messages(function, bodies, receives)})
        return [
            bodies[int(failure["itemIdentifier"].removeprefix("message-"))]
            for failure in answer["batchItemFailures"]
        ]

    def report(self, *reports: Json, receives: int = 1) -> list[str]:
        """Hand SES's reports to on_mail_feedback; return the bodies to be retried."""
        bodies = [json.dumps(report) for report in reports]
        return self.take("on_mail_feedback", *bodies, receives=receives)

    def new_intents(self) -> list[Json]:
        """Return the stream's records of intents that were put into the table since last asked."""
        inserted = self.account.stored.inserted
        new = sorted(inserted)
        inserted.clear()
        return [_inserted(pk) for pk in new]

    def deliver(self, records: Iterable[Json] | None = None) -> list[str]:
        """Hand the stream's new records to deliver; return those to be retried."""
        taken = self.new_intents() if records is None else list(records)
        if not taken:
            return []
        answer = self.invoke("deliver", {"Records": taken})
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def redeliver(self, *intent_ids: str, milliseconds: int = 30_000) -> dict[str, int]:
        """Run redeliver, as the schedule does, or by hand with failed intents."""
        event = {"intent_ids": list(intent_ids)} if intent_ids else {}
        answer: dict[str, int] = self.invoke("redeliver", event, milliseconds)
        return answer

    def remind(self, milliseconds: int = 30_000) -> dict[str, int]:
        """Run remind, as the schedule does."""
        answer: dict[str, int] = self.invoke("remind", {}, milliseconds)
        return answer

    def order_sweep(self, **asked: object) -> Json:
        """Invoke sweep as the schedule does, or a person who asks for more."""
        return self.invoke("sweep", dict(asked))

    def sweep(self, most: int = 50, milliseconds: int = 900_000, **asked: object) -> None:
        """Have all accounts swept, and hand out the queue's messages until there are none."""
        self.order_sweep(**asked)
        while self.take_accounts(milliseconds=milliseconds):
            most -= 1
            assert most, "the queue does not become empty"

    def take_accounts(self, *, receives: int = 1, milliseconds: int = 900_000) -> list[Json]:
        """Hand the queue's messages to sweep, once their time has come; return them."""
        sqs, url = self.account.sqs, self.account.queue_urls["SweepQueue"]
        taken = self.account.take_all("SweepQueue")
        for body in taken:
            event = {"Records": _messages("sweep", [body], receives)}
            answer = self.invoke("sweep", event, milliseconds)
            if answer["batchItemFailures"]:
                sqs.send_message(QueueUrl=url, MessageBody=body)
        return [json.loads(body) for body in taken]

    def watch(self) -> dict[str, int]:
        """Run watch, as the schedule does."""
        answer: dict[str, int] = self.invoke("watch", {})
        return answer

    def expire(self, milliseconds: int = 30_000) -> dict[str, int]:
        """Run expire, as the schedule does."""
        answer: dict[str, int] = self.invoke("expire", {}, milliseconds)
        return answer

    def apply_quarantines(self, milliseconds: int = 30_000) -> dict[str, str]:
        """Run quarantine, as the schedule does; return what was done, by user id."""
        answer: dict[str, str] = self.invoke("quarantine", {}, milliseconds)
        return answer

    def call(
        self, function: str, method: str, path: str, by: Person, body: object = None
    ) -> tuple[int, Json]:
        """Call a function's URL as a person whom IAM authenticated; return status and answer."""
        answer = self.invoke(function, self.url_event(function, method, path, by, body))
        return answer["statusCode"], json.loads(answer["body"])

    def url_event(
        self, function: str, method: str, path: str, by: Person, body: object = None
    ) -> Json:
        """Return what a function's URL hands over, with a proof of the caller where it wants one.

        To the approval desk a decision names the version that the request has now, unless the body
        does.
        """
        if function == "approval_desk" and method == "POST" and isinstance(body, dict):
            body = self._with_version(path, body)
        return self.proven(function, url_event(method, path, by, body), by)

    def proven(self, function: str, event: Json, by: Person) -> Json:
        """Return an event with a proof of its caller, as the command line sends it."""
        bound_to = _declared(function).get("PROOF_FUNCTION")
        if not bound_to:
            return event
        call = f"{bound_to} {signed_call(_readable(event))}"
        proof = sts.for_all().proof(by, call, self.account.clock())
        return {**event, "headers": {**(event.get("headers") or {}), PROOF_HEADER: proof}}

    def _with_version(self, path: str, body: Json) -> Json:
        found = self.account.items(f"REQUEST#{path.split('/')[2]}", "STATE")
        return {"version": int(found[0]["version"]) if found else 1, **body}

    def invoke(self, function: str, event: Json, milliseconds: int = 30_000) -> Json:
        """Invoke a function as Lambda does, in its own environment."""
        self._start(function)
        context = Context(f"{STACK}-{function}", milliseconds=milliseconds)
        with catch_warnings():
            # Powertools warns of a run that has nothing to count, and would hide its error.
            filterwarnings("ignore", "No application metrics", UserWarning)
            answer: Json = app(function).handler(event, context)
        assert list(answer_faults(json.dumps(answer))) == []
        return answer

    def _start(self, function: str) -> None:
        """Set a function's environment, as template.yaml does, if another one ran before."""
        if self.running == function:
            return
        for name, value in _environment(function, self).items():
            self.monkeypatch.setenv(name, value)
        for name, parts in vars(bootstrap).items():
            if not name.startswith("_") and hasattr(parts, "cache_clear"):
                parts.cache_clear()
        self.running = function


@cache
def _declared(function: str) -> dict[str, str]:
    """Return the environment that template.yaml gives a function, by its folder's name."""
    return TEMPLATE.environment(_logical_id(function))


@cache
def _logical_id(function: str) -> str:
    [name] = (
        name
        for name, declared in TEMPLATE.of_type("AWS::Serverless::Function").items()
        if declared["Properties"]["CodeUri"] == f"functions/{function}"
    )
    return name


def _environment(function: str, product: Product) -> dict[str, str]:
    """Return a function's environment: the template's, with the names of the emulated account."""
    account = product.account
    here = {
        "TABLE_NAME": account.table,
        "ACCOUNT_ID": ACCOUNT,
        "ORGANIZATION_ID": product.organization,
        "MEMBER_ACCOUNTS": product.members,
        "SECOND_DEVICE_DAYS": str(product.second_device_days),
        "MAIL_HOURS": product.mail_hours,
        "QUARANTINE": product.quarantine,
        "QUARANTINES_MEMBERS": product.quarantines_members,
        "LOST_EVENTS_ALERT_THRESHOLD": str(product.lost_events_alert_threshold),
        "DEFAULT_MAIL_DOMAIN": product.default_mail_domain,
        "WATCHER_KEY": KEY_ID,
        "ALERT_TOPIC_ARN": account.topic_arn,
        "ALERT_DIGEST_SECONDS": str(product.digest_seconds),
        "CONFIGURATION_SET": "",  # moto has none
        "ACCOUNT_ALIAS": product.account_alias,
        "OPERATOR_ROLES": product.operators,
        "APPROVER_ROLE_ID": APPROVER_ROLE_ID,
        "STS_ENDPOINT": sts.for_all().address,
        "REGIONS": product.regions,
        "QUARANTINE_POLICY_ARN": product.quarantine_policy_arn,
    }
    declared = _declared(function)
    # Queues are named in the emulated account as in the template.
    queues = {
        variable: account.queue_urls[re.sub(r".*/mfa-watcher-(\w+)-\w+", r"\1", url)]
        for variable, url in declared.items()
        if variable.endswith("_QUEUE_URL")
    }
    return declared | {name: one for name, one in here.items() if name in declared} | queues


def url_event(method: str, path: str, by: Person, body: object = None) -> Json:
    """Return what a function URL hands over: who calls stands in it by IAM's word alone."""
    text = None if body is None else json.dumps(body)
    query = path.partition("?")[2]
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path.partition("?")[0],
        "rawQueryString": query,
        "queryStringParameters": {
            name: ",".join(values)
            for name, values in parse_qs(query, keep_blank_values=True).items()
        },
        "headers": {"content-type": "application/json", "host": "x.lambda-url.us-east-1.on.aws"},
        "requestContext": {
            "accountId": by.account_id,
            "apiId": "x",
            "authentication": None,
            "authorizer": {
                "iam": {
                    "accessKey": "ASIAEXAMPLE",
                    "accountId": by.account_id,
                    "callerId": by.user_id,
                    "cognitoIdentity": None,
                    "principalOrgId": None,
                    "userArn": by.arn,
                    "userId": by.user_id,
                }
            },
            "domainName": "x.lambda-url.us-east-1.on.aws",
            "domainPrefix": "x",
            "http": {
                "method": method,
                "path": path.partition("?")[0],
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "python",
            },
            "requestId": "c0ffee",
            "routeKey": "$default",
            "stage": "$default",
            "time": "02/Mar/2026:12:00:00 +0000",
            "timeEpoch": 1772452800000,
        },
        "body": text,
        "isBase64Encoded": False,
    }


def _readable(event: Json) -> Json:
    """Return an event with its body as the caller wrote it."""
    body = event.get("body")
    if isinstance(body, str) and event.get("isBase64Encoded"):
        with suppress(ValueError):
            return {**event, "body": b64decode(body).decode()}
    return {**event, "body": body if isinstance(body, str) else ""}


def _fed_by(record: Json) -> str:
    return "on_sign_in" if record["eventName"] == "ConsoleLogin" else "on_iam_change"


def _messages(function: str, bodies: Iterable[str], receives: int) -> list[Json]:
    queue = QUEUES[function]
    return [
        {
            "messageId": f"message-{number}",
            "receiptHandle": "handle",
            "body": body,
            "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": "0"},
            "messageAttributes": {},
            "md5OfBody": "0",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{STACK}-{queue}-1A2B3C",
            "awsRegion": "us-east-1",
        }
        for number, body in enumerate(bodies)
    ]


def _inserted(pk: str) -> Json:
    return {
        "eventID": pk,
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "Keys": key_of(pk),
            "SequenceNumber": pk,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/t/stream/s",
    }


@dataclass(frozen=True)
class Output:
    """What the functions wrote: log lines and metrics, both JSON, as CloudWatch gets them."""

    lines: tuple[Json, ...]
    metrics: dict[str, float]

    @classmethod
    def read(cls, text: str) -> "Output":
        """Sort what stands in standard output."""
        lines = [json.loads(line) for line in text.splitlines()]
        metrics: dict[str, float] = {}
        for line in lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
                for metric in directive["Metrics"]:
                    values = line[metric["Name"]]
                    total = sum(values) if isinstance(values, list) else values
                    metrics[metric["Name"]] = metrics.get(metric["Name"], 0) + total
        return cls(tuple(line for line in lines if "_aws" not in line), metrics)
