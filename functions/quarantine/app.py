"""Users who are to be shut in or let out, on a schedule: make IAM agree with their records."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Attend to every user who is due; gives what was done, by user id."""
    return bootstrap.quarantine().make()
