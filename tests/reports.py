"""Credential reports as AWS makes them: a snapshot with its time, kept for four hours.

moto makes one anew at each read, and dates it 2015.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.models import IAMBackend, iam_backends
from moto.iam.responses import IamResponse

from tests.builders import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

LIFE = timedelta(hours=4)


@dataclass
class Reports:
    """IAM's reports about the emulated account."""

    clock: "Callable[[], datetime]"
    takes: timedelta = timedelta(seconds=3)
    """How long a report is in the making."""
    ordered_at: datetime | None = None
    content: str = ""
    made: int = 0

    def install(self, monkeypatch: "pytest.MonkeyPatch") -> "Reports":
        """Answer for moto."""
        monkeypatch.setattr(
            IamResponse, "generate_credential_report", lambda _: ActionResult(self.generate())
        )
        monkeypatch.setattr(
            IamResponse, "get_credential_report", lambda _: ActionResult(self.get())
        )
        return self

    def generate(self) -> dict[str, str]:
        """Begin a report, if there is none that is younger than four hours."""
        if self.ordered_at is None or self.clock() - self._generated_at >= LIFE:
            self.ordered_at = self.clock()
            self.content = _snapshot()
            self.made += 1
            return {"State": "STARTED"}
        return {"State": "COMPLETE" if self.clock() >= self._generated_at else "INPROGRESS"}

    def get(self) -> dict[str, Any]:
        """Give the report."""
        if self.ordered_at is None:
            raise _error("ReportNotPresent")
        if self.clock() < self._generated_at:
            raise _error("ReportInProgress")
        if self.clock() - self._generated_at >= LIFE:
            raise _error("ReportExpired")
        return {
            "Content": self.content,
            "ReportFormat": "text/csv",
            "GeneratedTime": self._generated_at.replace(microsecond=0),
        }

    @property
    def _generated_at(self) -> datetime:
        return (self.ordered_at or datetime.min.replace(tzinfo=UTC)) + self.takes


def _error(code: str) -> Exception:
    return type(code, (ServiceException,), {"code": code, "message": code})()  # type: ignore[no-any-return]


def _snapshot() -> str:
    backend = iam_backends[ACCOUNT]["aws"]
    backend.generate_report()
    return str(IAMBackend.get_credential_report(backend))
