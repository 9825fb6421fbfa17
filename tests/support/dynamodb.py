"""DynamoDB in memory, as far as the product uses it.

moto copies its whole table for each transaction, and a month has tens of thousands. Here one takes
microseconds. The adapters' tests make each call to both, and want the same answer: see
``tests/support/boto3_calls.py``. It can be meaner than moto, too: pages are short, and an index may
still show what was there a moment ago, as AWS's may.
"""

import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from mfa_watcher.adapters.items import from_wire
from tests.support.aws_limits import (
    expression_faults,
    item_faults,
    item_size,
    key_faults,
    transaction_faults,
)
from tests.support.expressions import (
    Condition,
    ExpressionError,
    Update,
    Used,
    Wire,
    condition,
    update,
)
from tests.template.cloudformation import Template

Parsed = TypeVar("Parsed", Condition, Update)
Key = tuple[str, str]
Place = tuple[str, Key]
"""Where an item stands among those of its partition."""

SHORT_PAGE = 7
LONG_PAGE = 1000
"""About as many small items as DynamoDB has on a page of a megabyte."""

REMEMBERED = 7
"""How many items of a partition of an index may still be shown as they were."""


class ConditionalCheckFailedError(ClientError):
    """The item is not as the call wants it."""


class TransactionCanceledError(ClientError):
    """One of the transaction's conditions does not hold."""


@dataclass
class Index:
    """Some items of the table, by other keys: those that have these keys."""

    hash: str
    range: str
    projected: frozenset[str] | None
    """The attributes that are in it; None if all are."""
    now: dict[str, dict[Key, Wire]] = field(default_factory=dict)
    """By the value of ``hash``."""
    before: dict[str, dict[Key, Wire]] = field(default_factory=dict)
    """What was there a moment ago, and has left or changed since."""

    def replace(self, key: Key, old: Wire, new: Wire) -> None:
        """Follow the table."""
        if self._has(old):
            partition = old[self.hash]["S"]
            del self.now[partition][key]
            kept = self.before.setdefault(partition, {})
            kept.pop(key, None)
            kept[key] = old
            if len(kept) > REMEMBERED:
                del kept[next(iter(kept))]
        if self._has(new):
            self.now.setdefault(new[self.hash]["S"], {})[key] = new

    def places(self, partition: str, *, stale: bool) -> Iterator[tuple[Place, Wire]]:
        """Return the items of a partition, and by what they are ordered."""
        shown = self.now.get(partition, {})
        if stale:
            shown = self.before.get(partition, {}) | shown
        return (((item[self.range]["S"], key), item) for key, item in shown.items())

    def shown(self, item: Wire) -> Wire:
        """Return as much of an item as is in the index."""
        if self.projected is None:
            return dict(item)
        return {name: value for name, value in item.items() if name in self.projected}

    def _has(self, item: Wire) -> bool:
        return self.hash in item and self.range in item


class MemoryDynamo:
    """The product's table, with the methods of a boto3 client. ``turn`` is called before each call.

    ``stale`` is the chance that a read shows what was there before: of an index, or of an item if
    the call does not ask for a consistent read.
    """

    exceptions = SimpleNamespace(
        ConditionalCheckFailedException=ConditionalCheckFailedError,
        TransactionCanceledException=TransactionCanceledError,
    )

    def __init__(
        self,
        turn: Callable[[], None] = lambda: None,
        *,
        name: str = "",
        seed: int = 0,
        stale: float = 0.2,
        page: int = SHORT_PAGE,
    ) -> None:
        """Make an empty table. With a name, it answers requests about a table of that name only."""
        self.name = name
        self.stale = stale
        self.page = page
        self._turn = turn
        self._random = Random(seed)  # noqa: S311 - a simulation
        self.items: dict[Key, Wire] = {}
        self._former: dict[Key, Wire] = {}
        self._plain: dict[Key, tuple[Wire, dict[str, Any]]] = {}
        self._partitions: dict[str, dict[Key, Wire]] = {}
        self._indexes = _declared_indexes()
        self.inserted: list[str] = []
        """Partition keys of new intents, as the stream brings them."""

    def get_item(self, **call: Any) -> Wire:
        """Return an item; unless it must be as it is now, perhaps as it was before."""
        self._turn()
        key = _key(call["Key"])
        found = self.items.get(key)
        if not call.get("ConsistentRead") and self._is_stale():
            found = self._former.get(key)
        return {"Item": dict(found)} if found else {}

    def put_item(self, **call: Any) -> Wire:
        """Put an item, if its condition holds."""
        self._turn()
        self._write({"Put": call})
        return {}

    def delete_item(self, **call: Any) -> Wire:
        """Delete an item."""
        self._turn()
        key = _key(call["Key"])
        if key in self.items:
            self._put(key, {})
        return {}

    def update_item(self, **call: Any) -> Wire:
        """Change an item, if its condition holds."""
        self._turn()
        before, after, touched = self._write({"Update": call})
        match call.get("ReturnValues"):
            case "ALL_NEW":
                return {"Attributes": dict(after)}
            case "UPDATED_OLD":
                old = {name: before[name] for name in touched if name in before}
                return {"Attributes": old} if old else {}
            case _:
                return {}

    def transact_write_items(self, **call: Any) -> Wire:
        """Write all or nothing."""
        self._turn()
        writes = call["TransactItems"]
        keys = [_key_of_write(write) for write in writes]
        _refuse(transaction_faults(writes))
        held = [self._holds(write, key) for write, key in zip(writes, keys, strict=True)]
        if not all(held):
            raise _cancelled(held)
        written = [self._written(write, key)[1] for write, key in zip(writes, keys, strict=True)]
        _refuse(transaction_faults(writes, sum(map(item_size, written))))
        for key, item in zip(keys, written, strict=True):
            self._put(key, item)
        return {}

    def query(self, **call: Any) -> Wire:
        """Return a page of a query, of the table or of an index."""
        self._turn()
        names, values = call.get("ExpressionAttributeNames", {}), call["ExpressionAttributeValues"]
        wanted = _parsed(condition, call["KeyConditionExpression"])
        filtered = _parsed(condition, call.get("FilterExpression", "attribute_exists(pk)"))
        _check_placeholders(call, wanted.used | filtered.used)
        if call.get("IndexName", "due") not in self._indexes:
            raise _refusal("ValidationException", message=f"no index {call['IndexName']}")
        index = self._indexes[call["IndexName"]] if "IndexName" in call else None
        found = self._partition(index, wanted, values)
        ascending = call.get("ScanIndexForward", True)
        if start := call.get("ExclusiveStartKey"):
            last = (start[index.range if index else "sk"]["S"], _key(start))
            found = (one for one in found if (one[0] > last if ascending else one[0] < last))
        matching = [one for one in found if wanted.holds(one[1], names, values)]
        first = (heapq.nsmallest if ascending else heapq.nlargest)(
            self.page, matching, key=lambda one: one[0]
        )
        shown = [index.shown(item) if index else dict(item) for _, item in first]
        items = [item for item in shown if filtered.holds(item, names, values)]
        answer: Wire = {"Items": items, "Count": len(items), "ScannedCount": len(first)}
        if len(first) == self.page:
            keys = ("pk", "sk", *((index.hash, index.range) if index else ()))
            answer["LastEvaluatedKey"] = {name: first[-1][1][name] for name in keys}
        return answer

    def _partition(
        self, index: Index | None, wanted: Condition, values: Wire
    ) -> Iterator[tuple[Place, Wire]]:
        """Return the items of the partition that a query is about, and by what they are ordered."""
        by = index.hash if index else "pk"
        if by not in wanted.equal:
            raise _refusal("ValidationException", message=f"the query names no {by}")
        partition = values[wanted.equal[by]]["S"]
        if index:
            return index.places(partition, stale=self._is_stale())
        items = self._partitions.get(partition, {})
        return (((key[1], key), item) for key, item in items.items())

    def scan(self, **call: Any) -> Wire:
        """Return the items of the whole table that a filter lets through, in one page."""
        self._turn()
        names = call.get("ExpressionAttributeNames", {})
        values = call.get("ExpressionAttributeValues", {})
        wanted = _parsed(condition, call["FilterExpression"])
        _check_placeholders(call, wanted.used)
        items = [dict(item) for item in self.items.values() if wanted.holds(item, names, values)]
        return {"Items": items, "Count": len(items), "ScannedCount": len(self.items)}

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """Return what pages through a query or a scan."""
        call = {"query": self.query, "scan": self.scan}[operation]

        def paginate(**asked: Any) -> Iterator[Wire]:
            while True:
                page = call(**asked)
                yield page
                if "LastEvaluatedKey" not in page:
                    return
                asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

        return SimpleNamespace(paginate=paginate)

    def answer(self, operation: str, body: bytes) -> tuple[int, Wire]:
        """Answer a request as DynamoDB's API does: with a status, and with what it says."""
        calls: dict[str, Callable[..., Wire]] = {
            "DeleteItem": self.delete_item,
            "GetItem": self.get_item,
            "PutItem": self.put_item,
            "Query": self.query,
            "Scan": self.scan,
            "TransactWriteItems": self.transact_write_items,
            "UpdateItem": self.update_item,
        }
        asked = json.loads(body)
        try:
            self._check_names(asked)
            return 200, calls[operation](**asked)
        except ClientError as error:
            said: Any = error.response
            code, message = said["Error"]["Code"], said["Error"]["Message"]
            told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
            if "CancellationReasons" in said:
                told["CancellationReasons"] = said["CancellationReasons"]
            return 400, told

    def plain(self, key: Key) -> dict[str, Any]:
        """Return an item in plain values, read once as long as it stays as it is."""
        item = self.items[key]
        if key not in self._plain or self._plain[key][0] is not item:
            self._plain[key] = (item, from_wire(item))
        return dict(self._plain[key][1])

    def next_due(self, *shards: str) -> str | None:
        """Return when the first item in the index is due, of those whose key begins so."""
        times = [
            item["due_at"]["S"]
            for shard, due in self._indexes["due"].now.items()
            if shard.startswith(shards)
            for item in due.values()
        ]
        return min(times, default=None)

    def _check_names(self, asked: Wire) -> None:
        writes = asked.get("TransactItems", ({"": asked},))
        if self.name and any(one["TableName"] != self.name for w in writes for one in w.values()):
            raise _refusal("ResourceNotFoundException")

    # Writing --------------------------------------------------------------------------------------

    def _write(self, write: Wire) -> tuple[Wire, Wire, list[str]]:
        """Write one item; returns it as it was and as it is, and what was changed."""
        key = _key_of_write(write)
        if not self._holds(write, key):
            raise _refusal("ConditionalCheckFailedException", ConditionalCheckFailedError)
        before, after, touched = self._written(write, key)
        self._put(key, after)
        return before, after, touched

    def _holds(self, write: Wire, key: Key) -> bool:
        [(kind, call)] = write.items()
        used = Used()
        if kind == "Update":
            used = _parsed(update, call["UpdateExpression"]).used
        wanted = None
        if "ConditionExpression" in call:
            wanted = _parsed(condition, call["ConditionExpression"])
            used |= wanted.used
        _check_placeholders(call, used)
        return wanted is None or wanted.holds(
            self.items.get(key, {}),
            call.get("ExpressionAttributeNames", {}),
            call.get("ExpressionAttributeValues", {}),
        )

    def _written(self, write: Wire, key: Key) -> tuple[Wire, Wire, list[str]]:
        [(kind, call)] = write.items()
        before = self.items.get(key, {})
        touched: list[str] = []
        if kind == "Put":
            after = dict(call["Item"])
        else:
            try:
                after, touched = update(call["UpdateExpression"]).applied_to(
                    before or dict(call["Key"]),
                    call.get("ExpressionAttributeNames", {}),
                    call.get("ExpressionAttributeValues", {}),
                )
            except ExpressionError as error:
                raise _refusal("ValidationException", message=str(error)) from None
            if not {"pk", "sk"}.isdisjoint(touched):
                raise _refusal("ValidationException", message="a key cannot be changed")
        for index in self._indexes.values():
            for name in (index.hash, index.range):
                if name in after and "S" not in after[name]:
                    raise _refusal("ValidationException", message=f"{name} is no key")
        if "\\ud" in repr(after):  # so a lone surrogate is written, half of a character
            try:
                json.dumps(after, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                raise _refusal("ValidationException", message=str(error)) from None
        _refuse(item_faults(after, [(index.hash, index.range) for index in self._indexes.values()]))
        return before, after, touched

    def _is_stale(self) -> bool:
        return bool(self.stale) and self._random.random() < self.stale

    def _put(self, key: Key, item: Wire) -> None:
        before = self._former[key] = self.items.get(key, {})
        if item:
            self.items[key] = item
            self._partitions.setdefault(key[0], {})[key] = item
        else:
            del self.items[key], self._partitions[key[0]][key]
        if item and not before and key[0].startswith("INTENT#"):
            self.inserted.append(key[0])
        for index in self._indexes.values():
            index.replace(key, before, item)


@cache
def _declared() -> dict[str, tuple[str, str, frozenset[str] | None]]:
    """Return keys and attributes of the indexes that template.yaml declares, by name."""
    table = Template.read().properties("Table")
    own = [part["AttributeName"] for part in table["KeySchema"]]
    found = {}
    for index in table["GlobalSecondaryIndexes"]:
        keys = [part["AttributeName"] for part in index["KeySchema"]]
        projection = index["Projection"]
        named = {*own, *keys, *projection.get("NonKeyAttributes", ())}
        projected = None if projection["ProjectionType"] == "ALL" else frozenset(named)
        found[index["IndexName"]] = (keys[0], keys[1], projected)
    return found


def _declared_indexes() -> dict[str, Index]:
    return {name: Index(*keys) for name, keys in _declared().items()}


def _key_of_write(write: Wire) -> Key:
    [call] = write.values()
    return _key(call.get("Key") or call["Item"])


def _key(item: Wire) -> Key:
    try:
        key = item["pk"]["S"], item["sk"]["S"]
    except KeyError as error:
        raise _refusal("ValidationException", message=f"the key lacks {error}") from None
    _refuse(key_faults(item, ("pk", "sk")))
    return key


def _check_placeholders(call: Wire, used: Used) -> None:
    """Refuse placeholders that no expression uses, and expressions that use others."""
    _refuse(expression_faults(call))
    names = call.get("ExpressionAttributeNames", {}).keys()
    values = call.get("ExpressionAttributeValues", {}).keys()
    if names != used.names or values != used.values:
        wrong = (names ^ used.names) | (values ^ used.values)
        raise _refusal("ValidationException", message=f"not used or not defined: {wrong}")


def _parsed(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except (ExpressionError, IndexError) as error:
        raise _refusal("ValidationException", message=f"{text}: {error}") from None


def _refuse(faults: Iterator[str]) -> None:
    """Refuse a call that is beyond a limit, if it is."""
    for fault in faults:
        raise _refusal("ValidationException", message=fault)


def _refusal(code: str, error: type[ClientError] = ClientError, message: str = "no") -> ClientError:
    return error({"Error": {"Code": code, "Message": message}}, "Call")


def _cancelled(held: list[bool]) -> ClientError:
    reasons = [{"Code": "None" if one else "ConditionalCheckFailed"} for one in held]
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = (
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    )
    error = _refusal("TransactionCanceledException", TransactionCanceledError, message)
    said: Any = error.response
    said["CancellationReasons"] = reasons
    return error
