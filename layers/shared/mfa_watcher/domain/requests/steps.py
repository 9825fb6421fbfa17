"""The steps that people take at the desks: each is one decision, with its evidence."""

from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import request_alert
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, effect_of, intent
from mfa_watcher.domain.notifications.mails import Ending, Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Details,
    RequestState,
    SegregationOfDutiesError,
    WrongStepError,
)
from mfa_watcher.domain.requests.mails import decided, ended, opened
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import IamState, User


class InvalidDetailsError(Exception):
    """The details do not fit the user's devices; the text names the reason."""


@dataclass(frozen=True, slots=True)
class RequestStep:
    """A step that somebody takes at a desk, about a user's request as it is before the step."""

    by: Person
    at: datetime
    event_id: str
    policy: Policy
    user: User
    request: ChangeRequest
    reason: str = ""


def file(
    step: RequestStep, devices: tuple[Device, ...], details: Details | None, source_ip: str | None
) -> UserDecision:
    """File the step's new request for a user with these devices. The user is mailed in any case."""
    request, user = step.request, step.user
    if not devices:
        raise WrongStepError(
            f"{user.name} has no MFA device to remove, and can enrol one after signing in"
        )
    if user.version == 0:
        user = user.with_iam_state(IamState(exists=True, name=user.name, devices=devices))
        step = replace(step, user=user)
    acts: tuple[Alert, ...] = ()
    if details:
        _refuse_invalid_details(details, devices)
        request = request.submitted(details, step.policy)
        acts = (_decision_needed_alert(step, request, details),)
    what = f"Filed: {details.reason}" if details else "Filed, without details"
    mail = opened(request, user, step.by, step.policy, source_ip=source_ip)
    return _decision(step, request, what, mail, *acts)


def give_details(step: RequestStep, details: Details, devices: tuple[Device, ...]) -> UserDecision:
    """Add what the user wants, and why."""
    submitted = step.request.submitted(details, step.policy)
    _refuse_invalid_details(details, devices)
    violation = step.request.violation
    acts = () if violation else (_decision_needed_alert(step, submitted, details),)
    return _decision(step, submitted, f"Details: {details.reason}", *acts)


def approve(step: RequestStep, devices: tuple[Device, ...] | None) -> UserDecision:
    """Approve the removal of the named devices that still exist. None: the user is gone."""
    _refuse_renamed_subject(step, "approve")
    name, details = step.user.name, step.request.details
    if devices is None:
        raise WrongStepError(f"{name} does not exist any more; reject it")
    named = details.devices if details else ()
    serials = tuple(device.serial for device in devices)
    chosen = tuple(serial for serial in serials if not named or serial in named)
    kept = tuple(serial for serial in serials if serial not in chosen)
    if not chosen:
        raise WrongStepError(f"{name} has none of the devices any more; reject it")
    if details and details.wanted is None and not kept:
        raise WrongStepError(
            f"{name} wants no new device and would have none left; reject it, or ask for new"
            " details"
        )
    approved = step.request.approved(
        step.by, step.reason, step.at, step.policy, devices=chosen, kept=kept
    )
    return _decision(step, approved, f"Approved: {step.reason}", decided(approved, step.user))


def reject(step: RequestStep) -> UserDecision:
    """Reject the request, or revoke an approval."""
    _refuse_renamed_subject(step, "reject")
    rejected = step.request.rejected(step.by, step.reason, step.at)
    return _decision(step, rejected, f"Rejected: {step.reason}", decided(rejected, step.user))


def reopen(step: RequestStep, devices: tuple[Device, ...] | None) -> UserDecision:
    """Open a window that is over once more, unless there is a newer request."""
    _refuse_renamed_subject(step, "reopen")
    user, request = step.user, step.request
    if devices is None:
        raise WrongStepError(f"{user.name} does not exist any more")
    if user.request_id != request.id:
        raise WrongStepError(f"{user.request_id} has replaced it; use that one")
    kept = tuple(device.serial for device in devices if device.serial not in request.devices)
    reopened = request.reopened(step.by, step.reason, step.at, step.policy, kept=kept)
    # The user of a fulfilled request is mailed when it is fulfilled once more.
    acts = (decided(reopened, user),) if reopened.state is RequestState.APPROVED else ()
    return _decision(step, reopened, f"Reopened: {step.reason}", *acts)


def cancel(step: RequestStep) -> UserDecision:
    """Withdraw it. The user is mailed even so: somebody else may use their credentials."""
    cancelled = step.request.withdrawn(step.reason)
    mail = ended(cancelled, step.user, step.at, Ending.WITHDRAWN, by=step.by)
    return _decision(step, cancelled, f"Cancelled: {step.reason}", mail)


def acknowledge(step: RequestStep) -> UserDecision:
    """Close a violation, with the reason of the security team."""
    _refuse_renamed_subject(step, "acknowledge")
    closed = step.request.acknowledged(step.by, step.reason)
    return _decision(step, closed, f"Violation acknowledged: {step.reason}")


def _refuse_renamed_subject(step: RequestStep, doing: str) -> None:
    """Raise for a subject who was renamed; the request itself checks all other cases."""
    if step.by.may_be(f"arn:aws:iam::{step.user.key.account_id}:user/{step.user.name}"):
        raise SegregationOfDutiesError(
            f"{step.by.name} is the subject of the request, and may not {doing} it"
        )


def _refuse_invalid_details(details: Details, devices: tuple[Device, ...]) -> None:
    serials = tuple(device.serial for device in devices)
    unknown = [serial for serial in details.devices if serial not in serials]
    if unknown:
        has = ", ".join(serials) or "none"
        raise InvalidDetailsError(f"the user has no device {unknown[0]}, but these: {has}")
    if details.wanted is None and set(serials) <= set(details.devices or serials):
        raise InvalidDetailsError(
            "without a new device, one of the others must stay: name in `devices` those to remove,"
            " or in `wanted` the kind of the new one"
        )


def _decision_needed_alert(step: RequestStep, request: ChangeRequest, details: Details) -> Alert:
    who = "Approve or reject it; whoever asked for it or tried to remove a device may not"
    return request_alert(
        AlertKind.REQUEST_WAITING,
        request,
        step.user,
        step.at,
        ("Actor", step.by.arn),
        ("Reason", details.reason),
        ("Devices to remove", ", ".join(details.devices) or "all"),
        ("New device", details.wanted or "none: the user keeps another one"),
        ("Next step", who),
    )


def _decision(
    step: RequestStep, after: ChangeRequest, what: str, *acts: Mail | Alert
) -> UserDecision:
    """Return the decision. It changes the user's record, too, so that of two steps one is first."""
    user, key = step.user, step.user.key
    before = step.request.state if step.request.version else None
    on_request = HistoryEntry(
        About.REQUEST,
        after.id,
        step.at,
        step.event_id,
        what,
        step.by.arn,
        (f"request {after.id}: {before or 'new'} → {after.state}", *map(effect_of, acts)),
        before,
        after.state,
    )
    on_user = replace(
        on_request,
        about=About.USER,
        subject_id=f"{key.account_id}/{key.user_id}",
        before=user.mfa_status,
        after=user.mfa_status,
    )
    return UserDecision(
        step.event_id,
        (on_user, on_request),
        tuple(intent(step.event_id, step.at, act) for act in acts),
        user=replace(user, request_id=after.id),
        request=after,
        renamed=user.version == 0,
    )
