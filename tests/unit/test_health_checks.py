"""What a checkup says of what was read, where the emulated account cannot show it."""

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
    assert level(check_stack(replace(STACK, partition=partition, region=region))) is well


@pytest.mark.parametrize(
    ("partition", "parameter", "regions"),
    [
        ("aws", "", ("us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")),
        ("aws", "us-east-1, eu-central-1", ("us-east-1", "eu-central-1")),
        ("aws-us-gov", "", ("us-gov-west-1",)),
        ("aws-cn", "", ("cn-north-1",)),
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


def test_what_is_wrong_with_each_trail_is_told() -> None:
    stopped, reads = replace(TRAIL, logging=False), Selector(writes=False)
    said = seen(
        check_trails(
            "us-east-1", [stopped, replace(TRAIL, name="reads", selectors=(reads,))], with_iam=True
        )
    )
    assert said == "main is stopped; reads records no write management events"


def test_global_services_matter_where_iam_is_alone() -> None:
    regional = replace(TRAIL, global_events=False)
    assert level(check_trails("us-east-1", [regional], with_iam=True)) is Level.FAIL
    assert level(check_trails("us-east-2", [regional], with_iam=False)) is Level.OK


def test_a_source_that_another_selector_takes_is_not_left_out() -> None:
    some = Selector(writes=True, left_out=frozenset({"iam.amazonaws.com"}))
    both = replace(TRAIL, selectors=(some, Selector(writes=True)))
    assert level(check_trails("us-east-1", [both], with_iam=True)) is Level.OK
    assert (
        level(check_trails("us-east-1", [replace(TRAIL, selectors=(some,))], with_iam=True))
        is Level.FAIL
    )


def test_a_trail_that_cannot_deliver_still_feeds_the_rules() -> None:
    full = replace(TRAIL, delivery_error="NoSuchBucket")
    verdicts = check_trails("us-east-1", [full], with_iam=True)
    assert level(verdicts) is Level.WARNING
    assert "NoSuchBucket" in seen(verdicts)


def test_a_rule_that_feeds_somebody_else_alone_has_no_target() -> None:
    rule = Rule(enabled=True, targets=("arn:aws:sqs:us-east-1:1:elsewhere",))
    assert level(check_rules({"r": rule}, lambda arn: arn.endswith("ours"))) is Level.FAIL
    both = replace(rule, targets=(*rule.targets, "arn:aws:sqs:us-east-1:1:ours"))
    assert level(check_rules({"r": both}, lambda arn: arn.endswith("ours"))) is Level.OK


def test_an_account_by_itself_needs_nobody_on_its_bus() -> None:
    assert level(check_event_bus("", ())) is Level.OK


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
    assert level(check_event_sources({"OnSignInQueue": source})) is well


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
    assert level(check_functions({"OnSignIn": function})) is well


def test_ses_that_aws_shut_down_does_not_send() -> None:
    assert level(check_ses_account(replace(MAIL, enforcement="SHUTDOWN"))) is Level.FAIL


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
    assert level(check_ses_quota(replace(MAIL, daily=daily), users)) is well


def test_a_verified_address_is_enough() -> None:
    found = {"mfa@example.com": True, "example.com": False}
    assert seen(check_ses_identity("mfa@example.com", found)) == "mfa@example.com is verified"


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
    assert level(check_alert_topic(found)) is well


def test_names_are_compared_as_iam_does() -> None:
    assert level(check_guard_policy(GUARD, ["ALICE", "bob"])) is Level.OK


def test_some_of_many_unguarded_users_are_named() -> None:
    many = [f"user{number:02}" for number in range(12)]
    said = seen(check_guard_policy(GUARD, many))
    assert said.endswith(
        "leaves out 12 console users: user00, user01, user02, user03, user04 and 7 more"
    )


def test_who_the_guard_holds_for_is_not_known_before_anybody_is() -> None:
    assert level(check_guard_policy(GUARD, None)) is Level.UNKNOWN


@pytest.mark.parametrize(
    ("root", "well"),
    [
        (RootUser(mfa=True, password=True, access_keys=False), Level.OK),
        (RootUser(mfa=False, password=False, access_keys=False), Level.OK),
        (RootUser(mfa=False, password=False, access_keys=True), Level.WARNING),
        (RootUser(mfa=True, password=True, access_keys=True), Level.WARNING),
        (RootUser(mfa=False, password=True, access_keys=False), Level.FAIL),
    ],
)
def test_root_without_a_password_needs_no_device(root: RootUser, well: Level) -> None:
    assert level(check_root_mfa(root)) is well


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
    assert [verdict.level for verdict in check_password_policy(policy)] == well


def test_each_call_that_is_refused_is_told_with_users_and_policies() -> None:
    blocked = [
        DeniedCall("ana", "iam:ChangePassword", "ForceMfa"),
        DeniedCall("bob", "iam:ChangePassword", "ForceMfa"),
    ]
    verdicts = check_first_password(STRONG, ["ana", "bob"], blocked)
    assert level(verdicts) is Level.FAIL
    assert seen(verdicts) == "ana, bob may not call iam:ChangePassword without MFA: ForceMfa"


def test_where_nobody_has_a_password_nobody_is_kept_from_changing_it() -> None:
    assert level(check_first_password(STRONG, [], [])) is Level.OK


def test_thousands_of_silent_regions_are_one_line() -> None:
    accounts = [f"{number:012}" for number in range(1000)]
    beats = [
        Heartbeat(source) for source in expected_sources(accounts, ("us-east-1",), "us-east-1")
    ]
    verdicts = check_heartbeats(beats, now=NOW, silence_threshold=timedelta(hours=13))
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
    assert duration(time) == words
