"""DynamoDB in memory, as far as the adapters use it.

moto copies its whole table for each transaction, and a month has tens of thousands. Here one takes
microseconds; ``test_dynamodb.py`` holds it against moto. It is meaner than moto, too: pages are
short, and the index may still show what has just left it, as AWS's does.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

Wire = dict[str, Any]
Key = tuple[str, str]
Condition = Callable[[Wire, Wire, Wire], bool]

PAGE = 7
_INDEXED = ("pk", "sk", "due_shard", "due_at")
_IN_ROSTER = (
    "pk",
    "sk",
    "inventory",
    "inventory_id",
    "name",
    "mfa_status",
    "devices",
    "devices_unread",
    "version",
)
MOST_IN_A_TRANSACTION = 100


class ConditionalCheckFailedError(ClientError):
    """The item is not as the call wants it."""


class TransactionCanceledError(ClientError):
    """One of the transaction's conditions does not hold."""


class MemoryDynamo:
    """One table, with the methods of a boto3 client. ``turn`` is called before each call."""

    exceptions = SimpleNamespace(
        ConditionalCheckFailedException=ConditionalCheckFailedError,
        TransactionCanceledException=TransactionCanceledError,
    )

    def __init__(self, turn: Callable[[], None] = lambda: None, *, seed: int = 0) -> None:
        """Make an empty table."""
        self.stale = 0.2
        self._turn = turn
        self._random = Random(seed)  # noqa: S311 - a simulation
        self.items: dict[Key, Wire] = {}
        self._due: dict[str, dict[Key, str]] = {}
        self._left: dict[str, dict[Key, str]] = {}
        self._roster: dict[str, dict[Key, Wire]] = {}
        self._former: dict[Key, Wire] = {}
        self.inserted: list[str] = []
        """Partition keys of new intents, as the stream brings them."""

    def get_item(self, **call: Any) -> Wire:
        """Give an item, always as it is now."""
        self._turn()
        found = self.items.get(_key(call["Key"]))
        return {"Item": dict(found)} if found else {}

    def put_item(self, **call: Any) -> Wire:
        """Put an item, if its condition holds."""
        self._turn()
        self._check(call, _key(call["Item"]))
        self._put(dict(call["Item"]))
        return {}

    def update_item(self, **call: Any) -> Wire:
        """Change an item, if its condition holds."""
        self._turn()
        self._check(call, _key(call["Key"]))
        before, after, touched = self._updated(call)
        self._put(after)
        match call.get("ReturnValues"):
            case "ALL_NEW":
                return {"Attributes": dict(after)}
            case "UPDATED_OLD":
                return {"Attributes": {name: before[name] for name in touched if name in before}}
            case _:
                return {}

    def transact_write_items(self, **call: Any) -> Wire:
        """Write all or nothing."""
        self._turn()
        writes = [next(iter(write.items())) for write in call["TransactItems"]]
        keys = [_key(write.get("Key") or write["Item"]) for _, write in writes]
        if len(set(keys)) != len(keys) or len(keys) > MOST_IN_A_TRANSACTION:
            raise _refusal(ClientError, "ValidationException")
        holds = [self._holds(write, key) for (_, write), key in zip(writes, keys, strict=True)]
        if not all(holds):
            reasons = [{"Code": "None" if one else "ConditionalCheckFailed"} for one in holds]
            error = _refusal(TransactionCanceledError, "TransactionCanceledException")
            error.response["CancellationReasons"] = reasons
            raise error
        for kind, write in writes:
            self._put(self._updated(write)[1] if kind == "Update" else dict(write["Item"]))
        return {}

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """Give what pages through a query of the index, or through the whole table."""
        pages = {"query": self._query, "scan": self._scan}[operation]
        return SimpleNamespace(paginate=pages)

    def next_due(self, *shards: str) -> str | None:
        """Say when the first item in the index is due, of those whose key begins so."""
        times = [
            at
            for shard, due in self._due.items()
            if shard.startswith(shards)
            for at in due.values()
        ]
        return min(times, default=None)

    def _query(self, **call: Any) -> Iterator[Wire]:
        yield from (
            self._query_roster(**call)
            if call["IndexName"] == "inventory"
            else self._query_due(**call)
        )

    def _query_roster(self, **call: Any) -> Iterator[Wire]:
        shard = call["ExpressionAttributeValues"][":shard"]["S"]
        self._turn()
        shown = sorted(self._roster.get(shard, {}).items())
        if self._random.random() < self.stale:
            shown = [(key, self._former.get(key, item)) for key, item in shown]
        for start in range(0, len(shown) + 1, PAGE):
            page = [item for _, item in shown[start : start + PAGE]]
            yield {"Items": [_projected(item, _IN_ROSTER) for item in page]}

    def _query_due(self, **call: Any) -> Iterator[Wire]:
        values, names = call["ExpressionAttributeValues"], call.get("ExpressionAttributeNames", {})
        shard = next(value["S"] for name, value in values.items() if name == ":shard")
        wanted = _condition(call["KeyConditionExpression"])
        ghosts = dict(self._left.get(shard, {})) if self._random.random() < self.stale else {}
        last = ("", ("", ""))
        while True:
            self._turn()
            shown = ghosts | self._due.get(shard, {})
            after = sorted((at, key) for key, at in shown.items() if (at, key) > last)
            found = [
                (at, key)
                for at, key in after
                if wanted({"due_shard": {"S": shard}, "due_at": {"S": at}}, names, values)
            ][:PAGE]
            yield {
                "Items": [
                    dict(zip(_INDEXED, ({"S": text} for text in (*key, shard, at)), strict=True))
                    for at, key in found
                ]
            }
            if len(found) < PAGE:
                return
            last = found[-1]

    def _scan(self, **call: Any) -> Iterator[Wire]:
        self._turn()
        wanted = _condition(call["FilterExpression"])
        names = call.get("ExpressionAttributeNames", {})
        values = call["ExpressionAttributeValues"]
        yield {"Items": [dict(i) for i in self.items.values() if wanted(i, names, values)]}

    def _holds(self, call: Wire, key: Key) -> bool:
        if "ConditionExpression" not in call:
            return True
        return _condition(call["ConditionExpression"])(
            self.items.get(key, {}),
            call.get("ExpressionAttributeNames", {}),
            call.get("ExpressionAttributeValues", {}),
        )

    def _check(self, call: Wire, key: Key) -> None:
        if not self._holds(call, key):
            raise _refusal(ConditionalCheckFailedError, "ConditionalCheckFailedException")

    def _updated(self, call: Wire) -> tuple[Wire, Wire, list[str]]:
        names = call.get("ExpressionAttributeNames", {})
        values = call.get("ExpressionAttributeValues", {})
        before = self.items.get(_key(call["Key"]), dict(call["Key"]))
        after, touched = dict(before), []
        for verb, clause in _clauses(call["UpdateExpression"]):
            target, rest = clause[0], clause[1:]
            name = names.get(target, target)
            touched.append(name)
            match verb, rest:
                case "REMOVE", []:
                    after.pop(name, None)
                case "ADD", [value]:
                    after[name] = _sum(before.get(name, {"N": "0"}), values[value])
                case "SET", ["=", one]:
                    after[name] = _value(one, before, names, values)
                case "SET", ["=", one, "+", other]:
                    summands = (_value(part, before, names, values) for part in (one, other))
                    after[name] = _sum(*summands)
                case _:
                    raise _refusal(ClientError, "ValidationException")
        return before, after, touched

    def _put(self, item: Wire) -> None:
        key = _key(item)
        before = self.items.get(key, {})
        if not before and key[0].startswith("INTENT#"):
            self.inserted.append(key[0])
        self.items[key] = item
        if (shard := before.get("inventory")) is not None:
            self._former[key] = self._roster[shard["S"]].pop(key)
        if (shard := item.get("inventory")) is not None:
            self._roster.setdefault(shard["S"], {})[key] = item
        if (old := before.get("due_shard")) is not None and "due_at" in before:
            at = self._due[old["S"]].pop(key)
            gone = self._left.setdefault(old["S"], {})
            gone[key] = at
            while len(gone) > PAGE:
                gone.pop(next(iter(gone)))
        if (new := item.get("due_shard")) is not None and "due_at" in item:
            self._due.setdefault(new["S"], {})[key] = item["due_at"]["S"]


def _projected(item: Wire, names: tuple[str, ...]) -> Wire:
    return {name: item[name] for name in names if name in item}


def _key(item: Wire) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def _refusal(error: type[ClientError], code: str) -> Any:
    return error({"Error": {"Code": code, "Message": "no"}}, "Call")


def _sum(one: Wire, other: Wire) -> Wire:
    return {"N": str(Decimal(one["N"]) + Decimal(other["N"]))}


# Expressions: what boto3 sends, in DynamoDB's own language ----------------------------------------

_TOKEN = re.compile(r"\s*(<=|>=|<>|[=<>(),+-]|[#:]?\w+)")
_VERBS = ("SET", "REMOVE", "ADD")


def _tokens(text: str) -> list[str]:
    found = _TOKEN.findall(text)
    if "".join(found) != re.sub(r"\s", "", text):
        raise ValueError(text)
    return found


def _value(token: str, item: Wire, names: Wire, values: Wire) -> Any:
    return values[token] if token.startswith(":") else item.get(names.get(token, token))


def _comparable(value: Wire) -> Any:
    return Decimal(value["N"]) if "N" in value else next(iter(value.values()))


@cache
def _clauses(text: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for token in _tokens(text):
        if token in _VERBS:
            found.append((token, []))
        elif token == ",":  # noqa: S105 - a token of an expression
            found.append((found[-1][0], []))
        else:
            found[-1][1].append(token)
    return found


@cache
def _condition(text: str) -> Condition:
    tokens = _tokens(text)
    parsed = _either(tokens)
    if tokens:
        raise ValueError(text)
    return parsed


def _either(tokens: list[str]) -> Condition:
    parts = [_both(tokens)]
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        parts.append(_both(tokens))
    return lambda *what: any(part(*what) for part in parts)


def _both(tokens: list[str]) -> Condition:
    parts = [_one(tokens)]
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        parts.append(_one(tokens))
    return lambda *what: all(part(*what) for part in parts)


def _one(tokens: list[str]) -> Condition:
    first = tokens.pop(0)
    match first:
        case "(":
            inner = _either(tokens)
            tokens.pop(0)
            return inner
        case "NOT":
            negated = _one(tokens)
            return lambda *what: not negated(*what)
        case "attribute_exists" | "attribute_not_exists":
            _, path, _ = (tokens.pop(0) for _ in range(3))
            there = first == "attribute_exists"
            return lambda item, names, values: (
                (_value(path, item, names, values) is not None) is there
            )
        case "begins_with":
            _, path, _, start, _ = (tokens.pop(0) for _ in range(5))
            return lambda item, names, values: str(
                (_value(path, item, names, values) or {}).get("S", "")
            ).startswith(values[start]["S"])
        case _:
            operator, other = tokens.pop(0), tokens.pop(0)
            return _comparison(first, operator, other)


def _comparison(one: str, operator: str, other: str) -> Condition:
    compare: Callable[[Any, Any], bool] = {
        "=": lambda a, b: a == b,
        "<>": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }[operator]

    def holds(item: Wire, names: Wire, values: Wire) -> bool:
        left, right = (_value(token, item, names, values) for token in (one, other))
        if left is None or right is None:
            return False
        return compare(_comparable(left), _comparable(right))

    return holds
