"""CloudTrail records and their EventBridge envelope: the only code that knows their shape.

Lenient about what is unknown or odd (``requestParameters`` may be null, a string or a list;
values may have any type), exact about the fields we use. Whatever has a type we cannot use is
treated as absent and named in ``Record.unreadable``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from mfa_watcher.domain.events.records import Event, Identity, Record
from mfa_watcher.entrypoints.parsing.lenient import (
    LONGEST_TEXT,
    as_text,
    found,
    moment,
    objects,
    text,
)

_RECORD = {
    "event_id": "eventID",
    "event_time": "eventTime",
    "event_source": "eventSource",
    "event_name": "eventName",
    "error_code": "errorCode",
    "error_message": "errorMessage",
    # Where an event was seen, for the heartbeat. Nothing else may be decided by it: a sign-in's
    # region depends on the endpoint (and has been ``global``).
    "region": "awsRegion",
    "source_ip": "sourceIPAddress",
    "user_agent": "userAgent",
    "user_name": "requestParameters.userName",
    "new_user_name": "requestParameters.newUserName",
    "serial": "requestParameters.serialNumber",
    "target_principal": "requestParameters.targetPrincipal",
    "console_login": "responseElements.ConsoleLogin",
    "response_user_id": "responseElements.user.userId",
    "mfa_used": "additionalEventData.MFAUsed",
}
"""Where the texts of a Record are. Source: CloudTrail user guide, *Record contents*."""

_IDENTITY = {
    "type": "type",
    "name": "userName",
    "arn": "arn",
    "principal_id": "principalId",
    "account_id": "accountId",
    "issuer_arn": "sessionContext.sessionIssuer.arn",
    "issuer_id": "sessionContext.sessionIssuer.principalId",
    "issuer_name": "sessionContext.sessionIssuer.userName",
}
"""Where the texts of an Identity are. Source: CloudTrail user guide, *userIdentity element*."""

_NAMES = frozenset({
    "account_id",
    "error_code",
    "event_name",
    "issuer_id",
    "issuer_name",
    "name",
    "new_user_name",
    "principal_id",
    "region",
    "response_user_id",
    "serial",
    "source_ip",
    "target_principal",
    "user_name",
})  # fmt: skip
LONGEST_NAME = 256
"""Bytes of a name, an id or a code: AWS's are shorter. Some become part of a key in the table."""
LONGEST_EVENT_ID = 64
"""Bytes: an event id has 36. A longer one is none, since one that was cut might be another's."""

RESOURCE_FIELDS = (
    "alarmName",
    "alarmNames",
    "eventSourceArn",
    "functionArn",
    "functionName",
    "keyId",
    "logGroupName",
    "name",
    "policyArn",
    "policyId",
    "policyType",
    "queueUrl",
    "resourceArn",
    "roleName",
    "rule",
    "stackName",
    "statementId",
    "subscriptionArn",
    "tableName",
    "topicArn",
    "trailName",
)
"""What calls name the resource by that they are about."""

_TEXT_FIELDS = ("eventID", "eventTime", "eventSource", "eventName", "errorCode", "errorMessage")
_OBJECT_FIELDS = ("userIdentity", "requestParameters", "responseElements", "additionalEventData")


def parse_record(raw: object) -> Record:
    """Read a CloudTrail record from any JSON value. Never raises: what is odd counts as absent."""
    fields = raw if isinstance(raw, Mapping) else {}
    identity = Identity(
        **_texts(found(fields, "userIdentity"), _IDENTITY),
        mfa_authenticated=_flag(
            found(fields, "userIdentity.sessionContext.attributes.mfaAuthenticated")
        ),
    )
    created = text(fields, "responseElements.user.userName", LONGEST_NAME)
    granted = text(fields, "responseElements.loginProfile.userName", LONGEST_NAME)
    key_owner = text(fields, "responseElements.accessKey.userName", LONGEST_NAME)
    texts = _texts(fields, _RECORD)
    if len((texts["event_id"] or "").encode()) > LONGEST_EVENT_ID:
        texts["event_id"] = None
    return Record(
        **texts,
        at=moment(text(fields, "eventTime")),
        account_id=text(fields, "recipientAccountId", LONGEST_NAME) or identity.account_id,
        identity=identity,
        named=tuple(_named(fields)),
        tags=tuple(
            (key, text(tag, "value") or "")
            for tag in objects(fields, "requestParameters.tags")
            if (key := text(tag, "key"))
        ),
        response_user_name=created or granted or key_owner,
        password_reset_required=_flag(
            found(fields, "responseElements.loginProfile.passwordResetRequired")
        ),
        unreadable=tuple(_unreadable(fields)),
    )


def _texts(fields: object, places: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: text(fields, path, LONGEST_NAME if name in _NAMES else LONGEST_TEXT)
        for name, path in places.items()
    }


def _flag(value: object) -> bool | None:
    """CloudTrail writes some flags as JSON booleans and some as the strings "true", "false"."""
    match value:
        case bool():
            return value
        case "true" | "false":
            return value == "true"
        case _:
            return None


def _named(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what the request, and then the answer, names a resource by."""
    for part in ("requestParameters", "responseElements"):
        for name in RESOURCE_FIELDS:
            value = found(fields, f"{part}.{name}")
            for one in value if isinstance(value, list) else [value]:
                if said := as_text(one):
                    yield name, said


def _unreadable(fields: Mapping[str, Any]) -> list[str]:
    """Name the top-level fields whose type is not the documented one (null counts as absent)."""
    documented = {**dict.fromkeys(_TEXT_FIELDS, str), **dict.fromkeys(_OBJECT_FIELDS, Mapping)}
    return [
        name
        for name, kind in documented.items()
        if fields.get(name) is not None and not isinstance(fields[name], kind)
    ]


class DamagedEventError(Exception):
    """A queue message that no handler can ever act on. The text says what is wrong with it."""


class Envelope(BaseModel):
    """The EventBridge event around a record, or around what another service reports.

    ``detail-type`` is not looked at: sign-ins are documented with two spellings of it. The region
    comes from the record. ``account`` is the account whose bus the event was put on first, also if
    a rule sent it on: EventBridge sets it, and no sender can choose it (EventBridge user guide,
    *Sending and receiving events between AWS accounts*). What stands in ``detail`` has no such
    guarantee.
    """

    detail: dict[str, Any]
    account: str = Field(min_length=1)


def parse_envelope(body: str) -> Envelope:
    """Read an EventBridge event from the body of a queue message.

    Raises DamagedEventError for what no retry can mend: no JSON, no ``detail``, or no ``account``.
    """
    try:
        return Envelope.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        raise DamagedEventError(f"no EventBridge event: {where}: {first['msg']}") from error
    except ValueError as error:  # also for a number of more digits than Python reads
        raise DamagedEventError(f"the message is not JSON: {error}") from error
    except RecursionError as error:
        raise DamagedEventError("the message is nested too deeply") from error


def parse_event(body: str) -> Event:
    """Read the event around a CloudTrail record from the body of a queue message.

    Raises DamagedEventError for what no retry can mend: no envelope, a record without the id
    that duplicates are told by, its time or its account, or one of another account than the
    envelope's: an account speaks for itself only.
    """
    envelope = parse_envelope(body)
    record = parse_record(envelope.detail)
    if record.account_id not in {None, envelope.account}:
        raise DamagedEventError(
            f"the record says that it is of account {record.account_id}, but account"
            f" {envelope.account:.20} sent it"
        )
    match record:
        case Record(event_id=str(id_), at=datetime() as at, account_id=str(account)):
            return Event(id_, at, account, record)
        case _:
            raise DamagedEventError(
                f"the record lacks a readable {_first_missing(record)}"
                f" (unreadable: {', '.join(record.unreadable) or 'none'})"
            )


def _first_missing(record: Record) -> str:
    if record.event_id is None:
        return "eventID"
    return "eventTime" if record.at is None else "recipientAccountId"
