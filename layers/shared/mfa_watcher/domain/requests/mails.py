"""The mails about a change request, to the user whom it is about."""

from datetime import datetime
from typing import Any

from mfa_watcher.domain.events.signals import Signal
from mfa_watcher.domain.notifications import mails
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import Attempt, ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User


def denied(
    request: ChangeRequest, user: User, signal: Signal, attempt: Attempt, policy: Policy
) -> mails.RemovalDeniedMail:
    """Return the mail about a denied attempt, which the signal is about."""
    return mails.RemovalDeniedMail(
        **_common(request, user, attempt.at),
        actor=signal.record.identity.arn,
        done_by_user=signal.subject_acted,
        source_ip=attempt.source_ip,
        serial=attempt.serial,
        devices=_devices_of_user(user),
        step=request.denials_mailed,
        next_at=details_due_at(request, policy),
    )


def opened(
    request: ChangeRequest, user: User, by: Person, policy: Policy, *, source_ip: str | None = None
) -> mails.RequestOpenedMail:
    """Return the mail about a request that the user, or another person for them, has filed."""
    details = request.details
    return mails.RequestOpenedMail(
        **_common(request, user, request.opened_at),
        actor=by.arn,
        done_by_user=by.user_id == user.key.user_id,
        source_ip=source_ip,
        reason=details.reason if details else None,
        wanted=details.wanted if details else None,
        devices=_devices_of_user(user),
        removed=_devices_to_remove(request),
        next_at=details_due_at(request, policy),
    )


def needs_details(
    reminded: ChangeRequest, user: User, now: datetime, policy: Policy
) -> mails.RequestNeedsDetailsMail:
    """Return a reminder of the details. ``reminded`` is the request that counts it already."""
    first = reminded.attempts[0].actor if reminded.attempts else None
    return mails.RequestNeedsDetailsMail(
        **_common(reminded, user, now),
        actor=reminded.opened_by or first,
        step=reminded.reminders,
        opened_at=reminded.opened_at,
        devices=_devices_of_user(user),
        removed=_devices_to_remove(reminded),
        next_at=reminded.opened_at + policy.details_deadline,
    )


def decided(request: ChangeRequest, user: User) -> mails.RequestDecidedMail:
    """Return the mail about an approval, also a repeated one, or a rejection.

    Raises ValueError for a request that nobody has decided.
    """
    if (verdict := request.verdict) is None:
        raise ValueError(f"nobody has decided {request.id}")
    return mails.RequestDecidedMail(
        **_common(request, user, verdict.at),
        approved=verdict.approved,
        reason=verdict.reason,
        wanted=request.details.wanted if request.details else None,
        devices=request.kept if verdict.approved else _devices_of_user(user),
        removed=_devices_to_remove(request),
        next_at=request.window_until,
    )


def fulfilled(request: ChangeRequest, user: User, now: datetime) -> mails.RequestFulfilledMail:
    """Return the mail about a fulfilled request, and until when the new device is awaited."""
    wanted = request.details.wanted if request.details else None
    awaited = not request.kept or wanted is not None
    return mails.RequestFulfilledMail(
        **_common(request, user, now),
        wanted=wanted,
        devices=request.kept,
        removed=_devices_to_remove(request),
        next_at=request.window_until if awaited else None,
    )


def ended(
    request: ChangeRequest,
    user: User,
    now: datetime,
    ending: mails.Ending,
    by: Person | None = None,
) -> mails.RequestEndedMail:
    """Return the mail about a request that ended without the change. ``by`` withdrew it."""
    return mails.RequestEndedMail(
        **_common(request, user, now),
        ending=ending,
        actor=by.arn if by else None,
        done_by_user=by is not None and by.user_id == user.key.user_id,
        reason=request.ended_because if ending is mails.Ending.WITHDRAWN else None,
        opened_at=request.opened_at,
        removed=_devices_to_remove(request),
    )


def details_due_at(request: ChangeRequest, policy: Policy) -> datetime | None:
    """Return when a request without details is cancelled; None: it does not wait for any."""
    waits = request.waits_for_details()
    return request.opened_at + policy.details_deadline if waits else None


def _common(request: ChangeRequest, user: User, at: datetime) -> dict[str, Any]:
    """Return the values of the fields that every mail about a request has."""
    return {
        "account_id": request.subject.account_id,
        "at": at,
        "user": request.subject,
        "user_name": user.name,
        "request_id": request.id,
    }


def _devices_of_user(user: User) -> tuple[str, ...]:
    return tuple(device.serial for device in user.devices)


def _devices_to_remove(request: ChangeRequest) -> tuple[str, ...]:
    """Return the devices as far as is known: approved, named, or tried to remove."""
    named = request.details.devices if request.details else ()
    tried = (attempt.serial for attempt in request.attempts if attempt.serial)
    return request.devices or named or tuple(dict.fromkeys(tried))
