"""One realistic mail of each kind and wording: what ``mail preview`` shows, and the tests check."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mfa_watcher.domain.notifications.intents import Case, Ending, Mail
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.user import Cause, MailKind, UserKey
from mfa_watcher.mail.rendering import MailContext

ACCOUNT = "111122223333"
ALIAS = "acme-prod"
CONTEXT = MailContext(
    partition="aws",
    security_contact="security@acme.example",
    time_zone="Europe/Berlin",
)
SENDER = "mfa-watcher@acme.example"
MANAGER = "beate.chef@acme.example"

ALICE = f"arn:aws:iam::{ACCOUNT}:user/staff/alice"
DESK = f"arn:aws:sts::{ACCOUNT}:assumed-role/ServiceDesk/dora@acme.example"
CAROL = f"arn:aws:sts::{ACCOUNT}:assumed-role/Administrator/carol"
VIRTUAL = f"arn:aws:iam::{ACCOUNT}:mfa/alice-phone"
FIDO = f"arn:aws:iam::{ACCOUNT}:u2f/user/staff/alice/blue-key-GZXQ4T2VKYAEXAMPLE"
TOKEN = "GAKT12345678"  # noqa: S105 - a device's serial number
REQUEST = "PR-20261124-Q7K3MZ2A"
FINDING = "F-7f6e0d1c-5a0b-4f5e-9d5a-2f1e8c6b7a90"

_DAY_0 = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)
_USER = UserKey(ACCOUNT, "AIDAEXAMPLEALICE00001")


def _day(days: int) -> datetime:
    return _DAY_0 + timedelta(days=days)


GUIDE = Mail(
    kind=MailKind.GUIDE,
    account_id=ACCOUNT,
    user=_USER,
    user_name="alice",
    at=_DAY_0,
    finding_id=FINDING,
    cause=Cause.SIGNED_IN_WITHOUT_MFA,
    actor=ALICE,
    done_by_user=True,
    source_ip="203.0.113.17",
    opened_at=_DAY_0,
    next_at=_day(1),
)
_NEW = replace(GUIDE, cause=Cause.CONSOLE_ACCESS_GRANTED, actor=CAROL, done_by_user=False)
_LOST = replace(GUIDE, kind=MailKind.DEVICE_LOST, cause=Cause.DEVICE_REMOVED, serial=VIRTUAL)
_REMINDER = replace(GUIDE, kind=MailKind.REMINDER, actor=None, done_by_user=False, source_ip=None)
_ENROLLED = replace(GUIDE, kind=MailKind.ENROLLED, at=_day(2), next_at=None)
_SECOND = replace(_ENROLLED, kind=MailKind.SECOND_DEVICE)
_DENIED = replace(
    GUIDE,
    kind=MailKind.REMOVAL_DENIED,
    finding_id=None,
    cause=None,
    request_id=REQUEST,
    devices=(VIRTUAL,),
    next_at=_day(30),
)
_REQUEST = replace(
    _DENIED, actor=None, done_by_user=False, source_ip=None, removed=(VIRTUAL,), next_at=None
)
_FILED = replace(_REQUEST, kind=MailKind.REQUEST_OPENED, actor=ALICE, done_by_user=True)
_NEEDS_DETAILS = replace(
    _REQUEST, kind=MailKind.REQUEST_NEEDS_DETAILS, actor=ALICE, next_at=_day(30)
)
_DECIDED = replace(_REQUEST, kind=MailKind.REQUEST_DECIDED, at=_day(1), devices=())
_FULFILLED = replace(_REQUEST, kind=MailKind.REQUEST_FULFILLED, at=_day(2), devices=())
_ENDED = replace(_REQUEST, kind=MailKind.REQUEST_ENDED, at=_day(3))
_CASE = replace(_REMINDER, kind=MailKind.SECURITY_CASE, at=_day(14), next_at=_day(21), step=4)
_TO_SECURITY = replace(_REMINDER, finding_id=None, cause=None)


def _reminder(step: int, day: int, following: int, cause: Cause | None = None) -> Mail:
    return replace(
        _REMINDER,
        step=step,
        at=_day(day),
        next_at=_day(following),
        cause=cause or _REMINDER.cause,
    )


SAMPLES: dict[str, Mail] = {
    "welcome": replace(_NEW, kind=MailKind.WELCOME),
    "guide": GUIDE,
    "guide-no-device": replace(_REMINDER, kind=MailKind.GUIDE, cause=Cause.FOUND_UNPROTECTED),
    "device-lost": _LOST,
    "device-lost-by-other": replace(_LOST, actor=CAROL, done_by_user=False),
    "reminder-1": _reminder(1, 1, 3),
    "reminder-1-new-user": _reminder(1, 1, 3, Cause.CONSOLE_ACCESS_GRANTED),
    "reminder-1-device-lost": _reminder(1, 1, 3, Cause.DEVICE_REMOVED),
    "reminder-1-request-fulfilled": _reminder(1, 1, 3, Cause.REQUEST_FULFILLED),
    "reminder-2": _reminder(2, 3, 7),
    "final-warning": replace(_REMINDER, kind=MailKind.FINAL_WARNING, at=_day(7), next_at=_day(14)),
    "final-warning-device-lost": replace(
        _REMINDER,
        kind=MailKind.FINAL_WARNING,
        cause=Cause.DEVICE_REMOVED,
        at=_day(7),
        next_at=_day(14),
    ),
    "final-warning-request-fulfilled": replace(
        _REMINDER,
        kind=MailKind.FINAL_WARNING,
        cause=Cause.REQUEST_FULFILLED,
        at=_day(7),
        next_at=_day(14),
    ),
    "reminder-3": _reminder(3, 14, 21),
    "reminder-4": _reminder(4, 21, 28),
    "quarantined": replace(
        _REMINDER,
        kind=MailKind.QUARANTINED,
        at=_day(21),
        next_at=None,
    ),
    "enrolled": replace(_ENROLLED, serial=VIRTUAL, devices=(VIRTUAL,)),
    "enrolled-fido": replace(_ENROLLED, serial=FIDO, devices=(FIDO,)),
    "enrolled-two": replace(_ENROLLED, serial=FIDO, devices=(VIRTUAL, FIDO)),
    "second-device": replace(_SECOND, devices=(VIRTUAL,)),
    "second-device-fido": replace(_SECOND, devices=(FIDO,)),
    "removal-denied": _DENIED,
    "removal-denied-by-other": replace(
        _DENIED, serial=VIRTUAL, actor=CAROL, done_by_user=False, source_ip="198.51.100.4"
    ),
    "removal-denied-again": replace(_DENIED, at=_day(3), serial=VIRTUAL, step=1, next_at=None),
    "request-opened": replace(_FILED, next_at=_day(30), source_ip="203.0.113.17"),
    "request-opened-by-service-desk": replace(
        _FILED,
        actor=DESK,
        done_by_user=False,
        wanted=DeviceKind.FIDO,
        reason="Phone stolen on the train; called from her office number",
    ),
    "request-needs-details-1": replace(_NEEDS_DETAILS, step=1, at=_day(2)),
    "request-needs-details-2": replace(
        _NEEDS_DETAILS, step=2, at=_day(7), devices=(VIRTUAL, FIDO), removed=()
    ),
    "request-needs-details-3": replace(_NEEDS_DETAILS, step=3, at=_day(14), actor=DESK),
    "request-approved": replace(
        _DECIDED,
        approved=True,
        reason="Phone replaced, confirmed by phone",
        wanted=DeviceKind.FIDO,
        next_at=_day(2),
    ),
    "request-approved-one-stays": replace(
        _DECIDED,
        approved=True,
        reason="The key stays; the phone is sold",
        devices=(FIDO,),
        next_at=_day(2),
    ),
    "request-rejected": replace(
        _DECIDED, approved=False, reason="Please add the new key first; the old one can stay"
    ),
    "request-fulfilled": replace(_FULFILLED, next_at=_day(5)),
    "request-fulfilled-two": replace(
        _FULFILLED,
        removed=(VIRTUAL, TOKEN),
        devices=(FIDO,),
        wanted=DeviceKind.VIRTUAL,
        next_at=_day(5),
    ),
    "request-fulfilled-one-stays": replace(_FULFILLED, devices=(FIDO,)),
    "request-ended-unanswered": replace(_ENDED, at=_day(30), ending=Ending.UNANSWERED),
    "request-ended-withdrawn": replace(
        _ENDED,
        ending=Ending.WITHDRAWN,
        actor=ALICE,
        done_by_user=True,
        reason="Found the phone again",
    ),
    "request-ended-withdrawn-by-other": replace(
        _ENDED, ending=Ending.WITHDRAWN, actor=DESK, reason="She called: not needed any more"
    ),
    "request-ended-expired": replace(_ENDED, ending=Ending.EXPIRED),
    "request-ended-broken-off": replace(_ENDED, ending=Ending.BROKEN_OFF, removed=(VIRTUAL, TOKEN)),
    "exemption-ending": replace(
        _TO_SECURITY,
        kind=MailKind.EXEMPTION_ENDING,
        user_name="build-monitor",
        actor=CAROL,
        opened_at=_day(-83),
        at=_day(0),
        next_at=_day(7),
        reason="Wall display in the control room; a token is ordered",
    ),
    "security-case": _CASE,
    "unreachable": replace(
        _TO_SECURITY,
        kind=MailKind.UNREACHABLE,
        user=None,
        user_name="",
        next_at=None,
        opened_at=None,
        cases=(
            Case("deploy.console", _day(0), "no_address"),
            Case("j.mustermann+aws", _day(-2), "bad_address"),
            Case("svc-reporting-quarterly-figures-emea", _day(-9), "no_address"),
        ),
    ),
}
"""By names that fit a file."""


def address_of(mail: Mail) -> str:
    """Give the address that a sample goes to."""
    if mail.kind.to_security:
        return CONTEXT.security_contact
    return f"{mail.user_name}@acme.example"
