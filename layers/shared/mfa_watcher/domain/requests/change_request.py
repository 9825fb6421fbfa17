"""The Password Reset change request: what a removal attempt becomes.

    open ──details──▶ submitted ──approve──▶ approved ──fulfil──▶ fulfilled ──new device──▶ closed
      │                   └──reject──▶ rejected  └─window over─▶ expired ──reopen──▶ approved
      └──cancel / user deleted / no answer──▶ cancelled

A removal that nobody approved makes the request a violation and sets it back to ``open``. Only the
security team's acknowledgement closes it. Each step returns a new request, or raises WrongStepError
for a state that does not allow it and SegregationOfDutiesError for a person who may not take it.
"""

from base64 import b32encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User, UserKey

ATTEMPTS_KEPT = 20
"""How many attempts a request itself has; its history has all."""

ACTORS_KEPT = 300
"""How many different people a request itself has who tried: an item of the table has 400 KB."""

CLOCK_SKEW = timedelta(minutes=1)
"""How far the time of a record, which has whole seconds, may differ from the watcher's clock."""

IAM_PROPAGATION_TIME = timedelta(minutes=1)
"""How long IAM may still list a removed device (it is eventually consistent)."""


USER_GONE = "the user was deleted"
_AGAINST_THE_USER = frozenset({"reject", "acknowledge"})
"""Steps that remove no device."""
_BEING_FULFILLED = "it is being fulfilled; fulfil it completely instead"
_NOT_BEING_FULFILLED = "it is not being fulfilled"


class WrongStepError(Exception):
    """The request's state does not allow this step; the text names the states that do."""


class SegregationOfDutiesError(Exception):
    """This person may not take this step; the text names the reason."""


class RequestState(StrEnum):
    """The states of a change request."""

    OPEN = "open"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    FULFILLED = "fulfilled"
    CLOSED = "closed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """Return whether the request has not ended. One user has one active request at most."""
        return self in {self.OPEN, self.SUBMITTED, self.APPROVED, self.FULFILLED}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to remove a device. All texts are those of the record: hostile until escaped."""

    event_id: str
    at: datetime
    call: str
    outcome: Outcome
    actor: str
    serial: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    notified: bool = True
    """False: its user seemed gone. Security is alerted if the user still exists."""

    def repeats(self, earlier: "Attempt", policy: Policy) -> bool:
        """Return whether both count as one attempt: by the same person, within a short time."""
        return (
            earlier.actor == self.actor
            and earlier.outcome is self.outcome
            and abs(earlier.at - self.at) <= policy.same_attempt
        )


@dataclass(frozen=True, slots=True)
class Details:
    """What the user wants and why, in their words or the service desk's: hostile until escaped."""

    reason: str
    given_by: str
    given_at: datetime
    wanted: DeviceKind | None = None
    """The kind of the new device; None: the user keeps another one and wants no new one."""
    devices: tuple[str, ...] = ()
    """Serial numbers of the devices to remove; empty: all that the user has."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision about a request, and who made it."""

    by: str
    at: datetime
    reason: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """How far the fulfilment is. Until ``held_until`` only ``by`` may continue it.

    ``run`` is the call that does it: if the same person calls again, the earlier call stops.
    """

    by: str
    started_at: datetime
    held_until: datetime
    done: tuple[str, ...] = ()
    """The steps that are done. Their texts name the device."""
    run: str = ""

    @property
    def runs_between(self) -> tuple[datetime, datetime]:
        """The times of the first and the last record that it can have."""
        return self.started_at - CLOCK_SKEW, self.held_until + CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One request. ``violation``: a device was removed without approval; only security closes it.

    ``actors`` are the ARNs of all who ever tried to remove a device; none of them may decide. If
    they are too many to be listed, nobody may decide for the user: see ``refuse_involved_person``.
    """

    id: str
    subject: UserKey
    subject_name: str
    opened_at: datetime
    attempts: tuple[Attempt, ...] = ()
    attempt_count: int = 0
    actors: tuple[str, ...] = ()
    opened_by: str | None = None
    """Who filed it at the change desk; None: it was opened by an event."""
    state: RequestState = RequestState.OPEN
    violation: bool = False
    details: Details | None = None
    verdict: Verdict | None = None
    devices: tuple[str, ...] = ()
    """Serial numbers of the devices whose removal is approved."""
    kept: tuple[str, ...] = ()
    """Serial numbers of the user's other devices at that time: none of them is the new one."""
    window_until: datetime | None = None
    """Until when an approved request may be fulfilled, or the new device is awaited."""
    fulfilment: Fulfilment | None = None
    denials_mailed: int = 0
    """How many mails there were about denied attempts, and when the last such attempt was."""
    denial_mailed_at: datetime | None = None
    reminders: int = 0
    """How often the user was reminded to give details, or security to act."""
    due_at: datetime | None = None
    """When the request is due next."""
    ended_because: str | None = None
    state_before: RequestState | None = None
    """Of a cancelled request: its state if the user is found to still exist."""
    previous: str | None = None
    """The id of the user's request before this one: records of its fulfilment may be late."""
    version: int = 0

    # --- steps taken by events ---

    def with_attempt(
        self, attempt: Attempt, policy: Policy, *, violation: bool = False
    ) -> "ChangeRequest":
        """Return the request with one more attempt. A violation revokes an approval."""
        joined = replace(
            self,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            attempt_count=self.attempt_count + 1,
            actors=tuple(dict.fromkeys((*self.actors, attempt.actor)))[:ACTORS_KEPT],
        )
        if not violation or self.violation:
            return joined
        reopened = replace(joined, state=RequestState.OPEN, violation=True, verdict=None)
        reopened = replace(reopened, window_until=None, reminders=0)
        return replace(reopened, due_at=_next_due_at(reopened, attempt.at, policy))

    def cancelled(self, because: str) -> "ChangeRequest":
        """End the request without a decision."""
        return replace(self._ended(RequestState.CANCELLED, because), state_before=self.state)

    def restored(self, policy: Policy, now: datetime) -> "ChangeRequest":
        """Undo a cancellation, when the user who seemed gone still exists.

        The caller alerts the attempts that were not notified before.
        """
        restored = replace(
            self,
            state=self.state_before or RequestState.OPEN,
            attempts=tuple(replace(attempt, notified=True) for attempt in self.attempts),
            ended_because=None,
            state_before=None,
        )
        return replace(restored, due_at=_next_due_at(restored, now, policy))

    def with_unreported_removal(self, attempt: Attempt, policy: Policy) -> "ChangeRequest":
        """Return the request with a removal from a user who seems gone: cancelled for now.

        If the user still exists, it is restored as a violation.
        """
        state = self.state_before if self.ended_because else None
        active = replace(self, state=state or self.state, ended_because=None, state_before=None)
        unreported = replace(attempt, notified=False)
        return active.with_attempt(unreported, policy, violation=True).cancelled(USER_GONE)

    def closed(self, because: str) -> "ChangeRequest":
        """End the request as done."""
        return self._ended(RequestState.CLOSED, because)

    def _ended(self, state: RequestState, because: str) -> "ChangeRequest":
        return replace(self, state=state, ended_because=because, due_at=None)

    def waits_for_details(self) -> bool:
        """Return whether the user has to give details before anybody can decide."""
        return self.state is RequestState.OPEN and not self.violation

    def denial_mailed(self, at: datetime) -> "ChangeRequest":
        """Return the request after a mail about an attempt at a moment."""
        return replace(self, denials_mailed=self.denials_mailed + 1, denial_mailed_at=at)

    def is_denial_mail_due(self, at: datetime, policy: Policy) -> bool:
        """Return whether the user is mailed about an attempt: the first, and one a day at most."""
        last = self.denial_mailed_at
        return last is None or at - last >= policy.denial_mailed_again_after

    def is_being_fulfilled_at(self, at: datetime) -> bool:
        """Return whether somebody was fulfilling the request at a moment.

        The state of the request now does not matter: records are late.
        """
        if self.fulfilment is None:
            return False
        first, last = self.fulfilment.runs_between
        return first <= at <= last

    def new_device(
        self, serials: tuple[str, ...], at: datetime | None = None, *, enabled: str | None = None
    ) -> str | None:
        """Return the serial of the new device that a fulfilled request waits for, or None.

        The name of a removed virtual device can be used again, and IAM may still list the removed
        one for a moment. So it counts as new only if a record shows that it was ``enabled`` since,
        or after that moment.
        """
        fulfilment = self.fulfilment
        if self.state is not RequestState.FULFILLED or fulfilment is None:
            return None
        for serial in serials:
            if serial in self.kept:
                continue
            if serial not in self.devices:
                return serial
            if at and serial == enabled and at >= fulfilment.started_at:
                return serial
            if at and at >= fulfilment.held_until + IAM_PROPAGATION_TIME:
                return serial
        return None

    def unreported_attempts(self, policy: Policy) -> tuple[Attempt, ...]:
        """Return the attempts not notified yet; of those that count as one, only the first."""
        counted: list[Attempt] = []
        for attempt in self.attempts:
            if not any(attempt.repeats(earlier, policy) for earlier in counted):
                counted.append(attempt)
        return tuple(attempt for attempt in counted if not attempt.notified)

    # --- steps taken by people ---

    def submitted(self, details: Details, policy: Policy) -> "ChangeRequest":
        """Add what the user wants and why. A violation stays one, whatever the details are."""
        self._require_state("give details", RequestState.OPEN, RequestState.SUBMITTED)
        state = RequestState.OPEN if self.violation else RequestState.SUBMITTED
        after = replace(self, details=details, state=state, reminders=0)
        return replace(after, due_at=_next_due_at(after, details.given_at, policy))

    def approved(  # noqa: PLR0913 - who, when, why, and what exactly is approved
        self,
        by: Person,
        reason: str,
        now: datetime,
        policy: Policy,
        *,
        devices: tuple[str, ...],
        kept: tuple[str, ...],
    ) -> "ChangeRequest":
        """Approve the removal of exactly these devices, within a window that begins now."""
        self.refuse_approval(by)
        verdict, until = Verdict(by.arn, now, reason, approved=True), now + policy.approval_window
        return self._waiting(
            RequestState.APPROVED, until, verdict=verdict, devices=devices, kept=kept
        )

    def rejected(self, by: Person, reason: str, now: datetime) -> "ChangeRequest":
        """Reject the request, or revoke an approval that nobody has started to fulfil."""
        self._require_state("reject", RequestState.SUBMITTED, RequestState.APPROVED)
        self.refuse_involved_person(by, "reject")
        if self.fulfilment:
            raise WrongStepError(_BEING_FULFILLED)
        verdict = Verdict(by.arn, now, reason, approved=False)
        rejected = self._ended(RequestState.REJECTED, reason)
        return replace(rejected, verdict=verdict, window_until=None)

    def withdrawn(self, reason: str) -> "ChangeRequest":
        """Cancel the request for a person, before its fulfilment starts. A violation stays."""
        self._require_state(
            "cancel", RequestState.OPEN, RequestState.SUBMITTED, RequestState.APPROVED
        )
        if self.violation:
            raise WrongStepError(
                "a violation cannot be cancelled; the security team acknowledges it"
            )
        if self.fulfilment:
            raise WrongStepError(_BEING_FULFILLED)
        return replace(self.cancelled(reason), state_before=None)

    def acknowledged(self, by: Person, reason: str) -> "ChangeRequest":
        """Close a violation, with the reason of the security team."""
        if not (self.violation and self.state is RequestState.OPEN):
            raise WrongStepError("only an open violation can be acknowledged")
        self.refuse_involved_person(by, "acknowledge")
        return self.closed(reason)

    def reopened(
        self,
        by: Person,
        reason: str,
        now: datetime,
        policy: Policy,
        *,
        kept: tuple[str, ...],
    ) -> "ChangeRequest":
        """Open a window that is over once more, as a new approval of the same devices.

        An expired request can then be fulfilled. A fulfilled one without a new device can be
        fulfilled again: the password may have been lost. ``kept`` are the user's other devices
        now: the user may have enrolled one before the fulfilment.
        """
        self.refuse_reopening(by, now)
        waits = self.state is RequestState.FULFILLED
        until = now + (policy.enrolment_window if waits else policy.approval_window)
        return self._waiting(
            RequestState.FULFILLED if waits else RequestState.APPROVED,
            until,
            verdict=Verdict(by.arn, now, reason, approved=True),
            kept=self.kept if waits else kept,
            ended_because=None,
        )

    def _waiting(self, state: RequestState, until: datetime, **more: object) -> "ChangeRequest":
        """Return the request in a state that lasts until a moment, when it is due."""
        waiting = replace(self, state=state, window_until=until, due_at=until, reminders=0)
        return replace(waiting, **more)  # type: ignore[arg-type]

    def fulfilment_started(
        self, by: Person, now: datetime, policy: Policy, *, run: str = ""
    ) -> "ChangeRequest":
        """Start or continue the fulfilment; nobody else may until ``held_until``.

        A fulfilled request may be fulfilled once more while its new device is awaited: the response
        with the password may have been lost.
        """
        self._require_state("fulfil", RequestState.APPROVED, RequestState.FULFILLED)
        self.refuse_involved_person(by, "fulfil")
        if self.window_until is None or now >= self.window_until:
            raise WrongStepError("its window is over; reopen it first")
        earlier = self.fulfilment
        if earlier and now < earlier.held_until and earlier.by != by.arn:
            raise WrongStepError(
                f"{earlier.by} is fulfilling it; try again after {earlier.held_until:%H:%M:%S} UTC"
            )
        until = now + policy.fulfilment_lease
        if earlier:
            return replace(self, fulfilment=replace(earlier, by=by.arn, held_until=until, run=run))
        return replace(self, fulfilment=Fulfilment(by.arn, now, until, run=run))

    def is_held_by(self, run: str) -> bool:
        """Return whether this call may still continue the fulfilment."""
        can_continue = self.state in {RequestState.APPROVED, RequestState.FULFILLED}
        return can_continue and self.fulfilment is not None and self.fulfilment.run == run

    def released(self, now: datetime, *, untouched: bool) -> "ChangeRequest":
        """Let others fulfil it. ``untouched``: no call can have changed anything in IAM."""
        if untouched or self.fulfilment is None:
            return replace(self, fulfilment=None)
        return replace(self, fulfilment=replace(self.fulfilment, held_until=now))

    def with_step(self, step: str) -> "ChangeRequest":
        """Return the request with a step of the fulfilment done."""
        if self.fulfilment is None:
            raise WrongStepError(_NOT_BEING_FULFILLED)
        done = tuple(dict.fromkeys((*self.fulfilment.done, step)))
        return replace(self, fulfilment=replace(self.fulfilment, done=done))

    def fulfilled(self, now: datetime, policy: Policy) -> "ChangeRequest":
        """Return the fulfilled request; the new device is awaited from now on."""
        self._require_state("fulfil", RequestState.APPROVED, RequestState.FULFILLED)
        if self.fulfilment is None:
            raise WrongStepError(_NOT_BEING_FULFILLED)
        released = replace(self.fulfilment, held_until=now)
        if self.state is RequestState.FULFILLED:  # once more: it is awaited as long as before
            return replace(self, fulfilment=released)
        until = now + policy.enrolment_window
        return self._waiting(RequestState.FULFILLED, until, fulfilment=released)

    # --- steps taken on schedule ---

    def postponed(self, until: datetime) -> "ChangeRequest":
        """Return the request due later, because somebody is fulfilling it now."""
        return replace(self, due_at=until)

    def expired(self) -> "ChangeRequest":
        """End an approval whose window is over; it can be reopened."""
        return self._ended(RequestState.EXPIRED, "the approved window is over")

    def reminded(self, now: datetime, policy: Policy) -> "ChangeRequest":
        """Return the request after a reminder, with the time of the next.

        However late the schedule is, a user gets no two reminders within ``reminder_gap``.
        """
        after = replace(self, reminders=self.reminders + 1)
        due_at = _next_due_at(after, now, policy)
        return replace(after, due_at=max(due_at, now + policy.reminder_gap) if due_at else None)

    # --- checks before steps ---

    def refuse_approval(self, by: Person) -> None:
        """Raise if this person may not approve it now; IAM need not be asked for that."""
        self._require_state("approve", RequestState.SUBMITTED)
        self.refuse_involved_person(by, "approve")

    def refuse_reopening(self, by: Person, now: datetime) -> None:
        """Raise if this person may not reopen it now; IAM need not be asked for that."""
        self._require_state("reopen", RequestState.EXPIRED, RequestState.FULFILLED)
        self.refuse_involved_person(by, "reopen")
        waits = self.state is RequestState.FULFILLED
        if waits and self.window_until and now < self.window_until:
            raise WrongStepError("its window is not over yet; fulfil it once more instead")

    def refuse_involved_person(self, person: Person, step: str) -> None:
        """Raise SegregationOfDutiesError for the subject, whoever tried, and whoever asked."""
        subject = f"arn:aws:iam::{self.subject.account_id}:user/{self.subject_name}"
        if person.user_id == self.subject.user_id or person.may_be(subject):
            raise SegregationOfDutiesError(
                f"{person.name} is the subject of the request, and may not {step} it"
            )
        if any(person.may_be(actor) for actor in self.actors):
            raise SegregationOfDutiesError(
                f"{person.name} tried to remove the device, and may not {step} it"
            )
        if len(self.actors) >= ACTORS_KEPT and step not in _AGAINST_THE_USER:
            raise SegregationOfDutiesError(
                f"{ACTORS_KEPT} people or more tried to remove the device, too many to be listed,"
                f" and {person.name} may be one of them: nobody may {step} the request. Reject it,"
                " and file a new one"
            )
        asked = (self.opened_by, self.details.given_by if self.details else None)
        if any(arn and person.may_be(arn) for arn in asked):
            raise SegregationOfDutiesError(f"{person.name} asked for it, and may not {step} it")

    def _require_state(self, step: str, *states: RequestState) -> None:
        if self.state not in states:
            allowed = " or ".join(states)
            raise WrongStepError(f"cannot {step} a request that is {self.state}: only {allowed}")


def _next_due_at(request: ChangeRequest, now: datetime, policy: Policy) -> datetime | None:
    """Return when a request that waits for somebody is due next."""
    match request.state:
        case RequestState.OPEN if request.violation:
            return now + policy.violation_reminder_every
        case RequestState.OPEN:
            days = (*policy.details_reminders, policy.details_deadline)
            return request.opened_at + days[min(request.reminders, len(days) - 1)]
        case RequestState.SUBMITTED:
            return now + policy.decision_reminder_every
        case RequestState.APPROVED:
            return request.window_until
        case RequestState.FULFILLED:
            # Security is notified once; the escalation schedule reminds the user.
            return None if request.reminders else request.window_until
        case _:
            return None


def open_request(user: User, attempt: Attempt, policy: Policy, *, violation: bool) -> ChangeRequest:
    """Return a new request. Its id follows from the event, so it is the same if decided twice."""
    request = _new(user, attempt.at, attempt.event_id)
    opened = request.with_attempt(attempt, policy, violation=violation)
    return replace(opened, due_at=_next_due_at(opened, attempt.at, policy))


def file_request(
    user: User, by: Person, now: datetime, policy: Policy, *, event_id: str
) -> ChangeRequest:
    """Return a request that somebody files. Its id follows from the event id."""
    filed = replace(_new(user, now, event_id), opened_by=by.arn)
    return replace(filed, due_at=_next_due_at(filed, now, policy))


def _new(user: User, at: datetime, event_id: str) -> ChangeRequest:
    digest = b32encode(sha256(f"{user.key.account_id}/{event_id}".encode()).digest())
    return ChangeRequest(
        f"PR-{at:%Y%m%d}-{digest.decode()[:8]}", user.key, user.name, at, previous=user.request_id
    )
