"""The mails about a finding, and about the end of an exemption."""

from datetime import datetime
from typing import Any, Literal

from mfa_watcher.domain.events.signals import Signal, SignalKind
from mfa_watcher.domain.notifications import mails
from mfa_watcher.domain.users.user import Exemption, Finding, MailKind, User

OnceKind = Literal[
    MailKind.GUIDE,
    MailKind.WELCOME,
    MailKind.DEVICE_LOST,
    MailKind.QUARANTINED,
    MailKind.ENROLLED,
    MailKind.SECOND_DEVICE,
]
"""The mails that a finding causes at most once."""


def once_per_finding(  # noqa: PLR0913 - who, which finding, and what caused it
    kind: OnceKind,
    user: User,
    finding: Finding,
    at: datetime,
    request_id: str | None,
    *,
    signal: Signal | None,
    serial: str | None,
) -> mails.Mail:
    """Return a mail that a finding causes at most once. ``serial`` names a device if it can."""
    common = _common(user, finding, at, request_id)
    devices = tuple(device.serial for device in user.devices)
    match kind:
        case MailKind.WELCOME:
            return mails.WelcomeMail(**common, next_at=finding.due_at)
        case MailKind.QUARANTINED:
            return mails.QuarantinedMail(
                **common, opened_at=finding.opened_at, escalation_step=finding.escalation_step
            )
        case MailKind.ENROLLED:
            return mails.EnrolledMail(**common, serial=serial or devices[-1], devices=devices)
        case MailKind.SECOND_DEVICE:
            return mails.SecondDeviceMail(**common, devices=devices)
        case MailKind.GUIDE | MailKind.DEVICE_LOST:
            removal = signal is not None and signal.kind is SignalKind.DEVICE_REMOVAL
            if kind is MailKind.DEVICE_LOST and not removal:
                signal = None  # it made us look, and who caused it has removed nothing
            return mails.GuideMail(
                kind=kind,
                **common,
                cause=finding.cause,
                actor=signal.record.identity.arn if signal else None,
                done_by_user=signal.subject_acted if signal else False,
                source_ip=signal.record.source_ip if signal else None,
                serial=serial,
                next_at=finding.due_at,
            )


def reminder(  # noqa: PLR0913 - which, about whom, and which finding
    kind: Literal[MailKind.REMINDER, MailKind.FINAL_WARNING],
    user: User,
    finding: Finding,
    at: datetime,
    request_id: str | None,
    *,
    step: int,
) -> mails.ReminderMail:
    """Return a reminder, or the final warning."""
    common = _of_step(user, finding, at, request_id)
    return mails.ReminderMail(
        kind=kind, **common, step=step, escalation_step=finding.escalation_step
    )


def security_case(
    user: User, finding: Finding, at: datetime, request_id: str | None, *, step: int
) -> mails.SecurityCaseMail:
    """Return the mail by which security receives a case."""
    return mails.SecurityCaseMail(**_of_step(user, finding, at, request_id), step=step)


def exemption_ending(
    user: User, exemption: Exemption, at: datetime, request_id: str | None
) -> mails.ExemptionEndingMail:
    """Return the mail that tells security when an exemption ends."""
    return mails.ExemptionEndingMail(
        **_of_user(user, at, request_id),
        actor=exemption.granted_by,
        reason=exemption.reason,
        opened_at=exemption.granted_at,
        next_at=exemption.until,
    )


# The values of the fields that several mails have.


def _of_user(user: User, at: datetime, request_id: str | None) -> dict[str, Any]:
    who = {"account_id": user.key.account_id, "user": user.key, "user_name": user.name}
    return {**who, "at": at, "request_id": request_id}


def _common(user: User, finding: Finding, at: datetime, request_id: str | None) -> dict[str, Any]:
    return {**_of_user(user, at, request_id), "finding_id": finding.id}


def _of_step(user: User, finding: Finding, at: datetime, request_id: str | None) -> dict[str, Any]:
    when = {"opened_at": finding.opened_at, "next_at": finding.due_at}
    return {**_common(user, finding, at, request_id), "cause": finding.cause, **when}
