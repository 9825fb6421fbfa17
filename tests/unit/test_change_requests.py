"""The states of a change request, and who may take it from one to the next."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    ChangeRequest,
    Details,
    RequestState,
    SegregationOfDutiesError,
    WrongStepError,
    file_request,
    open_request,
)
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.people import Person
from tests.support.builders import ACCOUNT, ALICE, NOW, an_attempt

POLICY = Policy()
PHONE, TABLET = (f"arn:aws:iam::{ACCOUNT}:mfa/{name}" for name in ("phone", "tablet"))
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def person(name: str) -> Person:
    return Person(f"arn:aws:iam::{ACCOUNT}:user/{name}", f"AIDA{name.upper()}", ACCOUNT)


def session(name: str) -> Person:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Security/{name}"
    return Person(arn, f"AROASECURITY:{name}", ACCOUNT)


OTTO, OLGA, ADA, DESK = person("otto"), person("olga"), person("ada"), person("desk")


# The request at each of its states ----------------------------------------------------------------

ATTEMPT = an_attempt(actor=ADA.arn, serial=PHONE)
OPEN = open_request(ALICE, ATTEMPT, POLICY, violation=False)
SUBMITTED = OPEN.submitted(Details("lost", DESK.arn, NOW, DeviceKind.FIDO), POLICY)
APPROVED = SUBMITTED.approved(OTTO, "known", NOW, POLICY, devices=(PHONE,), kept=())
STARTED = APPROVED.fulfilment_started(OTTO, NOW, POLICY)
FULFILLED = STARTED.fulfilled(NOW, POLICY)
VIOLATION = APPROVED.with_attempt(
    an_attempt("e2", actor=ADA.arn, outcome=Outcome.SUCCEEDED), POLICY, violation=True
)
REQUESTS = {
    "open": OPEN,
    "violation": VIOLATION,
    "submitted": SUBMITTED,
    "approved": APPROVED,
    "started": STARTED,
    "fulfilled": FULFILLED,
    "overdue": replace(FULFILLED, window_until=NOW).reminded(NOW, POLICY),
    "expired": APPROVED.expired(),
    "rejected": SUBMITTED.rejected(OTTO, "no", NOW),
    "closed": FULFILLED.closed("new device"),
    "cancelled": OPEN.withdrawn("not needed"),
}
STEPS: dict[str, Callable[[ChangeRequest], ChangeRequest]] = {
    "details": lambda r: r.submitted(Details("broken", DESK.arn, NOW), POLICY),
    "approve": lambda r: r.approved(OLGA, "fine", NOW, POLICY, devices=(PHONE,), kept=()),
    "reject": lambda r: r.rejected(OLGA, "no", NOW),
    "cancel": lambda r: r.withdrawn("not needed"),
    "acknowledge": lambda r: r.acknowledged(OLGA, "talked to ada"),
    "reopen": lambda r: r.reopened(OLGA, "still needed", NOW, POLICY, kept=()),
    "start": lambda r: r.fulfilment_started(OTTO, NOW, POLICY),
    "fulfil": lambda r: r.fulfilled(NOW, POLICY),
}
ALLOWED = {
    "open": {"details": "submitted", "cancel": "cancelled"},
    "violation": {"details": "open", "acknowledge": "closed"},
    "submitted": {
        "details": "submitted",
        "approve": "approved",
        "reject": "rejected",
        "cancel": "cancelled",
    },
    "approved": {"reject": "rejected", "cancel": "cancelled", "start": "approved"},
    "started": {"start": "approved", "fulfil": "fulfilled"},
    "fulfilled": {"start": "fulfilled", "fulfil": "fulfilled"},
    "overdue": {"reopen": "fulfilled", "fulfil": "fulfilled"},
    "expired": {"reopen": "approved"},
    "rejected": {},
    "closed": {},
    "cancelled": {},
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("where", REQUESTS)
def test_a_step_leads_to_the_state_in_the_table_or_is_refused(where: str, step: str) -> None:
    request = REQUESTS[where]
    if step not in ALLOWED[where]:
        with pytest.raises(WrongStepError):
            STEPS[step](request)
        return
    after = STEPS[step](request)
    assert after.state == ALLOWED[where][step]
    assert (after.id, after.attempts, after.actors) == (
        request.id,
        request.attempts,
        request.actors,
    )
    assert after.violation == request.violation


@pytest.mark.parametrize("where", REQUESTS)
def test_a_violation_sets_every_active_request_back_to_open(where: str) -> None:
    request = REQUESTS[where]
    if not request.state.is_active:
        return
    attempt = an_attempt("e9", outcome=Outcome.SUCCEEDED, actor="eve")
    after = request.with_attempt(attempt, POLICY, violation=True)
    assert (after.state, after.violation, after.verdict) == (RequestState.OPEN, True, None)
    assert after.fulfilment == request.fulfilment
    with pytest.raises(WrongStepError):
        after.fulfilment_started(OTTO, NOW, POLICY)


# Segregation of duties ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who",
    [
        person("alice"),
        Person(f"arn:aws:iam::{ACCOUNT}:user/renamed", ALICE.key.user_id, ACCOUNT),
        session("alice@example.com"),
        ADA,
        session("Ada"),
        DESK,
        session("desk"),
    ],
    ids=lambda who: who.arn,
)
@pytest.mark.parametrize(
    ("step", "request_"),
    [
        ("approve", SUBMITTED),
        ("reject", SUBMITTED),
        ("start", APPROVED),
        ("reopen", APPROVED.expired()),
    ],
)
def test_the_user_whoever_tried_and_whoever_asked_may_not_decide(
    who: Person, step: str, request_: ChangeRequest
) -> None:
    steps: dict[str, Callable[[], ChangeRequest]] = {
        "approve": lambda: request_.approved(who, "x", NOW, POLICY, devices=(), kept=()),
        "reject": lambda: request_.rejected(who, "x", NOW),
        "start": lambda: request_.fulfilment_started(who, NOW, POLICY),
        "reopen": lambda: request_.reopened(who, "x", NOW, POLICY, kept=()),
    }
    with pytest.raises(SegregationOfDutiesError):
        steps[step]()


def test_whoever_removed_a_device_may_not_acknowledge_the_violation() -> None:
    with pytest.raises(SegregationOfDutiesError):
        VIOLATION.acknowledged(ADA, "it was me")


# Windows and hands --------------------------------------------------------------------------------


def test_an_approval_is_valid_until_its_window_is_over() -> None:
    assert APPROVED.fulfilment_started(OTTO, NOW + DAY - MINUTE, POLICY).fulfilment is not None
    with pytest.raises(WrongStepError, match="window is over"):
        APPROVED.fulfilment_started(OTTO, NOW + DAY, POLICY)


def test_nobody_else_may_fulfil_a_request_while_somebody_is_fulfilling_it() -> None:
    with pytest.raises(WrongStepError, match="otto"):
        STARTED.fulfilment_started(OLGA, NOW + MINUTE, POLICY)
    taken_over = STARTED.fulfilment_started(OLGA, NOW + 2 * MINUTE, POLICY)
    assert taken_over.fulfilment is not None
    assert (taken_over.fulfilment.by, taken_over.fulfilment.started_at) == (OLGA.arn, NOW)


def test_a_request_that_is_being_fulfilled_can_neither_be_rejected_nor_cancelled() -> None:
    for step in ("reject", "cancel"):
        with pytest.raises(WrongStepError, match="being fulfilled"):
            STEPS[step](STARTED)


def test_a_fulfilled_request_can_be_fulfilled_again_and_keeps_its_window() -> None:
    again = FULFILLED.fulfilment_started(OLGA, NOW + HOUR, POLICY).fulfilled(NOW + HOUR, POLICY)
    assert again.window_until == FULFILLED.window_until == NOW + 3 * DAY


def test_a_fulfilled_request_is_reopened_only_after_its_window_and_gets_another() -> None:
    with pytest.raises(WrongStepError, match="not over yet"):
        FULFILLED.reopened(OLGA, "lost the password", NOW + DAY, POLICY, kept=())
    later = NOW + 5 * DAY
    again = FULFILLED.reopened(OLGA, "lost the password", later, POLICY, kept=())
    assert (again.state, again.window_until) == (RequestState.FULFILLED, later + 3 * DAY)
    assert (
        again.fulfilment_started(OLGA, later, POLICY).fulfilled(later, POLICY).due_at
        == later + 3 * DAY
    )


def test_a_fulfilment_that_changed_nothing_leaves_no_trace_when_it_is_released() -> None:
    assert STARTED.released(NOW, untouched=True) == APPROVED
    held = STARTED.released(NOW + MINUTE, untouched=False).fulfilment
    assert held is not None
    assert held.held_until == NOW + MINUTE


# When the schedule looks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "due"),
    [
        ("open", 2 * DAY),
        ("violation", 7 * DAY),
        ("submitted", 2 * DAY),
        ("approved", DAY),
        ("started", DAY),
        ("fulfilled", 3 * DAY),
        ("overdue", None),
        ("expired", None),
        ("rejected", None),
        ("closed", None),
        ("cancelled", None),
    ],
)
def test_a_request_is_due_when_the_time_to_act_on_it_is_over(
    where: str, due: timedelta | None
) -> None:
    assert REQUESTS[where].due_at == (NOW + due if due else None)


def test_reminders_of_details_are_due_on_their_days_and_the_end_after_them() -> None:
    request, days = OPEN, list[int]()
    while request.due_at and len(days) < 4:
        days.append((request.due_at - NOW).days)
        request = request.reminded(request.due_at, POLICY)
    assert days == [2, 7, 14, 30]


def test_a_schedule_that_was_late_does_not_remind_twice_within_a_day() -> None:
    late = OPEN.reminded(NOW + 20 * DAY, POLICY)
    assert late.due_at == NOW + 21 * DAY


def test_the_request_of_a_user_who_comes_back_is_restored_in_its_state() -> None:
    for where in ("open", "submitted", "approved", "started", "fulfilled", "overdue"):
        request = REQUESTS[where]
        assert request.cancelled("gone").restored(POLICY, NOW) == request


# Properties ---------------------------------------------------------------------------------------

_WALKS = st.lists(
    st.tuples(
        st.sampled_from([*STEPS, "violation", "denied", "expire", "remind", "device"]),
        st.sampled_from([OTTO, OLGA, ADA, DESK, person("alice"), session("otto")]),
        st.integers(0, 48),
    ),
    max_size=25,
)


def _take(request: ChangeRequest, step: str, by: Person, hours: int, seed: str) -> ChangeRequest:
    now = NOW + hours * HOUR
    steps: dict[str, Callable[[], ChangeRequest]] = {
        "details": lambda: request.submitted(Details("lost", by.arn, now), POLICY),
        "approve": lambda: request.approved(by, "x", now, POLICY, devices=(PHONE,), kept=()),
        "reject": lambda: request.rejected(by, "x", now),
        "cancel": lambda: request.withdrawn("x"),
        "acknowledge": lambda: request.acknowledged(by, "x"),
        "reopen": lambda: request.reopened(by, "x", now, POLICY, kept=()),
        "start": lambda: request.fulfilment_started(by, now, POLICY),
        "fulfil": lambda: request.fulfilled(now, POLICY),
    }
    return steps[step]() if step in steps else _happen(request, step, by, now, seed)


def _happen(
    request: ChangeRequest, what: str, by: Person, now: datetime, seed: str
) -> ChangeRequest:
    approved = request.state is RequestState.APPROVED
    match what:
        case "violation" | "denied" if request.state.is_active:
            violation = what == "violation"
            outcome = Outcome.SUCCEEDED if violation else Outcome.DENIED
            attempt = an_attempt(seed, at=now, actor=by.arn, outcome=outcome)
            return request.with_attempt(attempt, POLICY, violation=violation)
        case "expire" if approved:
            return request.expired()
        case "remind" if request.state.is_active and not approved:
            return request.reminded(now, POLICY)
        case "device" if request.new_device((TABLET,), now):
            return request.closed("new device")
        case _:
            return request


@given(_WALKS)
def test_in_any_sequence_two_people_decide_and_only_acknowledgement_ends_a_violation(
    walk: list[tuple[str, Person, int]],
) -> None:
    request = file_request(ALICE, DESK, NOW, POLICY, event_id="desk-1")
    for number, (step, by, hours) in enumerate(walk):
        before = request
        try:
            request = _take(before, step, by, hours, f"e{number}")
        except (WrongStepError, SegregationOfDutiesError):
            continue
        assert request.id == before.id
        if request.verdict:  # nobody who was involved when it was given has given it
            assert request.verdict.by not in {DESK.arn, person("alice").arn}
        if request.verdict and request.verdict != before.verdict:
            assert request.verdict.by not in before.actors
        if request.violation:
            assert request.state in {RequestState.OPEN, RequestState.CLOSED}
        if before.violation and request.state is RequestState.CLOSED != before.state:
            assert step == "acknowledge"
        if request.state is RequestState.FULFILLED:
            assert request.fulfilment is not None
            assert request.verdict is not None
            assert request.verdict.approved
        if not request.state.is_active:
            assert request.due_at is None
        elif not (request.state is RequestState.FULFILLED and request.reminders):
            assert request.due_at is not None
