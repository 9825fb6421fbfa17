"""A storm of findings: a mail to each user, under the account's rate, and one list to security."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.sending_rate import DynamoAlertCounter, DynamoSendingRate
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent, Severity
from mfa_watcher.domain.policy import MailHours
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.ports.iam import IamUser
from mfa_watcher.ports.notifications import Message, RenderedMail
from mfa_watcher.usecases.deliver import DeliverIntents, DeliveryResult
from tests.functions.product import Output, Product
from tests.support.account import TABLE, Account, Crash, Refusal, client, opened
from tests.support.builders import ACCOUNT, NOW, ROOT, a_decision, a_mail, iam_user, later, sign_in
from tests.support.dynamodb import MemoryDynamo

KEEP = timedelta(days=400)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def stormy(product: Product) -> Product:
    """The product as it is deployed: alerts of one minute are gathered."""
    product.digest_seconds = 60
    return product


def store_on(dynamodb: Any) -> DynamoStore:
    return DynamoStore(
        Table(dynamodb, TABLE), remember_events=timedelta(days=35), keep_evidence=KEEP
    )


def alerts(count: int, severity: Severity = Severity.MEDIUM, name: str = "alert") -> list[Intent]:
    facts = (("User", "ana"), ("Account", ACCOUNT))
    act = Alert(
        AlertKind.SIGN_IN_WITHOUT_MFA, severity, "Console sign-in without MFA", facts, ACCOUNT
    )
    return [Intent(f"{name}-{n}", f"e{n}", NOW, act) for n in range(count)]


def committed(account: Account, *intents: Intent, seed: str = "e") -> None:
    for at in range(0, len(intents), 50):
        decision = a_decision(f"{seed}{at}", *intents[at : at + 50], user=None)
        store_on(client("dynamodb")).commit(decision, now=account.clock())


def ids_told(account: Account) -> Counter[str]:
    """Count how often each alert was told, alone or in a digest."""
    told: Counter[str] = Counter()
    while messages := account.alerts():
        for message in messages:
            for line in message["Message"].splitlines():
                alone = line.removeprefix("Alert id: ") if line.startswith("Alert id: ") else ""
                if found := alone or (line.rpartition(" | ")[2] if " | " in line else ""):
                    told[found] += 1
    return told


def test_findings_of_one_minute_cause_a_mail_to_each_user_and_one_digest(
    stormy: Product, account: Account
) -> None:
    """A hundred are played in tests/simulation/: moto copies its table at each transaction."""
    names = [f"user{n}" for n in range(20)]
    records = [sign_in(iam_user(name, account.new_user(name)), name) for name in names]
    for at in range(0, 20, 5):
        stormy.observe(*records[at : at + 5])
        stormy.deliver()
        account.clock.move(timedelta(seconds=10))
    assert account.calls.sent == {"mail guide": 20, "alert sign_in_without_mfa": 1}
    account.clock.move(MINUTE)
    assert stormy.redeliver() == {"sent": 19}
    assert account.calls.sent == {
        "mail guide": 20,
        "alert sign_in_without_mfa": 1,
        "alert digest": 1,
    }
    told = ids_told(account)
    assert len(told) == 20
    assert set(told.values()) == {1}


def test_every_alert_of_a_digest_is_marked_with_its_receipt(
    stormy: Product, account: Account
) -> None:
    committed(account, *alerts(4))
    stormy.deliver()
    account.clock.move(2 * MINUTE)
    stormy.redeliver()
    receipts = Counter(item["receipt"] for item in account.items("INTENT#"))
    assert sorted(receipts.values()) == [1, 3]
    assert {item["status"] for item in account.items("INTENT#")} == {"sent"}
    assert len(account.items(f"ACCOUNT#{ACCOUNT}", "HISTORY#")) == 4


def test_two_alerts_far_apart_are_sent_one_by_one(stormy: Product, account: Account) -> None:
    for n in range(2):
        committed(account, *alerts(1, name=f"alert{n}"), seed=f"e{n}")
        stormy.deliver()
        account.clock.move(MINUTE)
    assert account.calls.sent == {"alert sign_in_without_mfa": 2}


def test_a_single_alert_that_had_to_wait_is_sent_as_an_alert_of_its_own(
    stormy: Product, account: Account
) -> None:
    committed(account, *alerts(2))
    stormy.deliver()
    account.clock.move(MINUTE)
    assert stormy.redeliver() == {"sent": 1}
    assert account.calls.sent == {"alert sign_in_without_mfa": 2}


def test_an_urgent_alert_does_not_wait_behind_many_others(
    stormy: Product, account: Account
) -> None:
    committed(account, *alerts(30))
    stormy.observe(sign_in(ROOT, "root", at=account.clock()))
    stormy.deliver()
    assert account.calls.sent == {"alert sign_in_without_mfa": 1, "alert root_activity": 1}


def test_many_urgent_alerts_become_a_digest_too(stormy: Product, account: Account) -> None:
    committed(account, *alerts(60, Severity.CRITICAL))
    stormy.deliver()
    account.clock.move(2 * MINUTE)
    stormy.redeliver()
    assert account.calls.sent == {"alert sign_in_without_mfa": 10, "alert digest": 1}


def test_more_alerts_than_fit_into_one_digest_become_several(
    stormy: Product, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfa_watcher.entrypoints.outbox.MAX_IN_DIGEST", 20)
    committed(account, *alerts(50))
    account.clock.move(2 * MINUTE)
    assert stormy.redeliver() == {"sent": 50}
    assert account.calls.sent == {"alert digest": 3}
    assert set(ids_told(account).values()) == {1}


def test_a_digest_that_sns_does_not_take_goes_later_as_one(
    stormy: Product, account: Account
) -> None:
    committed(account, *alerts(20))
    account.calls.refused["sns:Publish"] = Refusal("Throttled", status=429)
    account.clock.move(2 * MINUTE)
    assert stormy.redeliver() == {"put_back": 20}
    account.calls.refused.clear()
    account.clock.move(MINUTE)
    assert stormy.redeliver() == {"sent": 20}
    assert account.calls.sent == {"alert digest": 1}


def test_a_digest_that_sns_refuses_fails_with_the_reason_and_is_alarmed(
    stormy: Product, account: Account, output: Callable[[], Output]
) -> None:
    committed(account, *alerts(3))
    account.calls.refused["sns:Publish"] = Refusal("InvalidParameter")
    account.clock.move(2 * MINUTE)
    assert stormy.redeliver() == {"failed": 3}
    assert output().metrics["IntentsFailed"] == 3
    account.calls.refused.clear()
    assert stormy.redeliver("alert-0", "alert-1", "alert-2") == {"sent": 3}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_call_loses_no_alert_and_at_worst_repeats_the_digest(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(monkeypatch) as account:
        calls = told_in_the_end(Product(account, monkeypatch, digest_seconds=60))
        assert account.calls.sent == {"alert sign_in_without_mfa": 1, "alert digest": 1}
    for number, call in enumerate(calls, start=1):
        if call == "dynamodb:Query" == calls[number - 2]:
            continue  # one shard of the index is like the other
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch, digest_seconds=60)
            told_in_the_end(product, crash=(moment, number))
            told = ids_told(account)
            where = f"crash {moment} call {number}, {call}"
            assert told.keys() == {f"alert-{n}" for n in range(3)}, where
            assert max(told.values()) <= 2, where
            assert account.calls.sent.total() <= 3, where


def told_in_the_end(product: Product, crash: tuple[str, int] | None = None) -> list[str]:
    """Let the stream and the schedule invoke their functions; return the calls made."""
    calls = product.account.calls
    committed(product.account, *alerts(3))
    records = product.new_intents()
    calls.made.clear()
    if crash:
        setattr(calls, f"crash_{crash[0]}", crash[1])
    survives(product, lambda: product.deliver(records))
    while any(item["status"] != "sent" for item in product.account.items("INTENT#")):
        assert product.account.clock.move(MINUTE) < later(30)
        survives(product, product.redeliver)
    return list(calls.made)


def survives(product: Product, invoke: Callable[[], object]) -> None:
    try:
        invoke()
    except Crash:
        product.running = ""


# The account's rate ------------------------------------------------------------------------------


@dataclass
class Function:
    """One running function with a clock of its own, which reading and sending move on."""

    table: MemoryDynamo
    rate: float
    sent: list[datetime]
    now: datetime = NOW
    refused: int = 0
    deliverer: DeliverIntents = field(init=False)

    def __post_init__(self) -> None:
        """Put the parts together: the real table, and a world that answers at once."""
        dynamodb: Any = self.table
        outbox = DynamoOutbox(Table(dynamodb, TABLE), keep_evidence=KEEP)
        self.deliverer = DeliverIntents(
            outbox=outbox,
            store=store_on(dynamodb),
            iam_of=lambda _account: self,
            aliases=self,
            mailer=self,
            alerter=None,  # type: ignore[arg-type]
            renderer=self,
            addresses=AddressBook(frozenset({"example.com"}), default_domain="example.com"),
            security_address="security@example.com",
            mail_hours=MailHours(),
            sending_rate=DynamoSendingRate(
                Table(dynamodb, TABLE),
                rate=lambda: self.rate,
                clock=lambda: self.now,
                sleep=self.pass_time,
            ),
            window=DynamoAlertCounter(Table(dynamodb, TABLE), length=MINUTE),
            clock=lambda: self.now,
        )
        self.outbox = outbox

    def pass_time(self, seconds: float) -> None:
        """Let this function's time go by."""
        self.now += timedelta(seconds=seconds)

    def user(self, name: str) -> IamUser:
        """As IAM answers."""
        self.pass_time(0.03)
        return IamUser("AIDAALICE", name, f"arn:aws:iam::{ACCOUNT}:user/{name}")

    def devices(self, _name: str) -> tuple[Device, ...]:
        """As IAM answers."""
        self.pass_time(0.03)
        return ()

    def has_console_access(self, _name: str) -> bool:
        """As IAM answers."""
        self.pass_time(0.03)
        return True

    def alias(self, _account_id: str) -> None:
        """The account has none."""

    def render(self, _mail: object, _language: str | None, *, alias: str | None) -> RenderedMail:
        """Any words."""
        assert alias is None
        return RenderedMail("subject", "html", "text")

    def send(self, message: Message) -> str:
        """Take the mail, as SES does at its moment."""
        assert message.to
        self.sent.append(self.now)
        self.pass_time(0.06)
        return f"id-{len(self.sent)}"


def most_in_a_second(moments: list[datetime]) -> int:
    moments, first, most = sorted(moments), 0, 0
    for at, moment in enumerate(moments):
        while moment - moments[first] >= timedelta(seconds=1):
            first += 1
        most = max(most, at - first + 1)
    return most


@pytest.mark.parametrize(
    ("mails", "rate", "functions"),
    [(1000, 14, 4), (300, 14, 1), (60, 1, 4), (300, 200, 10)],
    ids=["1,000 mails", "one function", "the sandbox of SES", "a fast account"],
)
def test_all_mails_are_sent_and_never_faster_than_the_sending_rate(
    mails: int, rate: float, functions: int
) -> None:
    table = MemoryDynamo()
    for n in range(mails):
        decision = a_decision(f"e{n}", a_mail(f"mail-guide-F-{n}"), user=None)
        store_on(table).commit(decision, now=NOW)
    sent: list[datetime] = []
    running = [Function(table, rate, sent) for _ in range(functions)]
    waiting = [f"mail-guide-F-{n}" for n in range(mails)]
    put_back = 0
    while waiting:  # the stream: whichever function is free takes the next one
        free = min(running, key=lambda one: one.now)
        result = free.deliverer.deliver(waiting.pop()).result
        put_back += result is DeliveryResult.PUT_BACK
    schedule = Function(table, rate, sent, now=max(one.now for one in running))
    while put_back > 0:  # the schedule: every minute, for most of it
        began = schedule.now
        for intent_id in list(schedule.outbox.due(now=began)):
            if schedule.now - began > timedelta(seconds=42):
                break
            put_back -= schedule.deliverer.deliver(intent_id).result is DeliveryResult.SENT
        schedule.now = max(schedule.now, began + MINUTE)
        assert schedule.now < later(60)
    assert len(sent) == mails
    assert most_in_a_second(sent) <= max(rate * 0.8 + 1, 1)
    assert most_in_a_second(sent) <= rate
    shortest = min(after - before for before, after in pairwise(sorted(sent)))
    assert shortest >= timedelta(seconds=1 / rate)
    took = max(sent) - min(sent)
    print(f"{mails} mails, {rate}/s, {functions} functions: {took}, {most_in_a_second(sent)}/s")  # noqa: T201
