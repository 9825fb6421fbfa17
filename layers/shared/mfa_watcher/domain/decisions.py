"""What the watcher does about a signal. Pure: frozen data in, the new state and intents out.

An event is a hint and IAM is the truth, so every decision has two parts. *Settling* moves the
user's record to what IAM says now, opening or closing the finding, whatever the signal was.
*Following up* adds what only the record can prove: an attempt, a sign-in without MFA.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.change_requests import (
    Attempt,
    ChangeRequest,
    RequestState,
    open_request,
)
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.intents import Alert, AlertKind, Intent, Mail, Severity
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.users import (
    Cause,
    Closure,
    Finding,
    LiveUser,
    MailKind,
    Standing,
    User,
)

USER_GONE = "the user was deleted"


class Fact(StrEnum):
    """What may have to be asked of IAM; each costs at most one call."""

    IDENTITY = "identity"  # GetUser
    DEVICES = "devices"  # ListMFADevices
    CONSOLE_ACCESS = "console_access"  # GetLoginProfile, left out if there are devices


STANDING_FACTS = frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})

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
        return STANDING_FACTS | {Fact.IDENTITY}
    match signal.kind:
        case kind if kind in _ALWAYS_LOOK:
            return STANDING_FACTS
        case SignalKind.DEVICE_REMOVAL if signal.outcome is Outcome.SUCCEEDED:
            return frozenset() if signal.only_deletes_the_entity else STANDING_FACTS
        case SignalKind.SIGN_IN_WITH_MFA if user.open_finding:
            return STANDING_FACTS
        case SignalKind.CONSOLE_ACCESS_REMOVED:
            return frozenset({Fact.CONSOLE_ACCESS})
        case SignalKind.USER_DELETED:
            return frozenset({Fact.IDENTITY})
        case SignalKind.USER_RENAMED:
            # What came earlier under the new name, or late under the old one, was seen nowhere.
            return STANDING_FACTS | ({Fact.IDENTITY} if user.version else set())
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
        case SignalKind.USER_CREATED:
            return not unknown
        case kind:
            return unknown and kind in _EVIDENCE_ONLY


@dataclass(frozen=True, slots=True)
class Decision:
    """What to commit in one transaction. ``user`` None: the decision is about the account."""

    event_id: str
    history: tuple[HistoryEntry, ...] = ()
    intents: tuple[Intent, ...] = ()
    user: User | None = None
    request: ChangeRequest | None = None
    renamed: bool = False
    """Whether the user is known by another name than before (or for the first time)."""

    @property
    def effects(self) -> tuple[str, ...]:
        """Say in short what is done, for logs and the timeline."""
        return tuple(effect for entry in self.history for effect in entry.effects)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about a user rests on.

    ``request`` is the change request that the user's record names, if any. ``live`` is None where
    the record alone decides.
    """

    event_id: str
    at: datetime
    signal: Signal
    user: User
    policy: Policy
    request: ChangeRequest | None = None
    live: LiveUser | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A decision in the making."""

    user: User
    request: ChangeRequest | None
    acts: tuple[Mail | Alert, ...] = ()
    effects: tuple[str, ...] = ()
    request_touched: bool = False

    @property
    def open_request(self) -> ChangeRequest | None:
        """Give the user's change request if it is still to be decided."""
        request = self.request
        return request if request and request.state is RequestState.OPEN else None

    def adding(self, *acts: Mail | Alert, effect: str | None = None) -> "_Outcome":
        effects = (*self.effects, effect) if effect else self.effects
        return replace(self, acts=(*self.acts, *acts), effects=effects)


def decide(situation: Situation) -> Decision:
    """Decide about a user's signal."""
    live = situation.live
    if live is not None and not live.exists:
        outcome = _let_go(situation)
    else:
        outcome = _follow_up(situation, _settle(situation))
    if situation.signal.root:
        outcome = outcome.adding(_root_alert(situation.signal), effect="alert: root acted")
    return _decision(situation, outcome)


def decide_for_account(event_id: str, at: datetime, account_id: str, signal: Signal) -> Decision:
    """Decide about a signal that concerns the root user, the account, or nobody we can name."""
    alert = _account_alert(signal)
    entry = HistoryEntry(
        About.ACCOUNT,
        account_id,
        at,
        event_id,
        signal.why,
        signal.record.identity.arn,
        (f"alert: {alert.title}",) if alert else (),
    )
    intents = (_intent(event_id, at, alert, alert.kind),) if alert else ()
    return Decision(event_id, (entry,), intents)


# Settling ----------------------------------------------------------------------------------------


def _settle(situation: Situation) -> _Outcome:
    """Move the record to what IAM says, and the finding with it."""
    before, live = situation.user, situation.live
    if live is None:
        return _Outcome(before, situation.request)
    settled = _Outcome(before.seen(live), situation.request)
    if before.gone_at:
        settled = _reinstate(before, settled)
    if live.devices:
        return _close(situation, settled, Closure.ENROLLED)
    if live.console_access is False:
        return _close(situation, settled, Closure.CONSOLE_ACCESS_REMOVED)
    if live.console_access and live.devices is not None:
        return _open(situation, settled)
    return settled


def _open(situation: Situation, outcome: _Outcome) -> _Outcome:
    if outcome.user.open_finding:
        return outcome
    kind, at = situation.signal.kind, situation.at
    cause = {
        SignalKind.SIGN_IN_WITHOUT_MFA: Cause.SIGNED_IN_WITHOUT_MFA,
        SignalKind.CONSOLE_ACCESS_GRANTED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.USER_CREATED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.DEVICE_REMOVAL: Cause.DEVICE_REMOVED,
    }.get(kind, Cause.FOUND_UNPROTECTED)
    ladder = situation.policy.ladder
    finding = Finding(
        id=f"F-{situation.event_id}",
        cause=cause,
        opened_at=at,
        due_at=at + ladder[1] if len(ladder) > 1 else None,
    )
    opened = replace(outcome, user=replace(outcome.user, finding=finding)).adding(
        effect=f"finding opened: {cause}"
    )
    mail = MailKind.WELCOME if cause is Cause.CONSOLE_ACCESS_GRANTED else MailKind.GUIDE
    return _mail_once(situation, opened, mail)


def _close(situation: Situation, outcome: _Outcome, closure: Closure) -> _Outcome:
    finding = outcome.user.open_finding
    if finding is None:
        return outcome
    # Who only seems gone may come back (see _reinstate), and goes on where he was.
    due_at = finding.due_at if closure is Closure.USER_GONE else None
    closed = replace(finding, closed_at=situation.at, closure=closure, due_at=due_at)
    outcome = replace(outcome, user=replace(outcome.user, finding=closed)).adding(
        effect=f"finding closed: {closure}"
    )
    if closure is not Closure.ENROLLED:
        return outcome
    devices = outcome.user.devices
    serial = situation.signal.serial
    named = serial if any(device.serial == serial for device in devices) else devices[-1].serial
    return _mail_once(situation, outcome, MailKind.ENROLLED, serial=named)


def _let_go(situation: Situation) -> _Outcome:
    """The user is gone: finding and request end without a word to anybody."""
    if situation.user.gone_at:
        return _Outcome(situation.user, situation.request)
    gone = replace(situation.user, gone_at=situation.at, devices=())
    outcome = _Outcome(gone, situation.request).adding(effect="user gone")
    outcome = _close(situation, outcome, Closure.USER_GONE)
    if request := outcome.open_request:
        outcome = replace(
            outcome, request=request.cancelled(USER_GONE), request_touched=True
        ).adding(effect=f"request {request.id} cancelled: {USER_GONE}")
    return outcome


def _reinstate(before: User, outcome: _Outcome) -> _Outcome:
    """Take back what was ended for a user who seemed gone.

    Events come in any order: a read under a user's old name, before his rename was seen, finds
    nobody.
    """
    outcome = outcome.adding(effect="user is there after all")
    finding = before.finding
    if finding and finding.closure is Closure.USER_GONE:
        reopened = replace(finding, closed_at=None, closure=None)
        outcome = replace(outcome, user=replace(outcome.user, finding=reopened))
    request = outcome.request
    if request and request.ended_because == USER_GONE:
        outcome = replace(outcome, request=request.reopened(), request_touched=True)
    return outcome


# Following up ------------------------------------------------------------------------------------


def _follow_up(situation: Situation, outcome: _Outcome) -> _Outcome:
    match situation.signal.kind:
        case SignalKind.SIGN_IN_WITHOUT_MFA:
            return _follow_up_sign_in(situation, outcome)
        case SignalKind.CONSOLE_ACCESS_GRANTED:
            return _follow_up_access(situation, outcome)
        case SignalKind.DEVICE_REMOVAL:
            return _follow_up_removal(situation, outcome)
        case SignalKind.USER_CREATED if not outcome.user.standing:
            created = replace(outcome.user, standing=Standing.NO_CONSOLE_ACCESS)
            return replace(outcome, user=created)
        case _:
            return outcome


def _follow_up_sign_in(situation: Situation, outcome: _Outcome) -> _Outcome:
    finding = outcome.user.open_finding
    if finding is None:
        return outcome
    at, policy = situation.at, situation.policy
    granted = finding.cause is Cause.CONSOLE_ACCESS_GRANTED
    if granted and at - finding.opened_at < policy.first_sign_in_grace:
        return outcome.adding(effect="within the first sign-in's grace")
    outcome = _mail_once(situation, outcome, MailKind.GUIDE)
    if finding.alerted_at and abs(at - finding.alerted_at) < policy.alert_again_after:
        return outcome
    mailed = outcome.user.finding or finding
    outcome = replace(outcome, user=replace(outcome.user, finding=replace(mailed, alerted_at=at)))
    alert = _alert(
        situation.signal,
        AlertKind.SIGN_IN_WITHOUT_MFA,
        Severity.MEDIUM,
        "Console sign-in without MFA",
        ("User", outcome.user.name),
    )
    return outcome.adding(alert, effect="alert: sign-in without MFA")


def _follow_up_access(situation: Situation, outcome: _Outcome) -> _Outcome:
    if situation.signal.record.password_reset_required is not False:
        return outcome
    alert = _alert(
        situation.signal,
        AlertKind.PASSWORD_KEPT,
        Severity.LOW,
        "Console password that need not be changed at first sign-in",
        ("User", outcome.user.name),
        ("Rule", "A new console user must set a password of his own at the first sign-in."),
    )
    return outcome.adding(alert, effect="alert: password need not be changed")


def _follow_up_removal(situation: Situation, outcome: _Outcome) -> _Outcome:
    signal, role = situation.signal, situation.signal.record.identity.role_name
    match signal.outcome:
        case Outcome.DENIED:
            return _attempt(situation, outcome, violation=False)
        case Outcome.SUCCEEDED if signal.only_deletes_the_entity:
            # The device was taken from its user before, by a deactivation with an event of its
            # own: this one is more evidence for what that opened, or a clean-up.
            return _attempt(situation, outcome, violation=True) if outcome.open_request else outcome
        case Outcome.SUCCEEDED if situation.live and situation.live.console_access is False:
            # Out of scope, and the way of an off-boarding: password first, then the devices.
            return outcome.adding(effect="no console access: left alone")
        case Outcome.SUCCEEDED if situation.policy.is_break_glass(role):
            alert = _removal_alert(situation, outcome, AlertKind.REMOVAL_BREAK_GLASS)
            return outcome.adding(alert, effect="alert: break-glass removal")
        case Outcome.SUCCEEDED:
            return _attempt(situation, outcome, violation=True)
        case _:
            return outcome


def _attempt(situation: Situation, outcome: _Outcome, *, violation: bool) -> _Outcome:
    """Open the change request, or join the one that is open: one per subject."""
    attempt = _attempt_of(situation)
    current = outcome.open_request
    kind = AlertKind.REMOVAL_UNAPPROVED if violation else AlertKind.REMOVAL_DENIED
    if current is not None:
        again = any(_same(earlier, attempt, situation.policy) for earlier in current.attempts)
        joined = current.joined_by(attempt, violation=violation)
        news = not again or (violation and not current.violation)
        outcome = replace(outcome, request=joined, request_touched=True).adding(
            effect=f"request {joined.id} joined"
        )
        if not news:
            return outcome
        return outcome.adding(_removal_alert(situation, outcome, kind), effect=f"alert: {kind}")
    opened = open_request(outcome.user.key, outcome.user.name, attempt, violation=violation)
    outcome = replace(
        outcome,
        user=replace(outcome.user, request_id=opened.id),
        request=opened,
        request_touched=True,
    ).adding(effect=f"request {opened.id} opened{' as violation' if violation else ''}")
    if not violation:
        mail = _mail(situation, outcome, MailKind.REMOVAL_DENIED, serial=attempt.serial)
        outcome = outcome.adding(mail, effect="mail: removal_denied")
    return outcome.adding(_removal_alert(situation, outcome, kind), effect=f"alert: {kind}")


def _attempt_of(situation: Situation) -> Attempt:
    signal, record = situation.signal, situation.signal.record
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


def _same(earlier: Attempt, attempt: Attempt, policy: Policy) -> bool:
    return (
        earlier.actor == attempt.actor
        and earlier.outcome is attempt.outcome
        and abs(earlier.at - attempt.at) <= policy.same_attempt
    )


# Words and evidence ------------------------------------------------------------------------------


def _mail_once(
    situation: Situation, outcome: _Outcome, kind: MailKind, *, serial: str | None = None
) -> _Outcome:
    """Mail, if this finding has not caused that kind of mail before."""
    finding = outcome.user.finding
    if finding is None or kind in finding.mailed:
        return outcome
    mailed = replace(finding, mailed=finding.mailed | {kind})
    mail = _mail(situation, outcome, kind, serial=serial)
    outcome = replace(outcome, user=replace(outcome.user, finding=mailed))
    return outcome.adding(mail, effect=f"mail: {kind}")


def _mail(situation: Situation, outcome: _Outcome, kind: MailKind, *, serial: str | None) -> Mail:
    user, record = outcome.user, situation.signal.record
    return Mail(
        kind=kind,
        user=user.key,
        user_name=user.name,
        at=situation.at,
        finding_id=user.finding.id if user.finding else None,
        request_id=outcome.open_request.id if outcome.open_request else None,
        cause=user.finding.cause if user.finding else None,
        serial=serial,
        actor=record.identity.arn,
        own_doing=situation.signal.subject_acted,
        source_ip=record.source_ip,
    )


def _removal_alert(situation: Situation, outcome: _Outcome, kind: AlertKind) -> Alert:
    severity, title = {
        AlertKind.REMOVAL_DENIED: (Severity.MEDIUM, "Attempt to remove an MFA device was denied"),
        AlertKind.REMOVAL_UNAPPROVED: (Severity.HIGH, "MFA device removed without approval"),
        AlertKind.REMOVAL_BREAK_GLASS: (Severity.HIGH, "MFA device removed by a break-glass role"),
    }[kind]
    user = outcome.user
    left = len(user.devices) if situation.live and situation.live.devices is not None else None
    return _alert(
        situation.signal,
        kind,
        severity,
        title,
        ("User", user.name),
        ("Device", situation.signal.serial or "not named in the record"),
        ("Devices left", "not asked" if left is None else str(left)),
        ("Change request", outcome.open_request.id if outcome.open_request else "none"),
    )


def _root_alert(signal: Signal) -> Alert:
    if not signal.subject_is_root:
        severity, title = Severity.HIGH, "Root user acted on an IAM user or the account"
    else:
        severity, title = _ROOT_ALERTS.get(
            (signal.kind, signal.outcome), (Severity.HIGH, "Root user acted on itself")
        )
    facts = (("User", signal.subject),) if signal.subject else ()
    return _alert(signal, AlertKind.ROOT_ACTIVITY, severity, title, *facts)


_ROOT_ALERTS = {
    (SignalKind.SIGN_IN_WITHOUT_MFA, None): (
        Severity.CRITICAL,
        "Root user signed in without MFA",
    ),
    (SignalKind.SIGN_IN_WITH_MFA, None): (Severity.MEDIUM, "Root user signed in"),
    (SignalKind.DEVICE_ENABLED, None): (Severity.MEDIUM, "Root user's MFA device enabled"),
    (SignalKind.DEVICE_REMOVAL, Outcome.SUCCEEDED): (
        Severity.CRITICAL,
        "Root user's MFA device removed",
    ),
    (SignalKind.DEVICE_REMOVAL, Outcome.DENIED): (
        Severity.HIGH,
        "Attempt to remove the root user's MFA device was denied",
    ),
    (SignalKind.DEVICE_REMOVAL, Outcome.FAILED): (
        Severity.HIGH,
        "Attempt to remove the root user's MFA device failed",
    ),
}


def _account_alert(signal: Signal) -> Alert | None:
    """Give the alert for what no user's record is behind; None where the evidence is enough."""
    if signal.root or signal.subject_is_root:
        return _root_alert(signal)
    match signal.kind:
        case SignalKind.WATCHER_DISTURBED:
            return _alert(
                signal, AlertKind.WATCHER_DISTURBED, Severity.HIGH, "The watcher was disturbed"
            )
        case SignalKind.PASSWORD_POLICY_CHANGED:
            return _alert(
                signal,
                AlertKind.PASSWORD_POLICY_CHANGED,
                Severity.MEDIUM,
                "The account's password policy changed",
            )
        case SignalKind.DEVICE_REMOVAL if signal.outcome is Outcome.DENIED:
            return _alert(
                signal,
                AlertKind.REMOVAL_DENIED,
                Severity.MEDIUM,
                "Attempt to remove an MFA device of an unknown user was denied",
                ("User", signal.subject or "not named in the record"),
                ("Device", signal.serial or "not named in the record"),
            )
        case SignalKind.DEVICE_REMOVAL if (
            signal.outcome is Outcome.SUCCEEDED
            and signal.subject is None
            and not signal.only_deletes_the_entity
        ):
            return _alert(
                signal,
                AlertKind.REMOVAL_UNAPPROVED,
                Severity.HIGH,
                "MFA device removed, and the record names no user",
                ("Device", signal.serial or "not named in the record"),
            )
        case _:
            return None


def _alert(
    signal: Signal,
    kind: AlertKind,
    severity: Severity,
    title: str,
    *facts: tuple[str, str],
) -> Alert:
    record = signal.record
    common = (
        ("What", signal.why),
        ("Who", record.identity.arn or record.identity.type or "unknown"),
        ("When", record.event_time or "unknown"),
        ("From", record.source_ip or "unknown"),
        ("With", record.user_agent or "unknown"),
        ("Account", record.account_id or "unknown"),
        ("CloudTrail event", record.event_id or "unknown"),
    )
    return Alert(kind, severity, title, (*facts, *common))


def _decision(situation: Situation, outcome: _Outcome) -> Decision:
    key, record = outcome.user.key, situation.signal.record
    entry = HistoryEntry(
        About.USER,
        f"{key.account_id}/{key.user_id}",
        situation.at,
        situation.event_id,
        situation.signal.why,
        record.identity.arn,
        outcome.effects,
    )
    history: tuple[HistoryEntry, ...] = (entry,)
    if outcome.request_touched and outcome.request:
        history = (entry, replace(entry, about=About.REQUEST, subject_id=outcome.request.id))
    intents = tuple(
        _intent(situation.event_id, situation.at, act, _scope(act)) for act in outcome.acts
    )
    return Decision(
        situation.event_id,
        history,
        intents,
        outcome.user,
        outcome.request if outcome.request_touched else None,
        renamed=outcome.user.name != situation.user.name or situation.user.version == 0,
    )


def _scope(act: Mail | Alert) -> str:
    """Give what an act may happen once for: a finding or request per mail, an event per alert."""
    if isinstance(act, Alert):
        return act.kind
    once_per = act.request_id if act.kind is MailKind.REMOVAL_DENIED else act.finding_id
    return f"{act.kind}-{once_per}"


def _intent(event_id: str, at: datetime, act: Mail | Alert, scope: str) -> Intent:
    """Make the intent, under an id that is the same however often the decision is made."""
    name = f"mail-{scope}" if isinstance(act, Mail) else f"alert-{scope}-{event_id}"
    return Intent(name, event_id, at, act)
