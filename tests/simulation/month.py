"""A month of the real use cases and adapters, by a clock that the simulation moves.

Only what is not ours is made up: the table, IAM, SES and SNS. Everything that may go wrong without
being anybody's fault does: see ``Month``.
"""

import heapq
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any

from mfa_watcher.adapters.accounts import NamedAccounts
from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.sending_rate import DynamoAlertCounter, DynamoSendingRate
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.events.tampering import Watcher
from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport
from mfa_watcher.domain.notifications.mails import Mail, UnreachableUsersMail
from mfa_watcher.domain.policy import MailHours, Policy
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_event
from mfa_watcher.mail.rendering import JinjaMailRenderer, MailContext
from mfa_watcher.ports.errors import (
    BadAddressError,
    IamReadError,
    LostRaceError,
    SendingStoppedError,
)
from mfa_watcher.ports.iam import IamUser
from mfa_watcher.ports.notifications import Message, RenderedMail
from mfa_watcher.usecases.administer import AdministerUsers
from mfa_watcher.usecases.deliver import DeliverIntents, DeliveryResult
from mfa_watcher.usecases.mail_feedback import RecordMailFeedback
from mfa_watcher.usecases.observe import ObserveEvents
from mfa_watcher.usecases.remind import RemindUsers
from tests.simulation.interleaving import Interleaver
from tests.simulation.oracle import SECURITY, Letter
from tests.simulation.user_histories import (
    DOMAIN,
    END,
    FIRST_DAY,
    MINUTE,
    ZONE,
    Life,
    Script,
    Sent,
    Word,
    within,
)
from tests.support.builders import ACCOUNT, ADMIN, Json, envelope, iam_call, iam_user, sign_in
from tests.support.dynamodb import MemoryDynamo

AT_ONCE = 4
"""How many functions run at the same time, at most."""


class Crash(BaseException):
    """A function's process ends here."""


@dataclass
class Clock:
    """Stands still until it is moved, and never goes back."""

    time: datetime = FIRST_DAY

    def __call__(self) -> datetime:
        """Return the time."""
        return self.time

    def move_to(self, moment: datetime) -> None:
        """Let time go by until a moment, if it has not yet."""
        self.time = max(self.time, moment)


class Iam:
    """What IAM says of the users now, by the scripts of their lives."""

    def __init__(self, script: Script, clock: Clock, turn: Callable[[], None]) -> None:
        """Take the script."""
        self._script = script
        self._clock = clock
        self._turn = turn
        self._named: dict[str, dict[str, Life]] = {}
        for life in script.lives:
            for _, state in life.states:
                self._named.setdefault(state.name.casefold(), {})[life.user_id] = life

    def _life(self, name: str) -> Life | None:
        self._turn()
        now = self._clock()
        if within(self._script.iam_out, now):
            raise IamReadError("IAM did not answer: Throttling")
        for life in self._named.get(name.casefold(), {}).values():
            state = life.at(now)
            if state.exists and state.name.casefold() == name.casefold():
                return life
        return None

    def user(self, name: str) -> IamUser | None:
        """Return the user of that name."""
        life = self._life(name)
        if life is None:
            return None
        state = life.at(self._clock())
        return IamUser(life.user_id, state.name, f"arn:{state.name}", dict(state.tags))

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Return a user's devices."""
        life = self._life(name)
        return tuple(map(Device, life.at(self._clock()).devices)) if life else None

    def has_console_access(self, name: str) -> bool:
        """Return whether there is a console password."""
        life = self._life(name)
        return life is not None and life.at(self._clock()).console


@dataclass
class Ses:
    """Takes mails, and reports what became of them to whoever wants to know."""

    script: Script
    clock: Clock
    turn: Callable[[], None]
    sent: list[tuple[datetime, Message]] = field(default_factory=list)
    crash: str = ""
    """Whether the function that sends next dies ``before`` SES has the mail, or ``after``."""
    reported: Callable[[MailReport], None] = lambda _report: None

    def send(self, message: Message) -> str:
        """Take a mail."""
        self.turn()
        now = self.clock()
        if self.crash == "before":
            self.crash = ""
            raise Crash
        if within(self.script.ses_out, now):
            raise SendingStoppedError("SES: SendingPausedException")
        if message.to in self.script.post.refused:
            raise BadAddressError("SES: BadRequestException: Domain contains illegal character")
        self.sent.append((now, message))
        receipt = f"ses-{len(self.sent)}"
        for address in filter(None, (message.to, message.cc)):
            self.reported(self._report(receipt, message, address, now))
        if self.crash:
            self.crash = ""
            raise Crash
        return receipt

    def _report(self, receipt: str, message: Message, address: str, now: datetime) -> MailReport:
        post = self.script.post
        bounced = address in post.bounces
        outcome = (
            MailOutcome.BOUNCED
            if bounced
            else MailOutcome.COMPLAINED
            if address in post.complains
            else MailOutcome.DELIVERED
        )
        return MailReport(
            id=f"{receipt}/{address}",
            at=now,
            message_id=receipt,
            intent_id=message.tags["intent"],
            outcome=outcome,
            to=message.to,
            recipients=(address,),
            unreachable=bounced,
        )


@dataclass
class Sns:
    """Takes alerts."""

    turn: Callable[[], None]
    told: list[str] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Take one."""
        self.turn()
        self.told.append(f"{alert.kind} {intent_id}")
        return "sns"

    def send_digest(self, intents: Sequence[Intent]) -> str:
        """Take several."""
        self.turn()
        self.told += [f"{intent.act.kind} {intent.id}" for intent in intents]
        self.digests.append(len(intents))
        return "sns"


class NoAliases:
    """The account has no alias."""

    def alias(self, _account_id: str) -> None:
        """As IAM answers."""


class Words:
    """Writes on each mail what it is, for the oracle; and one in so many in the real words."""

    def __init__(self, real_one_in: int) -> None:
        """Take how often the mail is really rendered."""
        self._one_in = real_one_in
        self._numbers = count()
        self._real = JinjaMailRenderer(MailContext("aws", SECURITY))
        self.cases: Counter[str] = Counter()

    def render(self, mail: Mail, language: str | None, *, alias: str | None) -> RenderedMail:
        """Return the mail."""
        if isinstance(mail, UnreachableUsersMail):
            who, name, listed = "", "", [user.user_name for user in mail.users]
        else:
            who, name, listed = mail.user.user_id, mail.user_name, []
        head = json.dumps([who, mail.kind.value, getattr(mail, "step", 0), language or ""])
        if next(self._numbers) % self._one_in:
            return RenderedMail(head, "", json.dumps(listed))
        words = self._real.render(mail, language, alias=alias)
        assert name in words.text
        return RenderedMail(head, words.html, json.dumps(listed))


class Month:
    """Plays a script.

    Records come late, twice, in any order and at the same time, or never. The schedule fires as
    the script says; its runs meet, and some crash at any call and are started again, as Lambda
    does. The stream loses some intents and brings others twice, also to two at the same time or
    while the schedule sweeps; some deliveries crash right before SES has the mail, or right after.
    """

    def __init__(
        self,
        script: Script,
        *,
        seed: int,
        real_one_in: int = 25,
        rate: float = 1000.0,
        call_takes: timedelta = timedelta(0),
    ) -> None:
        """Put the parts together, as ``bootstrap`` does.

        By default the clock stands still while functions run, so that a run at nine is at nine.
        """
        self.script = script
        self.random = Random(seed)  # noqa: S311 - a simulation
        self.call_takes = call_takes
        self.clock = Clock()
        self.interleaver = Interleaver(seed)
        self._here = threading.local()
        self.table = MemoryDynamo(self._turn, seed=seed)
        self.iam = Iam(script, self.clock, self._turn)
        self.ses = Ses(script, self.clock, self._turn, reported=self._reported)
        self.sns = Sns(self._turn)
        self.words = Words(real_one_in)
        addresses = AddressBook(frozenset({DOMAIN}), ("email",), DOMAIN)
        policy = Policy(mail_hours=MailHours(zone=ZONE), addresses=addresses)
        client = self._client()
        self.store = DynamoStore(
            Table(client, "t"),
            remember_events=policy.remember_events,
            keep_evidence=timedelta(days=400),
        )
        self.outbox = DynamoOutbox(Table(client, "t"), keep_evidence=timedelta(days=400))
        sending_rate = DynamoSendingRate(
            Table(client, "t"),
            rate=lambda: rate,
            clock=self.clock,
            sleep=self._sleep,
        )
        window = DynamoAlertCounter(Table(client, "t"), length=MINUTE)
        self.deliverer = DeliverIntents(
            outbox=self.outbox,
            store=self.store,
            iam_of=lambda _account: self.iam,
            aliases=NoAliases(),
            mailer=self.ses,
            alerter=self.sns,
            renderer=self.words,
            addresses=addresses,
            security_address=SECURITY,
            mail_hours=policy.mail_hours,
            sending_rate=sending_rate,
            window=window,
            clock=self.clock,
        )
        self.observer = ObserveEvents(
            NamedAccounts(ACCOUNT),
            Watcher(),
            self.store,
            lambda _account: self.iam,
            policy,
            self.clock,
        )
        self.reminder = RemindUsers(
            self.store, lambda _account: self.iam, policy, self.clock, ACCOUNT
        )
        self.postmaster = RecordMailFeedback(self.store, self.outbox, policy, self.clock)
        ids = (f"word-{number}" for number in count())
        self.desk = AdministerUsers(
            account_id=ACCOUNT,
            caller="arn:security",
            store=self.store,
            iam=self.iam,
            policy=policy,
            addresses=addresses,
            clock=self.clock,
            new_id=lambda: next(ids),
        )
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()
        self._sweep_at: datetime | None = None
        self.crashes = 0
        self.runs = 0

    def _client(self) -> Any:
        """Return what the adapters take for DynamoDB's client."""
        return self.table

    # The agenda -----------------------------------------------------------------------------------

    def play(self) -> None:
        """Play the month, and go on until nothing is on its way any more."""
        for life in self.script.lives:
            for number, record in enumerate(life.records):
                body = envelope(_record(life, number, record))
                for at in record.arrives:
                    self._plan(at, partial(self._observe, body))
            for word in life.words:
                self._plan(word.at, partial(self._say, life, word))
        for at, times in self.script.runs:
            for _ in range(times):
                self._plan(at, self._round)
        while self._agenda:
            now = self._agenda[0][0]
            self.clock.move_to(now)
            runs = []
            while self._agenda and self._agenda[0][0] == now:
                runs.append(heapq.heappop(self._agenda)[2])
            self.random.shuffle(runs)
            for first in range(0, len(runs), AT_ONCE):
                self.interleaver.together(runs[first : first + AT_ONCE])
            self._stream()
            self._plan_sweep()

    def hear_all(self) -> None:
        """Let all records arrive, and nothing follow yet."""
        for life in self.script.lives:
            for number, record in enumerate(life.records):
                self.clock.move_to(record.arrives[0])
                self._observed(envelope(_record(life, number, record)))

    def deliver_all(self, intent_ids: list[str]) -> None:
        """One run after the other of ``deliver``."""
        for intent_id in intent_ids:
            self.deliverer.deliver(intent_id)

    def _plan(self, at: datetime, act: Callable[[], None]) -> None:
        """Put a run on the agenda. What begins in the month is brought to its end."""
        if at < END or self.clock() >= END - 30 * MINUTE:
            heapq.heappush(self._agenda, (at, next(self._order), act))

    def _plan_sweep(self) -> None:
        """Fire the schedule every minute; but the minutes in which nothing is due are left out."""
        due = self.table.next_due("DUE#", "ALERT#")
        if due is None:
            return
        at = max(datetime.fromisoformat(due), self.clock())
        at = at.replace(second=0, microsecond=0) + MINUTE
        if self._sweep_at is None or at < self._sweep_at or self._sweep_at <= self.clock():
            self._sweep_at = at
            self._plan(at, self.sweep)

    # What AWS does --------------------------------------------------------------------------------

    def _turn(self) -> None:
        self.clock.time += self.call_takes
        self.interleaver.turn()
        if (left := getattr(self._here, "calls_left", None)) is not None:
            self._here.calls_left = left - 1
            if left == 0:
                raise Crash

    def _sleep(self, seconds: float) -> None:
        """Let the others run meanwhile."""
        until = self.clock() + timedelta(seconds=seconds)
        while self.call_takes and self.clock() < until:
            self._turn()

    def _may_crash(self, run: Callable[[], None], chance: float, calls: int) -> bool:
        """Make a run, or a part of it; tells whether it got to its end."""
        crashes = self.random.random() < chance
        self._here.calls_left = self.random.randrange(calls) if crashes else None
        try:
            run()
        except Crash:
            self.crashes += 1
            return False
        finally:
            self._here.calls_left = None
        return True

    def _observe(self, body: str) -> None:
        """A record that could not be acted on stays in its queue."""
        try:
            if not self._may_crash(lambda: self._observed(body), 0.05, 8):
                self._plan(self.clock(), partial(self._observe, body))
        except IamReadError:
            self._plan(self.clock() + 3 * MINUTE, partial(self._observe, body))
        except LostRaceError:
            self._plan(self.clock(), partial(self._observe, body))

    def _observed(self, body: str) -> None:
        self.observer.observe(parse_event(body))

    def _say(self, life: Life, word: Word) -> None:
        name = life.at(self.clock()).name
        try:
            if word.until:
                self.desk.grant(name, reason="waits for their key", until=word.until)
            else:
                self.desk.revoke(name)
        except LostRaceError:
            self._plan(self.clock(), partial(self._say, life, word))

    def _round(self) -> None:
        """One run of ``remind``; Lambda starts one that crashed again."""
        self.runs += 1
        if not self._may_crash(self._made_rounds, 0.1, 120):
            self._plan(self.clock(), self._round)

    def _made_rounds(self) -> None:
        if not self.reminder.is_mailing_time():
            return
        for key in self.reminder.due():
            with suppress(IamReadError):  # the user stays due
                self.reminder.remind(key)
        self.reminder.report_unreachable()

    def _stream(self) -> None:
        """Bring new intents to ``deliver``: once, twice, twice at the same time, or not at all."""
        while self.table.inserted:
            taken = [pk.removeprefix("INTENT#") for pk in self.table.inserted]
            self.table.inserted.clear()
            for intent_id in taken:
                lot = self.random.random()
                if lot < 0.04:
                    continue
                if lot < 0.08:
                    self.ses.crash = "before" if lot < 0.06 else "after"
                runs: list[Callable[[], None]] = [partial(self._deliver, intent_id)] * (
                    2 if 0.1 < lot < 0.2 else 1
                )
                if 0.15 < lot < 0.2:
                    runs.append(self.sweep)
                self.interleaver.together(runs)
                self.ses.crash = ""

    def _deliver(self, intent_id: str) -> None:
        try:
            self.deliverer.deliver(intent_id)
        except Crash:
            self.crashes += 1

    def sweep(self) -> None:
        """One run of ``redeliver``."""
        now = self.clock()
        if alerts := list(self.outbox.due_alerts(now=now)):
            self.deliverer.deliver_together(alerts)
        for intent_id in self.outbox.due(now=now):
            if self.deliverer.deliver(intent_id).result is DeliveryResult.STOPPED:
                break

    def _reported(self, report: MailReport) -> None:
        """SES reports within a minute, now and then twice."""
        self._plan(self.clock() + MINUTE, partial(self._read, report))
        if self.random.random() < 0.1:
            self._plan(
                self.clock() + self.random.randrange(1, 90) * MINUTE, partial(self._read, report)
            )

    def _read(self, report: MailReport) -> None:
        if not self._may_crash(lambda: self._have_read(report), 0.05, 6):
            self._plan(self.clock(), partial(self._read, report))

    def _have_read(self, report: MailReport) -> None:
        self.postmaster.record(report)

    # What came of it ------------------------------------------------------------------------------

    def letters(self) -> list[tuple[datetime, Letter]]:
        """Return the mails that SES took, about one user each."""
        found = []
        for at, message in self.ses.sent:
            user_id, kind, step, language = json.loads(message.subject)
            if user_id:
                security = message.to == SECURITY
                letter = Letter(
                    user_id,
                    kind,
                    _step(kind, step),
                    message.to,
                    message.cc or "",
                    "" if security else language,
                )
                found.append((at, letter))
        return found

    def reported_unreachable(self) -> Counter[str]:
        """Return how often each user was told of as out of reach."""
        names: Counter[str] = Counter()
        for _, message in self.ses.sent:
            if json.loads(message.subject)[1] == "unreachable":
                names.update(json.loads(message.text))
        return names


def _step(kind: str, step: int) -> int:
    return step if kind in {"reminder", "final_warning", "security_case"} else 0


def _record(life: Life, number: int, record: Sent) -> Json:  # noqa: PLR0911 - a table
    """Write the record as CloudTrail does."""
    seed, at, name = f"{life.user_id}-{number}", record.at, record.name
    identity, named = iam_user(name, life.user_id), {"userName": name}
    match record.what:
        case "sign_in" | "sign_in_with_mfa":
            mfa = "Yes" if record.what == "sign_in_with_mfa" else "No"
            return sign_in(identity, seed, mfa=mfa, at=at)
        case "created":
            made = {**named, "userId": life.user_id}
            return iam_call(
                "CreateUser", ADMIN, seed, at=at,
                requestParameters=named, responseElements={"user": made},
            )  # fmt: skip
        case "granted":
            profile = {**named, "passwordResetRequired": True}
            return iam_call(
                "CreateLoginProfile", ADMIN, seed, at=at,
                requestParameters=profile, responseElements={"loginProfile": profile},
            )  # fmt: skip
        case "enabled":
            asked = {**named, "serialNumber": record.detail}
            return iam_call("EnableMFADevice", identity, seed, at=at, requestParameters=asked)
        case "removed":
            asked = {**named, "serialNumber": record.detail}
            return iam_call("DeactivateMFADevice", ADMIN, seed, at=at, requestParameters=asked)
        case "entity_deleted":
            asked = {"serialNumber": record.detail}
            return iam_call("DeleteVirtualMFADevice", ADMIN, seed, at=at, requestParameters=asked)
        case "renamed":
            asked = {**named, "newUserName": record.detail}
            return iam_call("UpdateUser", ADMIN, seed, at=at, requestParameters=asked)
        case what:
            call = {"access_removed": "DeleteLoginProfile", "deleted": "DeleteUser"}[what]
            return iam_call(call, ADMIN, seed, at=at, requestParameters=named)
