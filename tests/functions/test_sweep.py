"""The sweep: everybody is looked at, whatever events came or did not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mfa_watcher.domain.sweep.comparison import EVENT_DELAY
from mfa_watcher.entrypoints.queue import SWEEP_RETRY_DELAYS
from mfa_watcher.usecases.sweep import MAX_REPORT_WAITS, REPORT_WAITS
from tests.functions.product import Output, Product
from tests.support.account import Account, Crash, Refusal, opened
from tests.support.builders import ACCOUNT, Json, about, iam_user, sign_in, user_created
from tests.support.reports import Reports

HOURS = timedelta(hours=1)
LISTS = ["iam:ListUsers", "iam:ListVirtualMFADevices", "iam:GetAccountSummary"]


@pytest.fixture
def reports(account: Account, monkeypatch: pytest.MonkeyPatch) -> Reports:
    return reporting(account, monkeypatch)


def reporting(account: Account, monkeypatch: pytest.MonkeyPatch) -> Reports:
    # moto dates what it makes by the clock on the wall, which is past the tests' own day.
    account.clock.time = datetime.now(UTC) + EVENT_DELAY
    return Reports(account.clock).install(monkeypatch)


def users(account: Account) -> dict[str, dict[str, Any]]:
    """Return the records by name; of one name, the user who is there."""
    found = sorted(account.items("USER#", "STATE"), key=lambda user: "gone_at" not in user)
    return {user["name"]: user for user in found}


def mfa_statuses(account: Account) -> dict[str, str]:
    return {name: user.get("mfa_status", "-") for name, user in users(account).items()}


def lost(account: Account) -> dict[str, int]:
    [swept] = account.items("ACCOUNT#", "SWEEP")
    return {call: int(number) for call, number in swept["lost"].items()}


def sent(product: Product) -> dict[str, int]:
    """Return what went out since last asked."""
    assert product.deliver() == []
    counts = dict(product.account.calls.sent)
    product.account.calls.sent.clear()
    return counts


@pytest.fixture
def swept(product: Product, account: Account, reports: Reports) -> Reports:
    """An account with one user of each kind, swept once, and its mails sent."""
    account.new_user("ana")
    account.new_user("bob", device=True)
    account.new_user("key", password=False)
    product.sweep()
    sent(product)
    account.clock.move(4 * HOURS)
    account.calls.reset()
    return reports


# The first sweep ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("reports")
def test_the_first_sweep_makes_a_record_of_everybody_and_asks_only_about_who_may_be_unprotected(
    product: Product, account: Account
) -> None:
    account.new_user("ana")
    account.new_user("bob", device=True)
    account.new_user("key", password=False)
    product.sweep()
    assert mfa_statuses(account) == {
        "ana": "unprotected",
        "bob": "protected",
        "key": "no_console_access",
    }
    asked = [call for call in account.calls.made if call.startswith("iam:")]
    assert asked == [
        "iam:GetCredentialReport",
        "iam:GenerateCredentialReport",
        "iam:GetCredentialReport",
        "iam:GetCredentialReport",
        *LISTS,
        "iam:ListMFADevices",
    ]
    assert sent(product) == {"mail guide": 1}
    assert lost(account) == {}


@pytest.mark.usefixtures("swept")
def test_an_account_without_changes_costs_only_the_calls_for_its_lists(
    product: Product, account: Account
) -> None:
    before = account.items("USER#")
    product.sweep()
    asked = [call for call in account.calls.made if call.startswith("iam:")]
    assert asked[-4:] == ["iam:GetCredentialReport", *LISTS]
    assert account.items("USER#") == before
    assert sent(product) == {}


def test_the_sweep_is_postponed_until_a_report_about_to_expire_is_renewed(
    product: Product, account: Account, swept: Reports
) -> None:
    account.clock.move(timedelta(minutes=-5))
    product.order_sweep()
    [_] = product.take_accounts()
    assert [call for call in account.calls.made if call.startswith("iam:")] == [
        "iam:GetCredentialReport"
    ]
    while product.take_accounts():
        pass
    assert swept.made == 2
    assert account.items("ACCOUNT#", "SWEEP")[0]["run"] == max(
        item["run"] for item in account.items("ACCOUNT#", "SWEEP")
    )


def test_a_sweep_that_cannot_wait_uses_the_existing_report(
    product: Product, account: Account, swept: Reports
) -> None:
    account.clock.move(timedelta(minutes=-5))
    product.sweep(at_once=True)
    assert swept.made == 1


# What events missed ------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True], ids=["new report", "old report"])
def test_every_missed_change_is_found_and_no_other_user_is_read(
    product: Product, account: Account, reports: Reports, *, at_once: bool
) -> None:
    iam = account.iam
    for name in ("ana", "eva", "out"):
        account.new_user(name)
    for name in ("bob", "dora", "old"):
        account.new_user(name, device=True)
    for name in ("gone", "twin"):
        account.new_user(name, password=False)
    product.sweep()
    assert sent(product) == {"mail guide": 3}
    account.clock.move(1 * HOURS if at_once else 4 * HOURS)
    account.enrol("ana")
    iam.deactivate_mfa_device(UserName="bob", SerialNumber=f"arn:aws:iam::{ACCOUNT}:mfa/phone-bob")
    iam.update_user(UserName="old", NewUserName="new")
    iam.delete_user(UserName="gone")
    iam.delete_user(UserName="twin")
    account.new_user("twin")
    if not at_once:  # what no live list shows
        iam.delete_login_profile(UserName="out")
    account.calls.reset()
    product.sweep(at_once=at_once)
    assert reports.made == (1 if at_once else 2)
    assert mfa_statuses(account) == {
        "ana": "protected",
        "bob": "unprotected",
        "dora": "protected",
        "eva": "unprotected",
        "gone": "no_console_access",
        "new": "protected",
        "out": "unprotected" if at_once else "no_console_access",
        "twin": "unprotected",
    }
    assert users(account)["bob"]["finding"]["cause"] == "device_removed"
    assert "gone_at" in users(account)["gone"]
    assert len(account.items("USER#", "STATE")) == 9
    asked = account.calls.tally("iam")
    assert asked["GetUser"] == 2  # gone, and the first twin
    assert asked["ListMFADevices"] + asked["GetLoginProfile"] <= 2 * 3
    assert sent(product) == {
        "mail enrolled": 1,
        "mail device_lost": 1,
        "mail guide": 1,
        "alert events_lost": 1,
    }
    expected = {"DeactivateMFADevice": 1, "DeleteUser": 2, "UpdateUser": 1}
    expected |= {} if at_once else {"DeleteLoginProfile": 1}
    expected |= {"EnableMFADevice": 1, "CreateUser": 1}
    assert lost(account) == expected


def test_a_change_whose_event_may_still_arrive_does_not_count_as_lost(
    product: Product, account: Account, reports: Reports
) -> None:
    account.clock.time = datetime.now(UTC)
    account.new_user("ana")
    product.sweep()
    assert reports.made == 1
    account.enrol("ana")
    account.new_user("new")
    product.sweep(at_once=True)
    assert mfa_statuses(account)["ana"] == "protected"
    assert lost(account) == {}


@pytest.mark.usefixtures("swept")
def test_few_lost_events_are_counted_and_not_alerted(
    product: Product, account: Account, output: Callable[[], Output]
) -> None:
    account.iam.delete_user(UserName="key")
    account.iam.update_user(UserName="bob", NewUserName="rob")
    output()
    product.sweep()
    assert sent(product) == {}
    metrics = output().metrics
    assert (metrics["EventsLost"], metrics["SweepDifferences"], metrics["Users"]) == (2, 2, 2)


def test_the_alert_says_what_was_lost_about_whom(
    product: Product, account: Account, swept: Reports
) -> None:
    product.lost_events_alert_threshold, product.running = 1, ""
    account.iam.update_user(UserName="bob", NewUserName="rob")
    product.sweep()
    assert sent(product) == {"alert events_lost": 1}
    [alert] = account.alerts()
    assert "rob: UpdateUser" in json.dumps(alert)
    assert swept.made == 2


@pytest.mark.usefixtures("swept")
def test_a_late_event_adds_the_evidence_that_only_it_has(
    product: Product, account: Account
) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/phone-bob"
    account.iam.deactivate_mfa_device(UserName="bob", SerialNumber=serial)
    product.sweep()
    assert sent(product) == {"mail device_lost": 1}
    removed = about("DeactivateMFADevice", "bob", serialNumber=serial)
    product.observe({**removed, "eventTime": f"{account.clock():%Y-%m-%dT%H:%M:%SZ}"})
    assert sent(product) == {"alert removal_unapproved": 1}
    assert mfa_statuses(account)["bob"] == "unprotected"


@pytest.mark.usefixtures("swept")
def test_a_claimed_exemption_is_alerted_even_if_the_sweep_found_the_user_first(
    product: Product, account: Account
) -> None:
    user_id = account.new_user("new", password=False)
    product.sweep()
    created = user_created("new", user_id)
    created["requestParameters"]["tags"] = [{"key": "mfa-exempt", "value": "yes"}]
    product.observe({**created, "eventTime": f"{account.clock():%Y-%m-%dT%H:%M:%SZ}"})
    assert sent(product) == {"alert exemption_claimed": 1}


@pytest.mark.usefixtures("swept")
def test_a_user_who_enrols_between_sweep_and_sending_gets_no_mail(
    product: Product, account: Account
) -> None:
    account.new_user("new")
    product.sweep()
    account.enrol("new")
    assert sent(product) == {}


@pytest.mark.usefixtures("reports")
def test_users_without_inventory_attributes_are_added_to_the_inventory(
    product: Product, account: Account
) -> None:
    for name, device in (("ana", False), ("bob", True)):
        user = iam_user(name, account.new_user(name, device=device))
        product.observe(sign_in(user, name, at=account.clock()))
    sent(product)
    for item in account.items("USER#", "STATE"):
        account.dynamodb.update_item(
            TableName=account.table,
            Key={"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}},
            UpdateExpression="REMOVE inventory, inventory_id",
        )
    before = {name: user["mfa_status"] for name, user in users(account).items()}
    product.sweep()
    assert mfa_statuses(account) == before == {"ana": "unprotected", "bob": "protected"}
    assert all("inventory" in user for user in users(account).values())
    assert sent(product) == {}
    account.calls.reset()
    account.clock.move(4 * HOURS)
    product.sweep()
    assert account.calls.tally("iam")["ListMFADevices"] == 0


# Kinds of devices --------------------------------------------------------------------------------


def fido(account: Account, name: str) -> None:
    """Assign a security key to a user; moto takes any serial number."""
    serial = f"arn:aws:iam::{ACCOUNT}:u2f/user/{name}/key-{name}"
    account.iam.enable_mfa_device(
        UserName=name,
        SerialNumber=serial,
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    )


@pytest.mark.usefixtures("swept")
def test_devices_that_no_list_shows_are_read_on_demand(
    product: Product, account: Account, output: Callable[[], Output]
) -> None:
    fido(account, "bob")
    output()
    product.sweep(read_devices=True)
    [swept] = [line for line in output().lines if line["message"] == "Account swept"]
    counted = {name: number for name, number in swept["users"].items() if number}
    assert counted == {
        "users": 3,
        "protected": 1,
        "unprotected": 1,
        "no_console_access": 1,
        "phishing_resistant": 1,
    }
    assert (
        "devices_unread" not in users(account)["bob"] or not users(account)["bob"]["devices_unread"]
    )
    account.calls.reset()
    account.clock.move(4 * HOURS)
    product.sweep(read_devices=True)
    assert account.calls.tally("iam")["ListMFADevices"] == 0


@pytest.mark.usefixtures("swept")
def test_a_key_lost_since_an_old_report_is_found_by_the_count_of_devices(
    product: Product, account: Account
) -> None:
    account.new_user("eva")
    fido(account, "eva")
    product.sweep()
    assert mfa_statuses(account)["eva"] == "protected"
    serial = f"arn:aws:iam::{ACCOUNT}:u2f/user/eva/key-eva"
    account.iam.deactivate_mfa_device(UserName="eva", SerialNumber=serial)
    product.sweep(at_once=True)
    assert mfa_statuses(account)["eva"] == "unprotected"
    assert users(account)["eva"]["finding"]["cause"] == "device_removed"


# Several accounts --------------------------------------------------------------------------------

MEMBER = "444455556666"


@pytest.fixture
def member(product: Product, account: Account) -> Account:
    """A member account, with a user of the same name as one of the hub's."""
    product.organization, product.members = "o-abcdefghij", MEMBER
    account.new_user("mia", device=True)
    found = account.member(MEMBER)
    found.new_user("mia")
    return found


def by_account(account: Account) -> dict[tuple[str, str], str]:
    users = account.items("USER#", "STATE")
    return {(user["key"]["account_id"], user["name"]): user["mfa_status"] for user in users}


@pytest.mark.usefixtures("member")
def test_each_account_is_swept_by_a_message_of_its_own_with_its_own_iam(
    product: Product, account: Account, reports: Reports
) -> None:
    ordered = product.order_sweep()
    assert ordered["accounts"] == [ACCOUNT, MEMBER]
    assert {order["account_id"] for order in product.take_accounts()} == {ACCOUNT, MEMBER}
    while product.take_accounts():
        pass
    assert reports.made == 2
    assert by_account(account) == {
        (ACCOUNT, "mia"): "protected",
        (MEMBER, "mia"): "unprotected",
    }
    assert len(account.items("ACCOUNT#", "SWEEP")) == 2
    assert sent(product) == {"mail guide": 1}


@pytest.mark.usefixtures("member", "reports")
def test_one_account_can_be_swept_by_itself(product: Product, account: Account) -> None:
    product.sweep(accounts=[MEMBER])
    assert by_account(account) == {(MEMBER, "mia"): "unprotected"}


@pytest.mark.usefixtures("member", "reports")
def test_an_unreachable_account_does_not_stop_the_sweep_of_the_others(
    product: Product, account: Account
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    product.sweep()
    assert by_account(account) == {(ACCOUNT, "mia"): "protected"}
    [(body, attributes)] = account.parked("SweepDeadLetters")
    assert json.loads(body)["account_id"] == MEMBER
    assert "mfa-watcher-Reader" in attributes["reason"]


# Waiting, failing, going on ----------------------------------------------------------------------


def test_an_account_without_a_report_is_set_aside_with_the_reason(
    product: Product, account: Account, reports: Reports
) -> None:
    reports.takes = 9 * HOURS
    waited = -account.clock.time.timestamp()
    product.sweep()
    waited += account.clock.time.timestamp()
    assert waited >= sum(one.total_seconds() for one in REPORT_WAITS)
    assert account.calls.tally("iam")["GetCredentialReport"] == MAX_REPORT_WAITS + 1
    [(body, attributes)] = account.parked("SweepDeadLetters")
    assert json.loads(body)["account_id"] == ACCOUNT
    assert "no credential report" in attributes["reason"]
    assert attributes["source_queue"].endswith("SweepQueue-1A2B3C")


@pytest.mark.usefixtures("reports")
def test_a_user_who_cannot_be_read_is_retried_and_does_not_stop_the_others(
    product: Product, account: Account
) -> None:
    account.new_user("ana")
    account.new_user("eva")
    account.calls.refused["iam:ListMFADevices"] = Refusal("Throttling", naming='"ana"')
    product.order_sweep()
    while "tries" not in (taken := product.take_accounts()[0]) or not taken["tries"]:
        pass
    assert mfa_statuses(account) == {"eva": "unprotected"}
    assert account.items("ACCOUNT#", "SWEEP") == []
    account.calls.refused.clear()
    while product.take_accounts():
        pass
    assert mfa_statuses(account) == {"ana": "unprotected", "eva": "unprotected"}
    assert account.items("ACCOUNT#", "SWEEP")
    assert sent(product) == {"mail guide": 2}


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("call", ["GetCredentialReport", "ListUsers", "ListMFADevices"])
def test_an_account_whose_iam_never_answers_is_set_aside_with_the_reason(
    product: Product, account: Account, call: str
) -> None:
    account.new_user("ana")
    account.calls.refused[f"iam:{call}"] = Refusal("AccessDenied", status=403)
    product.sweep()
    [(body, attributes)] = account.parked("SweepDeadLetters")
    assert f"{call}: AccessDenied" in attributes["reason"]
    assert json.loads(body)["tries"] == len(SWEEP_RETRY_DELAYS)


@pytest.mark.usefixtures("reports")
def test_a_sweep_that_runs_out_of_time_continues_in_the_next_run(
    product: Product, account: Account
) -> None:
    account.new_user("ana")
    product.order_sweep()
    while product.take_accounts(milliseconds=10_000)[0]["waits"] != 2:
        pass
    assert mfa_statuses(account) == {}
    while product.take_accounts():
        pass
    assert mfa_statuses(account) == {"ana": "unprotected"}


@pytest.mark.usefixtures("reports")
def test_an_account_that_cannot_be_postponed_is_retried_and_then_set_aside(
    product: Product, account: Account
) -> None:
    product.order_sweep()
    body = account.take_all("SweepQueue")[0]
    again = r"waits\":1"  # the body is JSON in JSON
    account.calls.refused["sqs:SendMessage"] = Refusal("ServiceUnavailable", naming=again)
    assert product.take("sweep", body) == [body]
    assert product.take("sweep", body, receives=5) == []
    [(_, attributes)] = account.parked("SweepDeadLetters")
    assert "ServiceUnavailable" in attributes["reason"]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"account_id": 1, "run": "r"}'])
def test_a_message_that_is_no_account_is_set_aside(
    product: Product, account: Account, body: str
) -> None:
    assert product.take("sweep", body) == []
    [(_, attributes)] = account.parked("SweepDeadLetters")
    assert attributes["reason"].startswith("not an account to sweep")


# Crashes and others beside it --------------------------------------------------------------------


def a_busy_account(account: Account) -> None:
    """Return an account in which a first sweep adds some users and decides about others."""
    account.new_user("ana")
    account.new_user("bob", device=True)
    account.new_user("key", password=False)


def check(account: Account, product: Product, told: object) -> None:
    expected = {"ana": "unprotected", "bob": "protected", "key": "no_console_access"}
    assert mfa_statuses(account) == expected, told
    assert sent(product) == {"mail guide": 1}, told
    entries = account.items("USER#", "HISTORY#")
    assert sum("finding opened" in str(entry["effects"]) for entry in entries) == 1, told
    assert account.items("ACCOUNT#", "SWEEP"), told


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_call_loses_nothing_and_repeats_nothing(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0
    while True:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            reporting(account, monkeypatch)
            a_busy_account(account)
            setattr(account.calls, f"crash_{moment}", number)
            done = False
            while not done:
                done = survives(product, lambda p=product: sweep_on(p))  # type: ignore[misc]
            if getattr(account.calls, f"crash_{moment}"):
                break
            check(account, product, f"crash {moment} call {number}")
    assert number > 15


def sweep_on(product: Product) -> None:
    """Go on as SQS does: a message that was not ended with comes again."""
    account = product.account
    queue = account.queue_urls["SweepQueue"]
    if not account.items("ACCOUNT#", "SWEEP"):
        waiting = account.take_all("SweepQueue")
        if not waiting:
            product.order_sweep()  # the schedule's invocation is tried again
            waiting = account.take_all("SweepQueue")
        for body in waiting:
            try:
                assert product.take("sweep", body) == []
            except Crash:
                account.sqs.send_message(QueueUrl=queue, MessageBody=body)
                raise
        sweep_on(product)


def survives(product: Product, invoke: Callable[[], object]) -> bool:
    try:
        invoke()
    except Crash:
        product.running = ""
        return False
    return True


def another_sweep(product: Product) -> None:
    product.account.clock.move(timedelta(seconds=1))
    product.sweep()


def an_event(product: Product) -> None:
    [ana] = [u for u in product.account.iam.list_users()["Users"] if u["UserName"] == "ana"]
    at = product.account.clock()
    product.observe(sign_in(iam_user("ana", ana["UserId"]), at=at))


@pytest.mark.parametrize("other", [another_sweep, an_event])
def test_two_simultaneous_sweeps_lead_to_the_same_result_as_one_after_the_other(
    other: Callable[[Product], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            reporting(account, monkeypatch)
            a_busy_account(account)
            account.calls.meanwhile = (number, lambda p=product: other(p))
            product.sweep()
            raced = account.calls.meanwhile is None
            alerts = {"alert sign_in_without_mfa"} if other is an_event and raced else set()
            assert sent(product).keys() == {"mail guide"} | alerts, number
            account.calls.sent.clear()
            assert mfa_statuses(account)["ana"] == "unprotected"
            assert mfa_statuses(account)["bob"] == "protected"
    assert number > 15


def test_a_user_who_enrols_while_they_are_read_is_recorded_as_enrolled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event comes between IAM's answer and the commit, which then loses the race."""
    number, raced = 0, True
    while raced:
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            reporting(account, monkeypatch)
            ana = iam_user("ana", account.new_user("ana"))
            account.calls.meanwhile = (number, lambda p=product, a=ana: enrol(p, a))
            product.sweep()
            raced = account.calls.meanwhile is None
            if raced:
                assert mfa_statuses(account) == {"ana": "protected"}, number
    assert number > 15


def enrol(product: Product, who: Json) -> None:
    serial = product.account.enrol("ana")
    at = product.account.clock()
    told = about("EnableMFADevice", "ana", who, serialNumber=serial)
    product.observe({**told, "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"})


def test_the_delays_grow_up_to_the_longest_that_a_queue_allows() -> None:
    assert list(REPORT_WAITS) == sorted(REPORT_WAITS)
    assert max(*REPORT_WAITS, *SWEEP_RETRY_DELAYS) <= timedelta(minutes=15)
