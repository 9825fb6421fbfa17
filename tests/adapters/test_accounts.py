from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from mfa_watcher.adapters.accounts import (
    MOST_CLIENTS,
    IamAliases,
    MemberSessions,
    NamedAccounts,
    OrganizationAccounts,
)
from mfa_watcher.ports.errors import AccountOutOfReachError, ExternalServiceError, IamReadError
from tests.support.account import Account, Clock, Refusal, client
from tests.support.builders import ACCOUNT

MEMBER = "444455556666"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))  # by which moto's sessions end


@pytest.fixture
def sessions(account: Account, clock: Clock) -> MemberSessions:
    assert account.table

    def build(credentials: Any) -> Any:
        return boto3.client(  # tests/support/account.py's, which is watched
            "iam",
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )

    return MemberSessions(
        client("sts"),
        own=ACCOUNT,
        partition="aws",
        role_name="w-Reader",
        session_name="mfa-watcher",
        build=build,
        clock=clock,
    )


def test_a_members_client_calls_iam_of_that_account(
    sessions: MemberSessions, account: Account
) -> None:
    account.new_user("hub")
    account.member(MEMBER).new_user("mia")
    users = sessions.of(MEMBER).list_users()["Users"]
    assert [user["Arn"] for user in users] == [f"arn:aws:iam::{MEMBER}:user/mia"]


def test_the_members_own_trail_shows_the_watchers_session_name(
    sessions: MemberSessions, account: Account
) -> None:
    sessions.of(MEMBER)
    [body] = account.calls.bodies
    assert "mfa-watcher" in body
    assert f"arn:aws:iam::{MEMBER}:role/w-Reader" in body


def test_one_session_serves_until_shortly_before_its_end(
    sessions: MemberSessions, account: Account, clock: Clock
) -> None:
    first = sessions.of(MEMBER)
    clock.move(timedelta(minutes=54))
    assert sessions.of(MEMBER) is first
    clock.move(timedelta(minutes=2))
    assert sessions.of(MEMBER) is not first
    assert account.calls.made == ["sts:AssumeRole"] * 2


def test_only_the_clients_used_last_are_kept_up_to_a_limit(
    sessions: MemberSessions, account: Account
) -> None:
    first, *others = [f"{number:012}" for number in range(MOST_CLIENTS + 1)]
    for account_id in (first, *others[:-1]):
        sessions.of(account_id)
    sessions.of(first)
    sessions.of(others[-1])
    account.calls.reset()
    sessions.of(first)
    assert account.calls.made == []
    sessions.of(others[0])
    assert account.calls.made == ["sts:AssumeRole"]


@pytest.mark.parametrize("code", ["AccessDenied", "RegionDisabledException"])
def test_an_account_that_refuses_the_role_is_named_with_role_and_remedy(
    sessions: MemberSessions, account: Account, code: str
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal(code, status=403)
    with pytest.raises(AccountOutOfReachError) as raised:
        sessions.of(MEMBER)
    assert str(raised.value) == (
        f"account {MEMBER} is out of reach: the role arn:aws:iam::{MEMBER}:role/w-Reader does"
        f" not exist or does not trust us ({code}); deploy forwarder.yaml in account {MEMBER}, in"
        f" the region of its IAM, with HubAccountId={ACCOUNT}"
    )


def test_a_refusal_holds_for_a_minute(
    sessions: MemberSessions, account: Account, clock: Clock
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    for _ in range(3):
        with pytest.raises(AccountOutOfReachError):
            sessions.of(MEMBER)
    assert account.calls.made == ["sts:AssumeRole"]
    account.calls.refused.clear()
    clock.move(timedelta(minutes=1))
    sessions.of(MEMBER)
    assert account.calls.made == ["sts:AssumeRole"] * 2


@pytest.mark.parametrize("code", ["Throttling", "ExpiredTokenException"])
def test_a_temporary_error_does_not_make_an_account_unreachable(
    sessions: MemberSessions, account: Account, code: str
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal(code)
    with pytest.raises(IamReadError, match=f"access to account {MEMBER}: {code}") as raised:
        sessions.of(MEMBER)
    assert not isinstance(raised.value, AccountOutOfReachError)
    account.calls.refused.clear()
    account.calls.unreachable.add("sts:AssumeRole")
    with pytest.raises(IamReadError, match=f"access to account {MEMBER}: ReadTimeoutError"):
        sessions.of(MEMBER)


# Who is watched -----------------------------------------------------------------------------------


def test_named_accounts_are_our_own_first_and_each_once() -> None:
    accounts = NamedAccounts(ACCOUNT, [MEMBER, ACCOUNT, MEMBER])
    assert accounts.ids() == (ACCOUNT, MEMBER)
    assert accounts.include(MEMBER)
    assert not accounts.include("999999999999")


@pytest.fixture
def members(account: Account) -> list[str]:
    """An organization with more members than a page holds."""
    return [account.organization(), *(account.new_member(f"m{n}") for n in range(25))]


def test_the_organizations_members_are_listed_page_by_page(
    members: list[str], clock: Clock
) -> None:
    accounts = OrganizationAccounts(client("organizations"), own=ACCOUNT, clock=clock)
    assert accounts.ids()[0] == ACCOUNT
    assert set(accounts.ids()) == {ACCOUNT, *members}


def test_an_account_is_looked_up_once_an_hour_and_sooner_if_it_was_no_member(
    account: Account, members: list[str], clock: Clock
) -> None:
    accounts = OrganizationAccounts(client("organizations"), own=ACCOUNT, clock=clock)
    account.calls.reset()
    assert accounts.include(members[0])
    assert accounts.include(members[0])
    assert not accounts.include("999999999999")
    assert not accounts.include("999999999999")
    assert account.calls.made == ["organizations:DescribeAccount"] * 2
    clock.move(timedelta(seconds=30))
    assert accounts.include(members[0])
    assert not accounts.include("999999999999")
    assert account.calls.made == ["organizations:DescribeAccount"] * 3
    clock.move(timedelta(hours=1))
    assert accounts.include(members[0])
    assert account.calls.made == ["organizations:DescribeAccount"] * 4


def test_our_own_account_is_watched_whatever_the_organization_says(
    account: Account, clock: Clock
) -> None:
    for call in ("DescribeAccount", "ListAccounts"):
        account.calls.refused[f"organizations:{call}"] = Refusal("AccessDeniedException")
    accounts = OrganizationAccounts(client("organizations"), own=ACCOUNT, clock=clock)
    assert accounts.include(ACCOUNT)
    for ask in (lambda: accounts.include(MEMBER), accounts.ids):
        with pytest.raises(ExternalServiceError, match="other accounts name the members in"):
            ask()
    account.calls.refused.clear()
    account.calls.unreachable.add("organizations:ListAccounts")
    with pytest.raises(ExternalServiceError, match="ReadTimeoutError"):
        accounts.ids()


class Listing:
    """Answers as Organizations does, with the states that moto does not know."""

    def __init__(self, *accounts: dict[str, str]) -> None:
        """Take the accounts."""
        self._accounts = list(accounts)

    def get_paginator(self, _name: str) -> "Listing":
        """Return itself."""
        return self

    def paginate(self) -> list[dict[str, Any]]:
        """Return pages, the first one empty."""
        return [{"Accounts": []}, {"Accounts": self._accounts}]


def test_only_active_accounts_are_watched_by_the_old_field_and_the_new(clock: Clock) -> None:
    listing: Any = Listing(
        {"Id": "1", "Status": "ACTIVE"},
        {"Id": "2", "State": "ACTIVE"},
        {"Id": "3", "State": "SUSPENDED", "Status": "ACTIVE"},
        {"Id": "4", "Status": "SUSPENDED"},
        {"Id": "5", "State": "PENDING_CLOSURE"},
    )
    accounts = OrganizationAccounts(listing, own=ACCOUNT, clock=clock)
    assert accounts.ids() == (ACCOUNT, "1", "2")


# What they are called -----------------------------------------------------------------------------


@pytest.fixture
def aliases(account: Account, clock: Clock) -> IamAliases:
    account.iam.create_account_alias(AccountAlias="acme")
    given = {MEMBER: "by-hand", ACCOUNT: None}
    return IamAliases(lambda _: client("iam"), clock=clock, set_by_hand=given)


def test_an_alias_is_asked_for_once_an_hour(
    aliases: IamAliases, account: Account, clock: Clock
) -> None:
    assert [aliases.alias(ACCOUNT) for _ in range(3)] == ["acme"] * 3
    assert account.calls.made == ["iam:ListAccountAliases"]
    clock.move(timedelta(hours=1))
    account.iam.delete_account_alias(AccountAlias="acme")
    assert aliases.alias(ACCOUNT) is None


def test_an_alias_given_by_hand_is_not_asked_for(aliases: IamAliases, account: Account) -> None:
    assert aliases.alias(MEMBER) == "by-hand"
    assert account.calls.made == []


def test_an_alias_that_iam_refuses_is_an_error_and_is_asked_for_again(
    aliases: IamAliases, account: Account
) -> None:
    account.calls.refused["iam:ListAccountAliases"] = Refusal("Throttling")
    with pytest.raises(IamReadError, match="ListAccountAliases: Throttling"):
        aliases.alias(ACCOUNT)
    account.calls.refused.clear()
    account.calls.unreachable.add("iam:ListAccountAliases")
    with pytest.raises(IamReadError, match="ListAccountAliases: ReadTimeoutError"):
        aliases.alias(ACCOUNT)
    account.calls.unreachable.clear()
    assert aliases.alias(ACCOUNT) == "acme"
