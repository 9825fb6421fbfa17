"""What is done about a request that is due, by its state and by what IAM says of its user."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.history import About
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.notifications.mails import Ending, Mail, RequestEndedMail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Details,
    RequestState,
    file_request,
    open_request,
)
from mfa_watcher.domain.requests.expiry import decide_request_due
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import Exemption, IamState, MailKind, User
from mfa_watcher.domain.users.user_state import Situation
from tests.support.builders import ACCOUNT, ALICE, NOW, an_attempt

POLICY = Policy()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHONE, TABLET, NEW = (
    f"arn:aws:iam::{ACCOUNT}:{name}" for name in ("mfa/phone", "mfa/tablet", "u2f/user/alice/k-1")
)
OTTO = Person(f"arn:aws:iam::{ACCOUNT}:user/otto", "AIDAOTTO", ACCOUNT)
DESK = Person(f"arn:aws:iam::{ACCOUNT}:user/desk", "AIDADESK", ACCOUNT)


def living(*serials: str, access: bool = True) -> IamState:
    devices = tuple(Device(serial) for serial in serials)
    return IamState(
        exists=True,
        name="alice",
        devices=devices,
        console_access=None if devices else access,
    )


GONE = IamState(exists=False)
OPEN = file_request(ALICE, DESK, NOW, POLICY, event_id="desk-1")
SUBMITTED = OPEN.submitted(Details("lost", DESK.arn, NOW), POLICY)
APPROVED = SUBMITTED.approved(OTTO, "known", NOW, POLICY, devices=(PHONE,), kept=(TABLET,))
STARTED = APPROVED.fulfilment_started(OTTO, NOW, POLICY).with_step(f"deactivated {PHONE}")
FULFILLED = STARTED.fulfilled(NOW, POLICY)
VIOLATION = open_request(
    ALICE,
    an_attempt(outcome=Outcome.SUCCEEDED, actor=OTTO.arn),
    POLICY,
    violation=True,
)


def evaluate(
    request: ChangeRequest,
    iam_state: IamState = living(PHONE, TABLET),  # noqa: B008 - frozen
    *,
    at: datetime | None = None,
    user: User | None = None,
) -> UserDecision:
    devices = (Device(PHONE), Device(TABLET))
    known = user or replace(ALICE, version=4, devices=devices, request_id=request.id)
    moment = at or request.due_at
    assert moment is not None
    return decide_request_due(Situation("due-1", moment, None, known, POLICY, request, iam_state))


def alerts(decision: UserDecision) -> list[tuple[AlertKind, Severity]]:
    return [(i.act.kind, i.act.severity) for i in decision.intents if isinstance(i.act, Alert)]


def mails(decision: UserDecision) -> list[MailKind]:
    return [i.act.kind for i in decision.intents if isinstance(i.act, Mail)]


@pytest.mark.parametrize(
    ("request_", "iam_state", "state", "alerted", "mailed"),
    [
        pytest.param(
            OPEN,
            living(PHONE, TABLET),
            RequestState.OPEN,
            [],
            [MailKind.REQUEST_NEEDS_DETAILS],
            id="no details",
        ),
        pytest.param(
            VIOLATION,
            living(TABLET),
            RequestState.OPEN,
            [(AlertKind.VIOLATION_WAITING, Severity.MEDIUM)],
            [],
            id="violation",
        ),
        pytest.param(
            VIOLATION,
            GONE,
            RequestState.OPEN,
            [(AlertKind.VIOLATION_WAITING, Severity.MEDIUM)],
            [],
            id="violation of a user who is gone",
        ),
        pytest.param(
            SUBMITTED,
            living(PHONE, TABLET),
            RequestState.SUBMITTED,
            [(AlertKind.REQUEST_WAITING, Severity.LOW)],
            [],
            id="no decision",
        ),
        pytest.param(SUBMITTED, GONE, RequestState.CANCELLED, [], [], id="user gone"),
        pytest.param(
            APPROVED,
            living(PHONE, TABLET),
            RequestState.EXPIRED,
            [(AlertKind.REQUEST_EXPIRED, Severity.MEDIUM)],
            [MailKind.REQUEST_ENDED],
            id="window over",
        ),
        pytest.param(
            STARTED,
            living(TABLET),
            RequestState.EXPIRED,
            [(AlertKind.REQUEST_EXPIRED, Severity.HIGH)],
            [MailKind.REQUEST_ENDED],
            id="window over, partly fulfilled",
        ),
        pytest.param(
            FULFILLED,
            living(),
            RequestState.FULFILLED,
            [(AlertKind.ENROLMENT_OVERDUE, Severity.HIGH)],
            [],
            id="no new device",
        ),
        pytest.param(FULFILLED, living(TABLET, NEW), RequestState.CLOSED, [], [], id="new device"),
        pytest.param(
            FULFILLED, living(PHONE), RequestState.CLOSED, [], [], id="new device of an old name"
        ),
        pytest.param(FULFILLED, living(TABLET), RequestState.CLOSED, [], [], id="another is kept"),
        pytest.param(
            FULFILLED, living(access=False), RequestState.CLOSED, [], [], id="no access any more"
        ),
        pytest.param(FULFILLED, GONE, RequestState.CANCELLED, [], [], id="user gone meanwhile"),
    ],
)
def test_a_due_request_changes_as_in_the_table(
    request_: ChangeRequest,
    iam_state: IamState,
    state: RequestState,
    alerted: list[tuple[AlertKind, Severity]],
    mailed: list[MailKind],
) -> None:
    decision = evaluate(request_, iam_state)
    request = decision.request
    assert request is not None
    assert (request.state, request.violation) == (state, request_.violation)
    assert alerts(decision) == alerted
    assert mails(decision) == mailed
    [entry] = [entry for entry in decision.history if entry.about is About.REQUEST]
    assert (entry.before, entry.after) == (request_.state, state)


def test_an_unanswered_request_is_reminded_three_times_and_cancelled_on_day_thirty() -> None:
    request, days, intent_ids = OPEN, list[int](), list[str]()
    while request.state is RequestState.OPEN:
        assert request.due_at is not None
        days.append((request.due_at - NOW).days)
        decision = evaluate(request)
        assert decision.request is not None
        request = decision.request
        intent_ids += [intent.id for intent in decision.intents]
    assert days == [2, 7, 14, 30]
    assert intent_ids == [
        *(f"mail-request_needs_details-{number}-{request.id}" for number in (1, 2, 3)),
        "mail-request_ended-due-1",
    ]
    assert request.ended_because == "nobody gave details within 30 days"


def test_a_late_schedule_reminds_before_it_cancels_and_not_twice_a_day() -> None:
    request, moments, at = OPEN, list[timedelta](), NOW + 40 * DAY
    while request.state is RequestState.OPEN:
        if request.due_at and request.due_at <= at:
            decision = evaluate(request, at=at)
            assert decision.request is not None
            request = decision.request
            moments.append(at - NOW)
        at += HOUR
    assert moments == [40 * DAY, 41 * DAY, 42 * DAY, 43 * DAY]


@pytest.mark.parametrize(
    ("request_", "every"), [(SUBMITTED, 2 * DAY), (VIOLATION, 7 * DAY)], ids=["decision", "word"]
)
def test_security_is_reminded_of_a_waiting_request_until_they_act(
    request_: ChangeRequest, every: timedelta
) -> None:
    request = request_
    for number in range(1, 6):
        assert request.due_at == NOW + number * every
        decision = evaluate(request)
        assert len(alerts(decision)) == 1
        assert decision.request is not None
        request = decision.request


def test_a_window_that_ends_during_a_fulfilment_waits_for_its_release() -> None:
    assert APPROVED.window_until is not None
    end = APPROVED.window_until
    held = APPROVED.fulfilment_started(OTTO, end - timedelta(seconds=1), POLICY)
    waiting = evaluate(held, living(TABLET), at=end).request
    assert waiting is not None
    assert (waiting.state, waiting.due_at) == (
        RequestState.APPROVED,
        held.fulfilment and held.fulfilment.held_until,
    )
    assert waiting.fulfilled(end, POLICY).state is RequestState.FULFILLED
    after = evaluate(waiting, living(TABLET))
    assert after.request is not None
    assert after.request.state is RequestState.EXPIRED


def test_the_steps_done_for_a_request_that_expired_partly_fulfilled_are_named() -> None:
    decision = evaluate(STARTED, living(TABLET))
    [alerted] = [i.act for i in decision.intents if isinstance(i.act, Alert)]
    assert ("Steps done", f"deactivated {PHONE}") in alerted.facts
    assert ("Started by", OTTO.arn) in alerted.facts
    [mail] = [i.act for i in decision.intents if isinstance(i.act, RequestEndedMail)]
    assert mail.ending is Ending.INTERRUPTED
    assert any(PHONE in effect for effect in decision.effects)


def test_security_is_alerted_once_of_a_missing_enrolment_and_the_escalation_continues() -> None:
    decision = evaluate(FULFILLED, living())
    assert decision.user is not None
    assert decision.request is not None
    assert decision.user.open_finding is not None
    assert decision.request.due_at is None
    late = decision.request.cancelled("the user was deleted").restored(POLICY, NOW + 9 * DAY)
    assert late.due_at is None


def test_an_exempt_user_needs_no_new_device() -> None:
    exemption = Exemption("robot", OTTO.arn, NOW, NOW + 90 * DAY)
    user = replace(ALICE, version=4, exemption=exemption, request_id=FULFILLED.id)
    decision = evaluate(FULFILLED, living(), user=user)
    assert decision.request is not None
    assert decision.request.ended_because == "the user is exempt"
    assert decision.intents == ()


_LIVES = [living(), living(PHONE, TABLET), living(TABLET), living(NEW), living(access=False), GONE]


@given(
    st.sampled_from([OPEN, VIOLATION, SUBMITTED, APPROVED, STARTED, FULFILLED]),
    st.lists(st.tuples(st.sampled_from(_LIVES), st.integers(0, 2000)), max_size=12),
)
def test_a_due_request_always_changes_or_is_due_later(
    request: ChangeRequest, looks: list[tuple[IamState, int]]
) -> None:
    user = replace(ALICE, version=4, request_id=request.id)
    at, intent_ids = NOW, list[str]()
    for number, (iam_state, hours) in enumerate(looks):
        at += hours * HOUR
        if request.due_at is None or request.due_at > at:
            continue
        situation = Situation(f"due-{number}", at, None, user, POLICY, request, iam_state)
        decision = decide_request_due(situation)
        assert decision.request is not None  # or it would be looked at again and again
        assert decision.user is not None
        assert decision.request.due_at is None or decision.request.due_at > at
        intent_ids += [intent.id for intent in decision.intents]
        request, user = decision.request, decision.user
    assert len(intent_ids) == len(set(intent_ids))
    if request.state.is_active and request.due_at is None:
        assert request.state is RequestState.FULFILLED
        assert any("enrolment_overdue" in intent for intent in intent_ids)
