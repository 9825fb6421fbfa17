"""Days that pass between two scenarios.

The deployed functions use the real time. So the records of users and change requests are changed:
every time in them is set back by as many days, as if everything in them had happened that much
earlier. History, intents and mails keep the times at which they were written.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sandbox.setup import Sandbox

# In a key of an index, an id may follow the time.
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^#]*)(#.*)?")


def shift_days(sandbox: Sandbox, days: int) -> str:
    """Set the records' times back by so many days, and return a line about it."""
    dynamodb, table = sandbox.account.root.client("dynamodb"), sandbox.stack["TableName"]
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="(begins_with(pk, :user) OR begins_with(pk, :request)) AND sk = :state",
        ExpressionAttributeValues={
            ":user": {"S": "USER#"},
            ":request": {"S": "REQUEST#"},
            ":state": {"S": "STATE"},
        },
    )
    for record in [item for page in pages for item in page["Items"]]:
        dynamodb.put_item(
            TableName=table,
            Item=_earlier(record, timedelta(days=days)),
            # A change by the watcher at the same time must not be lost.
            ConditionExpression="version = :version",
            ExpressionAttributeValues={":version": record["version"]},
        )
    return f"{days} {'day passes' if days == 1 else 'days pass'}: the records' times are set back"


def days_pass(days: int, *functions: str) -> Callable[[Sandbox], str]:
    """Return an action that lets days pass, then runs scheduled functions."""

    def act(sandbox: Sandbox) -> str:
        said = shift_days(sandbox, days) if days else "an hour passes"
        for function in ("Remind", "Expire", *functions):
            sandbox.run(function)
        return said

    return act


def make_waiting_due(sandbox: Sandbox) -> None:
    """Make pending intents in the outbox due now."""
    dynamodb, table = sandbox.account.root.client("dynamodb"), sandbox.stack["TableName"]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    sandbox.observations.update()
    for intent in sandbox.observations.kind("INTENT"):
        if intent["status"] == "pending":
            dynamodb.update_item(
                TableName=table,
                Key={"pk": {"S": intent["pk"]}, "sk": {"S": intent["sk"]}},
                UpdateExpression="SET due_at = :now",
                ExpressionAttributeValues={":now": {"S": now}},
            )


def _earlier(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - DynamoDB's JSON
    match value:
        case dict():
            return {name: _earlier(one, by) for name, one in value.items()}
        case list():
            return [_earlier(one, by) for one in value]
        case str() if found := _TIME.fullmatch(value):
            moment = datetime.fromisoformat(found[1]).astimezone(UTC) - by
            return moment.isoformat(timespec="milliseconds") + (found[2] or "")
        case _:
            return value
