"""``mfa-watcher replay``: what the watcher would have seen in past records."""

import argparse
import sys
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mfa_watcher.cli.sources import STANDARD_INPUT, Damage, Found, files_in, read
from mfa_watcher.cli.terminal import Actions, console, plain, print_json_lines
from mfa_watcher.domain.events.signals import Signal, SignalKind, classify
from mfa_watcher.domain.events.tampering import Watcher
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BAR_FROM_BYTES = 2_000_000
"""Shorter input is read in about a second and needs no progress bar."""

_NAMES_SHOWN = 3
_RECENT_SHOWN = 10
_MINUTE = len("2026-01-31T12:00")

_IMPORTANT = frozenset(
    {
        SignalKind.SIGN_IN_WITHOUT_MFA,
        SignalKind.DEVICE_REMOVAL,
        SignalKind.CONSOLE_ACCESS_GRANTED,
        SignalKind.WATCHER_DISTURBED,
    }
)


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        help="show what the watcher would have seen in past CloudTrail records",
        description=(
            "Reads CloudTrail log files (.json, .json.gz with Records), JSON lines of records, or"
            " EventBridge events, and shows what each means to the watcher, and why. It changes"
            " nothing and needs no AWS account."
        ),
        epilog="Exit code: 0; 1 if anything in the input was damaged; 2 for a wrong call.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        type=Path,
        help="a file, a folder (read with all its folders), or - for standard input",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON line per record instead of a table"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="with --json: also the records that mean nothing to the watcher",
    )
    parser.add_argument(
        "--watcher-name",
        default="mfa-watcher",
        metavar="NAME",
        help="the stack's name; it identifies changes to the watcher itself (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay the files and return the exit code."""
    files = files_in(options.paths)
    totals = _Totals()
    with _progress(files) as on_bytes:
        for path in files:
            for found in read(path, on_bytes=on_bytes):
                _take(found, totals, options)
    if not options.json:
        _print_summary(totals, files)
    if totals.damaged:
        items = "item was" if totals.damaged == 1 else "items were"
        _complain(f"mfa-watcher replay: {totals.damaged} {items} damaged and skipped")
    return 1 if totals.damaged else 0


@dataclass(slots=True)
class _Seen:
    """The records of one kind of signal."""

    count: int = 0
    users: Counter[str] = field(default_factory=Counter)
    last: str = ""


@dataclass(slots=True)
class _Totals:
    records: int = 0
    damaged: int = 0
    seen: dict[str, _Seen] = field(default_factory=dict)
    recent: deque[Signal] = field(default_factory=lambda: deque(maxlen=_RECENT_SHOWN))


def _take(found: Found | Damage, totals: _Totals, options: argparse.Namespace) -> None:
    if isinstance(found, Damage):
        totals.damaged += 1
        _complain(f"{plain(found.where)}: {plain(found.why)}")
        return
    totals.records += 1
    signal = classify(parse_record(found.record), Watcher(options.watcher_name))
    if options.json:
        if options.all or signal.kind is not SignalKind.IGNORED:
            print_json_lines([line_of(signal)])
        return
    seen = totals.seen.setdefault(_row_of(signal), _Seen())
    seen.count += 1
    seen.last = max(seen.last, signal.record.event_time or "")
    if signal.subject:
        seen.users[signal.subject] += 1
    if signal.kind in _IMPORTANT:
        totals.recent.append(signal)


def line_of(signal: Signal) -> dict[str, object]:
    """Return the object of the replay contract: exactly these keys, in this order."""
    record = signal.record
    return {
        "event_id": record.event_id,
        "event_time": record.event_time,
        "account_id": record.account_id,
        "event_name": record.event_name,
        "signal": signal.kind.value,
        "outcome": signal.outcome.value if signal.outcome else None,
        "subject": signal.subject,
        "actor": record.identity.arn,
        "root": signal.root,
        "why": signal.why,
    }


def _row_of(signal: Signal) -> str:
    return f"{signal.kind} ({signal.outcome})" if signal.outcome else signal.kind.value


def _print_summary(totals: _Totals, files: list[Path]) -> None:
    from rich.table import Table
    from rich.text import Text

    # Cells are Text, not markup, so that a user's name cannot add colours or links.
    screen = console()
    counts = Table(
        title=f"{totals.records} records in {len(files)} {'file' if len(files) == 1 else 'files'}"
    )
    for column in ("signal", "records", "users", "last seen"):
        counts.add_column(column, justify="right" if column == "records" else "left")
    order = [str(kind) for kind in SignalKind]
    for row in sorted(totals.seen, key=lambda row: (order.index(row.split()[0]), row)):
        seen = totals.seen[row]
        names = [plain(name) for name, _ in seen.users.most_common(_NAMES_SHOWN)]
        more = len(seen.users) - len(names)
        users = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        cells = (row, str(seen.count), users, plain(seen.last)[:_MINUTE])
        style = "red" if row.split()[0] in _IMPORTANT else ""
        counts.add_row(*(Text(cell, style=style) for cell in cells))
    screen.print(counts)
    if totals.recent:
        screen.print(f"\nThe last {len(totals.recent)} that need attention:")
    for signal in totals.recent:
        when = plain(signal.record.event_time or "(no time)")
        screen.print(Text(f"  {when}  {plain(signal.why)}"), soft_wrap=True)
    screen.print("\n--json gives one line per record, with its reason.")


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")


@contextmanager
def _progress(files: list[Path]) -> "Iterator[Callable[[int], object]]":
    """Show a progress bar on standard error, if it is a terminal, while long input is read."""
    stored = [path.stat().st_size for path in files if path != STANDARD_INPUT]
    total = sum(stored) if len(stored) == len(files) else None
    short = total is not None and total < _BAR_FROM_BYTES
    if short or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("Reading", total=total)
        yield lambda count: progress.advance(task, count)
