"""``mfa-watcher doctor``: whether a deployed watcher sees, judges and tells, line by line."""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from mfa_watcher.cli.aws import AccountError, add_stack_options, health_check
from mfa_watcher.cli.terminal import console, plain
from mfa_watcher.domain.health.checks import Check, CheckResult, Level

if TYPE_CHECKING:
    from rich.text import Text

_WORDS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warning", "yellow"),
    Level.FAIL: ("FAIL", "bold red"),
    Level.UNKNOWN: ("unknown", "bold magenta"),
}
_WIDTH = 9
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="examine a deployed watcher and its account, with the remedy for each fault",
        description=(
            "Reads the live account, changes nothing, and says line by line whether events come"
            " in, the watcher runs, people are told, the account's rules are in force, and"
            " something was seen lately. What may not be read is unknown, and names the"
            " permission that is missing."
        ),
        epilog=(
            "Exit code: 0 if all is ok, or a warning; 1 if anything failed or is unknown;"
            " 2 for a wrong call."
        ),
    )
    add_stack_options(parser)
    parser.add_argument(
        "--sign-in-regions",
        type=_regions,
        metavar="NAMES",
        help="where people sign in, separated by commas (default: as the stack was told)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per verdict")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine, and tell; gives the exit code."""
    try:
        with _progress() as begins:
            begins(Check.STACK, options.stack)
            verdicts = health_check(options).run(begins)
    except AccountError as error:
        sys.stderr.write(f"mfa-watcher doctor: {error}\n")
        return 1
    if options.json:
        for verdict in verdicts:
            sys.stdout.write(json.dumps(_line(verdict)) + "\n")
    else:
        _tell(verdicts)
    return 0 if all(verdict.level.passes for verdict in verdicts) else 1


@contextmanager
def _progress() -> Iterator[Callable[[Check, str], object]]:
    """Say on a terminal what is being read; elsewhere say nothing."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _check, _about: None
        return
    with screen.status("") as status:
        yield lambda check, about: status.update(plain(f"{check.title} {about}"))


def _tell(verdicts: Sequence[CheckResult]) -> None:
    from rich.text import Text

    screen = console()
    for group, members in groupby(verdicts, key=lambda one: one.check.group):
        screen.print(Text(group, style="bold"))
        for verdict in members:
            screen.print(_shown(verdict), soft_wrap=True)
    counts = Counter(verdict.level for verdict in verdicts)
    notification = ", ".join(
        f"{counts[level]} {_WORDS[level][0]}" for level in Level if counts[level]
    )
    screen.print(Text(f"\n{len(verdicts)} verdicts: {notification}"))


def _shown(verdict: CheckResult) -> "Text":
    from rich.text import Text

    word, style = _WORDS[verdict.level]
    what = " ".join(filter(None, (verdict.check.title, plain(verdict.about))))
    line = Text(f"  {word:<{_WIDTH}}", style=style)
    line.append(f"{what}: {plain(verdict.seen)}", style="")
    if verdict.remedy:
        line.append(f"\n  {'':<{_WIDTH}}→ {plain(verdict.remedy)}", style="dim")
    return line


def _line(verdict: CheckResult) -> dict[str, str]:
    return {
        "check": verdict.check.word,
        "group": verdict.check.group.name.casefold(),
        "about": verdict.about,
        "level": verdict.level.value,
        "seen": verdict.seen,
        "remedy": verdict.remedy,
    }


def _regions(text: str) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not named or not all(map(_REGION.fullmatch, named)):
        raise argparse.ArgumentTypeError(f"not regions separated by commas: {text!r}")
    return named
