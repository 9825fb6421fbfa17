"""An AWS on this machine that answers at once: what is measured against it is the client alone.

SES takes mails and counts them; SQS keeps messages; DynamoDB is the table in memory of the tests;
all users of IAM have a password and no device. ``python -m benchmarks.local_aws`` prints its port.
"""

import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from botocore.exceptions import ClientError

from tests.support.dynamodb import MemoryDynamo

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

RATE = 1_000_000
"""Mails a second that SES allows: the pace is not what is measured."""

DOMAIN = "example.com"

table = MemoryDynamo()
table.stale = 0.0
messages: dict[str, Json] = {}
counts: Counter[str] = Counter()


class RefusalError(Exception):
    """An error as a service answers it."""


def dynamodb(operation: str, body: Json) -> Json:
    """Answer a call to DynamoDB."""
    calls: dict[str, Callable[..., Json]] = {
        "GetItem": table.get_item,
        "PutItem": table.put_item,
        "UpdateItem": table.update_item,
        "TransactWriteItems": table.transact_write_items,
        "Query": _query,
    }
    try:
        answer = calls[operation](**body)
    except ClientError as error:
        said: Any = error.response
        code = said["Error"]["Code"]
        reasons = said.get("CancellationReasons", [])
        raise RefusalError(
            json.dumps({"__type": f"x#{code}", "CancellationReasons": reasons})
        ) from None
    _charge(operation, body, answer)
    return answer


def _charge(operation: str, body: Json, answer: Json) -> None:
    """Count request units as DynamoDB does (developer guide, "Read and write requests").

    A write to an index is one unit: what is projected is small.
    """
    match operation:
        case "GetItem":
            counts["read_units_x2"] += 2 * max(1, ceil(_size(answer.get("Item", {})) / 4096))
        case "Query":
            size = sum(_size(item) for item in answer["Items"])
            counts["read_units_x2"] += max(1, ceil(size / 4096))
        case "TransactWriteItems":
            for write in body["TransactItems"]:
                item = next(iter(write.values())).get("Item", {})
                indexed = ("due_shard" in item) + ("roster" in item)
                counts["write_units"] += 2 * max(1, ceil(_size(item) / 1024)) + indexed
        case _:
            counts["write_units"] += 1


def _size(value: Any) -> int:  # noqa: ANN401 - JSON
    """Count characters of names and values, less the names of types."""
    if isinstance(value, dict):
        return sum(len(name) * (len(name) > 1) + _size(one) for name, one in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else len(str(value))


def _query(**asked: Any) -> Json:  # noqa: ANN401 - JSON
    pages = table.get_paginator("query").paginate(**asked)
    return {"Items": [item for page in pages for item in page["Items"]]}


def _unprotected() -> list[str]:
    """Name the users that the table has as unprotected."""
    users = [item for (pk, _), item in table.items.items() if pk.startswith("USER#")]
    mfa_status = {"S": "unprotected"}
    return sorted(user["name"]["S"] for user in users if user.get("mfa_status") == mfa_status)


def sqs(operation: str, body: Json) -> Json:
    """Answer a call to SQS. Messages are handed out until they are deleted, the oldest first."""
    match operation:
        case "SendMessage":
            number = f"{counts['message']:08}"
            counts["message"] += 1
            messages[number] = {
                "MessageId": number,
                "ReceiptHandle": number,
                "Body": body["MessageBody"],
                "Attributes": {
                    "SentTimestamp": "1764000000000",
                    "ApproximateReceiveCount": "1",
                    "DelaySeconds": str(body.get("DelaySeconds", 0)),
                },
                "MessageAttributes": body.get("MessageAttributes", {}),
            }
            return {"MessageId": number}
        case "ReceiveMessage":
            most = body.get("MaxNumberOfMessages", 1)
            return {"Messages": [messages[one] for one in sorted(messages)[:most]]}
        case _:
            messages.pop(body["ReceiptHandle"], None)
            return {}


def iam(operation: str, name: str) -> str:
    """Answer a call to IAM."""
    match operation:
        case "GetUser":
            said = (
                f"<User><Path>/</Path><UserName>{name}</UserName><UserId>AIDA{name}</UserId>"
                f"<Arn>arn:aws:iam::123456789012:user/{name}</Arn>"
                "<CreateDate>2026-01-01T00:00:00Z</CreateDate><Tags><member><Key>email</Key>"
                f"<Value>{name}@{DOMAIN}</Value></member></Tags></User>"
            )
        case "ListAccountAliases":
            said = "<AccountAliases></AccountAliases><IsTruncated>false</IsTruncated>"
        case "ListMFADevices":
            said = "<MFADevices></MFADevices><IsTruncated>false</IsTruncated>"
        case _:
            said = (
                f"<LoginProfile><UserName>{name}</UserName>"
                "<CreateDate>2026-01-01T00:00:00Z</CreateDate></LoginProfile>"
            )
    return _xml(operation, said, "https://iam.amazonaws.com/doc/2010-05-08/")


def _xml(operation: str, result: str, namespace: str) -> str:
    return (
        f'<{operation}Response xmlns="{namespace}"><{operation}Result>{result}</{operation}Result>'
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{operation}Response>"
    )


class Handler(BaseHTTPRequestHandler):
    """Tells the services apart by what their protocols send."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer SES's GetAccount, and questions about what happened."""
        match self.path:
            case "/v2/email/account":
                quota = {"Max24HourSend": RATE, "MaxSendRate": RATE, "SentLast24Hours": 0}
                self._say(200, json.dumps({"SendQuota": quota}))
            case "/unprotected":
                self._say(200, json.dumps(_unprotected()))
            case "/counts":
                self._say(200, json.dumps(counts))
            case _:
                taken = [pk.removeprefix("INTENT#") for pk in table.inserted]
                table.inserted.clear()
                self._say(200, json.dumps(taken))

    def do_POST(self) -> None:
        """Answer a call."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        counts["calls"] += 1
        counts[self.headers.get("X-Amz-Target", "other").rpartition(".")[2]] += 1
        try:
            self._say(200, self._answer(body))
        except RefusalError as refusal:
            self._say(400, str(refusal))

    def _answer(self, body: bytes) -> str:
        if self.path == "/v2/email/outbound-emails":
            counts["mails"] += 1
            return json.dumps({"MessageId": f"m-{counts['mails']}"})
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if service:
            answer = dynamodb if service.startswith("DynamoDB") else sqs
            return json.dumps(answer(operation, json.loads(body)))
        asked = {name: value for name, [value, *_] in parse_qs(body.decode()).items()}
        if asked["Action"] == "SendRawEmail":
            counts["mails"] += 1
            said = f"<MessageId>m-{counts['mails']}</MessageId>"
            return _xml("SendRawEmail", said, "http://ses.amazonaws.com/doc/2010-12-01/")
        return iam(asked["Action"], asked.get("UserName", ""))

    def _say(self, status: int, body: str) -> None:
        said = body.encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(said)}\r\nx-amzn-requestid: r\r\n\r\n"
        self.wfile.write(head.encode() + said)  # in one piece, so that nothing waits for the other

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
