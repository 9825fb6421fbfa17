"""Change requests that are due, on a schedule: send reminders, cancel, expire."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Evaluate every request that is due; return how many ended how."""
    return bootstrap.expire().run(
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000
    )
