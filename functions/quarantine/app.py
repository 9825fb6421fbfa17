"""Users to quarantine or release, on a schedule: make IAM agree with their records."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Quarantine and release every user who is due; return what was done, by user id."""
    return bootstrap.quarantine().run(
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000
    )
