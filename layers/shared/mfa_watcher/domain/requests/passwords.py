"""New console passwords: they fit the account's policy and are never shown by accident."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

SHORTEST: Final = 20
"""Characters. More than a usual policy asks for: nobody has to remember this password."""

# Without characters that are easily confused.
_UPPER: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_LOWER: Final = "abcdefghijkmnpqrstuvwxyz"
_DIGITS: Final = "23456789"
# Of the symbols in IAM's policy, those without a meaning inside a word for a shell, a spreadsheet,
# JSON or HTML.
_SYMBOLS: Final = "-_=@"
_KINDS: Final = (_UPPER, _LOWER, _DIGITS, _SYMBOLS)


class Password:
    """A password that only ``reveal`` shows: no repr, no format, no serialiser does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep the password."""
        self._text = text

    def reveal(self) -> str:
        """Return the password itself."""
        return self._text

    def __repr__(self) -> str:
        """Return a text without the password."""
        return "Password(hidden)"

    def __reduce__(self) -> str:
        """Raise TypeError: a password cannot be pickled or copied."""
        raise TypeError("a password cannot be copied")


def make_password(shortest: int, randomness: "Random") -> Password:
    """Return a password of at least ``shortest`` characters, as the account's policy demands.

    It has each kind of character that a policy may demand. It begins with a letter, since a
    spreadsheet takes a text that begins with a symbol for a formula. ``randomness`` must be
    ``secrets.SystemRandom`` wherever the password protects something.
    """
    length = max(shortest, SHORTEST)
    rest = [randomness.choice(kind) for kind in _KINDS]
    rest += randomness.choices("".join(_KINDS), k=length - 1 - len(rest))
    randomness.shuffle(rest)
    return Password(randomness.choice(_UPPER + _LOWER) + "".join(rest))
