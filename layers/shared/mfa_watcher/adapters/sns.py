"""Alerting with SNS."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.intents import Alert
from mfa_watcher.ports import NotSentError, RefusedError

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient

_SUBJECT_LENGTH = 100
_VALUE_LENGTH = 1024

_REFUSALS = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationException"})


class SnsAlerter:
    """Publishes alerts to one topic: readable text for people, attributes for filters."""

    def __init__(self, client: "SNSClient", *, topic_arn: str) -> None:
        """Take an SNS client and the topic's ARN."""
        self._client = client
        self._topic_arn = topic_arn

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Publish one alert; gives SNS's message id."""
        try:
            answer = self._client.publish(
                TopicArn=self._topic_arn,
                Subject=subject_of(alert),
                Message=body_of(alert, intent_id),
                MessageAttributes={
                    "kind": {"DataType": "String", "StringValue": alert.kind.value},
                    "severity": {"DataType": "String", "StringValue": alert.severity.value},
                },
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            text = f"SNS: {code}: {error.response['Error'].get('Message', '')}"
            if code in _REFUSALS:
                raise RefusedError(text) from error
            raise NotSentError(text) from error
        except BotoCoreError as error:
            raise NotSentError(f"SNS: {type(error).__name__}") from error
        return answer["MessageId"]


def subject_of(alert: Alert) -> str:
    """Give the mail subject SNS uses: ASCII, one line, at most 100 characters (API reference)."""
    text = f"[MFA Watcher] {alert.severity.upper()}: {alert.title}"
    return text.encode("ascii", "replace").decode()[:_SUBJECT_LENGTH]


def body_of(alert: Alert, intent_id: str) -> str:
    """Give the text: one fact a line, so that no value can pass for another fact."""
    width = max(len(name) for name, _ in alert.facts) + 1
    lines = [f"{name + ':':<{width}} {one_line(value)}" for name, value in alert.facts]
    return "\n".join([alert.title, "", *lines, "", f"Alert id: {intent_id}"])


def one_line(value: str) -> str:
    """Take out of a record's text what is not printable: line breaks, control and bidi marks."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)[
        :_VALUE_LENGTH
    ]
