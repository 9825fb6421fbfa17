"""CloudTrail records and their EventBridge envelope: the only code that knows their shape.

Lenient about what is unknown or odd (``requestParameters`` may be null, a string or a list;
values may have any type), exact about the fields we use. Whatever has a type we cannot use is
treated as absent and named in ``Record.unreadable``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mfa_watcher.domain.events.records import Event, Identity, Record


def _text(value: object) -> str | None:
    """Take a text. JSON may hold half a character (a lone surrogate), which no service takes."""
    return value.encode(errors="replace").decode() if isinstance(value, str) and value else None


def _flag(value: object) -> bool | None:
    """CloudTrail writes some flags as JSON booleans and some as the strings "true", "false"."""
    match value:
        case bool():
            return value
        case "true" | "false":
            return value == "true"
        case _:
            return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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

Text = Annotated[str | None, BeforeValidator(_text)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, frozen=True)


class _SessionIssuer(_Lenient):
    arn: Text = None


class _SessionContext(_Lenient):
    session_issuer: Annotated[_SessionIssuer, BeforeValidator(_mapping)] = _SessionIssuer()


class UserIdentity(_Lenient):
    """``userIdentity``. Source: CloudTrail user guide, *userIdentity element*."""

    type: Text = None
    user_name: Text = None
    arn: Text = None
    principal_id: Text = None
    account_id: Text = None
    session_context: Annotated[_SessionContext, BeforeValidator(_mapping)] = _SessionContext()


def _tags(value: object) -> tuple[tuple[str, str], ...]:
    """Read a list of ``{"key": …, "value": …}``; what is no such pair is left out."""
    pairs = value if isinstance(value, list) else []
    return tuple(
        (pair["key"], _text(pair.get("value")) or "")
        for pair in pairs
        if isinstance(pair, Mapping) and _text(pair.get("key"))
    )


class RequestParameters(_Lenient):
    """The request parameters we use, of every call that we look at."""

    user_name: Text = None
    new_user_name: Text = None
    serial_number: Text = None
    tags: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_tags)] = ()


class _LoginProfile(_Lenient):
    user_name: Text = None
    password_reset_required: Flag = None


class _User(_Lenient):
    user_name: Text = None
    user_id: Text = None


class ResponseElements(_Lenient):
    """The response elements we use. ``ConsoleLogin`` is spelled as here in real records."""

    console_login: Text = Field(default=None, alias="ConsoleLogin")
    login_profile: Annotated[_LoginProfile, BeforeValidator(_mapping)] = _LoginProfile()
    user: Annotated[_User, BeforeValidator(_mapping)] = _User()


class AdditionalEventData(_Lenient):
    """What a sign-in adds."""

    mfa_used: Text = Field(default=None, alias="MFAUsed")


class CloudTrailRecord(_Lenient):
    """A CloudTrail record. Source: CloudTrail user guide, *Record contents*.

    ``awsRegion`` says where an event was seen, for the heartbeat. Nothing else may be decided by
    it: a sign-in's region depends on the endpoint (and has been ``global``).
    """

    event_id: Text = Field(default=None, alias="eventID")
    event_time: Text = None
    event_source: Text = None
    event_name: Text = None
    error_code: Text = None
    error_message: Text = None
    recipient_account_id: Text = None
    aws_region: Text = None
    source_ip_address: Text = Field(default=None, alias="sourceIPAddress")
    user_agent: Text = None
    user_identity: Annotated[UserIdentity, BeforeValidator(_mapping)] = UserIdentity()
    request_parameters: Annotated[RequestParameters, BeforeValidator(_mapping)] = (
        RequestParameters()
    )
    response_elements: Annotated[ResponseElements, BeforeValidator(_mapping)] = ResponseElements()
    additional_event_data: Annotated[AdditionalEventData, BeforeValidator(_mapping)] = (
        AdditionalEventData()
    )

    def to_domain(
        self, unreadable: tuple[str, ...] = (), named: tuple[tuple[str, str], ...] = ()
    ) -> Record:
        """Return the record as the domain sees it."""
        who, asked, answered = self.user_identity, self.request_parameters, self.response_elements
        profile, user = answered.login_profile, answered.user
        return Record(
            event_id=self.event_id,
            event_time=self.event_time,
            at=_instant(self.event_time),
            account_id=self.recipient_account_id or who.account_id,
            region=self.aws_region,
            event_source=self.event_source,
            event_name=self.event_name,
            error_code=self.error_code,
            error_message=self.error_message,
            source_ip=self.source_ip_address,
            user_agent=self.user_agent,
            identity=Identity(
                type=who.type,
                name=who.user_name,
                arn=who.arn,
                principal_id=who.principal_id,
                account_id=who.account_id,
                issuer_arn=who.session_context.session_issuer.arn,
            ),
            user_name=asked.user_name,
            new_user_name=asked.new_user_name,
            serial=asked.serial_number,
            named=named,
            tags=asked.tags,
            console_login=answered.console_login,
            response_user_name=user.user_name or profile.user_name,
            response_user_id=user.user_id,
            password_reset_required=profile.password_reset_required,
            mfa_used=self.additional_event_data.mfa_used,
            unreadable=unreadable,
        )


def parse_record(raw: object) -> Record:
    """Read a CloudTrail record from any JSON value. Never raises: what is odd counts as absent."""
    fields = _mapping(raw)
    record = CloudTrailRecord.model_validate(fields)
    return record.to_domain(tuple(_unreadable(fields)), tuple(_named(fields)))


def _named(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what the request, and then the answer, names a resource by."""
    for part in ("requestParameters", "responseElements"):
        found = _mapping(fields.get(part))
        for name in RESOURCE_FIELDS:
            value = found.get(name)
            for one in value if isinstance(value, list) else [value]:
                if text := _text(one):
                    yield name, text


def _unreadable(fields: Mapping[str, Any]) -> list[str]:
    """Name the top-level fields whose type is not the documented one (null counts as absent)."""
    documented = {**dict.fromkeys(_TEXT_FIELDS, str), **dict.fromkeys(_OBJECT_FIELDS, Mapping)}
    return [
        name
        for name, kind in documented.items()
        if fields.get(name) is not None and not isinstance(fields[name], kind)
    ]


def _instant(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class DamagedEventError(Exception):
    """A queue message that no handler can ever act on. The text says what is wrong with it."""


class Envelope(BaseModel):
    """The EventBridge event around a record.

    ``detail-type`` is not looked at: sign-ins are documented with two spellings of it. Account
    and region come from the record, since forwarding may change those of the envelope.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Text = None
    detail: dict[str, Any]


def parse_envelope(body: str) -> Envelope:
    """Read an EventBridge envelope from the body of a queue message.

    Raises DamagedEventError for what no retry can mend: no JSON, or no ``detail``.
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

    Raises DamagedEventError for what no retry can mend: no envelope, or a record without the id
    that duplicates are told by, its time or its account.
    """
    envelope = parse_envelope(body)
    record = parse_record(envelope.detail)
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
