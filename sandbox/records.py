"""CloudTrail records as AWS writes them, made from emulated calls and sign-ins.

Pure functions of their arguments. Where a shape looks odd (no parameters on a denied call, no `arn`
on a failed sign-in, American dates), captured records look like that.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]

EVENT_VERSION: Final = "1.11"


@dataclass(frozen=True)
class Session:
    """What a record says about temporary credentials."""

    began: datetime
    with_mfa: bool = False


@dataclass(frozen=True)
class Issuer:
    """What a record says about the role of temporary credentials."""

    role_name: str
    role_id: str
    role_arn: str


@dataclass(frozen=True)
class Caller:
    """Who signed a request."""

    kind: Literal["IAMUser", "AssumedRole", "Root"]
    arn: str
    principal_id: str
    account_id: str
    access_key_id: str
    user_name: str = ""
    session: Session | None = None
    issuer: Issuer | None = None


@dataclass(frozen=True)
class Call:
    """One management call to an AWS API, with its outcome."""

    event_source: str
    event_name: str
    region: str
    at: datetime
    source_ip: str
    user_agent: str
    parameters: Json | None = None
    response: Json | None = None
    error_code: str = ""
    error_message: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def api_call(caller: Caller, call: Call) -> Json:
    """Return the record of a management call that was allowed, denied, or failed."""
    denied = call.error_code.startswith("AccessDenied")
    record: Json = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": user_identity(caller),
        "eventTime": iso(call.at),
        "eventSource": call.event_source,
        "eventName": call.event_name,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent,
    }
    if call.error_code:
        record["errorCode"] = cloudtrail_error_code(call.error_code)
        record["errorMessage"] = call.error_message[:1024]
    return record | {
        # CloudTrail drops the parameters of a denied call: only the message names its subject.
        "requestParameters": None if denied else call.parameters or None,
        "responseElements": None if call.error_code else call.response or None,
        "requestID": call.request_id,
        "eventID": str(uuid.uuid4()),
        "readOnly": is_read_only(call.event_name),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": caller.account_id,
        "eventCategory": "Management",
    }


def user_identity(caller: Caller) -> Json:
    """Return the `userIdentity` element of a signed call."""
    identity: Json = {
        "type": caller.kind,
        "principalId": caller.principal_id,
        "arn": caller.arn,
        "accountId": caller.account_id,
        "accessKeyId": caller.access_key_id,
    }
    if caller.kind == "IAMUser":
        identity["userName"] = caller.user_name
    if session := caller.session:
        identity["sessionContext"] = {
            "sessionIssuer": _issuer(caller),
            "attributes": {
                "creationDate": iso(session.began),
                "mfaAuthenticated": str(session.with_mfa).lower(),
            },
        }
    return identity


def _issuer(caller: Caller) -> Json:
    if (issuer := caller.issuer) is None:
        return {}
    return {
        "type": "Role",
        "principalId": issuer.role_id,
        "arn": issuer.role_arn,
        "accountId": caller.account_id,
        "userName": issuer.role_name,
    }


@dataclass(frozen=True)
class SignIn:
    """One attempt to sign in to the console."""

    account_id: str
    region: str
    at: datetime
    source_ip: str
    user_agent: str
    user_name: str = ""  # empty: the root user
    user_id: str = ""  # empty: no such user
    device: str = ""  # serial number of the device that was used, if any
    succeeded: bool = True


def sign_in(attempt: SignIn) -> Json:
    """Return the record of a console sign-in."""
    record: Json = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": _sign_in_identity(attempt),
        "eventTime": iso(attempt.at),
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "awsRegion": attempt.region,
        "sourceIPAddress": attempt.source_ip,
        "userAgent": attempt.user_agent,
    }
    if not attempt.succeeded:
        known = attempt.user_id or not attempt.user_name
        record["errorMessage"] = (
            "Failed authentication" if known else "No username found in supplied account"
        )
    detail = {
        "LoginTo": "https://console.aws.amazon.com/console/home",
        "MobileVersion": "No",
        "MFAUsed": "Yes" if attempt.device else "No",
    }
    if attempt.device and attempt.succeeded:
        detail["MFAIdentifier"] = attempt.device
    return record | {
        "requestParameters": None,
        "responseElements": {"ConsoleLogin": "Success" if attempt.succeeded else "Failure"},
        "additionalEventData": detail,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsConsoleSignIn",
        "managementEvent": True,
        "recipientAccountId": attempt.account_id,
        "eventCategory": "Management",
    }


def _sign_in_identity(attempt: SignIn) -> Json:
    account = attempt.account_id
    if not attempt.user_name:
        arn = f"arn:aws:iam::{account}:root"
        return {
            "type": "Root",
            "principalId": account,
            "arn": arn,
            "accountId": account,
            "accessKeyId": "",
        }
    if not attempt.user_id:
        hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
        return {"type": "IAMUser", "accountId": account, "accessKeyId": "", "userName": hidden}
    identity = {
        "type": "IAMUser",
        "principalId": attempt.user_id,
        "accountId": account,
        "userName": attempt.user_name,
    }
    if attempt.succeeded:
        return identity | {"arn": f"arn:aws:iam::{account}:user/{attempt.user_name}"}
    return identity | {"accessKeyId": ""}


def iso(at: datetime) -> str:
    """Return a record's `eventTime`."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def response_date(at: datetime) -> str:
    """Return a date as in `responseElements`: "Jul 10, 2023 12:25:04 PM"."""
    return f"{at:%b} {at.day}, {at.year} {at.hour % 12 or 12}:{at:%M:%S %p}"


def is_read_only(event_name: str) -> bool:
    """Return whether CloudTrail marks the call as read-only, which no ENABLED rule ever sees."""
    return event_name.startswith(("Get", "List", "Describe", "Simulate", "Generate"))


def cloudtrail_error_code(code: str) -> str:
    """Return a client's error code as records have it (NoSuchEntity → NoSuchEntityException)."""
    return (
        code
        if code.startswith("AccessDenied") or code.endswith(("Exception", "Error"))
        else f"{code}Exception"
    )
