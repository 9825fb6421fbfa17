"""Whether a decided mail is still wanted when it is about to leave."""

from mfa_watcher.domain.casework import Fact
from mfa_watcher.domain.intents import Mail
from mfa_watcher.domain.users import LiveUser, MailKind

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


def facts_needed_to_send(mail: Mail) -> frozenset[Fact]:
    """Say what to ask of IAM right before a mail leaves (besides the user and his address)."""
    if mail.kind in _ASKS_TO_ENROL:
        return frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})
    return frozenset()


def reason_to_skip(mail: Mail, live: LiveUser) -> str | None:
    """Say why a mail must not leave any more, or None: who enrolled or is gone gets none."""
    if not live.exists:
        return "the user is gone"
    if mail.kind in _ASKS_TO_ENROL:
        if live.devices:
            return "the user has enrolled meanwhile"
        if live.console_access is False:
            return "the user cannot sign in any more"
    return None
