"""One realistic mail of each kind and wording, for ``mail preview`` and the tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mfa_watcher.domain.notifications import mails
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
_ALICE = UserKey(ACCOUNT, "AIDAEXAMPLEALICE00001")


def _day(days: int) -> datetime:
    return _DAY_0 + timedelta(days=days)


_USER: dict[str, Any] = {"account_id": ACCOUNT, "user": _ALICE, "user_name": "alice"}
_FINDING = {**_USER, "finding_id": FINDING}
_REQUEST = {**_USER, "request_id": REQUEST}

GUIDE = mails.GuideMail(
    **_FINDING,
    kind=MailKind.GUIDE,
    at=_DAY_0,
    cause=Cause.SIGNED_IN_WITHOUT_MFA,
    actor=ALICE,
    done_by_user=True,
    source_ip="203.0.113.17",
    next_at=_day(1),
)
_LOST = replace(GUIDE, kind=MailKind.DEVICE_LOST, cause=Cause.DEVICE_REMOVED, serial=VIRTUAL)


def _reminder(
    step: int, day: int, following: int, cause: Cause = Cause.SIGNED_IN_WITHOUT_MFA
) -> mails.ReminderMail:
    return mails.ReminderMail(
        **_FINDING,
        kind=MailKind.REMINDER,
        at=_day(day),
        cause=cause,
        opened_at=_DAY_0,
        step=step,
        escalation_step=step,
        next_at=_day(following),
    )


FINAL_WARNING = replace(_reminder(3, 7, 14), kind=MailKind.FINAL_WARNING)
_ENROLLED = mails.EnrolledMail(**_FINDING, at=_day(2), serial=VIRTUAL, devices=(VIRTUAL,))
_SECOND = mails.SecondDeviceMail(**_FINDING, at=_day(2), devices=(VIRTUAL,))
_PASSWORD_SET = mails.CredentialSetMail(**_USER, at=_DAY_0, actor=CAROL, source_ip="203.0.113.17")
_DENIED = mails.RemovalDeniedMail(
    **_REQUEST,
    at=_DAY_0,
    actor=ALICE,
    done_by_user=True,
    source_ip="203.0.113.17",
    devices=(VIRTUAL,),
    step=0,
    next_at=_day(30),
)
_FILED = mails.RequestOpenedMail(
    **_REQUEST,
    at=_DAY_0,
    actor=ALICE,
    done_by_user=True,
    devices=(VIRTUAL,),
    removed=(VIRTUAL,),
)
_NEEDS_DETAILS = mails.RequestNeedsDetailsMail(
    **_REQUEST,
    at=_day(2),
    actor=ALICE,
    step=1,
    opened_at=_DAY_0,
    devices=(VIRTUAL,),
    removed=(VIRTUAL,),
    next_at=_day(30),
)
_APPROVED = mails.RequestDecidedMail(
    **_REQUEST,
    at=_day(1),
    approved=True,
    reason="Phone replaced, confirmed by phone",
    wanted=DeviceKind.FIDO,
    devices=(),
    removed=(VIRTUAL,),
    next_at=_day(2),
)
_FULFILLED = mails.RequestFulfilledMail(**_REQUEST, at=_day(2), devices=(), removed=(VIRTUAL,))
_EXPIRED = mails.RequestEndedMail(
    **_REQUEST,
    at=_day(3),
    ending=mails.Ending.EXPIRED,
    done_by_user=False,
    opened_at=_DAY_0,
    removed=(VIRTUAL,),
)

SAMPLES: dict[str, mails.Mail] = {
    "welcome": mails.WelcomeMail(**_FINDING, at=_DAY_0, next_at=_day(1)),
    "guide": GUIDE,
    "guide-no-device": replace(
        GUIDE, cause=Cause.FOUND_UNPROTECTED, actor=None, done_by_user=False, source_ip=None
    ),
    "device-lost": _LOST,
    "device-lost-by-other": replace(_LOST, actor=CAROL, done_by_user=False),
    "reminder-1": _reminder(1, 1, 3),
    "reminder-1-new-user": _reminder(1, 1, 3, Cause.CONSOLE_ACCESS_GRANTED),
    "reminder-1-device-lost": _reminder(1, 1, 3, Cause.DEVICE_REMOVED),
    "reminder-1-request-fulfilled": _reminder(1, 1, 3, Cause.REQUEST_FULFILLED),
    "reminder-2": _reminder(2, 3, 7),
    "final-warning": FINAL_WARNING,
    "final-warning-device-lost": replace(FINAL_WARNING, cause=Cause.DEVICE_REMOVED),
    "final-warning-request-fulfilled": replace(FINAL_WARNING, cause=Cause.REQUEST_FULFILLED),
    "reminder-3": _reminder(3, 14, 21),
    "reminder-4": _reminder(4, 21, 28),
    "quarantined": mails.QuarantinedMail(
        **_FINDING, at=_day(21), opened_at=_DAY_0, escalation_step=5
    ),
    "enrolled": _ENROLLED,
    "enrolled-fido": replace(_ENROLLED, serial=FIDO, devices=(FIDO,)),
    "enrolled-two": replace(_ENROLLED, serial=FIDO, devices=(VIRTUAL, FIDO)),
    "password-set": _PASSWORD_SET,
    "device-added": replace(_PASSWORD_SET, serial=VIRTUAL),
    "second-device": _SECOND,
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
    "request-needs-details-1": _NEEDS_DETAILS,
    "request-needs-details-2": replace(
        _NEEDS_DETAILS, step=2, at=_day(7), devices=(VIRTUAL, FIDO), removed=()
    ),
    "request-needs-details-3": replace(_NEEDS_DETAILS, step=3, at=_day(14), actor=DESK),
    "request-approved": _APPROVED,
    "request-approved-one-stays": replace(
        _APPROVED, reason="The key stays; the phone is sold", wanted=None, devices=(FIDO,)
    ),
    "request-rejected": replace(
        _APPROVED,
        approved=False,
        reason="Please add the new key first; the old one can stay",
        wanted=None,
        next_at=None,
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
    "request-ended-unanswered": replace(_EXPIRED, at=_day(30), ending=mails.Ending.UNANSWERED),
    "request-ended-withdrawn": replace(
        _EXPIRED,
        ending=mails.Ending.WITHDRAWN,
        actor=ALICE,
        done_by_user=True,
        reason="Found the phone again",
    ),
    "request-ended-withdrawn-by-other": replace(
        _EXPIRED,
        ending=mails.Ending.WITHDRAWN,
        actor=DESK,
        reason="She called: not needed any more",
    ),
    "request-ended-expired": _EXPIRED,
    "request-ended-interrupted": replace(
        _EXPIRED, ending=mails.Ending.INTERRUPTED, removed=(VIRTUAL, TOKEN)
    ),
    "exemption-ending": mails.ExemptionEndingMail(
        account_id=ACCOUNT,
        at=_DAY_0,
        user=_ALICE,
        user_name="build-monitor",
        actor=CAROL,
        reason="Wall display in the control room; a token is ordered",
        opened_at=_day(-83),
        next_at=_day(7),
    ),
    "security-case": mails.SecurityCaseMail(
        **_FINDING,
        at=_day(14),
        cause=Cause.SIGNED_IN_WITHOUT_MFA,
        opened_at=_DAY_0,
        step=4,
        next_at=_day(21),
    ),
    "unreachable": mails.UnreachableUsersMail(
        account_id=ACCOUNT,
        at=_DAY_0,
        users=(
            mails.UnreachableUser("deploy.console", _day(0), "no_address"),
            mails.UnreachableUser("j.mustermann+aws", _day(-2), "bad_address"),
            mails.UnreachableUser("svc-reporting-quarterly-figures-emea", _day(-9), "no_address"),
        ),
    ),
}
"""By name; the name is part of a file's name."""


def address_of(mail: mails.Mail) -> str:
    """Return the address that a sample goes to."""
    if mail.kind.to_security or isinstance(mail, mails.UnreachableUsersMail):
        return CONTEXT.security_contact
    return f"{mail.user_name}@acme.example"
