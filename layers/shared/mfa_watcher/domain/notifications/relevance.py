"""Whether a decided mail is still wanted when it is about to be sent."""

from dataclasses import replace
from datetime import datetime, timedelta

from mfa_watcher.domain.notifications import mails
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.users.user import IamState, MailKind, User
from mfa_watcher.domain.users.user_state import Fact

_DELAYED_AFTER = timedelta(hours=1)
_A_DAY = timedelta(days=1)

_NOT_URGENT = frozenset({mails.Ending.UNANSWERED, mails.Ending.EXPIRED})


def waits_for_mail_hours(mail: mails.MailAboutUser) -> bool:
    """Return whether a mail waits for the mail hours: one that the clock caused, not an event."""
    match mail:
        case mails.ReminderMail() | mails.QuarantinedMail() | mails.RequestNeedsDetailsMail():
            return True
        case mails.RequestEndedMail(ending=ending):
            return ending in _NOT_URGENT
        case _:
            return False


def facts_needed_to_send(mail: mails.MailAboutUser) -> frozenset[Fact]:
    """Return what to ask of IAM right before a mail is sent, besides the user and their tags."""
    if isinstance(mail, mails.SecondDeviceMail):
        return frozenset({Fact.DEVICES})
    if _asks_to_enrol(mail) or isinstance(mail, mails.RequestFulfilledMail):
        return frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})
    return frozenset()


def with_current_request(
    mail: mails.MailAboutUser, request: ChangeRequest | None
) -> mails.MailAboutUser:
    """Return the mail without its question for details, if they were given since the decision."""
    if not isinstance(mail, mails.RemovalDeniedMail | mails.RequestOpenedMail):
        return mail
    answered = request is not None and not request.waits_for_details()
    return replace(mail, next_at=None) if answered else mail


def reason_to_skip(
    mail: mails.MailAboutUser,
    iam_state: IamState,
    known: User | None,
    now: datetime,
    *,
    request: ChangeRequest | None = None,
) -> str | None:
    """Return why a mail must not be sent any more, or None.

    ``known`` and ``request`` are the records as they are now: a mail that was held up may be
    overtaken.
    """
    if not iam_state.exists:
        return "the user is gone"
    if request and (reason := _request_moved_on(mail, iam_state, request)):
        return reason
    if isinstance(mail, mails.ReminderMail | mails.QuarantinedMail) and (
        reason := _overtaken(mail, known, now)
    ):
        return reason
    if isinstance(mail, mails.SecondDeviceMail) and len(iam_state.devices or ()) != 1:
        return "the user has no single device any more"
    return _nothing_to_enrol(iam_state) if _asks_to_enrol(mail) else None


def _asks_to_enrol(mail: mails.MailAboutUser) -> bool:
    """Return whether a mail is needless once its user has a device: all of an open finding."""
    return isinstance(mail, mails.FindingMail) and mail.kind not in _AFTER_ENROLMENT


_AFTER_ENROLMENT = frozenset({MailKind.ENROLLED, MailKind.SECOND_DEVICE})


def _nothing_to_enrol(iam_state: IamState) -> str | None:
    if iam_state.devices:
        return "the user has enrolled meanwhile"
    return "the user cannot sign in any more" if iam_state.console_access is False else None


def _request_moved_on(  # noqa: PLR0911 - a table
    mail: mails.MailAboutUser, iam_state: IamState, request: ChangeRequest
) -> str | None:
    """Return what makes a mail about a request untrue now; another mail says what is true."""
    state, verdict = request.state, request.verdict
    match mail:
        case mails.RequestOpenedMail() if state not in {RequestState.OPEN, RequestState.SUBMITTED}:
            return f"the request is {state} by now"
        case mails.RequestNeedsDetailsMail() if not request.waits_for_details():
            return "the request waits for no details any more"
        case mails.RequestNeedsDetailsMail() if request.reminders > mail.step:
            return "overtaken by a later reminder"
        case mails.RequestDecidedMail() if verdict is None or verdict.at != mail.at:
            return "the decision was taken back"
        case mails.RequestDecidedMail() if mail.approved and state is not RequestState.APPROVED:
            return f"the request is {state} by now"
        case mails.RequestFulfilledMail() if _has_new_device(iam_state, request):
            return "the new device is there already"
        case mails.RequestFulfilledMail() if iam_state.console_access is False:
            return "the user cannot sign in any more"
        case mails.RequestEndedMail() if state not in _ENDED_WITHOUT_CHANGE:
            return f"the request is {state} by now"
        case _:
            return None


_ENDED_WITHOUT_CHANGE = frozenset({RequestState.CANCELLED, RequestState.EXPIRED})


def _has_new_device(iam_state: IamState, request: ChangeRequest) -> bool:
    serials = tuple(device.serial for device in iam_state.devices or ())
    return request.state is RequestState.CLOSED or request.new_device(serials) is not None


def _overtaken(
    mail: mails.ReminderMail | mails.QuarantinedMail, known: User | None, now: datetime
) -> str | None:
    finding = known.open_finding if known else None
    if finding is None or finding.id != mail.finding_id:
        return "what it is about is closed"
    if finding.escalation_step > mail.escalation_step:
        return "overtaken by a later step"
    held_up = now - mail.at > _DELAYED_AFTER
    if held_up and finding.due_at and finding.due_at - now < _A_DAY:
        return "held up until the next step, which is due within a day"
    return None
