"""From an intent in the outbox to a mail or an alert: claim, send, mark."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.notifications.digests import is_sent_at_once, is_urgent
from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport
from mfa_watcher.domain.notifications.mails import Mail, MailAboutUser, UnreachableUsersMail
from mfa_watcher.domain.notifications.relevance import (
    facts_needed_to_send,
    reason_to_skip,
    waits_for_mail_hours,
    with_current_request,
)
from mfa_watcher.domain.policy import MailHours
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.user import IamState, MailKind, User, UserKey
from mfa_watcher.ports.accounts import AccountAliases
from mfa_watcher.ports.errors import (
    BadAddressError,
    IamReadError,
    LostRaceError,
    NotSentError,
    QuotaUsedUpError,
    RefusedError,
    SendingStoppedError,
    ThrottledError,
)
from mfa_watcher.ports.iam import IamOf, IamUser
from mfa_watcher.ports.notifications import (
    Alerter,
    AlertWindow,
    Mailer,
    MailRenderer,
    Message,
    SendingRate,
)
from mfa_watcher.ports.outbox import Claim, Outbox
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.mail_feedback import record_report
from mfa_watcher.usecases.read_user import read_user

FIRST_RETRY = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
MAX_LAPSES = 3
"""How often a function may die in an attempt before it is the last: each may have sent the mail."""

MAX_ATTEMPTS = 30
"""With the waits above about 25 hours of something going wrong."""

MOST_ASKED_FOR_ALIASES = 20
"""Of many alerts told together, so many accounts are called by their alias: each may cost a call
to STS and one to IAM, and the message has to go out within the function's time."""

NEXT_TURN = timedelta(seconds=30)
QUOTA_WAIT = timedelta(hours=1)
STOPPED_WAIT = timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(days=14)
"""How long an intent waits for its turn, a free quota or an account that may send again. That is
no failed attempt, but what is two weeks old is news to nobody."""


class DeliveryResult(StrEnum):
    """What became of an intent."""

    SENT = "sent"
    SKIPPED = "skipped"
    PUT_BACK = "put_back"
    STOPPED = "stopped"
    """Put back, and the account may send no mail at all: there is no use in trying others."""
    FAILED = "failed"
    NOT_OURS = "not_ours"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an intent, and why. ``event_id`` is the CloudTrail event behind it."""

    intent_id: str
    result: DeliveryResult
    event_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """In which language somebody is written to, and who gets a copy."""

    language: str | None = None
    cc: str | None = None


@dataclass(frozen=True, slots=True)
class DeliverIntents:
    """Delivers intents, one at a time.

    A crash between sending and marking is the one moment that can send twice: neither SES nor
    SNS takes an idempotency token from us. The claim makes that window as small as it can be;
    losing the mail instead would be worse.
    """

    outbox: Outbox
    store: Store
    iam_of: IamOf
    aliases: AccountAliases
    mailer: Mailer
    alerter: Alerter
    renderer: MailRenderer
    addresses: AddressBook
    security_address: str
    mail_hours: MailHours
    sending_rate: SendingRate
    window: AlertWindow
    clock: Callable[[], datetime]

    def deliver(self, intent_id: str) -> Delivery:
        """Deliver an intent if it is due and nobody else has it. Safe to call any number of times.

        Whatever goes wrong ends in the intent's own state: put back for later, or failed with the
        reason. Other errors (a bug, the table out of reach) go to the caller; the intent is then
        free again when its claim runs out.
        """
        claim = self.outbox.claim(intent_id, now=self.clock())
        if claim is None:
            return Delivery(intent_id, DeliveryResult.NOT_OURS)
        if claim.lapses > MAX_LAPSES:
            return self._failed(claim, f"given up after {claim.lapses} attempts without an end")
        try:
            match claim.intent.act:
                case Alert() as alert:
                    return self._alert(claim, alert)
                case mail:
                    return self._mail(claim, mail)
        except RefusedError as error:
            return self._failed(claim, str(error))
        except (NotSentError, IamReadError) as error:
            return self._put_back(claim, error)

    def deliver_together(self, intent_ids: Iterable[str]) -> list[Delivery]:
        """Deliver alerts that are due, in one message, if they are more than one.

        All are claimed first and marked after, each by itself: what a crash leaves claimed is due
        again when its claim runs out, and is told once more.
        """
        claims, deliveries = [], []
        for intent_id in intent_ids:
            claim = self.outbox.claim(intent_id, now=self.clock())
            if claim is None:
                deliveries.append(Delivery(intent_id, DeliveryResult.NOT_OURS))
            elif claim.tries > MAX_ATTEMPTS:
                reason = f"given up after {MAX_ATTEMPTS} attempts without an end"
                deliveries.append(self._failed(claim, reason))
            else:
                claims.append(claim)
        if not claims:
            return deliveries
        try:
            receipt = self._tell([claim.intent for claim in claims])
        except RefusedError as error:
            return deliveries + [self._failed(claim, str(error)) for claim in claims]
        except NotSentError as error:
            return deliveries + [self._put_back(claim, error) for claim in claims]
        return deliveries + [self._sent(claim, receipt, "security") for claim in claims]

    def _tell(self, intents: list[Intent]) -> str:
        match intents:
            case [Intent(id=intent_id, act=Alert() as alert)]:
                return self._tell_one(alert, intent_id)
            case _:
                aliases = self._aliases(one.act for one in intents if isinstance(one.act, Alert))
                return self.alerter.send_digest([_naming(one, aliases) for one in intents])

    def _tell_one(self, alert: Alert, intent_id: str) -> str:
        alias = self._aliases([alert]).get(alert.account_id)
        return self.alerter.send(alert.with_account_alias(alias), intent_id=intent_id)

    def _aliases(self, alerts: Iterable[Alert]) -> dict[str, str | None]:
        """Give what alerts' accounts are called. An account that does not say is a number."""
        aliases = {}
        numbers = dict.fromkeys(alert.account_id for alert in alerts if alert.account_id.isdigit())
        for account_id in list(numbers)[:MOST_ASKED_FOR_ALIASES]:
            with suppress(IamReadError):
                aliases[account_id] = self.aliases.alias(account_id)
        return aliases

    def _alert(self, claim: Claim, alert: Alert) -> Delivery:
        """Tell the first of a window at once; the schedule tells the others together."""
        now = self.clock()
        turn = self.window.count(urgent=is_urgent(alert), now=now)
        if not is_sent_at_once(alert, turn.number):
            reason = "told together with others of its time"
            self.outbox.put_back(claim, reason=reason, due_at=turn.until, waited=True)
            return _delivery(claim, DeliveryResult.PUT_BACK, reason)
        receipt = self._tell_one(alert, claim.intent.id)
        return self._sent(claim, receipt, "security")

    def _mail(self, claim: Claim, mail: Mail) -> Delivery:
        if isinstance(mail, UnreachableUsersMail):
            return self._send(claim, mail, self._security(), Recipient())
        known = self.store.user(mail.user)
        user = self._current(mail.user, known.name if known else mail.user_name, mail.user_name)
        if user is None:
            return self._skipped(claim, "the user is gone")
        now, facts = self.clock(), facts_needed_to_send(mail)
        iam_state = read_user(
            self.iam_of(mail.account_id), mail.user, (user.name,), facts
        ) or IamState(exists=True)
        request = self.store.request(mail.request_id) if mail.request_id else None
        if (reason := reason_to_skip(mail, iam_state, known, now, request=request)) is not None:
            return self._skipped(claim, reason)
        mail = with_current_request(mail, request)
        if waits_for_mail_hours(mail) and not self.mail_hours.include(now):
            return self._wait_until(claim, self.mail_hours.next_opening(now))
        if mail.kind.to_security:
            return self._send(claim, mail, self._security(), Recipient())
        return self._mail_user(claim, mail, user, known)

    def _mail_user(
        self, claim: Claim, mail: MailAboutUser, user: IamUser, known: User | None
    ) -> Delivery:
        """Write to the first of a user's addresses that takes it."""
        bad = known.bad_addresses if known else frozenset()
        override = known.address if known else None
        manager = self.addresses.manager(user.tags)
        copied = mail.kind is MailKind.FINAL_WARNING and manager and manager.casefold() not in bad
        reader = Recipient(self.addresses.language(user.tags), manager if copied else None)
        while address := self.addresses.find(user.name, user.tags, override=override, bad=bad):
            said = ""
            # Of a mail with a copy, SES does not say which address is none.
            for copy in dict.fromkeys([reader.cc, None]):
                try:
                    return self._send(claim, mail, address.address, replace(reader, cc=copy))
                except BadAddressError as error:
                    said = str(error)
            self._mark_bad(claim.intent, address.address, said)
            bad |= {address.address.casefold()}
        # The note is one of those that the mail to security has words for, in each language.
        note = "bad_address" if bad else "no_address"
        self.outbox.note_unreachable(mail, why=note, now=self.clock())
        return self._skipped(claim, "no address that is allowed and does not bounce")

    def _mark_bad(self, intent: Intent, address: str, said: str) -> None:
        """Note an address that SES does not even take. The mail tries the next one itself."""
        report = MailReport(
            id=f"{intent.id}/{address.casefold()}",
            at=self.clock(),
            message_id="none",
            intent_id=intent.id,
            outcome=MailOutcome.REJECTED,
            to=address,
            recipients=(address,),
            unreachable=True,
            detail=said,
        )
        record_report(self.store, report, intent, now=self.clock(), in_hand=True)

    def _security(self) -> str:
        if not self.security_address:
            raise RefusedError("there is no SecurityAddress to send it to")
        return self.security_address

    def _send(self, claim: Claim, mail: Mail, to: str, reader: Recipient) -> Delivery:
        alias = self.aliases.alias(mail.account_id)
        words = self.renderer.render(mail, reader.language, alias=alias)
        message = Message(
            to,
            words.subject,
            words.html,
            words.text,
            cc=reader.cc,
            thread=mail.reference,
            tags={"mail": mail.kind.value, "intent": claim.intent.id},
        )
        self.sending_rate.wait_for_slot(2 if message.cc else 1)
        return self._sent(claim, self.mailer.send(message), to)

    def _current(self, key: UserKey, *names: str) -> IamUser | None:
        """Find the user as IAM has him now: he may have been renamed since the decision."""
        for name in dict.fromkeys(names):
            user = self.iam_of(key.account_id).user(name)
            if user and user.user_id == key.user_id:
                return user
        return None

    def _sent(self, claim: Claim, receipt: str, to: str) -> Delivery:
        # SES's own report that it took the mail may have been quicker.
        with suppress(LostRaceError):
            self.outbox.mark_sent(claim, receipt=receipt, to=to, now=self.clock())
        return _delivery(claim, DeliveryResult.SENT)

    def _skipped(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_skipped(claim, reason=reason, now=self.clock())
        return _delivery(claim, DeliveryResult.SKIPPED, reason)

    def _failed(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_failed(claim, reason=reason, now=self.clock())
        return _delivery(claim, DeliveryResult.FAILED, reason)

    def _wait_until(self, claim: Claim, due_at: datetime) -> Delivery:
        reason = "outside the mail hours"
        self.outbox.put_back(claim, reason=reason, due_at=due_at, waited=True)
        return _delivery(claim, DeliveryResult.PUT_BACK, reason)

    def _put_back(self, claim: Claim, error: NotSentError | IamReadError) -> Delivery:
        reason, now = str(error), self.clock()
        wait = _wait_for(error)
        if wait is None and claim.tries >= MAX_ATTEMPTS:
            return self._failed(claim, f"given up after {claim.tries} attempts: {reason}")
        if wait is not None and now - claim.intent.created_at >= GIVE_UP_AFTER:
            return self._failed(claim, f"given up after {GIVE_UP_AFTER.days} days: {reason}")
        due_at = now + (wait_after(claim.tries) if wait is None else wait)
        self.outbox.put_back(claim, reason=reason, due_at=due_at, waited=wait is not None)
        stopped = isinstance(error, SendingStoppedError)
        return _delivery(
            claim, DeliveryResult.STOPPED if stopped else DeliveryResult.PUT_BACK, reason
        )


def _wait_for(error: NotSentError | IamReadError) -> timedelta | None:
    """Say how long to wait where nothing is wrong with the mail; None: each failure longer."""
    match error:
        case ThrottledError():
            return NEXT_TURN
        case QuotaUsedUpError():
            return QUOTA_WAIT
        case SendingStoppedError():
            return STOPPED_WAIT
        case _:
            return None


def _naming(intent: Intent, aliases: Mapping[str, str | None]) -> Intent:
    act = intent.act
    if not isinstance(act, Alert):
        return intent
    return replace(intent, act=act.with_account_alias(aliases.get(act.account_id or "")))


def wait_after(attempts: int) -> timedelta:
    """Give the wait after that many attempts: doubling from a minute up to an hour."""
    doubled: timedelta = FIRST_RETRY * 2 ** (attempts - 1)
    return min(doubled, LONGEST_WAIT)


def _delivery(claim: Claim, result: DeliveryResult, reason: str | None = None) -> Delivery:
    return Delivery(claim.intent.id, result, claim.intent.event_id, reason)
