"""The ASGI application that stands in front of MiniStack and plays CloudTrail, and SES's reports.

It runs emulator_internals the emulator's process (`hypercorn sandbox.cloudtrail_bridge:app`), so that every client passes
through it: the story, the AWS CLI, the deployed functions. Each management call to a watched
service, allowed or denied by MiniStack's policy evaluation, becomes the record that AWS would have
written, and goes to MiniStack's own event bus, which matches the deployed rules and feeds their
targets. In the same way SES's reports get there about the mails that MiniStack took.

Beside the AWS APIs it answers:

    GET  /_sandbox/records?after=N    what CloudTrail has recorded, and which rules matched
    GET  /_sandbox/decisions          each answer of the policy evaluation, counted
    POST /_sandbox/sign-in            a console sign-in, which no API makes
    POST /_sandbox/deliver            deliver the records with the given event ids once more
    POST /_sandbox/lose               from now on, lose one in so many records; 0: lose none
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from ministack.app import app as ministack

from sandbox import aws_protocol, emulator_internals, emulator_patches, records
from sandbox.emulator_patches import Decision
from sandbox.mail_events import SentMail
from sandbox.records import Json

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Scope: TypeAlias = MutableMapping[str, Any]

# What CloudTrail calls data events, which no EventBridge rule sees by default.
DATA_EVENTS: Final = {
    "cloudtrail": frozenset[str](),
    "dynamodb": frozenset({
        "BatchExecuteStatement", "BatchGetItem", "BatchWriteItem", "DeleteItem", "ExecuteStatement",
        "GetItem", "PutItem", "Query", "Scan", "TransactGetItems", "TransactWriteItems",
        "UpdateItem",
    }),
    "events": frozenset({"PutEvents"}),
    "iam": frozenset[str](),
    "kms": frozenset({"Decrypt", "Encrypt", "ReEncrypt"}),
    "lambda": frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"}),
    "logs": frozenset({"PutLogEvents"}),
    "scheduler": frozenset[str](),
    "sns": frozenset({"Publish", "PublishBatch"}),
    "sqs": frozenset({
        "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch",
        "ChangeMessageVisibility", "ChangeMessageVisibilityBatch",
    }),
}  # fmt: skip

# Not in CloudTrail: nobody knows who called, or there is no such call.
UNAUTHENTICATED: Final = frozenset({
    "ExpiredToken", "IncompleteSignature", "InvalidAction", "InvalidClientTokenId",
    "MissingAuthenticationToken", "RequestExpired", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
})  # fmt: skip


@dataclass
class Trail:
    """All that was recorded since the emulator started."""

    entries: list[Json] = field(default_factory=list)
    decisions: Counter[Decision] = field(default_factory=Counter)
    lose_one_in: int = 0
    watched: int = 0
    unlucky: int = 0
    dice: Random = field(default_factory=lambda: Random(20))  # noqa: S311 - the same at each run

    def publish(self, record: Json) -> Json:
        """Write a record down and put it on the event bus."""
        lost = self._is_lost(record)
        rules = [] if lost else emulator_internals.deliver(record)
        entry = {"number": len(self.entries) + 1, "record": record, "rules": rules, "lost": lost}
        self.entries.append(entry)
        return entry

    def _is_lost(self, record: Json) -> bool:
        """CloudTrail tells EventBridge as well as it can, and now and then an event never comes."""
        if not self.lose_one_in or not emulator_internals.is_watched(record):
            return False
        place = self.watched % self.lose_one_in
        if place == 0:
            self.unlucky = self.dice.randrange(self.lose_one_in)
        self.watched += 1
        return place == self.unlucky

    def decided(self, decision: Decision) -> None:
        """Count one answer of the policy evaluation."""
        self.decisions[decision] += 1


@dataclass
class Bridge:
    """MiniStack, watched."""

    emulator: Callable[[Scope, Receive, Send], Awaitable[None]]
    trail: Trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.emulator(scope, receive, send)
            return
        # The laptop speaks plain HTTP; policies that demand TLS must find it all the same.
        scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        signed = aws_protocol.signature(_headers(scope))
        if scope["path"].startswith("/_sandbox/"):
            status, answer = self._answer(scope, await _body(receive))
            kind = (b"content-type", b"application/json")
            await send({"type": "http.response.start", "status": status, "headers": [kind]})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
        elif signed and signed.service in DATA_EVENTS:
            await self._watch(signed, scope, receive, send)
        elif (scope["method"], scope["path"]) == ("POST", "/v2/email/outbound-emails"):
            await self._post(scope, receive, send)
        else:
            await self.emulator(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let MiniStack take a mail, and report what becomes of it as SES does."""
        body = await _body(receive)
        answered: list[Message] = []

        async def relay(message: Message) -> None:
            answered.append(message)
            await send(message)

        await self.emulator(scope, _replay(body, receive), relay)
        response = _response(answered)
        if response.status == HTTPStatus.OK:
            message_id = json.loads(response.body)["MessageId"]
            emulator_internals.report(SentMail.of(json.loads(body), message_id))

    async def _watch(
        self, signed: aws_protocol.Signature, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let MiniStack answer, and record the call if CloudTrail would."""
        request = aws_protocol.Request(
            _headers(scope),
            scope["query_string"],
            await _body(receive),
            scope["method"],
            scope["path"],
        )
        called = aws_protocol.operation(signed.service, request)
        if called is None or not _is_recorded(signed.service, called.name):
            await self.emulator(scope, _replay(request.body, receive), send)
            return
        # Read before the call, which may delete the caller's own key.
        who = emulator_internals.caller(signed.access_key_id)
        answered: list[Message] = []

        async def relay(message: Message) -> None:
            answered.append(message)
            await send(message)

        await self.emulator(scope, _replay(request.body, receive), relay)
        if who is None:
            return
        members = aws_protocol.outcome(called, _response(answered))
        error = members.pop("Error", {})
        if error.get("Code") in UNAUTHENTICATED:
            return
        call = records.Call(
            event_source=f"{signed.service}.amazonaws.com",
            event_name=aws_protocol.event_name(called),
            region=signed.region,
            at=datetime.now(UTC),
            # All clients share one machine; who wants another address says so, as proxies do.
            source_ip=request.headers.get("x-forwarded-for", scope["client"][0]),
            user_agent=request.headers.get("user-agent", ""),
            parameters=aws_protocol.parameters(called, request),
            response=aws_protocol.camel(members),
            error_code=error.get("Code", ""),
            error_message=error.get("Message", ""),
        )
        self.trail.publish(records.api_call(who, call))

    def _answer(self, scope: Scope, body: bytes) -> tuple[int, Any]:
        query = parse_qs(scope["query_string"].decode())
        match scope["method"], scope["path"].removeprefix("/_sandbox/").split("/"):
            case "GET", ["records"]:
                return 200, self.trail.entries[int(query.get("after", ["0"])[0]) :]
            case "GET", ["decisions"]:
                return 200, [
                    vars(decision) | {"count": count}
                    for decision, count in self.trail.decisions.items()
                ]
            case "POST", ["sign-in"]:
                attempt = emulator_internals.sign_in_attempt(**json.loads(body))
                return 200, self.trail.publish(records.sign_in(attempt))
            case "POST", ["deliver"]:
                known = {one["record"]["eventID"]: one["record"] for one in self.trail.entries}
                return 200, [
                    emulator_internals.deliver(known[event_id]) for event_id in json.loads(body)
                ]
            case "POST", ["lose"]:
                self.trail.lose_one_in = json.loads(body)
                return 200, self.trail.lose_one_in
            case _:
                return 404, __doc__


def _is_recorded(service: str, event_name: str) -> bool:
    return event_name not in DATA_EVENTS[service] and not records.is_read_only(event_name)


def _headers(message: Message) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in message["headers"]
    }


def _response(messages: list[Message]) -> aws_protocol.Response:
    start, *parts = messages
    body = b"".join(part.get("body", b"") for part in parts)
    return aws_protocol.Response(start["status"], _headers(start), body)


async def _body(receive: Receive) -> bytes:
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


trail = Trail()
emulator_patches.install(observe=trail.decided)
app = Bridge(ministack, trail)
