"""The way out: which intents a function is to deliver, and what is told of each."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from mfa_watcher.domain.notifications.digests import MAX_IN_DIGEST
from mfa_watcher.ports.outbox import Outbox
from mfa_watcher.usecases.deliver import DeliverIntents, Delivery, DeliveryResult

logger = Logger()
metrics = Metrics()

INTENT_PREFIX = "INTENT#"


class Deliver:
    """Hands intents to the deliverer."""

    def __init__(
        self, deliverer: DeliverIntents, outbox: Outbox, *, clock: Callable[[], datetime]
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
            _log_delivery(self._deliverer.deliver(pk.removeprefix(INTENT_PREFIX)))
        except Exception:
            logger.warning("Will be tried again", intent=pk, exc_info=True)
            metrics.add_metric("IntentsRetried", MetricUnit.Count, 1)
            raise

    def sweep(
        self, *, reopen: Iterable[str] = (), seconds_left: Callable[[], float]
    ) -> dict[str, int]:
        """Deliver all that is due, after making the named failed intents due again.

        Alerts go first, and together. Gives how many intents ended how. Stops when the time is
        nearly over: the next run goes on. Mails stop too when the account may send none. An intent
        that raises does not stop the others; the errors are raised at the end.
        """
        now = self._clock()
        for intent_id in reopen:
            self._outbox.reopen(intent_id, now=now)
        swept = _Delivered()
        alerts = list(self._outbox.due_alerts(now=now))
        for at in range(0, len(alerts), MAX_IN_DIGEST):
            if seconds_left() < _SECONDS_PER_DIGEST:
                logger.warning("Out of time, the next run goes on")
                break
            batch = alerts[at : at + MAX_IN_DIGEST]
            swept.take(partial(self._deliverer.deliver_together, batch), *batch)
        for intent_id in self._outbox.due(now=now):
            if seconds_left() < _SECONDS_PER_INTENT:
                logger.warning("Out of time, the next run goes on")
                break
            swept.take(partial(self._one, intent_id), intent_id)
            if swept.counts[DeliveryResult.STOPPED]:
                break
        total = swept.counts.total() + len(swept.errors)
        metrics.add_metric("IntentsDue", MetricUnit.Count, total)
        if swept.errors:
            raise ExceptionGroup("intents that could not be delivered", swept.errors)
        return {result.value: count for result, count in swept.counts.items()}

    def _one(self, intent_id: str) -> list[Delivery]:
        return [self._deliverer.deliver(intent_id)]


@dataclass(slots=True)
class _Delivered:
    """What a sweep has done so far."""

    counts: Counter[DeliveryResult] = field(default_factory=Counter)
    errors: list[Exception] = field(default_factory=list)

    def take(self, deliver: Callable[[], list[Delivery]], *intent_ids: str) -> None:
        """Deliver, and keep what came of it, also an error."""
        try:
            deliveries = deliver()
        except Exception as error:
            logger.warning("Will be tried again", intent=", ".join(intent_ids), exc_info=True)
            metrics.add_metric("IntentsRetried", MetricUnit.Count, len(intent_ids))
            self.errors.append(error)
            return
        for delivery in deliveries:
            _log_delivery(delivery)
            self.counts[delivery.result] += 1


_SECONDS_PER_INTENT = 8.0
"""Enough for the slowest intent: three reads of IAM, the wait for its turn, and one mail."""

_SECONDS_PER_DIGEST = 20.0
"""Enough to claim and mark as many alerts as are told in one message."""


def _log_delivery(delivery: Delivery) -> None:
    logger.set_correlation_id(delivery.event_id)
    failed, stopped = (
        delivery.result is DeliveryResult.FAILED,
        delivery.result is DeliveryResult.STOPPED,
    )
    (logger.error if failed or stopped else logger.info)(
        "Delivered" if delivery.result is DeliveryResult.SENT else "Not delivered",
        intent=delivery.intent_id,
        result=delivery.result.value,
        reason=delivery.reason,
    )
    metrics.add_metric(f"Intents_{delivery.result.value}", MetricUnit.Count, 1)
    if failed:
        metrics.add_metric("IntentsFailed", MetricUnit.Count, 1)
    if stopped:
        metrics.add_metric("SendingStopped", MetricUnit.Count, 1)
    logger.remove_keys(["correlation_id"])
