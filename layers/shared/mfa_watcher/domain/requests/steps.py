"""The steps that people take at the desks: each is one decision, with its evidence."""

from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import request_alert
from mfa_watcher.domain.notifications.intents import (
    Alert,
    AlertKind,
    Severity,
    intent,
)
from mfa_watcher.domain.notifications.mails import Ending, Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Details,
    RequestState,
    SegregationOfDutiesError,
    WrongStepError,
    file_request,
)
from mfa_watcher.domain.requests.mails import decided, ended, opened
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import IamState, User


class InvalidDetailsError(Exception):
    """The details do not fit the user's devices; the text names the reason."""


@dataclass(frozen=True, slots=True)
class RequestStep:
    """A step that somebody takes at a desk."""

    by: Person
    at: datetime
    event_id: str
    policy: Policy


def file(
    step: RequestStep,
    user: User,
    devices: tuple[Device, ...],
    details: Details | None = None,
    *,
    source_ip: str | None = None,
) -> UserDecision:
    """File a request for a user with these devices. The user is mailed, whoever files it."""
    if not devices:
        raise WrongStepError(
            f"{user.name} has no MFA device to remove, and can enrol one after signing in"
        )
    if user.version == 0:
        user = user.with_iam_state(IamState(exists=True, name=user.name, devices=devices))
    request = file_request(
        user.key,
        user.name,
        step.by,
        step.at,
        step.policy,
        event_id=step.event_id,
        previous=user.request_id,
    )
    if details:
        _refuse_invalid_details(details, devices)
        request = request.submitted(details, step.policy)
    acts: tuple[Mail | Alert, ...] = (
        opened(request, user, step.by, step.policy, source_ip=source_ip),
    )
    if details:
        acts = (*acts, _decision_needed_alert(request, user, step))
    what = f"Filed: {details.reason}" if details else "Filed, without details"
    return _decision(step, user, None, request, what, *acts)


def give_details(
    step: RequestStep,
    user: User,
    request: ChangeRequest,
    details: Details,
    devices: tuple[Device, ...],
) -> UserDecision:
    """Add what the user wants, and why."""
    submitted = request.submitted(details, step.policy)
    _refuse_invalid_details(details, devices)
    acts = () if request.violation else (_decision_needed_alert(submitted, user, step),)
    return _decision(step, user, request, submitted, f"Details: {details.reason}", *acts)


def approve(
    step: RequestStep,
    user: User,
    request: ChangeRequest,
    reason: str,
    devices: tuple[Device, ...] | None,
) -> UserDecision:
    """Approve the removal of the named devices that still exist. None: the user is gone."""
    _refuse_renamed_subject(step, user, "approve")
    if devices is None:
        raise WrongStepError(f"{user.name} does not exist any more; reject it")
    named = request.details.devices if request.details else ()
    serials = tuple(device.serial for device in devices)
    chosen = tuple(serial for serial in serials if not named or serial in named)
    kept = tuple(serial for serial in serials if serial not in chosen)
    if not chosen:
        raise WrongStepError(f"{user.name} has none of the devices any more; reject it")
    if request.details and request.details.wanted is None and not kept:
        raise WrongStepError(
            f"{user.name} wants no new device and would have none left; reject it, or ask for new"
            " details"
        )
    approved = request.approved(step.by, reason, step.at, step.policy, devices=chosen, kept=kept)
    return _decision(step, user, request, approved, f"Approved: {reason}", decided(approved, user))


def reject(step: RequestStep, user: User, request: ChangeRequest, reason: str) -> UserDecision:
    """Reject the request, or revoke an approval."""
    _refuse_renamed_subject(step, user, "reject")
    rejected = request.rejected(step.by, reason, step.at)
    return _decision(step, user, request, rejected, f"Rejected: {reason}", decided(rejected, user))


def reopen(
    step: RequestStep,
    user: User,
    request: ChangeRequest,
    reason: str,
    devices: tuple[Device, ...] | None,
) -> UserDecision:
    """Open a window that is over once more, unless there is a newer request."""
    _refuse_renamed_subject(step, user, "reopen")
    if devices is None:
        raise WrongStepError(f"{user.name} does not exist any more")
    if user.request_id != request.id:
        raise WrongStepError(f"{user.request_id} has replaced it; use that one")
    kept = tuple(device.serial for device in devices if device.serial not in request.devices)
    reopened = request.reopened(step.by, reason, step.at, step.policy, kept=kept)
    # The user of a fulfilled request is mailed when it is fulfilled once more.
    acts = (decided(reopened, user),) if reopened.state is RequestState.APPROVED else ()
    return _decision(step, user, request, reopened, f"Reopened: {reason}", *acts)


def cancel(step: RequestStep, user: User, request: ChangeRequest, reason: str) -> UserDecision:
    """Withdraw it. The user is mailed even so: somebody else may use their credentials."""
    cancelled = request.withdrawn(reason)
    mail = ended(cancelled, user, step.at, Ending.WITHDRAWN, by=step.by)
    return _decision(step, user, request, cancelled, f"Cancelled: {reason}", mail)


def acknowledge(step: RequestStep, user: User, request: ChangeRequest, reason: str) -> UserDecision:
    """Close a violation, with the reason of the security team."""
    _refuse_renamed_subject(step, user, "acknowledge")
    closed = request.acknowledged(step.by, reason)
    return _decision(step, user, request, closed, f"Violation acknowledged: {reason}")


def _refuse_renamed_subject(step: RequestStep, user: User, doing: str) -> None:
    """Raise for a subject who was renamed; the request itself checks all other cases."""
    if step.by.may_be(f"arn:aws:iam::{user.key.account_id}:user/{user.name}"):
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


def _decision_needed_alert(request: ChangeRequest, user: User, step: RequestStep) -> Alert:
    details = request.details
    wanted = details.wanted if details else None
    named = details.devices if details else ()
    return request_alert(
        request,
        user,
        step.at,
        ("Actor", step.by.arn),
        ("Reason", details.reason if details else ""),
        ("Devices to remove", ", ".join(named) or "all"),
        ("New device", wanted or "none: the user keeps another one"),
        (
            "Next step",
            "Approve or reject it; whoever asked for it or tried to remove a device may not",
        ),
        kind=AlertKind.REQUEST_WAITING,
        severity=Severity.LOW,
        title="A change request waits for a decision",
    )


def _decision(
    step: RequestStep,
    user: User,
    before: ChangeRequest | None,
    after: ChangeRequest,
    what: str,
    *acts: Mail | Alert,
) -> UserDecision:
    """Return the decision. It changes the user's record, too, so that of two steps one is first."""
    change = f"request {after.id}: {before.state if before else 'new'} → {after.state}"
    notifications = (f"{'alert' if isinstance(act, Alert) else 'mail'}: {act.kind}" for act in acts)
    on_request = HistoryEntry(
        About.REQUEST,
        after.id,
        step.at,
        step.event_id,
        what,
        step.by.arn,
        (change, *notifications),
        before.state if before else None,
        after.state,
    )
    on_user = replace(
        on_request,
        about=About.USER,
        subject_id=f"{user.key.account_id}/{user.key.user_id}",
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
