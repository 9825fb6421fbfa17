"""Carries approved change requests out, at a function URL: no other function does."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import bootstrap

logger = Logger()
metrics = Metrics()


@metrics.log_metrics(capture_cold_start_metric=True)
# Said here, since an environment variable could else have each event logged, signature and all.
@logger.inject_lambda_context(log_event=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one call."""
    return bootstrap.fulfil().resolve(event, context)
