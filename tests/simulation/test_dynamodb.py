"""The table in memory does what moto's does.

Each call of a short month is made to both, and so is each call of the adapters' tests and of the
tests of functions that are marked ``moto``. ``COMPARE_WITH_MOTO=1 make test`` does it with all.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.simulation.month import Month
from tests.simulation.user_histories import write
from tests.support.account import TABLE, Account, opened

Wire = dict[str, Any]
Call = tuple[str, dict[str, Any]]
"""What is called, and with what."""

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


def test_the_table_in_memory_answers_a_short_month_call_by_call_as_moto_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch, moto=True):
        month = Mirrored(write(2, seed=3), seed=3)
        month.play()
    assert month.both.compared > 1000
    assert month.ses.sent


# What is refused --------------------------------------------------------------------------------


def key(pk: str = "a", sk: str = "b") -> Wire:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(**attributes: Wire) -> Call:
    return "put_item", {"Item": key() | attributes}


def put_if(condition: str, **asked: Wire) -> Call:
    return "put_item", {"Item": key(), "ConditionExpression": condition, **asked}


def update(expression: str, asked: Wire, pk: str = "a") -> Call:
    return "update_item", {"Key": key(pk), "UpdateExpression": expression, **asked}


def query(condition: str, **asked: Any) -> Call:
    return "query", {"KeyConditionExpression": condition, **asked}


def puts(*items: Wire) -> Call:
    return "transact_write_items", {
        "TransactItems": [{"Put": {"TableName": TABLE, "Item": item}} for item in items]
    }


ONE, TEXT = {"N": "1"}, {"S": "x"}
A_NUMBER = {"ExpressionAttributeValues": {":a": ONE}}
A_TEXT = {"ExpressionAttributeValues": {":a": TEXT}}
TWO = {"ExpressionAttributeValues": {":a": TEXT, ":b": TEXT}}
LARGE = {"S": "é" * 205_000}
REFUSED: dict[str, Call] = {
    "a key without its sort key": ("get_item", {"Key": {"pk": TEXT}}),
    "an empty partition key": ("put_item", {"Item": key("")}),
    "a number as a key": put(pk=ONE),
    "a partition key of 2049 bytes": ("put_item", {"Item": key("a" * 2049)}),
    "a sort key of 1025 bytes": ("put_item", {"Item": key("a", "b" * 1025)}),
    "an empty key of an index": put(due_shard={"S": ""}, due_at=TEXT),
    "an item of more than 400 KB": put(text=LARGE),
    "an item of more than 400 KB in a transaction": puts(key() | {"text": LARGE}),
    "an item twice in a transaction": puts(key(), key()),
    "a transaction of 101 writes": puts(*(key(str(number)) for number in range(101))),
    "a value that no update uses": update("SET a = :a", TWO),
    "a value that is not given": update("SET a = :a, b = :b", A_NUMBER),
    "a name that no update uses": update(
        "SET a = :a", {"ExpressionAttributeNames": {"#b": "b"}, **A_NUMBER}
    ),
    "a reserved word in an update": update("SET status = :a", A_NUMBER),
    "a reserved word in a condition": put_if("status = :a", **A_NUMBER),
    "a reserved word in a function": put_if("attribute_not_exists(status)"),
    "an update of a key": update("SET sk = :a", A_TEXT),
    "an update in no language": update("MAKE a :a", A_NUMBER),
    "adding a text": update("ADD a :a", A_TEXT, "there"),
    "adding to a text": update("ADD word :a", A_NUMBER, "there"),
    "a sum with a text": update("SET a = word + :a", A_NUMBER, "there"),
    "a sum with nothing": update("SET a = gone + :a", A_NUMBER, "there"),
    "a query of no partition": query("sk = :a", **A_TEXT),
    "another table": ("get_item", {"Key": key(), "TableName": "another"}),
}
REFUSED_BY_AWS_ALONE: dict[str, Call] = {
    "reading by a key of 2049 bytes": ("get_item", {"Key": key("a" * 2049)}),
    "a number as a key of an index": put(due_shard=TEXT, due_at=ONE),
    "a name that is not given": update("SET #a = :a", A_NUMBER),
    "a value that is not given": put_if("a = :a"),
    "a value that no condition uses": put_if("attribute_not_exists(pk)", **A_NUMBER),
    "a value that no query uses": query("pk = :a", **TWO),
    "an index that is not there": query("pk = :a", IndexName="another", **A_TEXT),
}


def make(account: Account, call: Call) -> None:
    name, asked = call
    account.dynamodb.put_item(TableName=TABLE, Item=key("there") | {"word": TEXT})
    table = {} if name == "transact_write_items" else {"TableName": TABLE}
    getattr(account.dynamodb, name)(**table | asked)


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_call_that_moto_refuses_is_refused_with_the_same_code(
    monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    with opened(monkeypatch, moto=True) as account, pytest.raises(ClientError):
        make(account, call)


@pytest.mark.parametrize("call", REFUSED_BY_AWS_ALONE.values(), ids=REFUSED_BY_AWS_ALONE)
def test_a_call_that_aws_refuses_is_refused_although_moto_accepts_it(
    monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    with opened(monkeypatch) as account, pytest.raises(ClientError, match="ValidationException"):
        make(account, call)


@pytest.mark.parametrize("write", [put, lambda **item: puts(key() | item)], ids=["put", "puts"])
def test_text_with_half_a_surrogate_pair_is_refused(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Call]
) -> None:
    # moto refuses it, too, but with a UnicodeEncodeError of its own instead of AWS's answer.
    with opened(monkeypatch) as account, pytest.raises(ClientError, match="ValidationException"):
        make(account, write(text={"S": "\ud800"}))


def differing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table in memory have what moto's has not."""
    with opened(monkeypatch, moto=True) as account:
        account.stored.put_item(Item=key())
        account.dynamodb.get_item(TableName=TABLE, Key=key())


def test_a_difference_from_moto_fails_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="answers otherwise than moto"):
        differing(monkeypatch)
