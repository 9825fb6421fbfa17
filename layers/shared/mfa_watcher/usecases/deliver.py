"""From an intent in the outbox to a mail or an alert: claim, send, mark."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.addresses import AddressBook
from mfa_watcher.domain.intents import Alert, Mail
from mfa_watcher.domain.mails import facts_needed_to_send, reason_to_skip
from mfa_watcher.domain.users import LiveUser, MailKind, UserKey
from mfa_watcher.ports import (
    Alerter,
    Claim,
    IamReader,
    IamReadError,
    IamUser,
    Mailer,
    MailRenderer,
    Message,
    NotSentError,
    Outbox,
    RefusedError,
    Store,
)
from mfa_watcher.usecases.look import look

FIRST_RETRY = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
MAX_ATTEMPTS = 30
"""With the waits above about 25 hours: a daily mail quota that is used up is free again by then."""


class Result(StrEnum):
    """What became of an intent."""

    SENT = "sent"
    SKIPPED = "skipped"
    PUT_BACK = "put_back"
    FAILED = "failed"
    NOT_OURS = "not_ours"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an intent, and why. ``event_id`` is the CloudTrail event behind it."""

    intent_id: str
    result: Result
    event_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """In which language somebody is written to, and who gets a copy."""

    language: str | None = None
    cc: str | None = None


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Delivers intents, one at a time.

    A crash between sending and marking is the one moment that can send twice: neither SES nor
    SNS takes an idempotency token from us. The claim makes that window as small as it can be;
    losing the mail instead would be worse.
    """

    outbox: Outbox
    store: Store
    iam: IamReader
    mailer: Mailer
    alerter: Alerter
    renderer: MailRenderer
    addresses: AddressBook
    security_address: str
    clock: Callable[[], datetime]

    def deliver(self, intent_id: str) -> Delivery:
        """Deliver an intent if it is due and nobody else has it. Safe to call any number of times.

        Whatever goes wrong ends in the intent's own state: put back for later, or failed with the
        reason. Other errors (a bug, the table out of reach) go to the caller; the intent is then
        free again when its claim runs out.
        """
        claim = self.outbox.claim(intent_id, now=self.clock())
        if claim is None:
            return Delivery(intent_id, Result.NOT_OURS)
        if claim.attempts > MAX_ATTEMPTS:
            return self._failed(claim, f"given up after {MAX_ATTEMPTS} attempts without an end")
        try:
            match claim.intent.act:
                case Mail() as mail:
                    return self._mail(claim, mail)
                case Alert() as alert:
                    receipt = self.alerter.send(alert, intent_id=intent_id)
                    return self._sent(claim, receipt, "security")
        except RefusedError as error:
            return self._failed(claim, str(error))
        except (NotSentError, IamReadError) as error:
            return self._put_back(claim, str(error))

    def _mail(self, claim: Claim, mail: Mail) -> Delivery:
        if mail.user is None:
            return self._send(claim, mail, self._security(), Reader())
        known = self.store.user(mail.user)
        user = self._current(mail.user, known.name if known else mail.user_name, mail.user_name)
        if user is None:
            return self._skipped(claim, "the user is gone")
        facts = facts_needed_to_send(mail)
        live = look(self.iam, mail.user, (user.name,), facts) or LiveUser(exists=True)
        if (reason := reason_to_skip(mail, live)) is not None:
            return self._skipped(claim, reason)
        if mail.kind.to_security:
            return self._send(claim, mail, self._security(), Reader())
        bad = known.bad_addresses if known else frozenset()
        override = known.address if known else None
        address = self.addresses.find(user.name, user.tags, override=override, bad=bad)
        if address is None:
            reason = "no address that is allowed and does not bounce"
            self.outbox.note_unreachable(mail, why=reason, now=self.clock())
            return self._skipped(claim, reason)
        manager = self.addresses.manager(user.tags)
        copied = mail.kind is MailKind.FINAL_WARNING and manager and manager.casefold() not in bad
        reader = Reader(self.addresses.language(user.tags), manager if copied else None)
        return self._send(claim, mail, address.address, reader)

    def _security(self) -> str:
        if not self.security_address:
            raise RefusedError("there is no SecurityAddress to send it to")
        return self.security_address

    def _send(self, claim: Claim, mail: Mail, to: str, reader: Reader) -> Delivery:
        words = self.renderer.render(mail, reader.language)
        message = Message(
            to,
            words.subject,
            words.html,
            words.text,
            cc=reader.cc,
            thread=mail.request_id or mail.finding_id,
            tags={"mail": mail.kind.value, "intent": claim.intent.id},
        )
        return self._sent(claim, self.mailer.send(message), to)

    def _current(self, key: UserKey, *names: str) -> IamUser | None:
        """Find the user as IAM has him now: he may have been renamed since the decision."""
        for name in dict.fromkeys(names):
            user = self.iam.user(name)
            if user and user.user_id == key.user_id:
                return user
        return None

    def _sent(self, claim: Claim, receipt: str, to: str) -> Delivery:
        self.outbox.mark_sent(claim, receipt=receipt, to=to, now=self.clock())
        return _delivery(claim, Result.SENT)

    def _skipped(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_skipped(claim, reason=reason, now=self.clock())
        return _delivery(claim, Result.SKIPPED, reason)

    def _failed(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_failed(claim, reason=reason, now=self.clock())
        return _delivery(claim, Result.FAILED, reason)

    def _put_back(self, claim: Claim, reason: str) -> Delivery:
        if claim.attempts >= MAX_ATTEMPTS:
            return self._failed(claim, f"given up after {claim.attempts} attempts: {reason}")
        due_at = self.clock() + wait_after(claim.attempts)
        self.outbox.put_back(claim, reason=reason, due_at=due_at)
        return _delivery(claim, Result.PUT_BACK, reason)


def wait_after(attempts: int) -> timedelta:
    """Give the wait after that many attempts: doubling from a minute up to an hour."""
    doubled: timedelta = FIRST_RETRY * 2 ** (attempts - 1)
    return min(doubled, LONGEST_WAIT)


def _delivery(claim: Claim, result: Result, reason: str | None = None) -> Delivery:
    return Delivery(claim.intent.id, result, claim.intent.event_id, reason)
