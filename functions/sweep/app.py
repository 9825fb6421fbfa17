"""Everybody, by schedule or by hand: put accounts into a queue, and sweep those that come from it.

Invoked by hand with ``{"accounts": ["…"], "at_once": true, "read_devices": true}`` or less of that.
"""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()
# A batch of which every item failed is no error of the function: the queue tries each again.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> object:
    """Sweep the accounts of the batch, or put those that are asked for into the queue."""
    sweeping = bootstrap.sweep()
    if "Records" not in event:
        return sweeping.order(event)
    return process_partial_response(
        event=event, record_handler=sweeping.take, processor=processor, context=context
    )
