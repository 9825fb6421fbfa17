"""The sandbox's records against captured ones, and against the product that reads them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mfa_watcher.domain.events.signals import classify
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_event
from sandbox import records
from sandbox.records import Json

ACCOUNT = "111122223333"
CAROL = records.Caller(
    kind="IAMUser",
    arn=f"arn:aws:iam::{ACCOUNT}:user/carol",
    principal_id="AIDACAROLCAROLCAROL1",
    account_id=ACCOUNT,
    access_key_id="AKIACAROLCAROLCAROL1",
    user_name="carol",
)
REMOVAL = records.Call(
    event_source="iam.amazonaws.com",
    event_name="DeactivateMFADevice",
    region="us-east-1",
    at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
    source_ip="203.0.113.23",
    user_agent="aws-cli/2.33.0",
    parameters={"userName": "carol", "serialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/phone"},
)
DENIED = replace(
    REMOVAL,
    error_code="AccessDenied",
    error_message=(
        f"User: {CAROL.arn} is not authorized to perform: iam:DeactivateMFADevice on resource: "
        f"user carol with an explicit deny in an identity-based policy: "
        f"arn:aws:iam::{ACCOUNT}:policy/guard"
    ),
)
SIGN_IN = records.SignIn(
    account_id=ACCOUNT,
    region="us-east-1",
    at=REMOVAL.at,
    source_ip="203.0.113.23",
    user_agent="Mozilla/5.0",
    user_name="carol",
    user_id="AIDACAROLCAROLCAROL1",
)
CAPTURED = Path(__file__).parents[3] / "shared" / "cloudtrail" / "records.jsonl"


def signal_of(record: Json) -> tuple[str, str | None, str | None]:
    envelope = {
        "version": "0",
        "id": "0",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.iam",
        "account": ACCOUNT,
        "time": record["eventTime"],
        "region": "us-east-1",
        "resources": [],
        "detail": record,
    }
    signal = classify(parse_event(json.dumps(envelope)).record)
    return signal.kind.value, signal.outcome.value if signal.outcome else None, signal.subject


def test_denied_call_loses_its_parameters() -> None:
    record = records.api_call(CAROL, DENIED)
    assert record["requestParameters"] is None
    assert record["responseElements"] is None
    assert signal_of(record) == ("device_removal", "denied", "carol")


def test_failed_call_keeps_its_parameters_and_has_the_code_of_records() -> None:
    record = records.api_call(CAROL, replace(REMOVAL, error_code="NoSuchEntity"))
    assert record["requestParameters"] == REMOVAL.parameters
    assert record["errorCode"] == "NoSuchEntityException"
    assert signal_of(record) == ("device_removal", "failed", "carol")


@pytest.mark.parametrize(
    ("attempt", "signal"),
    [
        (SIGN_IN, "sign_in_without_mfa"),
        (replace(SIGN_IN, device=f"arn:aws:iam::{ACCOUNT}:mfa/phone"), "sign_in_with_mfa"),
        (replace(SIGN_IN, user_name="", user_id=""), "sign_in_without_mfa"),
        (replace(SIGN_IN, succeeded=False), "sign_in_failed"),
        (replace(SIGN_IN, user_id="", succeeded=False), "sign_in_failed"),
    ],
    ids=["without MFA", "with MFA", "root", "wrong password", "unknown user"],
)
def test_sign_in_reads_as_what_it_is(attempt: records.SignIn, signal: str) -> None:
    assert signal_of(records.sign_in(attempt))[0] == signal


def test_unknown_user_is_not_named() -> None:
    record = records.sign_in(replace(SIGN_IN, user_id="", succeeded=False))
    assert record["userIdentity"]["userName"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert not {"arn", "principalId"} & record["userIdentity"].keys()


def test_role_session_is_told_with_its_issuer() -> None:
    issuer = records.Issuer("admin", "AROAADMIN", f"arn:aws:iam::{ACCOUNT}:role/admin")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/olivia"
    session = records.Session(REMOVAL.at)
    olivia = replace(CAROL, kind="AssumedRole", arn=arn, session=session, issuer=issuer)
    identity = records.user_identity(replace(olivia, user_name=""))
    assert "userName" not in identity
    assert identity["sessionContext"]["sessionIssuer"]["userName"] == "admin"
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"


def test_users_session_with_mfa_is_told_as_such() -> None:
    session = records.Session(REMOVAL.at, with_mfa=True)
    identity = records.user_identity(replace(CAROL, session=session))
    assert identity["userName"] == CAROL.user_name
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "true"


@pytest.mark.skipif(not CAPTURED.exists(), reason="the captured records are not on this machine")
@pytest.mark.parametrize(
    "record",
    [records.api_call(CAROL, DENIED), records.api_call(CAROL, REMOVAL), records.sign_in(SIGN_IN)],
    ids=["denied", "allowed", "sign-in"],
)
def test_record_has_no_element_that_captured_ones_lack(record: Json) -> None:
    captured = [
        json.loads(line)["record"]
        for line in CAPTURED.read_text().splitlines()
        if json.loads(line)["kind"] == "real"
    ]
    alike = [one for one in captured if one.get("eventSource") == record["eventSource"]]
    assert set(record) <= {element for one in alike for element in one}
    assert set(record["userIdentity"]) <= {name for one in alike for name in one["userIdentity"]}
