"""The queue of accounts to be swept."""

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from mfa_watcher.domain.sweep.comparison import SweepTask
from mfa_watcher.ports.errors import UnactionableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

TASK = TypeAdapter(SweepTask)

_LONGEST_DELAY = timedelta(minutes=15)
"""The longest delay that SQS allows (SQS quotas)."""


class SqsSweepQueue:
    """Sends tasks to the queue that invokes the sweep."""

    def __init__(self, client: "SQSClient", *, queue_url: str) -> None:
        """Take an SQS client and the queue's URL."""
        self._client = client
        self._queue_url = queue_url

    def send(self, task: SweepTask, *, delay: timedelta = timedelta()) -> None:
        """Call SendMessage."""
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=TASK.dump_json(task).decode(),
            DelaySeconds=int(min(delay, _LONGEST_DELAY).total_seconds()),
        )


def read_task(body: str) -> SweepTask:
    """Return the task from a message of that queue. Raises UnactionableError."""
    try:
        return TASK.validate_json(body)
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, fault["loc"])) or "the message"
        raise UnactionableError(f"not a sweep task: {where}: {fault['msg']}") from error
