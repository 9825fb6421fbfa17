"""Sets aside messages that no retry can process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_REASON_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class SqsDeadLetters:
    """Sends messages to a dead-letter queue, with the reason as an attribute."""

    client: "SQSClient"
    queue_url: str

    def set_aside(self, body: str, *, reason: str, source_queue: str) -> None:
        """Call SendMessage; the reason and the queue become attributes of the message."""
        printable = "".join(char if char.isprintable() else " " for char in reason)
        self.client.send_message(
            QueueUrl=self.queue_url,
            MessageBody=body or "(empty)",
            MessageAttributes={
                "reason": {"DataType": "String", "StringValue": printable[:_REASON_LENGTH]},
                "source_queue": {"DataType": "String", "StringValue": source_queue},
            },
        )
