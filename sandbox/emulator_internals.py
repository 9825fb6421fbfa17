"""What the bridge needs of MiniStack's emulator_internals, which has no public way to it."""

import json
from datetime import UTC, datetime
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, iam, ses_v2, sts

from sandbox import records
from sandbox.emulator import ACCOUNT_ID
from sandbox.mail_events import DETAIL_TYPES, SentMail
from sandbox.mfa_sessions import WITH_MFA
from sandbox.passwords import is_right
from sandbox.records import Json


def deliver(record: Json) -> list[str]:
    """Put a record on the default bus of its account and region; name the rules that it matches.

    MiniStack refuses `aws.*` sources from clients, as AWS does; its own emitters go this way.
    """
    sign_in = record["eventName"] == "ConsoleLogin"
    source = record["eventSource"].partition(".")[0]
    kind = f"AWS {'Console Sign In' if sign_in else 'API Call'} via CloudTrail"
    with request_scope(record["recipientAccountId"], record["awsRegion"]):
        _put_event(f"aws.{source}", kind, record)
        view = eventbridge._pattern_event_view(eventbridge._events_log_list()[-1])
        return [
            rule["Name"]
            for rule in eventbridge._rules.values()
            if rule.get("EventPattern") and rule["State"] == "ENABLED"
            if eventbridge._matches_pattern_view(rule["EventPattern"], view)
        ]


def is_watched(record: Json) -> bool:
    """Tell whether one of the deployed rules asks for calls of a record's name."""
    named = json.dumps(record["eventName"])
    with request_scope(record["recipientAccountId"], record["awsRegion"]):
        return any(
            named in (rule.get("EventPattern") or "") for rule in eventbridge._rules.values()
        )


def report(mail: SentMail) -> None:
    """Put what SES would report of a mail on the bus, if its configuration set has that demo_run.

    MiniStack keeps a set's event destinations and sends them nothing.
    """
    stored = ses_v2._config_sets.get(mail.configuration_set) or {}
    demo_run = {
        kind
        for destination in (stored.get("EventDestinations") or {}).values()
        if destination.get("Enabled") and destination.get("EventBridgeDestination")
        for kind in destination["MatchingEventTypes"]
    }
    for kind in mail.fate:
        if kind.upper() in demo_run:
            _put_event("aws.ses", DETAIL_TYPES[kind], mail.report(kind))


def _put_event(source: str, kind: str, detail: Json) -> None:
    entry = {"Source": source, "DetailType": kind, "Detail": json.dumps(detail)}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def caller(access_key_id: str) -> records.Caller | None:
    """The identity behind an access key, as MiniStack resolves it; None if it knows no such key."""
    with request_scope(account_of(access_key_id), get_region()):
        return _caller(access_key_id)


def account_of(access_key_id: str) -> str:
    """The account that a key belongs to. An account's number is the key of its root user."""
    if access_key_id.isdigit():
        return access_key_id
    session = sts._sessions.get(access_key_id) or {}
    owner = session.get("AccountId") or iam_evaluator.find_iam_access_key_account(access_key_id)
    return str(owner or get_account_id())


def _caller(access_key_id: str) -> records.Caller | None:
    found = iam_evaluator.resolve_credential(access_key_id, get_account_id())
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return None
    known: dict[str, Any] = {
        "arn": found.principal_arn,
        "principal_id": found.principal_id,
        "account_id": found.account_id,
        "access_key_id": access_key_id,
    }
    match found.principal_type:
        case "User":
            return records.Caller(
                kind="IAMUser",
                user_name=found.principal_name,
                session=_session(access_key_id),
                **known,
            )
        case "Root":
            return records.Caller(kind="Root", **known)
        case _:
            role = found.principal_arn.split("/")[1]
            details = iam._roles.get(role) or {}
            issuer = records.Issuer(
                role_name=role,
                role_id=details.get("RoleId", ""),
                role_arn=details.get("Arn", f"arn:aws:iam::{found.account_id}:role/{role}"),
            )
            known["principal_id"] = f"{issuer.role_id}:{found.principal_arn.rpartition('/')[2]}"
            return records.Caller(
                kind="AssumedRole", session=_session(access_key_id), issuer=issuer, **known
            )


def _session(access_key_id: str) -> records.Session | None:
    """What is known of temporary credentials; None if these are lasting ones."""
    found = sts._sessions.get(access_key_id)
    if found is None:
        return None
    issued = found.get("IssuedAt")
    return records.Session(
        began=datetime.fromtimestamp(issued, UTC) if issued else datetime.now(UTC),
        with_mfa=bool(found.get(WITH_MFA)),
    )


def sign_in_attempt(  # noqa: PLR0913 - what a sign-in is made of
    user: str = "",
    *,
    mfa: bool | None = None,
    password: str | None = None,
    account: str = ACCOUNT_ID,
    region: str = "us-east-1",
    source_ip: str = "203.0.113.10",
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
) -> records.SignIn:
    """What happens when `user` (empty: root) signs in to an account, in a region.

    A device is used if there is one, unless `mfa` says otherwise. Without a console password, with
    another one than is set, or without such a user, the sign-in fails.
    """
    with request_scope(account, region):
        return _attempt(
            user,
            mfa=mfa,
            password=password,
            region=region,
            source_ip=source_ip,
            user_agent=user_agent,
        )


def _attempt(  # noqa: PLR0913 - as above
    user: str,
    *,
    mfa: bool | None,
    password: str | None,
    region: str,
    source_ip: str,
    user_agent: str,
) -> records.SignIn:
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
        succeeded=not user
        or (user in iam._login_profiles and (password is None or is_right(user, password))),
    )
