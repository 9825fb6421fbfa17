"""A crash anywhere loses nothing, and repeats nothing that anybody sees.

Each path from a record to its effects is run once to see which AWS calls it makes. Then it is run
again for each of these calls, and the function's process ends right before it, or right after it.
AWS goes on as it does: the queue hands the message out again, the stream its batch, and the
schedule comes every minute.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.functions.product import VISIBILITY, Output, Product
from tests.support.account import Account, Crash, opened
from tests.support.builders import Json, about, denied_removal, iam_user, later, sign_in

SENDING = {"ses:SendEmail", "sns:Publish"}
ENDED = {"sent", "skipped"}


@dataclass(frozen=True)
class Path:
    """A record and what must come of it, whatever happens on the way."""

    arrange: Callable[[Product], Json]
    sent: Counter[str]
    findings: int = 1
    requests: int = 0
    closed: bool = False


def signed_in(product: Product) -> Json:
    return sign_in(iam_user("ana", product.account.new_user("ana")))


def removal_denied(product: Product) -> Json:
    user_id = product.account.new_user("ana", device=True)
    return denied_removal(iam_user("ana", user_id), "ana")


def enrolled(product: Product) -> Json:
    ana = iam_user("ana", product.account.new_user("ana"))
    product.observe(sign_in(ana))
    product.deliver()
    serial = product.account.enrol("ana")
    product.account.calls.reset()
    return about("EnableMFADevice", "ana", ana, serialNumber=serial)


PATHS = {
    "sign-in": Path(signed_in, Counter({"mail guide": 1, "alert sign_in_without_mfa": 1})),
    "denied removal": Path(
        removal_denied,
        Counter({"mail removal_denied": 1, "alert removal_denied": 1}),
        findings=0,
        requests=1,
    ),
    "enrolment": Path(enrolled, Counter({"mail enrolled": 1}), closed=True),
}


@pytest.fixture(autouse=True)
def account() -> None:
    """Each run opens an account of its own."""


@pytest.mark.parametrize(
    ("moment", "streaming"), [("before", True), ("after", True), ("after", False)]
)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_crash_at_any_call_loses_nothing_and_repeats_nothing(
    path: Path, moment: str, monkeypatch: pytest.MonkeyPatch, *, streaming: bool
) -> None:
    with opened(monkeypatch) as account:
        calls = run(path, Product(account, monkeypatch), streaming=streaming)
        assert account.calls.sent == path.sent
        check(path, account)
    for number, call in enumerate(calls, start=1):
        if call == calls[number - 2] == "dynamodb:Query":
            continue  # one shard of the index is like the other
        with opened(monkeypatch) as account:
            run(
                path,
                Product(account, monkeypatch),
                streaming=streaming,
                crash=(moment, number),
            )
            told = f"crash {moment} call {number}, {calls[number - 1]}, of {calls}"
            # The documented window: accepted by SES or SNS, and not marked yet.
            last = calls[number - (1 if moment == "after" else 2)] if number > 1 else ""
            if last in SENDING:
                assert account.calls.sent.keys() == path.sent.keys(), told
                assert account.calls.sent.total() == path.sent.total() + 1, told
            else:
                assert account.calls.sent == path.sent, told
            check(path, account)


def run(
    path: Path, product: Product, *, streaming: bool, crash: tuple[str, int] | None = None
) -> list[str]:
    """Play a path to its end; return the calls made."""
    record = path.arrange(product)
    calls = product.account.calls
    match crash:
        case ("before", number):
            calls.crash_before = number
        case (_, number):
            calls.crash_after = number
    observed_in_the_end(product, record)
    if streaming:
        streamed_in_the_end(product)
    while any(item["status"] not in ENDED for item in product.account.items("INTENT#")):
        assert product.account.clock.move(timedelta(minutes=1)) < later(60)
        survives(product, product.redeliver)
    assert (calls.crash_before, calls.crash_after) == (None, None)
    return list(calls.made)


def observed_in_the_end(product: Product, record: Json) -> None:
    """Do as SQS does: hand the message out until it is done, and sometimes once more."""
    done = 0
    while done < 2:
        done += survives(product, lambda: product.observe(record))
        product.account.clock.move(VISIBILITY)


def streamed_in_the_end(product: Product) -> None:
    """Do as the stream does: hand over a batch until it is done."""
    records = product.new_intents()
    while not survives(product, lambda: product.deliver(records)):
        pass


def survives(product: Product, invoke: Callable[[], object]) -> bool:
    """Invoke; False if the process ended, and the next one starts anew."""
    try:
        invoke()
    except Crash:
        product.running = ""
        return False
    return True


def check(path: Path, account: Account) -> None:
    """See that the table holds what it must, once."""
    assert {item["status"] for item in account.items("INTENT#")} <= ENDED
    [user] = account.items("USER#", "STATE")
    opened_at = [
        entry
        for entry in account.items("USER#", "HISTORY#")
        if any("finding opened" in effect for effect in entry["effects"])
    ]
    assert len(opened_at) == path.findings
    assert bool(user.get("finding", {}).get("closed_at")) == path.closed
    requests = account.items("REQUEST#", "STATE")
    assert [request["attempt_count"] for request in requests] == [1] * path.requests
    told = Counter(entry["event_id"] for entry in account.items("USER#", "HISTORY#"))
    ends = Counter(item["event_id"] for item in account.items("INTENT#mail"))
    for event, entries in told.items():
        assert entries == 1 + ends[event], "each event is history once, and so is each mail's end"


def test_an_intent_whose_every_attempt_crashes_is_given_up_and_raises_an_alarm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        product.observe(signed_in(product))
        account.calls.deadly = "ses:SendEmail"
        while any(item["status"] not in {"sent", "failed"} for item in account.items("INTENT#")):
            assert account.clock.move(timedelta(minutes=1)) < later(90)
            survives(product, product.redeliver)
        statuses = {item["id"].split("-")[0]: item["status"] for item in account.items("INTENT#")}
        assert statuses == {"mail": "failed", "alert": "sent"}
        assert Output.read(capsys.readouterr().out).metrics["IntentsFailed"] == 1
