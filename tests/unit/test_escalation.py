"""Who is due gets the next step of the escalation schedule once, and nobody gets a wrong one."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.notifications.mails import ExemptionEndingMail, Mail, ReminderMail
from mfa_watcher.domain.policy import MailHours, Policy
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.escalation import decide_user_due
from mfa_watcher.domain.users.exemptions import ExemptionError, grant, revoke
from mfa_watcher.domain.users.user import (
    Cause,
    Closure,
    Exemption,
    Finding,
    IamState,
    MailKind,
    MfaStatus,
    User,
    UserKey,
)
from mfa_watcher.domain.users.user_state import Situation

DAY = timedelta(days=1)
OPENED = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEY = UserKey("111122223333", "AIDAALICE")
PHONE = Device("arn:aws:iam::111122223333:mfa/phone")
UNPROTECTED = IamState(exists=True, name="alice", devices=(), console_access=True)
PROTECTED = IamState(exists=True, name="alice", devices=(PHONE,))
POLICY = Policy()
ALICE = User(
    KEY,
    "alice",
    MfaStatus.UNPROTECTED,
    finding=Finding(
        "F-1",
        Cause.SIGNED_IN_WITHOUT_MFA,
        OPENED,
        frozenset({MailKind.GUIDE}),
        due_at=OPENED + DAY,
    ),
    version=1,
)


def evaluate(user: User, at: datetime, iam_state: IamState = UNPROTECTED) -> UserDecision:
    return decide_user_due(
        Situation(f"due-{user.version}", at, None, user, POLICY, None, iam_state)
    )


def user_of(decision: UserDecision) -> User:
    assert decision.user is not None
    return replace(decision.user, version=decision.user.version + 1)


def mails(decision: UserDecision) -> list[tuple[MailKind, int]]:
    acts = [i.act for i in decision.intents if isinstance(i.act, Mail)]
    return [(act.kind, getattr(act, "step", 0)) for act in acts]


def climbed(user: User, days: range) -> list[tuple[int, MailKind, int]]:
    """Look every hour of some days; give day, kind and number of each mail."""
    sent = []
    for hour in range(days.start * 24, days.stop * 24):
        at = OPENED + timedelta(hours=hour)
        if user.due_at is None or user.due_at > at:
            continue
        decision = evaluate(user, at)
        sent += [(hour // 24, kind, step) for kind, step in mails(decision)]
        user = user_of(decision)
    return sent


def test_the_escalation_steps_are_taken_on_their_days() -> None:
    assert climbed(ALICE, range(36)) == [
        (1, MailKind.REMINDER, 1),
        (3, MailKind.REMINDER, 2),
        (7, MailKind.FINAL_WARNING, 3),
        (14, MailKind.REMINDER, 3),
        (14, MailKind.SECURITY_CASE, 4),
        (21, MailKind.REMINDER, 4),
        (28, MailKind.REMINDER, 5),
        (35, MailKind.REMINDER, 6),
    ]


def test_a_late_schedule_continues_in_order_one_step_a_day() -> None:
    assert climbed(ALICE, range(10, 16)) == [
        (10, MailKind.REMINDER, 1),
        (11, MailKind.REMINDER, 2),
        (12, MailKind.FINAL_WARNING, 3),
        (14, MailKind.REMINDER, 3),
        (14, MailKind.SECURITY_CASE, 4),
    ]


def test_each_step_has_an_intent_of_its_own_however_often_it_is_decided() -> None:
    first, second = evaluate(ALICE, OPENED + DAY), evaluate(ALICE, OPENED + DAY)
    assert [i.id for i in first.intents] == [i.id for i in second.intents]
    later = evaluate(user_of(first), OPENED + 3 * DAY)
    assert {i.id for i in first.intents}.isdisjoint(i.id for i in later.intents)


def test_the_mail_names_the_time_of_the_next_step() -> None:
    (intent,) = evaluate(ALICE, OPENED + DAY).intents
    assert isinstance(intent.act, ReminderMail)
    assert intent.act.opened_at == OPENED
    assert intent.act.next_at == OPENED + 3 * DAY


def test_a_user_who_has_enrolled_is_thanked_and_not_reminded() -> None:
    decision = evaluate(ALICE, OPENED + DAY, PROTECTED)
    assert mails(decision) == [(MailKind.ENROLLED, 0)]
    assert user_of(decision).due_at is None


def test_a_user_who_is_gone_gets_no_mail() -> None:
    decision = evaluate(ALICE, OPENED + DAY, IamState(exists=False))
    assert mails(decision) == []
    assert user_of(decision).due_at is None


def test_a_user_who_cannot_sign_in_any_more_gets_no_mail() -> None:
    iam_state = IamState(exists=True, name="alice", devices=(), console_access=False)
    decision = evaluate(ALICE, OPENED + DAY, iam_state)
    assert mails(decision) == []
    assert user_of(decision).open_finding is None


# Mail hours --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("utc_hour", "included"), [(6, False), (7, True), (16, True), (17, False), (23, False)]
)
def test_mail_hours_are_in_the_time_zone_of_the_account(utc_hour: int, *, included: bool) -> None:
    hours = MailHours(time(8), time(18), ZoneInfo("Europe/Berlin"))
    winter = datetime(2026, 1, 15, utc_hour, tzinfo=UTC)
    assert hours.include(winter) is included


def test_mail_hours_follow_summer_time() -> None:
    hours = MailHours(time(8), time(18), ZoneInfo("Europe/Berlin"))
    assert hours.include(datetime(2026, 7, 15, 6, tzinfo=UTC))


# Exemptions --------------------------------------------------------------------------------------

UNTIL = OPENED + 30 * DAY
GRANT = Exemption("Lost phone, new one ordered", "arn:aws:iam::1:user/sec", OPENED + DAY, UNTIL)


def exempted(user: User = ALICE) -> User:
    return user_of(grant(user, GRANT, POLICY, event_id="x"))


def test_an_exemption_ends_the_reminders_without_notifying_the_user() -> None:
    user = exempted()
    assert user.mfa_status is MfaStatus.EXEMPT
    assert user.finding is not None
    assert user.finding.closure is Closure.EXEMPTED
    assert user.due_at == UNTIL - 7 * DAY


def test_security_is_notified_once_a_week_before_an_exemption_ends() -> None:
    first = evaluate(exempted(), UNTIL - 7 * DAY)
    assert mails(first) == [(MailKind.EXEMPTION_ENDING, 0)]
    (intent,) = first.intents
    assert isinstance(intent.act, ExemptionEndingMail)
    assert (intent.act.reason, intent.act.next_at) == (GRANT.reason, UNTIL)
    assert user_of(first).due_at == UNTIL
    assert mails(evaluate(user_of(first), UNTIL - DAY)) == []


def test_an_exemption_ends_by_itself_and_the_escalation_starts_again() -> None:
    user = user_of(evaluate(exempted(), UNTIL - 7 * DAY))
    decision = evaluate(user, UNTIL)
    assert mails(decision) == [(MailKind.GUIDE, 0)]
    assert user_of(decision).exemption is None
    assert user_of(decision).due_at == UNTIL + DAY


def test_a_user_whose_exemption_is_revoked_is_due_at_once() -> None:
    now = OPENED + 5 * DAY
    user = user_of(revoke(exempted(), "arn:aws:iam::1:user/sec", now, event_id="y"))
    assert user.due_at == now
    assert mails(evaluate(user, now)) == [(MailKind.GUIDE, 0)]


def test_an_exempt_user_who_enrols_stays_exempt_and_is_protected() -> None:
    user = user_of(evaluate(exempted(), UNTIL - 7 * DAY, PROTECTED))
    assert user.mfa_status is MfaStatus.PROTECTED
    assert user.open_finding is None


@pytest.mark.parametrize(
    "exemption", [replace(GRANT, reason="  "), replace(GRANT, until=GRANT.granted_at)]
)
def test_an_exemption_needs_a_reason_and_an_end_in_the_future(exemption: Exemption) -> None:
    with pytest.raises(ExemptionError):
        grant(ALICE, exemption, POLICY, event_id="x")


def test_a_user_without_an_exemption_has_none_to_revoke() -> None:
    with pytest.raises(ExemptionError):
        revoke(ALICE, "arn:aws:iam::1:user/sec", OPENED, event_id="x")
