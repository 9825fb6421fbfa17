"""Changes of devices, passwords and users: judge them, and commit what follows."""

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
# A batch of which every item failed is no error of the function: the queue tries each again.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Take each message of the batch; the answer names those to be tried again."""
    return process_partial_response(
        event=event, record_handler=bootstrap.observe().take, processor=processor, context=context
    )
