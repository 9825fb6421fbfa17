"""The queues that the functions write to."""

from datetime import timedelta
from typing import Protocol

from mfa_watcher.domain.sweep.comparison import SweepTask


class SweepQueue(Protocol):
    """Keeps the accounts to be swept."""

    def send(self, order: SweepTask, *, delay: timedelta = timedelta()) -> None:
        """Put an account into the queue, to be taken out after the delay, 15 minutes at most."""
        ...


class DeadLetters(Protocol):
    """Keeps what no retry can mend."""

    def set_aside(self, body: str, *, reason: str, source_queue: str) -> None:
        """Keep a message as it came, with the reason and where it came from."""
        ...
