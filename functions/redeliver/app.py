"""Intents that are still due, on a schedule: deliver what the stream could not.

Invoked by hand with ``{"intent_ids": ["…"]}``, it also takes up intents that had failed for good.
"""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Deliver all that is due; gives how many intents ended how."""
    return bootstrap.deliver().sweep(
        reopen=event.get("intent_ids", []),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )
