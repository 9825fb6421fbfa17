"""The calls to the watcher's table, with plain values instead of DynamoDB's form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mfa_watcher.adapters import items
from mfa_watcher.adapters.items import STATE, Item, from_wire, key_of, to_wire

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.literals import ReturnValueType
    from types_boto3_dynamodb.type_defs import PutTypeDef, UpdateTypeDef


@dataclass(frozen=True, slots=True)
class Table:
    """A table. In an expression, ``#name`` stands for the attribute ``name``, a reserved word."""

    client: "DynamoDBClient"
    name: str

    def get(self, pk: str, sk: str = STATE) -> Item | None:
        """Return an item as the last write left it; None if there is none."""
        found = self.client.get_item(TableName=self.name, Key=key_of(pk, sk), ConsistentRead=True)
        return from_wire(found["Item"]) if "Item" in found else None

    def query(self, condition: str, values: Item, **options: Any) -> Iterator[Item]:  # noqa: ANN401 - as boto3 has them
        """Yield the items for which a key condition holds; a page is read when it is needed."""
        return self._pages("query", values, KeyConditionExpression=condition, **options)

    def scan(self, condition: str, values: Item) -> Iterator[Item]:
        """Yield the items for which a condition holds, by reading the whole table."""
        return self._pages("scan", values, FilterExpression=condition)

    def due(self, shard: str, now: datetime) -> Iterator[str]:
        """Yield the partition keys of what is due in one shard of the index."""
        values = {":shard": shard, ":now": items.timestamp(now)}
        condition = "due_shard = :shard AND due_at <= :now"
        for item in self.query(condition, values, IndexName=items.DUE_INDEX):
            yield str(item["pk"])

    def due_in_all_shards(self, prefix: str, now: datetime) -> Iterator[str]:
        """Yield the partition keys of what is due, page by page, shard by shard."""
        for shard in range(items.DUE_SHARDS):
            yield from self.due(f"{prefix}#{shard}", now)

    def _pages(self, operation: Any, values: Item, **options: Any) -> Iterator[Item]:  # noqa: ANN401 - as boto3 has them
        pages = self.client.get_paginator(operation).paginate(
            TableName=self.name, ExpressionAttributeValues=to_wire(values), **options
        )
        for page in pages:
            yield from map(from_wire, page["Items"])

    def put(self, item: Item, condition: str = "", values: Item | None = None) -> "PutTypeDef":
        """Return the request to put an item, for ``put_item`` or a transaction."""
        request: PutTypeDef = {"TableName": self.name, "Item": to_wire(item)}
        if condition:
            request["ConditionExpression"] = condition
        if values:
            request["ExpressionAttributeValues"] = to_wire(values)
        return request

    def put_new(self, item: Item) -> "PutTypeDef":
        """Return the request to put an item if there is none with its key."""
        return self.put(item, "attribute_not_exists(pk)")

    def update(self, key: Item, change: str, condition: str, values: Item) -> "UpdateTypeDef":
        """Return the request to update an item under a condition, as ``put`` does."""
        request: UpdateTypeDef = {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": to_wire(values),
        }
        if names := set(re.findall(r"#(\w+)", change + condition)):
            request["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
        return request

    def try_update(
        self,
        key: Item,
        change: str,
        condition: str,
        values: Item,
        returned: "ReturnValueType" = "NONE",
    ) -> Item | None:
        """Update an item; return the attributes asked for, None if the condition does not hold."""
        request = self.update(key, change, condition, values)
        try:
            answer = self.client.update_item(**request, ReturnValues=returned)
        except self.client.exceptions.ConditionalCheckFailedException:
            return None
        return from_wire(answer.get("Attributes", {}))
