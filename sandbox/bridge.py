"""The ASGI application that stands in front of MiniStack and plays CloudTrail.

It runs inside the emulator's process (`hypercorn sandbox.bridge:app`), so that every client passes
through it: the story, the AWS CLI, the deployed functions. Each management call to a watched service,
allowed or denied by MiniStack's policy evaluation, becomes the record that AWS would have written, and
goes to MiniStack's own event bus, which matches the deployed rules and feeds their targets.

Beside the AWS APIs it answers:

    GET  /_sandbox/records?after=N    what CloudTrail has recorded, and which rules matched
    GET  /_sandbox/decisions          each answer of the policy evaluation, counted
    POST /_sandbox/sign-in            a console sign-in, which no API makes
    POST /_sandbox/deliver/EVENT_ID   deliver a record once more, as EventBridge sometimes does
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from ministack.app import app as ministack
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, iam, sts

from sandbox import corrections, records, wire
from sandbox.corrections import Decision
from sandbox.records import Json

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Scope: TypeAlias = MutableMapping[str, Any]

# What CloudTrail calls data events, which no EventBridge rule sees by default.
DATA_EVENTS: Final = {
    "cloudtrail": frozenset[str](),
    "events": frozenset({"PutEvents"}),
    "iam": frozenset[str](),
    "sqs": frozenset({
        "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch",
        "ChangeMessageVisibility", "ChangeMessageVisibilityBatch",
    }),
}  # fmt: skip

# Not in CloudTrail, because the caller could not be told: the signature or the key was wrong.
UNAUTHENTICATED: Final = frozenset({
    "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken", "IncompleteSignature",
    "ExpiredToken", "RequestExpired", "UnrecognizedClientException", "InvalidAction",
})  # fmt: skip


@dataclass
class Trail:
    """All that was recorded since the emulator started."""

    entries: list[Json] = field(default_factory=list)
    decisions: Counter[Decision] = field(default_factory=Counter)

    def publish(self, record: Json) -> Json:
        """Write a record down and put it on the event bus, wrapped in EventBridge's envelope."""
        entry = {"number": len(self.entries) + 1, "record": record, "rules": deliver(record)}
        self.entries.append(entry)
        return entry

    def decided(self, decision: Decision) -> None:
        """Count one answer of the policy evaluation."""
        self.decisions[decision] += 1


def deliver(record: Json) -> list[str]:
    """Put a record on the default bus and name the rules that it matches.

    MiniStack refuses `aws.*` sources from clients, as AWS does; this is the door for its own emitters.
    """
    sign_in = record["eventName"] == "ConsoleLogin"
    source = record["eventSource"].partition(".")[0]
    entry = {
        "Source": f"aws.{source}",
        "DetailType": f"AWS {'Console Sign In' if sign_in else 'API Call'} via CloudTrail",
        "Detail": json.dumps(record),
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    view = eventbridge._pattern_event_view(eventbridge._events_log_list()[-1])
    return [
        rule["Name"]
        for rule in eventbridge._rules.values()
        if rule.get("EventPattern") and rule["State"] == "ENABLED"
        if eventbridge._matches_pattern_view(rule["EventPattern"], view)
    ]


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
        if scope["path"].startswith("/_sandbox/"):
            status, answer = self._answer(scope, await _body(receive))
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [(b"content-type", b"application/json")],
                }
            )
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
        else:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            }
            signed = wire.signature(headers)
            if signed and signed.service in DATA_EVENTS:
                await self._watch(scope, receive, send, headers, signed)
            else:
                await self.emulator(scope, receive, send)

    async def _watch(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: dict[str, str],
        signed: wire.Signature,
    ) -> None:
        body = await _body(receive)
        called = wire.operation(signed.service, headers, scope["query_string"], body)
        # Read before the call, which may delete the caller's own key.
        who = caller(signed)
        answered: list[Message] = []

        async def relay(message: Message) -> None:
            answered.append(message)
            await send(message)

        await self.emulator(scope, _replay(body, receive), relay)
        if (
            called is None
            or who is None
            or called.name in DATA_EVENTS[signed.service]
            or records.is_read_only(called.name)
        ):
            return
        start, *rest = answered
        response_headers = {
            name.decode().lower(): value.decode() for name, value in start["headers"]
        }
        content = b"".join(part.get("body", b"") for part in rest)
        members = wire.outcome(called, start["status"], response_headers, content)
        error = members.pop("Error", {})
        if error.get("Code") in UNAUTHENTICATED:
            return
        call = records.Call(
            event_source=f"{signed.service}.amazonaws.com",
            event_name=called.name,
            region=signed.region,
            at=datetime.now(UTC),
            # The story and the CLI share one address; whoever wants another says so, as a proxy would.
            source_ip=headers.get("x-forwarded-for", (scope.get("client") or ["127.0.0.1"])[0]),
            user_agent=headers.get("user-agent", ""),
            parameters=wire.parameters(called, headers, scope["query_string"], body),
            response=wire.response_elements(members),
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
                return 200, self.trail.publish(records.sign_in(sign_in_attempt(**json.loads(body))))
            case "POST", ["deliver", event_id]:
                found = [
                    entry for entry in self.trail.entries if entry["record"]["eventID"] == event_id
                ]
                return (
                    (200, deliver(found[0]["record"])) if found else (404, f"no record {event_id}")
                )
            case _:
                return 404, __doc__


def caller(signed: wire.Signature) -> records.Caller | None:
    """The identity behind an access key, as MiniStack resolves it; None if it knows no such key."""
    found = iam_evaluator.resolve_credential(signed.access_key_id, get_account_id())
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return None
    known: dict[str, Any] = {
        "arn": found.principal_arn,
        "principal_id": found.principal_id,
        "account_id": found.account_id,
        "access_key_id": signed.access_key_id,
    }
    match found.principal_type:
        case "User":
            return records.Caller(kind="IAMUser", user_name=found.principal_name, **known)
        case "Root":
            return records.Caller(kind="Root", **known)
        case _:
            role = found.principal_arn.split("/")[1]
            details = iam._roles.get(role) or {}
            issued = sts._sessions[signed.access_key_id].get("IssuedAt")
            session = records.RoleSession(
                role_name=role,
                role_id=details.get("RoleId", ""),
                role_arn=details.get("Arn", f"arn:aws:iam::{found.account_id}:role/{role}"),
                began=datetime.fromtimestamp(issued, UTC) if issued else datetime.now(UTC),
            )
            known["principal_id"] = f"{session.role_id}:{found.principal_arn.rpartition('/')[2]}"
            return records.Caller(kind="AssumedRole", session=session, **known)


def sign_in_attempt(
    user: str = "",
    *,
    mfa: bool | None = None,
    region: str = "us-east-1",
    source_ip: str = "203.0.113.10",
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
) -> records.SignIn:
    """What happens when `user` (empty: root) signs in: with a device if there is one, unless `mfa` says so.

    Without a console password, or without such a user, the sign-in fails.
    """
    known = iam._users.get(user) or {}
    devices = [
        serial for serial, device in iam._mfa_devices.items() if user and device["User"] == user
    ]
    if mfa and not devices:
        devices = [f"arn:aws:iam::{get_account_id()}:mfa/{user or 'root-account-mfa-device'}"]
    return records.SignIn(
        account_id=get_account_id(),
        region=region,
        at=datetime.now(UTC),
        source_ip=source_ip,
        user_agent=user_agent,
        user_name=user,
        user_id=known.get("UserId", ""),
        device=devices[0] if devices and mfa is not False else "",
        succeeded=not user or user in iam._login_profiles,
    )


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
corrections.install(observe=trail.decided)
app = Bridge(ministack, trail)
