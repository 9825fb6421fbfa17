"""New console passwords: made for the account's own policy, and never shown by accident."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

SHORTEST: Final = 20
"""Characters. More than a usual policy asks for: nobody has to remember this password."""

# Without what a person may take for something else.
_UPPER: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_LOWER: Final = "abcdefghijkmnpqrstuvwxyz"
_DIGITS: Final = "23456789"
# Of the symbols that IAM's policy counts, those that mean nothing in the middle of a word to a
# shell, a spreadsheet, JSON or HTML.
_SYMBOLS: Final = "-_=@"
_KINDS: Final = (_UPPER, _LOWER, _DIGITS, _SYMBOLS)


class Password:
    """A password that nothing shows but ``reveal``: no repr, no format, no serialiser."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take it."""
        self._text = text

    def reveal(self) -> str:
        """Give the password itself."""
        return self._text

    def __repr__(self) -> str:
        """Say that there is one."""
        return "Password(hidden)"

    def __reduce__(self) -> str:
        """Refuse to be pickled or copied. Raises TypeError."""
        raise TypeError("a password is handed over, not copied")


def make_password(shortest: int, randomness: "Random") -> Password:
    """Make a password of at least ``shortest`` characters, which the account's policy asks for.

    Each kind of character that a policy may ask for is in it, whatever this one asks for. It begins
    with a letter, since a spreadsheet takes what begins with a symbol for a formula. ``randomness``
    must be ``secrets.SystemRandom`` wherever the password protects something.
    """
    length = max(shortest, SHORTEST)
    rest = [randomness.choice(kind) for kind in _KINDS]
    rest += randomness.choices("".join(_KINDS), k=length - 1 - len(rest))
    randomness.shuffle(rest)
    return Password(randomness.choice(_UPPER + _LOWER) + "".join(rest))
