"""A storm never becomes a flood: neither for people nor for SES."""

from bisect import bisect_right
from collections import Counter
from datetime import timedelta
from functools import partial

from tests.simulation.month import Month
from tests.simulation.user_histories import FIRST_DAY, HOUR, MINUTE, Life, Post, Script, Sent, State

AT = FIRST_DAY + 9 * HOUR
SECOND = timedelta(seconds=1)
RATE = 14
"""Mails a second, as SES gives a new production account."""


def crowd(users: int) -> Script:
    """Return users who all sign in without MFA within one minute."""
    lives = tuple(
        Life(
            f"AIDA{number:05}",
            "crowd",
            states=[(FIRST_DAY, State(f"user{number}", console=True))],
            records=[Sent("sign_in", AT, (AT + MINUTE,), f"user{number}")],
        )
        for number in range(users)
    )
    return Script(lives, Post(frozenset(), frozenset(), frozenset()), (), (), ())


def test_a_hundred_findings_of_one_minute_are_a_hundred_mails_and_one_digest() -> None:
    month = Month(crowd(100), seed=1)
    month.play()
    mails = Counter(letter.user_id for _, letter in month.letters())
    assert len(mails) == 100
    assert set(mails.values()) == {1}
    assert len(set(month.sns.told)) == len(month.sns.told) == 100
    assert month.sns.digests == [99]  # the first alert goes at once, all others are told together


def test_a_thousand_mails_by_ten_functions_at_a_time_stay_under_the_rate_of_ses() -> None:
    month = Month(crowd(1000), seed=1, rate=RATE, call_takes=timedelta(milliseconds=2))
    month.hear_all()
    began = month.clock()
    mails = [pk.removeprefix("INTENT#") for pk in month.table.inserted if "#mail" in pk]
    month.interleaver.together([partial(month.deliver_all, mails[lane::10]) for lane in range(10)])
    while month.table.next_due("DUE#"):
        month.clock.time += 30 * SECOND
        month.interleaver.together([month.sweep, month.sweep])
    times = [at for at, _ in month.ses.sent]
    assert len(times) == 1000
    in_a_second = max(bisect_right(times, at + SECOND) - number for number, at in enumerate(times))
    assert in_a_second <= RATE
    # Nor is it slower than it need be: waiting in turn, not in vain.
    assert times[-1] - began < 1000 / RATE * 2 * SECOND
