"""Builds what tests start from: CloudTrail records as AWS writes them, and the domain's values."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from mfa_watcher.domain.decision import Decision, RequestDecision, UserDecision
from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent, Severity
from mfa_watcher.domain.notifications.mails import GuideMail, Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import Attempt, ChangeRequest, open_request
from mfa_watcher.domain.users.user import Cause, MailKind, User, UserKey

ACCOUNT = "123456789012"  # moto's
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SENDER = "mfa@example.com"
HOSTILE = "a\r\nSubject: x\n\x00\u202e\u2028<script>alert('é')</script>{{ 7*7 }}\U0001f511"
GUARD = f"arn:aws:iam::{ACCOUNT}:policy/mfa-watcher-guard"

Json = dict[str, Any]


# Records -----------------------------------------------------------------------------------------


def event_id(seed: str) -> str:
    """Return an id of CloudTrail's form that is always the same for a seed."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, seed))


def iam_user(name: str, user_id: str) -> Json:
    """Return the identity of an IAM user, acting for themselves."""
    return {
        "type": "IAMUser",
        "principalId": user_id,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "userName": name,
    }


ADMIN = iam_user("ada", "AIDAADMINISTRATOR00")
ROOT: Json = {
    "type": "Root",
    "principalId": ACCOUNT,
    "arn": f"arn:aws:iam::{ACCOUNT}:root",
    "accountId": ACCOUNT,
}


def sign_in(who: Json, seed: str = "sign-in", *, mfa: str = "No", at: datetime = NOW) -> Json:
    """Return the record of a successful sign-in to the console."""
    return {
        **_record(who, seed, at),
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "eventType": "AwsConsoleSignIn",
        "requestParameters": None,
        "responseElements": {"ConsoleLogin": "Success"},
        "additionalEventData": {"LoginTo": "https://console", "MFAUsed": mfa},
    }


def iam_call(
    name: str, who: Json, seed: str | None = None, *, at: datetime = NOW, **fields: Any
) -> Json:
    """Return the record of a successful IAM call; ``fields`` are the record's own."""
    return {
        **_record(who, seed or name, at),
        "eventSource": "iam.amazonaws.com",
        "eventName": name,
        "requestParameters": None,
        "responseElements": None,
        **fields,
    }


def user_created(name: str, user_id: str, seed: str = "CreateUser") -> Json:
    """Return the record of a ``CreateUser``."""
    made = {"userName": name, "userId": user_id}
    return iam_call(
        "CreateUser",
        ADMIN,
        seed,
        requestParameters={"userName": name},
        responseElements={"user": made},
    )


def access_granted(name: str, *, reset: bool = True) -> Json:
    """Return the record of a ``CreateLoginProfile``."""
    profile = {"userName": name, "passwordResetRequired": reset}
    return iam_call(
        "CreateLoginProfile",
        ADMIN,
        requestParameters={"userName": name, "passwordResetRequired": reset},
        responseElements={"loginProfile": profile},
    )


def about(call: str, name: str, who: Json = ADMIN, seed: str | None = None, **more: str) -> Json:
    """Return the record of a successful call whose parameters name a user (and ``more``)."""
    return iam_call(call, who, seed, requestParameters={"userName": name, **more})


def denied_removal(
    who: Json, name: str, seed: str = "denied", *, call: str = "DeactivateMFADevice"
) -> Json:
    """Return the record of a removal that the guard policy denied."""
    return iam_call(
        call,
        who,
        seed,
        errorCode="AccessDenied",
        errorMessage=f"User: {who['arn']} is not authorized to perform: iam:{call} on resource:"
        f" user {name} with an explicit deny in an identity-based policy: {GUARD}",
    )


def _record(who: Json, seed: str, at: datetime) -> Json:
    return {
        "eventVersion": "1.11",
        "userIdentity": who,
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.7",
        "userAgent": "Mozilla/5.0",
        "eventID": event_id(seed),
        "readOnly": False,
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
    }


def envelope(record: Json) -> str:
    """Return a record as EventBridge puts it into the queue."""
    sign_in = record.get("eventName") == "ConsoleLogin"
    event: Json = {
        "version": "0",
        "id": event_id("envelope"),
        "detail-type": f"AWS {'Console Sign In' if sign_in else 'API Call'} via CloudTrail",
        "source": "aws.signin" if sign_in else "aws.iam",
        "account": ACCOUNT,
        "time": record.get("eventTime"),
        "region": "us-east-1",
        "resources": [],
        "detail": record,
    }
    return json.dumps(event)


# Domain ------------------------------------------------------------------------------------------

ALICE = User(UserKey(ACCOUNT, "AIDAALICE"), "alice")


def an_attempt(seed: str = "e1", **fields: Any) -> Attempt:
    """Return an attempt at removing a device."""
    values = {"at": NOW, "call": "DeactivateMFADevice", "outcome": Outcome.DENIED, "actor": "ada"}
    return Attempt(event_id=seed, **{**values, **fields})


def a_request(attempt: Attempt | None = None, user: User = ALICE) -> ChangeRequest:
    """Return a freshly opened change request."""
    return open_request(user, attempt or an_attempt(), Policy(), violation=False)


def a_mail(seed: str = "mail-guide-F-1", act: Mail | None = None, **fields: Any) -> Intent:
    """Return a mail on its way out: a guide, if no other is given."""
    values = {
        "kind": MailKind.GUIDE,
        "account_id": ACCOUNT,
        "user": ALICE.key,
        "user_name": ALICE.name,
        "at": NOW,
        "finding_id": "F-1",
        "cause": Cause.SIGNED_IN_WITHOUT_MFA,
        "done_by_user": False,
    }
    return Intent(seed, "e1", NOW, act or GuideMail(**{**values, **fields}))


def an_alert(
    seed: str = "alert-1",
    *facts: tuple[str, str],
    title: str = "It happened",
    account_id: str = ACCOUNT,
) -> Intent:
    """Return an alert on its way out."""
    known = (("User", "alice"), ("Account", account_id))
    act = Alert(AlertKind.REMOVAL_DENIED, Severity.MEDIUM, title, facts or known, account_id)
    return Intent(seed, "e1", NOW, act)


def a_decision(
    seed: str = "e1",
    *intents: Intent,
    user: User | None = ALICE,
    request: ChangeRequest | None = None,
    at: datetime = NOW,
    renamed: bool | None = None,
) -> Decision:
    """Return a decision about a user: a history entry, and what else it commits."""
    entry = HistoryEntry(
        About.USER, f"{ACCOUNT}/AIDAALICE", at, seed, "It happened", "ada", ("it was noted",)
    )
    if user is None:
        if request is None:
            return Decision(seed, (entry,), intents)
        return RequestDecision(seed, (entry,), intents, request=request)
    new = user.version == 0 if renamed is None else renamed
    return UserDecision(seed, (entry,), intents, user=user, request=request, renamed=new)


def later(minutes: float) -> datetime:
    """Return the time some minutes from now."""
    return NOW + timedelta(minutes=minutes)
