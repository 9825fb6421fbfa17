"""Whether a decided mail is still wanted when it is about to leave."""

from dataclasses import replace
from datetime import datetime, timedelta

from mfa_watcher.domain.notifications.intents import Ending, Mail
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.users.user import IamState, MailKind, User
from mfa_watcher.domain.users.user_state import Fact

_ASKS_TO_ENROL = frozenset(
    {
        MailKind.GUIDE,
        MailKind.WELCOME,
        MailKind.REMINDER,
        MailKind.FINAL_WARNING,
        MailKind.DEVICE_LOST,
        MailKind.QUARANTINED,
        MailKind.SECURITY_CASE,
    }
)


_DELAYED_AFTER = timedelta(hours=1)
_A_DAY = timedelta(days=1)

_OF_THE_ESCALATION = frozenset({MailKind.REMINDER, MailKind.FINAL_WARNING, MailKind.QUARANTINED})
_SCHEDULED = _OF_THE_ESCALATION | {MailKind.REQUEST_NEEDS_DETAILS}
_NOT_URGENT = frozenset({Ending.UNANSWERED, Ending.EXPIRED})

_ASKS_FOR_DETAILS = frozenset({MailKind.REMOVAL_DENIED, MailKind.REQUEST_OPENED})


def waits_for_mail_hours(mail: Mail) -> bool:
    """Tell whether a mail waits for the mail hours: one that the clock caused, not an event."""
    return mail.kind in _SCHEDULED or mail.ending in _NOT_URGENT


def facts_needed_to_send(mail: Mail) -> frozenset[Fact]:
    """Say what to ask of IAM right before a mail leaves (besides the user and his address)."""
    if mail.kind in _ASKS_TO_ENROL or mail.kind is MailKind.REQUEST_FULFILLED:
        return frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})
    return frozenset({Fact.DEVICES}) if mail.kind is MailKind.SECOND_DEVICE else frozenset()


def with_current_request(mail: Mail, request: ChangeRequest | None) -> Mail:
    """Give the mail without the plea for details, if they have come since it was decided."""
    if request and mail.kind in _ASKS_FOR_DETAILS and not request.waits_for_details():
        return replace(mail, next_at=None)
    return mail


def reason_to_skip(
    mail: Mail,
    iam_state: IamState,
    known: User | None,
    now: datetime,
    *,
    request: ChangeRequest | None = None,
) -> str | None:
    """Say why a mail must not leave any more, or None: who enrolled or is gone gets none.

    ``known`` and ``request`` are the records as they are now: a mail that was held up may be
    overtaken.
    """
    if not iam_state.exists:
        return "the user is gone"
    if request and (reason := _request_moved_on(mail, iam_state, request)):
        return reason
    if mail.kind in _OF_THE_ESCALATION and (reason := _overtaken(mail, known, now)):
        return reason
    if mail.kind is MailKind.SECOND_DEVICE and len(iam_state.devices or ()) != 1:
        return "the user has no single device any more"
    return _nothing_to_enrol(iam_state) if mail.kind in _ASKS_TO_ENROL else None


def _nothing_to_enrol(iam_state: IamState) -> str | None:
    if iam_state.devices:
        return "the user has enrolled meanwhile"
    return "the user cannot sign in any more" if iam_state.console_access is False else None


def _request_moved_on(  # noqa: PLR0911 - a table
    mail: Mail, iam_state: IamState, request: ChangeRequest
) -> str | None:
    """Say what makes a mail about a request untrue by now: another mail tells what is true."""
    state, verdict = request.state, request.verdict
    match mail.kind:
        case MailKind.REQUEST_OPENED if state not in {RequestState.OPEN, RequestState.SUBMITTED}:
            return f"the request is {state} by now"
        case MailKind.REQUEST_NEEDS_DETAILS if not request.waits_for_details():
            return "the request waits for no details any more"
        case MailKind.REQUEST_NEEDS_DETAILS if request.reminders > mail.step:
            return "overtaken by a later reminder"
        case MailKind.REQUEST_DECIDED if verdict is None or verdict.at != mail.at:
            return "the decision was taken back"
        case MailKind.REQUEST_DECIDED if mail.approved and state is not RequestState.APPROVED:
            return f"the request is {state} by now"
        case MailKind.REQUEST_FULFILLED if _has_new_device(iam_state, request):
            return "the new device is there already"
        case MailKind.REQUEST_FULFILLED if iam_state.console_access is False:
            return "the user cannot sign in any more"
        case MailKind.REQUEST_ENDED if state not in _ENDED_WITHOUT_CHANGE:
            return f"the request is {state} by now"
        case _:
            return None


_ENDED_WITHOUT_CHANGE = frozenset({RequestState.CANCELLED, RequestState.EXPIRED})


def _has_new_device(iam_state: IamState, request: ChangeRequest) -> bool:
    serials = tuple(device.serial for device in iam_state.devices or ())
    return request.state is RequestState.CLOSED or request.has_new_device(serials)


def _overtaken(mail: Mail, known: User | None, now: datetime) -> str | None:
    finding = known.open_finding if known else None
    if finding is None or finding.id != mail.finding_id:
        return "what it is about is closed"
    if finding.escalation_step > mail.escalation_step:
        return "overtaken by a later step"
    held_up = now - mail.at > _DELAYED_AFTER
    if held_up and finding.due_at and finding.due_at - now < _A_DAY:
        return "held up until the next step, which is due within a day"
    return None
