"""Time lapse: days that pass between two scenes.

The deployed functions have the real clock, and nothing in them can be told another time. So it is
the users' records that move: every moment in them is set back by as many days, as if all that they
tell of had happened that much earlier. For whoever reads them now, so many days have passed.
History, intents and mails keep the times at which they were really written.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sandbox.stage import Stage

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")


def pass_days(stage: Stage, days: int) -> str:
    """Let days pass; say so."""
    dynamodb, table = stage.account.root.client("dynamodb"), stage.evidence.stack["TableName"]
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="begins_with(pk, :user) AND sk = :state",
        ExpressionAttributeValues={":user": {"S": "USER#"}, ":state": {"S": "STATE"}},
    )
    for user in [item for page in pages for item in page["Items"]]:
        dynamodb.put_item(
            TableName=table,
            Item=_earlier(user, timedelta(days=days)),
            # Nothing that the watcher writes meanwhile may get lost.
            ConditionExpression="version = :version",
            ExpressionAttributeValues={":version": user["version"]},
        )
    return f"{days} {'day passes' if days == 1 else 'days pass'}: the records' times are set back"


def _earlier(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - DynamoDB's JSON
    match value:
        case dict():
            return {name: _earlier(one, by) for name, one in value.items()}
        case list():
            return [_earlier(one, by) for one in value]
        case str() if _MOMENT.fullmatch(value):
            moment = datetime.fromisoformat(value).astimezone(UTC) - by
            return moment.isoformat(timespec="milliseconds")
        case _:
            return value
