"""Reading records from wherever they lie: CloudTrail's log files, JSON lines, envelopes."""

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

STANDARD_INPUT = Path("-")

_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Found:
    """One record as it was found. ``where`` is its file and line, or place in the file."""

    where: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that should have been a record. ``why`` says what is wrong with it."""

    where: str
    why: str


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Give the files to read, in the order given; those of a folder by name, as S3 sorts them.

    Raises FileNotFoundError, whose text is the path that does not exist.
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
            raise FileNotFoundError(str(path))
    return files


def read(
    path: Path, *, on_bytes: Callable[[int], object] = lambda _: None
) -> Iterator[Found | Damage]:
    """Give what a file holds, in its order. Never raises for what the file holds.

    ``on_bytes`` is told how many bytes of the file (as stored) were read since the last call.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        with _opened(path) as stored:
            counted = _Counted(stored, on_bytes)
            plain = io.BufferedReader(counted)
            packed = plain.peek(2)[:2] == _GZIP
            yield from _records(name, gzip.GzipFile(fileobj=plain) if packed else plain)
    except (OSError, EOFError, zlib.error) as error:
        yield Damage(name, f"cannot be read to its end: {error}")


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return path.open("rb")


class _Counted(io.RawIOBase):
    """Passes reads on, and tells how many bytes they gave."""

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
    """Tell a file of one JSON value a line from a file that is one JSON value."""
    numbered = enumerate(lines, start=1)
    head: list[tuple[int, bytes]] = []
    for number, line in numbered:
        head.append((number, line.removeprefix(_BOM) if number == 1 else line))
        if line.strip():
            break
    if not head or not head[-1][1].strip():
        return  # an empty file holds no record, and nothing is wrong with it
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
    """Read a file whose first line is no JSON of its own: written over lines, or damaged."""
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
    """Take a record out of what it may be wrapped in."""
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
