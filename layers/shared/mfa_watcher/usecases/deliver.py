"""Delivery of intents: claim, send, mark."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.notifications import relevance
from mfa_watcher.domain.notifications.digests import is_sent_at_once, is_urgent
from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport
from mfa_watcher.domain.notifications.mails import Mail, UnreachableUsersMail
from mfa_watcher.domain.policy import MailHours
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.user import IamState, MailKind, User, UserKey
from mfa_watcher.ports import errors, notifications
from mfa_watcher.ports.accounts import AccountAliases
from mfa_watcher.ports.iam import IamReaderFactory, IamUser
from mfa_watcher.ports.outbox import Claim, Outbox
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.mail_feedback import record_report
from mfa_watcher.usecases.read_user import read_user

FIRST_RETRY = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
MAX_LAPSES = 3
"""How often a function may crash in an attempt before it is the last: each may have sent the mail.
"""

MAX_ATTEMPTS = 30
"""With the waits above, about 25 hours of failures."""

MAX_ALIASES_READ = 20
"""In a message with many alerts, so many accounts are named by their alias: each may cost a call to
STS and one to IAM, and the message must be sent within the function's time."""

NEXT_TURN = timedelta(seconds=30)
QUOTA_WAIT = timedelta(hours=1)
STOPPED_WAIT = timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(days=14)
"""How long an intent waits for the sending rate, a free quota, or an account that may send again.
Such a wait is no failed attempt, but after two weeks the message has no value any more."""


class DeliveryResult(StrEnum):
    """What became of an intent."""

    SENT = "sent"
    SKIPPED = "skipped"
    PUT_BACK = "put_back"
    STOPPED = "stopped"
    """Put back, and the account may not send any mail: other mails need not be tried."""
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
class DeliverIntents:
    """Delivers intents, one at a time.

    A crash between sending and marking is the one moment that can send twice: neither SES nor SNS
    accepts an idempotency token. The claim keeps that window as small as possible. The alternative,
    to lose the mail, would be worse.
    """

    outbox: Outbox
    store: Store
    iam_of: IamReaderFactory
    aliases: AccountAliases
    mailer: notifications.Mailer
    alerter: notifications.Alerter
    renderer: notifications.MailRenderer
    addresses: AddressBook
    security_address: str
    mail_hours: MailHours
    sending_rate: notifications.SendingRate
    window: notifications.AlertCounter
    clock: Callable[[], datetime]

    def deliver(self, intent_id: str) -> Delivery:
        """Deliver an intent if it is due and nobody else delivers it. Safe to call repeatedly.

        Whatever goes wrong is recorded in the intent: it is put back for later, or failed with the
        reason. Other errors (a bug, the table does not answer) go to the caller; the intent is
        available again when its claim runs out.
        """
        claim = self.outbox.claim(intent_id, now=self.clock())
        if claim is None:
            return Delivery(intent_id, DeliveryResult.NOT_OURS)
        if claim.lapses > MAX_LAPSES:
            return self._failed(claim, f"given up after {claim.lapses} attempts without an end")
        try:
            match claim.intent.act:
                case Alert() as alert:
                    return self._deliver_alert(claim, alert)
                case mail:
                    return self._deliver_mail(claim, mail)
        except errors.RefusedError as error:
            return self._failed(claim, str(error))
        except (errors.NotSentError, errors.IamReadError) as error:
            return self._put_back(claim, error)

    def deliver_together(self, intent_ids: Iterable[str]) -> list[Delivery]:
        """Deliver alerts that are due, in one message if they are more than one.

        All are claimed first and marked afterwards, each by itself. What a crash leaves claimed is
        due again when its claim runs out, and is then sent again.
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
            receipt = self._send_alerts([claim.intent for claim in claims])
        except errors.RefusedError as error:
            return deliveries + [self._failed(claim, str(error)) for claim in claims]
        except errors.NotSentError as error:
            return deliveries + [self._put_back(claim, error) for claim in claims]
        return deliveries + [self._sent(claim, receipt, "security") for claim in claims]

    # --- alerts ---

    def _deliver_alert(self, claim: Claim, alert: Alert) -> Delivery:
        """Send the first alerts of a window at once; redeliver sends the others together."""
        now = self.clock()
        slot = self.window.count(urgent=is_urgent(alert), now=now)
        if not is_sent_at_once(alert, slot.number):
            return self._wait(claim, "sent together with other alerts", slot.until)
        return self._sent(claim, self._send_alerts([claim.intent]), "security")

    def _send_alerts(self, intents: list[Intent]) -> str:
        named = [_with_account_alias(one, self._aliases(intents)) for one in intents]
        match named:
            case [Intent(id=intent_id, act=Alert() as alert)]:
                return self.alerter.send(alert, intent_id=intent_id)
            case _:
                return self.alerter.send_digest(named)

    def _aliases(self, intents: list[Intent]) -> dict[str, str | None]:
        """Return the aliases of alerts' accounts, without those that cannot be read."""
        alerts = [one.act for one in intents if isinstance(one.act, Alert)]
        numbers = dict.fromkeys(alert.account_id for alert in alerts if alert.account_id.isdigit())
        aliases = {}
        for account_id in list(numbers)[:MAX_ALIASES_READ]:
            with suppress(errors.IamReadError):
                aliases[account_id] = self.aliases.alias(account_id)
        return aliases

    # --- mails ---

    def _deliver_mail(  # noqa: PLR0911 - each is one end of a delivery
        self, claim: Claim, mail: Mail
    ) -> Delivery:
        """Send a mail to the first of its recipient's addresses that SES accepts."""
        if isinstance(mail, UnreachableUsersMail):
            return self._send(claim, mail, self._security())
        known = self.store.user(mail.user)
        user = self._find_user(mail.user, known.name if known else mail.user_name, mail.user_name)
        if user is None:
            return self._skipped(claim, "the user is gone")
        now, facts = self.clock(), relevance.facts_needed_to_send(mail)
        iam_state = read_user(self.iam_of(mail.account_id), mail.user, (user.name,), facts)
        request = self.store.request(mail.request_id) if mail.request_id else None
        iam_state = iam_state or IamState(exists=True)
        if (
            reason := relevance.reason_to_skip(mail, iam_state, known, now, request=request)
        ) is not None:
            return self._skipped(claim, reason)
        mail = relevance.with_current_request(mail, request)
        if relevance.waits_for_mail_hours(mail) and not self.mail_hours.include(now):
            return self._wait(claim, "outside the mail hours", self.mail_hours.next_opening(now))
        if mail.kind.to_security:
            return self._send(claim, mail, self._security())
        bad = known.bad_addresses if known else frozenset()
        addresses, language = self._addresses(user, known, bad), self.addresses.language(user.tags)
        manager = self.addresses.manager(user.tags)
        copied = mail.kind is MailKind.FINAL_WARNING and manager and manager.casefold() not in bad
        for address in addresses:
            refusal = ""
            # If a mail with a copy is refused, SES does not say which of the addresses is invalid.
            for copy in [manager, None] if copied else [None]:
                try:
                    return self._send(claim, mail, address, language, copy)
                except errors.BadAddressError as error:
                    refusal = str(error)
            self._mark_bad(claim.intent, address, refusal)
        # The note is one of those that the mail to security has words for, in each language.
        note = "bad_address" if addresses or bad else "no_address"
        self.outbox.record_unreachable(mail, why=note, now=self.clock())
        return self._skipped(claim, "no address that is allowed and does not bounce")

    def _addresses(self, user: IamUser, known: User | None, bad: frozenset[str]) -> tuple[str, ...]:
        """Return the addresses that may be tried in turn."""
        addresses: dict[str, str] = {}
        override = known.address if known else None
        for one in self.addresses.candidates(user.name, user.tags, override=override):
            addresses.setdefault(one.casefold(), one)
        return tuple(address for key, address in addresses.items() if key not in bad)

    def _mark_bad(self, intent: Intent, address: str, refusal: str) -> None:
        """Record an address that SES does not accept. The mail is sent to the next one here."""
        report = MailReport(
            id=f"{intent.id}/{address.casefold()}",
            at=self.clock(),
            message_id="none",
            intent_id=intent.id,
            outcome=MailOutcome.REJECTED,
            to=address,
            recipients=(address,),
            unreachable=True,
            detail=refusal,
        )
        record_report(self.store, report, intent, now=self.clock(), in_hand=True)

    def _security(self) -> str:
        if not self.security_address:
            raise errors.RefusedError("there is no SecurityAddress to send it to")
        return self.security_address

    def _send(
        self, claim: Claim, mail: Mail, to: str, language: str | None = None, cc: str | None = None
    ) -> Delivery:
        alias = self.aliases.alias(mail.account_id)
        rendered = self.renderer.render(mail, language, alias=alias)
        message = notifications.Message(
            to,
            rendered.subject,
            rendered.html,
            rendered.text,
            cc=cc,
            thread=mail.reference,
            tags={"mail": mail.kind.value, "intent": claim.intent.id},
        )
        self.sending_rate.wait_for_slot(2 if cc else 1)
        return self._sent(claim, self.mailer.send(message), to)

    def _find_user(self, key: UserKey, *names: str) -> IamUser | None:
        """Return the user as IAM has them now: they may be renamed since the decision."""
        for name in dict.fromkeys(names):
            user = self.iam_of(key.account_id).user(name)
            if user and user.user_id == key.user_id:
                return user
        return None

    # --- how a delivery ends ---

    def _sent(self, claim: Claim, receipt: str, to: str) -> Delivery:
        # SES's own report that it took the mail may have arrived first.
        with suppress(errors.LostRaceError):
            self.outbox.mark_sent(claim, receipt=receipt, to=to, now=self.clock())
        return _delivery(claim, DeliveryResult.SENT)

    def _skipped(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_skipped(claim, reason=reason, now=self.clock())
        return _delivery(claim, DeliveryResult.SKIPPED, reason)

    def _failed(self, claim: Claim, reason: str) -> Delivery:
        self.outbox.mark_failed(claim, reason=reason, now=self.clock())
        return _delivery(claim, DeliveryResult.FAILED, reason)

    def _wait(self, claim: Claim, reason: str, due_at: datetime) -> Delivery:
        self.outbox.put_back(claim, reason=reason, due_at=due_at, waited=True)
        return _delivery(claim, DeliveryResult.PUT_BACK, reason)

    def _put_back(self, claim: Claim, error: errors.NotSentError | errors.IamReadError) -> Delivery:
        reason, now = str(error), self.clock()
        wait = _wait_for(error)
        if wait is None and claim.tries >= MAX_ATTEMPTS:
            return self._failed(claim, f"given up after {claim.tries} attempts: {reason}")
        if wait is not None and now - claim.intent.created_at >= GIVE_UP_AFTER:
            return self._failed(claim, f"given up after {GIVE_UP_AFTER.days} days: {reason}")
        due_at = now + (wait_after(claim.tries) if wait is None else wait)
        self.outbox.put_back(claim, reason=reason, due_at=due_at, waited=wait is not None)
        stopped = isinstance(error, errors.SendingStoppedError)
        result = DeliveryResult.STOPPED if stopped else DeliveryResult.PUT_BACK
        return _delivery(claim, result, reason)


def _wait_for(error: errors.NotSentError | errors.IamReadError) -> timedelta | None:
    """Return how long to wait if the mail itself is not at fault.

    None: the wait grows with each attempt.
    """
    match error:
        case errors.ThrottledError():
            return NEXT_TURN
        case errors.QuotaUsedUpError():
            return QUOTA_WAIT
        case errors.SendingStoppedError():
            return STOPPED_WAIT
        case _:
            return None


def _with_account_alias(intent: Intent, aliases: Mapping[str, str | None]) -> Intent:
    act = intent.act
    if not isinstance(act, Alert):
        return intent
    return replace(intent, act=act.with_account_alias(aliases.get(act.account_id or "")))


def wait_after(attempts: int) -> timedelta:
    """Return the wait after that many attempts: doubling from a minute up to an hour."""
    doubled: timedelta = FIRST_RETRY * 2 ** (attempts - 1)
    return min(doubled, LONGEST_WAIT)


def _delivery(claim: Claim, result: DeliveryResult, reason: str | None = None) -> Delivery:
    return Delivery(claim.intent.id, result, claim.intent.event_id, reason)
