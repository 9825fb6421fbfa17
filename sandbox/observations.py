"""What can be seen of the watcher from outside: its table, the inboxes, the alerts, its queues."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import decode_header, make_header
from typing import Any, Final, Self

from boto3.dynamodb.types import TypeDeserializer

from sandbox.account import Account
from sandbox.deploy import Stack
from sandbox.records import Json

ALERT_READER: Final = "sandbox-alert-reader"
UNDELIVERED: Final = frozenset({"pending", "claimed"})


@dataclass(frozen=True)
class Mail:
    """A mail that SES accepted."""

    to: str
    sender: str
    subject: str
    text: str
    html: str
    at: datetime
    copy_to: str = ""


@dataclass(frozen=True)
class Alert:
    """An alert as a subscriber of the topic gets it."""

    subject: str
    message: str
    attributes: dict[str, str]
    at: datetime


@dataclass(frozen=True)
class HistoryLine:
    """One line of the watcher's history: why it looked and what it did, or what it delivered."""

    event_id: str
    what: str
    effects: tuple[str, ...]
    at: str
    is_delivery: bool


@dataclass
class Observations:
    """Everything seen so far; `look` adds what is new."""

    account: Account
    stack: Stack
    mails: list[Mail] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    history_lines: list[HistoryLine] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)
    items: list[Json] = field(default_factory=list)

    @classmethod
    def of(cls, account: Account, stack: Stack) -> Self:
        """Start to look, with a queue of our own behind the alert topic."""
        root = account.root
        sqs = root.client("sqs")
        queue = sqs.create_queue(QueueName=ALERT_READER)["QueueUrl"]
        wanted = ["QueueArn"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"][
            wanted[0]
        ]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": stack["AlertTopicArn"]}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        root.client("sns").subscribe(TopicArn=stack["AlertTopicArn"], Protocol="sqs", Endpoint=arn)
        return cls(account, stack)

    def update(self) -> list[Json | HistoryLine | Mail | Alert]:
        """Look once, and return what is new: records first, then history_lines, mails and alerts."""
        records = self.account.records(after=len(self.records))
        self.records += records
        self.items = list(self._table())
        known = {(act.event_id, act.what) for act in self.history_lines}
        history_lines = [
            act for act in map(_act, self._history()) if (act.event_id, act.what) not in known
        ]
        history_lines = list({(act.event_id, act.what): act for act in history_lines}.values())
        self.history_lines += sorted(history_lines, key=lambda act: act.at)
        mails = [_mail(raw) for raw in self.account.inbox()[len(self.mails) :]]
        self.mails += mails
        alerts = list(self._new_alerts())
        self.alerts += alerts
        return [*records, *history_lines, *mails, *alerts]

    def is_idle(self) -> bool:
        """Whether nothing is under way: queues and outbox are empty."""
        sqs = self.account.root.client("sqs")
        for queue in ("SignInQueue", "IamChangeQueue", "MailFeedbackQueue", "SweepQueue"):
            found = sqs.get_queue_attributes(QueueUrl=self.stack[queue], AttributeNames=["All"])
            counts = {
                name: n for name, n in found["Attributes"].items() if name.startswith("Approx")
            }
            if any(int(number) for number in counts.values()):
                return False
        return not any(item.get("status") in UNDELIVERED for item in self.kind("INTENT"))

    def kind(self, prefix: str) -> list[Json]:
        """The table's items of one kind: USER, REQUEST, INTENT, … in their present state."""
        return [
            item
            for item in self.items
            if item["pk"].startswith(f"{prefix}#") and item["sk"] == "STATE"
        ]

    def history_of(self, item: Json) -> list[Json]:
        """The history of a user or a request, the oldest first."""
        return sorted(
            (one for one in self._history() if one["pk"] == item["pk"]), key=lambda one: one["sk"]
        )

    def dead_letters(self) -> list[Json]:
        """What the functions could not process."""
        sqs = self.account.root.client("sqs")
        sources = ("SignIn", "IamChange", "MailFeedback", "Deliver", "Sweep")
        return [
            message
            for source in sources
            for message in sqs.receive_message(
                QueueUrl=self.stack[f"{source}DeadLetters"],
                MaxNumberOfMessages=10,
                VisibilityTimeout=0,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
        ]

    def function_roles(self) -> set[str]:
        """The names of the roles that functions run under."""
        pages = self.account.root.client("lambda").get_paginator("list_functions").paginate()
        return {
            function["Role"].rpartition("/")[2] for page in pages for function in page["Functions"]
        }

    def refusals(self) -> list[Json]:
        """Calls of the functions that their own roles do not allow: a hole in the template."""
        functions = tuple(f":assumed-role/{role}/" for role in self.function_roles())
        return [
            decision
            for decision in self.account.decisions()
            if not decision["allowed"]
            and any(function in decision["principal_arn"] for function in functions)
        ]

    def errors(self) -> list[str]:
        """What the functions logged as errors, and tracebacks, by log group."""
        logs = self.account.root.client("logs")
        groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
        return [
            f"{group['logGroupName'].rpartition('/')[2]}: {event['message'].strip()}"
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
            for event in page["events"]
            if '"level":"ERROR"' in event["message"] or "Traceback" in event["message"]
        ]

    def _history(self) -> list[Json]:
        return [item for item in self.items if item["sk"].startswith("HISTORY#")]

    def _table(self) -> Iterator[Json]:
        read = TypeDeserializer().deserialize
        pages = self.account.root.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self.stack["TableName"]):
            for item in page["Items"]:
                yield {name: read(value) for name, value in item.items()}

    def _new_alerts(self) -> Iterator[Alert]:
        sqs = self.account.root.client("sqs")
        queue = sqs.get_queue_url(QueueName=ALERT_READER)["QueueUrl"]
        while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                yield _alert(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def _mail(raw: Json) -> Mail:
    return Mail(
        to=", ".join(raw["To"]),
        sender=raw["Source"],
        subject=str(make_header(decode_header(raw["Subject"]))),
        text=raw["BodyText"] or "",
        html=raw["BodyHtml"] or "",
        at=datetime.fromtimestamp(float(raw["Timestamp"]), UTC),
        copy_to=", ".join(raw.get("CC") or ()),
    )


def _alert(envelope: Json) -> Alert:
    attributes: dict[str, Any] = envelope.get("MessageAttributes", {})
    return Alert(
        subject=envelope.get("Subject") or "",
        message=envelope["Message"],
        attributes={name: value["Value"] for name, value in attributes.items()},
        at=datetime.fromisoformat(envelope["Timestamp"]),
    )


def _act(item: Json) -> HistoryLine:
    return HistoryLine(
        item["event_id"],
        item["what"],
        tuple(item.get("effects", ())),
        str(item["at"]),
        is_delivery="actor" not in item and not item.get("effects"),
    )
