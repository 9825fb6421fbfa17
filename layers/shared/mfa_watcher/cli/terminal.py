"""What all commands share: their errors, and safe output of text of unknown origin."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


class CommandError(Exception):
    """The command cannot do what was asked. The text says why and what to do."""

    exit_code = 1


class WrongCallError(CommandError):
    """The call is wrong. The text says what a correct call needs."""

    exit_code = 2


def day(text: str) -> date:
    """Read an argument that is a day."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a date as YYYY-MM-DD: {text!r}") from error


def console(*, stderr: bool = False) -> "Console":
    """Return a console that prints text as it is, without markup or highlighting."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def plain(text: str) -> str:
    """Return the text with every character replaced that could control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def table_of(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Return a table whose cells are shown as they are, except for control characters."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def print_json_lines(values: Iterable[object]) -> None:
    """Print one line of JSON per value."""
    for value in values:
        sys.stdout.write(json.dumps(value) + "\n")
