"""The Password Reset change request: what a removal attempt becomes.

    open ──details──▶ submitted ──approve──▶ approved ──fulfil──▶ fulfilled ──new device──▶ closed
      │                   └──reject──▶ rejected  └─window over─▶ expired ──reopen──▶ approved
      └──cancel / user deleted / no answer──▶ cancelled

A removal that nobody approved makes the request a violation and takes it back to ``open``: only the
security team's acknowledgement closes it. Each step gives a new request, or raises WrongStepError
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
from mfa_watcher.domain.users.user import UserKey

ATTEMPTS_KEPT = 20
"""How many attempts a request carries itself; its history carries all."""

CLOCK_SKEW = timedelta(minutes=1)
"""How far the time of a record, which has whole seconds, may be from that of our own notes."""

IAM_PROPAGATION_TIME = timedelta(minutes=1)
"""How long IAM may still list a device that was taken away (it is eventually consistent)."""


USER_GONE = "the user was deleted"


class WrongStepError(Exception):
    """The request's state does not allow this step; the text says which would."""


class SegregationOfDutiesError(Exception):
    """This person may not take this step; the text says why."""


class RequestState(StrEnum):
    """Where a request stands."""

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
        """Tell whether something is still to happen. One user has one active request at most."""
        return self in _ACTIVE


_ACTIVE = frozenset(
    {
        RequestState.OPEN,
        RequestState.SUBMITTED,
        RequestState.APPROVED,
        RequestState.FULFILLED,
    }
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at removing a device. All texts are as the record has them: hostile until escaped."""

    event_id: str
    at: datetime
    call: str
    outcome: Outcome
    actor: str
    serial: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    notified: bool = True
    """False: its user seemed gone. Security hears of it if he turns out to be there."""

    def repeats(self, earlier: "Attempt", policy: Policy) -> bool:
        """Tell whether it is the same as another to whoever is told: by one person, at once."""
        return (
            earlier.actor == self.actor
            and earlier.outcome is self.outcome
            and abs(earlier.at - self.at) <= policy.same_attempt
        )


@dataclass(frozen=True, slots=True)
class Details:
    """What the user wants and why, in his words or the service desk's: hostile until escaped."""

    reason: str
    given_by: str
    given_at: datetime
    wanted: DeviceKind | None = None
    """The kind of the new device; None: he keeps another one and wants none."""
    devices: tuple[str, ...] = ()
    """Serial numbers of the devices to remove; none named: all that the user has."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision about a request, and whose it is."""

    by: str
    at: datetime
    reason: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """How far the carrying out is. ``by`` holds it until ``held_until``, so that two don't.

    ``run`` is the call that does it: the same person may call again, and the earlier call yields.
    """

    by: str
    started_at: datetime
    held_until: datetime
    done: tuple[str, ...] = ()
    """The steps that are done, in words that name the device."""
    run: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One request. ``violation``: a device is gone without approval, which only security closes.

    ``actors`` are the ARNs of all who ever tried; none of them may decide.
    """

    id: str
    subject: UserKey
    subject_name: str
    opened_at: datetime
    attempts: tuple[Attempt, ...] = ()
    attempt_count: int = 0
    actors: tuple[str, ...] = ()
    opened_by: str | None = None
    """Who opened it at the desk; None: an event did."""
    state: RequestState = RequestState.OPEN
    violation: bool = False
    details: Details | None = None
    verdict: Verdict | None = None
    devices: tuple[str, ...] = ()
    """Serial numbers of the devices whose removal is approved."""
    kept: tuple[str, ...] = ()
    """Serial numbers of the devices that the user had besides: none of them is the new one."""
    window_until: datetime | None = None
    """Until when an approved request may be fulfilled, or a fulfilled one's new device may come."""
    fulfilment: Fulfilment | None = None
    denials_mailed: int = 0
    """How many mails told the user of a denied attempt, and when the last one's was made."""
    denial_mailed_at: datetime | None = None
    reminders: int = 0
    """How often the user was reminded of the details, or security of what waits for it."""
    due_at: datetime | None = None
    """When the schedule is to look at the request next."""
    ended_because: str | None = None
    state_before: RequestState | None = None
    """Of a cancelled request: the state it goes back to if the user turns out to be there."""
    previous: str | None = None
    """The id of the user's request before this one: records of its carrying out may be late."""
    version: int = 0

    # --- what events do ---

    def with_attempt(
        self, attempt: Attempt, policy: Policy, *, violation: bool = False
    ) -> "ChangeRequest":
        """Give the request with one more attempt. A violation voids all that was decided."""
        joined = replace(
            self,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            attempt_count=self.attempt_count + 1,
            actors=tuple(dict.fromkeys((*self.actors, attempt.actor))),
        )
        if not violation or self.violation:
            return joined
        voided = replace(
            joined,
            state=RequestState.OPEN,
            violation=True,
            verdict=None,
            window_until=None,
            reminders=0,
        )
        return replace(voided, due_at=_next_due_at(voided, attempt.at, policy))

    def cancelled(self, because: str) -> "ChangeRequest":
        """End the request without a decision."""
        return replace(
            self,
            state=RequestState.CANCELLED,
            ended_because=because,
            state_before=self.state,
            due_at=None,
        )

    def restored(self, policy: Policy, now: datetime) -> "ChangeRequest":
        """Take a cancellation back, when the user who seemed gone turns out to be there.

        Whoever does so tells of the attempts that nobody was told of.
        """
        back = replace(
            self,
            state=self.state_before or RequestState.OPEN,
            attempts=tuple(replace(attempt, notified=True) for attempt in self.attempts),
            ended_because=None,
            state_before=None,
        )
        return replace(back, due_at=_next_due_at(back, now, policy))

    def with_held_removal(self, attempt: Attempt, policy: Policy) -> "ChangeRequest":
        """Give the request with a removal of a user who seems gone: ended with him, for now.

        If he turns out to be there, it is revived as the violation that it then is.
        """
        state = self.state_before if self.ended_because else None
        there = replace(self, state=state or self.state, ended_because=None, state_before=None)
        quiet = replace(attempt, notified=False)
        return there.with_attempt(quiet, policy, violation=True).cancelled(USER_GONE)

    def closed(self, because: str) -> "ChangeRequest":
        """End the request as done."""
        return replace(self, state=RequestState.CLOSED, ended_because=because, due_at=None)

    def waits_for_details(self) -> bool:
        """Tell whether the user has to say what he needs before anybody can decide."""
        return self.state is RequestState.OPEN and not self.violation

    def denial_mailed(self, at: datetime) -> "ChangeRequest":
        """Note that the user is told of an attempt made at a moment."""
        return replace(self, denials_mailed=self.denials_mailed + 1, denial_mailed_at=at)

    def wants_denial_mailed(self, at: datetime, policy: Policy) -> bool:
        """Tell whether the user is to be told of an attempt: the first, and one a day at most."""
        last = self.denial_mailed_at
        return last is None or at - last >= policy.denial_mailed_again_after

    def is_being_fulfilled_at(self, at: datetime) -> bool:
        """Tell whether somebody had the carrying out in hand at a moment.

        What the request has become since does not matter: records are late.
        """
        held = self.fulfilment
        return held is not None and (
            held.started_at - CLOCK_SKEW <= at <= held.held_until + CLOCK_SKEW
        )

    def has_new_device(self, serials: tuple[str, ...]) -> bool:
        """Tell whether one of a user's devices surely is the new one that is waited for."""
        return self.new_device(serials) is not None

    def new_device(
        self, serials: tuple[str, ...], at: datetime | None = None, *, enabled: str | None = None
    ) -> str | None:
        """Give the serial of the new device that a fulfilled request waits for, or None.

        The name of a removed virtual device can be used again, and IAM may still list it for a
        moment: it counts as new if a record says it was ``enabled`` since, or a while after.
        """
        held = self.fulfilment
        if self.state is not RequestState.FULFILLED or held is None:
            return None
        for serial in serials:
            if serial in self.kept:
                continue
            if serial not in self.devices:
                return serial
            if at and serial == enabled and at >= held.started_at:
                return serial
            if at and at >= held.held_until + IAM_PROPAGATION_TIME:
                return serial
        return None

    # --- what people do ---

    def submitted(self, details: Details, policy: Policy) -> "ChangeRequest":
        """Take what the user wants and why. A violation stays one: details do not excuse it."""
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
        """Approve the removal of exactly these devices, within the window that begins now."""
        self.refuse_approval(by)
        return replace(
            self,
            state=RequestState.APPROVED,
            verdict=Verdict(by.arn, now, reason, approved=True),
            devices=devices,
            kept=kept,
            window_until=now + policy.approval_window,
            due_at=now + policy.approval_window,
            reminders=0,
        )

    def rejected(self, by: Person, reason: str, now: datetime) -> "ChangeRequest":
        """Turn the request down, or take an approval back that nobody has begun to carry out."""
        self._require_state("reject", RequestState.SUBMITTED, RequestState.APPROVED)
        self.refuse_involved_person(by, "reject")
        if self.fulfilment:
            raise WrongStepError("it is being carried out; fulfil it to the end instead")
        return replace(
            self,
            state=RequestState.REJECTED,
            verdict=Verdict(by.arn, now, reason, approved=False),
            ended_because=reason,
            window_until=None,
            due_at=None,
        )

    def withdrawn(self, reason: str) -> "ChangeRequest":
        """Cancel at a person's word, before anything is carried out. A violation stays."""
        self._require_state(
            "cancel", RequestState.OPEN, RequestState.SUBMITTED, RequestState.APPROVED
        )
        if self.violation:
            raise WrongStepError(
                "a violation cannot be cancelled; the security team acknowledges it"
            )
        if self.fulfilment:
            raise WrongStepError("it is being carried out; fulfil it to the end instead")
        return replace(self.cancelled(reason), state_before=None)

    def acknowledged(self, by: Person, reason: str) -> "ChangeRequest":
        """Close a violation with security's word on it."""
        if not (self.violation and self.state is RequestState.OPEN):
            raise WrongStepError("only an open violation is acknowledged")
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

        That of an expired request, to be carried out; or that of a fulfilled one whose new device
        has not come, to be carried out again: the password may have been lost. ``kept`` are the
        devices that the user has besides now: before the carrying out he may have got another.
        """
        self.refuse_reopening(by, now)
        waits = self.state is RequestState.FULFILLED
        until = now + (policy.enrolment_window if waits else policy.approval_window)
        return replace(
            self,
            state=RequestState.FULFILLED if waits else RequestState.APPROVED,
            verdict=Verdict(by.arn, now, reason, approved=True),
            kept=self.kept if waits else kept,
            ended_because=None,
            window_until=until,
            due_at=until,
            reminders=0,
        )

    def fulfilment_started(
        self, by: Person, now: datetime, policy: Policy, *, run: str = ""
    ) -> "ChangeRequest":
        """Begin, or go on with, the carrying out; nobody else may until ``held_until``.

        A fulfilled request may be carried out once more while its new device is awaited: the answer
        with the password may have been lost on its way.
        """
        self._require_state("fulfil", RequestState.APPROVED, RequestState.FULFILLED)
        self.refuse_involved_person(by, "fulfil")
        if self.window_until is None or now >= self.window_until:
            raise WrongStepError("its window is over; reopen it first")
        held = self.fulfilment
        if held and now < held.held_until and held.by != by.arn:
            raise WrongStepError(
                f"it is in the hands of {held.by}; try again after {held.held_until:%H:%M:%S} UTC"
            )
        until = now + policy.fulfilment_lease
        fulfilment_started = replace(held, by=by.arn, held_until=until, run=run) if held else None
        return replace(
            self, fulfilment=fulfilment_started or Fulfilment(by.arn, now, until, run=run)
        )

    def is_held_by(self, run: str) -> bool:
        """Tell whether this call still has the carrying out in its hands."""
        may_go_on = self.state in {RequestState.APPROVED, RequestState.FULFILLED}
        return may_go_on and self.fulfilment is not None and self.fulfilment.run == run

    def released(self, now: datetime, *, untouched: bool) -> "ChangeRequest":
        """Let others carry it out. ``untouched``: no call can have changed anything in IAM."""
        if untouched or self.fulfilment is None:
            return replace(self, fulfilment=None)
        return replace(self, fulfilment=replace(self.fulfilment, held_until=now))

    def with_step(self, step: str) -> "ChangeRequest":
        """Note a step of the carrying out as done."""
        if self.fulfilment is None:
            raise WrongStepError("nothing is being carried out")
        done = tuple(dict.fromkeys((*self.fulfilment.done, step)))
        return replace(self, fulfilment=replace(self.fulfilment, done=done))

    def fulfilled(self, now: datetime, policy: Policy) -> "ChangeRequest":
        """Note that all is carried out; the new device is awaited from now on."""
        self._require_state("fulfil", RequestState.APPROVED, RequestState.FULFILLED)
        if self.fulfilment is None:
            raise WrongStepError("nothing is being carried out")
        again = self.state is RequestState.FULFILLED
        until = self.window_until if again else now + policy.enrolment_window
        released = replace(self.fulfilment, held_until=now)
        return replace(
            self,
            state=RequestState.FULFILLED,
            fulfilment=released,
            window_until=until,
            due_at=self.due_at if again else until,
            reminders=self.reminders if again else 0,
        )

    # --- what the clock does ---

    def postponed(self, until: datetime) -> "ChangeRequest":
        """Let the schedule look again later: it is in somebody's hands right now."""
        return replace(self, due_at=until)

    def expired(self) -> "ChangeRequest":
        """End an approval whose window ran out; it can be reopened."""
        return replace(
            self,
            state=RequestState.EXPIRED,
            ended_because="the approved window ran out",
            due_at=None,
        )

    def reminded(self, now: datetime, policy: Policy) -> "ChangeRequest":
        """Note that somebody was reminded, and when the schedule is to look again.

        However late the schedule is, a user gets no two reminders within the ladder's gap.
        """
        after = replace(self, reminders=self.reminders + 1)
        due_at = _next_due_at(after, now, policy)
        return replace(after, due_at=max(due_at, now + policy.reminder_gap) if due_at else None)

    # --- who may ---

    def refuse_approval(self, by: Person) -> None:
        """Refuse to approve, before IAM is asked for the devices."""
        self._require_state("approve", RequestState.SUBMITTED)
        self.refuse_involved_person(by, "approve")

    def refuse_reopening(self, by: Person, now: datetime) -> None:
        """Refuse to reopen, before IAM is asked for the devices."""
        self._require_state("reopen", RequestState.EXPIRED, RequestState.FULFILLED)
        self.refuse_involved_person(by, "reopen")
        waits = self.state is RequestState.FULFILLED
        if waits and self.window_until and now < self.window_until:
            raise WrongStepError("its window is not over yet; fulfil it once more instead")

    def refuse_involved_person(self, person: Person, step: str) -> None:
        """Refuse a step to the subject, whoever tried, and whoever asked. Raises SegregationOfDutiesError."""
        subject = f"arn:aws:iam::{self.subject.account_id}:user/{self.subject_name}"
        if person.user_id == self.subject.user_id or person.may_be(subject):
            raise SegregationOfDutiesError(f"{person.name} is whom it is about, and may not {step}")
        if any(person.may_be(actor) for actor in self.actors):
            raise SegregationOfDutiesError(
                f"{person.name} tried to remove the device, and may not {step}"
            )
        asked = (self.opened_by, self.details.given_by if self.details else None)
        if any(arn and person.may_be(arn) for arn in asked):
            raise SegregationOfDutiesError(f"{person.name} asked for it, and may not {step}")

    def _require_state(self, step: str, *states: RequestState) -> None:
        if self.state not in states:
            allowed = " or ".join(states)
            raise WrongStepError(f"cannot {step} a request that is {self.state}: only {allowed}")


def _next_due_at(request: ChangeRequest, now: datetime, policy: Policy) -> datetime | None:
    """Say when the schedule is to look at a request that waits for somebody."""
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
        case RequestState.FULFILLED:  # security is told once; the ladder reminds the user
            return None if request.reminders else request.window_until
        case _:
            return None


def open_request(  # noqa: PLR0913 - who tried what with whom, and what was before
    subject: UserKey,
    subject_name: str,
    attempt: Attempt,
    policy: Policy,
    *,
    violation: bool,
    previous: str | None = None,
) -> ChangeRequest:
    """Open a request. Its id follows from the event, so deciding twice gives the same one."""
    new = _new(subject, subject_name, attempt.at, attempt.event_id)
    request = replace(new, previous=previous)
    opened = request.with_attempt(attempt, policy, violation=violation)
    return replace(opened, due_at=_next_due_at(opened, attempt.at, policy))


def file_request(  # noqa: PLR0913 - who files what for whom, and when
    subject: UserKey,
    subject_name: str,
    by: Person,
    now: datetime,
    policy: Policy,
    *,
    event_id: str,
    previous: str | None = None,
) -> ChangeRequest:
    """Open a request at somebody's word. Its id follows from the event id."""
    new = _new(subject, subject_name, now, event_id)
    filed = replace(new, opened_by=by.arn, previous=previous)
    return replace(filed, due_at=_next_due_at(filed, now, policy))


def _new(subject: UserKey, subject_name: str, at: datetime, event_id: str) -> ChangeRequest:
    digest = b32encode(sha256(f"{subject.account_id}/{event_id}".encode()).digest())
    return ChangeRequest(
        id=f"PR-{at:%Y%m%d}-{digest.decode()[:8]}",
        subject=subject,
        subject_name=subject_name,
        opened_at=at,
    )
