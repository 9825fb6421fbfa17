"""Which removal of a device is the fulfilment of a request, and which is a violation."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.events.decisions import decide, facts_needed
from mfa_watcher.domain.events.records import Identity, Record
from mfa_watcher.domain.events.signals import Signal, classify
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Details,
    RequestState,
    file_request,
)
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import Cause, IamState, MailKind, User
from mfa_watcher.domain.users.user_state import Situation, is_fulfil_role_acting
from tests.support.builders import ACCOUNT, ALICE, NOW

PHONE = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
TABLET = f"arn:aws:iam::{ACCOUNT}:mfa/tablet"
NEW = f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/new-ABC"
POLICY = Policy(fulfil_role="watcher-FulfilRole-1A", break_glass_roles=frozenset({"Emergency"}))
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def role(name: str, session: str = "somebody") -> Identity:
    last = name.rsplit("/", 1)[-1]
    return Identity(
        "AssumedRole",
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{last}/{session}",
        account_id=ACCOUNT,
        issuer_arn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
    )


def iam_user(name: str, user_id: str) -> Identity:
    return Identity("IAMUser", name, f"arn:aws:iam::{ACCOUNT}:user/{name}", user_id, ACCOUNT)


FULFIL = role("watcher-FulfilRole-1A", "watcher-Fulfil-2B")
NAMESAKE = role("evil/watcher-FulfilRole-1A")
EMERGENCY = role("Emergency")
ADMIN = iam_user("ada", "AIDAADA")
ME = iam_user("alice", ALICE.key.user_id)
APPROVER = Person(f"arn:aws:iam::{ACCOUNT}:user/otto", "AIDAOTTO", ACCOUNT)
SERVICE_DESK = Person(f"arn:aws:iam::{ACCOUNT}:user/desk", "AIDADESK", ACCOUNT)


def living(*serials: str, access: bool | None = True) -> IamState:
    devices = tuple(Device(serial) for serial in serials)
    return IamState(
        exists=True, name="alice", devices=devices, console_access=None if devices else access
    )


UNPROTECTED = living()
GONE = IamState(exists=False)


# The request at each of its states, all about PHONE, with TABLET kept -----------------------------

OPEN = file_request(ALICE, SERVICE_DESK, NOW - HOUR, POLICY, event_id="desk-1")
SUBMITTED = OPEN.submitted(Details("a new phone", SERVICE_DESK.arn, NOW - HOUR), POLICY)
APPROVED = SUBMITTED.approved(
    APPROVER, "known", NOW - HOUR, POLICY, devices=(PHONE,), kept=(TABLET,)
)
STARTED = APPROVED.fulfilment_started(APPROVER, NOW, POLICY)
FULFILLED = STARTED.fulfilled(NOW + MINUTE, POLICY)
CLOSED = FULFILLED.closed("new device: fido")
EXPIRED = STARTED.expired()
CANCELLED = FULFILLED.cancelled("the user was deleted")


def signal(
    call: str,
    who: Identity = ADMIN,
    seed: str = "e1",
    *,
    serial: str | None = PHONE,
    error: str = "",
) -> Signal:
    names_user = call != "DeleteVirtualMFADevice"
    denial = f"User: {who.arn} is not authorized to perform: iam:{call} on resource: user alice"
    return classify(
        Record(
            event_id=seed,
            event_time=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
            account_id=ACCOUNT,
            event_source="iam.amazonaws.com",
            event_name=call,
            identity=who,
            user_name="alice" if names_user and not error else None,
            serial=None if error else serial,
            error_code=error or None,
            error_message=denial if error else None,
        )
    )


def removal(who: Identity = ADMIN, serial: str = PHONE, seed: str = "e1") -> Signal:
    return signal("DeactivateMFADevice", who, seed, serial=serial)


def deletion(who: Identity = ADMIN, serial: str = PHONE, seed: str = "e1") -> Signal:
    return signal("DeleteVirtualMFADevice", who, seed, serial=serial)


def denied(who: Identity = ME, seed: str = "e1") -> Signal:
    return signal("DeactivateMFADevice", who, seed, error="AccessDenied")


def user_of(request: ChangeRequest | None, *serials: str) -> User:
    devices = tuple(Device(serial) for serial in serials)
    return replace(ALICE, version=3, devices=devices, request_id=request.id if request else None)


def after(  # noqa: PLR0913 - each part of a situation, with its usual value
    what: Signal,
    request: ChangeRequest | None,
    iam_state: IamState | None = UNPROTECTED,
    *,
    at: datetime = NOW,
    user: User | None = None,
    earlier: ChangeRequest | None = None,
) -> UserDecision:
    known = user or user_of(request, PHONE)
    asked = iam_state if facts_needed(what, known) else None
    situation = Situation(
        what.record.event_id or "", at, what, known, POLICY, request, asked, earlier
    )
    return decide(situation, what)


def alerts(decision: UserDecision) -> list[AlertKind]:
    return [i.act.kind for i in decision.intents if isinstance(i.act, Alert)]


def mails(decision: UserDecision) -> list[MailKind]:
    return [i.act.kind for i in decision.intents if isinstance(i.act, Mail)]


def entries(decision: UserDecision, request: ChangeRequest) -> list[HistoryEntry]:
    return [e for e in decision.history if e.about is About.REQUEST and e.subject_id == request.id]


# Who, what, when, and in which state --------------------------------------------------------------

AS_IT_WAS = [
    pytest.param(request, id=request.state if request is not STARTED else "started")
    for request in (STARTED, FULFILLED, CLOSED, EXPIRED, CANCELLED)
]


@pytest.mark.parametrize("request_", AS_IT_WAS)
@pytest.mark.parametrize("what", [removal(FULFIL), deletion(FULFIL)], ids=["deactivate", "delete"])
def test_a_removal_that_fulfils_a_request_is_evidence_for_it_however_late_its_record_is(
    request_: ChangeRequest, what: Signal
) -> None:
    decision = after(what, request_)
    assert decision.request is None
    assert alerts(decision) == []
    [entry] = entries(decision, request_)
    assert (entry.before, entry.after, entry.event_id) == (None, None, "e1")


MEMBER = "444455556666"
HUBS_IN_MEMBER = Identity(
    "AssumedRole",
    arn=f"arn:aws:sts::{MEMBER}:assumed-role/watcher-Fulfil/mfa-watcher",
    account_id=MEMBER,
    issuer_arn=f"arn:aws:iam::{MEMBER}:role/watcher-Fulfil",
)
WITH_MEMBERS = replace(POLICY, member_fulfil_role="watcher-Fulfil", own_account=ACCOUNT)


@pytest.mark.parametrize(
    ("account", "role_account", "name", "fulfils"),
    [
        (ACCOUNT, ACCOUNT, "watcher-FulfilRole-1A", True),
        (ACCOUNT, ACCOUNT, "watcher-Fulfil", False),
        (ACCOUNT, MEMBER, "watcher-FulfilRole-1A", False),
        (MEMBER, MEMBER, "watcher-Fulfil", True),
        (MEMBER, MEMBER, "evil/watcher-Fulfil", False),
        (MEMBER, MEMBER, "watcher-Fulfil2", False),
        (MEMBER, MEMBER, "watcher-FulfilRole-1A", False),
        (MEMBER, ACCOUNT, "watcher-FulfilRole-1A", False),
        (MEMBER, "999999999999", "watcher-Fulfil", False),
    ],
)
def test_in_each_account_one_role_of_that_account_fulfils(
    account: str, role_account: str, name: str, *, fulfils: bool
) -> None:
    who = Identity("AssumedRole", issuer_arn=f"arn:aws:iam::{role_account}:role/{name}")
    assert is_fulfil_role_acting(removal(who), account, WITH_MEMBERS) is fulfils


def test_without_a_role_name_for_members_nobody_fulfils_there() -> None:
    alone = replace(POLICY, own_account=ACCOUNT)
    nobody = Identity("AssumedRole")
    assert not is_fulfil_role_acting(removal(HUBS_IN_MEMBER), MEMBER, alone)
    assert not is_fulfil_role_acting(removal(nobody), MEMBER, alone)


def test_a_removal_is_fulfilment_even_if_the_request_became_a_violation_since() -> None:
    voided = after(removal(ADMIN, TABLET), STARTED, living()).request
    assert voided is not None
    assert voided.violation
    decision = after(removal(FULFIL, seed="e2"), voided)
    assert decision.request is None
    assert alerts(decision) == []
    assert entries(decision, voided)


def test_a_removal_is_fulfilment_even_if_the_user_has_another_request_since() -> None:
    newer = after(denied(), CLOSED).request
    assert newer is not None
    assert newer.previous == CLOSED.id
    decision = after(removal(FULFIL, seed="e2"), newer, living(NEW), earlier=CLOSED)
    assert decision.request is None
    assert decision.intents == ()
    assert entries(decision, CLOSED)
    assert not entries(decision, newer)


@pytest.mark.parametrize(
    ("what", "request_", "at"),
    [
        pytest.param(removal(ADMIN), STARTED, NOW, id="by another"),
        pytest.param(removal(ME), STARTED, NOW, id="by the user"),
        pytest.param(removal(NAMESAKE), STARTED, NOW, id="by a role of the same name elsewhere"),
        pytest.param(removal(FULFIL, TABLET), STARTED, NOW, id="of a device to be kept"),
        pytest.param(removal(FULFIL), STARTED, NOW - 2 * MINUTE, id="before it was started"),
        pytest.param(
            removal(FULFIL), STARTED, NOW + 5 * MINUTE, id="when nobody was fulfilling it"
        ),
        pytest.param(removal(FULFIL), FULFILLED, NOW + 5 * MINUTE, id="when it was done"),
        pytest.param(removal(FULFIL), APPROVED, NOW, id="approved, but not started"),
        pytest.param(removal(FULFIL), SUBMITTED, NOW, id="not approved"),
        pytest.param(removal(ADMIN), APPROVED, NOW, id="approved, but by another"),
        pytest.param(removal(ADMIN), FULFILLED, NOW, id="fulfilled, and by another"),
        pytest.param(removal(ADMIN), SUBMITTED, NOW, id="submitted"),
        pytest.param(removal(ADMIN), OPEN, NOW, id="open"),
        pytest.param(deletion(ADMIN, TABLET), STARTED, NOW, id="deletion of a device to be kept"),
        pytest.param(deletion(ADMIN), APPROVED, NOW, id="deletion before it was started"),
    ],
)
def test_any_other_removal_sets_the_request_back_to_open_as_a_violation(
    what: Signal, request_: ChangeRequest, at: datetime
) -> None:
    decision = after(what, request_, at=at)
    request = decision.request
    assert request is not None
    assert (request.id, request.state, request.violation) == (
        request_.id,
        RequestState.OPEN,
        True,
    )
    assert (request.verdict, request.window_until) == (None, None)
    assert request.due_at == at + POLICY.violation_reminder_every
    assert alerts(decision) == [AlertKind.REMOVAL_UNAPPROVED]
    assert {i.act.severity for i in decision.intents if isinstance(i.act, Alert)} == {Severity.HIGH}
    [entry] = entries(decision, request)
    assert (entry.before, entry.after) == (request_.state, RequestState.OPEN)


@pytest.mark.parametrize("request_", [None, CLOSED, EXPIRED, CANCELLED], ids=repr)
def test_without_an_active_request_a_removal_opens_one_as_a_violation(
    request_: ChangeRequest | None,
) -> None:
    decision = after(removal(), request_)
    request = decision.request
    assert request is not None
    assert (request.state, request.violation) == (RequestState.OPEN, True)
    assert decision.user is not None
    assert decision.user.request_id == request.id
    assert request.previous == (request_.id if request_ else None)
    assert [entry.before for entry in entries(decision, request)] == [None]


@pytest.mark.parametrize("request_", [None, OPEN, APPROVED, STARTED, FULFILLED], ids=repr)
def test_a_break_glass_removal_is_alerted_and_recorded_but_no_violation(
    request_: ChangeRequest | None,
) -> None:
    decision = after(removal(EMERGENCY), request_)
    assert decision.request is None
    assert alerts(decision) == [AlertKind.REMOVAL_BREAK_GLASS]
    if request_:
        assert entries(decision, request_)
        quiet = after(deletion(EMERGENCY, seed="e2"), request_)
        assert (quiet.request, alerts(quiet)) == (None, [])


def test_deleting_a_device_that_the_request_deactivated_is_no_removal() -> None:
    decision = after(deletion(ADMIN), FULFILLED, at=NOW + 10 * MINUTE)
    assert (decision.request, decision.intents) == (None, ())
    assert entries(decision, FULFILLED)


def test_a_removal_without_console_access_is_only_recorded_whatever_the_request() -> None:
    for request in (OPEN, APPROVED, FULFILLED):
        decision = after(removal(), request, living(access=False))
        assert (decision.request, decision.intents) == (None, ())


def test_a_fulfilment_that_iam_denies_is_alerted_and_not_mailed_to_the_user() -> None:
    decision = after(denied(FULFIL), STARTED)
    assert decision.request is None
    assert alerts(decision) == [AlertKind.REMOVAL_DENIED]
    assert mails(decision) == []
    assert entries(decision, STARTED)


def test_the_new_password_is_evidence_for_the_request_that_it_was_set_for() -> None:
    what = signal("UpdateLoginProfile", FULFIL, serial=None)
    assert entries(after(what, FULFILLED), FULFILLED)
    assert not entries(after(signal("UpdateLoginProfile", serial=None), FULFILLED), FULFILLED)


# What follows for the user ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", [STARTED, FULFILLED, EXPIRED], ids=["started", "done", "expired"]
)
@pytest.mark.parametrize(
    "what", [removal(FULFIL), signal("EnableMFADevice", ME)], ids=["removal", "any look"]
)
def test_a_user_without_a_device_after_fulfilment_gets_a_finding_but_no_mail_of_a_loss(
    request_: ChangeRequest, what: Signal
) -> None:
    decision = after(what, request_)
    assert decision.user is not None
    assert decision.user.finding is not None
    assert decision.user.finding.cause is Cause.REQUEST_FULFILLED
    assert decision.user.finding.due_at == NOW + timedelta(days=1)
    assert mails(decision) == []


def test_a_user_whose_last_device_somebody_else_removes_meanwhile_is_mailed() -> None:
    decision = after(removal(ADMIN, TABLET), STARTED)
    assert decision.user is not None
    assert decision.user.finding is not None
    assert decision.user.finding.cause is Cause.DEVICE_REMOVED
    assert mails(decision) == [MailKind.DEVICE_LOST]


def test_the_first_sign_in_with_the_new_password_is_expected_within_the_grace_time() -> None:
    fulfilled = after(removal(FULFIL), FULFILLED).user
    assert fulfilled is not None
    what = classify(
        Record(
            event_id="e2",
            event_source="signin.amazonaws.com",
            event_name="ConsoleLogin",
            identity=ME,
            console_login="Success",
            mfa_used="No",
        )
    )
    early = after(what, FULFILLED, at=NOW + 59 * MINUTE, user=fulfilled)
    late = after(what, FULFILLED, at=NOW + HOUR, user=fulfilled)
    assert early.intents == ()
    assert alerts(late) == [AlertKind.SIGN_IN_WITHOUT_MFA]


# The new device -----------------------------------------------------------------------------------


def enabled(serial: str, seed: str = "e3") -> Signal:
    return signal("EnableMFADevice", ME, seed, serial=serial)


@pytest.mark.parametrize(
    ("what", "iam_state", "at", "closed"),
    [
        (enabled(NEW), living(NEW), NOW + HOUR, "new device: fido"),
        (enabled(TABLET), living(TABLET, NEW), NOW + HOUR, "new device: fido"),
        (enabled(PHONE), living(PHONE), NOW + MINUTE, "new device: virtual"),
        (enabled(TABLET), living(PHONE), NOW + HOUR, "new device: virtual"),
        (enabled(TABLET), living(TABLET), NOW + HOUR, None),
        # IAM still lists the device that was just taken away.
        (removal(FULFIL), living(PHONE), NOW + MINUTE, None),
        # The record of its first enrolment, years ago.
        (enabled(PHONE), living(PHONE), NOW - 400 * 24 * HOUR, None),
    ],
)
def test_a_fulfilled_request_is_closed_by_a_new_device_wherever_iam_is_read(
    what: Signal, iam_state: IamState, at: datetime, closed: str | None
) -> None:
    decision = after(what, FULFILLED, iam_state, at=at)
    request = decision.request
    if closed is None:
        assert request is None
        return
    assert request is not None
    assert (request.state, request.ended_because, request.due_at) == (
        RequestState.CLOSED,
        closed,
        None,
    )
    [entry] = entries(decision, request)
    assert (entry.before, entry.after) == (RequestState.FULFILLED, RequestState.CLOSED)


@pytest.mark.parametrize("request_", [OPEN, SUBMITTED, APPROVED, STARTED], ids=repr)
def test_a_further_device_closes_no_request_that_is_not_fulfilled(
    request_: ChangeRequest,
) -> None:
    decision = after(enabled(NEW), request_, living(PHONE, NEW))
    assert (decision.request, decision.intents) == (None, ())


def test_a_violation_is_not_closed_by_a_new_device() -> None:
    violation = after(removal(ADMIN), FULFILLED).request
    assert violation is not None
    assert after(enabled(NEW), violation, living(NEW), at=NOW + HOUR).request is None


@pytest.mark.parametrize(
    ("who", "expected"),
    [(ME, []), (ADMIN, [AlertKind.DEVICE_ADDED]), (FULFIL, [AlertKind.DEVICE_ADDED])],
)
def test_a_device_that_somebody_else_added_is_alerted(
    who: Identity, expected: list[AlertKind]
) -> None:
    decision = after(signal("EnableMFADevice", who, serial=NEW), None, living(PHONE, NEW))
    assert alerts(decision) == expected


# Attempts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [SUBMITTED, APPROVED, STARTED, FULFILLED], ids=repr)
def test_a_denied_attempt_joins_an_active_request_and_keeps_its_state(
    request_: ChangeRequest,
) -> None:
    decision = after(denied(), request_)
    joined = decision.request
    assert joined is not None
    assert (joined.state, joined.due_at) == (request_.state, request_.due_at)
    assert joined.attempt_count == 1
    assert ME.arn in joined.actors
    assert alerts(decision) == [AlertKind.REMOVAL_DENIED]


def test_whoever_keeps_trying_is_alerted_each_time_and_mailed_once_a_day() -> None:
    request, user, mailed = None, user_of(None, PHONE), []
    for hour in (0, 6, 12, 23, 24, 30, 47, 48):
        decision = after(denied(seed=f"e{hour}"), request, None, at=NOW + hour * HOUR, user=user)
        assert decision.request is not None
        assert decision.user is not None
        assert alerts(decision) == [AlertKind.REMOVAL_DENIED]
        mailed += [(hour, i.id) for i in decision.intents if isinstance(i.act, Mail)]
        request, user = decision.request, decision.user
    assert request is not None
    assert mailed == [
        (0, f"mail-removal_denied-{request.id}"),
        (24, f"mail-removal_denied-1-{request.id}"),
        (48, f"mail-removal_denied-2-{request.id}"),
    ]


# Leaving ------------------------------------------------------------------------------------------


def violated(at: datetime = NOW) -> tuple[ChangeRequest, User]:
    decision = after(removal(), None, at=at)
    assert decision.request is not None
    assert decision.user is not None
    return decision.request, decision.user


@pytest.mark.parametrize(
    ("minutes", "state"),
    [(0, "cancelled"), (59, "cancelled"), (60, "cancelled"), (61, "open"), (3000, "open")],
)
def test_a_violation_ends_without_notification_only_if_its_user_is_off_boarded(
    minutes: int, state: str
) -> None:
    request, user = violated()
    gone = signal("DeleteUser", seed="e2", serial=None)
    decision = after(gone, request, GONE, at=NOW + minutes * MINUTE, user=user)
    assert decision.intents == ()
    assert decision.user is not None
    assert decision.user.gone_at is not None
    left = decision.request or request
    assert (left.state, left.violation) == (state, True)
    if state == "open":
        assert decision.request is None
        assert any("stays open" in effect for effect in decision.effects)


def test_a_late_record_of_a_user_who_is_gone_does_not_excuse_a_violation() -> None:
    request, user = violated()
    decision = after(enabled(PHONE, "e2"), request, GONE, at=NOW + 10 * MINUTE, user=user)
    assert decision.request is None
    assert decision.user is not None
    late = after(enabled(PHONE, "e3"), request, GONE, at=NOW + 20 * MINUTE, user=decision.user)
    assert late.request is None
    # The deletion shows when the user went, even if that was known already.
    deleted = signal("DeleteUser", seed="e4", serial=None)
    known = after(deleted, request, GONE, at=NOW + 15 * MINUTE, user=decision.user)
    assert known.request is not None
    assert known.request.state is RequestState.CANCELLED


@pytest.mark.parametrize("request_", [OPEN, SUBMITTED, APPROVED, STARTED, FULFILLED], ids=repr)
def test_a_request_ends_with_its_user_and_is_restored_if_they_only_seemed_gone(
    request_: ChangeRequest,
) -> None:
    gone = after(signal("DeleteUser", serial=None), request_, GONE)
    assert gone.request is not None
    assert (gone.request.state, gone.request.due_at) == (RequestState.CANCELLED, None)
    assert gone.user is not None
    renamed = signal("UpdateUser", seed="e2", serial=None)
    renamed = replace(renamed, record=replace(renamed.record, new_user_name="alina"))
    what = classify(renamed.record)
    back = after(what, gone.request, living(TABLET), user=replace(gone.user, version=4))
    assert back.request is not None
    assert (back.request.state, back.request.fulfilment) == (request_.state, request_.fulfilment)
    assert back.request.due_at is not None
    [entry] = entries(back, request_)
    assert (entry.before, entry.after) == (RequestState.CANCELLED, request_.state)


# Properties ---------------------------------------------------------------------------------------

_PEOPLE = st.sampled_from([ADMIN, ME, NAMESAKE, EMERGENCY, FULFIL])
_REQUESTS = st.sampled_from(
    [None, OPEN, SUBMITTED, APPROVED, STARTED, FULFILLED, CLOSED, EXPIRED, CANCELLED]
)
_MOMENTS = st.integers(-600, 600).map(lambda seconds: NOW + timedelta(seconds=seconds))
_SERIALS = st.sampled_from([PHONE, TABLET, NEW])


@given(_PEOPLE, _REQUESTS, _MOMENTS, _SERIALS, st.sampled_from([UNPROTECTED, living(TABLET)]))
def test_a_removal_is_fulfilment_break_glass_or_a_violation_and_by_others_never_fulfilment(
    who: Identity, request: ChangeRequest | None, at: datetime, serial: str, iam_state: IamState
) -> None:
    decision = after(removal(who, serial), request, iam_state, at=at)
    violation = decision.request is not None and decision.request.violation
    is_fulfilment = any("fulfilling" in effect for effect in decision.effects)
    emergency = AlertKind.REMOVAL_BREAK_GLASS in alerts(decision)
    assert [violation, is_fulfilment, emergency].count(True) == 1
    assert is_fulfilment <= (who is FULFIL and serial == PHONE)
    assert emergency == (who is EMERGENCY)
    assert violation == (AlertKind.REMOVAL_UNAPPROVED in alerts(decision))
    if is_fulfilment:
        assert request is not None
        assert request.fulfilment is not None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["removal", "deletion", "denied", "enabled"]),
            _PEOPLE,
            _SERIALS,
            st.sampled_from([UNPROTECTED, living(PHONE), living(TABLET), living(NEW), GONE]),
            st.integers(-3000, 3000),
        ),
        max_size=10,
    ),
    _REQUESTS,
)
def test_each_state_of_a_request_has_a_history_entry_that_leads_to_it(
    story: list[tuple[str, Identity, str, IamState, int]], first: ChangeRequest | None
) -> None:
    user = user_of(first, PHONE)
    requests = {first.id: first} if first else {}
    states = {key: str(value.state) for key, value in requests.items()}
    for number, (kind, who, serial, iam_state, minutes) in enumerate(story):
        seed = f"e{number}"
        what = {
            "removal": removal(who, serial, seed),
            "deletion": deletion(who, serial, seed),
            "denied": denied(who, seed),
            "enabled": signal("EnableMFADevice", who, seed, serial=serial),
        }[kind]
        request = requests.get(user.request_id or "")
        decision = after(what, request, iam_state, at=NOW + minutes * MINUTE, user=user)
        assert decision.user is not None
        user = replace(decision.user, version=decision.user.version + 1)
        if decision.request:
            requests[decision.request.id] = decision.request
        for entry in decision.history:
            if entry.about is About.REQUEST and entry.after:
                assert entry.before == states.get(entry.subject_id)
                states[entry.subject_id] = entry.after
        assert states == {key: value.state for key, value in requests.items()}
        active = [request.id for request in requests.values() if request.state.is_active]
        assert active in ([], [user.request_id])
