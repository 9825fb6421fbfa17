"""Write text of unknown origin to a terminal safely."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> "Console":
    """Return a console that prints text as it is, without markup or highlighting."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def plain(text: str) -> str:
    """Return the text with every character replaced that could control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
