"""The page where an account's users sign in."""

from typing import Final
from urllib.parse import quote

_DOMAINS: Final = {
    "aws": "signin.aws.amazon.com",
    "aws-us-gov": "signin.amazonaws-us-gov.com",
}


def sign_in_url(account_id: str, alias: str | None, partition: str) -> str:
    """Return the account's sign-in page (IAM user guide, *Sign-in URL for IAM users*)."""
    account = quote(alias or account_id, safe="")
    return f"https://{account}.{_DOMAINS.get(partition, _DOMAINS['aws'])}/console"
