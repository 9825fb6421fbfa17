"""The queues to which the functions write."""

from datetime import timedelta
from typing import Protocol

from mfa_watcher.domain.sweep.comparison import SweepTask


class SweepQueue(Protocol):
    """Holds the accounts to be swept."""

    def send(self, task: SweepTask, *, delay: timedelta = timedelta()) -> None:
        """Add an account to the queue. It is delivered after the delay, at most 15 minutes."""


class DeadLetters(Protocol):
    """Holds messages that no retry can process."""

    def set_aside(self, body: str, *, reason: str, source_queue: str) -> None:
        """Keep a message unchanged, with the reason and its queue."""
