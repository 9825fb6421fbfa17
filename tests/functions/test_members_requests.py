"""Change requests about users of member accounts: filed there, decided and fulfilled by the hub."""

import json
from datetime import UTC, datetime

import pytest

from mfa_watcher.domain.sweep.comparison import EVENT_DELAY
from mfa_watcher.domain.users.people import Person
from tests.functions.approved import BOB, CARLA, SUE
from tests.functions.product import FULFIL_ROLE, MEMBER_FULFIL_ROLE, Product
from tests.support.account import Account, Refusal
from tests.support.builders import ACCOUNT, Json, iam_call
from tests.support.reports import Reports

MEMBER = "444455556666"
STRANGER = "999999999999"
FULFILLER = f"arn:aws:iam::{MEMBER}:role/{MEMBER_FULFIL_ROLE}"
DETAILS = {"reason": "My phone fell into the lake.", "wanted": "virtual"}
WORD = {"reason": "Called her back"}


@pytest.fixture
def member(account: Account, product: Product) -> Account:
    """A member account with an alias; the hub has a user of the same name as the member's."""
    product.organization, product.members = "o-abcdefghij", MEMBER
    account.new_user("mia", device=True)
    found = account.member(MEMBER)
    found.iam.create_account_alias(AccountAlias="acme-lab")
    return found


@pytest.fixture
def mia(member: Account) -> Person:
    """A user of the member account, with a device."""
    user_id = member.new_user("mia", device=True)
    return Person(f"arn:aws:iam::{MEMBER}:user/mia", user_id, MEMBER)


def at_home(account: Account) -> Person:
    """Return the user of that name in the hub's own account."""
    user_id = account.iam.get_user(UserName="mia")["User"]["UserId"]
    return Person(f"arn:aws:iam::{ACCOUNT}:user/mia", user_id, ACCOUNT)


def ask(product: Product, by: Person, path: str = "/requests", body: object = None) -> Json:
    return _asked(product, "change_desk", by, path, body)


def _asked(product: Product, function: str, by: Person, path: str, body: object) -> Json:
    method = "GET" if body is None else "POST"
    status, answer = product.call(function, method, path, by, body)
    assert status in {200, 201}, answer
    return answer


def refused(product: Product, by: Person, path: str = "/requests", body: object = None) -> Json:
    return _refused(product, "change_desk", by, path, body)


def _refused(product: Product, function: str, by: Person, path: str, body: object) -> Json:
    method = "GET" if body is None else "POST"
    status, answer = product.call(function, method, path, by, body)
    assert status >= 400
    return answer


def filed(product: Product, by: Person, **more: object) -> str:
    return str(ask(product, by, "/requests", {"details": DETAILS, **more})["request"]["id"])


def approved(product: Product, by: Person) -> str:
    id_ = filed(product, by)
    _asked(product, "approval_desk", BOB, f"/requests/{id_}/approve", WORD)
    return id_


def fulfilled(product: Product, id_: str) -> Json:
    return _asked(product, "fulfil", CARLA, f"/requests/{id_}/fulfil", {})


def state(account: Account, id_: str) -> str:
    [request] = account.items(f"REQUEST#{id_}", "STATE")
    return str(request["state"])


def devices(of: Account) -> list[str]:
    return [one["SerialNumber"] for one in of.iam.list_mfa_devices(UserName="mia")["MFADevices"]]


def intents(account: Account) -> list[str]:
    return sorted(item["act"]["kind"] for item in account.items("INTENT#"))


def entered(account: Account) -> set[str]:
    made = zip(account.calls.made, account.calls.bodies, strict=True)
    return {json.loads(body)["RoleArn"] for call, body in made if call == "sts:AssumeRole"}


def removal(account: Account, by_role: str, of: str = MEMBER) -> Json:
    """Return the record of a removal of mia's phone by a role of a member account."""
    identity = {
        "type": "AssumedRole",
        "principalId": "AROAFULFIL:mfa-watcher",
        "arn": f"arn:aws:sts::{of}:assumed-role/{by_role}/mfa-watcher",
        "accountId": of,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAFULFIL",
                "arn": f"arn:aws:iam::{of}:role/{by_role}",
                "accountId": of,
                "userName": by_role,
            }
        },
    }
    asked = {"userName": "mia", "serialNumber": f"arn:aws:iam::{MEMBER}:mfa/phone-mia"}
    record = iam_call("DeactivateMFADevice", identity, requestParameters=asked, at=account.clock())
    return {**record, "recipientAccountId": MEMBER}


# Who is served ------------------------------------------------------------------------------------


def test_a_members_user_files_and_sees_their_own_request(
    product: Product, account: Account, mia: Person
) -> None:
    id_ = filed(product, mia)
    [request] = ask(product, mia)["requests"]
    assert request["id"] == id_
    assert request["subject"] == {"account_id": MEMBER, "user_id": mia.user_id}
    assert request["opened_by"] == mia.arn
    assert intents(account) == ["request_opened", "request_waiting"]


def test_users_of_one_name_in_two_accounts_do_not_see_each_others_requests(
    product: Product, account: Account, mia: Person
) -> None:
    namesake = at_home(account)
    theirs, ours = filed(product, mia), filed(product, namesake)
    assert [one["id"] for one in ask(product, mia)["requests"]] == [theirs]
    assert [one["id"] for one in ask(product, namesake)["requests"]] == [ours]
    for by, id_ in ((namesake, theirs), (mia, ours)):
        assert refused(product, by, f"/requests/{id_}")["status"] == 404
        assert refused(product, by, f"/requests/{id_}/cancel", WORD)["status"] == 404


@pytest.mark.usefixtures("member")
def test_a_caller_from_an_account_that_is_not_watched_is_refused(product: Product) -> None:
    eve = Person(f"arn:aws:iam::{STRANGER}:user/mia", "AIDAEVE", STRANGER)
    answer = refused(product, eve)
    assert answer["status"] == 403
    assert answer["type"] == "urn:mfa-watcher:problem:unknown-caller"


@pytest.mark.parametrize("function", ["approval_desk", "fulfil"])
def test_only_callers_of_the_hub_account_may_approve(
    product: Product, mia: Person, function: str
) -> None:
    id_ = filed(product, mia)
    step = "approve" if function == "approval_desk" else "fulfil"
    arn = f"arn:aws:sts::{MEMBER}:assumed-role/Security/bob"
    for by in (mia, Person(arn, "AROASECURITY:bob", MEMBER)):
        answer = _refused(product, function, by, f"/requests/{id_}/{step}", WORD)
        assert answer["status"] == 403
        assert f"only callers of account {ACCOUNT} are served" in answer["detail"].lower()


def test_a_members_role_with_the_service_desks_name_has_no_rights(
    product: Product, mia: Person
) -> None:
    arn = f"arn:aws:sts::{MEMBER}:assumed-role/ServiceDesk/sue"
    impostor = Person(arn, "AROADESK:sue", MEMBER)
    filed(product, mia)
    assert refused(product, impostor)["status"] == 403
    assert refused(product, impostor, "/requests", {"user_name": "mia"})["status"] == 403


def test_while_the_organization_cannot_be_read_its_users_are_asked_to_try_again(
    product: Product, account: Account, mia: Person
) -> None:
    product.members = ""
    account.calls.refused["organizations:DescribeAccount"] = Refusal("AccessDeniedException")
    assert refused(product, mia)["status"] == 503
    assert ask(product, at_home(account)) == {"requests": [], "cursor": None}


# The service desk ---------------------------------------------------------------------------------


def test_the_service_desk_files_for_a_members_user_by_the_accounts_number(
    product: Product, mia: Person
) -> None:
    id_ = filed(product, SUE, user_name="mia", account_id=MEMBER)
    [request] = ask(product, mia)["requests"]
    assert (request["id"], request["opened_by"]) == (id_, SUE.arn)


def test_without_a_number_the_service_desk_means_the_hubs_own_account(
    product: Product, account: Account, mia: Person
) -> None:
    filed(product, SUE, user_name="mia")
    assert ask(product, mia)["requests"] == []
    assert len(ask(product, at_home(account))["requests"]) == 1


@pytest.mark.usefixtures("mia")
def test_filing_for_an_account_that_is_not_watched_is_refused(product: Product) -> None:
    answer = refused(product, SUE, "/requests", {"user_name": "mia", "account_id": STRANGER})
    assert answer["status"] == 404
    assert f"account {STRANGER} is not watched" in answer["detail"].lower()


def test_a_user_cannot_file_in_another_account(
    product: Product, account: Account, mia: Person
) -> None:
    for by, other in ((mia, ACCOUNT), (at_home(account), MEMBER)):
        answer = refused(product, by, "/requests", {"account_id": other})
        assert answer["status"] == 403
    filed(product, mia, account_id=MEMBER)


# Carrying out -------------------------------------------------------------------------------------


def test_a_members_request_is_fulfilled_by_the_fulfil_role_of_that_account(
    product: Product, account: Account, member: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    account.calls.reset()
    answer = fulfilled(product, id_)
    assert entered(account) == {FULFILLER}
    assert devices(member) == []
    assert len(devices(account)) == 1
    assert answer["account"] == MEMBER
    assert answer["sign_in_url"] == "https://acme-lab.signin.aws.amazon.com/console"
    assert state(account, id_) == "fulfilled"


def test_a_request_is_fulfilled_although_the_members_alias_is_unknown(
    product: Product, account: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    account.calls.refused["iam:ListAccountAliases"] = Refusal("AccessDenied", status=403)
    answer = fulfilled(product, id_)
    assert answer["sign_in_url"] == f"https://{MEMBER}.signin.aws.amazon.com/console"
    assert len(answer["password"]) >= 20


def test_a_member_without_the_fulfil_role_is_named_and_nothing_is_done(
    product: Product, account: Account, member: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    account.calls.refused["sts:AssumeRole"] = Refusal("AccessDenied", status=403)
    answer = _refused(product, "fulfil", CARLA, f"/requests/{id_}/fulfil", {})
    assert answer["status"] == 503
    assert FULFILLER in answer["detail"]
    assert len(devices(member)) == 1
    assert state(account, id_) == "approved"


def test_a_removal_by_the_members_fulfil_role_is_no_violation(
    product: Product, account: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    fulfilled(product, id_)
    told = intents(account)
    assert product.observe(removal(account, MEMBER_FULFIL_ROLE)) == []
    assert intents(account) == told
    [request] = account.items(f"REQUEST#{id_}", "STATE")
    assert (request["state"], request["violation"]) == ("fulfilled", False)
    entries = account.items(f"REQUEST#{id_}", "HISTORY#")
    assert sum(entry.get("actor", "").endswith("/mfa-watcher") for entry in entries) == 1


@pytest.mark.parametrize("role", [FULFIL_ROLE, f"{MEMBER_FULFIL_ROLE}-2", "Administrators"])
def test_a_removal_by_any_other_role_of_the_member_is_a_violation(
    product: Product, account: Account, mia: Person, role: str
) -> None:
    id_ = approved(product, mia)
    fulfilled(product, id_)
    assert product.observe(removal(account, role)) == []
    [request] = account.items(f"REQUEST#{id_}", "STATE")
    assert (request["state"], request["violation"]) == ("open", True)
    assert "removal_unapproved" in intents(account)


def test_mails_and_alerts_about_a_members_request_name_the_members_account(
    product: Product, account: Account, mia: Person
) -> None:
    fulfilled(product, approved(product, mia))
    account.calls.reset()
    assert product.deliver() == []
    made = zip(account.calls.made, account.calls.bodies, strict=True)
    mails = [
        json.loads(body)["Content"]["Simple"] for call, body in made if call == "ses:SendEmail"
    ]
    assert mails
    for mail in mails:
        text = " ".join(mail["Body"]["Text"]["Data"].split())
        assert f"acme-lab ({MEMBER})" in text
        assert ACCOUNT not in text
    alerts = [alert["Message"] for alert in account.alerts()]
    assert alerts
    assert all(f"acme-lab ({MEMBER})" in alert for alert in alerts)


# What no event told of ----------------------------------------------------------------------------


@pytest.fixture
def reports(account: Account, monkeypatch: pytest.MonkeyPatch) -> Reports:
    """Credential reports, and a clock that moto's users are not younger than."""
    account.clock.time = datetime.now(UTC) + EVENT_DELAY
    return Reports(account.clock).install(monkeypatch)


@pytest.mark.usefixtures("reports")
def test_a_new_device_that_only_the_sweep_sees_closes_a_members_fulfilled_request(
    product: Product, account: Account, member: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    fulfilled(product, id_)
    member.enrol("mia", "tablet")
    product.sweep()
    assert state(account, id_) == "closed"
    [user] = account.items(f"USER#{MEMBER}", "STATE")
    assert (user["mfa_status"], user["finding"]["closure"]) == ("protected", "enrolled")


@pytest.mark.usefixtures("reports")
def test_a_sweep_leaves_a_fulfilled_request_that_waits_for_its_device(
    product: Product, account: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    fulfilled(product, id_)
    told = intents(account)
    product.sweep()
    product.sweep()
    assert state(account, id_) == "fulfilled"
    assert intents(account) == told


@pytest.mark.usefixtures("reports")
def test_a_sweep_that_finds_the_user_gone_ends_their_request(
    product: Product, account: Account, member: Account, mia: Person
) -> None:
    id_ = approved(product, mia)
    product.sweep()
    [serial] = devices(member)
    member.iam.deactivate_mfa_device(UserName="mia", SerialNumber=serial)
    member.iam.delete_login_profile(UserName="mia")
    member.iam.delete_user(UserName="mia")
    product.sweep()
    assert state(account, id_) == "cancelled"
