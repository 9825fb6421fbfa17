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
from mfa_watcher.entrypoints.parsing.lenient import found

_OF_REQUEST: Final = {
    "request": "id",
    "account": "subject.account_id",
    "user": "subject_name",
    "user_id": "subject.user_id",
    "opened_at": "opened_at",
    "opened_by": "opened_by",
    "state": "state",
    "violation": "violation",
    "attempts": "attempt_count",
    "wanted": "details.wanted",
    "reason": "details.reason",
    "details_by": "details.given_by",
    "decision": "verdict.approved",
    "decided_by": "verdict.by",
    "decided_at": "verdict.at",
    "decision_reason": "verdict.reason",
    "fulfilled_by": "fulfilment.by",
    "ended_because": "ended_because",
}
"""The columns about a request, and where the values are in the API's answer."""

_OF_ENTRY: Final = ("entry", "at", "what", "actor", "before", "after", "event_id", "effects")

COLUMNS: Final = (*_OF_REQUEST, *_OF_ENTRY)

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
    known = {column: found(request, path) for column, path in _OF_REQUEST.items()}
    known["violation"] = "yes" if known["violation"] else "no"
    if request.get("details"):
        known["wanted"] = known["wanted"] or "none"
    if request.get("verdict"):
        known["decision"] = "approved" if known["decision"] else "rejected"
    for number, entry in enumerate(history, 1):
        effects = "; ".join(map(str, entry.get("effects") or ()))
        of_entry = {name: entry.get(name) for name in _OF_ENTRY}
        yield known | of_entry | {"entry": number, "effects": effects}
    if not history:
        yield known
