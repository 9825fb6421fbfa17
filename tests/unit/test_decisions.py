"""What the watcher does about each signal, decided from frozen data alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.decision import Decision, UserDecision
from mfa_watcher.domain.events.decisions import decide, decide_for_account, facts_needed
from mfa_watcher.domain.events.records import Event, Identity, Record
from mfa_watcher.domain.events.signals import Signal, classify
from mfa_watcher.domain.history import About
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.notifications.mails import EnrolledMail, Mail, RemovalDeniedMail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.user import (
    Cause,
    Closure,
    IamState,
    MailKind,
    MfaStatus,
    User,
    UserKey,
)
from mfa_watcher.domain.users.user_state import Fact, Situation

ACCOUNT = "111122223333"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALICE = User(UserKey(ACCOUNT, "AIDAALICE"), "alice")
PHONE = Device(f"arn:aws:iam::{ACCOUNT}:mfa/phone")
KEY = Device(f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/key-ABC")

UNPROTECTED = IamState(exists=True, name="alice", devices=(), console_access=True)
PROTECTED = IamState(exists=True, name="alice", devices=(PHONE,))
NO_PASSWORD = IamState(exists=True, name="alice", devices=(), console_access=False)
GONE = IamState(exists=False)

ME = Identity("IAMUser", "alice", f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE", ACCOUNT)
ADMIN = Identity("IAMUser", "root-of-it", f"arn:aws:iam::{ACCOUNT}:user/ada", "AIDAADA", ACCOUNT)
ROOT = Identity("Root", None, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ACCOUNT)
BREAK_GLASS = Identity(
    "AssumedRole",
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Emergency/ada",
    issuer_arn=f"arn:aws:iam::{ACCOUNT}:role/Emergency",
)
DENIAL = (
    f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform:"
    " iam:DeactivateMFADevice on resource: user alice with an explicit deny in an"
    f" identity-based policy: arn:aws:iam::{ACCOUNT}:policy/guard"
)


def signal(name: str, who: Identity = ME, *, event_id: str = "e1", **fields: object) -> Signal:
    source = "signin.amazonaws.com" if name == "ConsoleLogin" else "iam.amazonaws.com"
    record = Record(
        event_id=event_id,
        event_time="2026-03-02T12:00:00Z",
        account_id=ACCOUNT,
        event_source=source,
        event_name=name,
        identity=who,
    )
    return classify(replace(record, **fields))  # type: ignore[arg-type]


def sign_in(*, mfa: str = "No", event_id: str = "e1") -> Signal:
    return signal("ConsoleLogin", console_login="Success", mfa_used=mfa, event_id=event_id)


def access_granted(*, reset: bool = True) -> Signal:
    return signal("CreateLoginProfile", ADMIN, user_name="alice", password_reset_required=reset)


def removal(
    who: Identity = ADMIN, *, event_id: str = "e1", call: str = "DeactivateMFADevice"
) -> Signal:
    name = "alice" if call == "DeactivateMFADevice" else None
    return signal(call, who, user_name=name, serial=PHONE.serial, event_id=event_id)


def denied(*, event_id: str = "e1") -> Signal:
    return signal(
        "DeactivateMFADevice", error_code="AccessDenied", error_message=DENIAL, event_id=event_id
    )


def after(  # noqa: PLR0913 - each part of a situation, with its usual value
    what: Signal,
    user: User = ALICE,
    iam_state: IamState | None = UNPROTECTED,
    *,
    at: datetime = NOON,
    request: ChangeRequest | None = None,
    policy: Policy | None = None,
) -> UserDecision:
    event_id = what.record.event_id or ""
    return decide(Situation(event_id, at, what, user, policy or Policy(), request, iam_state), what)


def user_of(decision: UserDecision) -> User:
    assert decision.user is not None
    return replace(decision.user, version=decision.user.version + 1)


def mails(decision: Decision) -> list[MailKind]:
    return [i.act.kind for i in decision.intents if isinstance(i.act, Mail)]


def alerts(decision: Decision) -> list[AlertKind]:
    return [i.act.kind for i in decision.intents if isinstance(i.act, Alert)]


# Sign-ins ----------------------------------------------------------------------------------------


def test_a_sign_in_without_mfa_opens_a_finding_guides_the_user_and_alerts() -> None:
    decision = after(sign_in())
    finding = user_of(decision).open_finding
    assert finding is not None
    assert finding.cause is Cause.SIGNED_IN_WITHOUT_MFA
    assert finding.due_at == NOON + timedelta(days=1)
    assert user_of(decision).mfa_status is MfaStatus.UNPROTECTED
    assert mails(decision) == [MailKind.GUIDE]
    assert alerts(decision) == [AlertKind.SIGN_IN_WITHOUT_MFA]


def test_a_second_sign_in_on_the_same_day_causes_no_second_mail_or_alert() -> None:
    first = after(sign_in())
    second = after(sign_in(event_id="e2"), user_of(first), at=NOON + timedelta(hours=2))
    assert not second.intents
    assert user_of(second).finding == user_of(first).finding


def test_a_sign_in_on_another_day_alerts_again_but_mails_no_second_guide() -> None:
    first = after(sign_in())
    second = after(sign_in(event_id="e2"), user_of(first), at=NOON + timedelta(days=1))
    assert mails(second) == []
    assert alerts(second) == [AlertKind.SIGN_IN_WITHOUT_MFA]


def test_a_user_who_enrolled_since_the_sign_in_gets_no_finding() -> None:
    decision = after(sign_in(), iam_state=PROTECTED)
    assert user_of(decision).finding is None
    assert user_of(decision).mfa_status is MfaStatus.PROTECTED
    assert not decision.intents


def test_the_first_sign_in_of_a_new_user_is_expected_within_the_grace_time() -> None:
    granted = after(access_granted())
    early = after(sign_in(event_id="e2"), user_of(granted), at=NOON + timedelta(minutes=59))
    late = after(sign_in(event_id="e2"), user_of(granted), at=NOON + timedelta(minutes=60))
    assert not early.intents
    assert mails(late) == [MailKind.GUIDE]
    assert alerts(late) == [AlertKind.SIGN_IN_WITHOUT_MFA]


# Access, enrolment, leaving ----------------------------------------------------------------------


def test_console_access_opens_a_finding_and_welcomes_the_user() -> None:
    decision = after(access_granted())
    finding = user_of(decision).open_finding
    assert finding is not None
    assert finding.cause is Cause.CONSOLE_ACCESS_GRANTED
    assert mails(decision) == [MailKind.WELCOME]
    assert alerts(decision) == []


def test_a_password_that_need_not_be_changed_is_alerted() -> None:
    decision = after(access_granted(reset=False))
    assert alerts(decision) == [AlertKind.PASSWORD_KEPT]


def test_enrolment_closes_the_finding_and_thanks_for_the_device_that_was_enabled() -> None:
    unprotected = user_of(after(sign_in()))
    enabled = signal("EnableMFADevice", user_name="alice", serial=KEY.serial, event_id="e2")
    iam_state = replace(PROTECTED, devices=(PHONE, KEY))
    decision = after(enabled, unprotected, iam_state)
    finding = user_of(decision).finding
    assert finding is not None
    assert finding.closure is Closure.ENROLLED
    assert finding.due_at is None
    (intent,) = decision.intents
    assert isinstance(intent.act, EnrolledMail)
    assert (intent.act.kind, intent.act.serial) == (MailKind.ENROLLED, KEY.serial)


def test_a_further_device_of_a_protected_user_is_history_only() -> None:
    protected = replace(ALICE, mfa_status=MfaStatus.PROTECTED, devices=(PHONE,), version=3)
    enabled = signal("EnableMFADevice", user_name="alice", serial=KEY.serial)
    decision = after(enabled, protected, replace(PROTECTED, devices=(PHONE, KEY)))
    assert not decision.intents
    assert user_of(decision).devices == (PHONE, KEY)


def test_losing_console_access_closes_the_finding_without_notification() -> None:
    unprotected = user_of(after(sign_in()))
    removed = signal("DeleteLoginProfile", ADMIN, user_name="alice", event_id="e2")
    iam_state = IamState(exists=True, name="alice", console_access=False)
    decision = after(removed, unprotected, iam_state)
    finding = user_of(decision).finding
    assert finding is not None
    assert finding.closure is Closure.CONSOLE_ACCESS_REMOVED
    assert user_of(decision).mfa_status is MfaStatus.NO_CONSOLE_ACCESS
    assert not decision.intents


def test_a_user_without_password_has_no_finding() -> None:
    assert user_of(after(sign_in(), iam_state=NO_PASSWORD)).finding is None


def test_deletion_ends_finding_and_request_without_notification() -> None:
    opened = after(denied(), user_of(after(sign_in())), iam_state=None)
    deleted = signal("DeleteUser", ADMIN, user_name="alice", event_id="e3")
    decision = after(deleted, user_of(opened), GONE, request=opened.request)
    assert not decision.intents
    assert user_of(decision).open_finding is None
    assert decision.request is not None
    assert decision.request.state is RequestState.CANCELLED


def test_a_rename_seen_late_restores_finding_and_request() -> None:
    opened = after(denied(), user_of(after(sign_in())), iam_state=None)
    lost = after(sign_in(event_id="e3"), user_of(opened), GONE, request=opened.request)
    renamed = signal("UpdateUser", ADMIN, user_name="alice", new_user_name="alina", event_id="e4")
    iam_state = replace(UNPROTECTED, name="alina")
    back = after(renamed, user_of(lost), iam_state, request=lost.request)
    assert user_of(back).name == "alina"
    assert back.renamed
    assert back.request is not None
    assert opened.request is not None
    assert (back.request.id, back.request.state) == (opened.request.id, RequestState.OPEN)
    assert user_of(back).open_finding == user_of(opened).open_finding
    assert not back.intents


# Removals ----------------------------------------------------------------------------------------


def test_a_denied_removal_opens_a_request_mails_the_user_and_alerts() -> None:
    decision = after(denied(), iam_state=None)
    request = decision.request
    assert request is not None
    assert (request.state, request.violation) == (RequestState.OPEN, False)
    assert user_of(decision).request_id == request.id
    mail, alert = decision.intents
    assert isinstance(mail.act, RemovalDeniedMail)
    assert (mail.act.kind, mail.act.request_id) == (MailKind.REMOVAL_DENIED, request.id)
    assert mail.act.done_by_user
    assert isinstance(alert.act, Alert)
    assert ("Change request", request.id) in alert.act.facts


def test_a_removal_nobody_approved_is_a_violation_and_a_finding_if_it_was_the_last_device() -> None:
    decision = after(removal())
    assert decision.request is not None
    assert decision.request.violation
    finding = user_of(decision).open_finding
    assert finding is not None
    assert finding.cause is Cause.DEVICE_REMOVED
    assert mails(decision) == [MailKind.DEVICE_LOST]
    (alert,) = (i.act for i in decision.intents if isinstance(i.act, Alert))
    assert (alert.kind, alert.severity) == (AlertKind.REMOVAL_UNAPPROVED, Severity.HIGH)


def test_a_violation_with_a_device_left_is_no_finding() -> None:
    decision = after(removal(), iam_state=replace(PROTECTED, devices=(KEY,)))
    assert user_of(decision).finding is None
    assert alerts(decision) == [AlertKind.REMOVAL_UNAPPROVED]


def test_deactivation_and_deletion_are_one_attempt_and_one_alert() -> None:
    first = after(removal())
    deletion = removal(event_id="e2", call="DeleteVirtualMFADevice")
    second = after(deletion, user_of(first), None, request=first.request, at=NOON)
    assert second.request is not None
    assert second.request.attempt_count == 2
    assert not second.intents


def test_deleting_a_device_without_an_open_request_changes_nothing() -> None:
    deletion = removal(ME, call="DeleteVirtualMFADevice")
    decision = after(deletion, ALICE, None)
    assert decision.request is None
    assert not decision.intents


def test_a_later_attempt_joins_the_open_request_and_alerts_but_mails_no_second_time() -> None:
    first = after(denied(), iam_state=None)
    later = NOON + timedelta(minutes=6)
    second = after(denied(event_id="e2"), user_of(first), None, at=later, request=first.request)
    assert second.request is not None
    assert second.request.id == first.request.id if first.request else False
    assert mails(second) == []
    assert alerts(second) == [AlertKind.REMOVAL_DENIED]


def test_a_removal_right_after_a_denial_makes_the_request_a_violation() -> None:
    first = after(denied(), iam_state=None)
    second = after(removal(ME, event_id="e2"), user_of(first), UNPROTECTED, request=first.request)
    assert second.request is not None
    assert second.request.violation
    assert AlertKind.REMOVAL_UNAPPROVED in alerts(second)


def test_a_removal_by_a_break_glass_role_is_alerted_as_such_and_opens_no_request() -> None:
    policy = Policy(break_glass_roles=frozenset({"Emergency"}))
    decision = after(removal(BREAK_GLASS), policy=policy)
    assert decision.request is None
    assert alerts(decision) == [AlertKind.REMOVAL_BREAK_GLASS]


@pytest.mark.parametrize(
    ("role", "is_break_glass"),
    [
        ("Emergency", True),
        ("emergency", True),
        ("Emergency2", False),
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Security_0123", True),
        ("AWSReservedSSO_Security_0123", False),
        (None, False),
    ],
)
def test_break_glass_roles_match_as_in_the_guard_policy(
    role: str | None, *, is_break_glass: bool
) -> None:
    names = {"Emergency", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Security_*"}
    assert Policy(break_glass_roles=frozenset(names)).is_break_glass(role) is is_break_glass


def test_removals_from_a_user_without_console_access_are_only_recorded() -> None:
    decision = after(removal(), iam_state=NO_PASSWORD)
    assert decision.request is None
    assert not decision.intents


def test_removals_from_a_user_who_is_gone_are_offboarding() -> None:
    assert not after(removal(), iam_state=GONE).intents


def test_a_removal_before_a_rename_is_alerted_once_when_the_user_is_found_again() -> None:
    lost = after(removal(), iam_state=GONE)
    assert lost.request is not None
    assert (lost.request.state, lost.request.violation) == (RequestState.CANCELLED, True)
    assert not lost.intents
    renamed = signal("UpdateUser", ADMIN, user_name="alice", new_user_name="alina", event_id="e2")
    iam_state = replace(UNPROTECTED, name="alina")
    back = after(renamed, user_of(lost), iam_state, request=lost.request)
    assert back.request is not None
    assert (back.request.state, back.request.violation) == (RequestState.OPEN, True)
    (alerted,) = (i for i in back.intents if isinstance(i.act, Alert))
    assert isinstance(alerted.act, Alert)
    assert (alerted.id, alerted.act.severity) == ("alert-removal_unapproved-e1", Severity.HIGH)
    assert {("Device", PHONE.serial), ("Actor", ADMIN.arn)} <= set(alerted.act.facts)
    gone = after(removal(event_id="e3"), user_of(back), GONE, request=back.request)
    assert not gone.intents
    again = after(renamed, user_of(gone), iam_state, request=gone.request)
    assert alerts(again) == []


def test_a_second_removal_joins_the_unreported_one_and_revokes_an_approval() -> None:
    opened = after(denied(), iam_state=None)
    first = after(removal(event_id="e2"), user_of(opened), GONE, request=opened.request)
    second = after(removal(ME, event_id="e3"), user_of(first), GONE, request=first.request)
    assert first.request is not None
    assert second.request is not None
    assert opened.request is not None
    assert first.request.id == second.request.id == opened.request.id
    assert (second.request.attempt_count, second.request.violation) == (3, True)
    assert not first.intents
    assert not second.intents


def for_account(what: Signal) -> Decision:
    return decide_for_account(Event("e1", NOON, ACCOUNT, what.record), what, Policy())


def test_a_removal_from_an_unknown_user_who_is_not_found_is_alerted() -> None:
    (alerted,) = for_account(removal()).intents
    assert isinstance(alerted.act, Alert)
    assert (alerted.act.kind, alerted.act.severity) == (
        AlertKind.REMOVAL_UNAPPROVED,
        Severity.MEDIUM,
    )


def test_a_removal_that_failed_is_evidence_only() -> None:
    failed = signal(
        "DeactivateMFADevice",
        ADMIN,
        user_name="alice",
        serial=PHONE.serial,
        error_code="NoSuchEntityException",
    )
    decision = after(failed, iam_state=None)
    assert not decision.intents
    assert [entry.about for entry in decision.history] == [About.USER]


# Root and the account ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "severity"),
    [
        (signal("ConsoleLogin", ROOT, console_login="Success", mfa_used="No"), Severity.CRITICAL),
        (signal("ConsoleLogin", ROOT, console_login="Success", mfa_used="YES"), Severity.MEDIUM),
        (signal("DeactivateMFADevice", ROOT, user_name="AWS ROOT USER"), Severity.CRITICAL),
    ],
)
def test_every_action_of_root_is_alerted(what: Signal, severity: Severity) -> None:
    decision = for_account(what)
    (intent,) = decision.intents
    assert isinstance(intent.act, Alert)
    assert (intent.act.kind, intent.act.severity) == (AlertKind.ROOT_ACTIVITY, severity)


def test_root_acting_on_a_user_is_alerted_besides_the_consequences_for_the_user() -> None:
    decision = after(replace_actor(access_granted(), ROOT))
    assert mails(decision) == [MailKind.WELCOME]
    assert alerts(decision) == [AlertKind.ROOT_ACTIVITY]


def replace_actor(what: Signal, who: Identity) -> Signal:
    return replace(what, record=replace(what.record, identity=who))


# What is asked of IAM ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "facts"),
    [
        (sign_in(), {Fact.DEVICES, Fact.CONSOLE_ACCESS}),
        (sign_in(mfa="Yes"), set()),
        (denied(), set()),
        (removal(), {Fact.DEVICES, Fact.CONSOLE_ACCESS}),
        (removal(call="DeleteVirtualMFADevice"), set()),
        (signal("ChangePassword"), set()),
        (signal("CreateUser", ADMIN, user_name="alice"), set()),
        (signal("DeleteUser", ADMIN, user_name="alice"), {Fact.IDENTITY}),
        (signal("DeleteLoginProfile", ADMIN, user_name="alice"), {Fact.CONSOLE_ACCESS}),
    ],
)
def test_iam_is_asked_only_for_what_the_record_does_not_show(
    what: Signal, facts: set[Fact]
) -> None:
    assert facts_needed(what, ALICE) == facts


def test_a_sign_in_with_mfa_makes_iam_read_only_while_a_finding_is_open() -> None:
    unprotected = user_of(after(sign_in()))
    assert facts_needed(sign_in(mfa="Yes"), unprotected)


# Properties --------------------------------------------------------------------------------------

_LIVES = st.sampled_from([UNPROTECTED, PROTECTED, NO_PASSWORD, GONE])
_SIGNALS = st.sampled_from(
    [
        sign_in,
        denied,
        removal,
        lambda event_id: removal(event_id=event_id, call="DeleteVirtualMFADevice"),
        lambda event_id: replace_event(access_granted(), event_id),
        lambda event_id: signal(
            "EnableMFADevice", user_name="alice", serial=PHONE.serial, event_id=event_id
        ),
        lambda event_id: signal("DeleteUser", ADMIN, user_name="alice", event_id=event_id),
        lambda event_id: sign_in(mfa="Yes", event_id=event_id),
    ]
)


def replace_event(what: Signal, event_id: str) -> Signal:
    return replace(what, record=replace(what.record, event_id=event_id))


@given(st.lists(st.tuples(_SIGNALS, _LIVES, st.integers(0, 3000)), max_size=12))
def test_whatever_happens_in_whatever_order_one_request_is_open_and_no_mail_goes_twice(
    story: list[tuple[object, IamState, int]],
) -> None:
    user, requests, intents = ALICE, dict[str, ChangeRequest](), list[str]()
    for number, (make, iam_state, minutes) in enumerate(story):
        what: Signal = make(event_id=f"e{number}")  # type: ignore[operator]
        asked = iam_state if facts_needed(what, user) else None
        request = requests.get(user.request_id or "")
        at = NOON + timedelta(minutes=minutes)
        decision = after(what, user, asked, at=at, request=request)
        user = user_of(decision)
        intents += [intent.id for intent in decision.intents]
        if decision.request:
            requests[decision.request.id] = decision.request
        if iam_state is PROTECTED and asked:
            assert user.open_finding is None
        if iam_state is GONE and asked:
            assert user.open_finding is None
        if iam_state is UNPROTECTED and asked:
            assert user.open_finding is not None
        active = [r for r in requests.values() if r.state.is_active]
        assert [r.id for r in active] in ([], [user.request_id])
        assert not (user.gone_at and any(not r.violation for r in active))
        assert decision.history
    assert len(intents) == len(set(intents))
