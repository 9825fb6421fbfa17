"""The watched accounts, their aliases, and how to access their IAM."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.adapters.aws_errors import AWS_ERRORS, error_code
from mfa_watcher.ports.errors import AccountOutOfReachError, ExternalServiceError, IamReadError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_organizations import OrganizationsClient
    from types_boto3_organizations.type_defs import AccountTypeDef
    from types_boto3_sts import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

ALIAS_KEPT = timedelta(hours=1)
"""How long an alias is used before it is read again."""

MEMBER_KEPT = timedelta(hours=1)
STRANGER_KEPT = timedelta(seconds=30)
"""How long the organization's answers are used: for its members, and for other accounts."""

MOST_CLIENTS = 50
"""A client takes one or two megabytes, and all must fit into a function's memory."""

RENEW_BEFORE_EXPIRY = timedelta(minutes=5)
"""A session that expires so soon is not used: calls and their retries take time."""

RETRY_DENIED_AFTER = timedelta(minutes=1)
"""How long no further attempt is made after a denial: thousands of the account's users may be
due, and none of them can be read."""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "RegionDisabledException"})

Answer = TypeVar("Answer")
BuildClient: TypeAlias = Callable[["CredentialsTypeDef"], "IAMClient"]


class NamedAccounts:
    """The watcher's own account, and the members named in MemberAccounts."""

    def __init__(self, own: str, members: Collection[str] = ()) -> None:
        self._ids = tuple(dict.fromkeys((own, *members)))

    def ids(self) -> tuple[str, ...]:
        """Return the configured ids."""
        return self._ids

    def include(self, account_id: str) -> bool:
        """Compare with the configured ids."""
        return account_id in self._ids


@dataclass(frozen=True, slots=True)
class OrganizationAccounts:
    """The watcher's own account, and the active members of its organization."""

    client: "OrganizationsClient"
    """A client of the management account or of a delegated administrator."""
    own: str
    clock: Callable[[], datetime]
    _known: dict[str, tuple[datetime, bool]] = field(default_factory=dict, init=False)

    def ids(self) -> tuple[str, ...]:
        """Call ListAccounts."""
        # A page holds at most 20 accounts, and a page before the last one may be empty.
        pages = self.client.get_paginator("list_accounts").paginate()
        members = _ask_organization(
            "its accounts",
            lambda: [one["Id"] for page in pages for one in page["Accounts"] if _is_active(one)],
        )
        return tuple(dict.fromkeys((self.own, *members)))

    def include(self, account_id: str) -> bool:
        """Call DescribeAccount, because listing a thousand accounts would take 50 calls."""
        if account_id == self.own:
            return True
        now = self.clock()
        asked_at, included = self._known.get(account_id, (None, False))
        kept = MEMBER_KEPT if included else STRANGER_KEPT
        if asked_at is None or now - asked_at >= kept:
            included = _ask_organization(account_id, lambda: self._describe(account_id))
            self._known[account_id] = (now, included)
        return included

    def _describe(self, account_id: str) -> bool:
        try:
            return _is_active(self.client.describe_account(AccountId=account_id)["Account"])
        except self.client.exceptions.AccountNotFoundException:
            return False


def _is_active(account: "AccountTypeDef") -> bool:
    """Return whether people can sign in there. AWS replaces Status by State in 2026."""
    return account.get("State", account.get("Status")) == "ACTIVE"


def _ask_organization(about: str, ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise ExternalServiceError(
            f"the organization could not be asked about {about}: {code}; only its management"
            " account and a delegated administrator may ask, other accounts name the members in"
            " MemberAccounts"
        ) from error
    except BotoCoreError as error:
        kind = type(error).__name__
        raise ExternalServiceError(
            f"the organization did not answer about {about}: {kind}"
        ) from error


@dataclass(frozen=True, slots=True)
class _Session:
    client: "IAMClient"
    until: datetime


@dataclass(frozen=True, slots=True)
class MemberSessions:
    """IAM clients of member accounts, each with a role that is assumed when it is needed."""

    sts: "STSClient"
    own: str
    partition: str
    role_name: str
    """The role's name, which is the same in all accounts."""
    session_name: str
    """How the watcher appears in the member's own CloudTrail."""
    build: BuildClient
    clock: Callable[[], datetime]
    _sessions: OrderedDict[str, _Session] = field(default_factory=OrderedDict, init=False)
    _denied: dict[str, tuple[datetime, str]] = field(default_factory=dict, init=False)

    def of(self, account_id: str) -> "IAMClient":
        """Return a client that works for some more minutes. Raises IamReadError.

        If the role does not exist or does not trust us, it is an AccountOutOfReachError.
        """
        now = self.clock()
        denied_at, why = self._denied.get(account_id, (None, ""))
        if denied_at is not None and now - denied_at < RETRY_DENIED_AFTER:
            raise AccountOutOfReachError(why)
        session = self._sessions.get(account_id)
        if session is None or session.until - now < RENEW_BEFORE_EXPIRY:
            session = self._enter(account_id, now)
            self._sessions[account_id] = session
            if len(self._sessions) > MOST_CLIENTS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(account_id)
        return session.client

    def _enter(self, account_id: str, now: datetime) -> _Session:
        role = f"arn:{self.partition}:iam::{account_id}:role/{self.role_name}"
        try:
            answer = self.sts.assume_role(RoleArn=role, RoleSessionName=self.session_name)
        except AWS_ERRORS as error:
            code = error_code(error)
            if code not in _DENIED:
                raise IamReadError(
                    f"STS did not grant access to account {account_id}: {code}"
                ) from error
            why = (
                f"account {account_id} is out of reach: the role {role} does not exist or does"
                f" not trust us ({code}); deploy forwarder.yaml in account {account_id}, in the"
                f" region of its IAM, with HubAccountId={self.own}"
            )
            self._denied[account_id] = (now, why)
            raise AccountOutOfReachError(why) from error
        credentials = answer["Credentials"]
        return _Session(self.build(credentials), credentials["Expiration"])


@dataclass(frozen=True, slots=True)
class IamAliases:
    """Accounts' aliases in IAM, which are read again from time to time."""

    client_of: Callable[[str], "IAMClient"]
    clock: Callable[[], datetime]
    set_by_hand: Mapping[str, str | None] = field(default_factory=dict)
    """Aliases that take precedence over those in IAM."""
    _read: dict[str, tuple[datetime, str | None]] = field(default_factory=dict, init=False)

    def alias(self, account_id: str) -> str | None:
        """Call ListAccountAliases."""
        if alias := self.set_by_hand.get(account_id):
            return alias
        now = self.clock()
        asked_at, alias = self._read.get(account_id, (None, None))
        if asked_at is None or now - asked_at >= ALIAS_KEPT:
            alias = self._list(account_id)
            self._read[account_id] = (now, alias)
        return alias

    def _list(self, account_id: str) -> str | None:
        try:
            found = self.client_of(account_id).list_account_aliases()["AccountAliases"]
        except AWS_ERRORS as error:
            code = error_code(error)
            raise IamReadError(f"IAM did not answer ListAccountAliases: {code}") from error
        return found[0] if found else None
