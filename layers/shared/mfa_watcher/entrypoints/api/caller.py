"""Who calls the API.

Only ``requestContext.authorizer.iam`` says who calls: IAM writes it after it has checked the
signature. Headers and body are never asked.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from mfa_watcher.domain.users.people import Person, principal_name

_ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>iam|sts)::(?P<account>[0-9]{12}):(?P<resource>\S+)")

_UNIQUE_ID = re.compile(r"[A-Za-z0-9]+")


class UnknownCallerError(Exception):
    """The event does not identify the caller as IAM would; the text says why."""


def caller(
    event: Mapping[str, Any],
    account_id: str,
    is_member: Callable[[str], bool] | None = None,
) -> Person:
    """Return the person that IAM authenticated.

    Whoever can invoke the function without its URL writes the event themselves, so everything that
    is inconsistent is refused. The caller must be a user or a role's session of the given account,
    or of a member account that is served. The account's root user is refused, because nobody can
    know which person that is. Raises UnknownCallerError, and what ``is_member`` raises.
    """
    stated = within(event, "requestContext", "authorizer", "iam")
    arn, user_id, account = (stated.get(name) for name in ("userArn", "userId", "accountId"))
    if not (isinstance(arn, str) and isinstance(user_id, str) and isinstance(account, str)):
        raise UnknownCallerError("the event names no caller; call the function by its URL, signed")
    parsed = _ARN.fullmatch(arn)
    if parsed is None:
        raise UnknownCallerError("the caller's ARN cannot be read")
    if parsed["account"] != account:
        raise UnknownCallerError("the caller's ARN and account do not match")
    if account != account_id and not (is_member and is_member(account)):
        members = " and of the accounts it watches" if is_member else ""
        raise UnknownCallerError(f"only callers of account {account_id}{members} are served here")
    if not _is_consistent(parsed["service"], parsed["resource"], user_id):
        raise UnknownCallerError(
            "only IAM users and sessions of roles are served, not the root user or federated users"
        )
    return Person(arn, user_id, account)


def _is_consistent(service: str, resource: str, user_id: str) -> bool:
    """Return whether it is a user with a user's id, or a role's session with that session's id."""
    kind, _, rest = resource.partition("/")
    if (service, kind) == ("iam", "user"):
        return bool(_UNIQUE_ID.fullmatch(user_id)) and bool(rest)
    if (service, kind) == ("sts", "assumed-role"):
        role_id, _, session = user_id.partition(":")
        named = principal_name(f"arn:aws:sts::0:{resource}")
        whole = rest.count("/") == 1 and all(rest.split("/"))
        return whole and bool(_UNIQUE_ID.fullmatch(role_id)) and session == named
    return False


def within(event: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at a path of an event; empty if there is none."""
    found: object = event
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
