"""The way in: from a queue's message to an observed event."""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from mfa_watcher.cloudtrail import DamagedEventError, parse_event
from mfa_watcher.ports import DeadLetters
from mfa_watcher.usecases.observe import Observation, Observer, UnactionableError

logger = Logger()
metrics = Metrics()


class Intake:
    """Takes messages one by one. What cannot be acted on is set aside with the reason."""

    def __init__(self, observer: Observer, dead_letters: DeadLetters, *, max_receives: int) -> None:
        """Take the observer, and how often the queue tries before it gives a message up."""
        self._observer = observer
        self._dead_letters = dead_letters
        self._max_receives = max_receives

    def take(self, record: SQSRecord) -> None:
        """Observe the message's event, or set the message aside. Raises if it may be tried again.

        The last receive sets the message aside too, because the queue's own redrive would move it
        without a word about why.
        """
        try:
            self._observe(record)
        except (DamagedEventError, UnactionableError) as error:
            self._park(record, str(error))
        except Exception as error:
            receives = int(record.attributes.approximate_receive_count)
            if receives < self._max_receives:
                logger.warning("Will be tried again", receives=receives, exc_info=True)
                metrics.add_metric("EventsRetried", MetricUnit.Count, 1)
                raise
            logger.exception("The last try failed")
            self._park(record, f"{type(error).__name__}: {error}")
        finally:
            logger.remove_keys(["correlation_id"])

    def _observe(self, message: SQSRecord) -> None:
        event = parse_event(message.body)
        logger.set_correlation_id(event.id)
        observation = self._observer.observe(event)
        _tell(observation)

    def _park(self, message: SQSRecord, reason: str) -> None:
        source = message.event_source_arn.rsplit(":", 1)[-1]
        self._dead_letters.park(message.body, reason=reason, source_queue=source)
        logger.error("Set aside", reason=reason, message_id=message.message_id)
        metrics.add_metric("EventsSetAside", MetricUnit.Count, 1)


def _tell(observation: Observation) -> None:
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
