"""Turns and windows that functions running at one time share."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from mfa_watcher.adapters.sending_rate import DynamoAlertCounter, DynamoSendingRate
from mfa_watcher.adapters.table import Table
from mfa_watcher.ports.errors import NotSentError, ThrottledError
from mfa_watcher.ports.notifications import AlertPosition
from tests.support.account import Account, client
from tests.support.builders import NOW, later

MINUTE = timedelta(minutes=1)


class Sender:
    """One function that sends, and when its mails went out."""

    def __init__(self, account: Account, rate: Callable[[], float]) -> None:
        self.sent: list[datetime] = []
        self.now = account.clock()
        self._pace = DynamoSendingRate(
            Table(client("dynamodb"), account.table),
            rate=rate,
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def send(self, recipients: int = 1) -> None:
        """Wait for a turn, and send."""
        self._pace.wait_for_slot(recipients)
        self.sent += [self.now] * recipients

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def at(rate: float) -> Callable[[], float]:
    return lambda: rate


def most_in_a_second(moments: list[datetime]) -> int:
    moments = sorted(moments)
    return max(
        sum(1 for other in moments if one <= other < one + timedelta(seconds=1)) for one in moments
    )


def test_the_first_mail_does_not_wait(account: Account) -> None:
    sender = Sender(account, at(10))
    sender.send()
    assert sender.sent == [NOW]


@pytest.mark.parametrize(("rate", "spacing"), [(10, 125), (14, 90), (1, 1250), (1000, 2)])
def test_turns_are_equally_far_apart_at_four_fifths_of_the_rate(
    account: Account, rate: float, spacing: int
) -> None:
    sender = Sender(account, at(rate))
    for _ in range(4):
        sender.send()
    gaps = {after - before for before, after in zip(sender.sent, sender.sent[1:], strict=False)}
    assert gaps == {timedelta(milliseconds=spacing)}


@pytest.mark.parametrize("rate", [5, 14, 100])
def test_functions_that_run_at_the_same_time_share_the_rate(account: Account, rate: int) -> None:
    senders = [Sender(account, at(rate)) for _ in range(4)]
    for _ in range(25):
        min(senders, key=lambda sender: sender.now).send()
    moments = [moment for sender in senders for moment in sender.sent]
    assert len(moments) == 25
    assert most_in_a_second(moments) <= rate * 0.8 + 1
    assert most_in_a_second(moments) <= rate


def test_a_copy_takes_a_turn_of_its_own(account: Account) -> None:
    sender = Sender(account, at(10))
    sender.send(recipients=2)
    sender.send()
    assert sender.sent[-1] - sender.sent[0] == timedelta(milliseconds=250)


def test_a_turn_too_far_in_the_future_is_not_taken(account: Account) -> None:
    senders = [Sender(account, at(1)) for _ in range(3)]
    for sender in senders[:2]:
        sender.send()
    with pytest.raises(ThrottledError):
        senders[2].send()
    assert senders[2].sent == []
    senders[2].now = NOW + timedelta(milliseconds=2500)
    senders[2].send()
    assert senders[2].sent == [NOW + timedelta(milliseconds=2500)]


def test_without_a_known_rate_no_turn_is_taken(account: Account) -> None:
    def unknown() -> float:
        raise NotSentError("no answer")

    with pytest.raises(NotSentError):
        Sender(account, unknown).send()
    assert account.items("") == []


# Alerts ------------------------------------------------------------------------------------------


def window(account: Account, length: timedelta = MINUTE) -> DynamoAlertCounter:
    return DynamoAlertCounter(Table(client("dynamodb"), account.table), length=length)


def test_alerts_of_a_window_are_counted_from_its_first(account: Account) -> None:
    opened = window(account)
    turns = [opened.count(urgent=False, now=later(minutes)) for minutes in (0, 0.5, 0.9)]
    assert turns == [AlertPosition(number, NOW + MINUTE) for number in (1, 2, 3)]


def test_the_first_alert_after_its_end_opens_the_next_window(account: Account) -> None:
    opened = window(account)
    opened.count(urgent=True, now=NOW)
    opened.count(urgent=False, now=NOW)
    assert opened.count(urgent=False, now=later(1)) == AlertPosition(1, later(2))
    assert opened.count(urgent=True, now=later(1.5)) == AlertPosition(1, later(2))


def test_urgent_alerts_are_counted_apart_from_others(account: Account) -> None:
    opened = window(account)
    for _ in range(100):
        opened.count(urgent=False, now=NOW)
    assert opened.count(urgent=True, now=NOW) == AlertPosition(1, NOW + MINUTE)


def test_several_functions_share_the_window(account: Account) -> None:
    numbers = [window(account).count(urgent=False, now=NOW).number for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_without_a_window_each_alert_is_the_first_and_nothing_is_written(account: Account) -> None:
    never = window(account, timedelta())
    assert [never.count(urgent=False, now=NOW) for _ in range(2)] == [AlertPosition(1, NOW)] * 2
    assert account.calls.made == []
