"""What a record means: each signal, its look-alikes, and that no record breaks it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.events.signals import (
    IAM_CALLS,
    Outcome,
    Signal,
    SignalKind,
    classify,
)
from mfa_watcher.domain.events.tampering import Part, Watcher
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_record
from tests.support.tampering import CASES, IDS, KEY_ID, OTHERS, OURS, QUEUE, TRAIL, Case

ACCOUNT = "111122223333"
VIRTUAL = f"arn:aws:iam::{ACCOUNT}:mfa/alice-phone"
FIDO = f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/blue-key-GZXQ4T2VKYAEXAMPLE"
ROOT_DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"
GUARD = f"arn:aws:iam::{ACCOUNT}:policy/mfa-watcher-guard"

ALICE = {
    "type": "IAMUser",
    "principalId": "AIDAEXAMPLEALICE00001",
    "arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
    "accountId": ACCOUNT,
    "userName": "alice",
}
BOB = ALICE | {
    "principalId": "AIDAEXAMPLEBOB0000001",
    "arn": f"arn:aws:iam::{ACCOUNT}:user/bob",
    "userName": "bob",
}
CAROL = {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLEADMIN00001:carol",
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Administrator/carol",
    "accountId": ACCOUNT,
    "sessionContext": {
        "sessionIssuer": {
            "type": "Role",
            "arn": f"arn:aws:iam::{ACCOUNT}:role/Administrator",
            "userName": "Administrator",
        }
    },
}
ROOT = {
    "type": "Root",
    "principalId": ACCOUNT,
    "arn": f"arn:aws:iam::{ACCOUNT}:root",
    "accountId": ACCOUNT,
}


def record(name: str, who: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return an IAM call that succeeded, by alice, with these fields changed."""
    return {
        "eventVersion": "1.11",
        "userIdentity": ALICE if who is None else who,
        "eventTime": "2026-11-24T08:05:30Z",
        "eventSource": "iam.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "requestParameters": None,
        "responseElements": None,
        "eventID": "6a80435b-7ba9-543f-8a15-f372569b0aa9",
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
    } | fields


def sign_in(who: dict[str, Any] | None = None, mfa: Any = "No", **fields: Any) -> dict[str, Any]:
    return record(
        "ConsoleLogin",
        who,
        **{
            "eventSource": "signin.amazonaws.com",
            "eventType": "AwsConsoleSignIn",
            "responseElements": {"ConsoleLogin": "Success"},
            "additionalEventData": {"MobileVersion": "No", "MFAUsed": mfa},
        }
        | fields,
    )


def denied(
    name: str, who: dict[str, Any], clause: str, code: str = "AccessDenied"
) -> dict[str, Any]:
    text = f"User: {who['arn']} is not authorized to perform: iam:{name}{clause}"
    return record(name, who, errorCode=code, errorMessage=text)


def signal(raw: object) -> Signal:
    return classify(parse_record(raw))


# Sign-ins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mfa", ["Yes", "YES", "yes"])
@pytest.mark.parametrize(("who", "subject"), [(ALICE, "alice"), (ROOT, "root")])
def test_mfa_used_counts_in_any_case(who: dict[str, Any], subject: str, mfa: str) -> None:
    found = signal(sign_in(who, mfa))

    assert (found.kind, found.subject) == (SignalKind.SIGN_IN_WITH_MFA, subject)


@pytest.mark.parametrize("mfa", ["No", "NO", "no", "", "Maybe", None, False, True, 1, ["Yes"]])
@pytest.mark.parametrize(("who", "subject"), [(ALICE, "alice"), (ROOT, "root")])
def test_whatever_is_not_yes_is_a_sign_in_without_mfa(
    who: dict[str, Any], subject: str, mfa: object
) -> None:
    found = signal(sign_in(who, mfa))

    assert (found.kind, found.subject) == (SignalKind.SIGN_IN_WITHOUT_MFA, subject)


@pytest.mark.parametrize("additional", [None, {}, "none", [], {"LoginTo": "https://x"}])
def test_a_sign_in_without_the_mfa_field_counts_as_without_mfa_and_why_says_so(
    additional: object,
) -> None:
    found = signal(sign_in(additionalEventData=additional))

    assert found.kind is SignalKind.SIGN_IN_WITHOUT_MFA
    assert "no MFAUsed" in found.why


@pytest.mark.parametrize("event_type", ["AwsConsoleSignIn", "AwsConsoleSignin", None, 7])
def test_event_type_does_not_change_the_signal(event_type: object) -> None:
    assert signal(sign_in(eventType=event_type)).kind is SignalKind.SIGN_IN_WITHOUT_MFA


@pytest.mark.parametrize("region", ["global", "ap-southeast-2", "eu-west-2r", None, {}])
def test_region_does_not_change_the_signal(region: object) -> None:
    assert signal(sign_in(awsRegion=region)).kind is SignalKind.SIGN_IN_WITHOUT_MFA


def test_the_account_alias_is_not_taken_for_the_root_users_name() -> None:
    found = signal(sign_in(ROOT | {"userName": "acme-prod"}))

    assert (found.subject, found.root, found.subject_is_root) == ("root", True, True)


def test_an_iam_user_called_root_is_not_root() -> None:
    found = signal(sign_in(ALICE | {"userName": "root"}))

    assert (found.subject, found.root, found.subject_is_root) == ("root", False, False)


@pytest.mark.parametrize("mfa", ["No", "Yes"])
@pytest.mark.parametrize(
    "kind", ["AssumedRole", "FederatedUser", "SAMLUser", "IdentityCenterUser", "Unknown", None]
)
def test_a_sign_in_through_an_identity_provider_is_not_judged(kind: str | None, mfa: str) -> None:
    found = signal(sign_in(CAROL | {"type": kind}, mfa))

    assert found.kind is SignalKind.SIGN_IN_NOT_JUDGED
    assert found.subject is None
    assert "not meaningful" in found.why


@pytest.mark.parametrize("answer", ["Failure", "failure", "FAILURE"])
def test_a_failed_sign_in_is_recognised_by_the_response_not_by_an_error_code(answer: str) -> None:
    found = signal(
        sign_in(
            responseElements={"ConsoleLogin": answer},
            errorMessage="Failed authentication",
            mfa="Yes",
        )
    )

    assert (found.kind, found.subject) == (SignalKind.SIGN_IN_FAILED, "alice")
    assert "Failed authentication" in found.why


def test_a_failed_sign_in_without_a_reason_is_a_failed_sign_in() -> None:
    found = signal(sign_in(responseElements={"ConsoleLogin": "Failure"}))

    assert found.kind is SignalKind.SIGN_IN_FAILED


def test_a_sign_in_denied_by_policy_is_a_failed_one() -> None:
    found = signal(
        sign_in(
            responseElements=None,
            errorCode="AccessDenied",
            errorMessage="Authorization denied because of a resource-based policy",
        )
    )

    assert found.kind is SignalKind.SIGN_IN_FAILED


def test_an_unknown_user_has_no_name() -> None:
    hidden = {
        "type": "IAMUser",
        "accountId": ACCOUNT,
        "accessKeyId": "",
        "userName": "HIDDEN_DUE_TO_SECURITY_REASONS",
    }
    found = signal(
        sign_in(
            hidden,
            responseElements={"ConsoleLogin": "Failure"},
            errorMessage="No username found in supplied account",
        )
    )

    assert (found.kind, found.subject) == (SignalKind.SIGN_IN_FAILED, None)


@pytest.mark.parametrize("answer", [None, {}, {"ConsoleLogin": None}, {"ConsoleLogin": "..."}])
def test_a_sign_in_without_a_response_is_ignored(answer: object) -> None:
    assert signal(sign_in(responseElements=answer)).kind is SignalKind.IGNORED


@pytest.mark.parametrize(
    "name",
    [
        "CheckMfa",
        "CredentialChallenge",
        "CredentialVerification",
        "UserAuthentication",
        "SwitchRole",
        "GetSigninToken",
        "PasswordUpdated",
        "ExternalIdPDirectoryLogin",
        "NonConsoleLogin",
        "consolelogin",
    ],
)
def test_other_events_of_the_sign_in_service_are_no_sign_ins(name: str) -> None:
    assert signal(sign_in(eventName=name)).kind is SignalKind.IGNORED


# Removals ---------------------------------------------------------------------------------------


def test_a_deactivation_is_a_removal_of_the_user_in_the_request() -> None:
    found = signal(
        record(
            "DeactivateMFADevice",
            CAROL,
            requestParameters={"userName": "alice", "serialNumber": VIRTUAL},
        )
    )

    assert (found.kind, found.outcome) == (SignalKind.DEVICE_REMOVAL, Outcome.SUCCEEDED)
    assert (found.subject, found.serial) == ("alice", VIRTUAL)
    assert not found.subject_acted


def test_the_user_in_the_request_is_preferred_to_the_serial_number_and_the_caller() -> None:
    found = signal(
        record(
            "DeactivateMFADevice", BOB, requestParameters={"userName": "dave", "serialNumber": FIDO}
        )
    )

    assert found.subject == "dave"


@pytest.mark.parametrize(
    ("serial", "subject"),
    [
        (FIDO, "alice"),
        (FIDO.replace("arn:aws:", "arn:aws-us-gov:"), "alice"),
        (ROOT_DEVICE, "root"),
        (VIRTUAL, "bob"),
        (f"arn:aws:iam::{ACCOUNT}:mfa/alice", "bob"),
        ("GAKT12345678", "bob"),
        (None, "bob"),
    ],
)
def test_a_removal_that_names_nobody_is_about_the_serials_owner_or_else_the_caller(
    serial: str | None, subject: str
) -> None:
    found = signal(record("DeactivateMFADevice", BOB, requestParameters={"serialNumber": serial}))

    assert found.subject == subject


def test_a_deleted_virtual_device_is_a_removal_by_its_caller() -> None:
    found = signal(
        record("DeleteVirtualMFADevice", ALICE, requestParameters={"serialNumber": VIRTUAL})
    )

    assert (found.kind, found.outcome) == (SignalKind.DEVICE_REMOVAL, Outcome.SUCCEEDED)
    assert (found.subject, found.serial) == ("alice", VIRTUAL)


def test_a_role_that_deletes_a_virtual_device_leaves_its_user_unknown() -> None:
    found = signal(
        record("DeleteVirtualMFADevice", CAROL, requestParameters={"serialNumber": VIRTUAL})
    )

    assert found.subject is None
    assert found.serial == VIRTUAL
    assert "names no user" in found.why


def test_roots_own_device_is_roots_under_the_name_that_iam_writes() -> None:
    found = signal(
        record(
            "DeactivateMFADevice",
            ROOT,
            requestParameters={"userName": "AWS ROOT USER", "serialNumber": ROOT_DEVICE},
        )
    )

    assert (found.subject, found.root, found.subject_is_root) == ("root", True, True)


def test_a_root_session_of_the_management_account_names_nobody_and_is_root() -> None:
    found = signal(
        record("DeactivateMFADevice", ROOT, requestParameters={"serialNumber": ROOT_DEVICE})
    )

    assert (found.subject, found.root) == ("root", True)


@pytest.mark.parametrize(
    "code", ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"]
)
@pytest.mark.parametrize("name", ["DeactivateMFADevice", "DeleteVirtualMFADevice"])
def test_a_removal_is_denied_however_the_code_is_spelled(name: str, code: str) -> None:
    found = signal(denied(name, BOB, " on resource: user alice because no", code))

    assert (found.kind, found.outcome) == (SignalKind.DEVICE_REMOVAL, Outcome.DENIED)
    assert (found.subject, found.subject_acted) == ("alice", False)


def test_a_denial_that_kept_its_parameters_is_read_from_them() -> None:
    raw = denied("DeactivateMFADevice", BOB, " on resource: user alice because no")
    found = signal(raw | {"requestParameters": {"userName": "dave", "serialNumber": VIRTUAL}})

    assert (found.subject, found.serial) == ("dave", VIRTUAL)


@pytest.mark.parametrize(
    ("clause", "serial"),
    [
        (" on resource: user  because no identity-based policy allows it", None),
        (" on resource: * with an explicit deny in a service control policy", None),
        (f" with an explicit deny in an identity-based policy: {GUARD}", None),
        (f" on resource: {VIRTUAL} with an explicit deny in a permissions boundary", VIRTUAL),
    ],
)
def test_a_denial_that_names_nobody_is_about_the_caller(clause: str, serial: str | None) -> None:
    found = signal(denied("DeactivateMFADevice", ALICE, clause))

    assert (found.subject, found.serial, found.subject_acted) == ("alice", serial, True)


def test_the_mfa_session_text_is_about_the_caller() -> None:
    text = (
        "To complete this action, please ensure that you are authenticated with an MFA device"
        " that is enabled for this user."
    )
    found = signal(
        record("DeactivateMFADevice", ALICE, errorCode="AccessDenied", errorMessage=text)
    )

    assert (found.outcome, found.subject) == (Outcome.DENIED, "alice")


def test_a_denied_role_that_names_nobody_leaves_the_user_unknown() -> None:
    found = signal(denied("DeactivateMFADevice", CAROL, " on resource: * with an explicit deny"))

    assert (found.outcome, found.subject) == (Outcome.DENIED, None)


def test_root_denied_by_an_scp_is_root() -> None:
    found = signal(
        denied("DeactivateMFADevice", ROOT, " on resource: * with an explicit deny in a service")
    )

    assert (found.subject, found.subject_is_root) == ("root", True)


@pytest.mark.parametrize("message", [None, "", 7, {}])
def test_a_denial_without_a_text_is_about_the_caller(message: object) -> None:
    found = signal(
        record("DeactivateMFADevice", ALICE, errorCode="AccessDenied", errorMessage=message)
    )

    assert (found.outcome, found.subject) == (Outcome.DENIED, "alice")


def test_a_denial_cut_before_the_name_has_no_subject() -> None:
    who = ALICE | {"arn": f"arn:aws:iam::{ACCOUNT}:user/{'x' * 900}/alice"}
    raw = denied("DeactivateMFADevice", who, " on resource: user bob")
    found = signal(raw | {"errorMessage": raw["errorMessage"][:1024]})

    assert (found.outcome, found.subject) == (Outcome.DENIED, None)
    assert "cut" in found.why


@pytest.mark.parametrize(
    "code",
    [
        "NoSuchEntityException",
        "NoSuchEntity",
        "EntityTemporarilyUnmodifiableException",
        "Throttling",
    ],
)
def test_a_removal_that_failed_for_another_reason_says_which(code: str) -> None:
    found = signal(
        record(
            "DeactivateMFADevice",
            CAROL,
            errorCode=code,
            errorMessage="It did not work.",
            requestParameters={"userName": "alice", "serialNumber": VIRTUAL},
        )
    )

    assert (found.outcome, found.subject) == (Outcome.FAILED, "alice")
    assert code in found.why


def test_the_subject_is_compared_with_the_caller_without_regard_to_case() -> None:
    found = signal(record("DeactivateMFADevice", ALICE, requestParameters={"userName": "Alice"}))

    assert found.subject_acted


# Other changes ----------------------------------------------------------------------------------

CHANGES: list[tuple[str, dict[str, Any] | None, SignalKind, str | None]] = [
    (
        "EnableMFADevice",
        {"userName": "dave", "serialNumber": VIRTUAL},
        SignalKind.DEVICE_ENABLED,
        "dave",
    ),
    ("EnableMFADevice", {"serialNumber": FIDO}, SignalKind.DEVICE_ENABLED, "alice"),
    (
        "ResyncMFADevice",
        {"userName": "dave", "serialNumber": VIRTUAL},
        SignalKind.DEVICE_RESYNCED,
        "dave",
    ),
    ("CreateLoginProfile", {"userName": "dave"}, SignalKind.CONSOLE_ACCESS_GRANTED, "dave"),
    ("DeleteLoginProfile", {"userName": "dave"}, SignalKind.CONSOLE_ACCESS_REMOVED, "dave"),
    ("DeleteLoginProfile", None, SignalKind.CONSOLE_ACCESS_REMOVED, "bob"),
    ("UpdateLoginProfile", {"userName": "dave"}, SignalKind.PASSWORD_CHANGED, "dave"),
    ("ChangePassword", None, SignalKind.PASSWORD_CHANGED, "bob"),
    ("CreateUser", {"userName": "dave"}, SignalKind.USER_CREATED, "dave"),
    ("DeleteUser", {"userName": "dave"}, SignalKind.USER_DELETED, "dave"),
    ("TagUser", {"userName": "dave", "tags": []}, SignalKind.USER_TAGGED, "dave"),
    ("UntagUser", {"userName": "dave", "tagKeys": ["x"]}, SignalKind.USER_TAGGED, "dave"),
    (
        "UpdateUser",
        {"userName": "dave", "newUserName": "david"},
        SignalKind.USER_RENAMED,
        "dave",
    ),
    (
        "UpdateAccountPasswordPolicy",
        {"minimumPasswordLength": 6},
        SignalKind.PASSWORD_POLICY_CHANGED,
        None,
    ),
    ("DeleteAccountPasswordPolicy", None, SignalKind.PASSWORD_POLICY_CHANGED, None),
]
CHANGE_NAMES = sorted(IAM_CALLS - {"DeactivateMFADevice", "DeleteVirtualMFADevice"})


@pytest.mark.parametrize(
    ("name", "parameters", "kind", "subject"),
    CHANGES,
    ids=[f"{name}, {parameters}" for name, parameters, _, _ in CHANGES],
)
def test_change_is_a_signal_about_its_user(
    name: str, parameters: dict[str, Any] | None, kind: SignalKind, subject: str | None
) -> None:
    found = signal(record(name, BOB, requestParameters=parameters))

    assert (found.kind, found.subject, found.outcome) == (kind, subject, None)


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchEntityException", "Throttling"])
@pytest.mark.parametrize("name", CHANGE_NAMES)
def test_change_that_did_not_succeed_is_ignored_but_names_its_user(name: str, code: str) -> None:
    found = signal(record(name, BOB, requestParameters={"userName": "dave"}, errorCode=code))

    assert (found.kind, found.subject) == (SignalKind.IGNORED, "dave")
    assert code in found.why


@pytest.mark.parametrize("name", CHANGE_NAMES)
@pytest.mark.parametrize(
    "service", ["cognito-idp", "identitystore", "sso", "sso-directory", "rds", "transfer"]
)
def test_change_of_the_same_name_elsewhere_is_ignored(name: str, service: str) -> None:
    raw = record(
        name,
        BOB,
        requestParameters={"userName": "dave", "newUserName": "david"},
        eventSource=f"{service}.amazonaws.com",
    )

    assert signal(raw).kind is SignalKind.IGNORED


@pytest.mark.parametrize("source", ["cognito-idp.amazonaws.com", "sso-directory.amazonaws.com"])
@pytest.mark.parametrize("name", ["DeactivateMFADevice", "DeleteVirtualMFADevice", "ConsoleLogin"])
def test_removal_or_sign_in_of_the_same_name_elsewhere_is_ignored(name: str, source: str) -> None:
    assert signal(sign_in(eventName=name, eventSource=source)).kind is SignalKind.IGNORED


@pytest.mark.parametrize(
    "name",
    [
        "CreateVirtualMFADevice",
        "ListMFADevices",
        "GetLoginProfile",
        "AddUserToGroup",
        "TagMFADevice",
        "deactivatemfadevice",
        "DeactivateMfaDevice",
    ],
)
def test_other_iam_calls_are_ignored(name: str) -> None:
    assert signal(record(name)).kind is SignalKind.IGNORED


def test_the_created_user_is_the_one_in_iams_response() -> None:
    found = signal(
        record(
            "CreateUser",
            CAROL,
            requestParameters={"userName": "Dave"},
            responseElements={"user": {"userName": "dave", "userId": "AIDAEXAMPLEDAVE000001"}},
        )
    )

    assert found.subject == "dave"
    assert found.record.response_user_id == "AIDAEXAMPLEDAVE000001"


def test_access_granted_without_a_name_is_granted_to_the_user_in_iams_response() -> None:
    found = signal(
        record(
            "CreateLoginProfile",
            ALICE,
            responseElements={"loginProfile": {"userName": "dave", "passwordResetRequired": True}},
        )
    )

    assert found.subject == "dave"


@pytest.mark.parametrize(("written", "read"), [(True, True), ("false", False), ("maybe", None)])
def test_a_flag_is_read_as_boolean_or_as_text(written: object, read: bool | None) -> None:  # noqa: FBT001 - a table's value
    found = signal(
        record(
            "CreateLoginProfile",
            responseElements={"loginProfile": {"passwordResetRequired": written}},
        )
    )

    assert found.record.password_reset_required is read


def test_a_change_of_the_path_is_no_rename() -> None:
    found = signal(
        record("UpdateUser", CAROL, requestParameters={"userName": "dave", "newPath": "/staff/"})
    )

    assert (found.kind, found.subject) == (SignalKind.IGNORED, "dave")


# Who watches the watcher ------------------------------------------------------------------------

cases = pytest.mark.parametrize("case", CASES, ids=IDS)


def test_each_kind_of_tampering_has_a_meaning_and_a_remedy() -> None:
    assert {case.part for case in CASES} == set(Part)


@cases
def test_tampering_with_the_watcher_is_recognised(case: Case) -> None:
    found = signal_of(case.record)

    assert found.kind is SignalKind.WATCHER_DISTURBED
    assert found.tampering
    assert (found.tampering.part, found.tampering.denied) == (case.part, False)
    assert all(found.tampering.advice)
    assert found.subject is None
    assert found.outcome is None


@cases
def test_a_denied_attempt_at_tampering_is_recognised_by_the_denials_text(
    case: Case,
) -> None:
    found = signal_of(case.denied)

    assert found.kind is SignalKind.WATCHER_DISTURBED
    assert found.tampering
    assert found.tampering.denied
    assert "which was denied" in found.why
    assert found.outcome is None


@cases
def test_tampering_that_failed_is_ignored(case: Case) -> None:
    found = signal_of({**case.record, "errorCode": "ResourceNotFoundException"})

    assert found.kind is SignalKind.IGNORED
    assert "nothing changed" in found.why


@cases
def test_a_denied_call_on_somebody_elses_resource_is_ignored(case: Case) -> None:
    if not case.resource:
        return  # its text names nobody's
    message = case.denied["errorMessage"].replace("mfa-watcher", "orders").replace(KEY_ID, "9-9")
    found = signal_of({**case.denied, "errorMessage": message})

    # Of a trail nobody can say whether it is the one that feeds the watcher.
    of_a_trail = case.part is Part.TRAIL
    expected = SignalKind.WATCHER_DISTURBED if of_a_trail else SignalKind.IGNORED
    of_the_guard = case.name.startswith("Detach")  # its text names no policy
    assert found.kind is expected or of_the_guard


@pytest.mark.parametrize(
    ("service", "name"),
    [("iam", "DetachUserPolicy"), ("lambda", "UpdateEventSourceMapping20150331")],
)
def test_a_denial_without_a_resource_is_tampering_only_if_a_policy_denied_it_explicitly(
    service: str, name: str
) -> None:
    denied = Case(service, name, Part.GUARD).denied
    none_allowed = denied["errorMessage"].replace("with an explicit deny", "because no policy")

    assert signal_of(denied).kind is SignalKind.WATCHER_DISTURBED
    assert signal_of({**denied, "errorMessage": none_allowed}).kind is SignalKind.IGNORED


@pytest.mark.parametrize(("service", "name", "parameters"), OTHERS)
def test_changes_of_other_resources_are_ignored(
    service: str, name: str, parameters: dict[str, Any]
) -> None:
    assert tampering(service, name, parameters).kind is SignalKind.IGNORED


@pytest.mark.parametrize(
    ("service", "name", "parameters"),
    [
        ("events", "DisableRule", None),
        ("lambda", "StopLogging", {"name": TRAIL}),
        ("cloudtrail", "StartLogging", {"name": TRAIL}),
        ("sqs", "TagQueue", {"queueUrl": QUEUE}),
        ("kms", "DisableKey", {"keyId": 7}),
    ],
)
def test_a_call_that_is_no_tampering_is_ignored(
    service: str, name: str, parameters: dict[str, Any] | None
) -> None:
    assert tampering(service, name, parameters).kind is SignalKind.IGNORED


@pytest.mark.parametrize("part", [Part.KEY, Part.SCP])
def test_a_part_without_a_name_is_recognised_only_by_its_id(part: Part) -> None:
    for case in CASES:
        if case.part is part:
            assert classify(parse_record(record("x") | case.record)).kind is SignalKind.IGNORED


def test_the_canary_is_recognised_and_is_no_signal() -> None:
    found = tampering("sqs", "TagQueue", {"queueUrl": QUEUE, "tags": {"a": "b"}})

    assert found.kind is SignalKind.IGNORED
    assert "canary" in found.why


def signal_of(call: dict[str, Any]) -> Signal:
    return classify(parse_record(record("x", CAROL) | call), OURS)


def tampering(service: str, name: str, parameters: dict[str, Any] | None) -> Signal:
    source = f"{service}.amazonaws.com"
    return signal_of({"eventSource": source, "eventName": name, "requestParameters": parameters})


def test_a_watcher_with_another_name_recognises_its_own_resources() -> None:
    raw = record(
        "DisableRule",
        CAROL,
        eventSource="events.amazonaws.com",
        requestParameters={"name": "Security-Watch-SignInRule-1A2B3C"},
    )

    assert (
        classify(parse_record(raw), Watcher("security-watch")).kind is SignalKind.WATCHER_DISTURBED
    )
    assert classify(parse_record(raw), Watcher("mfa-watcher")).kind is SignalKind.IGNORED


# Any record at all ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "ConsoleLogin",
        "DeactivateMFADevice",
        "DeleteVirtualMFADevice",
        *(name for name, *_ in CHANGES),
        *(case.name for case in CASES),
    ]
)
SOURCES = st.sampled_from(
    ["iam", "signin", "cognito-idp", *sorted({case.service for case in CASES})],
).map(lambda service: f"{service}.amazonaws.com")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["Success", "Failure", "Yes", "Root", "IAMUser", VIRTUAL, FIDO, GUARD, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "userName",
        "newUserName",
        "serialNumber",
        "policyArn",
        "name",
        "rule",
        "trailName",
        "queueUrl",
        "functionName",
        "alarmNames",
        "keyId",
        "policyType",
        "ConsoleLogin",
        "MFAUsed",
        "loginProfile",
        "user",
        "userId",
        "passwordResetRequired",
        "type",
        "arn",
        "principalId",
        "accountId",
        "sessionContext",
        "sessionIssuer",
    ]
)
PARTS = JSON | st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON, max_size=4), max_size=6)
RECORDS = st.fixed_dictionaries(
    {"eventName": NAMES | JSON, "eventSource": SOURCES | JSON},
    optional={
        "userIdentity": PARTS,
        "requestParameters": PARTS,
        "responseElements": PARTS,
        "additionalEventData": PARTS,
        "errorCode": st.sampled_from(["AccessDenied", "NoSuchEntity"]) | JSON,
        "errorMessage": JSON,
        "eventID": JSON,
        "eventTime": st.datetimes().map(str) | JSON,
        "recipientAccountId": JSON,
        "sourceIPAddress": JSON,
        "userAgent": JSON,
    },
)


@given(JSON)
def test_any_json_value_has_a_meaning_and_a_reason(raw: object) -> None:
    found = signal(raw)

    assert found.kind in SignalKind
    assert found.why


@given(RECORDS)
def test_any_record_has_a_meaning_and_a_reason(raw: dict[str, Any]) -> None:
    found = signal(raw)

    assert found.kind in SignalKind
    assert found.why
    assert (found.outcome is None) is (found.kind is not SignalKind.DEVICE_REMOVAL)
    assert (found.tampering is None) is (found.kind is not SignalKind.WATCHER_DISTURBED)
    assert found.subject is None or found.subject


@given(RECORDS)
def test_the_same_record_means_the_same_each_time(raw: dict[str, Any]) -> None:
    assert signal(raw) == signal(raw)
