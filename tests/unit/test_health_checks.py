"""What a checkup says of what was read, where the emulated account cannot show it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from mfa_watcher.domain.health import checks
from mfa_watcher.domain.health.checks import (
    CheckResult,
    DeniedCall,
    EventSource,
    Function,
    Guard,
    Level,
    PasswordPolicy,
    Root,
    Rule,
    Selector,
    SesAccount,
    Stack,
    Subscriptions,
    Trail,
)
from mfa_watcher.domain.health.heartbeats import Heartbeat, expected_sources
from tests.support.builders import ACCOUNT, NOW

STACK = Stack("mfa-watcher", ACCOUNT, "us-east-1", "aws", "CREATE_COMPLETE", {}, {}, {})
TRAIL = Trail("main", logging=True, global_events=True, selectors=(Selector(writes=True),))
STRONG = PasswordPolicy(length=14, classes=4, remembered=24, users_change=True)
MAIL = SesAccount(production=True, sending=True, enforcement="HEALTHY", daily=200)
GUARD = Guard(denies_removal=True, groups=("people",), members=frozenset({"Alice", "bob"}))


def level(verdicts: Iterable[CheckResult]) -> Level:
    [verdict] = verdicts
    assert bool(verdict.remedy) is (verdict.level is not Level.OK)
    return verdict.level


def seen(verdicts: Iterable[CheckResult]) -> str:
    [verdict] = verdicts
    return verdict.seen


@pytest.mark.parametrize(
    ("partition", "region", "well"),
    [
        ("aws", "us-east-1", Level.OK),
        ("aws", "eu-central-1", Level.FAIL),
        ("aws-us-gov", "us-gov-west-1", Level.OK),
        ("aws-us-gov", "us-gov-east-1", Level.FAIL),
        ("aws-cn", "cn-north-1", Level.OK),
    ],
)
def test_the_hub_is_where_the_partitions_iam_is(partition: str, region: str, well: Level) -> None:
    assert level(checks.stack(replace(STACK, partition=partition, region=region))) is well


def test_sign_ins_are_expected_where_the_stack_says_or_the_console_has_them() -> None:
    assert STACK.sign_in_regions == ("us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")
    named = replace(STACK, parameters={"SignInRegions": "us-east-1,eu-central-1"})
    assert named.sign_in_regions == ("us-east-1", "eu-central-1")
    gov = replace(STACK, partition="aws-us-gov", region="us-gov-west-1")
    assert gov.sign_in_regions == ("us-gov-west-1",)


def test_one_good_trail_is_enough() -> None:
    stopped = replace(TRAIL, name="old", logging=False)
    assert seen(checks.trails("us-east-1", [stopped, TRAIL], with_iam=True)) == (
        "main logs write events"
    )


def test_what_is_wrong_with_each_trail_is_told() -> None:
    stopped, reads = replace(TRAIL, logging=False), Selector(writes=False)
    said = seen(
        checks.trails(
            "us-east-1", [stopped, replace(TRAIL, name="reads", selectors=(reads,))], with_iam=True
        )
    )
    assert said == "main is stopped; reads logs no write management events"


def test_global_services_matter_where_iam_is_alone() -> None:
    regional = replace(TRAIL, global_events=False)
    assert level(checks.trails("us-east-1", [regional], with_iam=True)) is Level.FAIL
    assert level(checks.trails("us-east-2", [regional], with_iam=False)) is Level.OK


def test_a_source_that_another_selector_takes_is_not_left_out() -> None:
    some = Selector(writes=True, left_out=frozenset({"iam.amazonaws.com"}))
    both = replace(TRAIL, selectors=(some, Selector(writes=True)))
    assert level(checks.trails("us-east-1", [both], with_iam=True)) is Level.OK
    assert (
        level(checks.trails("us-east-1", [replace(TRAIL, selectors=(some,))], with_iam=True))
        is Level.FAIL
    )


def test_a_trail_that_cannot_deliver_still_feeds_the_rules() -> None:
    full = replace(TRAIL, delivery_error="NoSuchBucket")
    verdicts = checks.trails("us-east-1", [full], with_iam=True)
    assert level(verdicts) is Level.WARNING
    assert "NoSuchBucket" in seen(verdicts)


def test_a_rule_that_feeds_somebody_else_alone_has_no_target() -> None:
    rule = Rule(enabled=True, targets=("arn:aws:sqs:us-east-1:1:elsewhere",))
    assert level(checks.rules({"r": rule}, lambda arn: arn.endswith("ours"))) is Level.FAIL
    both = replace(rule, targets=(*rule.targets, "arn:aws:sqs:us-east-1:1:ours"))
    assert level(checks.rules({"r": both}, lambda arn: arn.endswith("ours"))) is Level.OK


def test_an_account_by_itself_needs_nobody_on_its_bus() -> None:
    assert level(checks.event_bus("", ())) is Level.OK


@pytest.mark.parametrize(
    ("source", "well"),
    [
        (EventSource("Enabled", "OK"), Level.OK),
        (EventSource("Updating"), Level.OK),
        (EventSource("Enabled", "PROBLEM: Function call failed"), Level.WARNING),
        (EventSource("Disabling"), Level.FAIL),
    ],
)
def test_an_event_source_is_enabled_and_works(source: EventSource, well: Level) -> None:
    assert level(checks.event_sources({"OnSignInQueue": source})) is well


@pytest.mark.parametrize(
    ("function", "well"),
    [
        (Function("Active"), Level.OK),
        (Function("Inactive"), Level.OK),
        (Function("Active", reserved=5), Level.OK),
        (Function("Active", reserved=0), Level.FAIL),
        (Function("Failed"), Level.FAIL),
    ],
)
def test_a_function_may_run(function: Function, well: Level) -> None:
    assert level(checks.functions({"OnSignIn": function})) is well


def test_ses_that_aws_shut_down_does_not_send() -> None:
    assert level(checks.ses_account(replace(MAIL, enforcement="SHUTDOWN"))) is Level.FAIL


@pytest.mark.parametrize(
    ("daily", "users", "well"),
    [
        (-1, None, Level.OK),
        (200, 200, Level.OK),
        (200, 201, Level.WARNING),
        (200, None, Level.UNKNOWN),
    ],
)
def test_a_days_quota_reaches_for_everybody(daily: float, users: int | None, well: Level) -> None:
    assert level(checks.ses_quota(replace(MAIL, daily=daily), users)) is well


def test_a_verified_address_is_enough() -> None:
    found = {"mfa@example.com": True, "example.com": False}
    assert seen(checks.ses_identity("mfa@example.com", found)) == "mfa@example.com is verified"


@pytest.mark.parametrize(
    ("found", "well"),
    [
        (Subscriptions(1, 0), Level.OK),
        (Subscriptions(1, 1), Level.WARNING),
        (Subscriptions(0, 1), Level.FAIL),
        (Subscriptions(0, 0), Level.FAIL),
        (None, Level.FAIL),
    ],
)
def test_somebody_hears_the_alerts(found: Subscriptions | None, well: Level) -> None:
    assert level(checks.alert_topic(found)) is well


def test_names_are_compared_as_iam_does() -> None:
    assert level(checks.guard_policy(GUARD, ["ALICE", "bob"])) is Level.OK


def test_some_of_many_unguarded_users_are_named() -> None:
    many = [f"user{number:02}" for number in range(12)]
    said = seen(checks.guard_policy(GUARD, many))
    assert said.endswith(
        "not to 12 console users: user00, user01, user02, user03, user04 and 7 more"
    )


def test_who_the_guard_holds_for_is_not_known_before_anybody_is() -> None:
    assert level(checks.guard_policy(GUARD, None)) is Level.UNKNOWN


@pytest.mark.parametrize(
    ("root", "well"),
    [
        (Root(mfa=True, password=True, access_keys=False), Level.OK),
        (Root(mfa=False, password=False, access_keys=False), Level.OK),
        (Root(mfa=False, password=False, access_keys=True), Level.WARNING),
        (Root(mfa=True, password=True, access_keys=True), Level.WARNING),
        (Root(mfa=False, password=True, access_keys=False), Level.FAIL),
    ],
)
def test_root_without_a_password_needs_no_device(root: Root, well: Level) -> None:
    assert level(checks.root_mfa(root)) is well


@pytest.mark.parametrize(
    ("policy", "well"),
    [
        (STRONG, [Level.OK]),
        (None, [Level.FAIL]),
        (replace(STRONG, length=13), [Level.FAIL]),
        (replace(STRONG, remembered=23), [Level.FAIL]),
        (replace(STRONG, length=8, remembered=0), [Level.FAIL, Level.FAIL]),
        (replace(STRONG, classes=3), [Level.WARNING]),
        (replace(STRONG, length=20, classes=0), [Level.OK]),
        (replace(STRONG, max_age=90), [Level.OK]),
    ],
)
def test_the_password_policy_is_held_to_the_benchmark(
    policy: PasswordPolicy | None, well: list[Level]
) -> None:
    assert [verdict.level for verdict in checks.password_policy(policy)] == well


def test_each_call_that_is_refused_is_told_with_users_and_policies() -> None:
    blocked = [
        DeniedCall("ana", "iam:ChangePassword", "ForceMfa"),
        DeniedCall("bob", "iam:ChangePassword", "ForceMfa"),
    ]
    verdicts = checks.first_password(STRONG, ["ana", "bob"], blocked)
    assert level(verdicts) is Level.FAIL
    assert seen(verdicts) == "ana, bob may not call iam:ChangePassword without MFA: ForceMfa"


def test_where_nobody_has_a_password_nobody_is_kept_from_changing_it() -> None:
    assert level(checks.first_password(STRONG, [], [])) is Level.OK


def test_thousands_of_silent_regions_are_one_line() -> None:
    accounts = [f"{number:012}" for number in range(1000)]
    beats = [
        Heartbeat(source) for source in expected_sources(accounts, ("us-east-1",), "us-east-1")
    ]
    verdicts = checks.heartbeat(beats, now=NOW, silence_threshold=timedelta(hours=13))
    assert level(verdicts) is Level.FAIL
    assert seen(verdicts).endswith("and 1995 more")


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=-5), "0 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_a_time_is_told_in_one_unit(time: timedelta, words: str) -> None:
    assert checks.ago(time) == words
