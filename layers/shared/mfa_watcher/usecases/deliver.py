"""From an intent in the outbox to a mail or an alert: claim, send, mark."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.addresses import AddressBook
from mfa_watcher.domain.intents import Alert, Mail
from mfa_watcher.domain.mails import facts_needed_to_send, reason_to_skip
from mfa_watcher.domain.users import LiveUser
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
        user = self._current(mail)
        if user is None:
            return self._skipped(claim, "the user is gone")
        facts = facts_needed_to_send(mail)
        live = look(self.iam, mail.user, (user.name,), facts) or LiveUser(exists=True)
        if (reason := reason_to_skip(mail, live)) is not None:
            return self._skipped(claim, reason)
        address = self.addresses.find(user.name, user.tags)
        if address is None:
            raise RefusedError(
                f"no address for {user.name} in the allowed mail domains: set the tag"
                f" {self.addresses.tag!r} on the IAM user"
            )
        words = self.renderer.render(mail)
        tags = {"mail": mail.kind.value, "intent": claim.intent.id}
        message = Message(address.address, words.subject, words.html, words.text, tags)
        return self._sent(claim, self.mailer.send(message), address.address)

    def _current(self, mail: Mail) -> IamUser | None:
        """Find the user as IAM has him now: he may have been renamed since the decision."""
        known = self.store.user(mail.user)
        for name in dict.fromkeys([known.name if known else mail.user_name, mail.user_name]):
            user = self.iam.user(name)
            if user and user.user_id == mail.user.user_id:
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
