"""How mails and alerts are rendered, limited and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mails import Mail


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """The subject and the text of a mail."""

    subject: str
    html: str
    text: str


class MailRenderer(Protocol):
    """Renders mails."""

    def render(self, mail: Mail, language: str | None, *, alias: str | None) -> RenderedMail:
        """Return a mail in the language if it exists, else in the account's language.

        ``alias`` is the alias of the mail's account.
        """


@dataclass(frozen=True, slots=True)
class Message:
    """A mail that is ready to be sent."""

    to: str
    subject: str
    html: str
    text: str
    cc: str | None = None
    thread: str | None = None
    """The conversation of the mail: mail clients group mails with the same thread."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """For the mail service, which repeats them when it reports the mail's outcome."""


class Mailer(Protocol):
    """Sends mails."""

    def send(self, message: Message) -> str:
        """Send a mail, and return its message id. Raises RefusedError or NotSentError."""


class SendingRate(Protocol):
    """Keeps all functions that send at the same time below the account's sending rate."""

    def wait_for_slot(self, recipients: int) -> None:
        """Wait until a mail may be sent.

        Raises ThrottledError if that takes too long, NotSentError if the rate is not known.
        """


class Alerter(Protocol):
    """Sends alerts to the security team. Both methods raise RefusedError or NotSentError."""

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Publish an alert, and return its message id."""

    def send_digest(self, intents: Sequence[Intent]) -> str:
        """Publish several alerts as one message, and return its id."""


@dataclass(frozen=True, slots=True)
class AlertPosition:
    """The position of an alert within its time window."""

    number: int
    """The alert's number among those of the same urgency in the window, from 1 on."""
    until: datetime
    """When the window ends, and its waiting alerts are sent together."""


class AlertCounter(Protocol):
    """Counts the alerts of a time window. The first alert opens it; it closes after a while."""

    def count(self, *, urgent: bool, now: datetime) -> AlertPosition:
        """Count one more alert, and return its position."""
