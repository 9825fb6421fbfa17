"""What the watcher does when a change request is due: somebody lets it wait, or a window is over.

A request is looked at with what IAM says of its user at that moment, as every case is. Steps are
taken one at a time and in order, however late the schedule is: nobody's request is cancelled for
want of details before he was reminded of them.
"""

from mfa_watcher.domain.notifications.alerts import request_alert
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.notifications.mails import Ending
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.requests.mails import ended, needs_details
from mfa_watcher.domain.users.user_state import (
    Decision,
    Draft,
    Situation,
    finish,
    mark_gone,
    update_from_iam,
)

UNANSWERED = "nobody gave details"


def decide_request_due(situation: Situation) -> Decision:
    """Decide about a request that is due. ``request`` and ``live`` must be given."""
    iam_state = situation.iam_state
    gone = iam_state is not None and not iam_state.exists
    draft = mark_gone(situation) if gone else update_from_iam(situation)
    request = draft.open_request
    if request and request.due_at and request.due_at <= situation.at:
        draft = _take_step(situation, draft, request)
    return finish(situation, draft, "Request looked at on schedule", None)


def _take_step(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    match request.state:
        case RequestState.OPEN if request.violation:
            return _remind_security(situation, draft, _violation_waits(situation, draft, request))
        case RequestState.OPEN if request.reminders < len(situation.policy.details_reminders):
            return _remind_user(situation, draft, request)
        case RequestState.OPEN:
            return _cancel(situation, draft, request)
        case RequestState.SUBMITTED:
            return _remind_security(situation, draft, _decision_waits(situation, draft, request))
        case RequestState.APPROVED:
            return _expire(situation, draft, request)
        case _:
            return _end_wait_for_device(situation, draft, request)


def _remind_user(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    reminded = request.reminded(situation.at, situation.policy)
    notification = needs_details(reminded, draft.user, situation.at, situation.policy)
    noted = draft.with_request(reminded, f"request {request.id} still has no details")
    return noted.adding(
        notification, effect=f"mail: {notification.kind}, reminder {reminded.reminders}"
    )


def _cancel(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    days = situation.policy.details_deadline.days
    because = f"{UNANSWERED} within {days} days"
    cancelled = request.cancelled(because)
    notification = ended(cancelled, draft.user, situation.at, Ending.UNANSWERED)
    noted = draft.with_request(cancelled, f"request {request.id} cancelled: {because}")
    return noted.adding(notification, effect=f"mail: {notification.kind}")


def _remind_security(situation: Situation, draft: Draft, notification: Alert) -> Draft:
    request = draft.request
    if request is None:
        return draft
    reminded = request.reminded(situation.at, situation.policy)
    noted = draft.with_request(reminded, f"request {request.id} still waits")
    return noted.adding(notification, effect=f"alert: {notification.kind}")


def _violation_waits(situation: Situation, draft: Draft, request: ChangeRequest) -> Alert:
    return request_alert(
        request,
        draft.user,
        situation.at,
        ("Actors", ", ".join(request.actors)),
        ("Next step", "Look into it, and acknowledge it with a reason: nothing else closes it"),
        kind=AlertKind.VIOLATION_WAITING,
        severity=Severity.MEDIUM,
        title="A removal without approval waits to be acknowledged",
    )


def _decision_waits(situation: Situation, draft: Draft, request: ChangeRequest) -> Alert:
    details = request.details
    return request_alert(
        request,
        draft.user,
        situation.at,
        ("Reason", details.reason if details else "none"),
        ("Next step", "Approve or reject it"),
        kind=AlertKind.REQUEST_WAITING,
        severity=Severity.LOW,
        title="A change request waits for a decision",
    )


def _expire(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    """End an approval whose window is over; but not under the hands of who carries it out."""
    held, now = request.fulfilment, situation.at
    if held and held.held_until > now:
        wait = request.postponed(held.held_until)
        return draft.with_request(wait, f"request {request.id} is being carried out")
    expired = request.expired()
    ending = Ending.INTERRUPTED if held else Ending.EXPIRED
    done = ", ".join(held.done) if held else ""
    fulfilment_started = (
        (("Started by", held.by), ("Steps done", done or "none noted")) if held else ()
    )
    alarm = request_alert(
        request,
        draft.user,
        now,
        *fulfilment_started,
        ("Approved by", request.verdict.by if request.verdict else "nobody"),
        ("Next step", "Reopen and fulfil it, if it is still needed"),
        kind=AlertKind.REQUEST_EXPIRED,
        severity=Severity.HIGH if held else Severity.MEDIUM,
        title=(
            "A change request expired partly fulfilled" if held else "An approved request expired"
        ),
    )
    notification = ended(expired, draft.user, now, ending)
    how = f", with steps done: {done}" if done else ""
    noted = draft.with_request(expired, f"request {request.id} expired{how}")
    return noted.adding(alarm, notification, effect=f"alert: {alarm.kind}").adding(
        effect=f"mail: {notification.kind}"
    )


def _end_wait_for_device(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    """The time for the new device is over: who needs none is done, who has none is told of."""
    if because := _needs_no_new_device(situation, draft):
        effect = f"request {request.id} closed: {because}"
        return draft.with_request(request.closed(because), effect)
    alarm = request_alert(
        request,
        draft.user,
        situation.at,
        ("Fulfilled by", request.fulfilment.by if request.fulfilment else "nobody"),
        ("Next step", "Ask the user. If the password was lost, reopen and fulfil it once more"),
        kind=AlertKind.ENROLMENT_OVERDUE,
        severity=Severity.HIGH,
        title="A user has no MFA device yet after a change request",
    )
    reminded = request.reminded(situation.at, situation.policy)
    noted = draft.with_request(reminded, f"request {request.id}: no new device in time")
    return noted.adding(alarm, effect=f"alert: {alarm.kind}")


def _needs_no_new_device(situation: Situation, draft: Draft) -> str | None:
    iam_state = situation.iam_state
    if iam_state and iam_state.devices:
        return "no new device, but another one was kept"
    if iam_state and iam_state.console_access is False:
        return "the user cannot sign in any more"
    return "the user is exempt" if draft.user.exemption else None
