"""Writing to a terminal what others have written."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> "Console":
    """Give a console that takes text for text: nothing in it is markup or highlighted."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def plain(text: str) -> str:
    """Take out what could drive the terminal that the text is shown on."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
