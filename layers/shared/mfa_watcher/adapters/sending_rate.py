"""Limits that all functions share: the account's sending rate, and the number of alerts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mfa_watcher.adapters.items import Item, key_of
from mfa_watcher.adapters.table import Table
from mfa_watcher.ports.errors import ThrottledError
from mfa_watcher.ports.notifications import AlertPosition

SHARE = 0.8
"""The part of the account's rate that the watcher uses: others may send from the account, too."""

MAX_WAIT = timedelta(seconds=2)
"""How long a function waits for a slot: a batch of ten mails fits into its 30 seconds."""

_SENDING_RATE = "SENDING_RATE"
_ALERTS = "ALERTS"


@dataclass(frozen=True, slots=True)
class DynamoSendingRate:
    """Assigns slots, one after the other, with the same time between any two of them.

    One item holds the time of the next slot. Taking a slot moves that time on, so there are never
    more slots per second than the rate allows, however many functions take them.
    """

    table: Table
    rate: Callable[[], float]
    """Returns the account's mails per second."""
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def wait_for_slot(self, recipients: int) -> None:
        """Take a slot for each recipient, because SES counts recipients, and sleep until then."""
        step = math.ceil(1000 * recipients / (self.rate() * SHARE))
        now = _milliseconds(self.clock())
        # The slot is free now, or a later one is taken.
        free = self._move(
            "SET next_at = :next",
            "attribute_not_exists(next_at) OR next_at <= :now",
            {":next": now + step, ":now": now},
        )
        slot = now if free is not None else self._take_later_slot(now, step)
        if slot > now:
            self.sleep((slot - now) / 1000)

    def _take_later_slot(self, now: int, step: int) -> int:
        moved = self._move(
            "SET next_at = next_at + :step",
            "next_at <= :latest",
            {":step": step, ":latest": now + int(MAX_WAIT / timedelta(milliseconds=1))},
        )
        if moved is None:
            raise ThrottledError(
                "mails are being sent at the highest rate of the account: no slot is free yet"
            )
        return max(now, int(moved["next_at"]))

    def _move(self, update: str, condition: str, values: Item) -> Item | None:
        """Change the time of the next slot; return the old item, None if the condition fails."""
        key = key_of(_SENDING_RATE)
        return self.table.try_update(key, update, condition, values, "UPDATED_OLD")


@dataclass(frozen=True, slots=True)
class DynamoAlertCounter:
    """Counts alerts in one item: the first opens a window, the first after its end the next."""

    table: Table
    length: timedelta
    """How long a window is open; with zero, each alert is the first."""

    def count(self, *, urgent: bool, now: datetime) -> AlertPosition:
        """Increase a counter in the item, or open a new window."""
        if not self.length:
            return AlertPosition(1, now)
        counter, other = ("urgent", "not_urgent") if urgent else ("not_urgent", "urgent")
        at = _milliseconds(now)
        for _ in range(2):
            # Two functions may both find the window closed; the slower one then finds it open.
            found = self._change(f"ADD {counter} :one", "ends_at > :now", {":one": 1, ":now": at})
            found = found or self._change(
                f"SET ends_at = :end, {counter} = :one, {other} = :none",
                "attribute_not_exists(ends_at) OR ends_at <= :now",
                {
                    ":end": at + int(self.length / timedelta(milliseconds=1)),
                    ":one": 1,
                    ":none": 0,
                    ":now": at,
                },
            )
            if found:
                ends = datetime.fromtimestamp(int(found["ends_at"]) / 1000, UTC)
                return AlertPosition(int(found[counter]), ends)
        return AlertPosition(1, now)

    def _change(self, update: str, condition: str, values: Item) -> Item | None:
        return self.table.try_update(key_of(_ALERTS), update, condition, values, "ALL_NEW")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
