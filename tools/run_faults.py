"""Break the product on purpose, one fault at a time, and report which test notices it.

    python tools/run_faults.py [-k WORD]

The faults stand in `tests/faults/faults.toml`. Each is put into a copy of the working tree, never
into the tree itself, and the tests that are named beside it are run there. At the end, the tests
that failed are run once without any fault: whatever fails then proves nothing.

The exit status is 1 if a fault was missed or could not be put in, or a known miss is caught by now.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "faults" / "faults.toml"

NOT_COPIED = (".git", ".venv*", ".aws-sam", ".sandbox", ".hypothesis", "*_cache", "__pycache__")
PYTEST = (
    *("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
    "--hypothesis-seed=1",  # the same examples for each fault, today and tomorrow
)
LONGEST = 900.0
"""Seconds that the tests of one fault may take. A fault can make a loop endless."""

TESTS_FAILED = 1  # pytest's exit status; 0: all passed; any other: they could not be run

_FAILED = re.compile(r"^(?:FAILED|ERROR) (?P<test>tests/.+?)(?: - .*)?$", re.MULTILINE)


class FaultError(Exception):
    """A fault cannot be put in; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One deliberate fault. ``tests`` are pytest's arguments, of which one test must fail.

    ``known_missed`` is the reason why no test notices it, None for a fault that must be caught.
    """

    id: str
    breaks: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]
    known_missed: str | None = None

    def put_into(self, tree: Path) -> None:
        """Replace the text in the tree's file. Raises FaultError unless it is there once."""
        path = tree / self.file
        if not path.is_file():
            raise FaultError(f"{self.id}: there is no file {self.file}")
        content = path.read_text(encoding="utf-8")
        times = content.count(self.text)
        if times != 1:
            raise FaultError(f"{self.id}: its text occurs {times} times in {self.file}, not once")
        path.write_text(content.replace(self.text, self.becomes), encoding="utf-8")


class Outcome(StrEnum):
    """What became of a fault."""

    CAUGHT = "caught"
    MISSED = "MISSED"
    KNOWN_MISSED = "missed, as known"
    CAUGHT_BY_NOW = "CAUGHT BY NOW: take it off the known misses"
    NOT_PUT_IN = "NOT PUT IN"
    NOT_RUN = "NOT RUN"


WELL = frozenset({Outcome.CAUGHT, Outcome.KNOWN_MISSED})


class Report(NamedTuple):
    """What became of a fault, how long that took, the test that noticed it, or what to know."""

    outcome: Outcome
    seconds: float
    test: str | None = None
    said: str = ""


def read_faults(file: Path = LIST) -> list[Fault]:
    """Return the faults of the list, the known misses at its end."""
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return [
        Fault(
            id=name,
            breaks=table["breaks"],
            file=table["file"],
            text=table["text"],
            becomes=table["becomes"],
            tests=tuple(table["tests"]),
            known_missed=table["reason"] if kind == "known_missed" else None,
        )
        for kind in ("fault", "known_missed")
        for name, table in tables.get(kind, {}).items()
    ]


@contextmanager
def copy_of(tree: Path) -> Iterator[Path]:
    """Make a copy of a tree, without what is made from it, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        yield copy


def run_tests(tree: Path, *tests: str) -> tuple[int, str]:
    """Run tests of a tree against the product in that tree; return exit status and output.

    Raises subprocess.TimeoutExpired. The product is installed from the working tree, so the copy's
    has to come before it on the path.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree / "layers" / "shared")}
    done = subprocess.run(
        [sys.executable, *PYTEST, *tests],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LONGEST,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def try_fault(fault: Fault, tree: Path = ROOT) -> Report:
    """Put a fault into a copy of the tree, run its tests there, and return what became of it."""
    started = monotonic()
    with copy_of(tree) as copy:
        try:
            fault.put_into(copy)
            status, output = run_tests(copy, *fault.tests)
        except FaultError as error:
            return Report(Outcome.NOT_PUT_IN, monotonic() - started, said=str(error))
        except subprocess.TimeoutExpired:
            said = f"its tests took more than {LONGEST:.0f} s"
            return Report(Outcome.NOT_RUN, monotonic() - started, said=said)
    seconds = monotonic() - started
    failed = _FAILED.search(output)
    if status == TESTS_FAILED and failed:
        outcome = Outcome.CAUGHT_BY_NOW if fault.known_missed else Outcome.CAUGHT
        return Report(outcome, seconds, failed["test"])
    if status:
        return Report(Outcome.NOT_RUN, seconds, said=output[-2000:])
    outcome = Outcome.KNOWN_MISSED if fault.known_missed else Outcome.MISSED
    return Report(outcome, seconds, said=fault.known_missed or fault.breaks)


def failing_anyway(tests: Sequence[str], tree: Path = ROOT) -> str:
    """Run tests without any fault; return what pytest says if one fails, else nothing."""
    with copy_of(tree) as copy:
        status, output = run_tests(copy, *tests)
    return output[-2000:] if status else ""


def main() -> int:
    """Try the faults that the command line chooses; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-k", metavar="WORD", default="", help="only faults with this in their id")
    wanted = parser.parse_args().k
    faults = [fault for fault in read_faults() if wanted in fault.id]
    if not faults:
        parser.error(f"no fault has {wanted!r} in its id")
    started = monotonic()
    reports = []
    for number, fault in enumerate(faults, start=1):
        print(f"{number:>3}/{len(faults)} {fault.id}", end=" ", flush=True)
        report = try_fault(fault)
        reports.append(report)
        by = f" by {report.test}" if report.test else ""
        said = f"\n        {report.said}" if report.said else ""
        print(f"· {report.outcome}{by} ({report.seconds:.0f} s){said}", flush=True)
    proofs = sorted({report.test for report in reports if report.test})
    broken = failing_anyway(proofs) if proofs else ""
    if broken:
        print(f"\nThese tests fail without a fault, too, so they prove nothing:\n{broken}")
    counts = ", ".join(
        f"{sum(report.outcome is outcome for report in reports)} {outcome}"
        for outcome in dict.fromkeys(report.outcome for report in reports)
    )
    print(f"\n{len(faults)} faults: {counts}; {monotonic() - started:.0f} s")
    if proofs and not broken:
        print(f"Each test that noticed a fault passes without one: {len(proofs)} tests.")
    return int(bool(broken) or not {report.outcome for report in reports} <= WELL)


if __name__ == "__main__":
    sys.exit(main())
