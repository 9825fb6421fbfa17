"""The watched accounts, as use cases see them."""

from typing import Protocol


class Accounts(Protocol):
    """The watched accounts: the watcher's own, and the members of its organization.

    Both methods raise ExternalServiceError if the accounts cannot be read.
    """

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all watched accounts, the watcher's own first."""

    def include(self, account_id: str) -> bool:
        """Return whether an account is watched."""


class AccountAliases(Protocol):
    """The aliases of accounts."""

    def alias(self, account_id: str) -> str | None:
        """Return an account's alias; None if it has none. Raises IamReadError."""
