"""What becomes of a mail: SES's reports, and what the user's record, history and mails say then."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.users.user import User, UserKey
from mfa_watcher.ports.outbox import Claim
from sandbox.mail_events import SentMail
from tests.functions.product import MAX_RECEIVES, Output, Product
from tests.support.account import Account, Crash, Refusal
from tests.support.builders import HOSTILE, SENDER, Json, event_id, iam_user, sign_in

Reading = Callable[[], Output]
GUIDE = f"mail-guide-F-{event_id('sign-in')}"
TAGGED, NAMED = "a.na@example.com", "ana@example.com"


@pytest.fixture
def ana(account: Account) -> Json:
    """A console user without a device, with an address in a tag and another by her name."""
    user_id = account.new_user("ana")
    account.iam.tag_user(UserName="ana", Tags=[{"Key": "email", "Value": TAGGED}])
    return iam_user("ana", user_id)


@pytest.fixture
def mailed(product: Product, ana: Json) -> SentMail:
    """The guide that she was sent."""
    product.observe(sign_in(ana))
    product.deliver()
    return last_mail(product.account)


def last_mail(account: Account) -> SentMail:
    """Return the mail that SES took last, as SES knows it."""
    request = json.loads(account.calls.bodies[last(account.calls.made, "ses:SendEmail")])
    tags = {tag["Name"]: tag["Value"] for tag in request["EmailTags"]}
    [item] = account.items(f"INTENT#{tags['intent']}")
    destination = request["Destination"]
    return SentMail(
        item.get("receipt", "m-1"),
        SENDER,
        [*destination["ToAddresses"], *destination.get("CcAddresses", [])],
        account.clock(),
        "set",
        tags,
    )


def last(things: list[str], wanted: str) -> int:
    return len(things) - 1 - things[::-1].index(wanted)


def user_of(account: Account) -> Json:
    [user] = account.items("USER#", "STATE")
    return user


def outcome(account: Account, intent_id: str = GUIDE) -> str | None:
    found: str | None = account.items(f"INTENT#{intent_id}")[0].get("outcome")
    return found


def history(account: Account) -> list[str]:
    return [entry["what"] for entry in account.items("USER#", "HISTORY#")]


def test_a_delivered_mail_is_noted_on_the_mail_and_in_the_users_history(
    product: Product, account: Account, mailed: SentMail
) -> None:
    assert product.report(mailed.envelope("Send"), mailed.envelope("Delivery")) == []
    assert outcome(account) == "delivered"
    assert f"mail guide delivered to {TAGGED}" in history(account)
    assert product.deliver() == []
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 1}


def test_a_hard_bounce_marks_the_address_and_the_next_one_gets_the_mail(
    product: Product, account: Account, mailed: SentMail
) -> None:
    assert list(mailed.to) == [TAGGED]
    product.report(mailed.envelope("Bounce"))
    assert user_of(account)["bad_addresses"] == [TAGGED]
    assert outcome(account) == "bounced"
    assert any(text.startswith(f"mail guide bounced from {TAGGED}") for text in history(account))
    product.deliver()
    again = last_mail(account)
    assert list(again.to) == [NAMED]
    product.report(again.envelope("Delivery"))
    assert outcome(account, f"{GUIDE}-again-2") == "delivered"
    assert account.calls.sent == {
        "mail guide": 2,
        "alert sign_in_without_mfa": 1,
        "alert mail_undeliverable": 1,
    }


def test_when_no_address_is_left_the_mail_ends_and_the_user_is_unreachable(
    product: Product, account: Account, mailed: SentMail
) -> None:
    product.report(mailed.envelope("Bounce"))
    product.deliver()
    product.report(last_mail(account).envelope("Bounce"))
    product.deliver()
    assert sorted(user_of(account)["bad_addresses"]) == sorted([TAGGED, NAMED])
    [third] = account.items(f"INTENT#{GUIDE}-again-3")
    assert third["status"] == "skipped"
    assert len(account.items("UNREACHABLE#")) == 1
    assert account.calls.sent["alert mail_undeliverable"] == 1, "security hears of a user once"


def test_a_user_who_enrolled_meanwhile_does_not_get_the_mail_again(
    product: Product, account: Account, mailed: SentMail
) -> None:
    account.enrol("ana")
    product.report(mailed.envelope("Bounce"))
    product.deliver()
    assert account.calls.sent["mail guide"] == 1


def test_a_complaint_marks_the_address_and_sends_nothing_again(
    product: Product, account: Account, mailed: SentMail
) -> None:
    product.report(mailed.envelope("Complaint"))
    product.deliver()
    assert user_of(account)["bad_addresses"] == [TAGGED]
    assert outcome(account) == "complained"
    assert account.calls.sent["mail guide"] == 1
    assert account.calls.sent["alert mail_undeliverable"] == 1


@pytest.mark.parametrize(
    ("report", "noted"),
    [
        (("DeliveryDelay", {}), "delayed"),
        (("Bounce", {"bounceType": "Transient", "bounceSubType": "MailboxFull"}), "bounced"),
        (("Reject", {}), "rejected"),
    ],
)
def test_a_temporary_failure_is_only_recorded_in_the_history(
    product: Product, account: Account, mailed: SentMail, report: tuple[str, Json], noted: str
) -> None:
    kind, about = report
    product.report(mailed.envelope(kind, **about))
    assert outcome(account) == noted
    assert "bad_addresses" not in user_of(account) or not user_of(account)["bad_addresses"]
    assert product.new_intents() == []


@pytest.mark.parametrize("order", [*permutations(["Send", "Delivery", "Bounce"])])
def test_reports_in_any_order_and_twice_lead_to_the_same_result(
    product: Product, account: Account, mailed: SentMail, order: tuple[str, ...]
) -> None:
    for kind in (*order, *reversed(order)):
        assert product.report(mailed.envelope(kind)) == []
    assert outcome(account) == "bounced"
    told = [text for text in history(account) if "delivered" in text or "bounced" in text]
    assert len(told) == 2
    assert len(account.items(f"INTENT#{GUIDE}-again")) == 1
    product.deliver()
    assert account.calls.sent["mail guide"] == 2
    assert account.calls.sent["alert mail_undeliverable"] == 1


def status(account: Account, intent_id: str = GUIDE) -> str:
    found: str = account.items(f"INTENT#{intent_id}")[0]["status"]
    return found


@pytest.mark.parametrize("kind", ["Send", "Delivery"])
def test_a_mail_that_ses_accepted_before_the_function_crashed_is_not_sent_again(
    product: Product, account: Account, ana: Json, kind: str
) -> None:
    product.observe(sign_in(ana))
    records = [one for one in product.new_intents() if "mail" in one["eventID"]]
    account.calls.refused["dynamodb:TransactWriteItems"] = Refusal("InternalServerError")
    assert product.deliver(records)
    account.calls.refused.clear()
    assert status(account) == "claimed"
    product.report(last_mail(account).envelope(kind))
    assert status(account) == "sent"
    [item] = account.items(f"INTENT#{GUIDE}")
    assert (item["receipt"], item["sent_to"]) == ("m-1", TAGGED)
    account.clock.move(timedelta(minutes=10))
    product.redeliver()
    assert account.calls.sent["mail guide"] == 1


def test_a_mail_whose_answer_was_lost_is_not_sent_again(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    account.calls.unreachable.add("ses:SendEmail")
    product.deliver()
    account.calls.unreachable.clear()
    assert status(account) == "pending"
    product.report(last_mail(account).envelope("Send"))
    assert status(account) == "sent"
    account.clock.move(timedelta(minutes=10))
    assert product.redeliver() == {}


def test_a_report_that_arrives_before_the_sender_is_done_does_not_make_it_fail(
    product: Product, account: Account, ana: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = DynamoOutbox.mark_sent

    def twice(outbox: DynamoOutbox, claim: Claim, **sent: Any) -> None:
        mark(outbox, claim, **{**sent, "receipt": "as reported"})
        mark(outbox, claim, **sent)

    monkeypatch.setattr(DynamoOutbox, "mark_sent", twice)
    product.observe(sign_in(ana))
    assert product.deliver() == []
    assert account.items(f"INTENT#{GUIDE}")[0]["receipt"] == "as reported"


def test_a_report_about_a_mail_that_was_never_tried_marks_nothing(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    mail = SentMail("m-1", SENDER, [TAGGED], account.clock(), "set", {"intent": GUIDE})
    product.report(mail.envelope("Send"))
    assert status(account) == "pending"


def test_a_crash_at_any_call_loses_nothing_and_repeats_nothing(
    product: Product, account: Account, mailed: SentMail
) -> None:
    account.calls.made.clear()
    for number in range(1, 10):
        account.calls.crash_after = len(account.calls.made) + number
        try:
            product.report(mailed.envelope("Bounce"))
        except Crash:
            product.running = ""
            continue
        break
    account.calls.crash_after = None
    product.report(mailed.envelope("Bounce"))
    assert outcome(account) == "bounced"
    assert user_of(account)["bad_addresses"] == [TAGGED]
    assert len(account.items(f"INTENT#{GUIDE}-again")) == 1
    assert [text for text in history(account) if "bounced" in text] != []


def test_a_report_that_loses_a_race_for_its_user_is_read_anew(
    product: Product, account: Account, mailed: SentMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, racers = DynamoStore.user, iter(["another@example.com"])

    def raced(store: DynamoStore, key: UserKey) -> User | None:
        user = read(store, key)
        for address in racers:
            assert user
            meanwhile = replace(user, bad_addresses=frozenset({address}))
            store.commit(UserDecision("meanwhile", user=meanwhile), now=account.clock())
        return user

    monkeypatch.setattr(DynamoStore, "user", raced)
    assert product.report(mailed.envelope("Bounce")) == []
    assert sorted(user_of(account)["bad_addresses"]) == [TAGGED, "another@example.com"]


@pytest.mark.parametrize(
    "tags", [{}, {"intent": "mail-guide-of-somebody"}, {"intent": "alert-1"}], ids=str
)
def test_a_report_about_a_mail_that_is_not_ours_changes_nothing(
    product: Product, account: Account, tags: dict[str, str]
) -> None:
    mail = SentMail("m-1", SENDER, [TAGGED], account.clock(), "set", tags)
    assert product.report(mail.envelope("Bounce")) == []
    assert account.items("") == []
    assert account.parked("MailFeedbackDeadLetters") == []


def test_damaged_reports_are_set_aside_with_the_reason_and_the_others_read(
    product: Product, account: Account, mailed: SentMail, output: Reading
) -> None:
    opened = mailed.envelope("Send")
    opened["detail"]["eventType"] = "Open"
    bodies = ["no JSON", "{}", json.dumps(opened), json.dumps(mailed.envelope("Delivery"))]
    output()
    assert product.take("on_mail_feedback", *bodies) == []
    parked = dict(account.parked("MailFeedbackDeadLetters"))
    assert parked.keys() == set(bodies[:3])
    assert {letter["source_queue"] for letter in parked.values()} == {
        "mfa-watcher-MailFeedbackQueue-1A2B3C"
    }
    assert "eventType 'Open'" in parked[bodies[2]]["reason"]
    assert outcome(account) == "delivered"
    assert output().metrics["EventsSetAside"] == 3


def test_a_report_from_before_what_is_remembered_is_set_aside(
    product: Product, account: Account, mailed: SentMail
) -> None:
    account.clock.move(timedelta(days=36))
    product.report(mailed.envelope("Bounce"))
    [(_, letter)] = account.parked("MailFeedbackDeadLetters")
    assert "too old" in letter["reason"]
    assert outcome(account) is None


def test_while_the_table_is_unreachable_a_report_is_retried_and_then_set_aside(
    product: Product, account: Account, mailed: SentMail
) -> None:
    account.calls.refused["dynamodb:GetItem"] = Refusal("InternalServerError", status=500)
    assert len(product.report(mailed.envelope("Bounce"))) == 1
    assert product.report(mailed.envelope("Bounce"), receives=MAX_RECEIVES) == []
    assert len(account.parked("MailFeedbackDeadLetters")) == 1


def test_logs_link_the_mail_to_its_event_and_contain_no_address(
    product: Product, mailed: SentMail, output: Reading
) -> None:
    output()
    recipients = [{"emailAddress": TAGGED, "diagnosticCode": HOSTILE}]
    product.report(mailed.envelope("Bounce", bouncedRecipients=recipients))
    written = output()
    [line] = written.lines
    assert line["correlation_id"] == event_id("sign-in")
    assert (line["intent"], line["outcome"], line["result"]) == (GUIDE, "bounced", "decided")
    assert "@" not in str(line)
    assert written.metrics["Mails_bounced"] == 1


def test_every_outcome_that_ses_reports_is_known() -> None:
    assert {one.value for one in MailOutcome} == {
        "sent",
        "delayed",
        "delivered",
        "rejected",
        "bounced",
        "complained",
    }
