"""A user's case: what was known, what IAM says now, and the decision that is drafted from it.

Settling moves the user's record to what IAM says, opening or closing the finding, whatever made
us look: a signal, or the clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.finding_mails import OnceKind, once_per_finding
from mfa_watcher.domain.notifications.intents import Alert, Intent, intent
from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import USER_GONE, ChangeRequest, RequestState
from mfa_watcher.domain.requests.late_removals import late_removal_alert, unreported_attempts
from mfa_watcher.domain.sweep.user_inventory import SweepResult
from mfa_watcher.domain.users.devices import kind_of
from mfa_watcher.domain.users.user import (
    Cause,
    Closure,
    Finding,
    IamState,
    MailKind,
    MfaStatus,
    User,
    UserKey,
)


class Fact(StrEnum):
    """What may have to be asked of IAM; each costs at most one call."""

    IDENTITY = "identity"  # GetUser
    DEVICES = "devices"  # ListMFADevices
    CONSOLE_ACCESS = "console_access"  # GetLoginProfile, left out if there are devices


MFA_STATUS_FACTS = frozenset({Fact.DEVICES, Fact.CONSOLE_ACCESS})


@dataclass(frozen=True, slots=True)
class Decision:
    """What to commit in one transaction. ``user`` None: the decision is about the account."""

    event_id: str
    history: tuple[HistoryEntry, ...] = ()
    intents: tuple[Intent, ...] = ()
    user: User | None = None
    request: ChangeRequest | None = None
    quarantine: bool = False
    """Whether the user is to be shut in or let out now, as his record says."""
    reported: tuple[UserKey, ...] = ()
    """Users whom this decision reports to security as out of reach."""
    renamed: bool = False
    """Whether the user is known by another name than before (or for the first time)."""
    swept: SweepResult | None = None
    """What is kept of a sweep, if this decision ends one."""
    fell_silent: tuple[Heartbeat, ...] = ()
    """Paths that this decision tells of, on which no events come."""
    came_back: tuple[Heartbeat, ...] = ()
    """Paths that this decision tells of, on which events come again."""

    @property
    def effects(self) -> tuple[str, ...]:
        """Say in short what is done, for logs and the timeline."""
        return tuple(effect for entry in self.history for effect in entry.effects)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision about a user rests on.

    ``signal`` is None if the clock made us look. ``request`` is the change request that the user's
    record names, if any, as it was read. ``earlier`` is the one before it, where it may matter.
    ``live`` is None where the record alone decides.
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
    """A decision in the making.

    ``evidence_for`` is a request whose history gets the entry although the request stays as it is.
    """

    user: User
    request: ChangeRequest | None
    acts: tuple[Mail | Alert, ...] = ()
    effects: tuple[str, ...] = ()
    request_touched: bool = False
    quarantine_touched: bool = False
    evidence_for: str | None = None

    @property
    def open_request(self) -> ChangeRequest | None:
        """Give the user's change request if something is still to happen with it."""
        request = self.request
        return request if request and request.state.is_active else None

    @property
    def open_request_id(self) -> str | None:
        """Return the id of that change request."""
        return self.open_request.id if self.open_request else None

    def adding(self, *acts: Mail | Alert, effect: str | None = None) -> "Draft":
        """Give the draft with more to do."""
        effects = (*self.effects, effect) if effect else self.effects
        return replace(self, acts=(*self.acts, *acts), effects=effects)

    def with_user(self, **changes: object) -> "Draft":
        """Give the draft with some of the user's fields changed."""
        return replace(self, user=replace(self.user, **changes))  # type: ignore[arg-type]

    def with_request(self, request: ChangeRequest, effect: str) -> "Draft":
        """Give the draft with the user's change request as it is from now on."""
        return replace(self, request=request, request_touched=True).adding(effect=effect)


def start_draft(situation: Situation) -> Draft:
    """Begin a draft in which nothing has changed yet."""
    return Draft(situation.user, situation.request)


def update_from_iam(situation: Situation) -> Draft:
    """Move the record to what IAM says of an existing user, and the finding with it."""
    before, iam_state = situation.user, situation.iam_state
    if iam_state is None:
        return start_draft(situation)
    draft = replace(start_draft(situation), user=before.with_iam_state(iam_state))
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
    """Close a fulfilled request with the device that it waited for.

    But not while looking at the removal of another: that turns it into a violation first.
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
    if cause is Cause.REQUEST_FULFILLED:  # who fulfils it tells the user, with the steps to enrol
        return draft
    kinds: dict[Cause, OnceKind] = {
        Cause.CONSOLE_ACCESS_GRANTED: MailKind.WELCOME,
        Cause.DEVICE_REMOVED: MailKind.DEVICE_LOST,
    }
    return mail_once(situation, draft, kinds.get(cause, MailKind.GUIDE))


def _cause(situation: Situation, request: ChangeRequest | None) -> Cause:
    signal = situation.signal
    removed = signal is not None and signal.kind is SignalKind.DEVICE_REMOVAL
    if request_being_fulfilled(situation) or (request and _took_devices(request) and not removed):
        return Cause.REQUEST_FULFILLED
    causes = {
        SignalKind.SIGN_IN_WITHOUT_MFA: Cause.SIGNED_IN_WITHOUT_MFA,
        SignalKind.CONSOLE_ACCESS_GRANTED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.USER_CREATED: Cause.CONSOLE_ACCESS_GRANTED,
        SignalKind.DEVICE_REMOVAL: Cause.DEVICE_REMOVED,
    }
    if signal and (cause := causes.get(signal.kind)):
        return cause
    # He had a device when we last looked: it was lost without our seeing it.
    had = situation.user.devices or situation.user.mfa_status is MfaStatus.PROTECTED
    return Cause.DEVICE_REMOVED if had else Cause.FOUND_UNPROTECTED


def _took_devices(request: ChangeRequest) -> bool:
    """Tell whether a request accounts for it that its user has no device."""
    waits = request.state in {
        RequestState.APPROVED,
        RequestState.FULFILLED,
        RequestState.EXPIRED,
    }
    return waits and request.fulfilment is not None


def is_fulfil_role_acting(signal: Signal, account_id: str, policy: Policy) -> bool:
    """Tell whether the role that fulfils requests in an account acted there."""
    who = signal.record.identity
    return who.role_account == account_id and policy.is_fulfil_role(who.role_name, account_id)


def request_being_fulfilled(situation: Situation) -> ChangeRequest | None:
    """Give the request whose carrying out made the signal's record, or None.

    It takes the role that fulfils, and a time at which somebody had the request in hand; and a
    device that is gone was one of those whose removal was approved. It does not take that the
    request still is where it was: the record may be late, and another one be the user's latest.
    """
    signal = situation.signal
    if signal is None or not is_fulfil_role_acting(
        signal, situation.user.key.account_id, situation.policy
    ):
        return None
    takes = signal.kind is SignalKind.DEVICE_REMOVAL and signal.outcome is Outcome.SUCCEEDED
    for request in (situation.request, situation.earlier):
        if request is None or not request.is_being_fulfilled_at(situation.at):
            continue
        if not takes or signal.serial in request.devices:
            return request
    return None


def _close(situation: Situation, draft: Draft, closure: Closure) -> Draft:
    finding = draft.user.open_finding
    if finding is None:
        return draft
    # Who only seems gone may come back (see _reinstate), and goes on where he was.
    due_at = finding.due_at if closure is Closure.USER_GONE else None
    closed = replace(finding, closed_at=situation.at, closure=closure, due_at=due_at)
    draft = draft.with_user(finding=closed).adding(effect=f"finding closed: {closure}")
    if draft.user.quarantined_at and closure is not Closure.USER_GONE:
        draft = draft.with_user(quarantined_at=None).adding(effect="quarantine lifted")
        draft = replace(draft, quarantine_touched=True)
    if closure is not Closure.ENROLLED:
        return draft
    devices = draft.user.devices
    serial = situation.signal.serial if situation.signal else None
    named = serial if any(device.serial == serial for device in devices) else devices[-1].serial
    if wait := situation.policy.second_device_after:
        draft = draft.with_user(evaluate_at=situation.at + wait)
    return mail_once(situation, draft, MailKind.ENROLLED, serial=named)


def mark_gone(situation: Situation) -> Draft:
    """The user is gone: finding and request end without a word to anybody.

    But a violation stays open, unless he was off-boarded: then the removal was a part of that.
    """
    draft = start_draft(situation)
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
    """Tell whether the user is known to have gone within the time of grace after a removal.

    Not every signal says when he went: an attempt or a sign-in was before that, however late we
    hear of it. His deletion was at that very moment, and the creation of another user under his
    name, or a look by the clock, after it.
    """
    signal = situation.signal
    tells = signal is None or signal.kind in {SignalKind.USER_DELETED, SignalKind.USER_CREATED}
    removed = [a.at for a in request.attempts if a.outcome is Outcome.SUCCEEDED]
    if not (tells and removed):
        return False
    return timedelta(0) <= situation.at - max(removed) <= situation.policy.off_boarding_grace


def _reinstate(situation: Situation, draft: Draft) -> Draft:
    """Take back what was ended for a user who seemed gone.

    Events come in any order: a read under a user's old name, before his rename was seen, finds
    nobody. A removal that was read so is told now: see ``decisions``.
    """
    draft = draft.adding(effect="user is there after all")
    finding = situation.user.finding
    if finding and finding.closure is Closure.USER_GONE:
        draft = draft.with_user(finding=replace(finding, closed_at=None, closure=None))
    request = draft.request
    if request and request.ended_because == USER_GONE:
        back = request.restored(situation.policy, situation.at)
        draft = draft.with_request(back, f"request {request.id} is {back.state} again")
        for attempt in unreported_attempts(request, situation.policy):
            notification = late_removal_alert(back, draft.user, attempt)
            draft = draft.adding(notification, effect=f"alert: {notification.kind}")
    return draft


def mail_once(
    situation: Situation, draft: Draft, kind: OnceKind, *, serial: str | None = None
) -> Draft:
    """Return the draft with a mail, unless its finding has caused that kind of mail before."""
    finding = draft.user.finding
    if finding is None or kind in finding.mailed:
        return draft
    draft = draft.with_user(finding=replace(finding, mailed=finding.mailed | {kind}))
    mail = once_per_finding(
        kind,
        draft.user,
        finding,
        situation.at,
        request_id=draft.open_request_id,
        signal=situation.signal,
        serial=serial,
    )
    return draft.adding(mail, effect=f"mail: {kind}")


def finish(situation: Situation, draft: Draft, why: str, actor: str | None) -> Decision:
    """Make the decision: state, history and intents."""
    key = draft.user.key
    entry = HistoryEntry(
        About.USER,
        f"{key.account_id}/{key.user_id}",
        situation.at,
        situation.event_id,
        why,
        actor,
        draft.effects,
        situation.user.mfa_status,
        draft.user.mfa_status,
    )
    return Decision(
        situation.event_id,
        (entry, *_history_of_requests(situation, draft, entry)),
        tuple(intent(situation.event_id, situation.at, act) for act in draft.acts),
        draft.user,
        draft.request if draft.request_touched else None,
        quarantine=draft.quarantine_touched,
        renamed=draft.user.name != situation.user.name or situation.user.version == 0,
    )


def _history_of_requests(
    situation: Situation, draft: Draft, entry: HistoryEntry
) -> Iterator[HistoryEntry]:
    noted = replace(entry, about=About.REQUEST, before=None, after=None)
    touched = draft.request if draft.request_touched else None
    if touched:
        known = situation.request
        before = known.state if known and known.id == touched.id else None
        yield replace(noted, subject_id=touched.id, before=before, after=touched.state)
    evident = draft.evidence_for
    if evident and not (touched and touched.id == evident):
        yield replace(noted, subject_id=evident)
