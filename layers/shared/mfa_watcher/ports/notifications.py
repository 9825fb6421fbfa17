"""What is needed to send mails and alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mails import Mail


class SendingRate(Protocol):
    """Keeps all who send at one time under the rate that the account may send at."""

    def wait_for_slot(self, recipients: int) -> None:
        """Come back when a mail may go. Raises ThrottledError if that is not soon."""
        ...


@dataclass(frozen=True, slots=True)
class AlertSlot:
    """An alert's place among those of its time."""

    number: int
    """Which alert of its urgency it is, from 1 on."""
    until: datetime
    """When those that wait are told together."""


class AlertWindow(Protocol):
    """Counts the alerts of one time: a window opens with the first and closes a while later."""

    def count(self, *, urgent: bool, now: datetime) -> AlertSlot:
        """Count one more alert."""
        ...


class Mailer(Protocol):
    """Sends mails."""

    def send(self, message: "Message") -> str:
        """Send, and give the message id. Raises RefusedError or NotSentError, or one of theirs."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A mail ready to go. ``tags`` go to the mail service, which reports outcomes by them."""

    to: str
    subject: str
    html: str
    text: str
    cc: str | None = None
    thread: str | None = None
    """What the mail belongs to: mail clients keep together what has the same thread."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Alerter(Protocol):
    """Tells the security team."""

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Publish, and give the message id. Raises RefusedError or NotSentError."""
        ...

    def send_digest(self, intents: Sequence[Intent]) -> str:
        """Publish several alerts as one message, and give its id. Raises as ``send`` does."""
        ...


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail's words."""

    subject: str
    html: str
    text: str


class MailRenderer(Protocol):
    """Puts a mail into words."""

    def render(self, mail: Mail, language: str | None, *, alias: str | None) -> RenderedMail:
        """Give subject, HTML and text, in a language if it is there, else in the account's.

        ``alias`` is what the mail's account is called beside its number.
        """
        ...
