"""The two desks, each through its function: what may be asked, by whom, and what follows."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_watcher.domain.users.people import Person
from tests.functions.approved import BOB, CARLA, PHONE, SUE, TABLET, member, reserved_role
from tests.functions.product import Product, url_event
from tests.support.account import Account, Refusal
from tests.support.builders import ACCOUNT, HOSTILE, Json, denied_removal, iam_call, iam_user
from tests.support.examples import examples
from tests.support.hostile import HOSTILE as HOSTILE_TEXTS

REASON = "My phone was stolen on Monday."
DETAILS = {"reason": REASON, "wanted": "fido"}
WORD = {"reason": "Spoke to her on the phone"}
READ_WORD = {**WORD, "version": 1}
STRANGER = member("sam", "Developers")


@pytest.fixture
def ana(account: Account) -> Person:
    """A user with a device."""
    return a_user(account, "ana")


def a_user(account: Account, name: str, *, device: bool = True) -> Person:
    user_id = account.new_user(name, device=device)
    account.clock.move(timedelta(seconds=1))
    return Person(f"arn:aws:iam::{ACCOUNT}:user/{name}", user_id, ACCOUNT)


def ask(product: Product, by: Person, path: str, body: Any = None, *, status: int = 200) -> Json:
    """Call the change desk; return the answer, which must have that status."""
    return _ask(product, "change_desk", by, path, body, status)


def decide(product: Product, by: Person, path: str, body: Any = None, *, status: int = 200) -> Json:
    """Call the approval desk, likewise."""
    return _ask(product, "approval_desk", by, path, body, status)


def _ask(  # noqa: PLR0913, PLR0917 - what a call is made of
    product: Product, function: str, by: Person, path: str, body: Any, status: int
) -> Json:
    method = "GET" if body is None else "POST"
    got, answer = product.call(function, method, path, by, body)
    assert got == status, answer
    if status >= 400:
        assert answer["status"] == status
        assert answer["type"].startswith("urn:mfa-watcher:problem:")
    return answer


def filed(product: Product, by: Person, details: Json | None = DETAILS, **more: str) -> str:
    """File a request, with details unless they are None; return its id."""
    body: Json = {**({"details": details} if details else {}), **more}
    answer = ask(product, by, "/requests", body, status=201)
    return str(answer["request"]["id"])


def intents(account: Account) -> list[str]:
    """The kinds of mails and alerts that were decided, in no order."""
    return sorted(item["act"]["kind"] for item in account.items("INTENT#"))


# Asking ------------------------------------------------------------------------------------------


def test_user_files_with_details_and_the_approvers_are_alerted(
    product: Product, account: Account, ana: Person
) -> None:
    answer = ask(product, ana, "/requests", {"details": DETAILS}, status=201)
    request = answer["request"]
    assert request["state"] == "submitted"
    assert request["subject"] == {"account_id": ACCOUNT, "user_id": ana.user_id}
    assert request["opened_by"] == ana.arn
    assert (request["details"]["reason"], request["details"]["wanted"]) == (REASON, "fido")
    assert intents(account) == ["request_opened", "request_waiting"]
    assert ask(product, ana, f"/requests/{request['id']}")["request"] == request


def test_user_files_without_details_and_gives_them_later(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana, None)
    assert intents(account) == ["request_opened"]
    answer = ask(product, ana, f"/requests/{request_id}/details", DETAILS)
    assert answer["request"]["state"] == "submitted"
    assert intents(account) == ["request_opened", "request_waiting"]


def test_service_desk_files_for_a_user_who_gets_a_mail(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, SUE, None, user_name="ana")
    [mail] = [item["act"] for item in account.items("INTENT#")]
    assert mail["user"] == {"account_id": ACCOUNT, "user_id": ana.user_id}
    assert mail["actor"] == SUE.arn
    assert ask(product, ana, f"/requests/{request_id}")["request"]["opened_by"] == SUE.arn


def test_request_that_an_attempt_opened_is_completed_by_its_user(
    product: Product, ana: Person
) -> None:
    product.observe(denied_removal(iam_user("ana", ana.user_id), "ana"))
    [request] = ask(product, ana, "/requests")["requests"]
    assert (request["state"], request["attempt_count"]) == ("open", 1)
    answer = ask(product, ana, f"/requests/{request['id']}/details", DETAILS)
    assert answer["request"]["state"] == "submitted"


def test_second_request_is_refused_and_the_first_one_named(product: Product, ana: Person) -> None:
    request_id = filed(product, ana)
    for by, body in ((ana, {}), (SUE, {"user_name": "ana"})):
        problem = ask(product, by, "/requests", body, status=409)
        assert problem["type"].endswith(":active-request")
        assert request_id in problem["detail"]


def test_the_same_details_again_change_nothing_and_notify_nobody(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    before = account.items("")
    account.clock.move(timedelta(minutes=1))
    answer = ask(product, ana, f"/requests/{request_id}/details", DETAILS)
    assert answer["request"]["state"] == "submitted"
    assert account.items("") == before


def test_details_can_be_given_anew_until_somebody_decides(product: Product, ana: Person) -> None:
    request_id = filed(product, ana)
    path = f"/requests/{request_id}/details"
    answer = ask(product, ana, path, {**DETAILS, "wanted": "virtual"})
    assert answer["request"]["details"]["wanted"] == "virtual"
    decide(product, BOB, f"/requests/{request_id}/approve", WORD)
    problem = ask(product, ana, path, DETAILS, status=409)
    assert "a request that is approved" in problem["detail"]


def test_devices_must_be_the_users_own(product: Product, ana: Person) -> None:
    details = {**DETAILS, "devices": [f"arn:aws:iam::{ACCOUNT}:mfa/phone-eve"]}
    problem = ask(product, ana, "/requests", {"details": details}, status=422)
    assert problem["type"].endswith(":invalid-details")
    assert PHONE in problem["detail"]


def test_a_request_for_no_new_device_must_keep_one(
    product: Product, account: Account, ana: Person
) -> None:
    account.enrol("ana", "tablet")
    nothing_kept = {**DETAILS, "wanted": "none"}
    problem = ask(product, ana, "/requests", {"details": nothing_kept}, status=422)
    assert "one of the others must stay" in problem["detail"]
    filed(product, ana, {**nothing_kept, "devices": [PHONE]})


def test_user_without_a_device_has_nothing_to_change(product: Product, account: Account) -> None:
    eve = a_user(account, "eve", device=False)
    problem = ask(product, eve, "/requests", {}, status=409)
    assert "eve has no MFA device" in problem["detail"]
    assert account.items("") == []


def test_service_desk_must_name_a_user_who_exists(product: Product) -> None:
    assert "user_name" in ask(product, SUE, "/requests", {}, status=403)["detail"]
    problem = ask(product, SUE, "/requests", {"user_name": "nobody"}, status=404)
    assert problem["type"].endswith(":no-such-user")


def test_request_for_a_name_that_another_user_has_by_now_is_refused(
    product: Product, account: Account, ana: Person
) -> None:
    former = replace(ana, user_id="AIDAFORMER")
    ask(product, former, "/requests", {"details": DETAILS}, status=404)
    assert account.items("") == []


# What is somebody else's -------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "body"), [("", None), ("/details", DETAILS), ("/cancel", WORD)])
def test_request_of_another_user_is_answered_as_not_found(
    product: Product, account: Account, ana: Person, step: str, body: Json | None
) -> None:
    eve = a_user(account, "eve")
    request_id = filed(product, ana)
    unknown = "PR-20260302-AAAAAAAA"
    theirs = ask(product, eve, f"/requests/{request_id}{step}", body, status=404)
    nobodys = ask(product, eve, f"/requests/{unknown}{step}", body, status=404)
    assert json.dumps(theirs).replace(request_id, "ID") == (
        json.dumps(nobodys).replace(unknown, "ID")
    )


def test_user_sees_only_their_own_requests(product: Product, account: Account, ana: Person) -> None:
    eve = a_user(account, "eve")
    request_id = filed(product, ana)
    assert ask(product, eve, "/requests") == {"requests": [], "cursor": None}
    assert [r["id"] for r in ask(product, ana, "/requests?subject=ANA")["requests"]] == [request_id]
    assert [r["id"] for r in ask(product, SUE, "/requests")["requests"]] == [request_id]
    for name in ("ana", "nobody"):
        problem = ask(product, eve, f"/requests?subject={name}", status=403)
        assert problem["detail"] == "you see your own requests only; leave `subject` out."


def test_user_cannot_file_for_another_whether_that_user_exists_or_not(
    product: Product, account: Account, ana: Person
) -> None:
    eve = a_user(account, "eve")
    problems = [
        ask(product, eve, "/requests", {"user_name": name}, status=403)["detail"]
        for name in (ana.name, "nobody")
    ]
    assert problems[0] == problems[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/requests", None),
        ("/requests/PR-20260302-AAAAAAAA", None),
        ("/requests", {"user_name": "ana"}),
        ("/requests/PR-20260302-AAAAAAAA/details", DETAILS),
        ("/requests/PR-20260302-AAAAAAAA/cancel", WORD),
    ],
)
def test_session_of_any_other_role_is_refused_by_the_change_desk(
    product: Product, path: str, body: Json | None
) -> None:
    problem = ask(product, STRANGER, path, body, status=403)
    assert problem["type"].endswith(":not-allowed")
    assert "approval desk" in problem["detail"]


def test_user_who_has_a_service_desk_roles_name_is_no_service_desk(
    product: Product, account: Account, ana: Person
) -> None:
    posing = a_user(account, "ServiceDesk")
    filed(product, ana)
    assert ask(product, posing, "/requests")["requests"] == []


# Deciding ----------------------------------------------------------------------------------------


def test_approval_freezes_the_devices_and_opens_the_window(
    product: Product, account: Account, ana: Person
) -> None:
    tablet = account.enrol("ana", "tablet")
    request_id = filed(product, ana, {**DETAILS, "devices": [PHONE]})
    request = decide(product, BOB, f"/requests/{request_id}/approve", WORD)["request"]
    assert (request["state"], request["devices"], request["kept"]) == (
        "approved",
        [PHONE],
        [tablet],
    )
    assert request["verdict"]["by"] == BOB.arn
    assert request["window_until"] == request["due_at"] == "2026-03-03T12:00:01Z"
    assert "request_decided" in intents(account)


def test_without_devices_named_all_that_are_there_at_the_approval_are_approved(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    account.enrol("ana", "tablet")
    request = decide(product, BOB, f"/requests/{request_id}/approve", WORD)["request"]
    assert (request["devices"], request["kept"]) == ([PHONE, TABLET], [])


def test_rejection_tells_the_user_why(product: Product, account: Account, ana: Person) -> None:
    request_id = filed(product, ana)
    request = decide(product, BOB, f"/requests/{request_id}/reject", WORD)["request"]
    assert (request["state"], request["ended_because"]) == ("rejected", WORD["reason"])
    [mail] = [i["act"] for i in account.items("INTENT#") if i["act"]["kind"] == "request_decided"]
    assert (mail["approved"], mail["reason"]) == (False, WORD["reason"])


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("step", ["approve", "reject"])
def test_nobody_decides_about_themselves(product: Product, step: str) -> None:
    request_id = filed(product, SUE, user_name="ana")
    session = member("Ana@example.com")
    problem = decide(product, session, f"/requests/{request_id}/{step}", WORD, status=403)
    assert problem["type"].endswith(":segregation-of-duties")
    assert "is the subject of the request" in problem["detail"]


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("step", ["approve", "reject"])
def test_nobody_decides_about_themselves_under_a_new_name(
    product: Product, account: Account, step: str
) -> None:
    request_id = filed(product, SUE, user_name="ana")
    account.iam.update_user(UserName="ana", NewUserName="anna")
    parameters = {"userName": "ana", "newUserName": "anna"}
    admin = iam_user("eve", "AIDAEVE")
    product.observe(iam_call("UpdateUser", admin, requestParameters=parameters))
    path = f"/requests/{request_id}/{step}"
    for same_person in (member("ana"), member("anna")):
        assert decide(product, same_person, path, WORD, status=403)["type"].endswith(
            ":segregation-of-duties"
        )
    decide(product, BOB, path, WORD)


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("step", ["approve", "reject"])
def test_nobody_decides_about_a_request_that_they_filed(
    product: Product, ana: Person, step: str
) -> None:
    request_id = filed(product, SUE, user_name=ana.name)
    problem = decide(product, member("sue"), f"/requests/{request_id}/{step}", WORD, status=403)
    assert "sue asked for it" in problem["detail"]


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("step", ["approve", "reject"])
def test_nobody_decides_about_a_removal_that_they_tried(
    product: Product, account: Account, ana: Person, step: str
) -> None:
    bob = {**iam_user("bob", "AIDABOB"), "type": "AssumedRole", "arn": BOB.arn}
    product.observe(denied_removal(bob, "ana"))
    [request] = ask(product, ana, "/requests")["requests"]
    ask(product, ana, f"/requests/{request['id']}/details", DETAILS)
    before = account.items("")
    problem = decide(product, BOB, f"/requests/{request['id']}/{step}", WORD, status=403)
    assert "bob tried to remove the device" in problem["detail"]
    assert account.items("") == before


def test_refused_approval_asks_iam_nothing(product: Product, account: Account, ana: Person) -> None:
    request_id = filed(product, ana)
    account.calls.reset()
    decide(product, ana, f"/requests/{request_id}/approve", WORD, status=403)
    assert account.calls.tally("iam") == {}


def test_wrong_step_says_which_state_would_allow_it(product: Product, ana: Person) -> None:
    request_id = filed(product, ana, None)
    problem = decide(product, BOB, f"/requests/{request_id}/approve", WORD, status=409)
    assert problem["type"].endswith(":wrong-step")
    assert problem["detail"] == "cannot approve a request that is open: only submitted."


def test_approval_sent_twice_is_one_approval(
    product: Product, account: Account, ana: Person
) -> None:
    path = f"/requests/{filed(product, ana)}/approve"
    decide(product, BOB, path, WORD)
    before = account.items("")
    assert "is approved" in decide(product, BOB, path, WORD, status=409)["detail"]
    assert account.items("") == before


def test_approval_of_details_that_have_changed_since_is_refused(
    product: Product, ana: Person
) -> None:
    request_id = filed(product, ana)
    read = decide(product, BOB, f"/requests/{request_id}")["request"]
    ask(product, ana, f"/requests/{request_id}/details", {**DETAILS, "wanted": "virtual"})
    path = f"/requests/{request_id}/approve"
    problem = decide(product, BOB, path, {**WORD, "version": read["version"]}, status=409)
    assert problem["type"].endswith(":changed-meanwhile")
    decide(product, BOB, path, {**WORD, "version": read["version"] + 1})


def test_of_two_simultaneous_decisions_the_second_is_refused(product: Product, ana: Person) -> None:
    request_id = filed(product, ana)
    path = f"/requests/{request_id}/approve"
    approving = Racing(product, "approval_desk", path, BOB, WORD)
    approving.overtaken_by(lambda: decide(product, CARLA, f"/requests/{request_id}/reject", WORD))
    assert decide(product, BOB, f"/requests/{request_id}")["request"]["state"] == "rejected"


def test_of_two_simultaneous_filings_for_a_user_the_second_is_refused(
    product: Product, ana: Person
) -> None:
    filing = Racing(product, "change_desk", "/requests", ana, {"details": DETAILS})
    filing.overtaken_by(lambda: filed(product, SUE, None, user_name="ana"))
    assert len(ask(product, SUE, "/requests")["requests"]) == 1


def test_no_window_is_reopened_while_another_request_is_filed(
    product: Product, account: Account, ana: Person
) -> None:
    first = filed(product, ana)
    decide(product, BOB, f"/requests/{first}/approve", WORD)
    account.clock.move(timedelta(hours=25))
    product.invoke("expire", {})
    path = f"/requests/{first}/reopen"
    Racing(product, "approval_desk", path, BOB, WORD).overtaken_by(lambda: filed(product, ana))
    states = [request["state"] for request in decide(product, BOB, "/requests")["requests"]]
    assert states == ["submitted", "expired"]


@dataclass(frozen=True)
class Racing:
    """A call that somebody else overtakes right before it commits."""

    product: Product
    function: str
    path: str
    by: Person
    body: Json

    def overtaken_by(self, act: Callable[[], object]) -> None:
        """Make the call; it must be told that it came too late."""
        calls = self.product.account.calls
        calls.reset()
        calls.refused["dynamodb:TransactWriteItems"] = Refusal("InternalServerError")
        with pytest.raises(ClientError, match="InternalServerError"):
            self.product.call(self.function, "POST", self.path, self.by, self.body)
        commit = 1 + calls.made.index("dynamodb:TransactWriteItems")
        calls.reset()
        calls.meanwhile = (commit, act)
        problem = _ask(self.product, self.function, self.by, self.path, self.body, 409)
        assert problem["type"].endswith(":changed-meanwhile")


def test_approval_of_a_user_who_is_gone_says_so(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    account.iam.delete_login_profile(UserName="ana")
    account.iam.delete_user(UserName="ana")
    problem = decide(product, BOB, f"/requests/{request_id}/approve", WORD, status=409)
    assert "does not exist any more" in problem["detail"]


def test_approval_of_devices_that_are_gone_says_so(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    problem = decide(product, BOB, f"/requests/{request_id}/approve", WORD, status=409)
    assert "none of the devices" in problem["detail"]


def test_while_iam_does_not_answer_nothing_is_decided(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    before = account.items("")
    account.calls.refused["iam:GetUser"] = Refusal("Throttling", status=400)
    path = f"/requests/{request_id}/approve"
    answer = product.invoke(
        "approval_desk", product.url_event("approval_desk", "POST", path, BOB, WORD)
    )
    assert answer["statusCode"] == 503
    assert answer["headers"]["Retry-After"] == "30"
    assert json.loads(answer["body"])["type"].endswith(":try-later")
    assert account.items("") == before


def test_unapproved_removal_is_closed_by_an_acknowledgement_alone(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = _violation(product, account, ana)
    for door, by in (("change_desk", ana), ("approval_desk", BOB)):
        path = f"/requests/{request_id}/cancel"
        assert product.call(door, "POST", path, by, WORD)[0] == 409
    decide(product, BOB, f"/requests/{request_id}/reject", WORD, status=409)
    path = f"/requests/{request_id}/acknowledge"
    problem = decide(product, member("ana"), path, WORD, status=403)
    assert "the subject of the request" in problem["detail"]
    closed = decide(product, BOB, path, WORD)["request"]
    assert (closed["state"], closed["violation"]) == ("closed", True)


def _violation(product: Product, account: Account, ana: Person) -> str:
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    parameters = {"userName": "ana", "serialNumber": PHONE}
    product.observe(
        iam_call("DeactivateMFADevice", iam_user("eve", "AIDAEVE"), requestParameters=parameters)
    )
    [request] = ask(product, ana, "/requests")["requests"]
    assert request["violation"]
    return str(request["id"])


def test_expired_request_is_reopened_with_what_the_user_has_by_then(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana, {**DETAILS, "devices": [PHONE]})
    decide(product, BOB, f"/requests/{request_id}/approve", WORD)
    account.clock.move(timedelta(hours=25))
    product.invoke("expire", {})
    tablet = account.enrol("ana", "tablet")
    path = f"/requests/{request_id}/reopen"
    decide(product, ana, path, WORD, status=403)
    request = decide(product, CARLA, path, WORD)["request"]
    assert (request["state"], request["kept"]) == ("approved", [tablet])
    assert request["verdict"]["by"] == CARLA.arn


def test_fulfilled_request_whose_device_does_not_come_is_reopened_without_a_mail(
    product: Product, account: Account, ana: Person
) -> None:
    request_id = filed(product, ana)
    decide(product, BOB, f"/requests/{request_id}/approve", WORD)
    assert product.call("fulfil", "POST", f"/requests/{request_id}/fulfil", CARLA)[0] == 200
    path = f"/requests/{request_id}/reopen"
    assert "not over yet" in decide(product, BOB, path, WORD, status=409)["detail"]
    account.clock.move(timedelta(hours=73))
    before = intents(account)
    request = decide(product, BOB, path, WORD)["request"]
    assert (request["state"], request["kept"]) == ("fulfilled", [])
    assert intents(account) == before


def test_expired_request_is_not_reopened_beside_a_later_one(
    product: Product, account: Account, ana: Person
) -> None:
    first = filed(product, ana)
    decide(product, BOB, f"/requests/{first}/approve", WORD)
    account.clock.move(timedelta(hours=25))
    product.invoke("expire", {})
    second = filed(product, ana)
    problem = decide(product, BOB, f"/requests/{first}/reopen", WORD, status=409)
    assert second in problem["detail"]


@pytest.mark.parametrize("who", ["user", "service desk", "approver"])
def test_user_is_mailed_about_every_cancellation_also_of_their_own(
    product: Product, account: Account, ana: Person, who: str
) -> None:
    path = f"/requests/{filed(product, ana)}/cancel"
    if who == "approver":
        answer = decide(product, BOB, path, WORD)
    else:
        answer = ask(product, ana if who == "user" else SUE, path, WORD)
    assert answer["request"]["state"] == "cancelled"
    [mail] = [i["act"] for i in account.items("INTENT#") if i["act"]["kind"] == "request_ended"]
    assert mail["done_by_user"] == (who == "user")


# Each door has its steps -------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["approve", "reject", "acknowledge", "reopen", "fulfil"])
def test_the_change_desk_has_no_route_that_needs_mfa(
    product: Product, ana: Person, step: str
) -> None:
    for by in (ana, SUE):
        problem = ask(product, by, f"/requests/PR-20260302-AAAAAAAA/{step}", WORD, status=404)
        assert problem["type"].endswith(":no-such-route")


@pytest.mark.parametrize("path", ["/requests/", "/requests/PR-20260302-AAAAAAAA/details"])
def test_the_approval_desk_has_no_route_to_file_a_request(product: Product, path: str) -> None:
    assert decide(product, BOB, path, DETAILS, status=404)["type"].endswith(":no-such-route")


@pytest.mark.parametrize("step", ["approve", "reject", "acknowledge", "reopen", "cancel"])
def test_decision_about_an_unknown_request_is_not_found(product: Product, step: str) -> None:
    for name in (
        "PR-20260302-AAAAAAAA",
        "x",
        "PR-20260302-AAAAAAAA%0A",
        quote(HOSTILE),
        "y" * 3000,
    ):
        status, problem = product.call(
            "approval_desk", "POST", f"/requests/{name}/{step}", BOB, WORD
        )
        assert (status, problem["status"]) == (404, 404)


# The history -------------------------------------------------------------------------------------


def test_history_reads_from_filing_to_decision(product: Product, ana: Person) -> None:
    request_id = filed(product, SUE, None, user_name="ana")
    ask(product, ana, f"/requests/{request_id}/details", DETAILS)
    decide(product, BOB, f"/requests/{request_id}/approve", WORD)
    shown = decide(product, BOB, f"/requests/{request_id}")
    assert shown["history_left_out"] == 0
    lines = [(e["actor"], e["before"], e["after"], e["what"]) for e in shown["history"]]
    assert sorted(lines, key=str) == sorted(
        [
            (SUE.arn, None, "open", "Filed, without details"),
            (ana.arn, "open", "submitted", f"Details: {REASON}"),
            (BOB.arn, "submitted", "approved", f"Approved: {WORD['reason']}"),
        ],
        key=str,
    )
    assert all(entry["event_id"].startswith("desk-") for entry in shown["history"])


def test_each_step_is_in_the_users_history_too(
    product: Product, account: Account, ana: Person
) -> None:
    filed(product, ana)
    [entry] = account.items(f"USER#{ACCOUNT}#{ana.user_id}", "HISTORY#")
    assert (entry["what"], entry["actor"]) == (f"Filed: {REASON}", ana.arn)


def test_long_history_shows_its_newest_part(
    product: Product, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfa_watcher.entrypoints.api.schemas.MAX_HISTORY_ENTRIES", 1)
    request_id = filed(product, ana)
    product.account.clock.move(timedelta(minutes=1))
    decide(product, BOB, f"/requests/{request_id}/approve", WORD)
    shown = ask(product, ana, f"/requests/{request_id}")
    assert [entry["after"] for entry in shown["history"]] == ["approved"]
    assert shown["history_left_out"] == 1


# Lists -------------------------------------------------------------------------------------------


def _several(product: Product, account: Account) -> list[str]:
    """Requests of five users, a day apart; return their ids, the newest first."""
    found = []
    for number in range(5):
        person = a_user(account, f"user-{number}")
        found.append(filed(product, person, DETAILS if number % 2 else None))
        account.clock.move(timedelta(days=1))
    return found[::-1]


def _ids(answer: Json) -> list[str]:
    return [request["id"] for request in answer["requests"]]


def _pages(product: Product, limit: int) -> list[list[str]]:
    """The ids of all pages, each asked for with the cursor of the one before."""
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = decide(product, BOB, f"/requests?limit={limit}{cursor and '&cursor=' + cursor}")
        pages.append(_ids(answer))
        cursor = answer["cursor"]
    return pages


def test_list_comes_in_pages_without_a_gap_or_a_repetition(
    product: Product, account: Account
) -> None:
    everybody = _several(product, account)
    assert _pages(product, 2) == [everybody[:2], everybody[2:4], everybody[4:]]
    assert _ids(ask(product, SUE, "/requests")) == everybody


def test_requests_are_listed_by_state_subject_and_age(product: Product, account: Account) -> None:
    newest, second, third, fourth, oldest = _several(product, account)
    for query, expected in {
        "state=submitted": [second, fourth],
        "state=open": [newest, third, oldest],
        "state=open&state=submitted": [newest, second, third, fourth, oldest],
        "state=approved": [],
        "subject=USER-3": [second],
        "subject=nobody": [],
        "older_than_days=3": [third, fourth, oldest],
        "opened_from=2026-03-05": [newest, second],
        "opened_from=2026-03-03&opened_before=2026-03-05T00:00:00Z": [third, fourth],
        "opened_before=2026-03-03": [oldest],
        "opened_from=2026-03-05&opened_before=2026-03-03": [],
    }.items():
        assert _ids(decide(product, BOB, f"/requests?{query}")) == expected, query


def test_many_requests_of_one_moment_are_paged_like_any_others(
    product: Product, account: Account
) -> None:
    people = [a_user(account, f"user-{number}") for number in range(4)]
    every = {filed(product, person) for person in people}
    seen = [request_id for page in _pages(product, 1) for request_id in page]
    assert (len(seen), set(seen)) == (4, every)


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "AAAA", "MjAyNg", "%F0%9F%94%91", "Li4vLi4v", "a" * 150]
)
def test_cursor_that_the_desk_did_not_issue_is_refused(product: Product, cursor: str) -> None:
    problem = decide(product, BOB, f"/requests?cursor={cursor}", status=422)
    assert problem["type"].rpartition(":")[2] in {"invalid-cursor", "invalid"}


def test_cursor_of_another_users_list_shows_only_ones_own_requests(
    product: Product, account: Account
) -> None:
    _several(product, account)
    eve = a_user(account, "eve")
    cursor = decide(product, BOB, "/requests?limit=1")["cursor"]
    assert ask(product, eve, f"/requests?cursor={cursor}") == {"requests": [], "cursor": None}


@pytest.mark.parametrize(
    "query",
    [
        "state=nonsense",
        "limit=0",
        "limit=101",
        "limit=x",
        "older_than_days=-1",
        "older_than_days=100000",
        "opened_from=yesterday",
        f"subject={'x' * 65}",
    ],
)
def test_query_that_is_not_as_described_says_which_part(product: Product, query: str) -> None:
    problem = decide(product, BOB, f"/requests?{query}", status=422)
    [fault] = problem["errors"]
    assert fault["field"].startswith(f"query.{query.split('=', maxsplit=1)[0]}")


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "5", "1999-12-31"]
)
@pytest.mark.parametrize("end", ["opened_from", "opened_before"])
def test_date_at_the_end_of_the_calendar_is_answered_with_a_problem(
    product: Product, end: str, moment: str
) -> None:
    problem = decide(product, BOB, f"/requests?{end}={moment}", status=422)
    assert problem["type"].rpartition(":")[2] in {"invalid-time", "invalid"}


# Who calls ---------------------------------------------------------------------------------------

USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/ana"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Security/bob"


@pytest.mark.parametrize("function", ["change_desk", "approval_desk", "fulfil"])
@pytest.mark.parametrize(
    "stated",
    [
        None,
        {},
        "ana",
        {"userArn": USER_ARN},
        {"userArn": USER_ARN, "userId": "AIDAANA"},
        {"userArn": USER_ARN, "userId": None, "accountId": ACCOUNT},
        {"userArn": [USER_ARN], "userId": "AIDAANA", "accountId": ACCOUNT},
        {"userArn": "", "userId": "", "accountId": ""},
        {"userArn": USER_ARN, "userId": "AIDAANA", "accountId": "999999999999"},
        {"userArn": USER_ARN, "userId": "AROASECURITY:ana", "accountId": ACCOUNT},
        {"userArn": USER_ARN, "userId": "AIDAANA:x", "accountId": ACCOUNT},
        {
            "userArn": "arn:aws:iam::999999999999:user/ana",
            "userId": "AIDAANA",
            "accountId": ACCOUNT,
        },
        {"userArn": f"{USER_ARN}\n", "userId": "AIDAANA", "accountId": ACCOUNT},
        {"userArn": f"arn:aws:sts::{ACCOUNT}:user/ana", "userId": "AIDAANA", "accountId": ACCOUNT},
        {"userArn": f"arn:aws:iam::{ACCOUNT}:root", "userId": ACCOUNT, "accountId": ACCOUNT},
        {"userArn": f"arn:aws:iam::{ACCOUNT}:user/", "userId": "AIDAANA", "accountId": ACCOUNT},
        {"userArn": SESSION_ARN, "userId": "AIDABOB", "accountId": ACCOUNT},
        {"userArn": SESSION_ARN, "userId": "AROASECURITY:carla", "accountId": ACCOUNT},
        {"userArn": SESSION_ARN, "userId": "AROASECURITY", "accountId": ACCOUNT},
        {
            "userArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Security",
            "userId": "AROASECURITY:Security",
            "accountId": ACCOUNT,
        },
        {
            "userArn": f"arn:aws:iam::{ACCOUNT}:assumed-role/Security/bob",
            "userId": "AROASECURITY:bob",
            "accountId": ACCOUNT,
        },
        {
            "userArn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
            "userId": f"{ACCOUNT}:bob",
            "accountId": ACCOUNT,
        },
        {
            "userArn": "arn:aws:iam::999999999999:user/ana",
            "userId": "AIDAANA",
            "accountId": "999999999999",
        },
    ],
)
def test_caller_who_is_not_stated_as_iam_would_is_refused(
    product: Product, account: Account, function: str, stated: Any
) -> None:
    event = url_event("GET", "/requests", BOB)
    event["requestContext"]["authorizer"] = {"iam": stated}
    answer = product.invoke(function, event)
    assert answer["statusCode"] == 403
    assert json.loads(answer["body"])["type"].endswith(":unknown-caller")
    assert account.calls.made == []


@pytest.mark.parametrize("missing", ["requestContext", "authorizer"])
def test_event_without_an_authorizer_is_refused(product: Product, missing: str) -> None:
    event = url_event("GET", "/requests", BOB)
    if missing == "requestContext":
        del event["requestContext"]
    else:
        del event["requestContext"]["authorizer"]
    assert product.invoke("approval_desk", event)["statusCode"] == 403


def test_neither_headers_nor_cookies_nor_body_nor_query_say_who_calls(
    product: Product, account: Account, ana: Person
) -> None:
    eve = a_user(account, "eve")
    request_id = filed(product, ana)
    event = url_event("GET", f"/requests/{request_id}", eve)
    event["rawQueryString"] = f"userArn={quote(ana.arn)}"
    event["queryStringParameters"] = {"userArn": ana.arn}
    event["headers"] |= {
        "x-amzn-iam-user-arn": ana.arn,
        "x-forwarded-user": ana.arn,
        "authorization": f"AWS4-HMAC-SHA256 Credential={ana.arn}",
    }
    event["cookies"] = [f"userArn={ana.arn}"]
    event["requestContext"]["identity"] = {"userArn": ana.arn}
    event["requestContext"]["authorizer"]["lambda"] = {"userArn": ana.arn}
    assert product.invoke("change_desk", event)["statusCode"] == 404
    for field in ("given_by", "userArn", "opened_by"):
        problem = ask(product, eve, "/requests", {field: ana.arn}, status=422)
        assert problem["errors"][0]["field"] == f"body.{field}"


def test_identity_center_session_is_recorded_as_the_person_behind_it(
    product: Product, account: Account, ana: Person
) -> None:
    role = "AWSReservedSSO_Approvers_0123456789abcdef"
    role_id = reserved_role(account, role)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/bob@example.com"
    approver = Person(arn, f"{role_id}:bob@example.com", ACCOUNT)
    request_id = filed(product, ana)
    decide(product, approver, f"/requests/{request_id}/approve", WORD)
    shown = decide(product, approver, f"/requests/{request_id}")
    assert arn in {entry["actor"] for entry in shown["history"]}


# Bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ("{", 400, "unreadable"),
        ("[]", 400, "unreadable"),
        ('"details"', 400, "unreadable"),
        ("null", 400, "unreadable"),
        ("1" * 5000, 400, "unreadable"),
        ("[" * 16_000, 400, "unreadable"),
        ('{"reason":' * 1600, 400, "unreadable"),
        (json.dumps({"reason": "x" * 17_000}), 413, "too-large"),
        ("é" * 9000, 413, "too-large"),
        ("x" * 1_000_000, 413, "too-large"),
        ("", 422, "invalid"),
        ("{}", 422, "invalid"),
        ('{"reason": "ok"}', 422, "invalid"),
        ('{"reason": "   "}', 422, "invalid"),
        ('{"reason": null}', 422, "invalid"),
        ('{"reason": 12345}', 422, "invalid"),
        ('{"reason": ["abcd"]}', 422, "invalid"),
        ('{"reason": {"$ne": ""}}', 422, "invalid"),
        ('{"reason": "\\ud800abc"}', 422, "invalid"),
        (json.dumps({"reason": "x" * 501}), 422, "invalid"),
        ('{"reason": "fine", "by": "me"}', 422, "invalid"),
        ('{"reason": "fine", "version": 0}', 422, "invalid"),
        ('{"reason": "fine", "version": "NaN"}', 422, "invalid"),
    ],
)
def test_invalid_body_is_answered_with_a_problem_and_changes_nothing(  # noqa: PLR0913, PLR0917 - fixtures
    product: Product, account: Account, ana: Person, body: str, status: int, problem: str
) -> None:
    request_id = filed(product, ana)
    before = account.items("")
    path = f"/requests/{request_id}/approve"
    event = product.proven("approval_desk", {**url_event("POST", path, BOB), "body": body}, BOB)
    answer = product.invoke("approval_desk", event)
    assert answer["statusCode"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"])["type"].endswith(f":{problem}")
    assert account.items("") == before


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"body": "!", "isBase64Encoded": True}, 400),
        ({"body": "/w==", "isBase64Encoded": True}, 400),
        ({"body": "eyJyZWFzb24iOiAiZmluZSIsICJ2ZXJzaW9uIjogMX0=", "isBase64Encoded": True}, 200),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"headers": {"content-type": "multipart/form-data"}}, 415),
        ({"headers": {"CONTENT-TYPE": "Application/JSON; charset=utf-8"}}, 200),
        ({"headers": {}}, 200),
        ({"headers": None}, 200),
        ({"body": 7}, 400),
    ],
)
def test_only_json_bodies_are_read_plain_or_in_base64(
    product: Product, ana: Person, changes: Json, status: int
) -> None:
    event = url_event("POST", f"/requests/{filed(product, ana)}/approve", BOB, READ_WORD)
    event = product.proven("approval_desk", {**event, **changes}, BOB)
    assert product.invoke("approval_desk", event)["statusCode"] == status


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({**DETAILS, "reason": "too short"}, "body.reason"),
        ({**DETAILS, "reason": "x" * 1001}, "body.reason"),
        ({**DETAILS, "wanted": "sms"}, "body.wanted"),
        ({"reason": REASON}, "body.wanted"),
        ({**DETAILS, "devices": "all"}, "body.devices"),
        ({**DETAILS, "devices": ["x"] * 9}, "body.devices"),
        ({**DETAILS, "devices": ["x" * 257]}, "body.devices.0"),
        ({**DETAILS, "devices": [""]}, "body.devices.0"),
        ({**DETAILS, "devices": [None]}, "body.devices.0"),
    ],
)
def test_details_that_are_not_as_described_say_where(
    product: Product, ana: Person, details: Json, field: str
) -> None:
    path = f"/requests/{filed(product, ana, None)}/details"
    problem = ask(product, ana, path, details, status=422)
    assert problem["errors"][0]["field"] == field


def test_hostile_text_goes_through_as_text(product: Product, account: Account, ana: Person) -> None:
    reason = f"{HOSTILE} {HOSTILE}"
    request_id = filed(product, ana, {**DETAILS, "reason": reason})
    decide(product, BOB, f"/requests/{request_id}/approve", {"reason": HOSTILE})
    request = decide(product, BOB, f"/requests/{request_id}")["request"]
    assert request["details"]["reason"] == reason.strip()
    assert request["verdict"]["reason"] == HOSTILE.strip()
    product.deliver()
    assert {item["status"] for item in account.items("INTENT#")} <= {"sent", "skipped"}


def test_user_name_may_have_every_character_that_iam_allows(
    product: Product, account: Account
) -> None:
    odd = a_user(account, "a,b+c=d.e@f-g_h")
    request_id = filed(product, odd)
    query = f"subject={quote('a,b+c=d.e@f-g_h', safe='')}"
    assert _ids(decide(product, BOB, f"/requests?{query}")) == [request_id]


_TEXT = st.one_of(st.sampled_from(list(HOSTILE_TEXTS.values())), st.text(max_size=80))
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(_TEXT, part, max_size=3),
    max_leaves=8,
)
_BODY = st.dictionaries(
    st.sampled_from(["reason", "wanted", "devices", "details", "user_name", "version"]) | _TEXT,
    _VALUE | st.just(REASON) | st.just("fido"),
    max_size=4,
)
_QUERY = st.dictionaries(
    st.sampled_from(
        ["state", "subject", "older_than_days", "opened_from", "opened_before", "limit", "cursor"]
    ),
    _TEXT | st.integers().map(str) | st.dates().map(str) | st.just("open"),
    max_size=4,
)


@settings(
    max_examples=examples(1.5),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(["change_desk", "approval_desk"]),
    st.sampled_from(["GET", "POST", "DELETE", ""]),
    st.sampled_from(["/requests", "/requests/{}", "/requests/{}/approve", "/requests/{}/details"]),
    st.sampled_from(["PR-20260302-AAAAAAAA"]) | _TEXT,
    _QUERY,
    st.none() | _TEXT | _BODY.map(json.dumps),
)
def test_no_input_makes_the_function_fail(  # noqa: PLR0913, PLR0917 - all parts of a call
    product: Product,
    function: str,
    method: str,
    path: str,
    name: str,
    query: dict[str, str],
    body: str | None,
) -> None:
    event = url_event(method, path.format(name), SUE)
    event["rawQueryString"] = urlencode(query, errors="replace")
    event["queryStringParameters"] = query
    answer = product.invoke(function, {**event, "body": body})
    assert answer["statusCode"] in {200, 400, 403, 404, 413, 422}
    json.loads(answer["body"])


# What every answer and log line is ---------------------------------------------------------------


def test_no_answer_may_be_cached(product: Product, ana: Person) -> None:
    for function, path in (
        ("change_desk", "/requests"),
        ("change_desk", "/x"),
        ("approval_desk", "/openapi.json"),
    ):
        headers = product.invoke(function, url_event("GET", path, ana))["headers"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_log_names_caller_and_route_and_nothing_of_the_body(
    product: Product,
    ana: Person,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    monkeypatch.setenv("POWERTOOLS_DEV", "true")
    event = url_event("POST", "/requests", ana, {"details": DETAILS})
    event["headers"]["authorization"] = "AWS4-HMAC-SHA256 Signature=s3cr3t"
    event["headers"]["x-amz-security-token"] = "t0k3n"
    product.invoke("change_desk", event)
    wrong = {"details": {**DETAILS, "wanted": "a-wish-of-mine"}}
    product.invoke("change_desk", url_event("POST", "/requests", ana, wrong))
    out = capsys.readouterr().out
    assert not any(part in out for part in ("s3cr3t", "t0k3n", REASON, "a-wish-of-mine"))
    lines = [json.loads(line) for line in out.splitlines()]
    answered = [line for line in lines if line.get("message") == "Answered"]
    assert [(a["caller"], a["path"], a["status"]) for a in answered] == [
        (ana.arn, "/requests", 201),
        (ana.arn, "/requests", 422),
    ]


def test_the_caller_of_one_call_is_not_logged_for_the_next(
    product: Product, ana: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    product.invoke("change_desk", url_event("GET", "/requests", ana))
    event = url_event("GET", "/requests", ana)
    del event["requestContext"]["authorizer"]
    capsys.readouterr()
    product.invoke("change_desk", event)
    assert ana.arn not in capsys.readouterr().out
