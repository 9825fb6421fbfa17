import json

import pytest

from mfa_watcher.adapters.dead_letters import SqsDeadLetters
from tests.support.account import Account, client
from tests.support.builders import HOSTILE


@pytest.mark.parametrize("body", ["no JSON", json.dumps({"a": HOSTILE}), "x" * 200_000])
def test_a_message_is_kept_as_it_came_with_reason_and_source(account: Account, body: str) -> None:
    set_aside(account, body, "why it failed")
    assert account.parked("SignInDeadLetters") == [
        (body, {"reason": "why it failed", "source_queue": "SignInQueue"})
    ]


@pytest.mark.parametrize(
    ("length", "has_reason"),
    [(250 * 1024, True), (250 * 1024 + 1, False), (256 * 1024, False)],
)
def test_the_longest_message_is_kept_whole_and_without_the_reason_if_both_are_too_long(
    account: Account, length: int, *, has_reason: bool
) -> None:
    body = "x" * length
    set_aside(account, body, "\U0001f600" * 2000)
    [(kept, attributes)] = account.parked("SignInDeadLetters")
    assert kept == body
    assert ("reason" in attributes) is has_reason


def test_an_empty_message_is_kept_too(account: Account) -> None:
    set_aside(account, "", "why")
    [(body, _)] = account.parked("SignInDeadLetters")
    assert body == "(empty)"


@pytest.mark.parametrize("reason", [HOSTILE, "x" * 5000, "\x00\ufffe\ud800"])
def test_any_reason_fits_into_an_attribute(account: Account, reason: str) -> None:
    set_aside(account, "body", reason)
    [(_, attributes)] = account.parked("SignInDeadLetters")
    kept = attributes["reason"]
    assert 0 < len(kept) <= 1000
    assert kept.isprintable()


def set_aside(account: Account, body: str, reason: str) -> None:
    url = account.queue_urls["SignInDeadLetters"]
    letters = SqsDeadLetters(client("sqs"), queue_url=url)
    letters.set_aside(body, reason=reason, source_queue="SignInQueue")
