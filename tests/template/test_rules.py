from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from moto.events.models import EventPattern

from mfa_watcher.domain.events.signals import IAM_CALLS
from mfa_watcher.domain.events.tampering import Part
from sandbox.mail_events import DETAIL_TYPES
from tests.support.event_files import envelopes
from tests.support.tampering import (
    CASES,
    DELIVERY,
    IDS,
    KEY_ARN,
    KEY_ID,
    OTHERS,
    SCP_ID,
    TOPIC,
    Case,
)
from tests.template.cloudformation import ACCOUNT, ROOT, STACK, Template

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = Template.read(GuardScpId=SCP_ID)
PATTERNS = TEMPLATE.patterns()
TARGETS = {
    name: template.resolve(rule["Properties"]["Targets"])
    for template in TEMPLATE.all()
    for name, rule in template.of_type("AWS::Events::Rule").items()
}
SIGN_IN, IAM_CHANGE = {"SignInRule"}, {"IamChangeRule"}
TAMPERING = {"PathRule", "RoleRule", "StateRule", "OperationRule", "DenialRule"}
MAIL_FEEDBACK = {"MailFeedbackRule"}
QUEUES = {
    "on_sign_in": "SignInQueue",
    "on_iam_change": "IamChangeQueue",
    "on_mail_feedback": "MailFeedbackQueue",
}
KEY = TEMPLATE.resolve({"Ref": "Key"})
RESOLVED_KEY = TEMPLATE.resolve({"Fn::GetAtt": ["Key", "Arn"]})
RESOLVED_DELIVERY = TEMPLATE.resolve({"Ref": "DeliveryPolicy"})
RESOLVED_TOPIC = TEMPLATE.resolve({"Ref": "AlertTopic"})
GUARD = f"arn:aws:iam::{ACCOUNT}:policy/{STACK}-guard"


def _matching(event: Any) -> set[str]:
    """The rules that an event matches."""
    return {
        name
        for name, pattern in PATTERNS.items()
        if EventPattern(None, pattern).matches_event(event)
    }


def _event(
    source: str, name: str, parameters: dict[str, Any] | None = None, **detail: Any
) -> dict[str, Any]:
    """An event as CloudTrail puts it on the bus, with as much as a pattern may look at."""
    return {
        "source": f"aws.{source}",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": f"{source}.amazonaws.com",
            "eventName": name,
            "requestParameters": parameters,
            "recipientAccountId": ACCOUNT,
            **detail,
        },
    }


EVENT_FILES = [path for name in QUEUES for path in sorted((ROOT / "events" / name).glob("*.json"))]


@pytest.mark.parametrize(
    "path", EVENT_FILES, ids=[f"{path.parent.name}/{path.stem}" for path in EVENT_FILES]
)
def test_event_file_holds_what_the_rules_send_to_its_function(path: Path) -> None:
    queue = TEMPLATE.resolve({"Fn::GetAtt": [QUEUES[path.parent.name], "Arn"]})
    for body in envelopes(path):
        targets = [target["Arn"] for name in _matching(body) for target in TARGETS[name]]
        # What is seen by two rules comes twice, and is told from its duplicate by the event's id.
        assert queue in targets
        twice = path.stem in {"canary", "rule_disabled"}
        assert len(targets) == len(set(targets)) == (2 if twice else 1)


@pytest.mark.parametrize("name", QUEUES)
def test_function_has_event_files(name: str) -> None:
    assert list((ROOT / "events" / name).glob("*.json"))


@pytest.mark.parametrize(
    "detail_type",
    [
        "AWS Console Sign In via CloudTrail",
        "AWS Console Signin via CloudTrail",
        "AWS API Call via CloudTrail",
    ],
)
def test_sign_in_is_caught_however_its_detail_type_is_spelled(detail_type: str) -> None:
    assert _matching(_event("signin", "ConsoleLogin") | {"detail-type": detail_type}) == SIGN_IN


@pytest.mark.parametrize("name", sorted(IAM_CALLS))
def test_change_is_caught_when_it_succeeds_and_when_it_is_denied(name: str) -> None:
    assert _matching(_event("iam", name, {"userName": "ana"})) == IAM_CHANGE
    assert _matching(_event("iam", name, None, errorCode="AccessDenied")) == IAM_CHANGE


def _disturbance(case: Case, call: dict[str, Any]) -> dict[str, Any]:
    return {"source": f"aws.{case.service}", "detail": {"recipientAccountId": ACCOUNT, **call}}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_disturbing_the_watcher_is_caught(case: Case) -> None:
    parts = {KEY_ARN: RESOLVED_KEY, KEY_ID: KEY, DELIVERY: RESOLVED_DELIVERY, TOPIC: RESOLVED_TOPIC}
    call = json.loads(_in_place(json.dumps(case.record), parts))
    assert TAMPERING & _matching(_disturbance(case, call))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_denied_attempt_to_disturb_the_watcher_is_caught(case: Case) -> None:
    call = json.loads(_in_place(json.dumps(case.denied), {KEY_ID: KEY}))
    matching = _matching(_disturbance(case, call))
    # Without a resource of ours in its text it cannot be told from anybody's.
    assert TAMPERING & matching or case.part in {Part.BUS, Part.SCP} or "Create" in case.name


def test_changing_any_of_the_watchers_policies_is_caught() -> None:
    policies = {
        template.resolve({"Ref": name})
        for template in TEMPLATE.all()
        for name in template.of_type("AWS::IAM::ManagedPolicy")
    }
    assert GUARD in policies
    for policy in policies:
        event = _event("iam", "CreatePolicyVersion", {"policyArn": policy})
        assert _matching(event) == {"RoleRule"}


def _in_place(text: str, parts: dict[str, str]) -> str:
    """Put the names that the template's resources have in the tests for those of the case."""
    for ours, resolved in parts.items():
        text = text.replace(ours, resolved)
    return text


@pytest.mark.parametrize("rule", sorted(SIGN_IN | IAM_CHANGE | TAMPERING))
@pytest.mark.parametrize("name", ["DisableRule", "DeleteRule", "PutRule"])
def test_whoever_switches_a_rule_off_is_seen_by_another_on_another_queue(
    rule: str, name: str
) -> None:
    [template] = [one for one in TEMPLATE.all() if rule in one.body["Resources"]]
    named = template.body["Resources"][rule]["Properties"].get("Name", {"Ref": rule})
    event = _event("events", name, {"name": template.resolve(named)})
    others = _matching(event) - {rule}
    assert others
    assert _matching(event) == SIGN_IN | {"PathRule"}


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE"])
def test_a_deployment_starts_a_sweep_once_it_is_complete(status: str) -> None:
    def change(status: str, stack: str) -> dict[str, Any]:
        return {
            "source": "aws.cloudformation",
            "detail-type": "CloudFormation Stack Status Change",
            "detail": {"stack-id": stack, "status-details": {"status": status}},
        }

    own = TEMPLATE.resolve({"Ref": "AWS::StackId"})
    assert _matching(change(status, own)) == {"SweepDeployed"}
    assert _matching(change(status, own.replace(STACK, "orders"))) == set()
    assert _matching(change("UPDATE_IN_PROGRESS", own)) == set()


def test_the_canary_comes_by_both_rules_of_events_and_only_if_it_is_ours() -> None:
    queue = TEMPLATE.resolve({"Ref": "SignInQueue"})
    target = TEMPLATE.resolve(TEMPLATE.properties("Canary")["Target"])
    assert json.loads(target["Input"])["QueueUrl"] == queue
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sqs:tagQueue"
    assert _matching(_event("sqs", "TagQueue", {"queueUrl": queue})) == SIGN_IN | IAM_CHANGE
    assert _matching(_event("sqs", "TagQueue", {"queueUrl": f"{queue}-other"})) == set()


@pytest.mark.parametrize(("service", "name", "parameters"), OTHERS)
def test_what_happens_to_other_peoples_resources_matches_no_rule(
    service: str, name: str, parameters: dict[str, Any]
) -> None:
    # The bus has one policy, and a role's type of policy one switch: those are looked at by code.
    if name not in {"RemovePermission", "DisablePolicyType"} and parameters.get("policyArn") != (
        DELIVERY
    ):
        found = _matching(_event(service, name, parameters))
        assert found == set() or (service, name) == ("lambda", "UpdateFunctionCode20150331v2")


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(_event("signin", "CheckMfa"), id="the MFA prompt is no sign-in"),
        pytest.param(_event("signin", "UserAuthentication"), id="sign-in to the SSO portal"),
        pytest.param(_event("signin", "CredentialVerification"), id="step of the SSO portal"),
        pytest.param(_event("signin", "ExitRole"), id="leaving a role"),
        pytest.param(
            {
                "source": "aws.signin",
                "detail-type": "Sign-in Anomaly Alert",
                "detail": {"eventName": "ConsoleLogin"},
            },
            id="an event of the sign-in service itself",
        ),
        pytest.param(
            _event("signin", "ConsoleLogin") | {"source": "custom.signin"}, id="not from AWS"
        ),
        pytest.param(
            _event("sso", "DeleteMfaDeviceForUser"), id="a device of Identity Center's own"
        ),
        pytest.param(
            _event("cognito-idp", "DeleteUser", {"userName": "ana"}),
            id="same call of another service",
        ),
        pytest.param(
            _event("iam", "DeleteUser", eventSource="sso-directory.amazonaws.com"),
            id="same call, another event source",
        ),
        pytest.param(_event("iam", "ListMFADevices", {"userName": "ana"}), id="a read call"),
        pytest.param(_event("iam", "GetUser", {"userName": "ana"}), id="our own read call"),
        pytest.param(_event("iam", "CreateVirtualMFADevice"), id="a device nobody has yet"),
        pytest.param(_event("iam", "CreateAccessKey", {"userName": "ana"}), id="an access key"),
        pytest.param(_event("iam", "TagRole", {"roleName": "ops"}), id="a role's tags"),
        pytest.param(
            _event("iam", "DetachUserPolicy", {"policyArn": "arn:aws:iam::aws:policy/ReadOnly"}),
            id="another policy detached",
        ),
        pytest.param(
            _event("iam", "DeletePolicy", {"policyArn": GUARD.replace(STACK, "orders")}),
            id="the guard policy of another stack",
        ),
        pytest.param(
            _event("events", "DisableRule", {"name": "nightly-backup"}), id="another rule disabled"
        ),
        pytest.param(
            _event("sqs", "PurgeQueue", {"queueUrl": "https://sqs/111122223333/orders"}),
            id="another queue purged",
        ),
        pytest.param(_event("cloudtrail", "StartLogging"), id="a trail started"),
        pytest.param(_event("cloudtrail", "LookupEvents"), id="a trail read"),
    ],
)
def test_look_alike_matches_no_rule(event: dict[str, Any]) -> None:
    assert _matching(event) == set()


@pytest.mark.parametrize("name", TARGETS)
def test_rule_hands_over_for_a_day_and_keeps_what_it_cannot(name: str) -> None:
    dead_letters = {
        TEMPLATE.resolve({"Fn::GetAtt": [queue, "Arn"]})
        for queue in TEMPLATE.of_type("AWS::SQS::Queue")
        if queue.endswith("DeadLetters")
    }
    for target in TARGETS[name]:
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 24 * 3600
        assert target["DeadLetterConfig"]["Arn"] in dead_letters


def _report(kind: str = "Email Bounced", configuration_set: str = "") -> dict[str, Any]:
    """A report of SES's, with as much as a pattern may look at."""
    ours = TEMPLATE.resolve({"Ref": "MailConfigurationSet"})
    tags = {"ses:configuration-set": [configuration_set or ours]}
    return {"source": "aws.ses", "detail-type": kind, "detail": {"mail": {"tags": tags}}}


@pytest.mark.parametrize("kind", DETAIL_TYPES.values())
def test_every_report_about_our_mails_that_is_read_is_caught(kind: str) -> None:
    assert _matching(_report(kind)) == MAIL_FEEDBACK


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(_report("Email Opened"), id="a report that we do not ask for"),
        pytest.param(_report(configuration_set="newsletter"), id="another set"),
        pytest.param(_report() | {"source": "custom.ses"}, id="not from AWS"),
        pytest.param(
            {"source": "aws.ses", "detail-type": "Email Bounced", "detail": {"mail": {"tags": {}}}},
            id="no set",
        ),
    ],
)
def test_report_about_no_mail_of_ours_is_left_alone(event: dict[str, Any]) -> None:
    assert _matching(event) == set()


def test_ses_reports_to_the_default_bus_what_the_rule_asks_for() -> None:
    destination = TEMPLATE.resolve(TEMPLATE.properties("MailEvents"))["EventDestination"]
    assert destination["EventBridgeDestination"]["EventBusArn"].endswith(":event-bus/default")
    asked = TEMPLATE.properties("MailFeedbackRule")["EventPattern"]["detail-type"]
    assert sorted(asked) == sorted(DETAIL_TYPES.values())
    kinds = {kind[0].lower() + kind[1:] for kind in DETAIL_TYPES}
    assert set(destination["MatchingEventTypes"]) == kinds
