"""The queue of accounts to sweep."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mfa_watcher.domain.sweep.comparison import SweepTask

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_TASK = TypeAdapter(SweepTask)

_LONGEST_DELAY = timedelta(minutes=15)
"""The longest delay that SQS allows for a message (SQS quotas)."""


@dataclass(frozen=True, slots=True)
class SqsSweepQueue:
    """Puts accounts into the queue that feeds the function."""

    client: "SQSClient"
    queue_url: str

    def send(self, task: SweepTask, *, delay: timedelta = timedelta()) -> None:
        """Send one message (``SendMessage``)."""
        self.client.send_message(
            QueueUrl=self.queue_url,
            MessageBody=_TASK.dump_json(task).decode(),
            DelaySeconds=int(min(delay, _LONGEST_DELAY).total_seconds()),
        )
