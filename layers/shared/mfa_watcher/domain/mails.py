"""Whether a decided mail is still wanted when it is about to leave."""

from datetime import datetime, timedelta

from mfa_watcher.domain.casework import Fact
from mfa_watcher.domain.intents import Mail
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

_BY_THE_CLOCK = frozenset({MailKind.REMINDER, MailKind.FINAL_WARNING, MailKind.QUARANTINED})


def keeps_mail_hours(mail: Mail) -> bool:
    """Tell whether a mail waits for the mail hours: one that the clock caused, not an event."""
    return mail.kind in _BY_THE_CLOCK


def facts_needed_to_send(mail: Mail) -> frozenset[Fact]:
    """Say what to ask of IAM right before a mail leaves (besides the user and his address)."""
    if mail.kind in _ASKS_TO_ENROL:
        return frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})
    return frozenset({Fact.DEVICES}) if mail.kind is MailKind.SECOND_DEVICE else frozenset()


def reason_to_skip(mail: Mail, live: LiveUser, known: User | None, now: datetime) -> str | None:
    """Say why a mail must not leave any more, or None: who enrolled or is gone gets none.

    ``known`` is the user's record as it is now: a reminder that was held up may be overtaken.
    """
    if not live.exists:
        return "the user is gone"
    if mail.kind in _BY_THE_CLOCK and (reason := _overtaken(mail, known, now)):
        return reason
    if mail.kind is MailKind.SECOND_DEVICE and len(live.devices or ()) != 1:
        return "the user has no single device any more"
    if mail.kind in _ASKS_TO_ENROL:
        if live.devices:
            return "the user has enrolled meanwhile"
        if live.console_access is False:
            return "the user cannot sign in any more"
    return None


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
