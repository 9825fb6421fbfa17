"""What all functions that send at one time share: the account's rate, and the count of alerts."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mfa_watcher.adapters import items
from mfa_watcher.adapters.items import from_wire, key_of, to_wire
from mfa_watcher.ports.errors import ThrottledError
from mfa_watcher.ports.notifications import AlertPosition

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHARE = 0.8
"""How much of the account's rate is used: others may send from the account too."""

PATIENCE = timedelta(seconds=2)
"""How long a function waits for its turn: ten mails of a batch fit into its half minute."""

_PACE = "PACE"
_ALERTS = "ALERTS"


class DynamoSendingRate:
    """Gives out turns, one after the other, with the same time between any two of them.

    One item holds when the next turn is. Taking a turn moves it on, so there are never more
    turns in a second than the rate allows, however many functions ask for them.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        *,
        table_name: str,
        rate: Callable[[], float],
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        """Take a DynamoDB client, and what tells how many mails a second the account may send."""
        self._client = client
        self._table = table_name
        self._rate = rate
        self._clock = clock
        self._sleep = sleep

    def wait_for_slot(self, recipients: int) -> None:
        """Come back when a mail may go. SES counts its recipients, so each takes a turn.

        Raises ThrottledError if the turn is further off than our patience, NotSentError if SES
        does not tell its rate.
        """
        step = math.ceil(1000 * recipients / (self._rate() * SHARE))
        now = _milliseconds(self._clock())
        turn = self._take_now(now, step)
        if turn is None:
            turn = self._queue_up(now, step)
        if turn > now:
            self._sleep((turn - now) / 1000)

    def _take_now(self, now: int, step: int) -> int | None:
        moved = self._move(
            "SET next_at = :next",
            "attribute_not_exists(next_at) OR next_at <= :now",
            {":next": now + step, ":now": now},
        )
        return None if moved is None else now

    def _queue_up(self, now: int, step: int) -> int:
        latest = now + int(PATIENCE / timedelta(milliseconds=1))
        moved = self._move(
            "SET next_at = next_at + :step",
            "next_at <= :latest",
            {":step": step, ":latest": latest},
        )
        if moved is None:
            raise ThrottledError("mails go out as fast as the account may send: not our turn yet")
        return max(now, int(moved["next_at"]))

    def _move(self, update: str, condition: str, values: dict[str, Any]) -> items.Item | None:
        """Change when the next turn is; gives what stood there, None if the condition fails."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=key_of(_PACE),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_wire(values),
                ReturnValues="UPDATED_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return from_wire(answer.get("Attributes", {}))


class DynamoAlertCounter:
    """Counts alerts: the first opens a window, the first after its end opens the next one."""

    def __init__(self, client: "DynamoDBClient", *, table_name: str, length: timedelta) -> None:
        """Take a DynamoDB client and how long a window is open; not at all: each is the first."""
        self._client = client
        self._table = table_name
        self._length = length

    def count(self, *, urgent: bool, now: datetime) -> AlertPosition:
        """Count one more alert."""
        if not self._length:
            return AlertPosition(1, now)
        counter, other = ("urgent", "calm") if urgent else ("calm", "urgent")
        at = _milliseconds(now)
        for _ in range(2):
            # Two at once may both find the window closed; the slower one finds it open then.
            found = self._change(f"ADD {counter} :one", "ends_at > :now", {":one": 1, ":now": at})
            found = found or self._change(
                f"SET ends_at = :end, {counter} = :one, {other} = :none",
                "attribute_not_exists(ends_at) OR ends_at <= :now",
                {
                    ":end": at + int(self._length / timedelta(milliseconds=1)),
                    ":one": 1,
                    ":none": 0,
                    ":now": at,
                },
            )
            if found:
                ends = datetime.fromtimestamp(int(found["ends_at"]) / 1000, UTC)
                return AlertPosition(int(found[counter]), ends)
        return AlertPosition(1, now)

    def _change(self, update: str, condition: str, values: dict[str, Any]) -> items.Item | None:
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=key_of(_ALERTS),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_wire(values),
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return from_wire(answer["Attributes"])


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
