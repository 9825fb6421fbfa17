"""Whom the approval desk and the fulfilment admit, and how a caller proves who they are."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from mfa_watcher.domain.users.people import Person
from mfa_watcher.entrypoints.api.desk_api import signed_call
from tests.functions.approved import BOB, CARLA, Ana, approved, reserved_role
from tests.functions.product import Product, url_event
from tests.support import sts
from tests.support.account import Account
from tests.support.builders import ACCOUNT, Json
from tests.template.cloudformation import Template

PERMISSION_SET = "AWSReservedSSO_Approvers_0123456789abcdef"
ADMIN = Person(f"arn:aws:iam::{ACCOUNT}:user/olivia", "AIDAOLIVIA", ACCOUNT)
FULFIL = "us-east-1/mfa-watcher/fulfil"


def session(role: str, role_id: str, name: str = "bob") -> Person:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"
    return Person(arn, f"{role_id}:{name}", ACCOUNT)


def fulfil_event(request_id: str, by: Person) -> Json:
    return url_event("POST", f"/requests/{request_id}/fulfil", by)


def refusal(product: Product, account: Account, event: Json) -> str:
    """Have the event refused by fulfil; return the kind of problem."""
    before = Ana.of(account)
    answer = product.invoke("fulfil", event)
    assert answer["statusCode"] == 403, answer["body"]
    assert Ana.of(account) == before
    return str(json.loads(answer["body"])["type"]).rpartition(":")[2]


# Who ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "by",
    [
        ADMIN,
        session("Administrators", "AROAADMIN"),
        session("Security", "AROAMADEAGAIN"),
        session(PERMISSION_SET, "AROAADMIN"),
        session("AWSReservedSSO_Administrators_0123456789abcdef", "AROAADMIN"),
    ],
    ids=[
        "an administrator's access key",
        "another role",
        "the approver role's name",
        "a permission set's name",
        "another permission set",
    ],
)
def test_only_sessions_of_the_approver_role_and_named_permission_sets_decide_or_fulfil(
    product: Product, account: Account, by: Person
) -> None:
    request = approved(product)
    event = product.proven("fulfil", fulfil_event(request.id, by), by)
    assert refusal(product, account, event) == "not-an-approver"
    status, problem = product.call("approval_desk", "GET", "/requests", by)
    assert (status, problem["type"].rpartition(":")[2]) == (403, "not-an-approver")
    assert "--approver-role" in problem["detail"]


def test_role_that_somebody_else_made_is_no_permission_set(
    product: Product, account: Account
) -> None:
    request = approved(product)
    made = account.iam.create_role(RoleName=PERMISSION_SET, AssumeRolePolicyDocument="{}")["Role"]
    by = session(PERMISSION_SET, made["RoleId"])
    event = product.proven("fulfil", fulfil_event(request.id, by), by)
    assert refusal(product, account, event) == "not-an-approver"


def test_session_of_a_named_permission_set_fulfils(product: Product, account: Account) -> None:
    request = approved(product)
    by = session(PERMISSION_SET, reserved_role(account, PERMISSION_SET), "bob@example.com")
    assert product.call("fulfil", "POST", f"/requests/{request.id}/fulfil", by)[0] == 200


# Whose word --------------------------------------------------------------------------------------

Forge = Callable[[Product, Json, sts.Sts], str | None]


def _at(product: Product, event: Json, bound_to: str = FULFIL, **more: object) -> str:
    at = product.account.clock() + timedelta(seconds=int(str(more.pop("seconds", 0))))
    call = f"{bound_to} {signed_call({**event, 'body': ''})}"
    return sts.for_all().proof(CARLA, call, at, **more)


FORGED: dict[str, Forge] = {
    "no proof": lambda _p, _e, _s: None,
    "no URL": lambda _p, _e, _s: "carla",
    "another person's": lambda p, e, s: s.proof(
        BOB, f"{FULFIL} {signed_call({**e, 'body': ''})}", p.account.clock()
    ),
    "for another function": lambda p, e, _s: _at(p, e, "us-east-1/mfa-watcher/approval_desk"),
    "for another call": lambda p, e, _s: _at(p, {**e, "rawPath": "/requests/PR-1/fulfil"}),
    "too old": lambda p, e, _s: _at(p, e, seconds=-61),
    "of the future": lambda p, e, _s: _at(p, e, seconds=31),
    "valid for longer": lambda p, e, _s: _at(p, e, expires=61),
    "of another region": lambda p, e, _s: _at(p, e, region="eu-west-1"),
    "another action": lambda p, e, _s: _at(p, e, query="Action=GetSessionToken&Version=2011-06-15"),
    "an action twice": lambda p, e, _s: _at(p, e) + "&Action=GetSessionToken",
    "an action in another case": lambda p, e, _s: _at(
        p, e, query="Action=GetCallerIdentity&Version=2011-06-15&action=GetSessionToken"
    ),
    "another host": lambda p, e, s: _at(p, e).replace(s.address, "https://sts.example.com"),
    "a host with a name before it": lambda p, e, _s: _at(p, e).replace("//", "//sts@", 1),
    "a path": lambda p, e, _s: _at(p, e).replace("/?", "/x?"),
    "a fragment": lambda p, e, _s: _at(p, e) + "#x",
    "a space": lambda p, e, _s: _at(p, e) + " ",
    "changed": lambda p, e, _s: _at(p, e)[:-1] + "g",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_whoever_writes_the_event_cannot_say_who_they_are(
    product: Product, account: Account, forge: Forge
) -> None:
    """An event that names carla, written by somebody who may invoke the function directly."""
    request = approved(product)
    event = fulfil_event(request.id, CARLA)
    proof = forge(product, event, sts.for_all())
    if proof:
        event["headers"]["x-mfa-watcher-proof"] = proof
    assert refusal(product, account, event) == "unproven-caller"


def test_proof_for_another_host_is_sent_nowhere(product: Product, account: Account) -> None:
    request, asked = approved(product), len(sts.for_all().asked)
    for forge in ("another host", "a path", "an action twice", "too old"):
        event = fulfil_event(request.id, CARLA)
        proof = FORGED[forge](product, event, sts.for_all())
        event["headers"]["x-mfa-watcher-proof"] = proof
        assert refusal(product, account, event) == "unproven-caller"
    assert len(sts.for_all().asked) == asked


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((302, {"Location": "https://example.com/"}, b""), 403),
        ((500, {}, b"busy"), 503),
        ((200, {}, b"x" * 5000), 503),
        ((200, {}, b"<GetCallerIdentityResponse/>"), 503),
        ((200, {}, b'<!DOCTYPE x [<!ENTITY a "b">]><Arn>&a;</Arn>'), 503),
    ],
    ids=["a redirect", "an error", "too much", "nobody", "entities"],
)
def test_answer_that_is_not_as_sts_answers_admits_nobody(
    product: Product, account: Account, answer: tuple[int, dict[str, str], bytes], status: int
) -> None:
    request = approved(product)
    before = Ana.of(account)
    sts.for_all().canned.append(answer)
    got, _ = product.call("fulfil", "POST", f"/requests/{request.id}/fulfil", CARLA)
    assert (got, Ana.of(account)) == (status, before)


def test_proof_is_in_no_log(product: Product, capsys: pytest.CaptureFixture[str]) -> None:
    request = approved(product)
    capsys.readouterr()
    assert product.call("fulfil", "POST", f"/requests/{request.id}/fulfil", CARLA)[0] == 200
    product.invoke("fulfil", fulfil_event(request.id, CARLA))
    written = capsys.readouterr().out
    assert "Fulfilled" in written
    assert "X-Amz-" not in written


def test_each_decision_names_the_version_that_was_read(product: Product) -> None:
    request = approved(product)
    for step in ("approve", "reject", "reopen", "acknowledge", "cancel"):
        event = url_event("POST", f"/requests/{request.id}/{step}", BOB, {"reason": "I know it"})
        answer = product.invoke("approval_desk", product.proven("approval_desk", event, BOB))
        assert answer["statusCode"] == 422
        [fault] = json.loads(answer["body"])["errors"]
        assert fault["field"] == "body.version"


def test_approver_role_is_assumed_by_named_users_with_mfa_under_their_own_name() -> None:
    template = Template.read(Approvers="bob,carla")
    trust = template.resolve(template.properties("ApproverRole"))["AssumeRolePolicyDocument"]
    [statement] = trust["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
        "StringEquals": {
            "aws:username": ["bob", "carla"],
            "sts:RoleSessionName": "${aws:username}",
        },
    }
    assert "ApproverRole" not in Template.read().made()
