"""Tags on a mail, by which we find the intent that a report of SES is about."""

import re

LONGEST = 256

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]|(?<=_)_")
_ESCAPE = re.compile(r"__([0-9a-f]{2})")


def to_tag(text: str) -> str:
    """Return a text in the characters that a tag may have (SES API reference: ``MessageTag``).

    Any other character is written as ``__`` and two hexadecimal digits for each of its bytes. So
    two texts never become one tag, and ``from_tag`` returns the text again.
    """
    written = _ILLEGAL.sub(
        lambda found: "".join(f"__{byte:02x}" for byte in found[0].encode(errors="replace")), text
    )
    return written[:LONGEST]


def from_tag(tag: str) -> str:
    """Return the text that ``to_tag`` wrote. Never raises: other tags become some text."""
    read = bytearray()
    at = 0
    for found in _ESCAPE.finditer(tag):
        read += tag[at : found.start()].encode(errors="replace") + bytes.fromhex(found[1])
        at = found.end()
    return (read + tag[at:].encode(errors="replace")).decode(errors="replace")
