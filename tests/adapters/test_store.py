from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_watcher.adapters import items
from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.cli.samples import SAMPLES
from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mails import GuideMail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Fulfilment,
    RequestState,
    file_request,
)
from mfa_watcher.domain.sweep.user_inventory import (
    SweepDecision,
    SweepResult,
    UserCounts,
    inventory_entry,
)
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import (
    Cause,
    Closure,
    Finding,
    MailKind,
    MfaStatus,
    User,
    UserKey,
)
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.store import RequestPage, RequestSearch
from tests.adapters.conftest import KEEP, REMEMBER
from tests.support.account import Account, client
from tests.support.builders import (
    ACCOUNT,
    ALICE,
    HOSTILE,
    NOW,
    a_decision,
    a_mail,
    a_request,
    an_alert,
    an_attempt,
    later,
)
from tests.support.examples import examples

STORED = replace(ALICE, version=1)


def test_a_decision_is_committed_completely_or_not_at_all(
    store: DynamoStore, account: Account
) -> None:
    request = a_request()
    user = replace(ALICE, request_id=request.id)
    decision = a_decision("e1", a_mail(), an_alert(), user=user, request=request)
    store.commit(decision, now=NOW)
    assert store.user(ALICE.key) == replace(user, version=1)
    assert store.request(request.id) == replace(request, version=1)
    assert [item["pk"] for item in account.items("INTENT#")] == [
        "INTENT#alert-1",
        "INTENT#mail-guide-F-1",
    ]
    [entry] = account.items("USER#", "HISTORY#")
    assert items.HISTORY.validate_python(entry) == decision.history[0]


def test_a_duplicate_event_is_already_decided_and_writes_nothing(
    store: DynamoStore, account: Account
) -> None:
    store.commit(a_decision("e1"), now=NOW)
    before = account.items("")
    again = a_decision("e1", an_alert(), user=replace(STORED, name="other"))
    with pytest.raises(AlreadyDecidedError):
        store.commit(again, now=later(1))
    assert account.items("") == before


def test_of_two_decisions_from_the_same_version_one_loses_the_race_and_writes_nothing(
    store: DynamoStore, account: Account
) -> None:
    store.commit(a_decision("e0"), now=NOW)
    store.commit(a_decision("e1", user=STORED), now=NOW)
    before = account.items("")
    with pytest.raises(LostRaceError):
        store.commit(a_decision("e2", an_alert(), user=STORED), now=NOW)
    assert account.items("") == before


def test_of_two_first_decisions_about_a_user_one_loses_the_race(store: DynamoStore) -> None:
    store.commit(a_decision("e1"), now=NOW)
    with pytest.raises(LostRaceError):
        store.commit(a_decision("e2"), now=NOW)


def test_a_request_changed_meanwhile_loses_the_race_too(
    store: DynamoStore, account: Account
) -> None:
    store.commit(a_decision("e0", request=a_request()), now=NOW)
    joined = replace(a_request(), version=1).with_attempt(an_attempt("e1"), Policy())
    store.commit(a_decision("e1", user=STORED, request=joined), now=NOW)
    before = account.items("")
    newer = replace(STORED, version=2)
    with pytest.raises(LostRaceError):
        store.commit(a_decision("e2", user=newer, request=joined), now=NOW)
    assert account.items("") == before


def test_an_intent_that_is_there_already_does_not_stop_the_rest(
    store: DynamoStore, outbox: DynamoOutbox, account: Account
) -> None:
    store.commit(a_decision("e0", a_mail()), now=NOW)
    claim = outbox.claim("mail-guide-F-1", now=NOW)
    assert claim
    outbox.mark_sent(claim, receipt="id", to="a@example.com", now=NOW)
    store.commit(a_decision("e1", a_mail(), an_alert(), user=STORED), now=later(1))
    found = {item["pk"]: item["status"] for item in account.items("INTENT#")}
    assert found == {"INTENT#mail-guide-F-1": "sent", "INTENT#alert-1": "pending"}
    assert store.user(ALICE.key) == replace(ALICE, version=2)


def test_an_intent_that_is_there_already_does_not_hide_a_lost_race(
    store: DynamoStore, account: Account
) -> None:
    store.commit(a_decision("e0", a_mail()), now=NOW)
    before = account.items("")
    with pytest.raises(LostRaceError):
        store.commit(a_decision("e1", a_mail(), an_alert(), user=ALICE), now=NOW)
    assert account.items("") == before


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        (["None", "TransactionConflict"], LostRaceError),
        (["TransactionConflict", "ThrottlingError"], LostRaceError),
        (["ConditionalCheckFailed", "TransactionConflict"], AlreadyDecidedError),
        (["None", "ThrottlingError"], ClientError),
    ],
)
def test_the_error_of_a_cancelled_transaction_depends_on_its_reasons(
    store: DynamoStore, reasons: list[str], error: type[Exception]
) -> None:
    with Stubber(client("dynamodb")) as stubber:
        stubber.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
        )
        with pytest.raises(error):
            store.commit(a_decision(), now=NOW)


def test_a_conflict_with_a_single_write_is_a_lost_race_too(store: DynamoStore) -> None:
    with Stubber(client("dynamodb")) as stubber:
        stubber.add_client_error("transact_write_items", "TransactionConflictException")
        with pytest.raises(LostRaceError):
            store.commit(a_decision(), now=NOW)


def test_a_decision_about_the_account_needs_no_user(store: DynamoStore, account: Account) -> None:
    store.commit(a_decision("e1", an_alert(), user=None), now=NOW)
    assert account.items("INTENT#")
    assert not account.items("USER#", "STATE")


@pytest.mark.parametrize("name", ["alice", "ALICE", "Alice"])
def test_a_user_is_found_by_name_in_any_case(store: DynamoStore, name: str) -> None:
    store.commit(a_decision("e1", user=replace(ALICE, name="aLice")), now=NOW)
    assert store.user_id_named(ACCOUNT, name) == "AIDAALICE"
    assert store.user_id_named("210987654321", name) is None


def test_a_renamed_user_is_found_by_the_new_name_and_the_old_one_is_free(
    store: DynamoStore,
) -> None:
    store.commit(a_decision("e1"), now=NOW)
    renamed = replace(STORED, name="alicia")
    store.commit(a_decision("e2", user=renamed, renamed=True), now=NOW)
    successor = User(UserKey(ACCOUNT, "AIDANEXT"), "alice")
    store.commit(a_decision("e3", user=successor), now=NOW)
    assert store.user_id_named(ACCOUNT, "alicia") == "AIDAALICE"
    assert store.user_id_named(ACCOUNT, "alice") == "AIDANEXT"


def test_a_user_is_found_by_a_removed_device_for_a_day(
    store: DynamoStore, account: Account
) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/any text"
    request = a_request(an_attempt(serial=serial))
    store.commit(a_decision("e1", request=request), now=NOW)
    assert store.user_id_of_removed_device(ACCOUNT, serial) == "AIDAALICE"
    assert store.user_id_of_removed_device(ACCOUNT, f"{serial}2") is None
    [pointer] = account.items("DEVICE#")
    assert pointer["expires_at"] == later(24 * 60).timestamp()


def test_history_is_never_overwritten(store: DynamoStore, account: Account) -> None:
    store.commit(a_decision("e1"), now=NOW)
    [first] = account.items("USER#", "HISTORY#")
    # As if the event's own key had expired: the history alone still tells.
    account.dynamodb.delete_item(TableName="mfa-watcher-Table", Key=items.key_of("EVENT#e1"))
    with pytest.raises(AlreadyDecidedError):
        store.commit(a_decision("e1", user=STORED), now=later(1))
    assert account.items("USER#", "HISTORY#") == [first]


def test_only_items_that_need_not_be_kept_expire(store: DynamoStore, account: Account) -> None:
    request = a_request(an_attempt(serial="GAKT123"))
    store.commit(a_decision("e1", a_mail(), request=request), now=NOW)
    expiry = {
        f"{item['pk'].split('#')[0]} {item['sk'].split('#')[0]}": item["expires_at"]
        for item in account.items("")
        if "expires_at" in item
    }
    assert expiry == {
        "EVENT STATE": (NOW + REMEMBER).timestamp(),
        "USER HISTORY": (NOW + KEEP).timestamp(),
        "DEVICE STATE": later(24 * 60).timestamp(),
    }


def test_history_sorts_by_time_whatever_the_time_zone_of_the_record(
    store: DynamoStore, account: Account
) -> None:
    elsewhere = later(1).astimezone(timezone(timedelta(hours=-5)))
    store.commit(a_decision("e2", user=None, at=elsewhere), now=NOW)
    store.commit(a_decision("e1", user=None), now=NOW)
    assert [entry["event_id"] for entry in account.items("USER#", "HISTORY#")] == ["e1", "e2"]


# What is due -------------------------------------------------------------------------------------


def test_a_request_is_due_from_its_due_time_until_it_has_ended(
    store: DynamoStore,
) -> None:
    request = a_request()
    assert request.due_at is not None
    store.commit(a_decision("e1", request=request, user=None), now=NOW)
    early = request.due_at - timedelta(seconds=1)
    assert list(store.due_requests(now=early)) == []
    assert list(store.due_requests(now=request.due_at)) == [request.id]
    stored = store.request(request.id)
    assert stored is not None
    assert stored.due_at == request.due_at
    store.commit(a_decision("e2", request=stored.cancelled("gone"), user=None), now=NOW)
    assert list(store.due_requests(now=later(10**6))) == []


def test_due_requests_and_due_users_are_found_apart(store: DynamoStore) -> None:
    finding = Finding("F-1", Cause.FOUND_UNPROTECTED, NOW, due_at=later(1))
    user = replace(ALICE, finding=finding)
    store.commit(a_decision("e1", user=user, request=a_request()), now=NOW)
    far = later(10**6)
    assert list(store.due_requests(now=far)) == [a_request().id]
    assert list(store.due_users(now=far)) == [ALICE.key]


def test_a_user_is_found_by_a_device_that_a_fulfilment_removes(
    store: DynamoStore,
) -> None:
    """Its deletion names no user, and is no attempt that the request would hold."""
    taken = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
    filed = replace(a_request(), attempts=(), devices=(taken,))
    store.commit(a_decision("e1", request=filed, user=None), now=NOW)
    assert store.user_id_of_removed_device(ACCOUNT, taken) is None
    fulfilment_started = replace(filed, version=1, fulfilment=Fulfilment("otto", NOW, later(2)))
    store.commit(a_decision("e2", request=fulfilment_started, user=None), now=NOW)
    assert store.user_id_of_removed_device(ACCOUNT, taken) == ALICE.key.user_id


def test_a_later_attempt_leaves_the_user_of_a_fulfilment_known(store: DynamoStore) -> None:
    taken = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
    done = Fulfilment("otto", NOW, later(2))
    fulfilled = replace(a_request(), devices=(taken,), fulfilment=done)
    store.commit(a_decision("e1", request=fulfilled, user=None), now=NOW)
    namesake = UserKey(ACCOUNT, "AIDANEXT")
    later_attempt = replace(a_request(an_attempt(serial=taken)), id="PR-2", subject=namesake)
    store.commit(a_decision("e2", request=later_attempt, user=None), now=NOW)
    assert store.user_id_of_removed_device(ACCOUNT, taken) == "AIDANEXT"
    assert store.user_id_of_fulfilment(ACCOUNT, taken, later(1)) == ALICE.key.user_id
    assert store.user_id_of_fulfilment(ACCOUNT, taken, later(60)) is None
    assert store.user_id_of_fulfilment(ACCOUNT, f"{taken}2", later(1)) is None


# Round trips -------------------------------------------------------------------------------------

EIGHT = tuple(Device(f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/k{n}-{HOSTILE}") for n in range(8))
FULL = User(
    UserKey(ACCOUNT, "AIDAALICE"),
    HOSTILE,
    MfaStatus.UNPROTECTED,
    EIGHT,
    Finding(
        id="F-1",
        cause=Cause.DEVICE_REMOVED,
        opened_at=NOW,
        mailed=frozenset(MailKind),
        alerted_at=later(1),
        escalation_step=3,
        due_at=later(2),
        closed_at=later(3),
        closure=Closure.USER_GONE,
    ),
    request_id="PR-1",
    gone_at=later(4),
)


@pytest.mark.parametrize("user", [ALICE, FULL, replace(FULL, name="", request_id="")])
def test_a_user_comes_back_as_stored(store: DynamoStore, user: User) -> None:
    store.commit(a_decision("e1", user=user), now=NOW)
    assert store.user(user.key) == replace(user, version=1)


def test_a_request_comes_back_as_stored(store: DynamoStore) -> None:
    attempts = [
        an_attempt(serial=HOSTILE, source_ip=HOSTILE, user_agent=HOSTILE * 10),
        an_attempt(serial="", source_ip="", user_agent="", actor=""),
        *(an_attempt(f"e{n}") for n in range(25)),
    ]
    request = a_request(attempts[0])
    for attempt in attempts[1:]:
        request = request.with_attempt(attempt, Policy(), violation=True)
    store.commit(a_decision("e1", request=request, user=None), now=NOW)
    assert store.request(request.id) == replace(request, version=1)
    cancelled = replace(request, version=1).cancelled(HOSTILE)
    store.commit(a_decision("e2", request=cancelled, user=None), now=NOW)
    assert store.request(request.id) == replace(cancelled, version=2)


@pytest.mark.parametrize(
    ("adapter", "kind"),
    [
        (items.USER, User),
        (items.REQUEST, ChangeRequest),
        (items.INTENT, Intent),
        (items.HISTORY, HistoryEntry),
    ],
)
@settings(max_examples=examples(0.4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_value_survives_the_form_it_has_in_the_table(
    adapter: object, kind: type, data: st.DataObject
) -> None:
    value = data.draw(st.from_type(kind))
    wire = items.to_wire(items.dump(adapter, value))  # type: ignore[arg-type]
    assert adapter.validate_python(items.from_wire(wire)) == value  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "intent",
    [
        a_mail(serial=HOSTILE, cause=Cause.DEVICE_REMOVED, done_by_user=True),
        an_alert("alert-2", (HOSTILE, HOSTILE), ("Empty", "")),
    ],
)
def test_an_intent_comes_back_as_stored(
    store: DynamoStore, outbox: DynamoOutbox, intent: Intent
) -> None:
    assert isinstance(intent.act, GuideMail | Alert)
    store.commit(a_decision("e1", intent), now=NOW)
    claim = outbox.claim(intent.id, now=NOW)
    assert claim
    assert claim.intent == intent


@pytest.mark.parametrize("name", SAMPLES)
def test_each_mail_is_read_back_as_the_kind_that_was_written(name: str) -> None:
    mail = a_mail("mail-1", SAMPLES[name])
    wire = items.to_wire(items.dump(items.INTENT, mail))
    assert items.INTENT.validate_python(items.from_wire(wire)) == mail


# Change requests, listed --------------------------------------------------------------------------


def _opened(store: DynamoStore, *moments: float, name: str = "alice") -> list[ChangeRequest]:
    """Commit a request for each moment (minutes from now), each about a user of its own."""
    found = []
    for at in moments:
        user = User(UserKey(ACCOUNT, f"AIDA{name.upper()}{at:g}"), name)
        request = a_request(an_attempt(f"{name}-{at}", at=later(at)), user)
        decision = a_decision(f"{name}-{at}", user=user, request=request)
        store.commit(decision, now=NOW)
        found.append(replace(request, version=1))
    return found


def test_requests_are_listed_the_newest_first_across_states(store: DynamoStore) -> None:
    one, two, three = _opened(store, 1, 2, 3)
    rejected = replace(two, state=RequestState.REJECTED)
    moved = a_decision("e2", user=None, request=rejected)
    store.commit(moved, now=NOW)
    listed = store.requests(RequestSearch())
    assert listed == RequestPage((three, replace(rejected, version=2), one))
    assert store.requests(RequestSearch(states=(RequestState.OPEN,))).requests == (three, one)
    assert store.requests(RequestSearch(states=(RequestState.CLOSED,))).requests == ()


def test_requests_are_ordered_by_the_moment_even_within_a_second(store: DynamoStore) -> None:
    first, second, third = _opened(store, 0, 0.005, 0.0125)
    assert store.requests(RequestSearch()).requests == (third, second, first)


def test_page_goes_on_where_the_one_before_ended(store: DynamoStore) -> None:
    requests = _opened(store, *range(7))[::-1]
    seen: list[ChangeRequest] = []
    page = store.requests(RequestSearch(limit=3))
    while page.after:
        seen += page.requests
        page = store.requests(RequestSearch(limit=3, after=page.after))
    assert [*seen, *page.requests] == requests


def test_page_that_ends_with_the_last_request_is_the_last_page(store: DynamoStore) -> None:
    _opened(store, 1, 2)
    assert store.requests(RequestSearch(limit=2)).after is None


def test_request_that_changes_its_state_between_two_pages_is_not_listed_twice(
    store: DynamoStore,
) -> None:
    one, _, three = _opened(store, 1, 2, 3)
    page = store.requests(RequestSearch(limit=2))
    closed = replace(three, state=RequestState.CLOSED)
    store.commit(a_decision("e2", user=None, request=closed), now=NOW)
    following = store.requests(RequestSearch(limit=2, after=page.after))
    assert following.requests == (one,)


def test_requests_are_found_by_the_subjects_id_or_their_name_at_the_time(
    store: DynamoStore,
) -> None:
    [alice] = _opened(store, 1, name="Alice")
    _opened(store, 2, name="bob")
    for search in (
        RequestSearch(subject=alice.subject),
        RequestSearch(subject_name="aLICE"),
        RequestSearch(subject=alice.subject, subject_name="bobby"),
    ):
        assert store.requests(search).requests == (alice,)
    assert store.requests(RequestSearch(subject=UserKey("9" * 12, alice.subject.user_id))) == (
        RequestPage(())
    )


def test_requests_are_found_by_their_age(store: DynamoStore) -> None:
    one, two, three = _opened(store, 1, 2, 3)
    for search, expected in (
        (RequestSearch(opened_from=later(2)), (three, two)),
        (RequestSearch(opened_before=later(2)), (one,)),
        (RequestSearch(opened_from=later(2), opened_before=later(3)), (two,)),
        (RequestSearch(opened_from=later(3), opened_before=later(2)), ()),
    ):
        assert store.requests(search).requests == expected


def test_history_of_a_request_is_its_own_alone_and_the_oldest_first(store: DynamoStore) -> None:
    [request] = _opened(store, 1)
    entries = [
        HistoryEntry(About.REQUEST, request.id, later(at), f"h{at}", "It moved") for at in (3, 2)
    ]
    other = HistoryEntry(About.REQUEST, f"{request.id}X", NOW, "h4", "Another moved")
    for number, entry in enumerate([*entries, other]):
        store.commit(Decision(f"h-{number}", (entry,)), now=NOW)
    assert store.request_history(request.id) == entries[::-1]


def test_request_without_an_attempt_can_be_stored(store: DynamoStore) -> None:
    bob = Person(f"arn:aws:iam::{ACCOUNT}:user/bob", "AIDABOB", ACCOUNT)
    request = file_request(ALICE, bob, NOW, Policy(), event_id="e1")
    store.commit(a_decision("e1", request=request), now=NOW)
    assert store.request(request.id) == replace(request, version=1)


# The inventory ------------------------------------------------------------------------------------


def newcomers(number: int) -> list[User]:
    return [
        User(
            UserKey(ACCOUNT, f"AIDA{one:03}"),
            f"user{one}",
            MfaStatus.PROTECTED,
            (Device(f"arn:aws:iam::{ACCOUNT}:mfa/d{one}"),),
            devices_unread=True,
        )
        for one in range(number)
    ]


def test_new_users_are_added_many_at_a_time_and_found_in_the_inventory_and_by_name(
    store: DynamoStore, account: Account
) -> None:
    users = newcomers(60)
    assert store.add_users(users) == ()
    assert account.calls.made == ["dynamodb:TransactWriteItems"] * 2
    noted = [replace(user, version=1) for user in users]
    assert sorted(store.inventory(ACCOUNT), key=str) == sorted(map(inventory_entry, noted), key=str)
    assert list(store.inventory("999999999999")) == []
    assert [store.user(user.key) for user in users] == noted
    assert store.user_id_named(ACCOUNT, "USER7") == "AIDA007"


def test_users_who_are_known_by_now_are_not_changed_and_are_returned(store: DynamoStore) -> None:
    users = newcomers(6)
    before = [replace(users[2], devices=(), mfa_status=None), replace(users[5], name="other")]
    for number, user in enumerate(before):
        store.commit(a_decision(f"e{number}", user=user), now=NOW)
    assert set(store.add_users(users)) == {users[2], users[5]}
    assert store.user(users[2].key) == replace(before[0], version=1)
    assert store.user(users[5].key) == replace(before[1], version=1)
    assert store.user(users[4].key) == replace(users[4], version=1)


def test_users_who_are_gone_are_not_in_the_inventory_until_their_next_record(
    store: DynamoStore,
) -> None:
    store.commit(a_decision("e1"), now=NOW)
    assert list(store.inventory(ACCOUNT)) == [inventory_entry(STORED)]
    store.commit(a_decision("e2", user=replace(STORED, gone_at=NOW)), now=NOW)
    assert list(store.inventory(ACCOUNT)) == []
    back = replace(ALICE, mfa_status=MfaStatus.UNPROTECTED, version=2)
    store.commit(a_decision("e3", user=back), now=NOW)
    assert list(store.inventory(ACCOUNT)) == [inventory_entry(replace(back, version=3))]


def test_the_last_sweep_result_of_each_account_is_kept(store: DynamoStore) -> None:
    counted = UserCounts(users=3, unprotected=1)
    swept = SweepResult(ACCOUNT, "r1", NOW, NOW, 7, 2, 1, counted, 0, {"CreateUser": 1}, {"why": 1})
    assert store.last_sweep(ACCOUNT) is None
    for seed, run in (("e1", "r1"), ("e2", "r2")):
        store.commit(SweepDecision(seed, result=replace(swept, run=run)), now=NOW)
    assert store.last_sweep(ACCOUNT) == replace(swept, run="r2")
    assert store.last_sweep("999999999999") is None
