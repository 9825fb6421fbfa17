"""Results of single checks that the emulated account cannot show."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from mfa_watcher.domain.health.account_checks import (
    check_first_password,
    check_guard_policy,
    check_password_policy,
    check_root_mfa,
)
from mfa_watcher.domain.health.activity_checks import check_heartbeats
from mfa_watcher.domain.health.event_checks import (
    check_event_bus,
    check_rules,
    check_stack,
    check_trails,
)
from mfa_watcher.domain.health.heartbeats import Heartbeat, expected_sources
from mfa_watcher.domain.health.notification_checks import (
    check_alert_topic,
    check_ses_account,
    check_ses_identity,
    check_ses_quota,
)
from mfa_watcher.domain.health.readings import (
    IAM_REGIONS,
    DeniedCall,
    EventSource,
    Function,
    GuardPolicy,
    PasswordPolicy,
    RootUser,
    Rule,
    Selector,
    SesAccount,
    Stack,
    Subscriptions,
    Trail,
)
from mfa_watcher.domain.health.resource_checks import check_event_sources, check_functions
from mfa_watcher.domain.health.results import CheckResult, Level, duration
from tests.support.builders import ACCOUNT, NOW
from tests.template.cloudformation import Template

STACK = Stack("mfa-watcher", ACCOUNT, "us-east-1", "aws", "CREATE_COMPLETE", {}, {}, {})
TRAIL = Trail("main", logging=True, global_events=True, selectors=(Selector(writes=True),))
STRONG = PasswordPolicy(length=14, classes=4, remembered=24, users_change=True)
MAIL = SesAccount(production=True, sending=True, enforcement="HEALTHY", daily=200)
GUARD = GuardPolicy(denies_removal=True, groups=("people",), members=frozenset({"Alice", "bob"}))


def level(results: Iterable[CheckResult]) -> Level:
    [result] = results
    assert bool(result.remedy) is (result.level is not Level.OK)
    return result.level


def seen(results: Iterable[CheckResult]) -> str:
    [result] = results
    return result.seen


@pytest.mark.parametrize(
    ("partition", "region", "expected"),
    [
        ("aws", "us-east-1", Level.OK),
        ("aws", "eu-central-1", Level.FAIL),
        ("aws-us-gov", "us-gov-west-1", Level.OK),
        ("aws-us-gov", "us-gov-east-1", Level.FAIL),
    ],
)
def test_the_hub_must_be_in_the_partitions_iam_region(
    partition: str, region: str, expected: Level
) -> None:
    assert level(check_stack(replace(STACK, partition=partition, region=region))) is expected


@pytest.mark.parametrize(
    ("partition", "parameter", "regions"),
    [
        ("aws", "", ("us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")),
        ("aws", "us-east-1, eu-central-1", ("us-east-1", "eu-central-1")),
        ("aws-us-gov", "", ("us-gov-west-1",)),
    ],
)
def test_sign_ins_are_expected_from_the_stacks_regions_or_else_from_the_partitions(
    partition: str, parameter: str, regions: tuple[str, ...]
) -> None:
    template = replace(Template.read(SignInRegions=parameter), place={"AWS::Partition": partition})
    output = template.resolve(template.body["Outputs"]["SignInRegions"]["Value"])
    watched = template.properties("Watch")["Environment"]["Variables"]["REGIONS"]
    assert replace(STACK, outputs={"SignInRegions": output}).sign_in_regions == regions
    assert template.resolve(watched) == output


def test_a_forwarder_and_the_health_check_agree_where_iam_is() -> None:
    mapping = Template.forwarder(ACCOUNT, "us-east-1").body["Mappings"]["Partitions"]
    assert {name: values["IamRegion"] for name, values in mapping.items()} == IAM_REGIONS


def test_one_good_trail_is_enough() -> None:
    stopped = replace(TRAIL, name="old", logging=False)
    assert seen(check_trails("us-east-1", [stopped, TRAIL], with_iam=True)) == (
        "main records write events"
    )


def test_the_fault_of_each_trail_is_named() -> None:
    stopped, reads = replace(TRAIL, logging=False), Selector(writes=False)
    said = seen(
        check_trails(
            "us-east-1", [stopped, replace(TRAIL, name="reads", selectors=(reads,))], with_iam=True
        )
    )
    assert said == "main is stopped; reads records no write management events"


def test_only_the_iam_region_needs_global_services() -> None:
    regional = replace(TRAIL, global_events=False)
    assert level(check_trails("us-east-1", [regional], with_iam=True)) is Level.FAIL
    assert level(check_trails("us-east-2", [regional], with_iam=False)) is Level.OK


def test_a_source_that_another_selector_records_is_not_missing() -> None:
    some = Selector(writes=True, left_out=frozenset({"iam.amazonaws.com"}))
    both = replace(TRAIL, selectors=(some, Selector(writes=True)))
    assert level(check_trails("us-east-1", [both], with_iam=True)) is Level.OK
    assert (
        level(check_trails("us-east-1", [replace(TRAIL, selectors=(some,))], with_iam=True))
        is Level.FAIL
    )


def test_a_trail_that_cannot_deliver_still_feeds_the_rules() -> None:
    full = replace(TRAIL, delivery_error="NoSuchBucket")
    results = check_trails("us-east-1", [full], with_iam=True)
    assert level(results) is Level.WARNING
    assert "NoSuchBucket" in seen(results)


def test_a_rule_with_only_foreign_targets_has_no_target_in_the_stack() -> None:
    rule = Rule(enabled=True, targets=("arn:aws:sqs:us-east-1:1:elsewhere",))
    assert level(check_rules({"r": rule}, lambda arn: arn.endswith("ours"))) is Level.FAIL
    both = replace(rule, targets=(*rule.targets, "arn:aws:sqs:us-east-1:1:ours"))
    assert level(check_rules({"r": both}, lambda arn: arn.endswith("ours"))) is Level.OK


def test_an_account_without_organization_needs_no_event_bus_policy() -> None:
    assert level(check_event_bus("", ())) is Level.OK


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (EventSource("Enabled", "OK"), Level.OK),
        (EventSource("Updating"), Level.OK),
        (EventSource("Enabled", "PROBLEM: Function call failed"), Level.WARNING),
        (EventSource("Disabling"), Level.FAIL),
    ],
)
def test_an_event_source_must_be_enabled_and_process_its_batches(
    source: EventSource, expected: Level
) -> None:
    assert level(check_event_sources({"OnSignInQueue": source})) is expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Function("Active"), Level.OK),
        (Function("Inactive"), Level.OK),
        (Function("Active", reserved=5), Level.OK),
        (Function("Active", reserved=0), Level.FAIL),
        (Function("Failed"), Level.FAIL),
    ],
)
def test_a_function_must_be_able_to_run(function: Function, expected: Level) -> None:
    assert level(check_functions({"OnSignIn": function})) is expected


def test_an_ses_account_that_aws_shut_down_fails() -> None:
    assert level(check_ses_account(replace(MAIL, enforcement="SHUTDOWN"))) is Level.FAIL


@pytest.mark.parametrize(
    ("daily", "users", "expected"),
    [
        (-1, None, Level.OK),
        (200, 200, Level.OK),
        (200, 201, Level.WARNING),
        (200, None, Level.UNKNOWN),
    ],
)
def test_the_daily_quota_must_cover_all_console_users(
    daily: float, users: int | None, expected: Level
) -> None:
    assert level(check_ses_quota(replace(MAIL, daily=daily), users)) is expected


def test_a_verified_address_is_enough() -> None:
    found = {"mfa@example.com": True, "example.com": False}
    assert seen(check_ses_identity("mfa@example.com", found)) == "mfa@example.com is verified"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Subscriptions(1, 0), Level.OK),
        (Subscriptions(1, 1), Level.WARNING),
        (Subscriptions(0, 1), Level.FAIL),
        (Subscriptions(0, 0), Level.FAIL),
        (None, Level.FAIL),
    ],
)
def test_the_alert_topic_needs_a_confirmed_subscription(
    found: Subscriptions | None, expected: Level
) -> None:
    assert level(check_alert_topic(found)) is expected


def test_user_names_are_compared_without_case() -> None:
    assert level(check_guard_policy(GUARD, ["ALICE", "bob"])) is Level.OK


def test_some_of_many_unguarded_users_are_named() -> None:
    many = [f"user{number:02}" for number in range(12)]
    said = seen(check_guard_policy(GUARD, many))
    assert said.endswith(
        "leaves out 12 console users: user00, user01, user02, user03, user04 and 7 more"
    )


def test_the_guard_policys_coverage_is_unknown_before_the_first_sweep() -> None:
    assert level(check_guard_policy(GUARD, None)) is Level.UNKNOWN


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (RootUser(mfa=True, password=True, access_keys=False), Level.OK),
        (RootUser(mfa=False, password=False, access_keys=False), Level.OK),
        (RootUser(mfa=False, password=False, access_keys=True), Level.WARNING),
        (RootUser(mfa=True, password=True, access_keys=True), Level.WARNING),
        (RootUser(mfa=False, password=True, access_keys=False), Level.FAIL),
    ],
)
def test_root_without_a_password_needs_no_device(root: RootUser, expected: Level) -> None:
    assert level(check_root_mfa(root)) is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
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
    policy: PasswordPolicy | None, expected: list[Level]
) -> None:
    assert [result.level for result in check_password_policy(policy)] == expected


def test_each_denied_call_is_named_with_users_and_policies() -> None:
    blocked = [
        DeniedCall("ana", "iam:ChangePassword", "ForceMfa"),
        DeniedCall("bob", "iam:ChangePassword", "ForceMfa"),
    ]
    results = check_first_password(STRONG, ["ana", "bob"], blocked)
    assert level(results) is Level.FAIL
    assert seen(results) == "ana, bob may not call iam:ChangePassword without MFA: ForceMfa"


def test_without_console_users_the_first_password_is_ok() -> None:
    assert level(check_first_password(STRONG, [], [])) is Level.OK


def test_thousands_of_silent_regions_are_one_line() -> None:
    accounts = [f"{number:012}" for number in range(1000)]
    heartbeats = [
        Heartbeat(source) for source in expected_sources(accounts, ("us-east-1",), "us-east-1")
    ]
    results = check_heartbeats(heartbeats, now=NOW, silence_threshold=timedelta(hours=13))
    assert level(results) is Level.FAIL
    assert seen(results).endswith("and 1995 more")


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
def test_a_duration_has_one_unit(time: timedelta, words: str) -> None:
    assert duration(time) == words
