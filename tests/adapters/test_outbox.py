from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from mfa_watcher.adapters.items import DUE_SHARDS
from mfa_watcher.adapters.outbox import CLAIM_DURATION, DynamoOutbox
from mfa_watcher.adapters.store import STREAM_HEAD_START, DynamoStore
from mfa_watcher.domain.notifications.intents import Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.ports.errors import LostRaceError
from mfa_watcher.ports.outbox import Claim, SentIntent
from tests.adapters.conftest import KEEP
from tests.support.account import Account
from tests.support.builders import HOSTILE, NOW, a_decision, a_mail, an_alert, later

MAIL = a_mail()
INSTANT = timedelta(milliseconds=1)


@pytest.fixture
def pending(store: DynamoStore) -> str:
    """The id of a new intent: a mail."""
    store.commit(a_decision("e1", MAIL), now=NOW)
    return MAIL.id


def item(account: Account) -> dict[str, object]:
    return account.items("INTENT#")[0]


def claimed(outbox: DynamoOutbox, intent_id: str, minutes: float = 0) -> Claim:
    claim = outbox.claim(intent_id, now=later(minutes))
    assert claim is not None
    return claim


def test_an_intent_is_claimed_once(outbox: DynamoOutbox, pending: str) -> None:
    assert outbox.claim(pending, now=NOW) == Claim(MAIL, attempts=1)
    assert outbox.claim(pending, now=NOW) is None
    assert outbox.claim(pending, now=NOW + CLAIM_DURATION - INSTANT) is None


def test_a_claim_that_ran_out_is_taken_over_and_counts_as_another_attempt(
    outbox: DynamoOutbox, pending: str
) -> None:
    claimed(outbox, pending)
    assert outbox.claim(pending, now=NOW + CLAIM_DURATION) == Claim(MAIL, attempts=2, lapses=1)


def test_an_unknown_id_is_not_claimed_and_no_item_is_written(
    outbox: DynamoOutbox, account: Account
) -> None:
    assert outbox.claim("no such intent", now=NOW) is None
    assert not account.items("")


def test_an_intent_that_was_put_back_is_due_at_its_time_and_not_before(
    outbox: DynamoOutbox, pending: str, account: Account
) -> None:
    outbox.put_back(claimed(outbox, pending), reason=HOSTILE, due_at=later(10))
    assert item(account)["reason"] == HOSTILE
    assert list(outbox.due(now=later(9.99))) == []
    assert list(outbox.due(now=later(10))) == [pending]
    assert claimed(outbox, pending, 10).attempts == 2


def test_an_intent_that_was_put_back_is_not_claimed_before_its_time(
    outbox: DynamoOutbox, pending: str
) -> None:
    """The stream hands a batch over again when one of its records failed: all behind it too."""
    outbox.put_back(claimed(outbox, pending), reason="throttled", due_at=later(10))
    assert outbox.claim(pending, now=later(9.99)) is None
    assert outbox.claim(pending, now=later(10)) is not None


def test_a_new_intent_is_not_due_until_the_stream_had_time_to_deliver_it(
    outbox: DynamoOutbox, pending: str
) -> None:
    assert list(outbox.due(now=NOW + STREAM_HEAD_START - INSTANT)) == []
    assert list(outbox.due(now=NOW + STREAM_HEAD_START)) == [pending]


def test_a_claimed_intent_is_due_only_when_its_claim_runs_out(
    outbox: DynamoOutbox, pending: str
) -> None:
    claimed(outbox, pending, 5)
    assert list(outbox.due(now=later(5) + CLAIM_DURATION - INSTANT)) == []
    assert list(outbox.due(now=later(5) + CLAIM_DURATION)) == [pending]


@pytest.mark.parametrize("end", ["sent", "skipped", "failed"])
def test_a_finished_intent_is_never_due_never_claimed_and_expires(
    outbox: DynamoOutbox, pending: str, account: Account, end: str
) -> None:
    finish(outbox, claimed(outbox, pending), end)
    assert list(outbox.due(now=later(10**6))) == []
    assert outbox.claim(pending, now=later(10**6)) is None
    assert item(account)["status"] == end
    assert item(account)["expires_at"] == (later(1) + KEEP).timestamp()


@pytest.mark.parametrize("end", ["sent", "skipped", "failed"])
@pytest.mark.parametrize("intent", [MAIL, an_alert()])
def test_each_outcome_is_in_the_history_of_its_subject(
    store: DynamoStore, outbox: DynamoOutbox, account: Account, end: str, intent: Intent
) -> None:
    store.commit(a_decision("e1", intent, user=None), now=NOW)
    finish(outbox, claimed(outbox, intent.id), end)
    prefix = "USER#" if intent is MAIL else "ACCOUNT#"
    texts = [entry["what"] for entry in account.items(prefix, "HISTORY#")]
    outcomes = {
        "sent": "sent to a@example.com",
        "skipped": "not sent: why",
        "failed": "failed: why",
    }
    assert any(text.endswith(outcomes[end]) for text in texts)


@pytest.mark.parametrize("end", ["sent", "skipped", "failed", "put back"])
def test_a_run_whose_claim_was_taken_over_cannot_finish_the_intent(
    outbox: DynamoOutbox, pending: str, account: Account, end: str
) -> None:
    late = claimed(outbox, pending)
    claimed(outbox, pending, 3)
    before = account.items("")
    with pytest.raises((ClientError, LostRaceError)):
        finish(outbox, late, end)
    assert account.items("") == before


@pytest.mark.parametrize("end", ["sent", "skipped", "failed", "put back"])
def test_an_intent_cannot_be_finished_twice(
    outbox: DynamoOutbox, pending: str, account: Account, end: str
) -> None:
    claim = claimed(outbox, pending)
    finish(outbox, claim, "sent")
    before = account.items("")
    with pytest.raises((ClientError, LostRaceError)):
        finish(outbox, claim, end)
    assert account.items("") == before


def test_a_failed_intent_can_be_reopened_without_its_attempts(
    outbox: DynamoOutbox, pending: str, account: Account
) -> None:
    claimed(outbox, pending)
    finish(outbox, claimed(outbox, pending, 3), "failed")
    assert outbox.reopen(pending, now=later(10))
    assert "expires_at" not in item(account)
    assert list(outbox.due(now=later(10))) == [pending]
    assert claimed(outbox, pending, 10) == Claim(MAIL, attempts=1)


@pytest.mark.parametrize("state", ["pending", "claimed", "sent", "skipped", "unknown"])
def test_only_a_failed_intent_can_be_reopened(
    outbox: DynamoOutbox, pending: str, account: Account, state: str
) -> None:
    if state != "pending":
        claim = claimed(outbox, pending)
        if state in {"sent", "skipped"}:
            finish(outbox, claim, state)
    before = account.items("")
    assert not outbox.reopen("other" if state == "unknown" else pending, now=later(10))
    assert account.items("") == before


def test_all_due_intents_are_found_in_all_shards_and_pages(
    store: DynamoStore,
    outbox: DynamoOutbox,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("moto.dynamodb.models.table.RESULT_SIZE_LIMIT", 500)
    intents = [a_mail(f"mail-{n}") for n in range(60)]
    store.commit(a_decision("e1", *intents), now=NOW)
    account.calls.reset()
    assert sorted(outbox.due(now=later(2))) == sorted(intent.id for intent in intents)
    assert account.calls.tally("dynamodb")["Query"] > DUE_SHARDS


def test_each_due_intent_is_listed_once_although_others_are_finished_meanwhile(
    store: DynamoStore, outbox: DynamoOutbox
) -> None:
    store.commit(a_decision("e1", *(a_mail(f"mail-{n}") for n in range(20))), now=NOW)
    seen = []
    for intent_id in outbox.due(now=later(2)):
        seen.append(intent_id)
        finish(outbox, claimed(outbox, intent_id, 2), "sent")
    assert len(seen) == len(set(seen)) == 20
    assert list(outbox.due(now=later(2))) == []


def finish(outbox: DynamoOutbox, claim: Claim, end: str) -> None:
    match end:
        case "sent":
            outbox.mark_sent(claim, receipt="id-1", to="a@example.com", now=later(1))
        case "skipped":
            outbox.mark_skipped(claim, reason="why", now=later(1))
        case "failed":
            outbox.mark_failed(claim, reason="why", now=later(1))
        case _:
            outbox.put_back(claim, reason="why", due_at=later(1))


# Turns, and what becomes of mails ---------------------------------------------------------------


def test_waiting_for_the_sending_rate_does_not_count_as_a_failed_attempt(
    outbox: DynamoOutbox, pending: str
) -> None:
    for minute in range(3):
        claim = claimed(outbox, pending, minute)
        outbox.put_back(claim, reason="not its turn", due_at=later(minute + 1), waited=True)
    outbox.put_back(claimed(outbox, pending, 3), reason="an error", due_at=later(4))
    claim = claimed(outbox, pending, 4)
    assert (claim.attempts, claim.waits, claim.tries) == (5, 3, 2)


def test_due_alerts_and_due_mails_are_listed_apart_also_after_a_claim_ran_out(
    store: DynamoStore, outbox: DynamoOutbox
) -> None:
    store.commit(a_decision("e1", MAIL, an_alert("alert-1"), an_alert("alert-2")), now=NOW)
    for minute in (5, 15):
        now = later(minute)
        assert sorted(outbox.due_alerts(now=now)) == ["alert-1", "alert-2"]
        assert list(outbox.due(now=now)) == [MAIL.id]
        claimed(outbox, "alert-1", minute)
        assert list(outbox.due_alerts(now=now + CLAIM_DURATION - INSTANT)) == ["alert-2"]


def test_a_reopened_alert_is_found_among_alerts(store: DynamoStore, outbox: DynamoOutbox) -> None:
    store.commit(a_decision("e1", an_alert("alert-1")), now=NOW)
    finish(outbox, claimed(outbox, "alert-1"), "failed")
    assert outbox.reopen("alert-1", now=later(10))
    assert list(outbox.due_alerts(now=later(10))) == ["alert-1"]
    assert list(outbox.due(now=later(10))) == []


def test_an_intent_is_found_whatever_its_status(outbox: DynamoOutbox, pending: str) -> None:
    assert outbox.look_up("unknown") is None
    assert outbox.look_up(pending) == SentIntent(MAIL)
    claim = claimed(outbox, pending)
    assert outbox.look_up(pending) == SentIntent(MAIL, None, claim)
    outbox.put_back(claim, reason="no answer", due_at=later(1))
    assert outbox.look_up(pending) == SentIntent(MAIL, None, claim)
    finish(outbox, claimed(outbox, pending, 1), "sent")
    assert outbox.look_up(pending) == SentIntent(MAIL, "a@example.com")


def test_an_outcome_is_recorded_once_and_never_replaced_by_an_earlier_one(
    outbox: DynamoOutbox, pending: str, account: Account
) -> None:
    noted = [
        outbox.record_outcome(pending, outcome, at=later(minute))
        for minute, outcome in enumerate(
            [
                MailOutcome.DELAYED,
                MailOutcome.SENT,
                MailOutcome.DELIVERED,
                MailOutcome.DELIVERED,
                MailOutcome.BOUNCED,
                MailOutcome.DELIVERED,
            ]
        )
    ]
    assert noted == [True, False, True, False, True, False]
    assert item(account)["outcome"] == "bounced"


def test_an_outcome_of_an_unknown_mail_writes_no_item(
    outbox: DynamoOutbox, account: Account
) -> None:
    assert not outbox.record_outcome("unknown", MailOutcome.BOUNCED, at=NOW)
    assert account.items("") == []
