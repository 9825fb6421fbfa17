"""The accounts that are watched, and the way into each."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.ports.errors import AccountOutOfReachError, ExternalServiceError, IamReadError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_organizations import OrganizationsClient
    from types_boto3_organizations.type_defs import AccountTypeDef
    from types_boto3_sts import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

ALIAS_KEPT = timedelta(hours=1)
"""How long an account is called as it was when last asked."""

MEMBER_KEPT = timedelta(hours=1)
STRANGER_KEPT = timedelta(seconds=30)
"""How soon the organization is asked again about an account that was none of its members."""

MOST_CLIENTS = 50
"""A client takes a megabyte or two, and a function's memory has to hold them all."""

RENEWED_BEFORE = timedelta(minutes=5)
"""A session that ends so soon is not used any more: the call, and its retries, take time."""

ASKED_AGAIN_AFTER = timedelta(minutes=1)
"""How long a refusal holds: thousands of an account's users may be due, and none can be read."""

_NO_WAY_IN = frozenset({"AccessDenied", "AccessDeniedException", "RegionDisabledException"})

Answer = TypeVar("Answer")
BuildClient: TypeAlias = Callable[["CredentialsTypeDef"], "IAMClient"]


class NamedAccounts:
    """The watcher's own account, and members that were named one by one."""

    def __init__(self, own: str, members: Collection[str] = ()) -> None:
        """Take the ids."""
        self._ids = tuple(dict.fromkeys((own, *members)))

    def ids(self) -> tuple[str, ...]:
        """Give the ids of all, our own first."""
        return self._ids

    def include(self, account_id: str) -> bool:
        """Tell whether an account is one of them."""
        return account_id in self._ids


class OrganizationAccounts:
    """The watcher's own account, and whatever the organization has as active members."""

    def __init__(
        self, client: "OrganizationsClient", *, own: str, clock: Callable[[], datetime]
    ) -> None:
        """Take a client of the management account, or of one that it has delegated to."""
        self._client = client
        self._own = own
        self._clock = clock
        self._told: dict[str, tuple[datetime, bool]] = {}

    def ids(self) -> tuple[str, ...]:
        """Give the ids of all, our own first. Raises ExternalServiceError."""
        # A page holds 20 accounts at most, and one before the last may be empty.
        pages = self._client.get_paginator("list_accounts").paginate()
        members = _asked_of_organization(
            "its accounts",
            lambda: [one["Id"] for page in pages for one in page["Accounts"] if _is_active(one)],
        )
        return tuple(dict.fromkeys((self._own, *members)))

    def include(self, account_id: str) -> bool:
        """Tell whether an account is one of them. Raises ExternalServiceError.

        An organization is asked about the one account: a list of a thousand takes it 50 calls.
        """
        if account_id == self._own:
            return True
        now = self._clock()
        asked_at, included = self._told.get(account_id, (None, False))
        kept = MEMBER_KEPT if included else STRANGER_KEPT
        if asked_at is None or now - asked_at >= kept:
            included = _asked_of_organization(account_id, lambda: self._describe(account_id))
            self._told[account_id] = (now, included)
        return included

    def _describe(self, account_id: str) -> bool:
        try:
            return _is_active(self._client.describe_account(AccountId=account_id)["Account"])
        except self._client.exceptions.AccountNotFoundException:
            return False


def _is_active(account: "AccountTypeDef") -> bool:
    """Tell whether people can sign in there. AWS replaces Status by State in 2026."""
    return account.get("State", account.get("Status")) == "ACTIVE"


def _asked_of_organization(about: str, ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise ExternalServiceError(
            f"the organization does not say of {about} what is a member: {code}; it says so to its"
            " management account and to a delegated administrator, others name the members in"
            " MemberAccounts"
        ) from error
    except BotoCoreError as error:
        kind = type(error).__name__
        raise ExternalServiceError(
            f"the organization was asked of {about}, without an answer: {kind}"
        ) from error


@dataclass(frozen=True, slots=True)
class _Entered:
    client: "IAMClient"
    until: datetime


class MemberSessions:
    """Clients of member accounts' IAM, each with a role there that is assumed when it is needed."""

    def __init__(  # noqa: PLR0913 - what it takes to enter an account, each by its name
        self,
        sts: "STSClient",
        *,
        own: str,
        partition: str,
        role_name: str,
        session_name: str,
        build: BuildClient,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the role's name, which is the same in all accounts, and what builds a client.

        ``session_name`` is what the member's own CloudTrail says of us.
        """
        self._sts = sts
        self._own = own
        self._partition = partition
        self._role_name = role_name
        self._session_name = session_name
        self._build = build
        self._clock = clock
        self._entered: OrderedDict[str, _Entered] = OrderedDict()
        self._refused: dict[str, tuple[datetime, str]] = {}

    def of(self, account_id: str) -> "IAMClient":
        """Give a client that is good for some minutes more. Raises AccountOutOfReachError."""
        now = self._clock()
        refused_at, why = self._refused.get(account_id, (None, ""))
        if refused_at is not None and now - refused_at < ASKED_AGAIN_AFTER:
            raise AccountOutOfReachError(why)
        entered = self._entered.get(account_id)
        if entered is None or entered.until - now < RENEWED_BEFORE:
            entered = self._enter(account_id, now)
            self._entered[account_id] = entered
            if len(self._entered) > MOST_CLIENTS:
                self._entered.popitem(last=False)
        self._entered.move_to_end(account_id)
        return entered.client

    def _enter(self, account_id: str, now: datetime) -> _Entered:
        role = f"arn:{self._partition}:iam::{account_id}:role/{self._role_name}"
        try:
            given = self._sts.assume_role(RoleArn=role, RoleSessionName=self._session_name)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _NO_WAY_IN:
                raise IamReadError(
                    f"STS did not let us into account {account_id}: {code}"
                ) from error
            why = (
                f"account {account_id} is out of reach: the role {role} is not there or does not"
                f" let us in ({code}); deploy forwarder.yaml in account {account_id}, in the"
                f" region of its IAM, with HubAccountId={self._own}"
            )
            self._refused[account_id] = (now, why)
            raise AccountOutOfReachError(why) from error
        except BotoCoreError as error:
            raise IamReadError(
                f"STS did not let us into account {account_id}: {type(error).__name__}"
            ) from error
        credentials = given["Credentials"]
        return _Entered(self._build(credentials), credentials["Expiration"])


class IamAliases:
    """Accounts' aliases as IAM has them, asked for once in a while (``ListAccountAliases``)."""

    def __init__(
        self,
        client_of: Callable[[str], "IAMClient"],
        *,
        clock: Callable[[], datetime],
        set_by_hand: Mapping[str, str | None] | None = None,
    ) -> None:
        """Take what gives an account's client. ``set_by_hand`` comes before what IAM says."""
        self._client_of = client_of
        self._clock = clock
        self._set_by_hand = set_by_hand or {}
        self._asked: dict[str, tuple[datetime, str | None]] = {}

    def alias(self, account_id: str) -> str | None:
        """Give an account's alias; None if it has none. Raises IamReadError."""
        if alias := self._set_by_hand.get(account_id):
            return alias
        now = self._clock()
        asked_at, alias = self._asked.get(account_id, (None, None))
        if asked_at is None or now - asked_at >= ALIAS_KEPT:
            alias = self._ask(account_id)
            self._asked[account_id] = (now, alias)
        return alias

    def _ask(self, account_id: str) -> str | None:
        try:
            found = self._client_of(account_id).list_account_aliases()["AccountAliases"]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise IamReadError(f"IAM did not answer ListAccountAliases: {code}") from error
        except BotoCoreError as error:
            kind = type(error).__name__
            raise IamReadError(f"IAM did not answer ListAccountAliases: {kind}") from error
        return found[0] if found else None
