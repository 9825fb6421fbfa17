from __future__ import annotations

import re
from typing import Any

import pytest

from mfa_watcher.domain.policy import Policy
from mfa_watcher.settings import (
    ApprovalDeskSettings,
    ChangeDeskSettings,
    DeliverSettings,
    ExpireSettings,
    FeedbackSettings,
    FulfilSettings,
    ObserveSettings,
    QuarantineSettings,
    RemindSettings,
    SweepSettings,
    WatchSettings,
)
from tests.template.cloudformation import ROOT, Template

TEMPLATE = Template.read()
FUNCTIONS = TEMPLATE.of_type("AWS::Serverless::Function")
SETTINGS: dict[
    str,
    type[
        ObserveSettings
        | DeliverSettings
        | FeedbackSettings
        | RemindSettings
        | QuarantineSettings
        | SweepSettings
        | ChangeDeskSettings
        | ApprovalDeskSettings
        | FulfilSettings
        | ExpireSettings
        | WatchSettings
    ],
] = {
    "OnSignIn": ObserveSettings,
    "OnIamChange": ObserveSettings,
    "Deliver": DeliverSettings,
    "Redeliver": DeliverSettings,
    "OnMailFeedback": FeedbackSettings,
    "Remind": RemindSettings,
    "Expire": ExpireSettings,
    "Quarantine": QuarantineSettings,
    "Sweep": SweepSettings,
    "Watch": WatchSettings,
    "ChangeDesk": ChangeDeskSettings,
    "ApprovalDesk": ApprovalDeskSettings,
    "Fulfil": FulfilSettings,
}
ALL_ROLES = TEMPLATE.of_type("AWS::IAM::Role")
ROLES = {name: role for name, role in ALL_ROLES.items() if name != "CanaryRole"}


def _statements(role: str) -> list[dict[str, Any]]:
    """What a role may do: its own statements, and those of the managed policies it attaches."""
    properties = ROLES[role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    documents += [
        TEMPLATE.properties(attached["Ref"])["PolicyDocument"]
        for attached in properties.get("ManagedPolicyArns", [])
    ]
    return [statement for document in documents for statement in document["Statement"]]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_each_function_folder_is_deployed_and_each_deployed_function_has_a_folder() -> None:
    deployed = {function["Properties"]["CodeUri"] for function in FUNCTIONS.values()}
    assert deployed == {f"functions/{app.parent.name}" for app in ROOT.glob("functions/*/app.py")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_a_role_of_its_own(name: str) -> None:
    role = FUNCTIONS[name]["Properties"]["Role"]
    assert [n for n, f in FUNCTIONS.items() if f["Properties"]["Role"] == role] == [name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_logs_to_a_group_that_forgets(name: str) -> None:
    group = FUNCTIONS[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
    assert TEMPLATE.resolve(TEMPLATE.properties(group)["RetentionInDays"]) > 0


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
    actions = [action for s in _statements(role) for action in _listed(s["Action"])]
    assert [action for action in actions if "*" in action] == []


@pytest.mark.parametrize("role", ROLES)
def test_role_names_its_resources_except_for_tracing_which_has_none(role: str) -> None:
    open_to_all = [s["Sid"] for s in _statements(role) if "*" in _listed(s["Resource"])]
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
    written = [s["Resource"] for s in _statements(role) if s["Sid"] == "Log"]
    assert written == [{"Fn::GetAtt": [f"{role.removesuffix('Role')}Logs", "Arn"]}]


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"QuarantineRole", "FulfilRole"}))
def test_no_role_but_the_quarantines_and_fulfils_changes_anything_in_iam(role: str) -> None:
    actions = [action for s in _statements(role) for action in _listed(s["Action"])]
    assert [a for a in actions if re.match(r"iam:(?!Get|List|GenerateCredentialReport)", a)] == []


def test_the_quarantine_may_only_take_its_own_policy_off_unless_it_is_switched_on() -> None:
    changes = [s for s in _statements("QuarantineRole") if s["Sid"] == "LetOut"]
    added = TEMPLATE.of_type("AWS::IAM::Policy")["QuarantineShutsIn"]
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
        for s in _statements("FulfilRole")
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
        environment = TEMPLATE.resolve(FUNCTIONS[function]["Properties"]["Environment"])
        assert environment["Variables"]["FULFIL_ROLE"] == name


def test_a_call_of_fulfil_ends_before_another_may_take_its_request_over() -> None:
    assert FUNCTIONS["Fulfil"]["Properties"]["Timeout"] < Policy().fulfilment_lease.total_seconds()


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
    actions = {action for s in _statements(role) for action in _listed(s["Action"])}
    assert actions.isdisjoint({"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"})


@pytest.mark.parametrize(
    "role",
    [
        "SweepRole",
        "OnSignInRole",
        "OnIamChangeRole",
        "RemindRole",
        "ExpireRole",
        "QuarantineRole",
        "FulfilRole",
        "ChangeDeskRole",
        "ApprovalDeskRole",
    ],
)
def test_deciding_sends_nothing(role: str) -> None:
    actions = {action for s in _statements(role) for action in _listed(s["Action"])}
    assert actions.isdisjoint({"ses:SendEmail", "sns:Publish"})


@pytest.mark.parametrize("role", ["DeliverRole", "RedeliverRole"])
def test_delivering_mails_from_the_configured_sender_alone(role: str) -> None:
    [mail] = [s for s in _statements(role) if s["Sid"] == "Mail"]
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
    function = FUNCTIONS[name]["Properties"]
    common = TEMPLATE.body["Globals"]["Function"]["Environment"]["Variables"]
    environment = TEMPLATE.resolve(common | function["Environment"]["Variables"])
    settings.from_environment({key: str(value) for key, value in environment.items()})
    ours = {key for key in environment if not key.startswith("POWERTOOLS_")}
    assert ours == {field.alias for field in settings.model_fields.values()}


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
