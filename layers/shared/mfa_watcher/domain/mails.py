"""Whether a decided mail is still wanted when it is about to leave."""

from dataclasses import replace
from datetime import datetime, timedelta

from mfa_watcher.domain.casework import Fact
from mfa_watcher.domain.change_requests import ChangeRequest, RequestState
from mfa_watcher.domain.intents import Ending, Mail
from mfa_watcher.domain.users import LiveUser, MailKind, User

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


_PROMPT = timedelta(hours=1)
_A_DAY = timedelta(days=1)

_OF_THE_LADDER = frozenset({MailKind.REMINDER, MailKind.FINAL_WARNING, MailKind.QUARANTINED})
_BY_THE_CLOCK = _OF_THE_LADDER | {MailKind.REQUEST_NEEDS_DETAILS}
_IN_NO_HURRY = frozenset({Ending.UNANSWERED, Ending.EXPIRED})

_ASKS_FOR_DETAILS = frozenset({MailKind.REMOVAL_DENIED, MailKind.REQUEST_OPENED})


def keeps_mail_hours(mail: Mail) -> bool:
    """Tell whether a mail waits for the mail hours: one that the clock caused, not an event."""
    return mail.kind in _BY_THE_CLOCK or mail.ending in _IN_NO_HURRY


def facts_needed_to_send(mail: Mail) -> frozenset[Fact]:
    """Say what to ask of IAM right before a mail leaves (besides the user and his address)."""
    if mail.kind in _ASKS_TO_ENROL or mail.kind is MailKind.REQUEST_FULFILLED:
        return frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})
    return frozenset({Fact.DEVICES}) if mail.kind is MailKind.SECOND_DEVICE else frozenset()


def as_it_stands(mail: Mail, request: ChangeRequest | None) -> Mail:
    """Give the mail without the plea for details, if they have come since it was decided."""
    if request and mail.kind in _ASKS_FOR_DETAILS and not request.waits_for_details():
        return replace(mail, next_at=None)
    return mail


def reason_to_skip(
    mail: Mail,
    live: LiveUser,
    known: User | None,
    now: datetime,
    *,
    request: ChangeRequest | None = None,
) -> str | None:
    """Say why a mail must not leave any more, or None: who enrolled or is gone gets none.

    ``known`` and ``request`` are the records as they are now: a mail that was held up may be
    overtaken.
    """
    if not live.exists:
        return "the user is gone"
    if request and (reason := _request_moved_on(mail, live, request)):
        return reason
    if mail.kind in _OF_THE_LADDER and (reason := _overtaken(mail, known, now)):
        return reason
    if mail.kind is MailKind.SECOND_DEVICE and len(live.devices or ()) != 1:
        return "the user has no single device any more"
    return _nothing_to_enrol(live) if mail.kind in _ASKS_TO_ENROL else None


def _nothing_to_enrol(live: LiveUser) -> str | None:
    if live.devices:
        return "the user has enrolled meanwhile"
    return "the user cannot sign in any more" if live.console_access is False else None


def _request_moved_on(  # noqa: PLR0911 - a table
    mail: Mail, live: LiveUser, request: ChangeRequest
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
        case MailKind.REQUEST_FULFILLED if _has_new_device(live, request):
            return "the new device is there already"
        case MailKind.REQUEST_FULFILLED if live.console_access is False:
            return "the user cannot sign in any more"
        case MailKind.REQUEST_ENDED if state not in _ENDED_WITHOUT_CHANGE:
            return f"the request is {state} by now"
        case _:
            return None


_ENDED_WITHOUT_CHANGE = frozenset({RequestState.CANCELLED, RequestState.EXPIRED})


def _has_new_device(live: LiveUser, request: ChangeRequest) -> bool:
    serials = tuple(device.serial for device in live.devices or ())
    return request.state is RequestState.CLOSED or request.has_new_device(serials)


def _overtaken(mail: Mail, known: User | None, now: datetime) -> str | None:
    finding = known.open_finding if known else None
    if finding is None or finding.id != mail.finding_id:
        return "what it is about is closed"
    if finding.ladder_step > mail.rung:
        return "overtaken by a later step"
    held_up = now - mail.at > _PROMPT
    if held_up and finding.due_at and finding.due_at - now < _A_DAY:
        return "held up until the next step, which is due within a day"
    return None
