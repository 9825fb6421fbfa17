"""Publishes alerts with SNS."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.notifications.digests import by_severity, highest_severity
from mfa_watcher.domain.notifications.intents import Alert, Intent, Severity
from mfa_watcher.ports.errors import NotSentError, RefusedError

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient

_SUBJECT_LENGTH = 99
_VALUE_LENGTH = 1024
_LINE_BYTES = 400

_LINE_FACTS = ("User", "Change request", "Account", "Actor", "Time")
"""The facts of an alert that its line in a digest shows; the end of a long line is cut."""

_REFUSED = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationException"})


@dataclass(frozen=True, slots=True)
class SnsAlerter:
    """Publishes alerts to one topic: readable text for people, attributes for filters."""

    client: "SNSClient"
    topic_arn: str

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Call Publish; return SNS's message id."""
        subject, body = subject_of(alert), body_of(alert, intent_id)
        return self._publish(subject, body, alert.kind.value, alert.severity)

    def send_digest(self, intents: Sequence[Intent]) -> str:
        """Call Publish with the highest severity of the alerts."""
        ordered, severity = by_severity(intents), highest_severity(intents)
        subject = _subject(f"{len(ordered)} alerts, the most severe is {severity.upper()}")
        return self._publish(subject, body_of_digest(ordered), "digest", severity)

    def _publish(self, subject: str, body: str, kind: str, severity: Severity) -> str:
        try:
            answer = self.client.publish(
                TopicArn=self.topic_arn,
                Subject=subject,
                Message=body,
                MessageAttributes={
                    "kind": {"DataType": "String", "StringValue": kind},
                    "severity": {"DataType": "String", "StringValue": severity.value},
                },
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            text = f"SNS: {code}: {error.response['Error'].get('Message', '')}"
            if code in _REFUSED:
                raise RefusedError(text) from error
            raise NotSentError(text) from error
        except BotoCoreError as error:
            raise NotSentError(f"SNS: {type(error).__name__}") from error
        return answer["MessageId"]


def subject_of(alert: Alert) -> str:
    """Return the subject of SNS's mail: ASCII, one line, under 100 characters (API reference)."""
    return _subject(f"{alert.severity.upper()}: {alert.title}")


def _subject(text: str) -> str:
    return f"[MFA Watcher] {text}".encode("ascii", "replace").decode()[:_SUBJECT_LENGTH]


def body_of(alert: Alert, intent_id: str) -> str:
    """Return the text: one fact per line, so that no value can look like another fact."""
    width = max(len(name) for name, _ in alert.facts) + 1
    lines = [f"{name + ':':<{width}} {one_line(value)}" for name, value in alert.facts]
    return "\n".join([alert.title, "", *lines, "", f"Alert id: {intent_id}"])


def body_of_digest(intents: Sequence[Intent]) -> str:
    """Return the text: how many alerts of each kind, then one alert per line."""
    alerts = [intent.act for intent in intents if isinstance(intent.act, Alert)]
    counts = Counter((alert.severity, alert.title) for alert in alerts)
    numbers = [
        f"{count:>4} x {severity.upper()}: {title}" for (severity, title), count in counts.items()
    ]
    lines = [_line(intent.act, intent.id) for intent in intents if isinstance(intent.act, Alert)]
    head = f"{len(alerts)} alerts occurred within a short time and are reported together:"
    return "\n".join([head, "", *numbers, "", *lines])


def _line(alert: Alert, intent_id: str) -> str:
    facts = dict(alert.facts)
    shown = [f"{name}: {one_line(facts[name])}" for name in _LINE_FACTS if name in facts]
    line = " | ".join([f"{alert.severity.upper()}: {alert.title}", *shown])
    # SNS limits a message by bytes.
    short = line.encode()[:_LINE_BYTES].decode(errors="ignore")
    return f"{short} | {intent_id}"


def one_line(value: str) -> str:
    """Return text without unprintable characters: line breaks, control characters, bidi marks."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)[
        :_VALUE_LENGTH
    ]
