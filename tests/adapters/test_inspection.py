"""How AWS's answers are read for the checkup: those that the emulated account does not give."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from mfa_watcher.adapters.inspection import BotoInspector
from mfa_watcher.domain.health.readings import DeniedCall, Selector
from mfa_watcher.ports.errors import InspectionError, MissingPermissionError
from tests.support.builders import ACCOUNT

ARN = f"arn:aws:iam::{ACCOUNT}:user/staff/bob"


@pytest.fixture
def iam() -> Any:
    return boto3.client("iam", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106


def simulated(iam: Any, *, users_change: bool, **result: object) -> list[DeniedCall] | None:
    """Return what is made of one result of a simulation."""
    user = {"Path": "/staff/", "UserName": "bob", "UserId": "AIDABOBBOBBOBBOB", "Arn": ARN}
    answer = {"EvalActionName": "iam:ChangePassword", "EvalResourceName": ARN, **result}
    with Stubber(iam) as stub:
        stub.add_response(
            "get_user", {"User": {**user, "CreateDate": "2026-01-01"}}, {"UserName": "bob"}
        )
        stub.add_response(
            "simulate_principal_policy",
            {"EvaluationResults": [answer]},
            {
                "PolicySourceArn": ARN,
                "ActionNames": ["iam:ChangePassword", "iam:GetAccountPasswordPolicy"],
                "ResourceArns": [ARN],
                "ContextEntries": [
                    {
                        "ContextKeyName": "aws:MultiFactorAuthPresent",
                        "ContextKeyType": "boolean",
                        "ContextKeyValues": ["false"],
                    },
                    {
                        "ContextKeyName": "aws:username",
                        "ContextKeyType": "string",
                        "ContextKeyValues": ["bob"],
                    },
                ],
            },
        )
        return BotoInspector(lambda _service, _region=None: iam).denied_password_calls(
            "bob", users_change=users_change
        )


def test_a_call_that_no_policy_of_the_user_allows_may_be_allowed_by_the_account(iam: Any) -> None:
    assert simulated(iam, users_change=True, EvalDecision="implicitDeny") == []
    assert simulated(iam, users_change=False, EvalDecision="implicitDeny") == [
        DeniedCall("bob", "iam:ChangePassword")
    ]


def test_a_call_that_a_policy_denies_cannot_be_allowed_by_the_account(iam: Any) -> None:
    found = simulated(
        iam,
        users_change=True,
        EvalDecision="explicitDeny",
        MatchedStatements=[{"SourcePolicyId": "ForceMfa"}],
    )
    assert found == [DeniedCall("bob", "iam:ChangePassword", "ForceMfa")]


def test_an_organization_that_does_not_allow_it_is_named(iam: Any) -> None:
    found = simulated(
        iam,
        users_change=True,
        EvalDecision="implicitDeny",
        OrganizationsDecisionDetail={"AllowedByOrganizations": False},
    )
    assert found == [DeniedCall("bob", "iam:ChangePassword", "a service control policy")]


def test_a_user_who_is_gone_is_not_asked_about(iam: Any) -> None:
    with Stubber(iam) as stub:
        stub.add_client_error("get_user", "NoSuchEntity")
        inspector = BotoInspector(lambda _service, _region=None: iam)
        assert inspector.denied_password_calls("bob", users_change=True) is None


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("AccessDenied", MissingPermissionError, "iam:GetAccountSummary"),
        ("AccessDeniedException", MissingPermissionError, "iam:GetAccountSummary"),
        ("AuthorizationErrorException", MissingPermissionError, "iam:GetAccountSummary"),
        ("Throttling", InspectionError, "iam:GetAccountSummary: Throttling"),
    ],
)
def test_a_refused_call_is_reported_with_the_missing_permission(
    code: str, error: type[Exception], words: str, iam: Any
) -> None:
    with Stubber(iam) as stub:
        stub.add_client_error("get_account_summary", code)
        with pytest.raises(error) as raised:
            BotoInspector(lambda _service, _region=None: iam).root_user()
    assert str(raised.value) == words
    assert type(raised.value) is error


def test_an_account_summary_without_a_count_assumes_that_root_has_a_password(iam: Any) -> None:
    with Stubber(iam) as stub:
        stub.add_response("get_account_summary", {"SummaryMap": {}})
        assert BotoInspector(lambda _service, _region=None: iam).root_user().password


def test_a_trail_is_read_once_and_in_its_home_region() -> None:
    cloudtrail: Any = boto3.client(
        "cloudtrail",
        "us-east-2",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106
    )
    asked: list[tuple[str, str | None]] = []

    def build(service: str, region: str | None = None) -> Any:
        asked.append((service, region))
        return cloudtrail

    arn = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/main"
    trail = {"Name": "main", "TrailARN": arn, "HomeRegion": "eu-west-1"}
    chosen = [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
        {"Field": "userIdentity.arn", "NotStartsWith": ["arn:aws:sts::1:assumed-role/x"]},
    ]
    selectors = [
        {"FieldSelectors": chosen},
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]},
    ]
    inspector = BotoInspector(build)
    with Stubber(cloudtrail) as stub:
        stub.add_response("describe_trails", {"trailList": [trail]})
        stub.add_response("get_trail_status", {"IsLogging": True}, {"Name": arn})
        stub.add_response(
            "get_event_selectors", {"AdvancedEventSelectors": selectors}, {"TrailName": arn}
        )
        stub.add_response("describe_trails", {"trailList": [trail]})
        [found] = inspector.trails("us-east-2")
        assert inspector.trails("us-east-1") == [found]
    assert found.selectors == (
        Selector(
            writes=True,
            left_out=frozenset({"kms.amazonaws.com"}),
            narrowed_by=("userIdentity.arn",),
        ),
    )
    assert [region for _, region in asked] == ["us-east-2", "eu-west-1", "eu-west-1", "us-east-1"]
