"""The way in: from a queue's message to an observed event, or a report about a mail."""

from collections.abc import Callable

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError, parse_event
from mfa_watcher.entrypoints.parsing.ses import parse_report
from mfa_watcher.ports.errors import UnactionableError
from mfa_watcher.ports.queues import DeadLetters
from mfa_watcher.usecases.mail_feedback import RecordedFeedback, RecordMailFeedback
from mfa_watcher.usecases.observe import Observation, ObserveEvents
from mfa_watcher.usecases.watch import RecordHeartbeat

logger = Logger()
metrics = Metrics()

Act = Callable[[str], None]
"""Acts on a message's body. DamagedEventError and UnactionableError: no retry can mend it."""


class QueueConsumer:
    """Takes messages one by one. What cannot be acted on is set aside with the reason."""

    def __init__(self, act: Act, dead_letters: DeadLetters, *, max_receives: int) -> None:
        """Take what acts on a message, and how often the queue tries before it gives one up."""
        self._act = act
        self._dead_letters = dead_letters
        self._max_receives = max_receives

    def take(self, record: SQSRecord) -> None:
        """Act on the message, or set it aside. Raises if it may be tried again.

        The last receive sets the message aside too, because the queue's own redrive would move it
        without a word about why.
        """
        try:
            self._act(record.body)
        except (DamagedEventError, UnactionableError) as error:
            self._set_aside(record, str(error))
        except Exception as error:
            receives = int(record.attributes.approximate_receive_count)
            if receives < self._max_receives:
                logger.warning("Will be tried again", receives=receives, exc_info=True)
                metrics.add_metric("EventsRetried", MetricUnit.Count, 1)
                raise
            logger.exception("The last try failed")
            self._set_aside(record, f"{type(error).__name__}: {error}")
        finally:
            logger.remove_keys(["correlation_id"])

    def _set_aside(self, message: SQSRecord, reason: str) -> None:
        source = message.event_source_arn.rsplit(":", 1)[-1]
        self._dead_letters.set_aside(message.body, reason=reason, source_queue=source)
        logger.error("Set aside", reason=reason, message_id=message.message_id)
        metrics.add_metric("EventsSetAside", MetricUnit.Count, 1)


def observe_message(observer: ObserveEvents, heartbeats: RecordHeartbeat) -> Act:
    """Give what acts on CloudTrail's events, and notes that they come."""

    def observe(body: str) -> None:
        event = parse_event(body)
        logger.set_correlation_id(event.id)
        _log_observation(observer.observe(event))
        heartbeats.record(event)

    return observe


def feedback_message(use_case: RecordMailFeedback) -> Act:
    """Give what acts on SES's reports."""

    def read(body: str) -> None:
        _log_feedback(use_case.read(parse_report(body)))

    return read


def _log_observation(observation: Observation) -> None:
    signal = observation.signal
    logger.info(
        "Observed",
        signal=signal.kind.value,
        outcome=signal.outcome.value if signal.outcome else None,
        subject=signal.subject,
        why=signal.why,
        result=observation.result.value,
        effects=observation.effects,
    )
    metrics.add_metric("EventsObserved", MetricUnit.Count, 1)
    metrics.add_metric(f"Events_{observation.result.value}", MetricUnit.Count, 1)


def _log_feedback(done: RecordedFeedback) -> None:
    # The mail goes back to a CloudTrail event: one id follows it from there to the mailbox.
    logger.set_correlation_id(done.event_id)
    logger.info(
        "Read",
        report=done.report.id,
        intent=done.report.intent_id,
        outcome=done.report.outcome.value,
        result=done.result.value,
        effects=done.effects,
    )
    metrics.add_metric(f"Mails_{done.report.outcome.value}", MetricUnit.Count, 1)
