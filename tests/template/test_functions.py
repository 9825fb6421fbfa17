from __future__ import annotations

import json
import os
import re
from datetime import time, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from mfa_watcher import bootstrap, settings
from mfa_watcher.domain.policy import MailHours, Policy, Quarantine
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.settings import PolicySettings, SettingsError
from tests.template.cloudformation import ACCOUNT, ROOT, Template

TEMPLATE = Template.read()
FUNCTIONS = TEMPLATE.of_type("AWS::Serverless::Function")


def _settings_of(function: str) -> type[PolicySettings]:
    """Return what a function reads: if a variable is empty, its error says of which settings."""
    app = ROOT / FUNCTIONS[function]["Properties"]["CodeUri"] / "app.py"
    [parts] = re.findall(r"\bbootstrap\.(\w+)\(\)", app.read_text("utf-8"))
    with patch.dict(os.environ, {"TABLE_NAME": ""}), pytest.raises(SettingsError) as raised:
        getattr(bootstrap, parts).__wrapped__()
    cause = raised.value.__cause__
    assert isinstance(cause, ValidationError)
    found: type[PolicySettings] = getattr(settings, cause.title)
    return found


SETTINGS = {name: _settings_of(name) for name in FUNCTIONS}
ALL_ROLES = TEMPLATE.of_type("AWS::IAM::Role")
ROLES = {name: role for name, role in ALL_ROLES.items() if name != "CanaryRole"}
SHARED = {
    attached["Ref"] for r in ROLES.values() for attached in r["Properties"]["ManagedPolicyArns"]
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_each_function_folder_is_deployed_and_each_deployed_function_has_a_folder() -> None:
    deployed = {function["Properties"]["CodeUri"] for function in FUNCTIONS.values()}
    folders = {f"functions/{app.parent.name}" for app in ROOT.glob("functions/*/app.py")}
    assert not folders - deployed, f"template.yaml deploys no function of {folders - deployed}"
    assert not deployed - folders, f"there is no app.py in {deployed - folders}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_a_role_of_its_own(name: str) -> None:
    own = {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert FUNCTIONS[name]["Properties"].get("Role") == own, (
        f"template.yaml: {name} needs Role: !GetAtt {name}Role.Arn, a role that no other one has"
    )
    assert f"{name}Role" in ROLES, f"template.yaml: there is no {name}Role"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_logs_to_a_group_that_forgets(name: str) -> None:
    group = f"{name}Logs"
    config = FUNCTIONS[name]["Properties"].get("LoggingConfig")
    assert config == {"LogGroup": {"Ref": group}}, (
        f"template.yaml: {name} needs LoggingConfig: {{LogGroup: !Ref {group}}}"
    )
    assert group in TEMPLATE.of_type("AWS::Logs::LogGroup"), f"template.yaml: there is no {group}"
    assert TEMPLATE.resolve(TEMPLATE.properties(group)["RetentionInDays"]) > 0


@pytest.mark.parametrize("role", ROLES)
def test_role_attaches_no_policy_that_repeats_another(role: str) -> None:
    attached = [attached["Ref"] for attached in ROLES[role]["Properties"]["ManagedPolicyArns"]]
    assert len(attached) == len(set(attached)) <= 10  # as many as IAM allows by default
    allowed = [
        (action, json.dumps(s["Resource"]), json.dumps(s.get("Condition")))
        for s in TEMPLATE.statements(role)
        for action in _listed(s["Action"])
    ]
    assert len(allowed) == len(set(allowed))


def test_a_shared_policy_is_shared() -> None:
    users = {
        policy: [
            n for n, r in ROLES.items() if {"Ref": policy} in r["Properties"]["ManagedPolicyArns"]
        ]
        for policy in SHARED
    }
    assert {policy for policy, roles in users.items() if len(roles) < 2} == set()


@pytest.mark.parametrize("policy", TEMPLATE.of_type("AWS::IAM::ManagedPolicy"))
def test_managed_policy_fits_into_iams_limit(policy: str) -> None:
    document = TEMPLATE.resolve(TEMPLATE.properties(policy)["PolicyDocument"])
    assert len("".join(json.dumps(document).split())) <= 6144


@pytest.mark.parametrize("role", ROLES)
def test_role_is_assumed_by_lambda_alone(role: str) -> None:
    trust = ROLES[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [statement["Principal"] for statement in trust] == [{"Service": "lambda.amazonaws.com"}]


def test_the_canary_may_tag_one_queue_and_nothing_else() -> None:
    canary = ALL_ROLES["CanaryRole"]["Properties"]
    (policy,) = canary["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sqs:TagQueue"
    assert statement["Resource"] == {"Fn::GetAtt": ["SignInQueue", "Arn"]}
    trust = canary["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}


@pytest.mark.parametrize("role", ROLES)
def test_role_allows_no_wildcard_action(role: str) -> None:
    actions = [action for s in TEMPLATE.statements(role) for action in _listed(s["Action"])]
    assert [action for action in actions if "*" in action] == []


@pytest.mark.parametrize("role", ROLES)
def test_role_names_its_resources_except_for_tracing_which_has_none(role: str) -> None:
    open_to_all = [s["Sid"] for s in TEMPLATE.statements(role) if "*" in _listed(s["Resource"])]
    without_resources = {
        "Trace",
        "ReadSendingRate",
        "ReadAlias",
        "ListUsers",
        "ReadPasswordPolicy",
    }
    assert "Trace" in open_to_all
    assert set(open_to_all) <= without_resources


@pytest.mark.parametrize("role", ROLES)
def test_role_writes_to_its_own_log_group_alone(role: str) -> None:
    written = [s["Resource"] for s in TEMPLATE.statements(role) if s["Sid"] == "Log"]
    assert written == [{"Fn::GetAtt": [f"{role.removesuffix('Role')}Logs", "Arn"]}]


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"QuarantineRole", "FulfilRole"}))
def test_no_role_but_the_quarantines_and_fulfils_changes_anything_in_iam(role: str) -> None:
    actions = [action for s in TEMPLATE.statements(role) for action in _listed(s["Action"])]
    assert [a for a in actions if re.match(r"iam:(?!Get|List|GenerateCredentialReport)", a)] == []


def test_the_quarantine_may_only_take_its_own_policy_off_unless_it_is_switched_on() -> None:
    changes = [s for s in TEMPLATE.statements("QuarantineRole") if s["Sid"] == "ReleaseUsers"]
    added = TEMPLATE.of_type("AWS::IAM::Policy")["QuarantineUsers"]
    changes += added["Properties"]["PolicyDocument"]["Statement"]
    own = {"ArnEquals": {"iam:PolicyARN": {"Ref": "QuarantinePolicy"}}}
    assert added["Condition"] == "QuarantineOn"
    assert [(s["Action"], s["Condition"]) for s in changes] == [
        ("iam:DetachUserPolicy", own),
        ("iam:AttachUserPolicy", own),
    ]


def test_fulfil_may_change_what_a_request_needs_and_nothing_else() -> None:
    changes = {
        action: TEMPLATE.resolve(s["Resource"])
        for s in TEMPLATE.statements("FulfilRole")
        for action in _listed(s["Action"])
        if re.match(r"iam:(?!Get|List)", action)
    }
    assert changes == {
        "iam:DeactivateMFADevice": "arn:aws:iam::111122223333:user/*",
        "iam:UpdateLoginProfile": "arn:aws:iam::111122223333:user/*",
        "iam:DeleteVirtualMFADevice": "arn:aws:iam::111122223333:mfa/*",
    }


def test_the_guard_policy_and_the_watch_know_the_role_of_fulfil_by_its_name() -> None:
    name = TEMPLATE.resolve({"Ref": "FulfilRole"})
    assert name.startswith("mfa-watcher-Fulfil")
    for function in ("OnSignIn", "OnIamChange"):
        assert TEMPLATE.environment(function)["FULFIL_ROLE"] == name


def test_a_call_of_fulfil_ends_before_another_may_take_its_request_over() -> None:
    assert FUNCTIONS["Fulfil"]["Properties"]["Timeout"] < Policy().fulfilment_lease.total_seconds()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, function in FUNCTIONS.items()
        if any(e["Type"] == "ScheduleV2" for e in function["Properties"].get("Events", {}).values())
    ],
)
def test_a_function_of_a_schedule_says_how_often_it_is_tried_again(name: str) -> None:
    """Without a word of ours, Lambda and the schedule try again for hours, beside the next run."""
    properties = FUNCTIONS[name]["Properties"]
    schedules = [e for e in properties["Events"].values() if e["Type"] == "ScheduleV2"]
    limits = [properties.get("EventInvokeConfig", {})]
    limits += [schedule["Properties"].get("RetryPolicy", {}) for schedule in schedules]
    names = {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"}
    assert all(limit.keys() == names for limit in limits), (
        f"template.yaml: {name} needs EventInvokeConfig, and its schedule RetryPolicy, both with"
        " MaximumRetryAttempts and MaximumEventAgeInSeconds"
    )


def test_only_who_iam_knows_gets_a_url_to_answer() -> None:
    urls = [
        f["Properties"]["FunctionUrlConfig"]
        for f in FUNCTIONS.values()
        if "FunctionUrlConfig" in f["Properties"]
    ]
    assert urls
    assert {url["AuthType"] for url in urls} == {"AWS_IAM"}
    assert not any("Cors" in url for url in urls)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_delete_evidence(role: str) -> None:
    actions = {action for s in TEMPLATE.statements(role) for action in _listed(s["Action"])}
    assert actions.isdisjoint({"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"})


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"DeliverRole", "RedeliverRole"}))
def test_no_role_but_those_that_deliver_sends_anything(role: str) -> None:
    actions = {action for s in TEMPLATE.statements(role) for action in _listed(s["Action"])}
    assert actions.isdisjoint({"ses:SendEmail", "sns:Publish"})


@pytest.mark.parametrize("role", ["DeliverRole", "RedeliverRole"])
def test_delivering_mails_from_the_configured_sender_alone(role: str) -> None:
    [mail] = [s for s in TEMPLATE.statements(role) if s["Sid"] == "Mail"]
    assert TEMPLATE.resolve(mail["Condition"]) == {
        "StringLikeIfExists": {"ses:FromAddress": ["mfa@example.com", "*<mfa@example.com>"]}
    }


def test_functions_are_traced_by_lambda_and_not_by_the_x_ray_sdk() -> None:
    assert TEMPLATE.body["Globals"]["Function"]["Tracing"] == "Active"
    locked = (ROOT / "layers/dependencies/requirements.txt").read_text()
    assert "aws-xray-sdk" not in locked


@pytest.mark.parametrize("name", FUNCTIONS)
def test_environment_is_what_the_functions_settings_read(name: str) -> None:
    settings = SETTINGS[name]
    environment = TEMPLATE.environment(name)
    settings.from_environment(environment)
    ours = {key for key in environment if not key.startswith("POWERTOOLS_")}
    assert ours == {field.alias for field in settings.model_fields.values()}


def test_every_function_decides_by_the_policy_that_the_parameters_make() -> None:
    """Whatever a parameter is set to, all functions have the same policy."""
    template = Template.read(
        EscalationDays="0,2,4,6,8",
        SecondDeviceDays="5",
        MailHours="9-17",
        TimeZone="Europe/Berlin",
        QuarantineMode="dry_run",
        QuarantineDays="9",
        FirstSignInGraceMinutes="11",
        OffBoardingGraceMinutes="12",
        LostEventsAlertThreshold="13",
        ApprovalWindowHours="14",
        EnrolmentWindowHours="15",
        BreakGlassRoles="break-glass,path/rescue",
        OperatorRoles="deployment",
        ServiceDeskRoles="ServiceDesk",
        MailDomains="example.org",
        DefaultMailDomain="example.org",
        AddressTags="mail,email",
        ManagerTag="boss",
        LanguageTag="tongue",
    )
    policies = [
        settings.from_environment(template.environment(name)).policy
        for name, settings in SETTINGS.items()
    ]
    berlin = ZoneInfo("Europe/Berlin")
    assert policies == [
        Policy(
            escalation_schedule=tuple(timedelta(days=days) for days in (0, 2, 4, 6, 8)),
            second_device_after=timedelta(days=5),
            mail_hours=MailHours(time(9), time(17), berlin),
            quarantine=Quarantine.DRY_RUN,
            quarantine_after=timedelta(days=9),
            first_sign_in_grace=timedelta(minutes=11),
            off_boarding_grace=timedelta(minutes=12),
            lost_events_alerted=13,
            approval_window=timedelta(hours=14),
            enrolment_window=timedelta(hours=15),
            break_glass_roles=frozenset({"break-glass", "path/rescue"}),
            operator_roles=frozenset({"deployment"}),
            service_desk_roles=frozenset({"ServiceDesk"}),
            fulfil_role=template.resolve({"Ref": "FulfilRole"}),
            member_fulfil_role="mfa-watcher-Fulfil",
            own_account=ACCOUNT,
            addresses=AddressBook(
                frozenset({"example.org"}), ("mail", "email"), "example.org", "boss", "tongue"
            ),
        )
    ] * len(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_takes_nothing_from_the_policy_into_an_environment_of_its_own(name: str) -> None:
    shared = TEMPLATE.body["Globals"]["Function"]["Environment"]["Variables"]
    own = TEMPLATE.properties(name).get("Environment", {}).get("Variables", {})
    assert shared.keys() & own.keys() == set()
    assert {field.alias for field in PolicySettings.model_fields.values()} <= shared.keys()


def test_environments_fit_into_lambdas_four_kilobytes_with_a_hundred_accounts() -> None:
    accounts = ",".join(str(111111111111 + number) for number in range(100))
    template = Template.read(OrganizationId="o-abcdefghij", MemberAccounts=accounts)
    sizes = {
        name: sum(len(key) + len(value) for key, value in template.environment(name).items())
        for name in FUNCTIONS
    }
    assert {name: size for name, size in sizes.items() if size > 4096} == {}


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (n, p["AllowedPattern"])
        for n, p in TEMPLATE.body["Parameters"].items()
        if "AllowedPattern" in p
    ],
)
def test_parameters_default_satisfies_its_pattern(name: str, pattern: str) -> None:
    default = TEMPLATE.parameters.get(name, TEMPLATE.body["Parameters"][name].get("Default"))
    assert default is not None
    assert re.fullmatch(pattern, default)


@pytest.mark.parametrize("name", TEMPLATE.body["Parameters"])
def test_parameter_says_what_it_is_and_what_it_takes(name: str) -> None:
    parameter = TEMPLATE.body["Parameters"][name]
    assert parameter["Description"].endswith(".")
    assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter)
