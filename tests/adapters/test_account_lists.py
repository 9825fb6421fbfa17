from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mfa_watcher.adapters.account_lists import BotoAccountListReader, read_report
from mfa_watcher.adapters.sweep_queue import SqsSweepQueue
from mfa_watcher.domain.sweep.account_lists import CredentialReport, ReportRow, ReportState
from mfa_watcher.domain.sweep.comparison import SweepTask
from mfa_watcher.entrypoints.parsing.sweep_tasks import parse_task
from mfa_watcher.ports.errors import IamReadError, UnactionableError
from tests.support.account import Account, Refusal, client
from tests.support.builders import ACCOUNT, NOW
from tests.support.reports import Reports

CREATED = datetime(2014, 9, 1, 22, 28, 48, tzinfo=UTC)
HEADER = "user,arn,user_creation_time,password_enabled,password_last_used,mfa_active"
ANA = f"ana,arn:aws:iam::{ACCOUNT}:user/eng/ana,2014-09-01T22:28:48+00:00"
CALLS: dict[str, Callable[[BotoAccountListReader], Any]] = {
    "GetCredentialReport": lambda list_reader: list_reader.report(),
    "GenerateCredentialReport": lambda list_reader: list_reader.request_report(),
    "ListUsers": lambda list_reader: list_reader.users(),
    "ListVirtualMFADevices": lambda list_reader: list_reader.assigned_devices(),
    "GetAccountSummary": lambda list_reader: list_reader.devices_in_use(),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture
def list_reader(account: Account) -> BotoAccountListReader:
    assert account.table
    return BotoAccountListReader(client("iam"))


def read(*lines: str) -> CredentialReport:
    return read_report("\n".join(lines).encode(), NOW)


# The report's states -----------------------------------------------------------------------------


def test_a_report_goes_through_all_its_states(
    list_reader: BotoAccountListReader, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    Reports(account.clock).install(monkeypatch)
    account.new_user("ana")
    assert list_reader.report() is ReportState.NOT_PRESENT
    assert list_reader.request_report() is ReportState.IN_PROGRESS
    assert list_reader.request_report() is ReportState.IN_PROGRESS
    assert list_reader.report() is ReportState.IN_PROGRESS
    account.clock.move(timedelta(seconds=5))
    assert list_reader.request_report() is ReportState.COMPLETE
    report = list_reader.report()
    assert isinstance(report, CredentialReport)
    assert report.generated_at == NOW + timedelta(seconds=3)
    assert report.rows["ana"].has_password is True
    account.clock.move(timedelta(hours=4))
    assert list_reader.report() is ReportState.EXPIRED
    assert list_reader.calls == 7


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("ReportNotPresent", ReportState.NOT_PRESENT),
        ("CredentialReportNotPresentException", ReportState.NOT_PRESENT),
        ("ReportExpired", ReportState.EXPIRED),
        ("CredentialReportExpiredException", ReportState.EXPIRED),
        ("ReportInProgress", ReportState.IN_PROGRESS),
        ("CredentialReportNotReadyException", ReportState.IN_PROGRESS),
    ],
)
def test_the_reason_why_there_is_no_report_is_returned_and_not_raised(
    list_reader: BotoAccountListReader, account: Account, code: str, state: ReportState
) -> None:
    account.calls.refused["iam:GetCredentialReport"] = Refusal(code, status=410)
    assert list_reader.report() is state


@pytest.mark.parametrize("code", ["LimitExceeded", "LimitExceededException"])
def test_a_report_that_somebody_else_requested_too_is_being_generated(
    list_reader: BotoAccountListReader, account: Account, code: str
) -> None:
    account.calls.refused["iam:GenerateCredentialReport"] = Refusal(code, status=409)
    assert list_reader.request_report() is ReportState.IN_PROGRESS


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "status"), [("Throttling", 400), ("AccessDenied", 403), ("ServiceFailure", 500)]
)
def test_a_failed_call_raises_an_error_that_names_call_and_code(
    list_reader: BotoAccountListReader, account: Account, call: str, code: str, status: int
) -> None:
    account.calls.refused[f"iam:{call}"] = Refusal(code, status=status)
    with pytest.raises(IamReadError, match=f"{call}: {code}"):
        CALLS[call](list_reader)


@pytest.mark.parametrize("call", CALLS)
def test_an_unreachable_iam_raises_an_error_too(
    list_reader: BotoAccountListReader, account: Account, call: str
) -> None:
    account.calls.unreachable.add(f"iam:{call}")
    with pytest.raises(IamReadError, match=f"{call}: ReadTimeoutError"):
        CALLS[call](list_reader)


# What stands in it -------------------------------------------------------------------------------


def test_the_report_is_read_by_the_names_of_its_columns() -> None:
    report = read(
        "mfa_active,new_column,arn,user,password_enabled",
        f"true,whatever,arn:aws:iam::{ACCOUNT}:user/ana,ana,false",
    )
    assert report.rows == {"ana": ReportRow("ana", None, has_password=False, has_mfa=True)}
    assert report.generated_at == NOW


@pytest.mark.parametrize(
    "header", [HEADER.upper(), "\ufeff" + HEADER, HEADER.replace(",", " , "), HEADER + ",more"]
)
def test_the_header_is_read_despite_case_spaces_byte_order_mark_and_more_columns(
    header: str,
) -> None:
    report = read(header, f"{ANA},true,N/A,false")
    assert report.rows == {"ana": ReportRow("ana", CREATED, has_password=True, has_mfa=False)}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("true", True),
        ("TRUE", True),
        ("True", True),
        (" true ", True),
        ("false", False),
        ("FALSE", False),
        ("N/A", None),
        ("not_supported", None),
        ("no_information", None),
        ("", None),
    ],
)
def test_true_and_false_are_read_in_any_case_and_other_words_count_as_missing(
    word: str, *, meaning: bool | None
) -> None:
    row = read(HEADER, f"{ANA},{word},N/A,{word}").rows["ana"]
    assert (row.has_password, row.has_mfa) == (meaning, meaning)


@pytest.mark.parametrize(
    ("written", "created"),
    [
        ("2014-09-01T22:28:48+00:00", CREATED),
        ("2014-09-01T22:28:48Z", CREATED),
        ("2014-09-01T22:28:48.5+00:00", CREATED),
        ("2014-09-01T22:28:48", CREATED),
        ("N/A", None),
        ("", None),
    ],
)
def test_the_day_of_creation_is_read_to_the_second(written: str, created: datetime | None) -> None:
    row = read(HEADER, f"ana,arn:aws:iam::{ACCOUNT}:user/ana,{written},true,N/A,true").rows["ana"]
    assert row.created_at == created


def test_root_is_no_user() -> None:
    root = f"<root_account>,arn:aws:iam::{ACCOUNT}:root,2014-09-01T22:28:48+00:00"
    report = read(HEADER, f"{root},not_supported,2014-09-01T22:28:48+00:00,true")
    assert report.rows == {}
    assert report.root == ReportRow("<root_account>", CREATED, has_password=None, has_mfa=True)


def test_a_row_with_an_unquoted_comma_in_a_name_is_left_out() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user"
    report = read(
        HEADER,
        f'"a,b","{arn}/a,b",2014-09-01T22:28:48+00:00,true,N/A,true',
        f"c,d,{arn}/c,d,2014-09-01T22:28:48+00:00,true,N/A,true",
        f"{ANA},true,N/A,false",
    )
    assert sorted(report.rows) == ["a,b", "ana"]
    assert report.rows["a,b"].has_mfa is True
    assert report.damaged == 1


def test_the_missing_cells_of_a_cut_row_count_as_unknown() -> None:
    assert read(HEADER, f"{ANA},true").rows["ana"].has_mfa is None


@pytest.mark.parametrize("text", ["", "\n", "user,arn,password_enabled\n", "<html>"])
def test_text_that_is_no_report_is_an_error_that_says_what_is_missing(text: str) -> None:
    with pytest.raises(IamReadError, match="mfa_active"):
        read(text)


def test_no_text_raises_any_other_error() -> None:
    for content in (b"\xff\xfe\x00", b'"' * 999, HEADER.encode() + b'\n"ana,\xf0'):
        with suppress(IamReadError):
            read_report(content, NOW)


# Lists -------------------------------------------------------------------------------------------


def test_users_are_listed_with_their_ids_and_names(
    list_reader: BotoAccountListReader, account: Account
) -> None:
    made = {name: account.new_user(name) for name in ("ana", "bob")}
    listed = list_reader.users()
    assert {user.name: user.user_id for user in listed} == made
    assert all(user.created_at.tzinfo and user.password_used_at is None for user in listed)


def test_assigned_devices_are_listed_with_their_users(
    list_reader: BotoAccountListReader, account: Account
) -> None:
    ana = account.new_user("ana")
    serials = {account.enrol("ana", "phone"), account.enrol("ana", "tablet")}
    account.iam.create_virtual_mfa_device(VirtualMFADeviceName="nobodys")
    listed = list_reader.assigned_devices()
    assert {one.device.serial for one in listed} == serials
    assert {one.user_id for one in listed} == {ana}
    assert all(one.enabled_at for one in listed)
    assert list_reader.devices_in_use() == 2


def test_pages_are_followed_and_each_is_a_call(
    list_reader: BotoAccountListReader, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfa_watcher.adapters.account_lists._PAGE", 2)
    account.new_user("ana")
    serials = {account.enrol("ana", f"device{number}") for number in range(5)}
    account.calls.reset()
    assert {one.device.serial for one in list_reader.assigned_devices()} == serials
    assert list_reader.calls == 3
    assert account.calls.made == ["iam:ListVirtualMFADevices"] * 3
    markers = [body.count("Marker") for body in account.calls.bodies]
    assert markers == [0, 1, 1]


# The queue ---------------------------------------------------------------------------------------

ORDER = SweepTask(ACCOUNT, "20260302T120000Z", NOW, waits=2, tries=1, calls=7, at_once=True)


def test_sweep_task_is_read_from_the_queue_as_it_was_written(account: Account) -> None:
    queue = SqsSweepQueue(client("sqs"), queue_url=account.queue_urls["SweepQueue"])
    queue.send(ORDER, delay=timedelta(minutes=99))
    assert '"DelaySeconds": 900' in account.calls.bodies[-1]
    [body] = account.take_all("SweepQueue")
    assert parse_task(body) == ORDER


@pytest.mark.parametrize("body", ["", "null", "{}", '{"account_id": "1"}', "\x00"])
def test_message_that_is_no_sweep_task_is_refused_with_the_reason(body: str) -> None:
    with pytest.raises(UnactionableError, match="not an account to sweep: "):
        parse_task(body)
