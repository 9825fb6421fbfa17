"""Read records from CloudTrail's log files, JSON lines and EventBridge events."""

import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mfa_watcher.cli.terminal import WrongCallError

STANDARD_INPUT = Path("-")

_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Found:
    """One record as it was found. ``where`` is its file and its line or position."""

    where: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """An item that is no readable record. ``why`` says what is wrong with it."""

    where: str
    why: str


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files to read, in the order given. Files of a folder are sorted by name, as in S3.

    Raises WrongCallError if a path does not exist.
    """
    files: list[Path] = []
    for path in paths:
        if path == STANDARD_INPUT:
            files.append(path)
        elif path.is_dir():
            inside = (entry for entry in path.rglob("*") if entry.name.endswith(_SUFFIXES))
            files.extend(sorted(entry for entry in inside if entry.is_file()))
        elif path.exists():
            files.append(path)
        else:
            raise WrongCallError(f"no such file or folder: {path}")
    return files


def read(
    path: Path, *, on_bytes: Callable[[int], object] = lambda _: None
) -> Iterator[Found | Damage]:
    """Yield the records of a file in its order. Damaged content raises nothing, but yields Damage.

    ``on_bytes`` gets the number of bytes of the file (as stored) read since the last call.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        with _opened(path) as stored:
            counted = _Counted(stored, on_bytes)
            plain = io.BufferedReader(counted)
            packed = plain.peek(2)[:2] == _GZIP
            yield from _records(name, gzip.GzipFile(fileobj=plain) if packed else plain)
    except (OSError, EOFError, zlib.error) as error:
        yield Damage(name, f"cannot be read to the end: {error}")


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return path.open("rb")


class _Counted(io.RawIOBase):
    """A stream that reports how many bytes were read from it."""

    def __init__(self, inner: BinaryIO, on_bytes: Callable[[int], object]) -> None:
        self._inner = inner
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer, as io has it
        data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        self._on_bytes(len(data))
        return len(data)


def _records(name: str, lines: Iterable[bytes]) -> Iterator[Found | Damage]:
    """Yield the records of a file with one JSON value per line, or with one JSON value."""
    numbered = enumerate(lines, start=1)
    head: list[tuple[int, bytes]] = []
    for number, line in numbered:
        head.append((number, line.removeprefix(_BOM) if number == 1 else line))
        if line.strip():
            break
    if not head or not head[-1][1].strip():
        return  # an empty file has no records, and is not damaged
    value = _parsed(head[-1][1])
    if isinstance(value, _Unparsable):
        head.extend(numbered)
        yield from _one_value_or_lines(name, head)
        return
    yield from _unpacked(f"{name}:{head[-1][0]}", value)
    for number, line in numbered:
        if line.strip():
            yield from _unpacked(f"{name}:{number}", _parsed(line))


def _one_value_or_lines(name: str, lines: list[tuple[int, bytes]]) -> Iterator[Found | Damage]:
    """Yield the records of a file whose first line is no JSON of its own: one value, or damage."""
    whole = _parsed(b"".join(line for _, line in lines))
    if not isinstance(whole, _Unparsable):
        yield from _unpacked(name, whole)
        return
    values = [(number, _parsed(line)) for number, line in lines if line.strip()]
    if any(isinstance(value, dict) for _, value in values):
        for number, value in values:
            yield from _unpacked(f"{name}:{number}", value)
    else:
        yield Damage(name, whole.why)


def _unpacked(where: str, value: object) -> Iterator[Found | Damage]:
    match value:
        case _Unparsable(why=why):
            yield Damage(where, why)
        case {"Records": list(records)}:
            yield from _listed(f"{where}: Records", records)
        case {"Events": list(events)}:
            yield from _listed(f"{where}: Events", events)
        case list():
            yield from _listed(where, value)
        case {"Records": _}:
            yield Damage(where, "Records is not a list")
        case _:
            yield _one(where, value)


def _listed(where: str, values: list[object]) -> Iterator[Found | Damage]:
    return (_one(f"{where}[{position}]", value) for position, value in enumerate(values))


def _one(where: str, value: Any) -> Found | Damage:  # noqa: ANN401, PLR0911 - any JSON; a table
    """Return the record that a value is or contains, or the damage."""
    match value:
        case _Unparsable(why=why):
            return Damage(where, why)
        case {"eventName": _, "eventSource": _}:
            return Found(where, value)
        case {"detail": dict(record)} | {"record": dict(record)}:  # EventBridge, exports
            return Found(where, record)
        case {"detail": _, "detail-type": _}:
            return Damage(where, "the event's detail is not an object")
        case {"CloudTrailEvent": str(text)}:  # what `aws cloudtrail lookup-events` prints
            return _one(where, _parsed(text.encode()))
        case dict():
            return Found(where, value)
        case _:
            return Damage(where, f"not a record but a JSON {_kind(value)}")


def _kind(value: object) -> str:
    return {str: "string", bool: "boolean", list: "list"}.get(
        type(value), "null" if value is None else "number"
    )


@dataclass(frozen=True, slots=True)
class _Unparsable:
    why: str


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return _Unparsable(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}")
    except UnicodeDecodeError:
        return _Unparsable("not JSON: not UTF-8 text")
    except (RecursionError, ValueError) as error:
        return _Unparsable(f"not JSON that can be read: {error}")
