"""Each file under events/ is what its function gets, and means what stands here."""

import json
from pathlib import Path
from typing import Any

import pytest

from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind, classify
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError, parse_event
from mfa_watcher.entrypoints.parsing.ses import parse_report
from mfa_watcher.entrypoints.parsing.sweep_tasks import parse_task
from mfa_watcher.ports.errors import UnactionableError
from tools.wrap_event import unwrap, wrap

EVENTS = Path(__file__).parents[2] / "events"
ACCOUNT = "111122223333"

DAMAGED = "damaged"
"""A message that no retry can mend."""

Meaning = tuple[SignalKind, str | None, Outcome | None]

EXPECTED: dict[str, Meaning] = {
    "on_sign_in/iam_user_without_mfa": (SignalKind.SIGN_IN_WITHOUT_MFA, "alice", None),
    "on_sign_in/iam_user_without_mfa_other_spelling": (
        SignalKind.SIGN_IN_WITHOUT_MFA,
        "alice",
        None,
    ),
    "on_sign_in/iam_user_with_mfa": (SignalKind.SIGN_IN_WITH_MFA, "bob", None),
    "on_sign_in/root_without_mfa": (SignalKind.SIGN_IN_WITHOUT_MFA, "root", None),
    "on_sign_in/root_with_mfa": (SignalKind.SIGN_IN_WITH_MFA, "root", None),
    "on_sign_in/federated": (SignalKind.SIGN_IN_NOT_JUDGED, None, None),
    "on_sign_in/identity_center": (SignalKind.SIGN_IN_NOT_JUDGED, None, None),
    "on_sign_in/failed": (SignalKind.SIGN_IN_FAILED, "alice", None),
    "on_sign_in/unknown_user": (SignalKind.SIGN_IN_FAILED, None, None),
    "on_iam_change/device_enabled_virtual": (SignalKind.DEVICE_ENABLED, "alice", None),
    "on_iam_change/device_enabled_fido": (SignalKind.DEVICE_ENABLED, "alice", None),
    "on_iam_change/device_removed_by_user": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.SUCCEEDED,
    ),
    "on_iam_change/device_removed_by_admin": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.SUCCEEDED,
    ),
    "on_iam_change/virtual_device_deleted": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.SUCCEEDED,
    ),
    "on_iam_change/removal_denied_identity_policy": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.DENIED,
    ),
    "on_iam_change/removal_denied_guard_policy": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.DENIED,
    ),
    "on_iam_change/removal_denied_scp": (SignalKind.DEVICE_REMOVAL, "alice", Outcome.DENIED),
    "on_iam_change/removal_denied_boundary": (SignalKind.DEVICE_REMOVAL, "alice", Outcome.DENIED),
    "on_iam_change/removal_denied_mfa_session": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.DENIED,
    ),
    "on_iam_change/removal_denied_no_resource": (
        SignalKind.DEVICE_REMOVAL,
        "alice",
        Outcome.DENIED,
    ),
    "on_iam_change/removal_failed": (SignalKind.DEVICE_REMOVAL, "alice", Outcome.FAILED),
    "on_iam_change/root_device_removed": (SignalKind.DEVICE_REMOVAL, "root", Outcome.SUCCEEDED),
    "on_iam_change/device_resynced": (SignalKind.DEVICE_RESYNCED, "alice", None),
    "on_iam_change/console_access_granted": (SignalKind.CONSOLE_ACCESS_GRANTED, "dave", None),
    "on_iam_change/console_access_granted_password_kept": (
        SignalKind.CONSOLE_ACCESS_GRANTED,
        "dave",
        None,
    ),
    "on_iam_change/console_access_removed": (SignalKind.CONSOLE_ACCESS_REMOVED, "dave", None),
    "on_iam_change/password_changed": (SignalKind.PASSWORD_CHANGED, "alice", None),
    "on_iam_change/password_set_by_admin": (SignalKind.PASSWORD_CHANGED, "alice", None),
    "on_iam_change/user_created": (SignalKind.USER_CREATED, "dave", None),
    "on_iam_change/user_deleted": (SignalKind.USER_DELETED, "dave", None),
    "on_iam_change/user_renamed": (SignalKind.USER_RENAMED, "alice", None),
    "on_iam_change/user_tagged": (SignalKind.USER_TAGGED, "alice", None),
    "on_iam_change/password_policy_changed": (SignalKind.PASSWORD_POLICY_CHANGED, None, None),
    "on_iam_change/trail_stopped": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/guard_policy_detached": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/rule_disabled": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/queue_purged": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/function_concurrency_zero": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/function_code_changed": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/event_source_switched_off": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/role_policy_removed": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/subscriber_removed": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/trail_stopping_denied": (SignalKind.WATCHER_DISTURBED, None, None),
    "on_iam_change/root_key_created": (SignalKind.ROOT_CREDENTIALS, None, None),
    "on_sign_in/root_password_recovery": (SignalKind.ROOT_CREDENTIALS, "root", None),
    "on_sign_in/root_assumed": (SignalKind.ROOT_CREDENTIALS, None, None),
    "on_sign_in/access_keys_without_mfa": (SignalKind.SIGN_IN_WITHOUT_MFA, "alice", None),
    "on_sign_in/canary": (SignalKind.IGNORED, None, None),
}
BY_ROOT = {
    "on_sign_in/root_without_mfa",
    "on_sign_in/root_with_mfa",
    "on_iam_change/root_device_removed",
    "on_iam_change/root_key_created",
    "on_sign_in/root_password_recovery",
}
PASSWORD_RESET = {
    "on_iam_change/console_access_granted": True,
    "on_iam_change/console_access_granted_password_kept": False,
}
BATCHES: dict[str, list[SignalKind | str]] = {
    "on_iam_change/batch_with_damaged": [DAMAGED, DAMAGED, SignalKind.DEVICE_ENABLED],
}
"""Files of several messages."""

REPORTS: dict[str, list[tuple[MailOutcome, bool] | str]] = {
    "on_mail_feedback/sent": [(MailOutcome.SENT, False)],
    "on_mail_feedback/delivered": [(MailOutcome.DELIVERED, False)],
    "on_mail_feedback/delayed": [(MailOutcome.DELAYED, False)],
    "on_mail_feedback/bounced": [(MailOutcome.BOUNCED, True)],
    "on_mail_feedback/bounced_for_now": [(MailOutcome.BOUNCED, False)],
    "on_mail_feedback/bounced_suppressed": [(MailOutcome.BOUNCED, True)],
    "on_mail_feedback/bounced_copy": [(MailOutcome.BOUNCED, True)],
    "on_mail_feedback/complained": [(MailOutcome.COMPLAINED, False)],
    "on_mail_feedback/complaint_suppressed": [(MailOutcome.COMPLAINED, True)],
    "on_mail_feedback/rejected": [(MailOutcome.REJECTED, False)],
    "on_mail_feedback/somebody_elses": [(MailOutcome.BOUNCED, True)],
    "on_mail_feedback/batch_with_damaged": [
        *[DAMAGED] * 4,
        (MailOutcome.DELIVERED, False),
    ],
}
"""What SES reports: how the mail ended, and whether the address takes none."""

INTENTS = {
    "deliver/mail": [f"mail-guide-{ACCOUNT}-"],
    "deliver/alert": [f"alert-sign_in_without_mfa-{ACCOUNT}-"],
    "deliver/mail_and_alert_of_one_decision": [
        f"mail-removal_denied-{ACCOUNT}-PR-",
        f"alert-removal_denied-{ACCOUNT}-",
    ],
}
"""How the ids of the intents begin that the stream tells of."""

SWEEPS: dict[str, list[int | str]] = {
    "sweep/one_account": [0],
    "sweep/account_put_off": [2],
    "sweep/batch_with_damaged": [0, DAMAGED],
}
"""How often the accounts were put off that are to be swept."""

CALLED = {
    "approval_desk/acknowledged",
    "approval_desk/approved",
    "approval_desk/approved_by_the_user_himself",
    "approval_desk/cancelled",
    "approval_desk/described",
    "approval_desk/listed_that_wait",
    "approval_desk/rejected",
    "approval_desk/reopened",
    "approval_desk/shown",
    "approval_desk/without_authorizer",
    "change_desk/cancelled",
    "change_desk/described",
    "change_desk/details_given",
    "change_desk/filed_by_the_service_desk",
    "change_desk/filed_by_the_user",
    "change_desk/listed",
    "change_desk/shown",
    "change_desk/without_authorizer",
    "fulfil/caller_forged",
    "fulfil/caller_missing",
    "fulfil/description",
    "fulfil/fulfil",
    "fulfil/fulfil_by_the_subject",
}
"""Requests to the desks' URLs: the functions' own tests play them."""


def content(case: str) -> Any:
    return json.loads((EVENTS / f"{case}.json").read_text(encoding="utf-8"))


def bodies(case: str) -> list[str]:
    return [message["body"] for message in content(case)["Records"]]


def signal_of(body: str) -> Signal:
    return classify(parse_event(body).record)


def test_no_file_is_without_an_expectation_and_no_expectation_without_a_file() -> None:
    files = {str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json")}
    expected = {*EXPECTED, *BATCHES, *REPORTS, *INTENTS, *SWEEPS, *CALLED}

    surprising = sorted(case for case in files - expected if not is_of_a_schedule(case))
    assert not surprising, (
        f"tests/golden/test_events.py: EXPECTED (or CALLED, for a desk) lacks {surprising}"
    )
    assert not expected - files, f"events/: there is no file {sorted(expected - files)}"


def is_of_a_schedule(case: str) -> bool:
    """Return whether a file is what a schedule, or a person, invokes a function with."""
    return not {"Records", "requestContext"} & content(case).keys()


@pytest.mark.parametrize("case", EXPECTED)
def test_event_means_what_is_expected(case: str) -> None:
    (body,) = bodies(case)

    signal = signal_of(body)

    assert (signal.kind, signal.subject, signal.outcome) == EXPECTED[case]
    assert signal.root is (case in BY_ROOT)
    assert not signal.record.unreadable


@pytest.mark.parametrize("case", PASSWORD_RESET)
def test_granted_access_says_whether_the_password_must_be_changed(case: str) -> None:
    (body,) = bodies(case)

    assert parse_event(body).record.password_reset_required is PASSWORD_RESET[case]


@pytest.mark.parametrize("case", BATCHES)
def test_batch_means_what_is_expected_message_by_message(case: str) -> None:
    found: list[SignalKind | str] = []
    for body in bodies(case):
        try:
            found.append(signal_of(body).kind)
        except DamagedEventError:
            found.append(DAMAGED)

    assert found == BATCHES[case]


@pytest.mark.parametrize("case", SWEEPS)
def test_account_to_be_swept_is_read_message_by_message(case: str) -> None:
    found: list[int | str] = []
    for body in bodies(case):
        try:
            order = parse_task(body)
        except UnactionableError:
            found.append(DAMAGED)
            continue
        assert order.account_id == ACCOUNT
        found.append(order.waits)

    assert found == SWEEPS[case]


@pytest.mark.parametrize("case", [*EXPECTED, *BATCHES, *REPORTS, *SWEEPS])
def test_event_file_is_what_its_queue_hands_over(case: str) -> None:
    events = content(case)

    assert events == wrap(case.partition("/")[0], unwrap(events))


@pytest.mark.parametrize("case", EXPECTED)
def test_envelope_and_record_agree(case: str) -> None:
    (envelope,) = unwrap(content(case))
    record = envelope["detail"]

    assert envelope["source"] == "aws." + record["eventSource"].removesuffix(".amazonaws.com")
    assert envelope["account"] == record["recipientAccountId"] == ACCOUNT
    assert envelope["region"] == record["awsRegion"]
    assert envelope["time"] == record["eventTime"]
    assert record["eventVersion"] == "1.11"
    assert record["readOnly"] is False


def test_no_two_records_have_the_same_event_id() -> None:
    ids = [parse_event(body).id for case in EXPECTED for body in bodies(case)]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("case", [case for case in EXPECTED if "_denied_" in case])
def test_denied_call_has_no_parameters_as_in_cloudtrail(case: str) -> None:
    (envelope,) = unwrap(content(case))

    assert envelope["detail"]["errorCode"] == "AccessDenied"
    assert envelope["detail"]["requestParameters"] is None


@pytest.mark.parametrize("case", REPORTS)
def test_report_means_what_is_expected_message_by_message(case: str) -> None:
    found: list[tuple[MailOutcome, bool] | str] = []
    for body in bodies(case):
        try:
            report = parse_report(body, ACCOUNT)
        except DamagedEventError:
            found.append(DAMAGED)
        else:
            found.append((report.outcome, report.unreachable))
            assert (report.intent_id is None) is (case == "on_mail_feedback/somebody_elses")

    assert found == REPORTS[case]


@pytest.mark.parametrize("case", INTENTS)
def test_stream_event_tells_of_new_intents(case: str) -> None:
    records = content(case)["Records"]

    assert {record["eventName"] for record in records} == {"INSERT"}
    for record, beginning in zip(records, INTENTS[case], strict=True):
        change = record["dynamodb"]
        assert change["Keys"]["pk"]["S"].startswith(f"INTENT#{beginning}")
        assert change["Keys"]["sk"] == {"S": "STATE"}
        assert change["StreamViewType"] == "NEW_IMAGE"
        assert change["Keys"].items() <= change["NewImage"].items()


def test_schedule_names_no_intents_and_an_operator_does() -> None:
    assert "intent_ids" not in content("redeliver/every_minute")
    assert content("redeliver/take_up_failed")["intent_ids"]
