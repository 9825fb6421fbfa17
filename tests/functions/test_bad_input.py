"""Bad input ends where the design says, and the other items of its batch are done."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.cli.samples import FINAL_WARNING
from mfa_watcher.domain.users.user import UserKey
from tests.functions.product import MAX_RECEIVES, OBSERVING, Output, Product
from tests.support.account import Account, Refusal, client
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    NOW,
    SENDER,
    Json,
    a_decision,
    a_mail,
    about,
    access_granted,
    denied_removal,
    envelope,
    event_id,
    iam_user,
    sign_in,
)

Reading = Callable[[], Output]

ALERTS_FAIL = Refusal("InternalServerError", naming="INTENT#alert-", status=500)


def good(who: Json) -> tuple[str, str]:
    """Return two bodies that both functions can act on, to stand before and behind a bad one."""
    return envelope(sign_in(who, "first")), envelope(denied_removal(who, who["userName"], "last"))


def changed(**fields: Any) -> str:
    return envelope({**sign_in(ADMIN), **fields})


DAMAGED = {
    "nothing": ("", "the message is not JSON"),
    "no JSON": ("no JSON", "the message is not JSON"),
    "an endless number": ("9" * 5000, "the message is not JSON"),
    "endless depth": ("[" * 50_000, "nested too deeply"),
    "null": ("null", "no EventBridge event"),
    "a list": ("[1]", "no EventBridge event"),
    "no detail": ("{}", "no EventBridge event: detail"),
    "null as detail": ('{"id": "x", "detail": null}', "no EventBridge event: detail"),
    "a text as detail": ('{"id": "x", "detail": "text"}', "no EventBridge event: detail"),
    "an empty detail": ('{"id": "x", "detail": {}}', "lacks a readable eventID"),
    "no eventID": (changed(eventID=None), "lacks a readable eventID"),
    "a number as eventID": (changed(eventID=5), "eventID (unreadable: eventID)"),
    "no time as eventTime": (changed(eventTime="yesterday"), "lacks a readable eventTime"),
    "a list as eventTime": (changed(eventTime=[]), "eventTime (unreadable: eventTime)"),
    "no account": (
        changed(recipientAccountId=None, userIdentity=7),
        "recipientAccountId (unreadable: userIdentity)",
    ),
    "another account": (changed(recipientAccountId="210987654321"), "about account 210987654321"),
    "too old": (changed(eventTime="2026-01-02T00:00:00Z"), "of 2026-01-02, too old"),
}


@pytest.fixture
def ana(account: Account) -> Json:
    return iam_user("ana", account.new_user("ana"))


@pytest.mark.parametrize("function", OBSERVING)
@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED)
def test_a_message_that_no_retry_can_help_is_set_aside_at_once_with_the_reason(
    product: Product, ana: Json, output: Reading, function: str, case: tuple[str, str]
) -> None:
    account, (body, reason) = product.account, case
    before, behind = good(ana)
    assert product.take(function, before, body, behind) == []
    sign_ins = function == "on_sign_in"
    [(kept, attributes)] = account.parked(
        "SignInDeadLetters" if sign_ins else "IamChangeDeadLetters"
    )
    assert kept == (body or "(empty)")
    assert reason in attributes["reason"]
    assert attributes["source_queue"].endswith(
        "SignInQueue-1A2B3C" if sign_ins else "IamChangeQueue-1A2B3C"
    )
    written = output()
    assert written.metrics["EventsSetAside"] == 1
    assert written.metrics["EventsObserved"] == 2
    assert [line["reason"] for line in written.lines if line["level"] == "ERROR"] == [
        attributes["reason"]
    ]
    assert decided(account) == {event_id("first"), event_id("last")}


@pytest.mark.parametrize(
    "fields",
    [
        {"userIdentity": "text"},
        {"userIdentity": []},
        {"userIdentity": {"type": 1, "userName": {}, "arn": [], "principalId": True}},
        {"requestParameters": "text", "responseElements": [], "additionalEventData": 3},
        {"responseElements": {"ConsoleLogin": {"a": 1}, "loginProfile": 7, "user": "x"}},
        {"eventName": 12, "eventSource": {}},
        {"errorCode": 5, "errorMessage": ["x"], "sourceIPAddress": 9, "userAgent": None},
        {"userAgent": "\ud800", "sourceIPAddress": "\udfff"},
    ],
)
@pytest.mark.parametrize("kind", ["sign_in", "removal", "grant", "creation"])
def test_a_record_with_wrong_types_is_judged_by_what_is_left_of_it(
    product: Product, account: Account, ana: Json, fields: Json, kind: str
) -> None:
    records = {
        "sign_in": sign_in(ana, "bad"),
        "removal": denied_removal(ana, "ana", "bad"),
        "grant": access_granted("ana"),
        "creation": about("CreateUser", "ana", seed="bad"),
    }
    before, behind = good(ana)
    assert (
        product.take("on_iam_change", before, envelope({**records[kind], **fields}), behind) == []
    )
    assert account.parked("IamChangeDeadLetters") == []
    assert {event_id("first"), event_id("last")} <= decided(account)
    assert product.deliver() == []


@pytest.mark.parametrize(
    "says",
    [("Throttling", 400), ("AccessDenied", 403), ("ServiceFailure", 500)],
    ids=lambda says: says[0],
)
@pytest.mark.parametrize("read", ["GetUser", "ListMFADevices", "GetLoginProfile"])
def test_an_event_for_which_iam_never_answers_is_retried_and_then_set_aside(
    product: Product, ana: Json, output: Reading, read: str, says: tuple[str, int]
) -> None:
    account, (code, status) = product.account, says
    account.new_user("bo")
    account.calls.refused[f"iam:{read}"] = Refusal(code, "no", status, naming="bo")
    before, behind = good(ana)
    bad = envelope(access_granted("bo"))
    for receives in range(1, MAX_RECEIVES):
        assert product.take("on_iam_change", before, bad, behind, receives=receives) == [bad]
        assert account.parked("IamChangeDeadLetters") == []
        [warning] = [line for line in output().lines if line["level"] == "WARNING"]
        assert warning["correlation_id"] == event_id("CreateLoginProfile")
        assert f"{read}: {code}" in warning["exception"]
    assert product.take("on_iam_change", before, bad, behind, receives=MAX_RECEIVES) == []
    [(kept, attributes)] = account.parked("IamChangeDeadLetters")
    assert kept == bad
    assert attributes["reason"] == f"IamReadError: IAM did not answer {read}: {code}"
    lines = [line for line in output().lines if line["level"] == "ERROR"]
    assert {line["correlation_id"] for line in lines} == {event_id("CreateLoginProfile")}
    assert decided(account) == {event_id("first"), event_id("last")}


def test_an_event_that_iam_answers_later_is_decided_then(
    product: Product, account: Account, ana: Json
) -> None:
    account.calls.refused["iam:ListMFADevices"] = Refusal("Throttling")
    assert len(product.observe(sign_in(ana))) == 1
    account.calls.refused.clear()
    assert product.observe(sign_in(ana), receives=2) == []
    assert decided(account) == {event_id("sign-in")}


def test_a_batch_in_which_every_message_fails_is_not_an_error_of_the_function(
    product: Product, account: Account, ana: Json
) -> None:
    account.calls.refused["dynamodb:GetItem"] = Refusal("ProvisionedThroughputExceededException")
    bodies = good(ana)
    assert product.take("on_sign_in", *bodies) == list(bodies)


def test_a_message_that_cannot_be_set_aside_stays_in_the_queue(
    product: Product, account: Account
) -> None:
    account.calls.refused["sqs:SendMessage"] = Refusal("AccessDenied", status=403)
    assert product.take("on_sign_in", "no JSON") == ["no JSON"]


def test_an_address_that_ses_rejects_fails_its_mail_and_no_other(
    product: Product, account: Account, ana: Json, output: Reading
) -> None:
    bo = iam_user("bo", account.new_user("bo"))
    address = "bo@example.com"
    account.calls.refused["ses:SendEmail"] = Refusal(
        "MessageRejected", f"Email address is not verified: {address}", naming=address
    )
    product.observe(sign_in(bo, "bo"), sign_in(ana, "ana"))
    output()
    assert product.deliver() == []
    written = output()
    assert written.metrics["IntentsFailed"] == 1
    assert written.metrics["Intents_sent"] == 3
    assert statuses(account)[f"mail-guide-F-{event_id('bo')}"] == "failed"
    [error] = [line for line in written.lines if line["level"] == "ERROR"]
    assert error["correlation_id"] == event_id("bo")
    assert "MessageRejected" in error["reason"]
    assert not any("@" in str(line) for line in written.lines)
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 2}
    account.clock.move(timedelta(days=2))
    assert product.redeliver() == {}


def test_a_mail_that_failed_goes_out_when_it_is_reopened_by_hand(
    product: Product, account: Account, ana: Json
) -> None:
    account.calls.refused["ses:SendEmail"] = Refusal("MessageRejected", "not verified")
    product.observe(sign_in(ana))
    product.deliver()
    account.calls.refused.clear()
    account.clock.move(timedelta(seconds=1))  # a reopened intent's end is an entry of its own
    intent = f"mail-guide-F-{event_id('sign-in')}"
    assert product.redeliver(intent, "no such intent") == {"sent": 1}
    assert statuses(account)[intent] == "sent"


def test_a_user_without_an_allowed_address_is_reported_to_security_and_not_mailed(
    product: Product, account: Account
) -> None:
    product.default_mail_domain = ""
    who = iam_user("x@evil.example", account.new_user("x@evil.example"))
    account.iam.tag_user(
        UserName="x@evil.example", Tags=[{"Key": "Email", "Value": "x@example.com.evil.example"}]
    )
    product.observe(sign_in(who))
    product.deliver()
    assert account.calls.sent == {"alert sign_in_without_mfa": 1}
    assert product.remind()["unreachable"] == 1


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ses:SendEmail", "InternalFailure"),
        ("iam:GetUser", "Throttling"),
        ("iam:ListMFADevices", "AccessDenied"),
    ],
)
def test_a_mail_that_cannot_be_sent_now_is_retried_at_growing_intervals(
    product: Product, account: Account, ana: Json, operation: str, code: str
) -> None:
    product.observe(sign_in(ana))
    account.calls.refused[operation] = Refusal(code)
    assert product.deliver() == []
    tries = []
    for minute in range(1, 20):
        account.clock.move(timedelta(minutes=1))
        if product.redeliver():
            tries.append(minute)
    assert tries == [1, 3, 7, 15]
    account.calls.refused.clear()
    account.clock.move(timedelta(hours=1))
    assert product.redeliver() == {"sent": 1}
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 1}


def test_a_mail_that_fails_for_a_day_is_given_up_and_raises_an_alarm(
    product: Product, account: Account, ana: Json, output: Reading
) -> None:
    product.observe(sign_in(ana))
    account.calls.refused["ses:SendEmail"] = Refusal("InternalFailure")
    product.deliver()
    ends: list[dict[str, int]] = []
    while not ends or ends[-1] != {"failed": 1}:
        ends += [end] if (end := product.redeliver()) else []
        account.clock.move(timedelta(minutes=30))
        assert account.clock() < NOW + timedelta(hours=36)
    assert account.clock() > NOW + timedelta(hours=24)
    assert len(ends) == 29
    assert output().metrics["IntentsFailed"] == 1


@pytest.mark.parametrize(
    ("refusal", "minutes"),
    [
        (Refusal("TooManyRequestsException", "Maximum sending rate exceeded"), 1),
        (Refusal("TooManyRequestsException", "Daily message quota exceeded"), 60),
        (Refusal("LimitExceededException"), 60),
        (Refusal("SendingPausedException"), 15),
        (Refusal("AccountSuspendedException"), 15),
        (Refusal("MessageRejected", f"Email address is not verified: {SENDER}"), 15),
    ],
    ids=lambda value: f"{value.code}: {value.message}" if isinstance(value, Refusal) else None,
)
def test_an_error_that_is_not_about_the_mail_does_not_count_as_an_attempt(
    product: Product, account: Account, ana: Json, refusal: Refusal, minutes: int
) -> None:
    product.observe(sign_in(ana))
    account.calls.refused["ses:SendEmail"] = refusal
    product.deliver()
    for _ in range(40):
        account.clock.move(timedelta(minutes=minutes, seconds=-31))
        assert product.redeliver() == {}
        account.clock.move(timedelta(seconds=31))
        assert product.redeliver().keys() <= {"put_back", "stopped"}
    assert account.clock() >= NOW + timedelta(minutes=40 * minutes)
    account.calls.refused.clear()
    account.clock.move(timedelta(hours=1))
    assert product.redeliver() == {"sent": 1}
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 1}


def test_a_mail_that_waits_for_two_weeks_is_given_up_and_raises_an_alarm(
    product: Product, account: Account, ana: Json, output: Reading
) -> None:
    product.observe(sign_in(ana))
    account.calls.refused["ses:SendEmail"] = Refusal("AccountSuspendedException")
    product.deliver()
    account.clock.move(timedelta(days=14) - timedelta(minutes=1))
    assert product.redeliver() == {"stopped": 1}
    account.clock.move(timedelta(minutes=15))
    assert product.redeliver() == {"failed": 1}
    assert output().metrics["IntentsFailed"] == 1


def test_an_account_that_may_not_send_is_alarmed_and_asked_once_a_sweep_and_alerts_go_on(
    product: Product, account: Account, output: Reading
) -> None:
    names = [f"user{n}" for n in range(5)]
    product.observe(*(sign_in(iam_user(n, account.new_user(n)), n) for n in names))
    account.calls.refused["ses:SendEmail"] = Refusal("SendingPausedException")
    account.clock.move(timedelta(minutes=2))
    output()
    assert product.redeliver() == {"sent": 5, "stopped": 1}
    assert account.calls.made.count("ses:SendEmail") == 1
    written = output()
    assert written.metrics["SendingStopped"] == 1
    assert "IntentsFailed" not in written.metrics
    account.calls.refused.clear()
    account.clock.move(timedelta(minutes=15))
    assert product.redeliver() == {"sent": 5}


def test_a_recipient_whom_the_sandbox_of_ses_does_not_know_fails_alone(
    product: Product, account: Account, ana: Json
) -> None:
    bo = iam_user("bo", account.new_user("bo"))
    text = (
        "Email address is not verified. The following identities failed the check: bo@example.com"
    )
    account.calls.refused["ses:SendEmail"] = Refusal("MessageRejected", text, naming="bo@")
    product.observe(sign_in(bo, "bo"), sign_in(ana, "ana"))
    product.deliver()
    assert statuses(account)[f"mail-guide-F-{event_id('bo')}"] == "failed"
    assert statuses(account)[f"mail-guide-F-{event_id('ana')}"] == "sent"


def test_an_address_that_ses_finds_invalid_is_marked_and_the_next_one_is_used_at_once(
    product: Product, account: Account, ana: Json
) -> None:
    odd = "a..b@example.com"
    account.iam.tag_user(UserName="ana", Tags=[{"Key": "email", "Value": odd}])
    account.calls.refused["ses:SendEmail"] = Refusal(
        "BadRequestException", "Local address contains dot-dot", naming=odd
    )
    product.observe(sign_in(ana))
    product.deliver()
    [user] = account.items("USER#", "STATE")
    assert user["bad_addresses"] == [odd]
    [mail] = account.items("INTENT#mail-guide")
    assert (mail["status"], mail["sent_to"], mail["attempts"]) == ("sent", "ana@example.com", 1)
    product.deliver()
    assert account.calls.sent["alert mail_undeliverable"] == 1
    assert account.calls.sent["mail guide"] == 1


def test_the_managers_copy_is_sent_even_if_the_users_address_is_invalid(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    product.deliver()
    odd, tags = "a..b@example.com", {"email": "a..b@example.com", "manager": "boss@example.com"}
    account.iam.tag_user(
        UserName="ana", Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )
    account.calls.refused["ses:SendEmail"] = Refusal(
        "BadRequestException", "Local address contains dot-dot", naming=odd
    )
    key = UserKey(ACCOUNT, ana["principalId"])
    warning = a_mail(
        "mail-final_warning-1",
        replace(
            FINAL_WARNING,
            account_id=ACCOUNT,
            user=key,
            user_name="ana",
            finding_id=f"F-{event_id('sign-in')}",
            at=account.clock(),
            escalation_step=0,
        ),
    )
    store = DynamoStore(
        Table(client("dynamodb"), account.table),
        remember_events=timedelta(days=35),
        keep_evidence=timedelta(days=400),
    )
    store.commit(a_decision("warn", warning, user=None), now=account.clock())
    product.deliver()
    sent = [
        json.loads(body)["Destination"]
        for call, body in zip(account.calls.made, account.calls.bodies, strict=True)
        if call == "ses:SendEmail"
    ]
    assert sent[-1] == {
        "ToAddresses": ["ana@example.com"],
        "CcAddresses": ["boss@example.com"],
    }


def test_a_failing_intent_stays_due_and_does_not_stop_the_others(
    product: Product, account: Account, ana: Json, output: Reading
) -> None:
    product.observe(sign_in(ana))
    account.clock.move(timedelta(minutes=2))

    account.calls.refused["dynamodb:UpdateItem"] = ALERTS_FAIL
    with pytest.raises(ExceptionGroup):
        product.redeliver()
    assert account.calls.sent == {"mail guide": 1}
    [error] = [line for line in output().lines if line["level"] == "ERROR"]
    assert error["intent"].startswith("alert-")
    account.calls.refused.clear()
    assert product.redeliver() == {"sent": 1}


def test_a_record_of_the_stream_that_raises_is_tried_again_and_the_others_are_done(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    account.calls.refused["dynamodb:UpdateItem"] = ALERTS_FAIL
    records = product.new_intents()
    [failed] = product.deliver(records)
    assert failed.startswith("INTENT#alert-")
    assert account.calls.sent == {"mail guide": 1}
    account.calls.refused.clear()
    assert product.deliver(records) == []
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 1}


@pytest.mark.parametrize("name", ["x" * 129, "x" * 3000, "no legal name!", "\u00e4"])
def test_a_failed_removal_with_an_impossible_user_name_is_kept_and_not_retried(
    product: Product, account: Account, name: str
) -> None:
    """A caller may ask for any name, and the record of the failed call holds it."""
    account.calls.refused["iam:GetUser"] = Refusal("ValidationError", "The specified value for ...")
    record = about("DeactivateMFADevice", name, seed="odd", serialNumber="GAKT1")
    assert product.observe({**record, "errorCode": "ValidationException"}) == []
    assert account.parked("IamChangeDeadLetters") == []
    [entry] = account.items(f"ACCOUNT#{ACCOUNT}", "HISTORY#")
    assert entry["event_id"] == event_id("odd")


@pytest.mark.parametrize(
    ("operation", "tries"), [("ses:SendEmail", 1), ("sns:Publish", 1), ("iam:GetUser", 3)]
)
def test_a_sending_call_is_made_once_and_a_reading_call_up_to_three_times(
    product: Product, account: Account, ana: Json, operation: str, tries: int
) -> None:
    """A lost answer may hide that the mail went out: trying again at once would send it again."""
    product.observe(sign_in(ana))
    account.calls.unreachable.add(operation)
    assert product.deliver() == []
    assert account.calls.tries.count(operation) == tries
    assert "pending" in statuses(account).values()


def test_a_function_whose_environment_is_incomplete_says_which_variable(
    product: Product, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert product.take("on_sign_in", "x") == []
    product.running = ""
    monkeypatch.setattr(account, "table", "")
    with pytest.raises(Exception, match="TABLE_NAME"):
        product.take("on_sign_in", "x")


def decided(account: Account) -> set[str]:
    return {item["pk"].removeprefix("EVENT#") for item in account.items("EVENT#")}


def statuses(account: Account) -> dict[str, str]:
    return {item["id"]: item["status"] for item in account.items("INTENT#")}
