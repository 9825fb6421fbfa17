"""The mails about change requests: what each is made of, and when it is not wanted any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mfa_watcher.domain.events.records import Identity, Record
from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.notifications.mails import (
    Ending,
    MailAboutUser,
    RemovalDeniedMail,
)
from mfa_watcher.domain.notifications.relevance import (
    facts_needed_to_send,
    reason_to_skip,
    waits_for_mail_hours,
    with_current_request,
)
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    Attempt,
    ChangeRequest,
    Details,
    RequestState,
    file_request,
    open_request,
)
from mfa_watcher.domain.requests.mails import (
    decided,
    denied,
    ended,
    fulfilled,
    needs_details,
    opened,
)
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import IamState, User, UserKey

ACCOUNT = "111122223333"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy()
KEY = UserKey(ACCOUNT, "AIDAALICE")
PHONE, KEYRING = f"arn:aws:iam::{ACCOUNT}:mfa/phone", f"arn:aws:iam::{ACCOUNT}:mfa/keyring"
USER = User(KEY, "alice", devices=(Device(PHONE), Device(KEYRING)), version=1)
ALICE = Person(f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE", ACCOUNT)
DORA = Person(f"arn:aws:sts::{ACCOUNT}:assumed-role/ServiceDesk/dora", "AROADESK:dora", ACCOUNT)
SAM = Person(f"arn:aws:sts::{ACCOUNT}:assumed-role/Security/sam", "AROASEC:sam", ACCOUNT)
ATTEMPT = Attempt("e-1", AT, "DeactivateMFADevice", Outcome.DENIED, ALICE.arn, serial=PHONE)
LIVE = IamState(exists=True, name="alice", devices=(Device(PHONE),), console_access=True)

OPEN = open_request(User(KEY, "alice"), ATTEMPT, POLICY, violation=False)
VIOLATION = open_request(User(KEY, "alice"), ATTEMPT, POLICY, violation=True)
SUBMITTED = OPEN.submitted(Details("phone lost", ALICE.arn, AT + DAY, DeviceKind.FIDO), POLICY)
APPROVED = SUBMITTED.approved(
    SAM, "called back", AT + 2 * DAY, POLICY, devices=(PHONE,), kept=(KEYRING,)
)
BEGUN = APPROVED.fulfilment_started(SAM, AT + 2 * DAY, POLICY)
FULFILLED = BEGUN.fulfilled(AT + 2 * DAY, POLICY)
REJECTED = SUBMITTED.rejected(SAM, "not alice", AT + 2 * DAY)
EXPIRED = APPROVED.expired()
CANCELLED = OPEN.withdrawn("found it")
REOPENED = EXPIRED.reopened(SAM, "again", AT + 4 * DAY, POLICY, kept=(KEYRING,))
CLOSED = FULFILLED.closed("a new device")


def tried(request: ChangeRequest, before: int = 0) -> RemovalDeniedMail:
    alice = Identity(type="IAMUser", name="alice", arn=ALICE.arn)
    signal = Signal(SignalKind.DEVICE_REMOVAL, "denied", Record(identity=alice), subject="alice")
    return denied(replace(request, denials_mailed=before), USER, signal, ATTEMPT, POLICY)


# What each is made of ---------------------------------------------------------------------------


def test_a_denied_attempt_asks_for_details_until_the_deadline_and_no_longer_than_they_lack() -> (
    None
):
    asking = tried(OPEN)

    assert (asking.request_id, asking.reference) == (OPEN.id, OPEN.id)
    assert (asking.serial, asking.devices) == (PHONE, (PHONE, KEYRING))
    assert asking.next_at == AT + POLICY.details_deadline
    for other in (VIOLATION, SUBMITTED, APPROVED, FULFILLED):
        assert tried(other).next_at is None


def test_the_mail_about_a_filed_request_says_who_filed_what() -> None:
    filed = file_request(User(KEY, "alice"), DORA, AT, POLICY, event_id="desk-1")
    detailed = filed.submitted(
        Details("stolen", DORA.arn, AT, DeviceKind.FIDO, devices=(PHONE,)), POLICY
    )
    bare, full = opened(filed, USER, DORA, POLICY), opened(detailed, USER, DORA, POLICY)

    assert (bare.done_by_user, bare.actor, bare.reason) == (False, DORA.arn, None)
    assert bare.next_at == AT + POLICY.details_deadline
    assert bare.devices == (PHONE, KEYRING)
    assert (full.reason, full.wanted, full.removed) == ("stolen", DeviceKind.FIDO, (PHONE,))
    assert full.next_at is None
    assert opened(filed, USER, ALICE, POLICY).done_by_user


def test_a_plea_for_details_counts_itself_and_names_what_was_tried_and_by_whom() -> None:
    first = needs_details(OPEN.reminded(AT + 2 * DAY, POLICY), USER, AT + 2 * DAY, POLICY)

    assert (first.step, first.actor, first.removed) == (1, ALICE.arn, (PHONE,))
    assert (first.opened_at, first.next_at) == (AT, AT + POLICY.details_deadline)


def test_a_decision_says_what_goes_what_stays_and_until_when() -> None:
    yes, no = decided(APPROVED, USER), decided(REJECTED, USER)

    assert (yes.approved, yes.reason, yes.removed) == (True, "called back", (PHONE,))
    assert (yes.devices, yes.wanted) == ((KEYRING,), DeviceKind.FIDO)
    assert yes.next_at == APPROVED.window_until
    assert (no.approved, no.reason, no.next_at) == (False, "not alice", None)
    assert no.devices == (PHONE, KEYRING)


def test_nobodys_decision_is_no_mail() -> None:
    with pytest.raises(ValueError, match="nobody has decided"):
        decided(SUBMITTED, USER)


@pytest.mark.parametrize(
    ("kept", "wanted", "awaited"),
    [
        ((), None, True),
        ((), DeviceKind.FIDO, True),
        ((KEYRING,), DeviceKind.FIDO, True),
        ((KEYRING,), None, False),
    ],
)
def test_a_new_device_is_awaited_unless_another_is_kept_and_none_wanted(
    kept: tuple[str, ...], wanted: DeviceKind | None, *, awaited: bool
) -> None:
    details = Details("why", ALICE.arn, AT, wanted)
    mail = fulfilled(replace(FULFILLED, kept=kept, details=details), USER, AT)

    assert mail.next_at == (FULFILLED.window_until if awaited else None)
    assert mail.removed == (PHONE,)


def test_a_withdrawn_request_says_by_whom_and_why_and_one_that_the_clock_ended_does_not() -> None:
    own = ended(CANCELLED, USER, AT, Ending.WITHDRAWN, by=ALICE)
    others = ended(CANCELLED, USER, AT, Ending.WITHDRAWN, by=DORA)
    late = ended(EXPIRED, USER, AT, Ending.EXPIRED)

    assert (own.done_by_user, own.reason) == (True, "found it")
    assert (others.done_by_user, others.actor) == (False, DORA.arn)
    assert (late.actor, late.reason) == (None, None)


def test_ids_say_what_a_mail_may_happen_once_for() -> None:
    reminded = OPEN.reminded(AT, POLICY)
    mails: dict[str, MailAboutUser] = {
        "mail-removal_denied-R": tried(OPEN),
        "mail-removal_denied-1-R": tried(OPEN, before=1),
        "mail-request_opened-R": opened(OPEN, USER, DORA, POLICY),
        "mail-request_needs_details-1-R": needs_details(reminded, USER, AT, POLICY),
        "mail-request_needs_details-2-R": needs_details(
            reminded.reminded(AT, POLICY), USER, AT, POLICY
        ),
        "mail-request_decided-desk-7": decided(APPROVED, USER),
        "mail-request_fulfilled-desk-7": fulfilled(FULFILLED, USER, AT),
        "mail-request_ended-desk-7": ended(CANCELLED, USER, AT, Ending.WITHDRAWN),
    }

    assert {id_: intent("desk-7", AT, mail).id for id_, mail in mails.items()} == {
        id_: id_.replace("-R", f"-{OPEN.id}") for id_ in mails
    }


# When it is not wanted any more -----------------------------------------------------------------

REMINDER = needs_details(OPEN.reminded(AT, POLICY), USER, AT, POLICY)
FILED = opened(OPEN, USER, DORA, POLICY)
YES, NO = decided(APPROVED, USER), decided(REJECTED, USER)
DONE = fulfilled(FULFILLED, USER, AT)
WITHDRAWN = ended(CANCELLED, USER, AT, Ending.WITHDRAWN)
RAN_OUT = ended(EXPIRED, USER, AT, Ending.EXPIRED)
NEW = replace(LIVE, devices=(Device(KEYRING), Device(f"arn:aws:iam::{ACCOUNT}:mfa/new")))
KEPT = replace(LIVE, devices=(Device(KEYRING),))


@pytest.mark.parametrize(
    ("mail", "request_now", "iam_state", "wanted"),
    [
        (tried(OPEN), SUBMITTED, LIVE, True),
        (tried(OPEN), CANCELLED, LIVE, True),
        (FILED, OPEN, LIVE, True),
        (FILED, SUBMITTED, LIVE, True),
        (FILED, APPROVED, LIVE, False),
        (FILED, CANCELLED, LIVE, False),
        (REMINDER, OPEN.reminded(AT, POLICY), LIVE, True),
        (REMINDER, SUBMITTED, LIVE, False),
        (REMINDER, CANCELLED, LIVE, False),
        (REMINDER, replace(OPEN, violation=True, reminders=1), LIVE, False),
        (REMINDER, replace(OPEN, reminders=2), LIVE, False),
        (YES, APPROVED, LIVE, True),
        (YES, REJECTED, LIVE, False),
        (YES, FULFILLED, LIVE, False),
        (YES, EXPIRED, LIVE, False),
        (YES, REOPENED, LIVE, False),
        (YES, VIOLATION, LIVE, False),
        (decided(REOPENED, USER), REOPENED, LIVE, True),
        (NO, REJECTED, LIVE, True),
        (DONE, FULFILLED, KEPT, True),
        (DONE, FULFILLED, replace(LIVE, devices=()), True),
        (DONE, FULFILLED, NEW, False),
        (DONE, FULFILLED, replace(LIVE, devices=(), console_access=False), False),
        (DONE, CLOSED, KEPT, False),
        (WITHDRAWN, CANCELLED, LIVE, True),
        (RAN_OUT, EXPIRED, LIVE, True),
        (RAN_OUT, REOPENED, LIVE, False),
        (WITHDRAWN, None, LIVE, True),
        (WITHDRAWN, CANCELLED, IamState(exists=False), False),
    ],
)
def test_a_mail_leaves_only_while_it_is_true(
    mail: MailAboutUser, request_now: ChangeRequest | None, iam_state: IamState, *, wanted: bool
) -> None:
    reason = reason_to_skip(mail, iam_state, USER, AT, request=request_now)

    assert (reason is None) is wanted


def test_who_has_given_the_details_since_is_not_asked_for_them() -> None:
    asking = tried(OPEN)

    assert with_current_request(asking, OPEN) == asking
    assert with_current_request(asking, SUBMITTED) == replace(asking, next_at=None)
    assert with_current_request(asking, CANCELLED) == replace(asking, next_at=None)
    assert with_current_request(YES, APPROVED) == YES
    assert with_current_request(asking, None) == asking


def test_what_the_clock_caused_waits_for_the_mail_hours_and_what_somebody_did_does_not() -> None:
    interrupted = ended(EXPIRED, USER, AT, Ending.INTERRUPTED)
    unanswered = ended(CANCELLED, USER, AT, Ending.UNANSWERED)
    in_no_hurry: tuple[MailAboutUser, ...] = (REMINDER, RAN_OUT, unanswered)
    at_once: tuple[MailAboutUser, ...] = (tried(OPEN), FILED, YES, NO, DONE, WITHDRAWN, interrupted)

    assert all(waits_for_mail_hours(mail) for mail in in_no_hurry)
    assert not any(waits_for_mail_hours(mail) for mail in at_once)


def test_iam_is_asked_for_devices_only_where_they_decide_whether_a_mail_leaves() -> None:
    assert facts_needed_to_send(DONE)
    assert not any(
        facts_needed_to_send(mail) for mail in (FILED, REMINDER, YES, NO, WITHDRAWN, RAN_OUT)
    )


def test_each_state_of_a_request_has_a_mail_that_is_true_in_it() -> None:
    """But for a request that waits for security, which has nothing to tell the user."""
    told: dict[RequestState, MailAboutUser] = {
        RequestState.OPEN: REMINDER,
        RequestState.APPROVED: YES,
        RequestState.REJECTED: NO,
        RequestState.FULFILLED: DONE,
        RequestState.EXPIRED: RAN_OUT,
        RequestState.CANCELLED: WITHDRAWN,
    }
    requests = (OPEN.reminded(AT, POLICY), APPROVED, REJECTED, FULFILLED, EXPIRED, CANCELLED)

    for request in requests:
        assert reason_to_skip(told[request.state], KEPT, USER, AT, request=request) is None
