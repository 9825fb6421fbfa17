"""The table in memory does what moto's does: each call of a short month is made to both."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.simulation.month import Month
from tests.simulation.user_histories import write
from tests.support.account import TABLE, opened

CALLS = ("get_item", "put_item", "update_item", "transact_write_items")


class Both:
    """Makes each call to both tables, and gives the answer if it is the same."""

    def __init__(self, memory: Any, moto: Any) -> None:
        """Take both clients."""
        self.memory = memory
        self.moto = moto
        self.exceptions = memory.exceptions
        self.compared = 0
        for name in CALLS:
            setattr(self, name, self._both(name))

    def _both(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            answers = [
                _answer(getattr(self.memory, name), arguments),
                _answer(getattr(self.moto, name), _for_moto(arguments)),
            ]
            (answer, error), (expected, other) = answers
            assert _plain(answer, error) == _plain(expected, other)
            self.compared += 1
            if error:
                raise error
            return answer

        return call

    def get_paginator(self, name: str) -> SimpleNamespace:
        """Compare all pages together: their lengths are not the same, nor need they be."""

        def paginate(**arguments: Any) -> Iterator[Any]:
            found = [
                item for page in self.memory.get_paginator(name).paginate(**arguments)
                for item in page["Items"]
            ]  # fmt: skip
            pages = self.moto.get_paginator(name).paginate(**_for_moto(arguments))
            assert found == [item for page in pages for item in page["Items"]]
            self.compared += 1
            yield {"Items": found}

        return SimpleNamespace(paginate=paginate)


def _answer(call: Callable[..., Any], arguments: Any) -> tuple[Any, ClientError | None]:
    try:
        return call(**arguments), None
    except ClientError as error:
        return None, error


def _for_moto(arguments: Any) -> Any:
    if "TransactItems" in arguments:
        items = [(kind, what) for one in arguments["TransactItems"] for kind, what in one.items()]
        return {"TransactItems": [{kind: {**what, "TableName": TABLE}} for kind, what in items]}
    return {**arguments, "TableName": TABLE}


def _plain(answer: Any, error: ClientError | None) -> Any:
    if error:
        reasons: Any = error.response.get("CancellationReasons", ())
        return error.response["Error"]["Code"], [reason["Code"] for reason in reasons]
    return {name: answer[name] for name in ("Item", "Attributes") if answer.get(name)}


class Mirrored(Month):
    """A month on both tables."""

    def _client(self) -> Both:
        self.table.stale = 0
        self.both = Both(self.table, boto3.Session(region_name="us-east-1").client("dynamodb"))
        return self.both


def test_a_short_month_is_the_same_call_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch):
        month = Mirrored(write(2, seed=3), seed=3)
        month.play()
    assert month.both.compared > 1000
    assert month.ses.sent
