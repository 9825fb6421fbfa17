"""Answers boto3's calls to DynamoDB from memory; if wanted, from moto too, and compares them."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber
from moto.dynamodb.models import dynamodb_backends

from tests.support.dynamodb import MemoryDynamo

Answer = tuple[int, Any, Any]
"""Status, headers and body."""

REGION = "us-east-1"
_API = "DynamoDB_20120810."
_COMPARED = frozenset({
    "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "TransactWriteItems", "UpdateItem",
})  # fmt: skip


@contextmanager
def answered_by(table: MemoryDynamo) -> Iterator[None]:
    """Let a table in memory answer what moto would answer."""

    def process(request: AWSPreparedRequest) -> Answer | None:
        if not (operation := _operation(request)):
            return _by_moto(request)
        status, said = table.answer(operation, _body(request))
        return status, {}, json.dumps(said)

    with _processed_by(process):
        yield


@contextmanager
def compared_with(table: MemoryDynamo) -> Iterator[None]:
    """Let moto answer, and hold a table in memory against it, call by call."""
    differences = []

    def process(request: AWSPreparedRequest) -> Answer | None:
        expected = _by_moto(request)
        operation = _operation(request)
        if operation in _COMPARED and expected:
            body = _body(request)
            here, there = table.answer(operation, body), (expected[0], json.loads(expected[2]))
            if plain(*here, there[1]) != plain(*there, there[1]):
                differences.append((operation, body, here, there))
        return expected

    with _processed_by(process):
        yield
        held = _held_by_moto(table.name)
    assert differences == [], "the table in memory answers otherwise than moto"
    assert _sorted(held) == _sorted(table.items.values()), "it holds something else than moto's"


@contextmanager
def _processed_by(process: Callable[[AWSPreparedRequest], Answer | None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore_stubber, "process_request", process)
        yield


def _by_moto(request: AWSPreparedRequest) -> Answer | None:
    return BotocoreStubber.process_request(botocore_stubber, request)


def plain(status: int, said: Any, expected: Any) -> Any:
    """Return what must be the same in both answers.

    That is what was found, or what is wrong. Messages have other words, and moto's page, which is
    ``expected``, may be shorter.
    """
    if status != 200:
        reasons = [reason["Code"] for reason in said.get("CancellationReasons", ())]
        return said["__type"].rpartition("#")[2], reasons
    found = said.get("Items", ())
    if "LastEvaluatedKey" in expected:
        found = found[: len(expected["Items"])]
    return [said[name] for name in ("Item", "Attributes") if said.get(name)], list(found)


def _held_by_moto(table: str) -> list[Any]:
    backends = (regions[REGION] for regions in dynamodb_backends.values())
    tables = (backend.tables[table] for backend in backends if table in backend.tables)
    return [item.to_json()["Attributes"] for one in tables for item in one.all_items()]


def _sorted(items: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(item, sort_keys=True) for item in items)


def _operation(request: AWSPreparedRequest) -> str:
    target: Any = request.headers.get("X-Amz-Target", b"")  # bytes, whatever its type says
    text = target.decode() if isinstance(target, bytes) else target
    return text.removeprefix(_API) if text.startswith(_API) else ""


def _body(request: AWSPreparedRequest) -> bytes:
    body = request.body
    assert isinstance(body, bytes)
    return body
