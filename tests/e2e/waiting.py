"""Waiting for what follows, and for what an outage leaves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest

from sandbox.observations import Alert, Mail

T = TypeVar("T")


@dataclass(frozen=True)
class Outage:
    """What deliver left lying, and what came of it when redeliver ran."""

    left: set[str]
    mails: list[Mail]
    alerts: list[Alert]


def eventually(look: Callable[[], T | None]) -> T:
    """Look until something is seen."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.3)
    pytest.fail("it was not seen within 30 s")
