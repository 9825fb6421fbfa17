"""`mfa-watcher doctor` names each fault of an account, and nothing else."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from mfa_watcher.adapters.items import HEARTBEATS, heartbeat_sk, key_of
from mfa_watcher.cli import main
from mfa_watcher.domain.health.heartbeats import EventPath, HeartbeatSource, expected_sources
from mfa_watcher.domain.health.results import Check
from mfa_watcher.domain.users.user import MfaStatus
from tests.functions import healthy_account as healthy
from tests.functions.healthy_account import (
    FORWARD_LETTERS,
    FORWARD_RULE,
    REGIONS,
    STRONG,
    TRAIL,
    CheckedAccount,
)
from tests.support.account import REGION, Account
from tests.support.builders import ACCOUNT
from tests.template.cloudformation import ROOT, STACK

BreakAccount = Callable[[CheckedAccount], object]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def checked(account: Account, monkeypatch: pytest.MonkeyPatch) -> CheckedAccount:
    return healthy.healthy_account(account, monkeypatch)


def test_a_healthy_account_passes_every_check(checked: CheckedAccount, capsys: Capture) -> None:
    report = checked.run_doctor(capsys)
    assert report.not_ok == set()
    assert {one["check"] for one in report.results} == {check.key for check in Check}
    assert report.code == 0
    assert report.err == ""


def detach_targets(rule: str, region: str = REGION) -> BreakAccount:
    return lambda at: at.client("events", region).remove_targets(Rule=rule, Ids=["To"])


def disable(rule: str, region: str = REGION) -> BreakAccount:
    return lambda at: at.client("events", region).disable_rule(Name=rule)


def select(**selectors: object) -> BreakAccount:
    return lambda at: at.client("cloudtrail").put_event_selectors(TrailName=TRAIL, **selectors)


def advanced(**fields: tuple[str, list[str]]) -> BreakAccount:
    """Let the trail record only management events with these fields."""
    asked = {"eventCategory": ("Equals", ["Management"]), **fields}
    wanted = [{"Field": name, operator: values} for name, (operator, values) in asked.items()]
    return select(AdvancedEventSelectors=[{"Name": "some", "FieldSelectors": wanted}])


def trails_of_one_region_each(at: CheckedAccount) -> None:
    """Create a trail in each region, none of which records global services."""
    at.client("cloudtrail").delete_trail(Name=TRAIL)
    for region in REGIONS:
        cloudtrail = at.client("cloudtrail", region)
        cloudtrail.create_trail(
            Name=f"of-{region}", S3BucketName="all-trails", IncludeGlobalServiceEvents=False
        )
        cloudtrail.start_logging(Name=f"of-{region}")


def require(**policy: object) -> BreakAccount:
    return lambda at: at.account.iam.update_account_password_policy(**{**STRONG, **policy})


def fill(queue: str, region: str = REGION) -> BreakAccount:
    def put(at: CheckedAccount) -> None:
        sqs = at.client("sqs", region)
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], MessageBody="{}")

    return put


def silence(seen: timedelta | None = None, expected_for: timedelta | None = None) -> BreakAccount:
    """Delete a region's heartbeat, and record when it was seen or first expected."""

    def put(at: CheckedAccount) -> None:
        source = HeartbeatSource(ACCOUNT, "eu-north-1", EventPath.SIGN_INS)
        key = key_of(HEARTBEATS, heartbeat_sk(source))
        assert "Item" in at.account.dynamodb.get_item(TableName=at.account.table, Key=key)
        at.account.dynamodb.delete_item(TableName=at.account.table, Key=key)
        if seen:
            at.store.record_heartbeat(source, at.now - seen)
        if expected_for:
            at.store.expect_heartbeat(source, at.now - expected_for)

    return put


def update(**fields: object) -> BreakAccount:
    def put(at: CheckedAccount) -> None:
        for name, value in fields.items():
            known = getattr(at, name)
            setattr(at, name, {**known, **value} if isinstance(value, dict) else value)

    return put


def weaken_guard(at: CheckedAccount) -> None:
    harmless = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}],
    }
    at.account.iam.create_policy_version(
        PolicyArn=at.guard_arn, PolicyDocument=json.dumps(harmless), SetAsDefault=True
    )


def detach_guard(at: CheckedAccount) -> None:
    at.account.iam.detach_group_policy(GroupName="people", PolicyArn=at.guard_arn)


def let_anybody_send(at: CheckedAccount) -> None:
    at.client("events").put_permission(
        EventBusName="default",
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "Anybody",
                        "Effect": "Allow",
                        "Principal": "*",
                        "Action": "events:PutEvents",
                        "Resource": healthy.BUS,
                    }
                ],
            }
        ),
    )


def disable_source(at: CheckedAccount) -> None:
    _, uuid = at.resources["OnSignInQueue"]
    at.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)


def throttle(at: CheckedAccount) -> None:
    at.client("lambda").put_function_concurrency(
        FunctionName=healthy.physical("OnSignIn"), ReservedConcurrentExecutions=0
    )


def disable_schedule(at: CheckedAccount) -> None:
    name = healthy.physical("SweepEveryFourHours")
    scheduler = at.client("scheduler")
    known = scheduler.get_schedule(Name=name)
    scheduler.update_schedule(
        **{
            key: known[key]
            for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        },
        State="DISABLED",
    )


FAULTS: dict[str, tuple[str, str, str, BreakAccount]] = {
    # what is broken: (check, level, what the line says, how it is broken)
    "the deployment failed": (
        "stack",
        "fail",
        "UPDATE_ROLLBACK_FAILED",
        update(status="UPDATE_ROLLBACK_FAILED"),
    ),
    "the trail is stopped": (
        "trail",
        "fail",
        f"{TRAIL} is stopped",
        lambda at: at.client("cloudtrail").stop_logging(Name=TRAIL),
    ),
    "there is no trail": (
        "trail",
        "fail",
        "there is no trail",
        lambda at: at.client("cloudtrail").delete_trail(Name=TRAIL),
    ),
    "the trail takes reads alone": (
        "trail",
        "fail",
        "records no write management events",
        select(EventSelectors=[{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]),
    ),
    "the trail takes no management events": (
        "trail",
        "fail",
        "records no write management events",
        select(EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": False}]),
    ),
    "an advanced selector takes reads alone": (
        "trail",
        "fail",
        "records no write management events",
        advanced(readOnly=("Equals", ["true"])),
    ),
    "an advanced selector leaves IAM out": (
        "trail",
        "fail",
        "does not record iam.amazonaws.com",
        advanced(eventSource=("NotEquals", ["kms.amazonaws.com", "iam.amazonaws.com"])),
    ),
    "an advanced selector is narrower than can be judged": (
        "trail",
        "unknown",
        "filters events by eventName",
        advanced(eventName=("StartsWith", ["Console"])),
    ),
    "the trail leaves out what the watcher rests on": (
        "trail",
        "warning",
        "does not record kms.amazonaws.com",
        select(
            EventSelectors=[
                {
                    "ReadWriteType": "All",
                    "IncludeManagementEvents": True,
                    "ExcludeManagementEventSources": ["kms.amazonaws.com"],
                }
            ]
        ),
    ),
    "the trail leaves out global services": (
        "trail",
        "fail",
        "does not record global services",
        trails_of_one_region_each,
    ),
    "a rule is disabled": (
        "rules",
        "fail",
        "is disabled",
        disable(healthy.physical("SignInRule")),
    ),
    "a rule of a nested stack is disabled": (
        "rules",
        "fail",
        "is disabled",
        disable(f"{STACK}-tampering-path"),
    ),
    "a rule has no target": (
        "rules",
        "fail",
        "has no target",
        detach_targets(healthy.physical("SignInRule")),
    ),
    "the account has too few concurrent executions": (
        "concurrency",
        "fail",
        "8 concurrent executions of 8",
        update(concurrency={"UnreservedConcurrentExecutions": 8}),
    ),
    "a forwarder is disabled": (
        "forwarders",
        "fail",
        "the forwarder's rule is disabled",
        disable(FORWARD_RULE, "eu-north-1"),
    ),
    "a forwarder sends nowhere": (
        "forwarders",
        "fail",
        "does not send to the hub's event bus",
        detach_targets(FORWARD_RULE, "eu-north-1"),
    ),
    "a forwarder's events did not arrive": (
        "forwarders",
        "fail",
        "1 event did not reach the hub",
        fill(FORWARD_LETTERS, "eu-north-1"),
    ),
    "the bus is open to anybody": ("event_bus", "fail", "anybody", let_anybody_send),
    "the bus does not take the organization's events": (
        "event_bus",
        "fail",
        "does not accept events of the organization",
        update(parameters={"OrganizationId": "o-abcdefghij", "MemberAccounts": ACCOUNT}),
    ),
    "an event source is disabled": ("event_sources", "fail", "is disabled", disable_source),
    "a function may not run": ("functions", "fail", "reserved concurrency is 0", throttle),
    "a schedule is disabled": ("schedules", "fail", "is disabled", disable_schedule),
    "dead letters": (
        "dead_letters",
        "fail",
        "holds 1 message",
        fill(healthy.physical("SweepDeadLetters")),
    ),
    "SES is in its sandbox": (
        "ses_account",
        "fail",
        "in the SES sandbox",
        update(mail={"ProductionAccessEnabled": False}),
    ),
    "SES does not send": (
        "ses_account",
        "fail",
        "may not send mails",
        update(mail={"SendingEnabled": False}),
    ),
    "SES is under review": (
        "ses_account",
        "warning",
        "under review",
        update(mail={"EnforcementStatus": "PROBATION"}),
    ),
    "the sender is not verified": (
        "ses_identity",
        "fail",
        "not verified yet: example.com",
        update(identities={"example.com": False}),
    ),
    "the quota is small": (
        "ses_quota",
        "warning",
        "30 mails a day for 40 console users",
        update(mail={"SendQuota": {"Max24HourSend": 30.0}}),
    ),
    "no mail domains are set": (
        "mail_domains",
        "warning",
        "only addresses at example.com",
        update(parameters={"MailDomains": ""}),
    ),
    "the default mail domain is not allowed": (
        "mail_domains",
        "fail",
        "MailDomains does not allow that domain",
        update(parameters={"DefaultMailDomain": "example.org"}),
    ),
    "the subscription is not confirmed": (
        "alert_topic",
        "fail",
        "1 not confirmed yet",
        update(subscriptions={"SubscriptionsConfirmed": "0", "SubscriptionsPending": "1"}),
    ),
    "the guard policy is attached to nobody": (
        "guard_policy",
        "fail",
        "attached to nobody",
        detach_guard,
    ),
    "the guard policy denies nothing": (
        "guard_policy",
        "fail",
        "no longer denies the removal",
        weaken_guard,
    ),
    "a console user is not in_guarded_group": (
        "guard_policy",
        "warning",
        "leaves out 1 console user: carol",
        lambda at: at.add_user("carol", MfaStatus.PROTECTED, in_guarded_group=False),
    ),
    "root has no MFA": ("root_mfa", "fail", "CIS 5.0, 1.4", update(root={"AccountMFAEnabled": 0})),
    "root has access keys": (
        "root_mfa",
        "warning",
        "CIS 5.0, 1.3",
        update(root={"AccountAccessKeysPresent": 1}),
    ),
    "passwords may be short": (
        "password_policy",
        "fail",
        "8 characters are enough; CIS 5.0, 1.7",
        require(MinimumPasswordLength=8),
    ),
    "passwords may be used again": (
        "password_policy",
        "fail",
        "5 former passwords are rejected; CIS 5.0, 1.8",
        require(PasswordReusePrevention=5),
    ),
    "passwords may be of one class": (
        "password_policy",
        "warning",
        "3 of 4 character classes",
        require(RequireSymbols=False),
    ),
    "a policy denies a user their first password": (
        "first_password",
        "fail",
        "may not call iam:ChangePassword without MFA: ForceMfa",
        update(decisions={"iam:ChangePassword": "explicitDeny"}),
    ),
    "a policy denies a user the password policy": (
        "first_password",
        "fail",
        "may not call iam:GetAccountPasswordPolicy without MFA",
        update(decisions={"iam:GetAccountPasswordPolicy": "explicitDeny"}),
    ),
    "expired passwords cannot be changed": (
        "first_password",
        "warning",
        "hard expiry",
        require(HardExpiry=True, MaxPasswordAge=90),
    ),
    "the last sweep is long ago": (
        "last_sweep",
        "fail",
        "not swept for 11 h",
        lambda at: at.swept(timedelta(hours=11)),
    ),
    "a region fell silent": (
        "heartbeat",
        "fail",
        "no event arrived for 20 h from 123456789012 eu-north-1 (sign-ins)",
        silence(seen=timedelta(hours=20)),
    ),
    "a new region was not heard of yet": (
        "heartbeat",
        "warning",
        "no event arrived yet from 123456789012 eu-north-1 (sign-ins)",
        silence(expected_for=timedelta(hours=2)),
    ),
    "a region was never heard of": ("heartbeat", "fail", "no event ever arrived from", silence()),
}


@pytest.mark.parametrize("broken", FAULTS)
def test_each_fault_is_named_and_nothing_else(
    broken: str, checked: CheckedAccount, capsys: Capture
) -> None:
    check, level, words, break_ = FAULTS[broken]
    break_(checked)
    report = checked.run_doctor(capsys)
    assert report.not_ok == {(check, level)}
    [line] = {one["seen"] for one in report.of(check) if one["level"] != "ok"}
    assert words in line
    assert all(one["remedy"] for one in report.of(check) if one["level"] != "ok")
    assert report.code == (0 if level == "warning" else 1)


def test_every_check_fails_for_at_least_one_fault() -> None:
    assert {check for check, level, _, _ in FAULTS.values() if level != "warning"} == {
        check.key for check in Check
    } - {"ses_quota"}


GONE: dict[str, BreakAccount] = {
    "rules": lambda at: (
        detach_targets(healthy.physical("SignInRule"))(at),
        at.client("events").delete_rule(Name=healthy.physical("SignInRule")),
    ),
    "forwarders": lambda at: (
        detach_targets(FORWARD_RULE, "us-east-2")(at),
        at.client("events", "us-east-2").delete_rule(Name=FORWARD_RULE),
    ),
    "event_sources": lambda at: at.client("lambda").delete_event_source_mapping(
        UUID=at.resources["OnSignInQueue"][1]
    ),
    "functions": lambda at: at.client("lambda").delete_function(
        FunctionName=healthy.physical("Remind")
    ),
    "schedules": lambda at: at.client("scheduler").delete_schedule(
        Name=healthy.physical("RemindEveryHour")
    ),
    "dead_letters": lambda at: at.client("sqs").delete_queue(
        QueueUrl=at.resources["SignInDeadLetters"][1]
    ),
    "ses_identity": update(identities={"example.com": False}),
    "alert_topic": update(refused={"sns:GetTopicAttributes": "NotFound"}),
    "guard_policy": update(refused={"iam:GetPolicy": "NoSuchEntity"}),
    "password_policy": lambda at: at.account.iam.delete_account_password_policy(),
}


@pytest.mark.parametrize("check", GONE)
def test_a_missing_resource_fails_its_check(
    check: str, checked: CheckedAccount, capsys: Capture
) -> None:
    GONE[check](checked)
    report = checked.run_doctor(capsys)
    assert report.not_ok == {(check, "fail")}
    assert report.code == 1


def test_a_region_without_a_forwarder_gets_the_remedy_to_deploy_one(
    checked: CheckedAccount, capsys: Capture
) -> None:
    report = checked.run_doctor(capsys, "--json", "--sign-in-regions", "us-east-1,eu-central-1")
    [line] = [one for one in report.of("forwarders") if one["level"] == "fail"]
    assert line["about"] == "eu-central-1"
    assert f"HubAccountId={ACCOUNT}" in line["remedy"]
    assert report.not_ok == {("forwarders", "fail"), ("heartbeat", "fail")}


def guard_by_scp(at: CheckedAccount, *, attached: bool) -> None:
    organizations = at.client("organizations")
    [root] = organizations.list_roots()["Roots"]
    made = organizations.create_policy(
        Name="guard", Description="", Type="SERVICE_CONTROL_POLICY", Content="{}"
    )
    scp = made["Policy"]["PolicySummary"]["Id"]
    if attached:
        organizations.attach_policy(PolicyId=scp, TargetId=root["Id"])
    at.parameters["GuardScpId"] = scp
    detach_guard(at)


@pytest.mark.parametrize("attached", [True, False])
def test_a_service_control_policy_applies_where_it_is_attached(
    attached: bool,  # noqa: FBT001 - the case
    organized: CheckedAccount,
    capsys: Capture,
) -> None:
    guard_by_scp(organized, attached=attached)
    report = organized.run_doctor(capsys)
    assert report.not_ok == (set() if attached else {("guard_policy", "fail")})
    [line] = report.of("guard_policy")
    assert ("applies to Root" if attached else "attached to nothing") in line["seen"]


@pytest.fixture
def organized(checked: CheckedAccount) -> CheckedAccount:
    """The checked's account as the hub of an organization, with a member that is well."""
    member = checked.account.organization()
    organization = checked.client("organizations").describe_organization()["Organization"]["Id"]
    checked.parameters["OrganizationId"] = organization
    checked.client("events").put_permission(
        EventBusName="default",
        StatementId="members",
        Action="events:PutEvents",
        Principal="*",
        Condition={"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": organization},
    )
    checked.swept(timedelta(hours=1), member)
    for source in expected_sources((member,), REGIONS, REGION):
        checked.store.record_heartbeat(source, checked.now)
    return checked


def test_an_organization_passes_too(organized: CheckedAccount, capsys: Capture) -> None:
    report = organized.run_doctor(capsys)
    assert report.not_ok == set()
    [swept] = report.of("last_sweep")
    assert "2 accounts with 80 users" in swept["seen"]


def test_a_member_without_sweep_and_heartbeat_is_named(
    organized: CheckedAccount, capsys: Capture
) -> None:
    new = organized.account.new_member("new")
    report = organized.run_doctor(capsys)
    assert report.not_ok == {("last_sweep", "fail"), ("heartbeat", "fail")}
    assert all(
        new in one["seen"] + one["about"] for one in report.results if one["level"] == "fail"
    )


def test_the_documented_policy_allows_exactly_the_calls_made(
    organized: CheckedAccount, capsys: Capture
) -> None:
    organized.run_doctor(capsys)
    made = set(organized.made)
    guard_by_scp(organized, attached=True)
    organized.run_doctor(capsys)
    assert made | organized.made == permissions()


def test_the_doctor_only_makes_reading_calls(organized: CheckedAccount, capsys: Capture) -> None:
    organized.run_doctor(capsys)
    reading = re.compile(r"\w+:(Describe|Get|List|Query|Simulate)\w*")
    assert [call for call in organized.made if not reading.fullmatch(call)] == []


def permissions() -> set[str]:
    """Return the actions that docs/doctor.md lists for the health check."""
    text = (ROOT / "docs" / "doctor.md").read_text()
    block, _of_the_probe = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    [statement] = json.loads(block)["Statement"]
    assert statement["Action"] == sorted(statement["Action"])
    return set(statement["Action"])


def test_a_missing_permission_is_named_and_does_not_affect_other_checks(
    organized: CheckedAccount, capsys: Capture
) -> None:
    guard_by_scp(organized, attached=True)
    for action in permissions() - {"cloudformation:DescribeStacks", "iam:GetGroup"}:
        organized.refused = {action: "AccessDeniedException"}
        if action == "cloudformation:ListStackResources":
            report = organized.run_doctor(capsys)
            assert action in report.err
            continue
        report = organized.run_doctor(capsys)
        unknown = [one for one in report.results if one["level"] != "ok"]
        assert unknown, action
        assert {one["level"] for one in unknown} == {"unknown"}, action
        known_by = (one["seen"] + one["remedy"] for one in unknown)
        assert all(action in words or "ListAccounts" in action for words in known_by), action
        assert report.code == 1
        assert len({one["check"] for one in report.results}) == len(Check)


def test_a_service_that_does_not_answer_is_unknown(
    checked: CheckedAccount, capsys: Capture
) -> None:
    checked.refused = {"ses:GetAccount": "InternalFailure"}
    report = checked.run_doctor(capsys)
    assert report.not_ok == {("ses_account", "unknown"), ("ses_quota", "unknown")}
    assert "ses:GetAccount: InternalFailure" in report.of("ses_account")[0]["seen"]


def test_a_stack_that_cannot_be_read_ends_the_command(
    checked: CheckedAccount, capsys: Capture
) -> None:
    checked.refused = {"cloudformation:DescribeStacks": "AccessDenied"}
    report = checked.run_doctor(capsys)
    assert (report.code, report.out) == (1, "")
    assert "cloudformation:DescribeStacks is denied" in report.err


def test_before_the_first_sweep_no_users_are_known(
    checked: CheckedAccount, capsys: Capture
) -> None:
    for item in checked.account.items(""):
        key = key_of(item["pk"], item["sk"])
        checked.account.dynamodb.delete_item(TableName=checked.account.table, Key=key)
    report = checked.run_doctor(capsys)
    assert report.not_ok == {
        ("last_sweep", "fail"),
        ("heartbeat", "fail"),
        ("ses_quota", "unknown"),
        ("guard_policy", "unknown"),
        ("first_password", "unknown"),
    }


def test_the_terminal_shows_groups_results_and_remedies(
    checked: CheckedAccount, capsys: Capture
) -> None:
    throttle(checked)
    report = checked.run_doctor(capsys, "--region", "us-east-1")
    lines = report.out.splitlines()
    assert lines[0] == "Events arrive"
    name = healthy.physical("OnSignIn")
    at = lines.index(f"  FAIL     functions {name}: cannot run: its reserved concurrency is 0")
    assert lines[at + 1].startswith("           → aws lambda delete-function-concurrency")
    assert lines[-1].endswith("1 FAIL")
    assert report.code == 1


def test_control_characters_do_not_reach_the_terminal(
    checked: CheckedAccount, capsys: Capture
) -> None:
    checked.status = "\x1b[2J[bold]UPDATE"
    report = checked.run_doctor(capsys, "--region", "us-east-1")
    assert "\x1b" not in report.out
    assert "[bold]UPDATE" in report.out


@pytest.mark.parametrize("wrong", ["", "everywhere", "us-east-1;eu-west-1"])
def test_wrong_arguments_exit_with_code_2(wrong: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", "--sign-in-regions", wrong])
    assert stopped.value.code == 2
    assert "not regions" in capsys.readouterr().err
