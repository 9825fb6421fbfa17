"""Two at the same user or intent at once: one runs wholly between two calls of the other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.functions.product import Product
from tests.support.account import Account, opened
from tests.support.builders import (
    ADMIN,
    Json,
    about,
    access_granted,
    denied_removal,
    iam_user,
    later,
    sign_in,
    user_created,
)


@dataclass(frozen=True)
class Race:
    """Two records of one user, and what they leave whoever wins."""

    device: bool
    records: Callable[[Json], tuple[Json, Json]]
    sent: frozenset[str]
    findings: int = 1
    requests: int = 0


SIGN_IN = frozenset({"mail guide", "alert sign_in_without_mfa"})
RACES = {
    "two sign-ins": Race(
        device=False,
        records=lambda ana: (sign_in(ana, "one"), sign_in(ana, "two", at=later(1))),
        sent=SIGN_IN,
    ),
    "the same sign-in twice": Race(
        device=False, records=lambda ana: (sign_in(ana), sign_in(ana)), sent=SIGN_IN
    ),
    "two denied attempts": Race(
        device=True,
        records=lambda ana: (denied_removal(ana, "ana", "one"), denied_removal(ana, "ana", "two")),
        sent=frozenset({"mail removal_denied", "alert removal_denied"}),
        findings=0,
        requests=1,
    ),
    "a removal and a sign-in": Race(
        device=False,
        records=lambda ana: (
            about("DeactivateMFADevice", "ana", ADMIN, serialNumber="GAKT1"),
            sign_in(ana),
        ),
        sent=SIGN_IN | {"alert removal_unapproved"},
        requests=1,
    ),
    "a denied attempt and a grant": Race(
        device=False,
        records=lambda ana: (denied_removal(ana, "ana"), access_granted("ana")),
        sent=frozenset({"mail removal_denied", "alert removal_denied", "mail welcome"}),
        requests=1,
    ),
}


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_two_simultaneous_events_lead_to_the_same_result_as_one_after_the_other(
    race: Race, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            ana = iam_user("ana", account.new_user("ana", device=race.device))
            if known:
                product.observe(user_created("ana", ana["principalId"]))
            slow, quick = race.records(ana)
            product.feel(slow)  # what follows the commit would be no race
            account.calls.made.clear()
            account.calls.meanwhile = (number, lambda: product.observe(quick))  # noqa: B023
            assert product.observe(slow) == []
            raced = account.calls.meanwhile is None
            if raced:
                product.deliver()
                check(race, account, f"at call {number} of {account.calls.made}")
    assert number > 2


def check(race: Race, account: Account, when: str) -> None:
    assert account.calls.sent == dict.fromkeys(race.sent, 1), when
    effects = [e for entry in account.items("USER#", "HISTORY#") for e in entry["effects"]]
    assert sum("finding opened" in effect for effect in effects) == race.findings, when
    assert len(account.items("REQUEST#", "STATE")) == race.requests, when


def test_two_simultaneous_deliveries_send_each_intent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            product.observe(sign_in(iam_user("ana", account.new_user("ana"))))
            account.clock.move(timedelta(minutes=2))
            account.calls.made.clear()
            account.calls.meanwhile = (number, product.redeliver)
            assert product.deliver() == []
            raced = account.calls.meanwhile is None
            assert account.calls.sent == dict.fromkeys(SIGN_IN, 1), account.calls.made
    assert number > 5


def test_an_event_that_loses_every_race_stays_in_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        ana = iam_user("ana", account.new_user("ana"))
        product.observe(sign_in(ana, "first"))
        quick = iter(range(100))

        def again() -> None:
            product.observe(about("TagUser", "ana", seed=f"quick {next(quick)}"))
            # The slow one reads, asks IAM twice and commits: then, again, the quick one was first.
            account.calls.meanwhile = (len(account.calls.made) + 3, again)

        account.calls.made.clear()
        account.calls.meanwhile = (4, again)
        assert len(product.observe(sign_in(ana, "slow"))) == 1
        account.calls.meanwhile = None
        assert product.observe(sign_in(ana, "slow"), receives=2) == []
