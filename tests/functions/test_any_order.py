"""The same events, each ten times, in any order with their neighbours."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import permutations
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.functions.product import Product
from tests.support.account import Account, opened
from tests.support.builders import (
    ADMIN,
    Json,
    about,
    access_granted,
    denied_removal,
    iam_call,
    iam_user,
    later,
    sign_in,
    user_created,
)
from tests.support.examples import examples

TIMES = 10


@dataclass(frozen=True)
class Story:
    """Records about one user, and what they leave. What is mailed may depend on the order."""

    arrange: Callable[[Product], list[Json]]
    sent: frozenset[str]
    perhaps: frozenset[str] = frozenset()
    finding: frozenset[str | None] = frozenset({None})
    requests: int = 0


def newcomer(product: Product) -> list[Json]:
    ana = iam_user("ana", product.account.new_user("ana"))
    return [
        user_created("ana", ana["principalId"]),
        access_granted("ana"),
        sign_in(ana, at=later(120)),
        about("ChangePassword", "ana", ana),
    ]


def enrolled(product: Product) -> list[Json]:
    ana = iam_user("ana", product.account.new_user("ana"))
    product.observe(sign_in(ana))
    product.deliver()
    serial = product.account.enrol("ana")
    return [
        sign_in(ana),
        about("EnableMFADevice", "ana", ana, serialNumber=serial),
        sign_in(ana, "with", mfa="Yes", at=later(5)),
    ]


def denied(product: Product) -> list[Json]:
    ana = iam_user("ana", product.account.new_user("ana", device=True))
    return [
        denied_removal(ana, "ana", "deactivate"),
        denied_removal(ana, "ana", "delete", call="DeleteVirtualMFADevice"),
        sign_in(ana, mfa="Yes"),
    ]


def removed(product: Product) -> list[Json]:
    ana = iam_user("ana", product.account.new_user("ana"))
    serial = "arn:aws:iam::123456789012:mfa/phone"
    return [
        about("DeactivateMFADevice", "ana", ADMIN, serialNumber=serial),
        iam_call("DeleteVirtualMFADevice", ADMIN, requestParameters={"serialNumber": serial}),
        sign_in(ana, at=later(5)),
    ]


def renamed(product: Product) -> list[Json]:
    iam = product.account.iam
    ana = iam_user("ana", product.account.new_user("ana"))
    product.observe(sign_in(ana))
    product.deliver()
    iam.update_user(UserName="ana", NewUserName="anna")
    return [
        about("EnableMFADevice", "ana", seed="under the old name", serialNumber="GAKT1"),
        about("UpdateUser", "ana", newUserName="anna"),
        sign_in({**ana, "userName": "anna"}, "under the new name", at=later(5)),
    ]


def off_boarded(product: Product) -> list[Json]:
    iam = product.account.iam
    ana = iam_user("ana", product.account.new_user("ana"))
    product.observe(sign_in(ana))
    product.deliver()
    iam.delete_login_profile(UserName="ana")
    iam.delete_user(UserName="ana")
    return [
        about("DeactivateMFADevice", "ana", serialNumber="GAKT1"),
        about("DeleteLoginProfile", "ana"),
        about("DeleteUser", "ana"),
        sign_in(ana),
    ]


SIGNED_IN = frozenset({"mail guide", "alert sign_in_without_mfa"})
OPEN: frozenset[str | None] = frozenset({"open"})
STORIES = {
    "newcomer": Story(newcomer, SIGNED_IN, frozenset({"mail welcome"}), finding=OPEN),
    "enrolled": Story(enrolled, SIGNED_IN | {"mail enrolled"}, finding=frozenset({"enrolled"})),
    "denied": Story(denied, frozenset({"mail removal_denied", "alert removal_denied"}), requests=1),
    "removed": Story(
        removed,
        frozenset({"alert sign_in_without_mfa", "alert removal_unapproved"}),
        frozenset({"mail guide", "mail device_lost"}),
        finding=OPEN,
        requests=1,
    ),
    # Read under a name that still leads to the user: an administrator added that device.
    "renamed": Story(renamed, SIGNED_IN, frozenset({"alert device_added"}), finding=OPEN),
    "off-boarded": Story(
        off_boarded,
        SIGNED_IN,
        finding=frozenset({"user_gone", "console_access_removed"}),
        requests=1,  # cancelled at once: it holds the removal in case the user was renamed
    ),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
# An example takes a second, and a shuffled story cannot be made smaller.
@settings(
    max_examples=examples(0.02), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
@given(random=st.randoms())
def test_ten_of_each_in_any_order_leave_one_finding_one_request_and_one_mail_of_each_kind(
    story: Story, random: Random
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        waiting = story.arrange(product) * TIMES
        random.shuffle(waiting)
        while waiting:
            size = random.randint(1, 10)
            assert product.observe(*waiting[:size]) == []
            del waiting[:size]
            if random.random() < 0.3:
                assert product.deliver() == []
        assert product.deliver() == []
        account.clock.move(timedelta(hours=1))
        product.redeliver()
        check(story, account)


def check(story: Story, account: Account) -> None:
    sent = account.calls.sent
    assert story.sent <= sent.keys() <= story.sent | story.perhaps
    assert set(sent.values()) == {1}
    [user] = account.items("USER#", "STATE")
    finding = user.get("finding")
    assert (finding and finding.get("closure", "open")) in story.finding
    assert len(account.items("REQUEST#", "STATE")) == story.requests
    effects = [
        effect.split(":")[0]
        for entry in account.items("USER#", "HISTORY#")
        for effect in entry["effects"]
    ]
    assert effects.count("finding opened") == (finding is not None)
    assert effects.count("finding closed") <= 2
    decided = Counter(
        entry["event_id"]
        for entry in account.items("USER#", "HISTORY#")
        if " sent to " not in entry["what"] and " not sent: " not in entry["what"]
    )
    assert set(decided.values()) == {1}


# Names that change hands ------------------------------------------------------------------------


def recreated(product: Product) -> list[Json]:
    """The name of a user who was deleted goes to another at once, as IaC tools do it."""
    iam, old = product.account.iam, product.account.new_user("ana")
    iam.delete_login_profile(UserName="ana")
    iam.delete_user(UserName="ana")
    return [
        user_created("ana", old, "first"),
        about("DeleteUser", "ana"),
        user_created("ana", product.account.new_user("ana"), "second"),
        access_granted("ana"),
    ]


def renamed_at_once(product: Product) -> list[Json]:
    ana = product.account.new_user("ana")
    product.account.iam.update_user(UserName="ana", NewUserName="anna")
    return [
        user_created("ana", ana),
        access_granted("ana"),
        about("UpdateUser", "ana", newUserName="anna"),
    ]


def renamed_and_recreated(product: Product) -> list[Json]:
    created, _, renaming = renamed_at_once(product)
    successor = product.account.new_user("ana")
    return [created, renaming, user_created("ana", successor, "second"), access_granted("ana")]


@pytest.mark.parametrize(
    ("story", "length"), [(recreated, 4), (renamed_at_once, 3), (renamed_and_recreated, 4)]
)
def test_each_existing_user_has_their_own_finding_and_mail_in_every_order(
    story: Callable[[Product], list[Json]], length: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for order in permutations(range(length)):
            with opened(monkeypatch) as account:
                product = Product(account, monkeypatch)
                records = story(product)
                assert len(records) == length
                for number in order:
                    assert product.observe(records[number]) == []
                assert product.deliver() == []
                there = {user["UserId"] for user in account.iam.list_users()["Users"]}
                users = {u["pk"].split("#")[2]: u for u in account.items("USER#", "STATE")}
                for user_id in there:
                    assert users[user_id]["finding"].get("closure", "open") == "open", order
                assert all("gone_at" in users[key] for key in users.keys() - there), order
                assert account.calls.sent.total() == len(there), order
