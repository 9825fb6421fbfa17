"""Decisions about a change request that is due: nobody has acted on it, or a window is over.

A request is evaluated with what IAM says about its user at that moment. Steps are taken one at a
time and in order, however late the schedule is: no request is cancelled for missing details before
the user was reminded to give them.
"""

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.notifications.alerts import request_alert
from mfa_watcher.domain.notifications.intents import AlertKind, Severity
from mfa_watcher.domain.notifications.mails import Ending
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.requests.mails import ended, needs_details
from mfa_watcher.domain.users import user_state
from mfa_watcher.domain.users.user_state import Draft, Situation

UNANSWERED = "nobody gave details"


def decide_request_due(situation: Situation) -> UserDecision:
    """Return the decision about a due request. ``request`` and ``iam_state`` must be given."""
    iam_state = situation.iam_state
    gone = iam_state is not None and not iam_state.exists
    draft = user_state.mark_gone(situation) if gone else user_state.update_from_iam(situation)
    request = draft.open_request
    if request and request.due_at and request.due_at <= situation.at:
        draft = _take_step(situation, draft, request)
    return user_state.finish(situation, draft, "Request evaluated on schedule", None)


def _take_step(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    match request.state:
        case RequestState.OPEN if request.violation:
            advice = "Investigate it, and acknowledge it with a reason: nothing else closes it"
            facts = (("Actors", ", ".join(request.actors)), ("Next step", advice))
            return _remind_security(situation, draft, request, AlertKind.VIOLATION_WAITING, *facts)
        case RequestState.OPEN if request.reminders < len(situation.policy.details_reminders):
            return _remind_user(situation, draft, request)
        case RequestState.OPEN:
            return _cancel(situation, draft, request)
        case RequestState.SUBMITTED:
            reason = ("Reason", request.details.reason if request.details else "none")
            facts = (reason, ("Next step", "Approve or reject it"))
            return _remind_security(situation, draft, request, AlertKind.REQUEST_WAITING, *facts)
        case RequestState.APPROVED:
            return _expire(situation, draft, request)
        case _:
            return _end_wait_for_device(situation, draft, request)


def _remind_user(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    reminded = request.reminded(situation.at, situation.policy)
    mail = needs_details(reminded, draft.user, situation.at, situation.policy)
    updated = draft.with_request(reminded, f"request {request.id} still has no details")
    return updated.adding(mail, effect=f"mail: {mail.kind}, reminder {reminded.reminders}")


def _cancel(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    days = situation.policy.details_deadline.days
    because = f"{UNANSWERED} within {days} days"
    cancelled = request.cancelled(because)
    mail = ended(cancelled, draft.user, situation.at, Ending.UNANSWERED)
    updated = draft.with_request(cancelled, f"request {request.id} cancelled: {because}")
    return updated.adding(mail)


def _remind_security(
    situation: Situation,
    draft: Draft,
    request: ChangeRequest,
    kind: AlertKind,
    *facts: tuple[str, str],
) -> Draft:
    reminded = request.reminded(situation.at, situation.policy)
    updated = draft.with_request(reminded, f"request {request.id} still waits")
    return updated.adding(request_alert(kind, request, draft.user, situation.at, *facts))


def _expire(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    """End an approval whose window is over, unless somebody is fulfilling it now."""
    fulfilment, now = request.fulfilment, situation.at
    if fulfilment and fulfilment.held_until > now:
        postponed = request.postponed(fulfilment.held_until)
        return draft.with_request(postponed, f"request {request.id} is being fulfilled")
    expired, how = request.expired(), ""
    facts: tuple[tuple[str, str], ...] = ()
    case = None
    if fulfilment:
        done = ", ".join(fulfilment.done)
        facts = (("Started by", fulfilment.by), ("Steps done", done or "none recorded"))
        case = Severity.HIGH, "A change request expired partly fulfilled"
        how = f", with steps done: {done}" if done else ""
    alert = request_alert(
        AlertKind.REQUEST_EXPIRED,
        request,
        draft.user,
        now,
        *facts,
        ("Approved by", request.verdict.by if request.verdict else "nobody"),
        ("Next step", "Reopen and fulfil it, if it is still needed"),
        case=case,
    )
    mail = ended(expired, draft.user, now, Ending.INTERRUPTED if fulfilment else Ending.EXPIRED)
    updated = draft.with_request(expired, f"request {request.id} expired{how}")
    return updated.adding(alert, mail)


def _end_wait_for_device(situation: Situation, draft: Draft, request: ChangeRequest) -> Draft:
    """Close the request if no new device is needed; otherwise alert that there is none in time."""
    if because := _needs_no_new_device(situation, draft):
        effect = f"request {request.id} closed: {because}"
        return draft.with_request(request.closed(because), effect)
    alert = request_alert(
        AlertKind.ENROLMENT_OVERDUE,
        request,
        draft.user,
        situation.at,
        ("Fulfilled by", request.fulfilment.by if request.fulfilment else "nobody"),
        ("Next step", "Ask the user. If the password was lost, reopen and fulfil it once more"),
    )
    reminded = request.reminded(situation.at, situation.policy)
    updated = draft.with_request(reminded, f"request {request.id}: no new device in time")
    return updated.adding(alert)


def _needs_no_new_device(situation: Situation, draft: Draft) -> str | None:
    iam_state = situation.iam_state
    if iam_state and iam_state.devices:
        return "no new device, but another one was kept"
    if iam_state and iam_state.console_access is False:
        return "the user cannot sign in any more"
    return "the user is exempt" if draft.user.exemption else None
