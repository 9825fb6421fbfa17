"""The largest values that may come in are within what DynamoDB, SNS, SES, SQS and Lambda take.

``within_the_limits_of_aws`` in conftest.py fails a test in which a call is beyond a limit, and
``Product.invoke`` one in which a function's answer is.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ACTORS_KEPT,
    ATTEMPTS_KEPT,
    ChangeRequest,
    Details,
    RequestState,
    SegregationOfDutiesError,
    Verdict,
)
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.entrypoints.api.schemas import MAX_HISTORY_ENTRIES
from mfa_watcher.entrypoints.parsing.cloudtrail import (
    LONGEST_EVENT_ID,
    LONGEST_NAME,
    parse_record,
)
from mfa_watcher.entrypoints.parsing.lenient import LONGEST_TEXT
from tests.functions.approved import BOB, store
from tests.functions.product import Product
from tests.support.account import Account
from tests.support.aws_limits import item_size
from tests.support.builders import (
    ACCOUNT,
    NOW,
    Json,
    a_decision,
    about,
    access_granted,
    an_attempt,
    denied_removal,
    envelope,
    event_id,
    iam_user,
    sign_in,
)

LONGEST = 200_000
"""Characters: an event of EventBridge has 256 KB."""

TEXTS = {
    "plain": "x" * LONGEST,
    "wide": "\U0001f600" * (LONGEST // 4),
    "an ARN": "arn:aws:iam::1:user/" + "y" * LONGEST,
}
PLACES = (
    "eventName",
    "errorCode",
    "errorMessage",
    "sourceIPAddress",
    "userAgent",
    "requestParameters.userName",
    "requestParameters.serialNumber",
    "requestParameters.newUserName",
    "userIdentity.arn",
    "userIdentity.userName",
    "userIdentity.principalId",
    "userIdentity.type",
)


@pytest.fixture
def ana(account: Account) -> Json:
    return iam_user("ana", account.new_user("ana", device=True))


def with_text(record: Json, place: str, text: str) -> Json:
    outer, _, inner = place.partition(".")
    if not inner:
        return {**record, outer: text}
    return {**record, outer: {**(record.get(outer) or {}), inner: text}}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_record_with_an_endless_text_is_decided_and_reported(
    product: Product, account: Account, ana: Json, place: str, text: str
) -> None:
    for n in range(3):
        for record in (
            denied_removal(ana, "ana", f"denied-{n}"),
            sign_in(ana, f"sign-in-{n}"),
            about("DeactivateMFADevice", "ana", seed=f"removed-{n}", serialNumber="GAKT12345"),
            about("EnableMFADevice", "ana", seed=f"enabled-{n}", serialNumber="GAKT12345"),
            about("UpdateUser", "ana", seed=f"renamed-{n}"),
            access_granted("ana"),
        ):
            changed = with_text(record, place, text)
            assert product.observe(changed) == []
    assert account.parked("IamChangeDeadLetters") == []
    assert account.parked("SignInDeadLetters") == []
    assert product.deliver() == []


@pytest.mark.usefixtures("ana")
def test_tags_with_endless_texts_are_reported(product: Product, account: Account) -> None:
    record = about("TagUser", "ana")
    tags = [{"key": f"mfa-exempt{n}" + "x" * 2000, "value": "\ud800" * 2000} for n in range(50)]
    record["requestParameters"]["tags"] = [*tags, {"key": "\ud800mfa-exempt", "value": "x"}]
    assert product.observe(record) == []
    assert account.parked("IamChangeDeadLetters") == []
    assert product.deliver() == []
    assert account.calls.sent["alert exemption_claimed"] == 1


def test_a_text_is_cut_with_a_mark_where_aws_allows_none_so_long() -> None:
    record = parse_record(
        {"userAgent": "\u00e4" * LONGEST, "requestParameters": {"userName": "x" * 257}}
    )
    assert record.user_agent == "\u00e4" * ((LONGEST_TEXT - 3) // 2) + "\u2026"
    assert record.user_name == "x" * (LONGEST_NAME - 3) + "\u2026"
    whole = parse_record({"userAgent": "x" * LONGEST_TEXT, "awsRegion": "y" * LONGEST_NAME})
    assert (whole.user_agent, whole.region) == ("x" * LONGEST_TEXT, "y" * LONGEST_NAME)


def test_an_event_id_that_is_too_long_is_none_and_the_message_is_set_aside(
    product: Product, account: Account, ana: Json
) -> None:
    record = {**denied_removal(ana, "ana"), "eventID": "x" * (LONGEST_EVENT_ID + 1)}
    assert product.take("on_iam_change", envelope(record)) == []
    [(_, attributes)] = account.parked("IamChangeDeadLetters")
    assert "lacks a readable eventID" in attributes["reason"]


# Change requests ---------------------------------------------------------------------------------

ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/Support/"
AUTHOR = Person(ROLE + "carla", "AROAROLE:carla", ACCOUNT)


def largest(n: int = 0, people: int = ACTORS_KEPT + 100) -> ChangeRequest:
    """Return a submitted request with as much in it as records and people can put there."""
    wide = "\U0001f600" * 1000
    request = ChangeRequest(
        f"PR-20260302-AAAAAAA{chr(ord('A') + n)}",
        UserKey(ACCOUNT, f"AIDA{n}"),
        "u" * 64,
        NOW + timedelta(minutes=n),
    )
    for number in range(people):
        attempt = an_attempt(
            "e" * LONGEST_EVENT_ID,
            call="c" * LONGEST_NAME,
            actor=(ROLE + str(number)).ljust(LONGEST_TEXT, "x"),
            serial="s" * LONGEST_NAME,
            source_ip="i" * LONGEST_NAME,
            user_agent="a" * LONGEST_TEXT,
        )
        request = request.with_attempt(attempt, Policy())
    serials = tuple(f"{n}" * 256 for n in range(8))
    return replace(
        request,
        state=RequestState.SUBMITTED,
        details=Details(wide, "g" * LONGEST_TEXT, NOW, devices=serials),
        verdict=Verdict("v" * LONGEST_TEXT, NOW, wide, approved=False),
        devices=serials,
        kept=serials,
        ended_because=wide,
    )


def test_the_largest_request_fits_into_an_item(product: Product, account: Account) -> None:
    request = largest()
    assert (len(request.actors), len(request.attempts)) == (ACTORS_KEPT, ATTEMPTS_KEPT)
    store(account).commit(a_decision(user=None, request=request), now=NOW)
    [item] = [one for key, one in account.stored.items.items() if key[0].startswith("REQUEST#")]
    assert 300 * 1024 < item_size(item) <= 400 * 1024
    assert product.call("approval_desk", "GET", f"/requests/{request.id}", BOB)[0] == 200


@pytest.mark.parametrize("step", ["approve", "fulfil", "reopen"])
def test_nobody_decides_for_a_user_whose_device_too_many_people_tried_to_remove(step: str) -> None:
    """Whoever came after the last that is listed might decide about their own attempt."""
    with pytest.raises(SegregationOfDutiesError, match="too many to be listed"):
        largest(people=ACTORS_KEPT).refuse_involved_person(AUTHOR, step)
    largest(people=ACTORS_KEPT - 1).refuse_involved_person(AUTHOR, step)


@pytest.mark.parametrize("step", ["reject", "acknowledge"])
def test_such_a_request_can_be_ended(step: str) -> None:
    largest().refuse_involved_person(AUTHOR, step)


def test_a_page_of_the_largest_requests_has_as_many_as_an_answer_has_room_for(
    product: Product, account: Account
) -> None:
    wanted = [largest(n) for n in range(18)]
    for number, request in enumerate(wanted):
        store(account).commit(a_decision(f"e{number}", user=None, request=request), now=NOW)
    assert list(pages(product)) == [request.id for request in reversed(wanted)]


def pages(product: Product) -> Iterator[str]:
    """Return the ids of all requests as a client pages through them."""
    path, sizes = "/requests?limit=100", []
    while True:
        status, page = product.call("approval_desk", "GET", path, BOB)
        assert status == 200
        sizes.append(len(page["requests"]))
        yield from (request["id"] for request in page["requests"])
        if page["cursor"] is None:
            assert 1 < max(sizes) < 18
            return
        path = f"/requests?limit=100&cursor={page['cursor']}"


def test_the_longest_history_fits_into_an_answer(product: Product, account: Account) -> None:
    request = largest(people=1)
    for number in range(MAX_HISTORY_ENTRIES + 10):
        entry = HistoryEntry(
            About.REQUEST,
            request.id,
            NOW + timedelta(seconds=number),
            event_id(str(number)),
            f"An MFA device of {'u' * LONGEST_NAME} was to be removed, and IAM denied it;"
            f" {'n' * 2 * LONGEST_NAME}",
            "a" * LONGEST_TEXT,
            ("e" * LONGEST_NAME,) * 4,
        )
        decision = replace(a_decision(f"e{number}", user=None), history=(entry,))
        store(account).commit(decision, now=NOW)
    store(account).commit(a_decision("filed", user=None, request=request), now=NOW)
    status, shown = product.call("approval_desk", "GET", f"/requests/{request.id}", BOB)
    assert (status, shown["history_left_out"]) == (200, 10)
    assert len(json.dumps(shown)) > 2_000_000
