"""From a record to what people and the table see of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.functions.product import Output, Product
from tests.support.account import Account
from tests.support.builders import (
    ADMIN,
    HOSTILE,
    NOW,
    ROOT,
    Json,
    about,
    access_granted,
    denied_removal,
    event_id,
    iam_call,
    iam_user,
    later,
    sign_in,
    user_created,
)

pytestmark = pytest.mark.moto


def finding(account: Account) -> Json:
    [user] = account.items("USER#", "STATE")
    found: Json = user.get("finding", {})
    return found


def sent(product: Product) -> dict[str, int]:
    assert product.deliver() == []
    return dict(product.account.calls.sent)


@pytest.fixture
def ana(account: Account) -> Json:
    """A console user without a device."""
    return iam_user("ana", account.new_user("ana"))


def test_a_sign_in_without_mfa_opens_a_finding_and_is_mailed_and_alerted(
    product: Product, account: Account, ana: Json
) -> None:
    assert product.observe(sign_in(ana)) == []
    assert finding(account)["cause"] == "signed_in_without_mfa"
    assert sent(product) == {"mail guide": 1, "alert sign_in_without_mfa": 1}
    [alert] = account.alerts()
    assert "ana" in alert["Message"]


def test_a_user_with_a_device_who_signed_in_without_it_is_left_alone(
    product: Product, account: Account, ana: Json
) -> None:
    account.enrol("ana")
    product.observe(sign_in(ana))
    assert finding(account) == {}
    assert sent(product) == {}


def test_console_access_causes_a_welcome_and_a_kept_password_an_alert(
    product: Product, account: Account
) -> None:
    account.new_user("ana")
    product.observe(access_granted("ana", reset=False))
    assert finding(account)["cause"] == "console_access_granted"
    assert sent(product) == {"mail welcome": 1, "alert password_kept": 1}


def test_the_first_sign_in_after_the_grant_is_expected_and_a_later_one_is_not(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(access_granted("ana"))
    assert sent(product) == {"mail welcome": 1}
    product.observe(sign_in(ana, "first", at=later(59)))
    assert sent(product) == {"mail welcome": 1}
    product.observe(sign_in(ana, "second", at=later(61)))
    assert sent(product) == {"mail welcome": 1, "mail guide": 1, "alert sign_in_without_mfa": 1}
    assert finding(account)["mailed"] in (["guide", "welcome"], ["welcome", "guide"])


def test_enrolment_closes_the_finding_and_causes_a_thank_you(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    serial = account.enrol("ana")
    product.observe(about("EnableMFADevice", "ana", ana, serialNumber=serial))
    assert finding(account)["closure"] == "enrolled"
    # The guide was not sent yet: who has enrolled meanwhile does not get it any more.
    assert sent(product) == {"alert sign_in_without_mfa": 1, "mail enrolled": 1}


def test_a_denied_removal_opens_one_request_and_mails_its_subject(
    product: Product, account: Account, ana: Json
) -> None:
    account.enrol("ana")
    product.observe(denied_removal(ADMIN, "ana"), denied_removal(ADMIN, "ana", "again"))
    [request] = account.items("REQUEST#", "STATE")
    assert (request["subject_name"], request["state"]) == ("ana", "open")
    assert request["subject"]["user_id"] == ana["principalId"]
    assert request["attempt_count"] == 2
    assert sent(product) == {"mail removal_denied": 1, "alert removal_denied": 1}


def test_an_unapproved_removal_of_the_last_device_is_a_violation_and_a_finding(
    product: Product, account: Account, ana: Json
) -> None:
    assert ana
    serial = f"arn:aws:iam::{NOW.year}:mfa/phone"
    removals = [
        about("DeactivateMFADevice", "ana", ADMIN, serialNumber=serial),
        iam_call("DeleteVirtualMFADevice", ADMIN, requestParameters={"serialNumber": serial}),
    ]
    product.observe(*removals)
    [request] = account.items("REQUEST#", "STATE")
    assert (request["violation"], request["attempt_count"]) == (True, 2)
    assert finding(account)["cause"] == "device_removed"
    assert sent(product) == {"mail device_lost": 1, "alert removal_unapproved": 1}


def test_off_boarding_notifies_nobody_and_closes_everything_about_the_user(
    product: Product, account: Account
) -> None:
    ana = iam_user("ana", account.new_user("ana"))
    product.observe(sign_in(ana), denied_removal(ana, "ana"))
    before = sent(product)
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    product.observe(
        about("DeactivateMFADevice", "ana", serialNumber="GAKT1"),
        about("DeleteLoginProfile", "ana"),
        about("DeleteUser", "ana"),
    )
    assert sent(product) == before
    assert finding(account)["closure"] == "user_gone"
    [request] = account.items("REQUEST#", "STATE")
    assert request["state"] == "cancelled"


def test_root_is_alerted_in_every_case(product: Product, account: Account) -> None:
    account.new_user("ana")
    created = {**user_created("bo", "AIDABO"), "userIdentity": ROOT}
    product.observe(
        sign_in(ROOT, "a"),
        sign_in(ROOT, "b", mfa="YES"),
        about("DeleteLoginProfile", "ana", ROOT),
        created,
    )
    assert sent(product) == {"alert root_activity": 4}


def test_a_key_only_user_is_left_alone(product: Product, account: Account) -> None:
    robot = account.new_user("robot", password=False)
    product.observe(
        user_created("robot", robot),
        about("TagUser", "robot"),
        about("DeactivateMFADevice", "robot", seed="x", serialNumber="GAKT1"),
    )
    assert finding(account) == {}
    assert sent(product).get("mail guide") is None


# One name, two users -----------------------------------------------------------------------------


def test_a_name_created_anew_closes_everything_about_its_last_owner(
    product: Product, account: Account
) -> None:
    old = account.new_user("ana")
    product.observe(access_granted("ana"))
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    new = account.new_user("ana")
    product.observe(user_created("ana", new))
    users = {user["pk"].split("#")[2]: user for user in account.items("USER#", "STATE")}
    assert users[old]["finding"]["closure"] == "user_gone"
    assert users[new]["name"] == "ana"


def test_a_late_record_of_a_users_creation_does_not_mark_their_successor_as_gone(
    product: Product, account: Account
) -> None:
    new = account.new_user("ana")
    product.observe(user_created("ana", new, "second"))
    product.observe(access_granted("ana"))
    product.observe(user_created("ana", "AIDAOLD", "first"))
    assert finding(account).get("closure") is None
    product.observe(denied_removal(ADMIN, "ana"))
    [request] = account.items("REQUEST#", "STATE")
    assert request["subject"]["user_id"] == new


def test_root_creating_a_name_anew_is_one_alert(product: Product) -> None:
    product.observe(user_created("ana", "AIDAOLD", "first"))
    product.observe({**user_created("ana", "AIDANEW", "second"), "userIdentity": ROOT})
    assert sent(product) == {"alert root_activity": 1}


def test_a_late_denied_attempt_of_a_deleted_user_opens_no_request(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    product.observe(about("DeleteUser", "ana"), denied_removal(ana, "ana"))
    assert account.items("REQUEST#", "STATE") == []


def test_a_user_who_only_seemed_gone_gets_their_finding_and_request_back(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana), denied_removal(ana, "ana"))
    account.iam.update_user(UserName="ana", NewUserName="anna")
    product.observe(about("EnableMFADevice", "ana", seed="read under the old name"))
    assert finding(account)["closure"] == "user_gone"
    product.observe(about("UpdateUser", "ana", newUserName="anna"))
    assert "closure" not in finding(account)
    assert finding(account)["due_at"]
    [request] = account.items("REQUEST#", "STATE")
    assert request["state"] == "open"


def test_a_renamed_user_gets_the_mail_that_was_decided_before(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    account.iam.update_user(UserName="ana", NewUserName="anna")
    product.observe(about("UpdateUser", "ana", newUserName="anna"))
    assert sent(product)["mail guide"] == 1


# Going out ---------------------------------------------------------------------------------------


def test_an_intent_is_not_sent_by_both_deliver_and_redeliver(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    records = product.new_intents()
    product.deliver(records)
    product.deliver(records)
    account.clock.move(timedelta(minutes=10))
    assert product.redeliver() == {}
    assert account.calls.sent == {"mail guide": 1, "alert sign_in_without_mfa": 1}


def test_an_intent_that_the_stream_lost_is_sent_by_redeliver(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    assert product.redeliver() == {}
    account.clock.move(timedelta(minutes=2))
    assert product.redeliver() == {"sent": 2}


def test_redeliver_stops_when_its_time_is_nearly_over(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana))
    account.clock.move(timedelta(minutes=2))
    assert product.redeliver(milliseconds=4_000) == {}
    assert product.redeliver() == {"sent": 2}


def test_of_the_stream_only_intents_are_delivered(product: Product, account: Account) -> None:
    keys = {"pk": {"S": "USER#1#2"}, "sk": {"S": "STATE"}}
    assert product.deliver([{"eventName": "INSERT", "dynamodb": {"Keys": keys}}]) == []
    assert account.calls.made == []


# Traces ------------------------------------------------------------------------------------------


def test_each_line_about_an_event_carries_its_id_and_none_holds_an_address_or_a_mail(
    product: Product, account: Account, ana: Json, output: Callable[[], Output]
) -> None:
    account.iam.tag_user(UserName="ana", Tags=[{"Key": "email", "Value": "a.b@example.com"}])
    output()
    product.observe(sign_in(ana, "one"), denied_removal(ana, "ana", "two"))
    product.deliver()
    lines = output().lines
    assert {line["correlation_id"] for line in lines} == {event_id("one"), event_id("two")}
    assert len(lines) == 6  # two observed, two mails and two alerts delivered
    for line in lines:
        assert "@" not in str(line)
        assert "Hello" not in str(line)


def test_hostile_texts_of_a_record_stay_on_one_line_of_the_log(
    product: Product, ana: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {**sign_in(ana), "userAgent": HOSTILE, "sourceIPAddress": HOSTILE}
    assert product.observe(record) == []
    assert product.deliver() == []
    for line in capsys.readouterr().out.splitlines():
        assert line.startswith("{")
        assert line.endswith("}")
