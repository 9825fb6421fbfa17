"""``mfa-watcher doctor``: shows whether a deployed watcher is able to work."""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from mfa_watcher.cli.aws import add_stack_options, health_check
from mfa_watcher.cli.probe import add_probe_options, run_probe
from mfa_watcher.cli.terminal import Actions, console, plain, print_json_lines
from mfa_watcher.domain.health.results import Check, CheckResult, Level

if TYPE_CHECKING:
    from rich.text import Text

_LEVELS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warning", "yellow"),
    Level.FAIL: ("FAIL", "bold red"),
    Level.UNKNOWN: ("unknown", "bold magenta"),
}
_WIDTH = 9
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="check a deployed watcher and its account, and name the remedy for each fault",
        description=(
            "Reads the live account, changes nothing, and shows whether events arrive, the watcher"
            " runs, mails and alerts go out, the account is protected, and the watcher was active"
            " recently. What cannot be read is unknown; the line names the missing permission."
            " With --probe it sends harmless signs of its own instead, and shows which arrived."
        ),
        epilog=(
            "Exit code: 0 if every check is ok or a warning; 1 if any check failed or is unknown;"
            " 2 for wrong arguments. With --probe: 0 if everything arrived; 1 if something did not,"
            " is wrong, or could not be removed; 3 if the only thing wrong is that you may not see"
            " something; 130 if it was interrupted. It removes what it made in any case."
        ),
    )
    add_stack_options(parser)
    parser.add_argument(
        "--sign-in-regions",
        type=_regions,
        metavar="NAMES",
        help="regions where people sign in, separated by commas (default: those of the stack)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line per result")
    add_probe_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the health check and show its results; return the exit code."""
    if options.probe:
        return run_probe(options)
    with _progress() as begins:
        begins(Check.STACK, options.stack)
        results = health_check(options).run(begins)
    if options.json:
        print_json_lines(map(_line, results))
    else:
        _show(results)
    return 0 if all(result.level.passes for result in results) else 1


@contextmanager
def _progress() -> Iterator[Callable[[Check, str], object]]:
    """Show on a terminal which check is running; print nothing elsewhere."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _check, _about: None
        return
    with screen.status("") as status:
        yield lambda check, about: status.update(plain(f"{check.title} {about}"))


def _show(results: Sequence[CheckResult]) -> None:
    from rich.text import Text

    screen = console()
    for group, members in groupby(results, key=lambda one: one.check.group):
        screen.print(Text(group, style="bold"))
        for result in members:
            screen.print(_text_of(result), soft_wrap=True)
    counts = Counter(result.level for result in results)
    by_level = ", ".join(f"{counts[level]} {_LEVELS[level][0]}" for level in Level if counts[level])
    screen.print(Text(f"\n{len(results)} results: {by_level}"))


def _text_of(result: CheckResult) -> "Text":
    from rich.text import Text

    word, style = _LEVELS[result.level]
    subject = " ".join(filter(None, (result.check.title, plain(result.about))))
    line = Text(f"  {word:<{_WIDTH}}", style=style)
    line.append(f"{subject}: {plain(result.seen)}", style="")
    if result.remedy:
        line.append(f"\n  {'':<{_WIDTH}}→ {plain(result.remedy)}", style="dim")
    return line


def _line(result: CheckResult) -> dict[str, str]:
    return {
        "check": result.check.key,
        "group": result.check.group.name.casefold(),
        "about": result.about,
        "level": result.level.value,
        "seen": result.seen,
        "remedy": result.remedy,
    }


def _regions(text: str) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not named or not all(map(_REGION.fullmatch, named)):
        raise argparse.ArgumentTypeError(f"not regions separated by commas: {text!r}")
    return named
