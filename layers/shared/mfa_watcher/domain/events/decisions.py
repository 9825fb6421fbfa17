"""Decisions about signals. Pure: frozen data in, the new state and intents out.

Events only hint at changes, and IAM is the source of truth. So every decision has two parts: the
user's state is updated from IAM (see ``user_state``). Then follows what only the record can prove:
an attempt, a sign-in without MFA.
"""

from dataclasses import replace

from mfa_watcher.domain.decision import Decision, UserDecision
from mfa_watcher.domain.events.records import Event
from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications import alerts
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity, intent
from mfa_watcher.domain.notifications.mails import CredentialSetMail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.attempts import Attempt, source_of
from mfa_watcher.domain.requests.change_request import USER_GONE, open_request
from mfa_watcher.domain.requests.mails import denied
from mfa_watcher.domain.users import user_state
from mfa_watcher.domain.users.user import Cause, Hand, MailKind, MfaStatus, User
from mfa_watcher.domain.users.user_state import Draft, Fact, Situation

_EVIDENCE_ONLY = frozenset(
    {SignalKind.DEVICE_RESYNCED, SignalKind.PASSWORD_CHANGED, SignalKind.USER_TAGGED}
)


def facts_needed(signal: Signal, user: User) -> frozenset[Fact]:  # noqa: PLR0911 - a table
    """Return what IAM must be asked to decide: as little as possible, often nothing."""
    if user.gone_at:  # a late event, or the user still exists
        return user_state.ALL_FACTS
    match signal.kind:
        case (
            SignalKind.SIGN_IN_WITHOUT_MFA
            | SignalKind.CONSOLE_ACCESS_GRANTED
            | SignalKind.DEVICE_ENABLED
        ):
            return user_state.MFA_STATUS_FACTS
        case SignalKind.DEVICE_REMOVAL if signal.outcome is Outcome.SUCCEEDED:
            return frozenset() if signal.only_deletes_device_entity else user_state.MFA_STATUS_FACTS
        case SignalKind.SIGN_IN_WITH_MFA if user.open_finding:
            return user_state.MFA_STATUS_FACTS
        case SignalKind.CONSOLE_ACCESS_REMOVED:
            return frozenset({Fact.CONSOLE_ACCESS})
        case SignalKind.USER_DELETED:
            return frozenset({Fact.IDENTITY})
        case SignalKind.USER_RENAMED:
            # Earlier events under the new name, or late ones under the old name, found no record.
            return user_state.ALL_FACTS if user.version else user_state.MFA_STATUS_FACTS
        case _:
            return frozenset()


def changes_nothing(signal: Signal, user: User) -> bool:
    """Return whether there is nothing to commit either, where IAM need not be asked."""
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


def decide(situation: Situation, signal: Signal) -> UserDecision:
    """Return the decision about a user's signal."""
    iam_state = situation.iam_state
    if iam_state is not None and not iam_state.exists:
        draft = _mark_gone(situation, signal)
    else:
        draft = _follow_up(situation, signal, user_state.update_from_iam(situation))
    if request := user_state.request_being_fulfilled(situation):
        draft = replace(draft, evidence_for=request.id).adding(
            effect=f"a step of fulfilling request {request.id}"
        )
    if signal.root:
        draft = draft.adding(alerts.root_alert(signal))
    return user_state.finish(situation, draft, signal.why, signal.record.identity.arn)


def decide_for_account(event: Event, signal: Signal, policy: Policy) -> Decision:
    """Return the decision about a signal of the root user, the account, or an unknown user.

    What an operator's role does to the watcher is maintenance: recorded, but not alerted, unless it
    was denied even to that role.
    """
    found, identity, tampering = (
        alerts.account_alert(signal),
        signal.record.identity,
        signal.tampering,
    )
    if (
        tampering
        and not tampering.denied
        and policy.is_operator(identity.role_name, identity.role_account)
    ):
        found = None
    effects = (f"alert: {found.title}",) if found else ()
    about = About.ACCOUNT, event.account_id, event.at, event.id
    entry = HistoryEntry(*about, signal.why, identity.arn, effects)
    intents = (intent(event.id, event.at, found),) if found else ()
    return Decision(event.id, (entry,), intents, event.account_id)


def _mark_gone(situation: Situation, signal: Signal) -> Draft:
    """Mark a user as gone whom IAM does not find, and keep a removal in case they still exist.

    If a device is removed and its user renamed before the record is read, the user looks deleted.
    An off-boarding looks the same, so security is alerted only once the user is found again.
    """
    draft, policy = user_state.mark_gone(situation), situation.policy
    if not signal.removes_device or user_state.request_being_fulfilled(situation):
        return draft
    if _by_break_glass(situation, signal):
        kind = AlertKind.REMOVAL_BREAK_GLASS
        return draft.adding(_removal_alert(situation, signal, draft, kind))
    if draft.open_request:  # a violation that stays open: security was alerted already
        return _attempt(situation, signal, draft, violation=True)
    attempt, request = _attempt_of(situation, signal), draft.request
    if request and request.ended_because == USER_GONE:
        joined = request.with_unreported_removal(attempt, policy)
        effect = f"request {joined.id} joined: a violation if the user still exists"
        return draft.with_request(joined, effect)
    unreported = replace(attempt, notified=False)
    draft = _open(situation, draft, unreported, violation=True)
    if request := draft.open_request:
        effect = f"request {request.id} cancelled: {USER_GONE}"
        draft = draft.with_request(request.cancelled(USER_GONE), effect)
    return draft


# Following up ------------------------------------------------------------------------------------


def _follow_up(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    match signal.kind:
        case SignalKind.SIGN_IN_WITHOUT_MFA:
            return _follow_up_sign_in(situation, signal, draft)
        case SignalKind.CONSOLE_ACCESS_GRANTED | SignalKind.PASSWORD_CHANGED:
            return _follow_up_password(situation, signal, _follow_up_access(signal, draft))
        case SignalKind.DEVICE_REMOVAL:
            return _follow_up_removal(situation, signal, draft)
        case SignalKind.DEVICE_ENABLED:
            return _follow_up_device(situation, signal, draft)
        case SignalKind.USER_CREATED | SignalKind.USER_TAGGED:
            return _follow_up_tags(situation, signal, draft)
        case _:
            return draft


def _follow_up_tags(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Alert what tags cannot do: users may be able to write them, so they grant nothing."""
    if signal.kind is SignalKind.USER_CREATED and not draft.user.mfa_status:
        draft = draft.with_user(mfa_status=MfaStatus.NO_CONSOLE_ACCESS)
    if signal.kind is SignalKind.USER_CREATED:
        draft = draft.with_user(created_at=situation.at)
    tags = dict(signal.record.tags)
    claims = tuple(key for key in tags if _claims_exemption(key))
    disallowed = (
        situation.policy.addresses.disallowed_tags(tags) if situation.policy.addresses else ()
    )
    user = ("User", draft.user.name)
    if claims:
        claimed = ("Tags", ", ".join(claims))
        draft = draft.adding(
            alerts.signal_alert(signal, AlertKind.EXEMPTION_CLAIMED, user, claimed)
        )
    if disallowed:
        named = ("Tags", ", ".join(f"{key}={tags.get(key, '')}" for key in disallowed))
        draft = draft.adding(alerts.signal_alert(signal, AlertKind.ADDRESS_LEADS_AWAY, user, named))
    return draft


def _claims_exemption(key: str) -> bool:
    letters = "".join(char for char in key.casefold() if char.isalpha())
    return "mfa" in letters and ("exempt" in letters or "ignore" in letters or "skip" in letters)


def _follow_up_sign_in(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    finding = draft.user.open_finding
    if signal.through_access_keys:  # a device, an exemption or a new password do not explain it
        user, key = ("User", draft.user.name), draft.user.key
        found = alerts.signal_alert(signal, AlertKind.SIGN_IN_WITHOUT_MFA, user)
        once_a_day = f"{key.user_id}-{situation.at:%Y-%m-%d}"
        return draft.adding(replace(found, attempt_id=once_a_day))
    if finding is None:
        return draft
    at, policy = situation.at, situation.policy
    expected = finding.cause in {Cause.CONSOLE_ACCESS_GRANTED, Cause.REQUEST_FULFILLED}
    if expected and at - finding.opened_at < policy.first_sign_in_grace:
        return draft.adding(effect="within the first sign-in's grace")
    if MailKind.DEVICE_LOST not in finding.mailed:  # that mail contains the guide
        draft = user_state.mail_once(situation, draft, MailKind.GUIDE)
    if finding.alerted_at and abs(at - finding.alerted_at) < policy.alert_again_after:
        return draft
    finding = draft.user.finding or finding
    draft = draft.with_user(finding=replace(finding, alerted_at=at))
    user = ("User", draft.user.name)
    return draft.adding(alerts.signal_alert(signal, AlertKind.SIGN_IN_WITHOUT_MFA, user))


def _follow_up_access(signal: Signal, draft: Draft) -> Draft:
    if signal.record.password_reset_required is not False:
        return draft
    rule = "A new console user must set a password of their own at the first sign-in."
    facts = (("User", draft.user.name), ("Rule", rule))
    return draft.adding(alerts.signal_alert(signal, AlertKind.PASSWORD_KEPT, *facts))


def _follow_up_device(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Alert a device that somebody else added: they may sign in with it.

    The user is mailed as well. Who had no device gets the thank-you, which asks whose it is.
    """
    if signal.subject_acted:
        return draft
    hand = _hand(situation, signal)
    both = _is_same_hand(situation, hand, draft.user.password_set_by)
    draft = draft.with_user(device_added_by=hand)
    if situation.user.mfa_status is MfaStatus.PROTECTED:
        draft = draft.adding(_credential_mail(situation, signal, draft, signal.serial))
    if signal.root and not both:
        return draft
    facts = (("User", draft.user.name), alerts.device_of(signal))
    case = _BY_SAME_HAND if both else None
    return draft.adding(alerts.signal_alert(signal, AlertKind.DEVICE_ADDED, *facts, case=case))


_BY_SAME_HAND = Severity.HIGH, "Password and MFA device of a user set by the same other person"


def _follow_up_password(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Alert a password that somebody else set for a user, and tell the user.

    Not the first one of a user who was just created: that is how users come to be, and they get
    the welcome.
    """
    before, fulfils = situation.user, user_state.request_being_fulfilled(situation)
    if before.version == 0 or signal.subject_acted or fulfils:
        return draft
    hand = _hand(situation, signal)
    both = _is_same_hand(situation, hand, draft.user.device_added_by)
    draft = draft.with_user(password_set_by=hand)
    granted = signal.kind is SignalKind.CONSOLE_ACCESS_GRANTED
    age = situation.at - before.created_at if before.created_at else None
    expected = granted and age is not None and age < situation.policy.new_user_for
    if expected and not both:
        return draft
    if not any(act.kind is MailKind.WELCOME for act in draft.acts):
        draft = draft.adding(_credential_mail(situation, signal, draft, None))
    if signal.root and not both:
        return draft
    case = _BY_SAME_HAND if both else None
    user = ("User", draft.user.name)
    return draft.adding(alerts.signal_alert(signal, AlertKind.PASSWORD_SET, user, case=case))


def _hand(situation: Situation, signal: Signal) -> Hand:
    return Hand(source_of(signal.record.identity.acting_arn or "unknown"), situation.at)


def _is_same_hand(situation: Situation, hand: Hand, earlier: Hand | None) -> bool:
    return (
        earlier is not None
        and earlier.source == hand.source
        and abs(hand.at - earlier.at) <= situation.policy.same_hand
    )


def _credential_mail(
    situation: Situation, signal: Signal, draft: Draft, serial: str | None
) -> CredentialSetMail:
    user = draft.user
    return CredentialSetMail(
        account_id=user.key.account_id,
        user=user.key,
        user_name=user.name,
        at=situation.at,
        request_id=draft.open_request_id,
        actor=signal.record.identity.acting_arn,
        source_ip=signal.record.source_ip,
        serial=serial,
    )


def _follow_up_removal(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    match signal.outcome:
        case Outcome.DENIED if request := user_state.request_being_fulfilled(situation):
            facts = (
                ("User", draft.user.name),
                alerts.device_of(signal),
                ("Change request", request.id),
            )
            case = Severity.MEDIUM, "The fulfilment of a change request was denied"
            return draft.adding(
                alerts.signal_alert(signal, AlertKind.REMOVAL_DENIED, *facts, case=case)
            )
        case Outcome.DENIED:
            return _attempt(situation, signal, draft, violation=False)
        case Outcome.SUCCEEDED if user_state.request_being_fulfilled(situation):
            return draft
        case Outcome.SUCCEEDED if signal.only_deletes_device_entity:
            return _follow_up_deletion(situation, signal, draft)
        case Outcome.SUCCEEDED:
            return _follow_up_success(situation, signal, draft)
        case _:
            return draft


def _follow_up_deletion(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Follow up the deletion of a virtual device that no user has any more.

    It was deactivated before, which has its own event. So this event is more evidence for the
    request which that event opened, or a clean-up.
    """
    request = draft.open_request
    if request is None:
        return draft
    approved_removal = request.fulfilment is not None and signal.serial in request.devices
    if approved_removal or _by_break_glass(situation, signal):
        return replace(draft, evidence_for=request.id)
    return _attempt(situation, signal, draft, violation=True)


def _follow_up_success(situation: Situation, signal: Signal, draft: Draft) -> Draft:
    """Follow up a removal without an approved request."""
    break_glass = _by_break_glass(situation, signal)
    without_access = situation.iam_state and situation.iam_state.console_access is False
    if without_access:
        # Usual in an off-boarding: first the password goes, then the devices. If the password comes
        # back, the removal is judged.
        held = replace(_attempt_of(situation, signal), notified=break_glass)
        draft = user_state.hold_removal(draft, held)
        draft = draft.adding(effect="no console access: the removal is held")
    if break_glass:
        draft = replace(draft, evidence_for=draft.open_request_id)
        kind = AlertKind.REMOVAL_BREAK_GLASS
        return draft.adding(_removal_alert(situation, signal, draft, kind))
    return draft if without_access else _attempt(situation, signal, draft, violation=True)


def _by_break_glass(situation: Situation, signal: Signal) -> bool:
    identity = signal.record.identity
    return situation.policy.is_break_glass(identity.role_name, identity.role_account)


def _attempt(situation: Situation, signal: Signal, draft: Draft, *, violation: bool) -> Draft:
    """Open a change request, or join the open one: each user has one at most."""
    attempt, policy = _attempt_of(situation, signal), situation.policy
    current = draft.open_request
    first = current is None or not current.has_tried(attempt.source)
    if current is None:
        draft = _open(situation, draft, attempt, violation=violation)
    else:
        joined = current.with_attempt(attempt, policy, violation=violation)
        turned = ", a violation now" if joined.violation and not current.violation else ""
        draft = draft.with_request(joined, f"request {joined.id} joined{turned}")
        again = any(attempt.repeats(earlier, policy) for earlier in current.attempts)
        if again and not turned:
            return draft
    request = draft.request
    due = request and request.is_denial_mail_due(attempt, policy, first_of_source=first)
    if request and due and not violation:
        mail = denied(request, draft.user, signal, attempt, policy)
        draft = replace(draft, request=request.denial_mailed(attempt.at)).adding(mail)
    kind = AlertKind.REMOVAL_UNAPPROVED if violation else AlertKind.REMOVAL_DENIED
    return draft.adding(_removal_alert(situation, signal, draft, kind))


def _removal_alert(situation: Situation, signal: Signal, draft: Draft, kind: AlertKind) -> Alert:
    asked = situation.iam_state is not None and situation.iam_state.devices is not None
    left = ("Devices left", str(len(draft.user.devices)) if asked else "not asked")
    request = ("Change request", draft.open_request_id or "none")
    return alerts.signal_alert(
        signal, kind, ("User", draft.user.name), alerts.device_of(signal), left, request
    )


def _open(situation: Situation, draft: Draft, attempt: Attempt, *, violation: bool) -> Draft:
    opened = open_request(draft.user, attempt, situation.policy, violation=violation)
    effect = f"request {opened.id} opened{' as violation' if violation else ''}"
    return draft.with_user(request_id=opened.id).with_request(opened, effect)


def _attempt_of(situation: Situation, signal: Signal) -> Attempt:
    record = signal.record
    return Attempt(
        event_id=situation.event_id,
        at=situation.at,
        call=record.event_name or "",
        outcome=signal.outcome or Outcome.FAILED,
        actor=record.identity.acting_arn or record.identity.type or "unknown",
        serial=signal.serial,
        source_ip=record.source_ip,
        user_agent=record.user_agent,
    )
