"""The outbox: new intents from the table's stream, and those that are due again."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from mfa_watcher.domain.notifications.digests import MAX_IN_DIGEST
from mfa_watcher.entrypoints.due import DueItems
from mfa_watcher.ports.outbox import Outbox
from mfa_watcher.usecases.deliver import DeliverIntents, Delivery, DeliveryResult

logger = Logger()
metrics = Metrics()

INTENT_PREFIX = "INTENT#"

_SECONDS_PER_INTENT = 8.0
"""Enough for the slowest intent: three reads of IAM, the sending rate's wait, and one mail."""

_SECONDS_PER_DIGEST = 20.0
"""Enough to claim and mark as many alerts as fit into one message."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Takes new intents from the table's stream."""

    intents: DeliverIntents

    def take(self, record: DynamoDBRecord) -> None:
        """Deliver the intent of a stream record. Only its key is used, not its image."""
        keys = record.dynamodb.keys if record.dynamodb else None
        pk = str((keys or {}).get("pk", ""))
        if not pk.startswith(INTENT_PREFIX):
            logger.warning("Not an intent", pk=pk)
            return
        try:
            delivery = self.intents.deliver(pk.removeprefix(INTENT_PREFIX))
        except Exception:
            logger.warning("Will be tried again", intent=pk, exc_info=True)
            metrics.add_metric("IntentsRetried", MetricUnit.Count, 1)
            raise
        _log_delivery(delivery)


@dataclass(frozen=True, slots=True)
class Redeliver:
    """Delivers intents that are due: put back for later, or missed by the stream."""

    intents: DeliverIntents
    outbox: Outbox
    clock: Callable[[], datetime]

    def run(
        self, *, reopen: Iterable[str] = (), seconds_left: Callable[[], float]
    ) -> dict[str, int]:
        """Deliver all intents that are due; return how many ended how.

        ``reopen`` names failed intents that are made due again first. Alerts go first, several in
        one message. Mails stop when the account may not send any. An intent that fails stays due;
        the errors are raised at the end.
        """
        now = self.clock()
        for intent_id in reopen:
            self.outbox.reopen(intent_id, now=now)
        counts, tried = Counter[DeliveryResult](), 0

        alerts = list(self.outbox.due_alerts(now=now))
        digests = DueItems(seconds_left, seconds_per_item=_SECONDS_PER_DIGEST)
        starts = range(0, len(alerts), MAX_IN_DIGEST)
        for batch in digests.in_time(alerts[at : at + MAX_IN_DIGEST] for at in starts):
            tried += len(batch)
            with digests.keep_error(intent=", ".join(batch)):
                for delivery in self.intents.deliver_together(batch):
                    _log_delivery(delivery)
                    counts[delivery.result] += 1

        mails = DueItems(seconds_left, seconds_per_item=_SECONDS_PER_INTENT)
        for intent_id in mails.in_time(self.outbox.due(now=now)):
            tried += 1
            with mails.keep_error(intent=intent_id):
                delivery = self.intents.deliver(intent_id)
                _log_delivery(delivery)
                counts[delivery.result] += 1
            if counts[DeliveryResult.STOPPED]:
                break

        if retried := tried - counts.total():
            metrics.add_metric("IntentsRetried", MetricUnit.Count, retried)
        metrics.add_metric("IntentsDue", MetricUnit.Count, tried)
        if errors := digests.errors + mails.errors:
            raise ExceptionGroup("intents that could not be delivered", errors)
        return {result.value: count for result, count in counts.items()}


def _log_delivery(delivery: Delivery) -> None:
    logger.set_correlation_id(delivery.event_id)
    failed = delivery.result is DeliveryResult.FAILED
    stopped = delivery.result is DeliveryResult.STOPPED
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
