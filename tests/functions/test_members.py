"""Users of another account and region: watched, written to and reminded as those at home are."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users.addresses import AddressBook
from mfa_watcher.usecases.administer import AdministerUsers, NoSuchUserError
from tests.functions.product import MAX_RECEIVES, Output, Product
from tests.support.account import Account, Refusal
from tests.support.builders import (
    ACCOUNT,
    NOW,
    ROOT,
    Json,
    about,
    denied_removal,
    envelope,
    iam_call,
    iam_user,
    sign_in,
)

MEMBER = "444455556666"
STRANGER = "999999999999"
DAY = timedelta(days=1)
READER = f"arn:aws:iam::{MEMBER}:role/mfa-watcher-Reader"
QUARANTINE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}],
    }
)


def there(record: Json, account: str = MEMBER) -> Json:
    """Return the record as another account's CloudTrail writes it."""
    moved: Json = json.loads(json.dumps(record).replace(ACCOUNT, account))
    return moved


def sent(product: Product) -> dict[str, int]:
    assert product.deliver() == []
    counts = dict(product.account.calls.sent)
    product.account.calls.sent.clear()
    return counts


def roles_entered(account: Account) -> list[str]:
    made = zip(account.calls.made, account.calls.bodies, strict=True)
    bodies = [json.loads(body) for call, body in made if call == "sts:AssumeRole"]
    return [body["RoleArn"] for body in bodies]


@pytest.fixture
def member(account: Account, product: Product) -> Account:
    """A member account with an alias; the hub's has a user of the same name as hers."""
    product.organization, product.members = "o-abcdefghij", MEMBER
    account.new_user("mia", device=True)
    found = account.member(MEMBER)
    found.iam.create_account_alias(AccountAlias="acme-lab")
    return found


@pytest.fixture
def mia(member: Account) -> Json:
    """A console user without a device, in the member account."""
    user: Json = there(iam_user("mia", member.new_user("mia")))
    return user


def test_a_sign_in_of_a_member_is_judged_by_that_accounts_iam(
    product: Product, account: Account, mia: Json
) -> None:
    assert product.observe(there(sign_in(mia))) == []
    [user] = account.items("USER#", "STATE")
    assert user["pk"] == f"USER#{MEMBER}#{mia['principalId']}"
    assert user["finding"]["cause"] == "signed_in_without_mfa"
    assert roles_entered(account) == [READER]


def test_mail_and_alert_name_the_members_own_account(
    product: Product, account: Account, mia: Json
) -> None:
    product.observe(there(sign_in(mia)))
    account.calls.reset()
    assert sent(product) == {"mail guide": 1, "alert sign_in_without_mfa": 1}
    [alert] = account.alerts()
    assert f"acme-lab ({MEMBER})" in alert["Message"]
    made = zip(account.calls.made, account.calls.bodies, strict=True)
    [mail] = [json.loads(body) for call, body in made if call == "ses:SendEmail"]
    simple = mail["Content"]["Simple"]
    assert "acme-lab" in simple["Subject"]["Data"]
    text = " ".join(simple["Body"]["Text"]["Data"].split())
    assert f"acme-lab ({MEMBER})" in text
    assert "https://acme-lab.signin.aws.amazon.com/console" in text
    assert ACCOUNT not in text


def test_users_with_the_same_name_in_two_accounts_are_two_users(
    product: Product, account: Account, member: Account, mia: Json
) -> None:
    at_home = iam_user("mia", account.iam.get_user(UserName="mia")["User"]["UserId"])
    product.observe(about("EnableMFADevice", "mia", at_home), there(sign_in(mia)))
    mfa_statuses = {
        user["pk"].split("#")[1]: user["mfa_status"] for user in account.items("USER#", "STATE")
    }
    assert mfa_statuses == {ACCOUNT: "protected", MEMBER: "unprotected"}
    serial = member.enrol("mia")
    enrolled = iam_call(
        "EnableMFADevice", mia, requestParameters={"userName": "mia", "serialNumber": serial}
    )
    product.observe(there({**enrolled, "eventID": "11111111-1111-1111-1111-111111111111"}))
    closed = [user for user in account.items("USER#", "STATE") if "finding" in user]
    assert [(user["pk"].split("#")[1], user["mfa_status"]) for user in closed] == [
        (MEMBER, "protected")
    ]


def test_a_denied_removal_in_a_member_is_a_request_about_that_accounts_user(
    product: Product, account: Account, member: Account, mia: Json
) -> None:
    member.enrol("mia")
    product.observe(there(denied_removal(mia, "mia")))
    [request] = account.items("REQUEST#", "STATE")
    assert request["subject"] == {"account_id": MEMBER, "user_id": mia["principalId"]}


def test_account_and_region_are_those_of_the_record_whatever_the_envelope_says(
    product: Product, account: Account, mia: Json
) -> None:
    record = {**there(sign_in(mia)), "awsRegion": "eu-north-1"}
    event = {**json.loads(envelope(record)), "account": STRANGER, "region": "us-west-2"}
    assert product.take("on_sign_in", json.dumps(event)) == []
    [user] = account.items("USER#", "STATE")
    assert user["pk"].startswith(f"USER#{MEMBER}#")


@pytest.mark.usefixtures("member")
@pytest.mark.parametrize("who", ["user", "root"])
def test_an_event_of_an_account_that_is_not_watched_is_set_aside_with_the_reason(
    product: Product, account: Account, who: str
) -> None:
    identity = iam_user("eve", "AIDAEVE") if who == "user" else ROOT
    assert product.observe(there(sign_in(identity), STRANGER)) == []
    [(_, attributes)] = account.parked("SignInDeadLetters")
    assert f"account {STRANGER}, which is not watched" in attributes["reason"]
    assert account.items("USER#") == []
    assert roles_entered(account) == []


def test_a_member_that_refuses_the_role_is_named_with_what_to_deploy(
    product: Product, account: Account, mia: Json
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    record = there(sign_in(mia))
    assert len(product.observe(record)) == 1
    assert product.observe(record, receives=MAX_RECEIVES) == []
    [(_, attributes)] = account.parked("SignInDeadLetters")
    reason = attributes["reason"]
    assert f"account {MEMBER} is out of reach" in reason
    assert READER in reason
    assert "forwarder.yaml" in reason
    assert f"HubAccountId={ACCOUNT}" in reason


def test_once_the_role_exists_the_event_is_decided_normally(
    product: Product, account: Account, mia: Json
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    record = there(sign_in(mia))
    assert len(product.observe(record)) == 1
    account.calls.refused.clear()
    account.clock.move(timedelta(minutes=2))
    assert product.observe(record) == []
    assert sent(product)["mail guide"] == 1


def test_the_role_in_a_member_is_assumed_once_for_many_events(
    product: Product, account: Account, member: Account
) -> None:
    def someone_signs_in(name: str) -> None:
        who = there(iam_user(name, member.new_user(name)))
        assert product.observe(there(sign_in(who, name, at=account.clock()))) == []

    account.clock.time = datetime.now(UTC)  # by which moto's sessions end
    for number in range(5):
        someone_signs_in(f"user-{number}")
    assert roles_entered(account) == [READER]
    account.clock.move(timedelta(minutes=54))
    someone_signs_in("in-time")
    assert len(roles_entered(account)) == 1


def test_an_alert_about_a_member_whose_alias_is_unknown_has_its_number(
    product: Product, account: Account, mia: Json
) -> None:
    product.observe(there(iam_call("DeleteAccountPasswordPolicy", mia)))
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    product.running = ""
    assert sent(product) == {"alert password_policy_changed": 1}
    [alert] = account.alerts()
    assert f"Account:          {MEMBER}" in alert["Message"]


def test_each_alert_in_a_digest_names_its_account(
    product: Product, account: Account, mia: Json
) -> None:
    product.digest_seconds = 60
    ana, ann = (iam_user(name, account.new_user(name)) for name in ("ana", "ann"))
    product.observe(sign_in(ana, "ana"), sign_in(ann, "ann"), there(sign_in(mia, "mia")))
    product.deliver()
    account.clock.move(timedelta(minutes=2))
    product.redeliver()
    one, together = [alert["Message"] for alert in account.alerts()]
    lines = [line for line in (one + together).splitlines() if "User" in line or "Account" in line]
    assert sum(f"acme ({ACCOUNT})" in line for line in lines) == 2
    assert sum(f"acme-lab ({MEMBER})" in line for line in lines) == 1
    assert "User: mia | Account: acme-lab" in together


def test_a_member_is_asked_its_alias_once(
    product: Product, account: Account, member: Account
) -> None:
    for name in ("mia", "max", "mo"):
        who = there(iam_user(name, member.new_user(name)))
        product.observe(there(sign_in(who, name)))
    account.calls.reset()
    assert sent(product)["mail guide"] == 3
    assert account.calls.tally("iam")["ListAccountAliases"] == 1


def test_the_hub_is_asked_its_alias_unless_it_was_given(product: Product, account: Account) -> None:
    product.account_alias = ""
    account.iam.create_account_alias(AccountAlias="acme-hub")
    product.observe(sign_in(iam_user("ana", account.new_user("ana"))))
    account.calls.reset()
    sent(product)
    assert account.calls.tally("iam")["ListAccountAliases"] == 1
    assert any("acme-hub.signin" in body for body in account.calls.bodies)


# The clock ----------------------------------------------------------------------------------------


def go_on_for(product: Product, days: int) -> dict[str, int]:
    last: dict[str, int] = {}
    for _ in range(days):
        product.account.clock.move(DAY)
        product.remind()
        last = sent(product)
    return last


def test_a_members_user_who_does_not_enrol_is_reminded(product: Product, mia: Json) -> None:
    product.observe(there(sign_in(mia)))
    sent(product)
    assert go_on_for(product, 1) == {"mail reminder": 1}


def test_a_members_user_who_enrolled_without_an_event_is_not_reminded(
    product: Product, account: Account, member: Account, mia: Json
) -> None:
    product.observe(there(sign_in(mia)))
    sent(product)
    member.enrol("mia")
    assert go_on_for(product, 1) == {"mail enrolled": 1}
    [user] = account.items("USER#", "STATE")
    assert user["finding"]["closure"] == "enrolled"


def test_unreachable_users_are_reported_for_each_account(
    product: Product, account: Account, member: Account
) -> None:
    product.default_mail_domain = ""
    for where in (account, member):
        for name in ("nora", "nick"):
            who = iam_user(name, where.new_user(name))
            product.observe(there(sign_in(who, f"{name}-{where.number}"), where.number))
    sent(product)
    account.calls.reset()
    product.remind()
    assert sent(product)["mail unreachable"] == 2
    subjects = {
        json.loads(body)["Content"]["Simple"]["Subject"]["Data"]
        for call, body in zip(account.calls.made, account.calls.bodies, strict=True)
        if call == "ses:SendEmail"
    }
    assert {subject.split("]")[0] for subject in subjects} == {"[AWS acme", "[AWS acme-lab"}


@pytest.fixture
def quarantine(product: Product, member: Account) -> str:
    """The policy that the member's forwarder makes, and the quarantine switched on in the hub."""
    made = member.iam.create_policy(PolicyName="mfa-watcher-quarantine", PolicyDocument=QUARANTINE)
    product.quarantine = "on"
    return made["Policy"]["Arn"]


def quarantined_names(member: Account) -> list[str]:
    found = member.iam.list_attached_user_policies(UserName="mia")["AttachedPolicies"]
    return [policy["PolicyArn"] for policy in found]


@pytest.mark.usefixtures("quarantine")
def test_nobody_in_a_member_is_quarantined_unless_that_is_switched_on(
    product: Product, member: Account, mia: Json
) -> None:
    product.observe(there(sign_in(mia)))
    assert go_on_for(product, 21) == {"mail reminder": 1}
    assert product.apply_quarantines() == {}
    assert quarantined_names(member) == []


def test_a_members_user_is_quarantined_and_released_by_the_quarantine_role(
    product: Product, account: Account, member: Account, mia: Json, quarantine: str
) -> None:
    product.quarantines_members = "yes"
    product.observe(there(sign_in(mia)))
    assert go_on_for(product, 21) == {"mail quarantined": 1, "alert quarantined": 1}
    account.calls.reset()
    assert list(product.apply_quarantines().values()) == ["quarantined"]
    assert quarantined_names(member) == [quarantine]
    assert roles_entered(account) == [
        READER,
        f"arn:aws:iam::{MEMBER}:role/mfa-watcher-Quarantine",
    ]
    serial = member.enrol("mia")
    asked = {"userName": "mia", "serialNumber": serial}
    enrolled = iam_call("EnableMFADevice", mia, requestParameters=asked, at=account.clock())
    product.observe(there(enrolled))
    assert list(product.apply_quarantines().values()) == ["released"]
    assert quarantined_names(member) == []


def test_an_unreachable_account_does_not_stop_the_reminders_of_the_others(
    product: Product, account: Account, mia: Json
) -> None:
    ana = iam_user("ana", account.new_user("ana"))
    product.observe(there(sign_in(mia, "mia")), sign_in(ana, "ana"))
    sent(product)
    account.clock.move(DAY)
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    product.running = ""
    with pytest.raises(ExceptionGroup) as raised:
        product.remind()
    assert MEMBER in str(raised.value.exceptions[0])
    assert sent(product) == {"mail reminder": 1}


def test_the_log_names_an_unreachable_member(
    product: Product, account: Account, mia: Json, output: Callable[[], Output]
) -> None:
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    product.observe(there(sign_in(mia)))
    assert MEMBER in json.dumps([line.get("exception") for line in output().lines])


# The organization, the desk -----------------------------------------------------------------------


def test_the_organization_says_who_its_members_are_if_nobody_named_them(
    product: Product, account: Account
) -> None:
    made = account.organization()
    product.organization = "o-abcdefghij"
    who = there(iam_user("mo", account.member(made).new_user("mo")), made)
    assert product.observe(there(sign_in(who), made)) == []
    assert product.observe(there(sign_in(who, "other"), STRANGER)) == []
    [(_, attributes)] = account.parked("SignInDeadLetters")
    assert STRANGER in attributes["reason"]
    [user] = account.items("USER#", "STATE")
    assert user["pk"].startswith(f"USER#{made}#")


def test_an_organization_that_cannot_be_asked_makes_the_event_wait(
    product: Product, account: Account
) -> None:
    product.organization = "o-abcdefghij"
    account.calls.refused["organizations:DescribeAccount"] = Refusal("AccessDeniedException")
    at_home = iam_user("ana", account.new_user("ana"))
    assert product.observe(sign_in(at_home)) == []
    record = there(sign_in(at_home, "there"))
    assert len(product.observe(record)) == 1
    product.observe(record, receives=MAX_RECEIVES)
    [(_, attributes)] = account.parked("SignInDeadLetters")
    assert "name the members in MemberAccounts" in attributes["reason"]


def test_the_command_exempts_a_members_user_whom_the_watcher_knows(
    product: Product, account: Account, mia: Json
) -> None:
    product.observe(there(sign_in(mia)))
    store = DynamoStore(
        Table(account.dynamodb, account.table), remember_events=35 * DAY, keep_evidence=DAY
    )
    book = AddressBook(frozenset({"example.com"}))
    desk = AdministerUsers(
        MEMBER, "arn:s", store, None, Policy(), book, account.clock, lambda: "desk-1"
    )
    user = desk.grant("Mia", reason="a key is on its way", until=NOW + 9 * DAY)
    assert (user.key.account_id, user.key.user_id) == (MEMBER, mia["principalId"])
    with pytest.raises(NoSuchUserError, match=f"in account {MEMBER}; a sweep"):
        desk.revoke("nobody")
