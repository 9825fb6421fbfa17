"""SES's reports are read leniently; what no retry can mend is said to be damaged."""

import json
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.notifications.mail_tags import to_tag
from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError
from mfa_watcher.entrypoints.parsing.ses import parse_report
from sandbox.mail_events import DETAIL_TYPES, SentMail
from tests.support.builders import HOSTILE, NOW, Json

TO = "ana@example.com"
MAIL = SentMail("m-1", "mfa@example.com", [TO], NOW, "set", {"intent": to_tag("mail-a/b")})


def body(kind: str = "Bounce", **about: object) -> str:
    return json.dumps(MAIL.envelope(kind, **about))


def damaged(**changes: object) -> str:
    envelope = MAIL.envelope("Bounce")
    envelope["detail"] |= changes
    return json.dumps(envelope)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("Send", MailOutcome.SENT),
        ("Delivery", MailOutcome.DELIVERED),
        ("DeliveryDelay", MailOutcome.DELAYED),
        ("Bounce", MailOutcome.BOUNCED),
        ("Complaint", MailOutcome.COMPLAINED),
        ("Reject", MailOutcome.REJECTED),
    ],
)
def test_every_kind_of_report_says_of_which_mail_it_is_and_about_whom(
    kind: str, outcome: MailOutcome
) -> None:
    report = parse_report(body(kind))
    assert report.outcome is outcome
    assert (report.intent_id, report.message_id) == ("mail-a/b", "m-1")
    assert (report.to, report.recipients) == (TO, (TO,))
    assert NOW <= report.at <= NOW + timedelta(seconds=2)


def test_each_kind_that_the_rule_asks_for_is_read() -> None:
    for kind in DETAIL_TYPES:
        parse_report(body(kind))


@pytest.mark.parametrize(
    ("about", "unreachable"),
    [
        ({"bounceType": "Permanent", "bounceSubType": "General"}, True),
        ({"bounceType": "Permanent", "bounceSubType": "OnAccountSuppressionList"}, True),
        ({"bounceType": "Transient", "bounceSubType": "MailboxFull"}, False),
        ({"bounceType": "Undetermined", "bounceSubType": "Undetermined"}, False),
        ({"bounceType": None}, False),
        ({"bounceType": ["Permanent"]}, False),
    ],
)
def test_only_a_permanent_bounce_says_that_the_address_takes_no_mail(
    about: Json,
    unreachable: bool,  # noqa: FBT001
) -> None:
    assert parse_report(body("Bounce", **about)).unreachable is unreachable


def test_a_complaint_by_the_suppression_list_says_that_nothing_was_sent() -> None:
    assert not parse_report(body("Complaint")).unreachable
    assert parse_report(body("Complaint", complaintSubType="OnAccountSuppressionList")).unreachable


def test_a_report_has_one_id_however_often_it_is_published() -> None:
    first, again = MAIL.envelope("Bounce"), MAIL.envelope("Bounce") | {"id": "another"}
    assert parse_report(json.dumps(first)).id == parse_report(json.dumps(again)).id


def test_reports_that_say_different_things_have_different_ids() -> None:
    later = {"timestamp": "2026-03-02T13:00:00.000Z"}
    ids = [
        parse_report(text).id
        for text in (
            *(body(kind) for kind in DETAIL_TYPES),
            body("DeliveryDelay", **later),
            body("Delivery", recipients=["another@example.com"]),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert not any("@" in id_ for id_ in ids), "ids are logged, addresses are not"


def test_a_mail_that_is_not_ours_has_no_intent() -> None:
    mail = SentMail("m-1", "mfa@example.com", [TO], NOW, "set")
    assert parse_report(json.dumps(mail.envelope("Bounce"))).intent_id is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("no JSON {", "not JSON"),
        ("[]", "no EventBridge event"),
        ("{}", "no EventBridge event: detail"),
        ('{"detail": {}}', "eventType ''"),
        (damaged(eventType="Open"), "eventType 'Open'"),
        (damaged(eventType=["Bounce"]), "eventType ''"),
        (damaged(eventType=HOSTILE * 9), "eventType"),
        (damaged(mail=None), "lacks a readable mail.messageId"),
        (damaged(mail={"messageId": 7}), "lacks a readable mail.messageId"),
        (damaged(mail={"messageId": "m"}, bounce={}), "lacks a readable timestamp"),
        (damaged(mail={"messageId": "m", "timestamp": "now"}, bounce=7), "lacks a readable time"),
    ],
)
def test_what_no_retry_can_mend_is_damaged_and_says_why(text: str, why: str) -> None:
    with pytest.raises(DamagedEventError, match=why) as error:
        parse_report(text)
    assert len(str(error.value)) < 200


def test_the_servers_words_are_kept_but_not_without_end() -> None:
    recipients = [{"emailAddress": TO, "diagnosticCode": HOSTILE * 100}]
    report = parse_report(body("Bounce", bouncedRecipients=recipients))
    assert report.detail.startswith(f"Permanent, General, {HOSTILE[:5]}")
    assert len(report.detail) == 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["timestamp", "destination", "tags", "messageId", "bouncedRecipients", "intent"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    mail=JSON, about=JSON, kind=st.sampled_from(["Bounce", "Complaint", "DeliveryDelay", "Send"])
)
def test_any_json_is_read_or_damaged(mail: object, about: object, kind: str) -> None:
    name = kind[0].lower() + kind[1:]
    detail = {"eventType": kind, "mail": mail, name: about}
    with suppress(DamagedEventError):
        parse_report(json.dumps({"detail": detail}))
