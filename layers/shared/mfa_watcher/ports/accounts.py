"""What the use cases need to know of the watched accounts."""

from typing import Protocol


class Accounts(Protocol):
    """The accounts that are watched: the watcher's own, and the members of its organization."""

    def ids(self) -> tuple[str, ...]:
        """Give the ids of all, our own first. Raises ExternalServiceError if they cannot be listed."""
        ...

    def include(self, account_id: str) -> bool:
        """Tell whether an account is one of them. Raises ExternalServiceError as ``ids`` does."""
        ...


class AccountAliases(Protocol):
    """What accounts are called."""

    def alias(self, account_id: str) -> str | None:
        """Give an account's alias; None if it has none. Raises IamReadError."""
        ...
