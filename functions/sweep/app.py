"""The sweep: put accounts into a queue, and sweep those that the queue delivers.

Invoked by a person with ``{"accounts": ["…"], "at_once": true, "read_devices": true}``; each key
may be left out.
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
# A batch in which every item failed is not an error of the function: the queue retries each.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> object:
    """Sweep the accounts of the batch, or put the wanted ones into the queue."""
    sweep = bootstrap.sweep()
    if "Records" not in event:
        return sweep.enqueue(event)
    return process_partial_response(
        event=event, record_handler=sweep.take, processor=processor, context=context
    )
