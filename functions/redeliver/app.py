"""Intents that are due, on a schedule: deliver what the stream did not.

Invoked by a person with ``{"intent_ids": ["…"]}``, it first makes those failed intents due again.
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
    """Deliver all intents that are due; return how many ended how."""
    return bootstrap.redeliver().run(
        reopen=event.get("intent_ids", []),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )
