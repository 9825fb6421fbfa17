"""The mails about a change request, to the user whom it is about."""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.notifications.intents import Ending, Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import MailKind, User


def denied(attempted: Mail, request: ChangeRequest, policy: Policy, *, before: int = 0) -> Mail:
    """Complete the mail about a denied attempt. ``before``: how many the request caused before."""
    return replace(
        attempted,
        request_id=request.id,
        finding_id=None,
        step=before,
        opened_at=request.opened_at,
        next_at=details_due_at(request, policy),
    )


def opened(
    request: ChangeRequest, user: User, by: Person, policy: Policy, *, source_ip: str | None = None
) -> Mail:
    """Tell that somebody filed a request at the desk: the user, or another for him."""
    details = request.details
    return replace(
        _mail(MailKind.REQUEST_OPENED, request, user, request.opened_at),
        actor=by.arn,
        done_by_user=by.user_id == user.key.user_id,
        source_ip=source_ip,
        reason=details.reason if details else None,
        next_at=details_due_at(request, policy),
    )


def needs_details(reminded: ChangeRequest, user: User, now: datetime, policy: Policy) -> Mail:
    """Remind of the details. ``reminded`` is the request that counts this reminder already."""
    first = reminded.attempts[0].actor if reminded.attempts else None
    return replace(
        _mail(MailKind.REQUEST_NEEDS_DETAILS, reminded, user, now),
        actor=reminded.opened_by or first,
        step=reminded.reminders,
        next_at=details_due_at(reminded, policy),
    )


def decided(request: ChangeRequest, user: User) -> Mail:
    """Tell an approval, also a reopened one, or a rejection. Raises ValueError without either."""
    if (verdict := request.verdict) is None:
        raise ValueError(f"nobody has decided {request.id}")
    return replace(
        _mail(MailKind.REQUEST_DECIDED, request, user, verdict.at),
        approved=verdict.approved,
        reason=verdict.reason,
        next_at=request.window_until,
    )


def fulfilled(request: ChangeRequest, user: User, now: datetime) -> Mail:
    """Tell that a request was carried out, and until when the new device is awaited, if one is."""
    notification = _mail(MailKind.REQUEST_FULFILLED, request, user, now)
    awaited = not notification.devices or notification.wanted is not None
    return replace(notification, next_at=request.window_until if awaited else None)


def ended(
    request: ChangeRequest,
    user: User,
    now: datetime,
    ending: Ending,
    *,
    by: Person | None = None,
) -> Mail:
    """Tell that a request ended without the change. ``by`` withdrew it."""
    return replace(
        _mail(MailKind.REQUEST_ENDED, request, user, now),
        ending=ending,
        actor=by.arn if by else None,
        done_by_user=by is not None and by.user_id == user.key.user_id,
        reason=request.ended_because if ending is Ending.WITHDRAWN else None,
    )


def details_due_at(request: ChangeRequest, policy: Policy) -> datetime | None:
    """Say when a request without details is cancelled; None: it does not wait for any."""
    waits = request.waits_for_details()
    return request.opened_at + policy.details_deadline if waits else None


def _mail(kind: MailKind, request: ChangeRequest, user: User, at: datetime) -> Mail:
    details = request.details
    approved = request.verdict is not None and request.verdict.approved
    return Mail(
        kind=kind,
        account_id=request.subject.account_id,
        at=at,
        user=request.subject,
        user_name=user.name,
        request_id=request.id,
        devices=request.kept if approved else tuple(device.serial for device in user.devices),
        removed=_devices_of(request),
        wanted=details.wanted if details else None,
        opened_at=request.opened_at,
    )


def _devices_of(request: ChangeRequest) -> tuple[str, ...]:
    """Give the devices it is about, as far as is known: approved, named, or tried to remove."""
    named = request.details.devices if request.details else ()
    tried = (attempt.serial for attempt in request.attempts if attempt.serial)
    return request.devices or named or tuple(dict.fromkeys(tried))
