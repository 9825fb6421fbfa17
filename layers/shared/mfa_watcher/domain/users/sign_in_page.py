"""Where an account's people sign in."""

from typing import Final
from urllib.parse import quote

_DOMAINS: Final = {
    "aws": "signin.aws.amazon.com",
    "aws-us-gov": "signin.amazonaws-us-gov.com",
    "aws-cn": "signin.amazonaws.cn",
}


def sign_in_url(account_id: str, alias: str | None, partition: str) -> str:
    """Give the account's own sign-in page (IAM user guide, *Sign-in URL for IAM users*)."""
    account = quote(alias or account_id, safe="")
    return f"https://{account}.{_DOMAINS.get(partition, _DOMAINS['aws'])}/console"
