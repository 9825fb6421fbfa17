"""A user's state: what was known, what IAM says now, and the decision that follows.

The record is updated from IAM and the finding is opened or closed, whatever the cause: a signal or
the schedule.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import late_removal_alert
from mfa_watcher.domain.notifications.finding_mails import OnceKind, once_per_finding
from mfa_watcher.domain.notifications.intents import Alert, effect_of, intent
from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import USER_GONE, ChangeRequest, RequestState
from mfa_watcher.domain.users.devices import kind_of
from mfa_watcher.domain.users.user import (
    Cause,
    Closure,
    Finding,
    IamState,
    MailKind,
    MfaStatus,
    User,
)


class Fact(StrEnum):
    """What IAM may have to be asked; each costs at most one call."""

    IDENTITY = "identity"  # GetUser
    DEVICES = "devices"  # ListMFADevices
    CONSOLE_ACCESS = "console_access"  # GetLoginProfile, not needed if there are devices


ALL_FACTS = frozenset(Fact)
MFA_STATUS_FACTS = ALL_FACTS - {Fact.IDENTITY}


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about a user depends on.

    ``signal`` is None if the user is evaluated on schedule. ``request`` is the change request that
    the user's record names, if any, as it was read. ``earlier`` is the one before it, where it may
    matter. ``iam_state`` is None where IAM need not be asked.
    """

    event_id: str
    at: datetime
    signal: Signal | None
    user: User
    policy: Policy
    request: ChangeRequest | None = None
    iam_state: IamState | None = None
    earlier: ChangeRequest | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision that is being prepared.

    ``evidence_for`` is a request whose history gets the entry although the request stays as it is.
    """

    user: User
    request: ChangeRequest | None
    acts: tuple[Mail | Alert, ...] = ()
    effects: tuple[str, ...] = ()
    request_changed: bool = False
    quarantine_changed: bool = False
    evidence_for: str | None = None

    @property
    def open_request(self) -> ChangeRequest | None:
        """Return the user's change request if it is active."""
        request = self.request
        return request if request and request.state.is_active else None

    @property
    def open_request_id(self) -> str | None:
        """Return the id of that change request."""
        return self.open_request.id if self.open_request else None

    def adding(self, *acts: Mail | Alert, effect: str | None = None) -> "Draft":
        """Return the draft with more to do, and its effect: if not given, that of each act."""
        effects = (effect,) if effect else map(effect_of, acts)
        return replace(self, acts=(*self.acts, *acts), effects=(*self.effects, *effects))

    def with_user(self, **changes: object) -> "Draft":
        """Return the draft with fields of the user changed."""
        return replace(self, user=replace(self.user, **changes))  # type: ignore[arg-type]

    def with_request(self, request: ChangeRequest, effect: str) -> "Draft":
        """Return the draft with the user's change request changed to this."""
        return replace(self, request=request, request_changed=True).adding(effect=effect)


def update_from_iam(situation: Situation) -> Draft:
    """Return a draft with the record and the finding as IAM says, for an existing user."""
    before, iam_state = situation.user, situation.iam_state
    if iam_state is None:
        return Draft(before, situation.request)
    draft = Draft(before.with_iam_state(iam_state), situation.request)
    if before.gone_at:
        draft = _reinstate(situation, draft)
    draft = _end_exemption(situation, draft)
    if iam_state.devices:
        draft = _close_fulfilled_request(situation, draft)
        return _close(situation, draft, Closure.ENROLLED)
    if iam_state.console_access is False:
        return _close(situation, draft, Closure.CONSOLE_ACCESS_REMOVED)
    if iam_state.console_access and iam_state.devices is not None:
        if draft.user.exemption:
            draft = draft.with_user(mfa_status=MfaStatus.EXEMPT)
            return _close(situation, draft, Closure.EXEMPTED)
        return _open(situation, draft)
    return draft


def _close_fulfilled_request(situation: Situation, draft: Draft) -> Draft:
    """Close a fulfilled request if the new device is there.

    But not while deciding about another removal: that turns the request into a violation first.
    """
    request, signal = draft.request, situation.signal
    if (
        signal
        and signal.kind is SignalKind.DEVICE_REMOVAL
        and not request_being_fulfilled(situation)
    ):
        return draft
    serials = tuple(device.serial for device in draft.user.devices)
    enabled = signal.serial if signal and signal.kind is SignalKind.DEVICE_ENABLED else None
    found = request and request.new_device(serials, situation.at, enabled=enabled)
    if not (request and found):
        return draft
    because = f"new device: {kind_of(found)}"
    return draft.with_request(request.closed(because), f"request {request.id} closed: {because}")


def _end_exemption(situation: Situation, draft: Draft) -> Draft:
    exemption = draft.user.exemption
    if exemption is None or situation.at < exemption.until:
        return draft
    return draft.with_user(exemption=None).adding(effect="exemption ended")


def _open(situation: Situation, draft: Draft) -> Draft:
    if draft.user.open_finding:
        return draft
    at, cause = situation.at, _cause(situation, draft.request)
    finding = Finding(
        id=f"F-{situation.event_id}",
        cause=cause,
        opened_at=at,
        due_at=situation.policy.step_due_at(at, 1),
    )
    draft = draft.with_user(finding=finding).adding(effect=f"finding opened: {cause}")
    if cause is Cause.REQUEST_FULFILLED:  # the fulfilment mails the user the steps to enrol
        return draft
    kinds: dict[Cause, OnceKind] = {
        Cause.CONSOLE_ACCESS_GRANTED: MailKind.WELCOME,
        Cause.DEVICE_REMOVED: MailKind.DEVICE_LOST,
    }
    return mail_once(situation, draft, kinds.get(cause, MailKind.GUIDE))


def _cause(situation: Situation, request: ChangeRequest | None) -> Cause:
    signal = situation.signal
    removed = signal is not None and signal.kind is SignalKind.DEVICE_REMOVAL
    if request_being_fulfilled(situation) or (
        request and _explains_missing_devices(request) and not removed
    ):
        return Cause.REQUEST_FULFILLED
    causes = {
        SignalKind.SIGN_IN_WITHOUT_MFA: Cause.SIGNED_IN_WITHOUT_MFA,
        SignalKind.CONSOLE_ACCESS_GRANTED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.USER_CREATED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.DEVICE_REMOVAL: Cause.DEVICE_REMOVED,
    }
    if signal and (cause := causes.get(signal.kind)):
        return cause
    # There was a device when IAM was last read: no event told of its removal.
    had = situation.user.devices or situation.user.mfa_status is MfaStatus.PROTECTED
    return Cause.DEVICE_REMOVED if had else Cause.FOUND_UNPROTECTED


def _explains_missing_devices(request: ChangeRequest) -> bool:
    """Return whether a request explains that its user has no device."""
    states = RequestState.APPROVED, RequestState.FULFILLED, RequestState.EXPIRED
    return request.state in states and request.fulfilment is not None


def is_fulfil_role_acting(signal: Signal, account_id: str, policy: Policy) -> bool:
    """Return whether the role that fulfils requests in an account acted there."""
    who = signal.record.identity
    return who.role_account == account_id and policy.is_fulfil_role(who.role_name, account_id)


def request_being_fulfilled(situation: Situation) -> ChangeRequest | None:
    """Return the request whose fulfilment caused the signal's record, or None.

    The role that fulfils requests must have acted, while somebody was fulfilling the request. A
    removed device must be one whose removal was approved. The state of the request now does not
    matter: the record may be late, and the user may have a newer request.
    """
    signal = situation.signal
    if signal is None or not is_fulfil_role_acting(
        signal, situation.user.key.account_id, situation.policy
    ):
        return None
    removes = signal.kind is SignalKind.DEVICE_REMOVAL and signal.outcome is Outcome.SUCCEEDED
    for request in (situation.request, situation.earlier):
        if request is None or not request.is_being_fulfilled_at(situation.at):
            continue
        if not removes or signal.serial in request.devices:
            return request
    return None


def _close(situation: Situation, draft: Draft, closure: Closure) -> Draft:
    finding = draft.user.open_finding
    if finding is None:
        return draft
    # A user who only seems gone may come back (see _reinstate): the schedule then continues.
    due_at = finding.due_at if closure is Closure.USER_GONE else None
    closed = replace(finding, closed_at=situation.at, closure=closure, due_at=due_at)
    draft = draft.with_user(finding=closed).adding(effect=f"finding closed: {closure}")
    if draft.user.quarantined_at and closure is not Closure.USER_GONE:
        draft = draft.with_user(quarantined_at=None).adding(effect="quarantine lifted")
        draft = replace(draft, quarantine_changed=True)
    if closure is not Closure.ENROLLED:
        return draft
    devices = draft.user.devices
    serial = situation.signal.serial if situation.signal else None
    named = serial if any(device.serial == serial for device in devices) else devices[-1].serial
    if wait := situation.policy.second_device_after:
        draft = draft.with_user(evaluate_at=situation.at + wait)
    return mail_once(situation, draft, MailKind.ENROLLED, serial=named)


def mark_gone(situation: Situation) -> Draft:
    """Return a draft for a user who is gone: finding and request end without notification.

    But a violation stays open, unless the user was off-boarded: then the removal was part of that.
    """
    draft = Draft(situation.user, situation.request)
    if not situation.user.gone_at:
        draft = draft.with_user(gone_at=situation.at, devices=()).adding(effect="user gone")
        draft = _close(situation, draft, Closure.USER_GONE)
    request = draft.open_request
    if request is None:
        return draft
    if request.violation and not _was_off_boarded(situation, request):
        if situation.user.gone_at:
            return draft
        stays = f"request {request.id} stays open: no off-boarding explains the removal"
        return draft.adding(effect=stays)
    return draft.with_request(
        request.cancelled(USER_GONE), f"request {request.id} cancelled: {USER_GONE}"
    )


def _was_off_boarded(situation: Situation, request: ChangeRequest) -> bool:
    """Return whether the user is known to have been deleted soon enough after a removal.

    Not every signal shows when the deletion happened: an attempt or a sign-in was before it,
    however late its record is. The deletion itself was at that time. The creation of another user
    under the same name, or an evaluation on schedule, was after it.
    """
    signal = situation.signal
    shows_when = signal is None or signal.kind in {SignalKind.USER_DELETED, SignalKind.USER_CREATED}
    removed = [a.at for a in request.attempts if a.outcome is Outcome.SUCCEEDED]
    if not (shows_when and removed):
        return False
    return timedelta(0) <= situation.at - max(removed) <= situation.policy.off_boarding_grace


def _reinstate(situation: Situation, draft: Draft) -> Draft:
    """Restore what was ended for a user who seemed gone.

    Events come in any order: IAM finds nobody under a user's old name until the event of the rename
    has come. A removal that was seen in that time is alerted now: see ``decisions``.
    """
    draft = draft.adding(effect="user is there after all")
    finding = situation.user.finding
    if finding and finding.closure is Closure.USER_GONE:
        draft = draft.with_user(finding=replace(finding, closed_at=None, closure=None))
    request = draft.request
    if request and request.ended_because == USER_GONE:
        back = request.restored(situation.policy, situation.at)
        draft = draft.with_request(back, f"request {request.id} is {back.state} again")
        for attempt in request.unreported_attempts(situation.policy):
            draft = draft.adding(late_removal_alert(back, draft.user, attempt))
    return draft


def mail_once(
    situation: Situation, draft: Draft, kind: OnceKind, *, serial: str | None = None
) -> Draft:
    """Return the draft with a mail, unless this finding has caused one of that kind before."""
    finding = draft.user.finding
    if finding is None or kind in finding.mailed:
        return draft
    draft = draft.with_user(finding=replace(finding, mailed=finding.mailed | {kind}))
    about = draft.user, finding, situation.at, draft.open_request_id
    return draft.adding(once_per_finding(kind, *about, signal=situation.signal, serial=serial))


def finish(situation: Situation, draft: Draft, why: str, actor: str | None) -> UserDecision:
    """Return the decision: state, history and intents."""
    key, at, event_id = draft.user.key, situation.at, situation.event_id
    about = About.USER, f"{key.account_id}/{key.user_id}", at, event_id
    before, after = situation.user.mfa_status, draft.user.mfa_status
    entry = HistoryEntry(*about, why, actor, draft.effects, before, after)
    return UserDecision(
        event_id,
        (entry, *_history_of_requests(situation, draft, entry)),
        tuple(intent(event_id, at, act) for act in draft.acts),
        user=draft.user,
        request=draft.request if draft.request_changed else None,
        quarantine=draft.quarantine_changed,
        renamed=draft.user.name != situation.user.name or situation.user.version == 0,
    )


def _history_of_requests(
    situation: Situation, draft: Draft, entry: HistoryEntry
) -> Iterator[HistoryEntry]:
    for_request = replace(entry, about=About.REQUEST, before=None, after=None)
    changed = draft.request if draft.request_changed else None
    if changed:
        known = situation.request
        before = known.state if known and known.id == changed.id else None
        yield replace(for_request, subject_id=changed.id, before=before, after=changed.state)
    evident = draft.evidence_for
    if evident and not (changed and changed.id == evident):
        yield replace(for_request, subject_id=evident)
