"""Time lapse: days that pass between two scenarios.

The deployed functions have the real clock, and nothing in them can be demo_run another time. So it is
the records of users and change requests that move: every moment in them is set back by as many
days, as if all that they tell of had happened that much earlier. For whoever reads them now, so
many days have passed.
History, intents and mails keep the times at which they were really written.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sandbox.setup import Sandbox

# In a key of an index, an id may follow the moment.
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^#]*)(#.*)?")


def shift_days(sandbox: Sandbox, days: int) -> str:
    """Let days pass; say so."""
    dynamodb, table = (
        sandbox.account.root.client("dynamodb"),
        sandbox.observations.stack["TableName"],
    )
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
            # Nothing that the watcher writes meanwhile may get lost.
            ConditionExpression="version = :version",
            ExpressionAttributeValues={":version": record["version"]},
        )
    return f"{days} {'day passes' if days == 1 else 'days pass'}: the records' times are set back"


def days_pass(days: int, *functions: str) -> Callable[[Sandbox], str]:
    """Let days pass, then run what the schedules run: reminders and deadlines at least."""

    def act(sandbox: Sandbox) -> str:
        said = shift_days(sandbox, days) if days else "an hour passes"
        for function in ("Remind", "Expire", *functions):
            sandbox.run(function)
        return said

    return act


def make_waiting_due(sandbox: Sandbox) -> None:
    """Let what waits in the outbox be due, as if the time of its next try had come."""
    dynamodb, table = (
        sandbox.account.root.client("dynamodb"),
        sandbox.observations.stack["TableName"],
    )
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
        case str() if found := _MOMENT.fullmatch(value):
            moment = datetime.fromisoformat(found[1]).astimezone(UTC) - by
            return moment.isoformat(timespec="milliseconds") + (found[2] or "")
        case _:
            return value
