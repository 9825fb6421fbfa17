"""What SES reports about a mail after accepting it, and what follows from that."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.decision import Decision, UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import alert
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent, Severity
from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.users.user import User

MOST_ADDRESSES = 10
"""How many addresses one mail is sent to at most, so that a fault of ours cannot mail for ever."""


class MailOutcome(StrEnum):
    """How a mail ended, as far as is known."""

    SENT = "sent"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    BOUNCED = "bounced"
    COMPLAINED = "complained"

    @property
    def rank(self) -> int:
        """Return the rank: reports come in any order, and only a higher rank replaces an outcome.

        A bounce may follow a delivery, when the receiving server rejects the mail later.
        """
        return list(MailOutcome).index(self)


@dataclass(frozen=True, slots=True)
class MailReport:
    """What SES reports about one mail to some of its recipients.

    ``id`` is the same however often SES sends the report. ``detail`` is the text of the
    receiving server: hostile until escaped.
    """

    id: str
    at: datetime
    message_id: str
    intent_id: str | None
    outcome: MailOutcome
    to: str | None = None
    """The address that the mail was sent to."""
    recipients: tuple[str, ...] = ()
    """The addresses that the report is about; empty: all."""
    unreachable: bool = False
    """Whether no mail reaches the address, now or later: it does not exist, or SES refuses it."""
    detail: str = ""

    def concerns(self, address: str | None) -> bool:
        """Return whether the report is about an address."""
        return not self.recipients or address is None or address.casefold() in self._about

    @property
    def bad_addresses(self) -> frozenset[str]:
        """Return the addresses that get no more mails, casefolded."""
        given_up = self.unreachable or self.outcome is MailOutcome.COMPLAINED
        return self._about if given_up else frozenset()

    @property
    def _about(self) -> frozenset[str]:
        return frozenset(address.casefold() for address in self.recipients)


def decide_feedback(
    report: MailReport, intent: Intent, user: User | None, *, in_hand: bool = False
) -> Decision | None:
    """Return the decision about a report; None if it only says that SES accepted the mail.

    ``user`` is the record of the mail's recipient, None if it was sent to security. A mail that SES
    did not accept is still ``in_hand``: its delivery tries the next address itself.
    """
    mail = intent.act
    if report.outcome is MailOutcome.SENT or isinstance(mail, Alert):
        return None
    if mail.kind.to_security or user is None:
        return _about_security(report, intent, mail)
    intents: tuple[Intent, ...] = ()
    effects: tuple[str, ...] = ()
    new = report.bad_addresses - user.bad_addresses
    if new:
        effects = ("address not used any more",)
        lost = report.unreachable and report.concerns(report.to) and not in_hand
        if lost and (again := _again(report, intent)):
            intents = (again,)
            effects = (*effects, f"mail: {mail.kind} again")
        if not user.bad_addresses:
            intents = (*intents, _alert(report, intent, mail, user))
            effects = (*effects, f"alert: {AlertKind.MAIL_UNDELIVERABLE}")
        user = replace(user, bad_addresses=user.bad_addresses | new)
    key = user.key
    entry = _entry(report, mail, About.USER, f"{key.account_id}/{key.user_id}", effects)
    if new:
        return UserDecision(report.id, (entry,), intents, user=user)
    return Decision(report.id, (entry,), intents)


def _about_security(report: MailReport, intent: Intent, mail: Mail) -> Decision:
    """Return the decision about a mail to security: if it does not arrive, an alert reports it."""
    intents: tuple[Intent, ...] = ()
    effects: tuple[str, ...] = ()
    if report.bad_addresses and report.concerns(report.to):
        intents = (_alert(report, intent, mail, None),)
        effects = (f"alert: {AlertKind.MAIL_UNDELIVERABLE}",)
    entry = _entry(report, mail, About.ACCOUNT, mail.account_id, effects)
    return Decision(report.id, (entry,), intents)


_AGAIN = re.compile(r"(?P<first>.*)-again-(?P<number>[0-9]+)", re.DOTALL)


def _again(report: MailReport, intent: Intent) -> Intent | None:
    """Return the same mail under a new id, for the next address; None: it was sent to enough."""
    found = _AGAIN.fullmatch(intent.id)
    first, number = (found["first"], int(found["number"])) if found else (intent.id, 1)
    if number >= MOST_ADDRESSES:
        return None
    return replace(intent, id=f"{first}-again-{number + 1}", created_at=report.at)


def _alert(report: MailReport, intent: Intent, mail: Mail, user: User | None) -> Intent:
    """Return the alert: one for each user, or one for each mail to security."""
    complained = report.outcome is MailOutcome.COMPLAINED and not report.unreachable
    title = "A mail was reported as spam" if complained else "A mail cannot be delivered"
    facts = (
        ("User", user.name if user else "none: it is a mail to the security team"),
        ("Mail", mail.kind.value),
        ("Address", ", ".join(report.recipients) or "unknown"),
        ("Reason", report.detail or report.outcome.value),
        (
            "Consequence",
            "The address is not used any more; the next known one is used"
            if user
            else "Nothing. Correct the address of the security team",
        ),
        ("Time", report.at.isoformat(timespec="seconds")),
    )
    kind, case = AlertKind.MAIL_UNDELIVERABLE, (Severity.LOW if user else Severity.HIGH, title)
    once_per = user.key.user_id if user else intent.id
    found = alert(kind, mail.account_id, *facts, case=case)
    return Intent(f"alert-{kind}-{once_per}", intent.event_id, report.at, found)


_WORDS = {
    MailOutcome.SENT: "accepted by SES for",
    MailOutcome.DELAYED: "delayed on its way to",
    MailOutcome.DELIVERED: "delivered to",
    MailOutcome.REJECTED: "refused by SES for",
    MailOutcome.BOUNCED: "bounced from",
    MailOutcome.COMPLAINED: "reported as spam by",
}


def _entry(
    report: MailReport, mail: Mail, about: About, subject_id: str, effects: tuple[str, ...]
) -> HistoryEntry:
    whom = ", ".join(report.recipients) or report.to or "its recipient"
    detail = f": {report.detail}" if report.detail else ""
    what = f"mail {mail.kind} {_WORDS[report.outcome]} {whom}{detail}"
    return HistoryEntry(about, subject_id, report.at, report.id, what, None, effects)
