"""New intents from the table's stream: send the mail or the alert."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()
# Only what raises is retried here. An intent that could not be sent is put back for redeliver.
processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Deliver each intent of the batch; the answer names those to be retried."""
    return process_partial_response(
        event=event, record_handler=bootstrap.deliver().take, processor=processor, context=context
    )
