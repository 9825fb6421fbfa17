"""Who a caller is, as AWS says when it is asked."""

from typing import Protocol

from mfa_watcher.domain.requests.approvers import Role
from mfa_watcher.domain.users.people import Person


class UnprovenCallerError(Exception):
    """The proof of who calls is missing or does not hold; the text says why and what to do."""


class CallerProofs(Protocol):
    """Verifies a caller's proof: a call of ``sts:GetCallerIdentity`` that they signed before."""

    def person(self, proof: str, bound_to: str) -> Person:
        """Return who signed it, for exactly this call.

        Raises UnprovenCallerError, and ExternalServiceError if STS does not answer.
        """


class RoleReader(Protocol):
    """Reads the roles of our own account."""

    def role(self, name: str) -> Role | None:
        """Return the role of that name; None if there is none. Raises IamReadError."""
