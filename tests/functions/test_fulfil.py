"""Fulfilment: what becomes of the user, their devices and request, and who is notified."""

import json
from collections import Counter
from datetime import timedelta

import pytest

from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState, WrongStepError
from mfa_watcher.domain.users.people import Person
from tests.functions.approved import (
    BOB,
    CARLA,
    DORA,
    FIDO,
    HARDWARE,
    PASSKEY,
    PHONE,
    TABLET,
    Ana,
    approved,
    fulfil,
    give_device,
    member,
    store,
    story,
)
from tests.functions.product import APPROVER_ROLE_ID, Product
from tests.support.account import Account, Refusal, opened
from tests.support.builders import ACCOUNT, Json, about, iam_user
from tests.template.cloudformation import ACCOUNT as SHOWN_ACCOUNT
from tests.template.cloudformation import ROOT


def request_now(account: Account, request: ChangeRequest) -> ChangeRequest:
    found = store(account).request(request.id)
    assert found
    return found


def finding(account: Account) -> Json | None:
    [user] = account.items("USER#", "STATE")
    found: Json | None = user.get("finding")
    return found


def test_the_answer_holds_what_the_approver_hands_over(product: Product) -> None:
    request = approved(product)
    status, answer = fulfil(product, request)
    password = answer.pop("password")
    assert status == 200
    assert answer == {
        "request_id": request.id,
        "user_name": "ana",
        "account": ACCOUNT,
        "sign_in_url": "https://acme.signin.aws.amazon.com/console",
        "password_reset_required": True,
        "new_device_until": "2026-03-05T12:00:00Z",
        "steps": [f"deactivated {PHONE}", f"deleted {PHONE}", "new password set"],
    }
    ana = Ana.of(product.account)
    assert (ana.devices, ana.virtual) == (frozenset(), frozenset())
    assert (ana.password, ana.reset_required) == (password, True)


@pytest.mark.parametrize(
    ("serial", "calls"),
    [
        (PHONE, {"DeactivateMFADevice": 1, "DeleteVirtualMFADevice": 1}),
        (FIDO, {"DeactivateMFADevice": 1}),
        (HARDWARE, {"DeactivateMFADevice": 1}),
    ],
    ids=["virtual", "fido", "hardware"],
)
def test_a_device_is_deactivated_and_only_a_virtual_one_deleted(
    product: Product, account: Account, serial: str, calls: dict[str, int]
) -> None:
    request = approved(product, (serial,))
    assert fulfil(product, request)[0] == 200
    if serial != PHONE:
        assert account.calls.made == calls_of_a_plain_run()
    made = account.calls.tally("iam")
    assert {call: n for call, n in made.items() if "MFADevice" in call} == {
        **calls,
        "ListMFADevices": 1,
    }
    assert Ana.of(account).devices == frozenset()


def test_devices_that_are_kept_stay_and_the_user_stays_protected(
    product: Product, account: Account
) -> None:
    request = approved(product, (PHONE, HARDWARE, FIDO), kept=(TABLET, PASSKEY))
    assert fulfil(product, request)[0] == 200
    ana = Ana.of(account)
    assert ana.devices == {TABLET, PASSKEY}
    assert ana.virtual == {TABLET}
    [user] = account.items("USER#", "STATE")
    assert user["mfa_status"] == "protected"
    assert "finding" not in user
    assert request_now(account, request).state is RequestState.FULFILLED


def test_other_users_devices_and_passwords_are_never_touched(
    product: Product, account: Account
) -> None:
    request = approved(product, (PHONE, HARDWARE))
    account.new_user("eve")
    for serial in (HARDWARE, f"arn:aws:iam::{ACCOUNT}:mfa/phone-eve"):
        give_device(account, "eve", serial)
    before = Ana.of(account, "eve")
    assert fulfil(product, request)[0] == 200
    after = Ana.of(account, "eve")
    assert (after.devices, after.password) == (before.devices, before.password)


def test_a_virtual_device_that_another_user_has_by_now_is_not_deleted(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.new_user("eve")
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    # moto deletes a device that is in use; IAM does not.
    account.calls.refused["iam:DeleteVirtualMFADevice"] = Refusal("DeleteConflict", status=409)
    status, answer = fulfil(product, request)
    assert status == 200
    assert answer["steps"] == [
        f"found {PHONE} deactivated",
        f"left {PHONE}, which is in use elsewhere",
        "new password set",
    ]


def test_a_device_that_iam_still_shows_as_assigned_is_deleted_by_the_next_call(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.calls.refused["iam:DeleteVirtualMFADevice"] = Refusal("DeleteConflict", status=409)
    status, problem = fulfil(product, request)
    assert (status, problem["title"]) == (503, "IAM is temporarily unavailable")
    assert "Try again in a minute" in problem["detail"]
    assert f"Done so far: deactivated {PHONE}" in problem["detail"]
    account.calls.reset()
    assert fulfil(product, request)[0] == 200
    assert Ana.of(account).virtual == frozenset()
    assert account.calls.tally("iam")["DeactivateMFADevice"] == 0


@pytest.mark.parametrize("deleted", [False, True])
def test_a_device_that_is_gone_already_counts_as_removed(
    product: Product, account: Account, *, deleted: bool
) -> None:
    request = approved(product, (PHONE, HARDWARE))
    for serial in (PHONE, HARDWARE):
        account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=serial)
    if deleted:
        account.iam.delete_virtual_mfa_device(SerialNumber=PHONE)
    status, answer = fulfil(product, request)
    assert status == 200
    assert answer["steps"] == [
        f"found {PHONE} deactivated",
        f"deleted {PHONE}",
        f"found {HARDWARE} deactivated",
        "new password set",
    ]


def test_the_request_waits_for_the_new_device_and_the_finding_opens_by_its_cause(
    product: Product, account: Account
) -> None:
    request = approved(product)
    fulfil(product, request)
    after = request_now(account, request)
    assert after.state is RequestState.FULFILLED
    assert after.window_until == account.clock() + timedelta(hours=72)
    opened = finding(account)
    assert opened
    assert opened["cause"] == "request_fulfilled"
    assert opened["due_at"] == "2026-03-03T12:00:00Z"


def test_the_user_gets_one_mail_and_security_one_alert(product: Product, account: Account) -> None:
    request = approved(product)
    fulfil(product, request)
    product.deliver()
    assert account.calls.sent == Counter(
        {"mail request_fulfilled": 1, "alert request_fulfilled": 1}
    )
    [alert] = account.alerts()
    assert alert["Subject"].endswith("A change request was fulfilled")
    for fact in (request.id, CARLA.arn, BOB.arn, "2026-03-05 12:00 UTC", f"deleted {PHONE}"):
        assert fact in alert["Message"]


def test_the_history_tells_each_step_with_who_took_it(product: Product, account: Account) -> None:
    request = approved(product, (PHONE, HARDWARE))
    fulfil(product, request)
    assert story(account, request) == [
        "Approved",
        "Fulfilment started",
        f"Deactivated {PHONE}",
        f"Deleted {PHONE}",
        f"Deactivated {HARDWARE}",
        "Request fulfilled",
    ]
    entries = account.items(f"REQUEST#{request.id}", "HISTORY#")[1:]
    assert {entry["actor"] for entry in entries} == {CARLA.arn}
    assert [(entry["before"], entry["after"]) for entry in entries] == [
        *[("approved", "approved")] * 4,
        ("approved", "fulfilled"),
    ]


def test_a_new_password_satisfies_the_accounts_own_policy(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.iam.update_account_password_policy(
        MinimumPasswordLength=64,
        RequireSymbols=True,
        RequireNumbers=True,
        RequireUppercaseCharacters=True,
        RequireLowercaseCharacters=True,
    )
    _, answer = fulfil(product, request)
    assert len(answer["password"]) == 64


# --- once more ---


def test_after_a_lost_answer_another_call_sets_another_password(
    product: Product, account: Account
) -> None:
    request = approved(product)
    _, first = fulfil(product, request)
    account.calls.reset()
    account.clock.move(timedelta(minutes=5))
    status, second = fulfil(product, request, DORA)
    assert status == 200
    assert second["password"] != first["password"]
    assert Ana.of(account).password == second["password"]
    assert (second["steps"], second["new_device_until"]) == (
        first["steps"],
        first["new_device_until"],
    )
    assert account.calls.tally("iam")["DeactivateMFADevice"] == 0
    assert len(account.items("INTENT#mail-request_fulfilled")) == 2
    opened = [e for item in account.items("USER#", "HISTORY#") for e in item["effects"]]
    assert sum("finding opened" in effect for effect in opened) == 1


@pytest.mark.parametrize("serial", [FIDO, PHONE], ids=["another", "the same name again"])
def test_a_call_after_the_new_device_takes_nothing_from_the_user(
    product: Product, account: Account, serial: str
) -> None:
    request = approved(product)
    _, answer = fulfil(product, request)
    give_device(account, "ana", serial)
    account.clock.move(timedelta(minutes=2))
    status, problem = fulfil(product, request)
    assert status == 409
    assert "ana already has a new device" in problem["detail"]
    assert Ana.of(account).devices == {serial}
    assert Ana.of(account).password == answer["password"]


# --- refused, and nothing is changed ---


def untouched(account: Account) -> bool:
    changes = account.calls.tally("iam").keys() & {
        "DeactivateMFADevice",
        "DeleteVirtualMFADevice",
        "UpdateLoginProfile",
    }
    return not changes


@pytest.mark.parametrize(
    "by",
    [BOB],
    ids=["who approved it"],
)
def test_the_approver_of_a_request_may_fulfil_it(product: Product, by: Person) -> None:
    assert fulfil(product, approved(product), by)[0] == 200


@pytest.mark.parametrize(
    "by",
    [
        member("sue"),
        member("ana@example.com"),
        member("ANA"),
    ],
    ids=["who filed it", "the subject's session", "the subject's name"],
)
def test_a_person_who_is_involved_may_not_fulfil_it(
    product: Product, account: Account, by: Person
) -> None:
    status, problem = fulfil(product, approved(product), by)
    assert (status, problem["title"]) == (403, "Another person must do this")
    assert untouched(account)


def test_a_request_that_is_not_there_is_not_found(product: Product) -> None:
    status, problem = product.call("fulfil", "POST", "/requests/PR-20260302-AAAAAAAA/fulfil", CARLA)
    assert (status, problem["title"]) == (404, "Request not found")


@pytest.mark.parametrize("path", ["/requests/" + "x" * 3000 + "/fulfil", "/requests//fulfil"])
def test_an_invalid_id_does_not_make_the_function_fail(product: Product, path: str) -> None:
    status, _ = product.call("fulfil", "POST", path, CARLA)
    assert status in {404, 422}


def test_a_request_cannot_be_fulfilled_after_its_approval_has_expired(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.clock.move(timedelta(hours=24))
    status, problem = fulfil(product, request)
    assert status == 409
    assert "reopen it first" in problem["detail"]
    assert untouched(account)


def test_a_user_without_a_password_is_refused_before_any_device_is_removed(
    product: Product, account: Account
) -> None:
    request = approved(product, password=False)
    status, problem = fulfil(product, request)
    assert status == 409
    assert "ana has no console password to reset" in problem["detail"]
    assert untouched(account)
    assert Ana.of(account).devices == {PHONE}
    after = request_now(account, request)
    assert (after.state, after.fulfilment) == (RequestState.APPROVED, None)
    assert after.rejected(BOB, "She needs none", account.clock()).state is RequestState.REJECTED
    account.iam.create_login_profile(UserName="ana", Password="Correct-horse-1")  # noqa: S106
    assert fulfil(product, request, DORA)[0] == 200


def test_a_request_whose_fulfilment_a_policy_denies_can_still_be_rejected(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.calls.refused["iam:DeactivateMFADevice"] = Refusal("AccessDenied", status=403)
    status, problem = fulfil(product, request)
    assert status == 503
    assert "A policy outside this stack" in problem["detail"]
    after = request_now(account, request)
    assert after.fulfilment is None
    assert after.rejected(BOB, "Not in this account", account.clock()).state == "rejected"


def test_a_request_that_may_be_fulfilled_in_part_cannot_be_rejected(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.calls.unreachable.add("iam:DeactivateMFADevice")
    assert fulfil(product, request)[0] == 503
    with pytest.raises(WrongStepError, match="being fulfilled"):
        request_now(account, request).rejected(BOB, "Not now", account.clock())


def test_another_user_with_the_same_name_is_not_touched(product: Product, account: Account) -> None:
    request = approved(product)
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    account.iam.delete_virtual_mfa_device(SerialNumber=PHONE)
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    account.new_user("ana", device=True)
    before = Ana.of(account)
    status, problem = fulfil(product, request)
    assert status == 409
    assert "another user has the name now" in problem["detail"]
    assert untouched(account)
    assert Ana.of(account) == before


def test_a_user_who_gets_the_name_during_a_fulfilment_keeps_device_and_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, made = 0, [""]
    # After the last look there is a moment that nothing can guard: IAM takes names alone.
    while made[number - 1] != "iam:UpdateLoginProfile":
        number += 1
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = approved(product)
            account.calls.meanwhile = (number, lambda: pass_the_name_on(account))
            status, problem = fulfil(product, request)
            made = list(account.calls.made)
            told = f"before call {number}, {made[number - 1]}"
            if made[number - 1] == "iam:UpdateLoginProfile":
                break
            assert status == 409, told
            assert "another user has the name now" in problem["detail"], told
            heir = Ana.of(account)
            assert heir.devices == {HARDWARE}, told
            assert heir.password == "Correct-horse-1", told  # noqa: S105 - an example
    assert number > 10


def pass_the_name_on(account: Account) -> None:
    """Rename ana, and make another user under her name."""
    account.iam.update_user(UserName="ana", NewUserName="anna")
    account.new_user("ana")
    give_device(account, "ana", HARDWARE)


def test_a_password_deleted_during_a_fulfilment_is_reported_and_the_steps_are_kept(
    product: Product, account: Account
) -> None:
    request = approved(product, (HARDWARE,))
    plain = calls_of_a_plain_run()
    account.calls.meanwhile = (
        plain.index("iam:UpdateLoginProfile") + 1,
        lambda: account.iam.delete_login_profile(UserName="ana"),
    )
    status, problem = fulfil(product, request)
    assert status == 409
    assert "ana has no console password to reset" in problem["detail"]
    after = request_now(account, request)
    assert after.fulfilment
    assert after.fulfilment.done == (f"deactivated {HARDWARE}",)
    account.iam.create_login_profile(UserName="ana", Password="Correct-horse-1")  # noqa: S106
    assert fulfil(product, request, DORA)[0] == 200


def test_a_renamed_user_is_found_by_the_known_name(product: Product, account: Account) -> None:
    request = approved(product)
    account.iam.update_user(UserName="ana", NewUserName="anna")
    status, _ = fulfil(product, request)
    assert status == 409
    assert untouched(account)
    user_id = request.subject.user_id
    product.observe(about("UpdateUser", "ana", iam_user("anna", user_id), newUserName="anna"))
    status, answer = fulfil(product, request)
    assert (status, answer["user_name"]) == (200, "anna")


def test_nobody_fulfils_a_request_about_themselves_under_a_new_name(
    product: Product, account: Account
) -> None:
    request = approved(product)
    account.iam.update_user(UserName="ana", NewUserName="anna")
    renamed = iam_user("anna", request.subject.user_id)
    product.observe(about("UpdateUser", "ana", renamed, newUserName="anna"))
    status, problem = fulfil(product, request, member("anna@example.com"))
    assert (status, problem["title"]) == (403, "Another person must do this")
    assert untouched(account)
    assert request_now(account, request).fulfilment is None


def test_only_one_call_at_a_time_may_fulfil_a_request(product: Product, account: Account) -> None:
    request = approved(product)
    account.calls.refused["iam:UpdateLoginProfile"] = Refusal("Throttling")
    number = calls_until(account, "iam:GetLoginProfile")
    heard: list[tuple[int, Json]] = []
    account.calls.meanwhile = (number, lambda: heard.append(fulfil(product, request, DORA)))
    assert fulfil(product, request)[0] == 503
    [(status, problem)] = heard
    assert status == 409
    assert f"{CARLA.arn} is fulfilling it; try again after 12:02:00 UTC" in problem["detail"]
    account.calls.reset()
    assert fulfil(product, request, DORA)[0] == 200


def calls_until(account: Account, call: str) -> int:
    """Return the number that a call has in a plain run."""
    assert account.calls.made == []
    return calls_of_a_plain_run().index(call) + 1


def calls_of_a_plain_run() -> list[str]:
    """Return the calls for one device that is no virtual one."""
    return [
        "dynamodb:GetItem",
        "dynamodb:TransactWriteItems",
        "dynamodb:GetItem",
        "iam:GetUser",
        "iam:GetLoginProfile",
        "iam:GetAccountPasswordPolicy",
        "iam:DeactivateMFADevice",
        "dynamodb:TransactWriteItems",
        "iam:ListMFADevices",
        "iam:GetUser",
        "iam:UpdateLoginProfile",
        "dynamodb:GetItem",
        "dynamodb:TransactWriteItems",
    ]


def test_a_violation_meanwhile_ends_the_fulfilment(product: Product, account: Account) -> None:
    request = approved(product, (PHONE, HARDWARE))

    def remove() -> None:
        account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=HARDWARE)
        product.observe(about("DeactivateMFADevice", "ana", serialNumber=HARDWARE))

    account.calls.meanwhile = (calls_until(account, "iam:GetLoginProfile"), remove)
    before = Ana.of(account).password
    status, problem = fulfil(product, request)
    assert status == 409
    assert "another call took over the fulfilment" in problem["detail"]
    assert Ana.of(account).password == before
    after = request_now(account, request)
    assert (after.state, after.violation) == (RequestState.OPEN, True)


# --- the door ---


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("fulfil", 200),
        ("fulfil_by_the_subject", 403),
        ("caller_missing", 403),
        ("caller_forged", 403),
        ("description", 200),
    ],
)
def test_the_shown_events_are_answered(
    product: Product, account: Account, event: str, status: int
) -> None:
    request = approved(product)
    text = (ROOT / f"events/fulfil/{event}.json").read_text()
    for shown, ours in (
        (SHOWN_ACCOUNT, ACCOUNT),
        ("PR-20261124-ABCDEFGH", request.id),
        ("user/alice", "user/ana"),
    ):
        text = text.replace(shown, ours)
    text = text.replace("AROAEXAMPLESECURITY01", APPROVER_ROLE_ID)
    shown_event = json.loads(text)
    stated = shown_event.get("requestContext", {}).get("authorizer", {}).get("iam", {})
    by = Person(*(str(stated.get(name)) for name in ("userArn", "userId", "accountId")))
    answer = product.invoke("fulfil", product.proven("fulfil", shown_event, by))
    assert answer["statusCode"] == status
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert untouched(account) == (event != "fulfil")


def test_the_desk_describes_its_one_step_and_how_it_may_fail(product: Product) -> None:
    status, described = product.call("fulfil", "GET", "/openapi.json", CARLA)
    assert status == 200
    assert list(described["paths"]) == ["/requests/{request_id}/fulfil"]
    answers = described["paths"]["/requests/{request_id}/fulfil"]["post"]["responses"]
    assert {"200", "403", "404", "409", "503"} <= answers.keys()
    assert "Called again" in described["info"]["description"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/requests"), ("POST", "/requests/PR-1/approve"), ("GET", "/")]
)
def test_fulfil_has_no_other_route(product: Product, method: str, path: str) -> None:
    assert product.call("fulfil", method, path, CARLA)[0] == 404
