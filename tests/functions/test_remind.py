"""The clock's part: users who are due, run as the schedule runs it, twice and late."""

import json
from datetime import timedelta

import pytest

from mfa_watcher.adapters.iam import BotoIamReader
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users.address_overrides import AddressError
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.usecases.administer import AdministerUsers, NoSuchUserError
from tests.functions.product import Product
from tests.support.account import Account, Refusal
from tests.support.builders import ACCOUNT, ADMIN, Json, iam_call, iam_user, sign_in

DAY = timedelta(days=1)
QUARANTINE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "NotAction": "iam:EnableMFADevice", "Resource": "*"}],
    }
)
BOOK = AddressBook(frozenset({"example.com"}))
SECURITY = f"arn:aws:iam::{ACCOUNT}:user/sec"


@pytest.fixture
def ana(product: Product, account: Account) -> Json:
    """A console user without a device, who was seen and guided today."""
    ana = iam_user("ana", account.new_user("ana"))
    product.observe(sign_in(ana))
    product.deliver()
    account.calls.reset()
    return ana


def sent(product: Product) -> dict[str, int]:
    """Return what went out since last asked."""
    assert product.deliver() == []
    counts = dict(product.account.calls.sent)
    product.account.calls.sent.clear()
    return counts


def desk(account: Account) -> AdministerUsers:
    store = DynamoStore(
        Table(account.dynamodb, account.table), remember_events=35 * DAY, keep_evidence=DAY
    )
    iam = BotoIamReader(account.iam)
    ids = iter(f"desk-{number}" for number in range(9))
    return AdministerUsers(
        ACCOUNT, SECURITY, store, iam, Policy(), BOOK, account.clock, lambda: next(ids)
    )


@pytest.mark.usefixtures("ana")
def test_the_escalation_goes_step_by_step_until_security_gets_the_case(
    product: Product, account: Account
) -> None:
    went: dict[int, dict[str, int]] = {}
    for day in range(1, 23):
        account.clock.move(DAY)
        product.remind()
        if mails := sent(product):
            went[day] = mails
    assert went == {
        1: {"mail reminder": 1},
        3: {"mail reminder": 1},
        7: {"mail final_warning": 1},
        14: {"mail reminder": 1, "mail security_case": 1},
        21: {"mail reminder": 1},
    }


@pytest.mark.usefixtures("ana")
def test_a_schedule_that_fires_twice_sends_once(product: Product, account: Account) -> None:
    account.clock.move(DAY)
    assert product.remind()["decided"] == 1
    assert product.remind().get("decided", 0) == 0
    assert sent(product) == {"mail reminder": 1}


@pytest.mark.usefixtures("ana")
def test_a_user_who_enrols_between_decision_and_sending_gets_no_mail(
    product: Product, account: Account
) -> None:
    account.clock.move(DAY)
    product.remind()
    account.enrol("ana")
    assert sent(product) == {}


@pytest.mark.usefixtures("ana")
def test_a_user_who_enrolled_without_an_event_is_thanked_once_when_due(
    product: Product, account: Account
) -> None:
    account.enrol("ana")
    account.clock.move(DAY)
    product.remind()
    assert sent(product) == {"mail enrolled": 1}
    account.clock.move(30 * DAY)
    assert product.remind().get("decided", 0) == 0


@pytest.mark.usefixtures("ana")
def test_a_user_who_cannot_be_read_stays_due_and_the_others_are_reminded(
    product: Product, account: Account
) -> None:
    product.observe(sign_in(iam_user("bob", account.new_user("bob")), "bob"))
    sent(product)
    account.clock.move(DAY)
    account.calls.refused["iam:GetUser"] = Refusal("Throttling", naming='"UserName": "ana"')
    with pytest.raises(ExceptionGroup, match="could not be evaluated"):
        product.remind()
    assert sent(product) == {"mail reminder": 1}
    account.calls.refused.clear()
    product.remind()
    assert sent(product) == {"mail reminder": 1}


def test_unreachable_users_are_reported_to_security_once_in_one_mail(
    product: Product, account: Account
) -> None:
    product.default_mail_domain = ""
    for name in ("ana", "bob"):
        product.observe(sign_in(iam_user(name, account.new_user(name)), name))
        account.iam.tag_user(UserName=name, Tags=[{"Key": "email", "Value": "x@evil.test"}])
    assert "mail guide" not in sent(product)
    assert product.remind()["unreachable"] == 2
    assert sent(product) == {"mail unreachable": 1}
    assert product.remind()["unreachable"] == 0


@pytest.mark.usefixtures("ana")
def test_the_final_warning_is_copied_to_an_allowed_manager(
    product: Product, account: Account
) -> None:
    account.iam.tag_user(UserName="ana", Tags=[{"Key": "manager", "Value": "boss@example.com"}])
    for _ in range(7):
        account.clock.move(DAY)
        product.remind()
        product.deliver()
    copied = [body for body in account.calls.bodies if "CcAddresses" in body]
    assert [json.loads(body)["Destination"]["CcAddresses"] for body in copied] == [
        ["boss@example.com"]
    ]


@pytest.mark.usefixtures("ana")
def test_an_exempt_user_gets_nothing_until_the_exemption_ends(
    product: Product, account: Account
) -> None:
    desk(account).grant("ana", reason="new phone", until=account.clock() + 30 * DAY)
    went: dict[int, dict[str, int]] = {}
    for day in range(1, 32):
        account.clock.move(DAY)
        product.remind()
        if mails := sent(product):
            went[day] = mails
    assert went == {
        23: {"mail exemption_ending": 1},
        30: {"mail guide": 1},
        31: {"mail reminder": 1},
    }
    assert not list(desk(account).exempted())


def test_an_address_that_security_sets_comes_first_and_must_be_allowed(
    product: Product, account: Account, ana: Json
) -> None:
    with pytest.raises(AddressError, match="evil"):
        desk(account).set_address("ana", "ana@evil.test")
    desk(account).set_address(ana["userName"], "ana.b@example.com")
    account.clock.move(DAY)
    product.remind()
    product.deliver()
    [mail] = [json.loads(body) for body in account.calls.bodies if "EmailTags" in body]
    assert mail["Destination"]["ToAddresses"] == ["ana.b@example.com"]


def test_nobody_can_exempt_a_user_who_does_not_exist(account: Account) -> None:
    with pytest.raises(NoSuchUserError, match="nobody"):
        desk(account).grant("nobody", reason="x", until=account.clock() + DAY)


def test_a_tag_grants_no_exemption_and_causes_an_alert(
    product: Product, account: Account, ana: Json
) -> None:
    tags = [{"key": "mfa-exempt", "value": "true"}, {"key": "email", "value": "a@evil.test"}]
    asked = {"userName": "ana", "tags": tags}
    product.observe(iam_call("TagUser", ana, requestParameters=asked))
    assert sent(product) == {"alert exemption_claimed": 1, "alert address_leads_away": 1}
    account.clock.move(DAY)
    product.remind()
    assert sent(product) == {"mail reminder": 1}


@pytest.mark.usefixtures("ana")
def test_a_delayed_reminder_is_sent_within_the_mail_hours(
    product: Product, account: Account
) -> None:
    product.mail_hours = "8-18"
    account.clock.move(DAY)  # noon
    product.remind()
    account.calls.refused["ses:SendEmail"] = Refusal("TooManyRequestsException", status=429)
    assert sent(product) == {}
    account.calls.refused.clear()
    account.clock.move(timedelta(hours=10))  # ten in the evening
    product.redeliver()
    assert sent(product) == {}
    account.clock.move(timedelta(hours=10))  # eight in the morning
    product.redeliver()
    assert sent(product) == {"mail reminder": 1}


@pytest.mark.usefixtures("ana")
def test_a_delayed_reminder_is_skipped_if_a_later_step_was_taken(
    product: Product, account: Account
) -> None:
    account.calls.refused["ses:SendEmail"] = Refusal("SendingPausedException")
    for _ in range(3):
        account.clock.move(DAY)
        product.remind()
        assert sent(product) == {}
    account.calls.refused.clear()
    account.clock.move(timedelta(hours=1))
    product.redeliver()
    assert sent(product) == {"mail reminder": 1}


@pytest.mark.usefixtures("ana")
def test_a_delayed_reminder_is_not_sent_on_the_day_of_the_next(
    product: Product, account: Account
) -> None:
    account.calls.refused["ses:SendEmail"] = Refusal("SendingPausedException")
    account.clock.move(DAY)
    product.remind()
    assert sent(product) == {}
    account.calls.refused.clear()
    account.clock.move(2 * DAY - timedelta(hours=2))
    product.redeliver()
    assert sent(product) == {}
    account.clock.move(timedelta(hours=2))
    product.remind()
    assert sent(product) == {"mail reminder": 1}


@pytest.mark.parametrize(("devices", "advised"), [(1, {"mail second_device": 1}), (2, {})])
def test_a_user_with_one_device_is_advised_to_add_a_second_if_switched_on(
    product: Product, account: Account, devices: int, advised: dict[str, int]
) -> None:
    product.second_device_days = 10
    ana = iam_user("ana", account.new_user("ana"))
    product.observe(sign_in(ana))
    sent(product)
    serials = [account.enrol("ana", f"device-{number}") for number in range(devices)]
    asked = {"userName": "ana", "serialNumber": serials[0]}
    product.observe(iam_call("EnableMFADevice", ana, requestParameters=asked))
    assert sent(product) == {"mail enrolled": 1}
    assert go_on_for(product, 9) == {}
    assert go_on_for(product, 1) == advised
    assert go_on_for(product, 30) == {}


# Quarantine --------------------------------------------------------------------------------------


@pytest.fixture
def quarantine_policy(product: Product, account: Account) -> str:
    """The policy that the stack makes, and the quarantine switched on."""
    made = account.iam.create_policy(PolicyName="quarantine", PolicyDocument=QUARANTINE)
    product.quarantine = "on"
    product.quarantine_policy_arn = made["Policy"]["Arn"]
    return made["Policy"]["Arn"]


def attached(account: Account) -> list[str]:
    found = account.iam.list_attached_user_policies(UserName="ana")["AttachedPolicies"]
    return [policy["PolicyArn"] for policy in found]


def go_on_for(product: Product, days: int) -> dict[str, int]:
    """Let the schedule run for some days; return what went out on the last."""
    last: dict[str, int] = {}
    for _ in range(days):
        product.account.clock.move(DAY)
        product.remind()
        last = sent(product)
    return last


def test_a_user_who_does_not_enrol_is_quarantined_and_released_after_enrolling(
    product: Product, account: Account, ana: Json, quarantine_policy: str
) -> None:
    last = go_on_for(product, 21)
    assert last == {"mail quarantined": 1, "alert quarantined": 1}
    assert list(product.apply_quarantines().values()) == ["quarantined"]
    assert attached(account) == [quarantine_policy]
    serial = account.enrol("ana")
    asked = {"userName": "ana", "serialNumber": serial}
    product.observe(iam_call("EnableMFADevice", ana, requestParameters=asked, at=account.clock()))
    assert list(product.apply_quarantines().values()) == ["released"]
    assert attached(account) == []
    assert product.apply_quarantines() == {}


@pytest.mark.usefixtures("ana", "quarantine_policy")
def test_a_user_who_has_just_enrolled_is_not_quarantined(
    product: Product, account: Account
) -> None:
    go_on_for(product, 21)
    account.enrol("ana")
    assert list(product.apply_quarantines().values()) == ["has enrolled"]
    assert attached(account) == []


@pytest.mark.usefixtures("ana")
def test_a_quarantine_that_iam_refuses_stays_due(
    product: Product, account: Account, quarantine_policy: str
) -> None:
    go_on_for(product, 21)
    account.calls.refused["iam:AttachUserPolicy"] = Refusal("Throttling")
    with pytest.raises(ExceptionGroup, match="whose quarantine could not be applied"):
        product.apply_quarantines()
    account.calls.refused.clear()
    assert list(product.apply_quarantines().values()) == ["quarantined"]
    assert attached(account) == [quarantine_policy]


@pytest.mark.usefixtures("ana", "quarantine_policy")
def test_a_user_with_as_many_policies_as_iam_allows_is_reported_once_and_not_tried_again(
    product: Product, account: Account
) -> None:
    go_on_for(product, 21)
    account.calls.refused["iam:AttachUserPolicy"] = Refusal("LimitExceeded")
    assert list(product.apply_quarantines().values()) == ["not possible: too many policies"]
    assert sent(product) == {"alert quarantine_failed": 1}
    assert product.apply_quarantines() == {}
    [user] = account.items("USER#", "STATE")
    assert user.get("quarantined_at") is None
    assert "alert quarantine_failed" not in go_on_for(product, 30)
    assert product.apply_quarantines() == {}


@pytest.mark.usefixtures("ana", "quarantine_policy")
def test_a_quarantine_that_failed_is_reported_once_even_if_the_function_then_dies(
    product: Product, account: Account
) -> None:
    go_on_for(product, 21)
    account.calls.refused["iam:AttachUserPolicy"] = Refusal("LimitExceeded")
    account.calls.refused["dynamodb:UpdateItem"] = Refusal("ProvisionedThroughputExceededException")
    with pytest.raises(ExceptionGroup):
        product.apply_quarantines()
    account.calls.refused.clear()
    assert sent(product) == {"alert quarantine_failed": 1}
    # Its record says by now that it is not quarantined.
    assert list(product.apply_quarantines().values()) == ["released"]
    assert attached(account) == []
    assert sent(product) == {}


@pytest.mark.usefixtures("ana")
def test_quarantine_stops_before_its_time_is_over_and_the_next_run_continues(
    product: Product, account: Account, quarantine_policy: str
) -> None:
    go_on_for(product, 21)
    assert product.apply_quarantines(milliseconds=4_000) == {}
    assert attached(account) == []
    assert list(product.apply_quarantines().values()) == ["quarantined"]
    assert attached(account) == [quarantine_policy]


@pytest.mark.usefixtures("ana", "quarantine_policy")
def test_a_dry_run_reports_once_and_changes_nothing(product: Product) -> None:
    product.quarantine = "dry_run"
    assert go_on_for(product, 21) == {"mail reminder": 1, "alert quarantined": 1}
    assert product.apply_quarantines() == {}
    assert go_on_for(product, 7) == {"mail reminder": 1}


@pytest.mark.usefixtures("ana")
def test_deleting_the_user_ends_everything_about_them(product: Product, account: Account) -> None:
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    product.observe(iam_call("DeleteUser", ADMIN, requestParameters={"userName": "ana"}))
    assert go_on_for(product, 30) == {}
