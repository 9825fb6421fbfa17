"""Fulfilment of an approved change request: the only code that removes devices in IAM."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from mfa_watcher.domain.decision import RequestDecision, UserDecision
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests import fulfilment
from mfa_watcher.domain.requests.change_request import ChangeRequest, SegregationOfDutiesError
from mfa_watcher.domain.requests.passwords import Password, make_password
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.sign_in_page import sign_in_url
from mfa_watcher.domain.users.user import IamState, User
from mfa_watcher.domain.users.user_state import Situation
from mfa_watcher.ports import errors
from mfa_watcher.ports.accounts import AccountAliases
from mfa_watcher.ports.iam import IamReader, IamReset, IamUser
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.lost_races import MAX_ATTEMPTS, attempts, lost_all_races


class _TakenOverError(fulfilment.CannotFulfilError):
    """Another call has taken over the fulfilment."""


@dataclass(frozen=True, slots=True)
class FulfilledRequest:
    """A fulfilled request, and the new password, which is stored nowhere."""

    request: ChangeRequest
    user_name: str
    sign_in_url: str
    password: Password


@dataclass(frozen=True, slots=True)
class FulfilRequest:
    """Fulfils requests: removes the approved devices from the user and sets a new password.

    Each step in IAM can be repeated, and is recorded when it is done. A call after a crash or an
    error continues where the last one ended, and returns a password of its own.
    """

    store: Store
    iam_of: Callable[[str], IamReader]
    reset_of: Callable[[str], IamReset]
    policy: Policy
    aliases: AccountAliases
    randomness: Random
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def fulfil(self, request_id: str, by: Person) -> FulfilledRequest:
        """Fulfil a request.

        Raises NoSuchRequestError; WrongStepError if its state, its window or another call does not
        allow it; SegregationOfDutiesError; CannotFulfilError if the user has no console password or
        does not exist; FulfilmentInterruptedError if IAM failed. After any error the request can be
        fulfilled later, unless its state forbids it.
        """
        for _ in range(MAX_ATTEMPTS):
            run = _Run.begin(self, request_id, by)
            try:
                return self._fulfil(run)
            except _TakenOverError:
                # The same person called again meanwhile, and that call answers. But if this call
                # has replaced that call's password, it must go on and answer with a valid one.
                if not run.password_set:
                    raise
            except (fulfilment.CannotFulfilError, SegregationOfDutiesError) as error:
                run.release(str(error))
                raise
            except (errors.IamReadError, errors.IamWriteError) as error:
                # A call whose answer was lost may have succeeded.
                surely_not = isinstance(error, errors.IamReadError | errors.IamDeniedError)
                run.touched = run.touched or not surely_not
                run.release(str(error))
                raise errors.FulfilmentInterruptedError(f"{error}. {run.progress}") from error
        raise lost_all_races(f"request {request_id}")

    def _fulfil(self, run: "_Run") -> FulfilledRequest:
        account_id = run.request.subject.account_id
        iam, reset = self.iam_of(account_id), self.reset_of(account_id)
        user = run.find_subject(iam)
        if not iam.has_console_access(user.name):
            raise fulfilment.CannotFulfilError(_no_password(user.name))
        shortest = reset.shortest_password()
        for serial in run.request.devices:
            run.remove(iam, reset, user, Device(serial))
        remaining = run.read_remaining_devices(iam, user)
        password = make_password(shortest, self.randomness)
        run.set_password(reset, user, password)
        run.end(user.name, remaining)
        return FulfilledRequest(
            run.request, user.name, self._sign_in_url(account_id, user), password
        )

    def _sign_in_url(self, account_id: str, user: IamUser) -> str:
        """Return the user's sign-in page, by the account's number if its alias cannot be read."""
        alias = None
        with suppress(errors.IamReadError):
            alias = self.aliases.alias(account_id)
        return sign_in_url(account_id, alias, user.arn.split(":")[1])


@dataclass(slots=True)
class _Run:
    """One call: the request it fulfils, and how far it is."""

    use_case: FulfilRequest
    by: Person
    id: str
    before: ChangeRequest
    """The request as it was when the call began."""
    request: ChangeRequest
    touched: bool = False
    """Whether this call may have changed anything in IAM."""
    password_set: bool = False
    gone: tuple[str, ...] = ()
    """Serial numbers of the devices that this call removed from the user."""
    notes: int = 0

    @classmethod
    def begin(cls, use_case: FulfilRequest, request_id: str, by: Person) -> "_Run":
        """Take the lease on the request, before anything is read or changed in IAM."""
        run_id = use_case.new_id()
        for attempt in attempts():
            with attempt:
                request = use_case.store.request(request_id)
                if request is None:
                    raise errors.NoSuchRequestError(f"there is no change request {request_id}")
                started = request.fulfilment_started(
                    by, use_case.clock(), use_case.policy, run=run_id
                )
                run = cls(use_case, by, run_id, request, started)
                now = use_case.clock()
                decision = fulfilment.record_step(
                    run.event_id, now, started, "Fulfilment started", by
                )
                use_case.store.commit(decision, now=now)
                run.committed(decision)
                return run
        raise lost_all_races(f"request {request_id}")

    @property
    def event_id(self) -> str:
        """The id of the next decision; the ids sort in order, also within a millisecond."""
        return f"{self.id}-{self.notes:02}"

    @property
    def done(self) -> tuple[str, ...]:
        """The steps that are done, in this call or before."""
        return self.request.fulfilment.done if self.request.fulfilment else ()

    @property
    def progress(self) -> str:
        """What is done so far, as a sentence for the caller."""
        return f"Done so far: {', '.join(self.done) or 'nothing'}"

    def find_subject(self, iam: IamReader) -> IamUser:
        """Return the user that the request is about, by any known name, never another user."""
        key = self.request.subject
        known = self.use_case.store.user(key)
        for name in dict.fromkeys((known.name if known else "", self.request.subject_name)):
            found = iam.user(name) if name else None
            if found and found.user_id == key.user_id:
                if self.by.may_be(found.arn):  # the request does not have a renamed user's name
                    raise SegregationOfDutiesError(
                        f"{self.by.name} is the subject of the request, and may not fulfil it"
                    )
                return found
        raise fulfilment.CannotFulfilError(_not_there(self.request.subject_name, key.user_id))

    def verify(self, iam: IamReader, user: IamUser) -> None:
        """Check that the name is still the user's: names change, and IAM's calls take no ids."""
        found = iam.user(user.name)
        if found is None or found.user_id != user.user_id:
            raise fulfilment.CannotFulfilError(_not_there(user.name, user.user_id))

    def remove(self, iam: IamReader, reset: IamReset, user: IamUser, device: Device) -> None:
        """Remove one device from the user, and delete it if it is a virtual one."""
        if not self.is_done(device, fulfilment.DEACTIVATED, fulfilment.WAS_GONE):
            was_assigned = reset.deactivate(user.name, device.serial)
            self.touched = True
            if not was_assigned:  # IAM answers the same for a user who does not exist any more
                self.verify(iam, user)
            self.gone += (device.serial,)
            self.step(fulfilment.DEACTIVATED if was_assigned else fulfilment.WAS_GONE, device)
        cleared = self.is_done(device, fulfilment.DELETED, fulfilment.LEFT)
        if device.kind is not DeviceKind.VIRTUAL or cleared:
            return
        if reset.delete(device.serial) or self.removed_again(reset, user, device):
            self.step(fulfilment.DELETED, device)
        elif self.is_done(device, fulfilment.WAS_GONE):
            self.step(fulfilment.LEFT, device)
        else:
            raise errors.IamWriteError(
                f"IAM still lists {device.serial} as the user's, although it is deactivated. Try"
                " again in a minute"
            )

    def removed_again(self, reset: IamReset, user: IamUser, device: Device) -> bool:
        """Remove the device again if the user has enrolled a new one under the same name meanwhile.

        That is possible between two calls, if the first ended after the deletion and before
        recording it.
        """
        return reset.deactivate(user.name, device.serial) and reset.delete(device.serial)

    def read_remaining_devices(self, iam: IamReader, user: IamUser) -> tuple[Device, ...]:
        """Return the devices that the user still has; last, check that the name is the user's."""
        found = iam.devices(user.name) or ()
        self.verify(iam, user)
        # IAM may still list a device that was just removed.
        remaining = tuple(device for device in found if device.serial not in self.gone)
        serials = tuple(device.serial for device in remaining)
        if self.before.new_device(serials, self.use_case.clock()):
            raise fulfilment.CannotFulfilError(
                f"user {user.name} already has a new device, and the request is about to close"
            )
        return remaining

    def set_password(self, reset: IamReset, user: IamUser, password: Password) -> None:
        """Replace the user's password."""
        if not reset.set_password(user.name, password):
            raise fulfilment.CannotFulfilError(_no_password(user.name))
        self.touched = self.password_set = True

    def is_done(self, device: Device, *steps: str) -> bool:
        """Return whether one of these steps is done for a device."""
        return any(step.format(device.serial) in self.done for step in steps)

    def step(self, name: str, device: Device) -> None:
        """Record a step as done for a device."""
        step = name.format(device.serial)
        self.record(step[:1].upper() + step[1:], lambda request: request.with_step(step))

    def release(self, why: str) -> None:
        """Return up the lease, unless another call has taken over."""
        with suppress(_TakenOverError, errors.LostRaceError):
            untouched = self.before.fulfilment is None and not self.touched
            self.record(
                f"Fulfilment stopped: {why}",
                lambda request: request.released(self.use_case.clock(), untouched=untouched),
            )

    def end(self, name: str, remaining: tuple[Device, ...]) -> None:
        """Record that everything is done, and what follows from it."""
        iam_state = IamState(exists=True, name=name, devices=remaining, console_access=True)
        for attempt in attempts():
            with attempt:
                request, now, policy = self.request, self.use_case.clock(), self.use_case.policy
                user = self.use_case.store.user(request.subject) or User(request.subject, name)
                situation = Situation(self.event_id, now, None, user, policy, request, iam_state)
                self.commit(fulfilment.decide_fulfilled(situation, request, self.by))
                return
        raise lost_all_races(f"request {self.request.id}")

    def record(self, what: str, change: Callable[[ChangeRequest], ChangeRequest]) -> None:
        """Change the request, and record the change in its history."""
        for attempt in attempts():
            with attempt:
                changed = change(self.request)
                clock = self.use_case.clock
                self.commit(fulfilment.record_step(self.event_id, clock(), changed, what, self.by))
                return
        raise lost_all_races(f"request {self.request.id}")

    def commit(self, decision: UserDecision | RequestDecision) -> None:
        """Commit, and continue with the new version.

        Raises LostRaceError if the request or its user changed first; the next attempt then starts
        from the request as it is now. Raises _TakenOverError if another call holds the lease.
        """
        try:
            self.use_case.store.commit(decision, now=self.use_case.clock())
        except errors.LostRaceError:
            self.request = self._still_ours()
            raise
        self.committed(decision)

    def committed(self, decision: UserDecision | RequestDecision) -> None:
        """Continue with the request as it was committed."""
        self.notes += 1
        if decision.request:
            self.request = replace(decision.request, version=decision.request.version + 1)

    def _still_ours(self) -> ChangeRequest:
        request = self.use_case.store.request(self.request.id)
        if request is None or not request.is_held_by(self.id):
            raise _TakenOverError(
                "another call took over the fulfilment, or the request's state changed. Read the"
                " request again, and fulfil it again if that is still possible"
            )
        return request


def _no_password(name: str) -> str:
    return (
        f"user {name} has no console password to reset. Give the user console access and fulfil the"
        " request then, or reject it"
    )


def _not_there(name: str, user_id: str) -> str:
    return (
        f"no user named {name} has the id {user_id} any more: the user was deleted or renamed, or"
        " another user has the name now. Read the request again in a minute"
    )
