"""The watch on the watcher: what disturbs it, and whether events still come."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tests.functions.product import OPERATOR, Product
from tests.functions.test_members import MEMBER, there
from tests.support.account import Account
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    NOW,
    ROOT,
    Json,
    envelope,
    iam_call,
    later,
    sign_in,
)
from tests.support.tampering import CASES, Case

HOUR = timedelta(hours=1)
QUEUE = "https://sqs.us-east-1.amazonaws.com/111122223333/mfa-watcher-SignInQueue-1A2B3C"
STOPPED = CASES[0]


def role(name: str) -> Json:
    return {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:session",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/session",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}
        },
    }


def done(case: Case, who: Json = ADMIN, seed: str = "") -> Json:
    return iam_call(case.name, who, seed or f"{case}") | case.record


def tried(case: Case, who: Json = ADMIN) -> Json:
    return iam_call(case.name, who, f"denied {case}") | case.denied


def canary(region: str, at: Any = NOW, seed: str = "canary") -> Json:
    call = iam_call("TagQueue", role("mfa-watcher-CanaryRole-1A2B3C"), f"{seed}{region}{at}", at=at)
    return call | {
        "eventSource": "sqs.amazonaws.com",
        "awsRegion": region,
        "requestParameters": {"queueUrl": QUEUE, "tags": {"mfa-watcher-canary": "sings"}},
    }


def group_made(at: Any) -> Json:
    return iam_call("CreateGroup", ADMIN, f"group at {at}", at=at)


def told(product: Product) -> list[Json]:
    """Return the alerts that went out since last asked."""
    assert product.deliver() == []
    return product.account.alerts()


# Disturbances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, len(CASES), 10))
def test_each_kind_of_tampering_is_one_high_alert_with_meaning_and_remedy(
    product: Product, first: int
) -> None:
    cases = CASES[first : first + 10]
    assert product.observe(*(done(case, seed=str(at)) for at, case in enumerate(cases))) == []
    alerts = told(product)
    for alert in alerts:
        assert "high" in alert["Subject"].lower()
        assert "Meaning" in alert["Message"]
        assert "Next step" in alert["Message"]
    parts = Counter(alert["Subject"].rsplit(": ", 1)[-1] for alert in alerts)
    assert parts == Counter(str(case.part) for case in cases)


@pytest.mark.parametrize("number", range(0, len(CASES), 9))
def test_a_denied_attempt_is_an_alert_of_medium_urgency(product: Product, number: int) -> None:
    assert product.observe(tried(CASES[number])) == []
    [alert] = told(product)
    assert "medium" in alert["Subject"].lower()
    assert "was denied" in alert["Subject"]


def test_tampering_by_an_operator_role_is_recorded_and_not_alerted(
    product: Product, account: Account
) -> None:
    product.observe(done(STOPPED, role(OPERATOR)))
    assert told(product) == []
    [entry] = account.items(f"ACCOUNT#{ACCOUNT}", "HISTORY#")
    assert entry["what"] == "The trail management-events was stopped"
    assert entry["actor"].endswith(f"{OPERATOR}/session")
    assert entry["effects"] == []


def test_tampering_that_is_denied_to_an_operator_role_is_alerted(product: Product) -> None:
    product.observe(tried(STOPPED, role(OPERATOR)))
    assert len(told(product)) == 1


@pytest.mark.parametrize("name", ["Deployments", "Other", "ops/Deployment"])
def test_a_role_whose_name_only_resembles_an_operator_role_is_alerted(
    product: Product, name: str
) -> None:
    product.observe(done(STOPPED, role(name)))
    assert len(told(product)) == 1


def test_a_call_of_cloudformation_counts_as_a_call_of_whoever_started_it(product: Product) -> None:
    forwarded = {**role(OPERATOR), "invokedBy": "cloudformation.amazonaws.com"}
    others = {**role("Other"), "invokedBy": "cloudformation.amazonaws.com"}
    product.observe(done(STOPPED, forwarded), done(STOPPED, others, "others"))
    assert len(told(product)) == 1


def test_tampering_by_root_is_one_critical_alert(product: Product) -> None:
    product.observe(done(STOPPED, ROOT))
    [alert] = told(product)
    assert "critical" in alert["Subject"].lower()
    assert "Next step" in alert["Message"]


def test_tampering_that_two_rules_match_is_alerted_once(product: Product) -> None:
    product.observe(done(STOPPED))
    product.take("on_sign_in", envelope(done(STOPPED)))
    assert len(told(product)) == 1


def test_tampering_in_a_member_account_names_that_account(
    product: Product, account: Account
) -> None:
    product.organization, product.members = "o-abcdefghij", MEMBER
    account.member(MEMBER).iam.create_account_alias(AccountAlias="acme-lab")
    product.observe(there(done(STOPPED)))
    [alert] = told(product)
    assert f"acme-lab ({MEMBER})" in alert["Message"]


# Heartbeats --------------------------------------------------------------------------------------


def beats(account: Account) -> dict[str, Json]:
    return {item["sk"]: item for item in account.items("HEARTBEAT")}


def sing(product: Product, *regions: str, seed: str = "canary") -> None:
    """Let the canary sing: in each region it comes by sign-ins' path, in IAM's by both."""
    at = product.account.clock()
    for region in regions:
        body = envelope(canary(region, at, seed))
        assert product.take("on_sign_in", body) == []
        if region == "us-east-1":
            assert product.take("on_iam_change", body) == []


def test_the_canary_leaves_a_heartbeat_for_each_path_and_no_history(
    product: Product, account: Account
) -> None:
    sing(product, "us-east-1", "eu-north-1")
    assert set(beats(account)) == {
        f"{ACCOUNT}#us-east-1#sign_ins",
        f"{ACCOUNT}#us-east-1#iam_changes",
        f"{ACCOUNT}#eu-north-1#sign_ins",
    }
    assert {beat["seen_at"][:19] for beat in beats(account).values()} == {
        f"{NOW:%Y-%m-%dT%H:%M:%S}"
    }
    assert account.items("ACCOUNT#") == []
    assert told(product) == []


def test_any_event_is_a_heartbeat_whatever_it_means(product: Product, account: Account) -> None:
    failed = {**sign_in(ADMIN), "awsRegion": "us-east-2", "errorMessage": "Failed authentication"}
    failed["responseElements"] = {"ConsoleLogin": "Failure"}
    product.take("on_sign_in", envelope(failed))
    assert set(beats(account)) == {f"{ACCOUNT}#us-east-2#sign_ins"}


@pytest.mark.parametrize("region", ["global", "", None, "us-east-1#x", "x" * 40])
def test_an_invalid_region_has_no_heartbeat(
    product: Product, account: Account, region: str | None
) -> None:
    product.take("on_sign_in", envelope(canary("us-east-1") | {"awsRegion": region}))
    assert beats(account) == {}


def test_an_account_that_is_not_watched_has_no_heartbeat(
    product: Product, account: Account
) -> None:
    product.take("on_sign_in", envelope(canary("us-east-1") | {"recipientAccountId": MEMBER}))
    assert beats(account) == {}


def test_a_heartbeat_is_written_once_an_hour_and_never_set_back(
    product: Product, account: Account
) -> None:
    for minutes in (0, 10, 59, 60, 30):
        product.take("on_sign_in", envelope(group_made(later(minutes))))
    assert account.calls.tally("dynamodb")["UpdateItem"] == 2
    [beat] = beats(account).values()
    assert beat["seen_at"].startswith(f"{later(60):%Y-%m-%dT%H:%M}")
    product.running = ""  # another instance of the function, with an older event
    product.take("on_sign_in", envelope(group_made(later(30))))
    assert beats(account)[f"{ACCOUNT}#us-east-1#sign_ins"] == beat


def test_each_canary_is_recorded_because_somebody_may_wait_for_it(
    product: Product, account: Account
) -> None:
    for minutes in (0, 1):
        product.take("on_sign_in", envelope(canary("us-east-1", later(minutes))))
        [beat] = beats(account).values()
        assert beat["seen_at"].startswith(f"{later(minutes):%Y-%m-%dT%H:%M}")


def test_while_canary_events_arrive_nothing_is_alerted(product: Product, account: Account) -> None:
    for _ in range(30):
        sing(product, "us-east-1", "eu-north-1")
        assert product.watch() == {"expected": 3, "silent": 0, "alerts": 0}
        account.clock.move(6 * HOUR)
    assert told(product) == []


def test_a_silent_region_is_alerted_once_a_day_and_when_events_come_again(
    product: Product, account: Account
) -> None:
    sing(product, "us-east-1", "eu-north-1")
    hours = []
    for hour in range(1, 63):
        account.clock.move(HOUR)
        if hour % 6 == 0:
            sing(product, "us-east-1")
        product.watch()
        for alert in told(product):
            assert "high" in alert["Subject"].lower()
            assert "eu-north-1, sign-ins: last seen 2026" in alert["Message"]
            silent = alert["Message"].split("Silent paths")[1].split("Next step")[0]
            assert "us-east-1" not in silent
            assert ACCOUNT in alert["Message"]
            hours.append(hour)
    assert hours == [14, 38, 62]
    sing(product, "eu-north-1")
    assert product.watch() == {"expected": 3, "silent": 0, "alerts": 1}
    [back] = told(product)
    assert "low" in back["Subject"].lower()
    assert "arrive again" in back["Subject"]
    product.watch()
    assert told(product) == []


def test_a_path_that_was_never_seen_counts_as_silent_from_the_first_watch_on(
    product: Product, account: Account
) -> None:
    product.watch()
    account.clock.move(13 * HOUR)
    product.watch()
    assert told(product) == []
    account.clock.move(HOUR)
    assert product.watch() == {"expected": 3, "silent": 3, "alerts": 1}
    [alert] = told(product)
    assert "eu-north-1, sign-ins: never seen" in alert["Message"]
    assert "us-east-1, changes in IAM: never seen" in alert["Message"]


def test_one_event_path_can_be_silent_while_the_other_is_not(
    product: Product, account: Account
) -> None:
    product.regions = ""
    sing(product, "us-east-1")
    for hours in (6, 6, 6):
        account.clock.move(hours * HOUR)
        product.take("on_sign_in", envelope(canary("us-east-1", account.clock())))
    assert product.watch() == {"expected": 2, "silent": 1, "alerts": 1}
    assert "us-east-1, changes in IAM" in told(product)[0]["Message"]


def test_each_member_account_is_expected_in_each_region_and_has_an_alert_of_its_own(
    product: Product, account: Account
) -> None:
    product.organization, product.members = "o-abcdefghij", MEMBER
    account.member(MEMBER).iam.create_account_alias(AccountAlias="acme-lab")
    assert product.watch()["expected"] == 6
    account.clock.move(14 * HOUR)
    sing(product, "us-east-1", "eu-north-1")
    assert product.watch() == {"expected": 6, "silent": 3, "alerts": 1}
    [alert] = told(product)
    assert f"acme-lab ({MEMBER})" in alert["Message"]


def test_of_two_simultaneous_watches_only_one_alerts(product: Product, account: Account) -> None:
    product.watch()
    account.clock.move(14 * HOUR)
    product.watch()
    product.running = ""
    assert product.watch()["alerts"] == 0
    assert len(told(product)) == 1
