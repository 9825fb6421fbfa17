"""All requests of a period with their history, for an auditor: as JSON, or as CSV.

JSON has everything that is known. CSV has one line per history entry and is meant for a
spreadsheet: a cell that would be taken for a formula begins with an apostrophe, and characters that
cannot be shown are replaced.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from mfa_watcher.cli.api_client import Json
from mfa_watcher.cli.terminal import plain

COLUMNS: Final = (
    "request", "account", "user", "user_id", "opened_at", "opened_by", "state", "violation",
    "attempts", "wanted", "reason", "details_by", "decision", "decided_by", "decided_at",
    "decision_reason", "fulfilled_by", "ended_because",
    "entry", "at", "what", "actor", "before", "after", "event_id", "effects",
)  # fmt: skip

_FORMULA_BEGINS_WITH: Final = ("=", "+", "-", "@")


def as_json(first: date, last: date, exported: Iterable[Json]) -> str:
    """Return the requests and their histories as one JSON document."""
    return json.dumps({"from": f"{first}", "to": f"{last}", "requests": list(exported)}, indent=2)


def as_csv(exported: Iterable[Json]) -> str:
    """Return a line per history entry, with its request in the first columns (RFC 4180)."""
    written = io.StringIO()
    lines = csv.DictWriter(written, COLUMNS)
    lines.writeheader()
    for one in exported:
        for line in _lines(one["request"], one["history"]):
            lines.writerow({column: cell(value) for column, value in line.items()})
    return written.getvalue()


def cell(value: object) -> str:
    """Return a value as text that a spreadsheet shows and does not evaluate."""
    text = "" if value is None else plain(str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA_BEGINS_WITH) else text


def _lines(request: Json, history: list[Json]) -> Iterator[Json]:
    subject, details = request.get("subject") or {}, request.get("details") or {}
    verdict, fulfilment = request.get("verdict") or {}, request.get("fulfilment") or {}
    decision = ("approved" if verdict.get("approved") else "rejected") if verdict else None
    known = {
        "request": request.get("id"),
        "account": subject.get("account_id"),
        "user": request.get("subject_name"),
        "user_id": subject.get("user_id"),
        "opened_at": request.get("opened_at"),
        "opened_by": request.get("opened_by"),
        "state": request.get("state"),
        "violation": "yes" if request.get("violation") else "no",
        "attempts": request.get("attempt_count"),
        "wanted": (details.get("wanted") or "none") if details else None,
        "reason": details.get("reason"),
        "details_by": details.get("given_by"),
        "decision": decision,
        "decided_by": verdict.get("by"),
        "decided_at": verdict.get("at"),
        "decision_reason": verdict.get("reason"),
        "fulfilled_by": fulfilment.get("by"),
        "ended_because": request.get("ended_because"),
    }
    for number, entry in enumerate(history, 1):
        copied = ("at", "what", "actor", "before", "after", "event_id")
        effects = "; ".join(map(str, entry.get("effects") or ()))
        yield (
            known
            | {name: entry.get(name) for name in copied}
            | {"entry": number, "effects": effects}
        )
    if not history:
        yield known
