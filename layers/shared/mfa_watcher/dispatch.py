"""The way out: which intents a function is to deliver, and what is told of each."""

from collections.abc import Callable, Iterable
from datetime import datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from mfa_watcher.ports import Outbox
from mfa_watcher.usecases.deliver import Deliverer, Delivery, Result

logger = Logger()
metrics = Metrics()

INTENT_PREFIX = "INTENT#"


class Dispatch:
    """Hands intents to the deliverer."""

    def __init__(
        self, deliverer: Deliverer, outbox: Outbox, *, clock: Callable[[], datetime]
    ) -> None:
        """Take the deliverer, and the outbox to look for what is due."""
        self._deliverer = deliverer
        self._outbox = outbox
        self._clock = clock

    def take(self, record: DynamoDBRecord) -> None:
        """Deliver the intent that a stream record tells of. Only its key counts, not its image."""
        keys = record.dynamodb.keys if record.dynamodb else None
        pk = str((keys or {}).get("pk", ""))
        if not pk.startswith(INTENT_PREFIX):
            logger.warning("Not an intent", pk=pk)
            return
        try:
            _tell(self._deliverer.deliver(pk.removeprefix(INTENT_PREFIX)))
        except Exception:
            logger.warning("Will be tried again", intent=pk, exc_info=True)
            metrics.add_metric("IntentsRetried", MetricUnit.Count, 1)
            raise

    def sweep(
        self, *, reopen: Iterable[str] = (), seconds_left: Callable[[], float]
    ) -> dict[str, int]:
        """Deliver all that is due, after making the named failed intents due again.

        Gives how many intents ended how. Stops when the time is nearly over: the next run goes
        on. An intent that raises does not stop the others; the errors are raised at the end.
        """
        now = self._clock()
        for intent_id in reopen:
            self._outbox.reopen(intent_id, now=now)
        counts: dict[str, int] = {}
        errors: list[Exception] = []
        for intent_id in self._outbox.due(now=now):
            if seconds_left() < _SECONDS_FOR_ONE:
                logger.warning("Out of time, the next run goes on")
                break
            try:
                delivery = self._deliverer.deliver(intent_id)
            except Exception as error:
                logger.warning("Will be tried again", intent=intent_id, exc_info=True)
                metrics.add_metric("IntentsRetried", MetricUnit.Count, 1)
                errors.append(error)
                continue
            _tell(delivery)
            counts[delivery.result.value] = counts.get(delivery.result.value, 0) + 1
        metrics.add_metric("IntentsDue", MetricUnit.Count, sum(counts.values()) + len(errors))
        if errors:
            raise ExceptionGroup("intents that could not be delivered", errors)
        return counts


_SECONDS_FOR_ONE = 5.0
"""Enough for the slowest intent: three reads of IAM and one mail."""


def _tell(delivery: Delivery) -> None:
    logger.set_correlation_id(delivery.event_id)
    failed = delivery.result is Result.FAILED
    (logger.error if failed else logger.info)(
        "Delivered" if delivery.result is Result.SENT else "Not delivered",
        intent=delivery.intent_id,
        result=delivery.result.value,
        reason=delivery.reason,
    )
    metrics.add_metric(f"Intents_{delivery.result.value}", MetricUnit.Count, 1)
    if failed:
        metrics.add_metric("IntentsFailed", MetricUnit.Count, 1)
    logger.remove_keys(["correlation_id"])
