"""Reading JSON that others write: what is missing, or has a type we cannot use, counts as absent.

A path such as ``userIdentity.arn`` says where a value is inside objects.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

LONGEST_TEXT: Final = 1024
"""Bytes: CloudTrail itself cuts most texts at 1 KB (user guide: *Record contents*), and no ARN of
IAM or STS is longer."""

_CUT: Final = "…"


def found(value: object, path: str) -> object:
    """Return the value at a path, of whatever type; None if there is none."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def as_text(value: object, longest: int = LONGEST_TEXT) -> str | None:
    """Take a text, and cut it with a mark if it has more bytes than that.

    JSON may hold half a character (a lone surrogate), which no service takes.
    """
    if not isinstance(value, str) or not value:
        return None
    written = value.encode(errors="replace")
    if len(written) <= longest:
        return written.decode()
    return written[: longest - len(_CUT.encode())].decode(errors="ignore") + _CUT


def text(value: object, path: str, longest: int = LONGEST_TEXT) -> str | None:
    """Return the text at a path; None if there is none, or it is empty."""
    return as_text(found(value, path), longest)


def texts(value: object, path: str) -> tuple[str, ...]:
    """Return the texts of the list at a path."""
    listed = found(value, path)
    return tuple(filter(None, map(as_text, listed))) if isinstance(listed, list) else ()


def objects(value: object, path: str) -> list[Mapping[str, Any]]:
    """Return the objects of the list at a path."""
    listed = found(value, path)
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def moment(written: str | None) -> datetime | None:
    """Return an ISO time as an aware datetime; without a zone it is in UTC."""
    try:
        at = datetime.fromisoformat(written or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
