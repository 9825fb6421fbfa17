"""Credential reports as AWS makes them: a snapshot with its time, kept for four hours.

moto makes one anew at each read, and dates it 2015.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.models import IAMBackend, iam_backends
from moto.iam.responses import IamResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

LIFE = timedelta(hours=4)


@dataclass
class Reports:
    """IAM's reports about the emulated accounts."""

    clock: "Callable[[], datetime]"
    takes: timedelta = timedelta(seconds=3)
    """How long a report is in the making."""
    made: int = 0
    last: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    """When each account's last report was asked for, and what stands in it."""

    def install(self, monkeypatch: "pytest.MonkeyPatch") -> "Reports":
        """Answer for moto."""

        def generate(response: IamResponse) -> ActionResult:
            return ActionResult(self.generate(response.current_account))

        def get(response: IamResponse) -> ActionResult:
            return ActionResult(self.get(response.current_account))

        monkeypatch.setattr(IamResponse, "generate_credential_report", generate)
        monkeypatch.setattr(IamResponse, "get_credential_report", get)
        return self

    def generate(self, account: str) -> dict[str, str]:
        """Begin a report, if there is none that is younger than four hours."""
        now = self.clock()
        if account not in self.last or now - self._generated_at(account) >= LIFE:
            self.last[account] = (now, _snapshot(account))
            self.made += 1
            return {"State": "STARTED"}
        return {"State": "COMPLETE" if now >= self._generated_at(account) else "INPROGRESS"}

    def get(self, account: str) -> dict[str, Any]:
        """Return the report."""
        if account not in self.last:
            raise _error("ReportNotPresent")
        made, now = self._generated_at(account), self.clock()
        if now < made:
            raise _error("ReportInProgress")
        if now - made >= LIFE:
            raise _error("ReportExpired")
        return {
            "Content": self.last[account][1],
            "ReportFormat": "text/csv",
            "GeneratedTime": made.replace(microsecond=0),
        }

    def _generated_at(self, account: str) -> datetime:
        return self.last[account][0] + self.takes


def _error(code: str) -> Exception:
    return type(code, (ServiceException,), {"code": code, "message": code})()  # type: ignore[no-any-return]


def _snapshot(account: str) -> str:
    backend = iam_backends[account]["aws"]
    backend.generate_report()
    return str(IAMBackend.get_credential_report(backend))
