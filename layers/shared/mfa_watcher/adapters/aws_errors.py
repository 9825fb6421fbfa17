"""Errors of calls to AWS: what the service answered, or that there was no answer."""

from botocore.exceptions import BotoCoreError, ClientError

AWS_ERRORS = (ClientError, BotoCoreError)


def error_code(error: ClientError | BotoCoreError) -> str:
    """Return the service's error code; without an answer, the name of botocore's error."""
    return (
        error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    )
