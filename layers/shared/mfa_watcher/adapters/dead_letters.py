"""Sets aside messages that no retry can process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageAttributeValueTypeDef

_REASON_LENGTH = 1000
_LONGEST_MESSAGE = 256 * 1024
"""Bytes of a message with its attributes that every queue takes (SQS quotas)."""
_LONGEST_ATTRIBUTES = 6 * 1024


@dataclass(frozen=True, slots=True)
class SqsDeadLetters:
    """Sends messages to a dead-letter queue, with the reason as an attribute."""

    client: "SQSClient"
    queue_url: str

    def set_aside(self, body: str, *, reason: str, source_queue: str) -> None:
        """Call SendMessage; the reason and the queue become attributes of the message.

        Attributes count as part of the message. Where they do not fit, the message is kept whole
        without them, and the reason is in the log alone.
        """
        printable = "".join(char if char.isprintable() else " " for char in reason)
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            "reason": {"DataType": "String", "StringValue": printable[:_REASON_LENGTH]},
            "source_queue": {"DataType": "String", "StringValue": source_queue},
        }
        self.client.send_message(
            QueueUrl=self.queue_url,
            MessageBody=body or "(empty)",
            MessageAttributes=attributes if _has_room(body) else {},
        )


def _has_room(body: str) -> bool:
    return len(body.encode()) <= _LONGEST_MESSAGE - _LONGEST_ATTRIBUTES
