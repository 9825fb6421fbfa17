"""What the watcher does about a signal. Pure: frozen data in, the new state and intents out.

An event is a hint and IAM is the truth, so every decision has two parts: the case is settled by
what IAM says now (see ``casework``), and then followed up by what only the record can prove: an
attempt, a sign-in without MFA.
"""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import (
    account_alert,
    alert,
    fulfilment_denied_alert,
    removal_alert,
    root_alert,
)
from mfa_watcher.domain.notifications.intents import AlertKind, Severity, intent
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import (
    USER_GONE,
    Attempt,
    ChangeRequest,
    open_request,
)
from mfa_watcher.domain.requests.mails import denied
from mfa_watcher.domain.users.user import Cause, MailKind, MfaStatus, User
from mfa_watcher.domain.users.user_state import (
    MFA_STATUS_FACTS,
    Decision,
    Draft,
    Fact,
    Situation,
    finish,
    mail_once,
    mark_gone,
    request_being_fulfilled,
    update_from_iam,
)

_ALWAYS_LOOK = frozenset(
    {
        SignalKind.SIGN_IN_WITHOUT_MFA,
        SignalKind.CONSOLE_ACCESS_GRANTED,
        SignalKind.DEVICE_ENABLED,
    }
)
_EVIDENCE_ONLY = frozenset(
    {SignalKind.DEVICE_RESYNCED, SignalKind.PASSWORD_CHANGED, SignalKind.USER_TAGGED}
)


def facts_needed(signal: Signal, user: User) -> frozenset[Fact]:  # noqa: PLR0911 - a table
    """Say what must be asked of IAM to decide: as little as possible, often nothing."""
    if user.gone_at:  # a late event, or one that shows that he is there after all
        return MFA_STATUS_FACTS | {Fact.IDENTITY}
    match signal.kind:
        case kind if kind in _ALWAYS_LOOK:
            return MFA_STATUS_FACTS
        case SignalKind.DEVICE_REMOVAL if signal.outcome is Outcome.SUCCEEDED:
            return frozenset() if signal.only_deletes_device_entity else MFA_STATUS_FACTS
        case SignalKind.SIGN_IN_WITH_MFA if user.open_finding:
            return MFA_STATUS_FACTS
        case SignalKind.CONSOLE_ACCESS_REMOVED:
            return frozenset({Fact.CONSOLE_ACCESS})
        case SignalKind.USER_DELETED:
            return frozenset({Fact.IDENTITY})
        case SignalKind.USER_RENAMED:
            # What came earlier under the new name, or late under the old one, was seen nowhere.
            return MFA_STATUS_FACTS | ({Fact.IDENTITY} if user.version else set())
        case _:
            return frozenset()


def changes_nothing(signal: Signal, user: User) -> bool:
    """Tell, where IAM need not be asked, whether there is nothing to commit either."""
    if signal.root:
        return False
    unknown = user.version == 0
    match signal.kind:
        case SignalKind.SIGN_IN_WITH_MFA:
            return True
        case SignalKind.USER_CREATED:  # known already if a sweep was quicker
            return not unknown and not signal.record.tags
        case kind:
            return unknown and kind in _EVIDENCE_ONLY and not signal.record.tags


def decide(situation: Situation, signal: Signal) -> Decision:
    """Decide about a user's signal."""
    iam_state = situation.iam_state
    if iam_state is not None and not iam_state.exists:
        draft = _mark_gone(situation, signal)
    else:
        draft = _follow_up(situation, signal, update_from_iam(situation))
    if request := request_being_fulfilled(situation):
        draft = replace(draft, evidence_for=request.id).adding(
            effect=f"a step in carrying out request {request.id}"
        )
    if signal.root:
        draft = draft.adding(root_alert(signal), effect="alert: root acted")
    return finish(situation, draft, signal.why, signal.record.identity.arn)


def decide_for_account(
    event_id: str, at: datetime, account_id: str, signal: Signal, policy: Policy
) -> Decision:
    """Decide about a signal that concerns the root user, the account, or nobody we can name.

    What an operator's role does to the watcher is its upkeep: kept, and not alerted. What is
    denied even to such a role is.
    """
    notification = account_alert(signal)
    disturbed = signal.tampering
    if disturbed and not disturbed.denied and policy.is_operator(signal.record.identity.role_name):
        notification = None
    entry = HistoryEntry(
        About.ACCOUNT,
        account_id,
        at,
        event_id,
        signal.why,
        signal.record.identity.arn,
        (f"alert: {notification.title}",) if notification else (),
    )
    return Decision(
        event_id, (entry,), (intent(event_id, at, notification),) if notification else ()
    )


def _mark_gone(situation: Situation, signal: Signal) -> Draft:
    """Let a user go whom IAM does not know, but hold a removal for the case that he is there.

    Whoever removes a device and renames its user before the record is read makes him look deleted.
    An off-boarding looks the same, so nobody is told of it until he turns up.
    """
    draft, policy = mark_gone(situation), situation.policy
    explained = request_being_fulfilled(situation) is not None or policy.is_break_glass(
        signal.record.identity.role_name
    )
    if explained or not signal.removes_device:
        return draft
    if draft.open_request:  # a violation that stays open: security has it already
        return _attempt(situation, signal, draft, violation=True)
    attempt, request = _attempt_of(situation, signal), draft.request
    if request and request.ended_because == USER_GONE:
        held = request.with_held_removal(attempt, policy)
        return draft.with_request(held, f"request {held.id} joined: a violation, if he is there")
    quiet = replace(attempt, notified=False)
    draft = _open(situation, draft, quiet, violation=True)
    if request := draft.open_request:
        ended = f"request {request.id} cancelled: {USER_GONE}"
        draft = draft.with_request(request.cancelled(USER_GONE), ended)
    return draft


# Following up ------------------------------------------------------------------------------------


def _follow_up(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    match signal.kind:
        case SignalKind.SIGN_IN_WITHOUT_MFA:
            return _follow_up_sign_in(situation, signal, draft)
        case SignalKind.CONSOLE_ACCESS_GRANTED:
            return _follow_up_access(signal, draft)
        case SignalKind.DEVICE_REMOVAL:
            return _follow_up_removal(situation, signal, draft)
        case SignalKind.DEVICE_ENABLED:
            return _follow_up_device(signal, draft)
        case SignalKind.USER_CREATED | SignalKind.USER_TAGGED:
            return _follow_up_tags(situation, signal, draft)
        case _:
            return draft


def _follow_up_tags(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Tags are what users may be able to write: they grant nothing, and a try is told."""
    if signal.kind is SignalKind.USER_CREATED and not draft.user.mfa_status:
        draft = draft.with_user(mfa_status=MfaStatus.NO_CONSOLE_ACCESS)
    tags = dict(signal.record.tags)
    claims = tuple(key for key in tags if _claims_exemption(key))
    away = situation.policy.addresses.disallowed_tags(tags) if situation.policy.addresses else ()
    if claims:
        notification = alert(
            signal,
            AlertKind.EXEMPTION_CLAIMED,
            Severity.MEDIUM,
            "A tag claims an exemption from MFA, which tags cannot grant",
            ("User", draft.user.name),
            ("Tags", ", ".join(claims)),
        )
        draft = draft.adding(notification, effect="alert: exemption claimed by tag")
    if away:
        notification = alert(
            signal,
            AlertKind.ADDRESS_LEADS_AWAY,
            Severity.MEDIUM,
            "A tag names a mail address that is not allowed, so it is not used",
            ("User", draft.user.name),
            ("Tags", ", ".join(f"{key}={tags.get(key, '')}" for key in away)),
        )
        draft = draft.adding(notification, effect="alert: address tag leads away")
    return draft


def _claims_exemption(key: str) -> bool:
    letters = "".join(char for char in key.casefold() if char.isalpha())
    return "mfa" in letters and ("exempt" in letters or "ignore" in letters or "skip" in letters)


def _follow_up_sign_in(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    finding = draft.user.open_finding
    if finding is None:
        return draft
    at, policy = situation.at, situation.policy
    expected = finding.cause in {Cause.CONSOLE_ACCESS_GRANTED, Cause.REQUEST_FULFILLED}
    if expected and at - finding.opened_at < policy.first_sign_in_grace:
        return draft.adding(effect="within the first sign-in's grace")
    if MailKind.DEVICE_LOST not in finding.mailed:  # which has the guide in it
        draft = mail_once(situation, draft, MailKind.GUIDE)
    if finding.alerted_at and abs(at - finding.alerted_at) < policy.alert_again_after:
        return draft
    mailed = draft.user.finding or finding
    draft = draft.with_user(finding=replace(mailed, alerted_at=at))
    notification = alert(
        signal,
        AlertKind.SIGN_IN_WITHOUT_MFA,
        Severity.MEDIUM,
        "Console sign-in without MFA",
        ("User", draft.user.name),
    )
    return draft.adding(notification, effect="alert: sign-in without MFA")


def _follow_up_access(signal: Signal, draft: Draft) -> Draft:
    if signal.record.password_reset_required is not False:
        return draft
    notification = alert(
        signal,
        AlertKind.PASSWORD_KEPT,
        Severity.LOW,
        "Console password that need not be changed at first sign-in",
        ("User", draft.user.name),
        ("Rule", "A new console user must set a password of their own at the first sign-in."),
    )
    return draft.adding(notification, effect="alert: password need not be changed")


def _follow_up_device(signal: Signal, draft: Draft) -> Draft:
    """A further device is welcome, but one that somebody else added is a way in for him."""
    if signal.root or signal.subject_acted:
        return draft
    notification = alert(
        signal,
        AlertKind.DEVICE_ADDED,
        Severity.LOW,
        "MFA device added for a user by somebody else",
        ("User", draft.user.name),
        ("Device", signal.serial or "not named in the record"),
    )
    return draft.adding(notification, effect="alert: device added by somebody else")


def _follow_up_removal(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    match signal.outcome:
        case Outcome.DENIED if request := request_being_fulfilled(situation):
            notification = fulfilment_denied_alert(signal, draft, request)
            return draft.adding(notification, effect=f"alert: {notification.kind}")
        case Outcome.DENIED:
            return _attempt(situation, signal, draft, violation=False)
        case Outcome.SUCCEEDED if request_being_fulfilled(situation):
            return draft
        case Outcome.SUCCEEDED if signal.only_deletes_device_entity:
            return _follow_up_deletion(situation, signal, draft)
        case Outcome.SUCCEEDED:
            return _follow_up_success(situation, signal, draft)
        case _:
            return draft


def _follow_up_deletion(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Judge the end of a virtual device that nobody has any more.

    It was taken from its user before, by a deactivation with an event of its own: this one is more
    evidence for what that opened, or a clean-up.
    """
    request = draft.open_request
    if request is None:
        return draft
    removed_by_it = request.fulfilment is not None and signal.serial in request.devices
    in_an_emergency = situation.policy.is_break_glass(signal.record.identity.role_name)
    if removed_by_it or in_an_emergency:
        return replace(draft, evidence_for=request.id)
    return _attempt(situation, signal, draft, violation=True)


def _follow_up_success(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Judge a removal that no request is behind."""
    if situation.iam_state and situation.iam_state.console_access is False:
        # Out of scope, and the way of an off-boarding: password first, then the devices.
        return draft.adding(effect="no console access: left alone")
    if situation.policy.is_break_glass(signal.record.identity.role_name):
        notification = removal_alert(situation, signal, draft, AlertKind.REMOVAL_BREAK_GLASS)
        request = draft.open_request
        evident = replace(draft, evidence_for=request.id if request else None)
        return evident.adding(notification, effect="alert: break-glass removal")
    return _attempt(situation, signal, draft, violation=True)


def _attempt(situation: Situation, signal: Signal, draft: Draft, *, violation: bool) -> Draft:
    """Open the change request, or join the one that is open: one per subject."""
    attempt = _attempt_of(situation, signal)
    current = draft.open_request
    if current is None:
        draft = _open(situation, draft, attempt, violation=violation)
    else:
        draft = _join(situation, draft, current, attempt, violation=violation)
        again = any(attempt.repeats(earlier, situation.policy) for earlier in current.attempts)
        if again and not (violation and not current.violation):
            return draft
    if not violation:
        draft = _mail_denial(situation, signal, draft, attempt)
    kind = AlertKind.REMOVAL_UNAPPROVED if violation else AlertKind.REMOVAL_DENIED
    return draft.adding(removal_alert(situation, signal, draft, kind), effect=f"alert: {kind}")


def _open(situation: Situation, draft: Draft, attempt: Attempt, *, violation: bool) -> Draft:
    user = draft.user
    opened = open_request(
        user.key,
        user.name,
        attempt,
        situation.policy,
        violation=violation,
        previous=user.request_id,
    )
    as_what = " as violation" if violation else ""
    effect = f"request {opened.id} opened{as_what}"
    return draft.with_user(request_id=opened.id).with_request(opened, effect)


def _join(
    situation: Situation,
    draft: Draft,
    current: ChangeRequest,
    attempt: Attempt,
    *,
    violation: bool,
) -> Draft:
    joined = current.with_attempt(attempt, situation.policy, violation=violation)
    turned = ", a violation now" if joined.violation and not current.violation else ""
    return draft.with_request(joined, f"request {joined.id} joined{turned}")


def _mail_denial(situation: Situation, signal: Signal, draft: Draft, attempt: Attempt) -> Draft:
    """Tell the user of an attempt: whoever keeps trying must not make us mail every time."""
    request, policy = draft.request, situation.policy
    if request is None or not request.wants_denial_mailed(attempt.at, policy):
        return draft
    notification = denied(
        request,
        draft.user,
        attempt,
        policy,
        actor=signal.record.identity.arn,
        done_by_user=signal.subject_acted,
        before=request.denials_mailed,
    )
    mailed = replace(draft, request=request.denial_mailed(attempt.at))
    return mailed.adding(notification, effect="mail: removal_denied")


def _attempt_of(situation: Situation, signal: Signal) -> Attempt:
    record = signal.record
    return Attempt(
        event_id=situation.event_id,
        at=situation.at,
        call=record.event_name or "",
        outcome=signal.outcome or Outcome.FAILED,
        actor=record.identity.arn or record.identity.type or "unknown",
        serial=signal.serial,
        source_ip=record.source_ip,
        user_agent=record.user_agent,
    )
