"""Lists all users of an account with a few calls to IAM."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

from mfa_watcher.adapters.aws_errors import AWS_ERRORS, error_code
from mfa_watcher.domain.sweep.account_lists import (
    AssignedDevice,
    CredentialReport,
    ListedUser,
    ReportRow,
    ReportState,
)
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.ports.errors import IamReadError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

Answer = TypeVar("Answer")

ROOT_ROW = "<root_account>"
"""The root user's name in the report (IAM user guide, "Credential report format")."""

_PAGE = 1000
"""How many items IAM returns per call at most (IAM API reference)."""

_NO_REPORT = {
    "ReportNotPresent": ReportState.NOT_PRESENT,
    "CredentialReportNotPresentException": ReportState.NOT_PRESENT,
    "ReportExpired": ReportState.EXPIRED,
    "CredentialReportExpiredException": ReportState.EXPIRED,
    "ReportInProgress": ReportState.IN_PROGRESS,
    "CredentialReportNotReadyException": ReportState.IN_PROGRESS,
}
"""The error codes that IAM sends, and the names of the exceptions in its API reference."""

_TOO_MANY = frozenset({"LimitExceeded", "LimitExceededException"})

_YES_OR_NO = {"true": True, "false": False}
"""The report's values, in any case: the user guide has TRUE, the report true. Other values (N/A,
not_supported, no_information) say neither."""


@dataclass(slots=True)
class BotoAccountListReader:
    """Lists one account's users. ``calls``: one per page, without botocore's own retries."""

    client: "IAMClient"
    calls: int = field(default=0, init=False)

    def report(self) -> CredentialReport | ReportState:
        """Call GetCredentialReport."""
        found = self._call("GetCredentialReport", self.client.get_credential_report)
        if isinstance(found, ReportState):
            return found
        return read_report(found["Content"], found["GeneratedTime"])

    def request_report(self) -> ReportState:
        """Call GenerateCredentialReport; IAM keeps the last report for four hours."""
        said = self._call("GenerateCredentialReport", self.client.generate_credential_report)
        if isinstance(said, ReportState):
            return said
        done = said.get("State") == "COMPLETE"
        return ReportState.COMPLETE if done else ReportState.IN_PROGRESS

    def users(self) -> tuple[ListedUser, ...]:
        """Call ListUsers, a thousand users per call."""
        return tuple(
            ListedUser(
                user["UserId"],
                user["UserName"],
                user["CreateDate"],
                user.get("PasswordLastUsed"),
            )
            for user in self._all("ListUsers", "list_users", "Users")
        )

    def assigned_devices(self) -> tuple[AssignedDevice, ...]:
        """Call ListVirtualMFADevices; the user id of root's device is the account id."""
        found = self._all(
            "ListVirtualMFADevices",
            "list_virtual_mfa_devices",
            "VirtualMFADevices",
            AssignmentStatus="Assigned",
        )
        return tuple(
            AssignedDevice(
                Device(one["SerialNumber"]), one["User"]["UserId"], one.get("EnableDate")
            )
            for one in found
            if one.get("User", {}).get("UserId")
        )

    def devices_in_use(self) -> int:
        """Call GetAccountSummary."""
        found = self._call("GetAccountSummary", self.client.get_account_summary)
        if isinstance(found, ReportState):
            raise IamReadError(f"IAM did not answer GetAccountSummary: {found}")
        return int(found["SummaryMap"].get("MFADevicesInUse", 0))

    def _all(self, call: str, method: str, listed: str, **asked: str) -> Iterator[dict[str, Any]]:
        """Read page by page without a paginator, because each page is a call to be counted."""
        ask: Callable[..., dict[str, Any]] = getattr(self.client, method)
        marker: dict[str, str] = {}
        while True:
            page = self._call(call, partial(ask, MaxItems=_PAGE, **asked, **marker))
            if isinstance(page, ReportState):
                raise IamReadError(f"IAM did not answer {call}: {page}")
            yield from page[listed]
            if not page.get("IsTruncated"):
                return
            marker = {"Marker": page["Marker"]}

    def _call(self, call: str, ask: Callable[[], Answer]) -> Answer | ReportState:
        self.calls += 1
        try:
            return ask()
        except AWS_ERRORS as error:
            code = error_code(error)
            if state := _NO_REPORT.get(code):
                return state
            if call == "GenerateCredentialReport" and code in _TOO_MANY:
                return ReportState.IN_PROGRESS  # somebody else requested a report, too
            raise IamReadError(f"IAM did not answer {call}: {code}") from error


def read_report(content: bytes, generated_at: datetime) -> CredentialReport:
    """Return the report from its CSV, read by column names: IAM has added columns before.

    A row that does not match the header (an unquoted comma in a user's name) is damaged, and what
    it says is not used. Raises IamReadError if a required column is missing.
    """
    lines = csv.reader(StringIO(content.decode("utf-8-sig", errors="replace"), newline=""))
    header = [name.strip().casefold() for name in next(lines, [])]
    missing = {"user", "arn", "password_enabled", "mfa_active"} - set(header)
    if missing:
        raise IamReadError(f"the credential report has no column {', '.join(sorted(missing))}")
    rows: dict[str, ReportRow] = {}
    root, damaged = None, 0
    for cells in lines:
        if not any(cells):
            continue
        row = dict(zip(header, cells, strict=False))
        if row["user"] == ROOT_ROW:
            root = _row(row)
        elif _matches_header(row):
            rows[row["user"].casefold()] = _row(row)
        else:
            damaged += 1
    return CredentialReport(generated_at, rows, root, damaged)


def _matches_header(row: Mapping[str, str]) -> bool:
    """Return whether the cells match the header: then the ARN ends with the user's name."""
    arn = row.get("arn", "")
    return arn.startswith("arn:") and arn.endswith(f"/{row['user']}")


def _row(row: Mapping[str, str]) -> ReportRow:
    return ReportRow(
        row["user"],
        _moment(row.get("user_creation_time", "")),
        _YES_OR_NO.get(row.get("password_enabled", "").strip().casefold()),
        _YES_OR_NO.get(row.get("mfa_active", "").strip().casefold()),
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.replace(microsecond=0)
