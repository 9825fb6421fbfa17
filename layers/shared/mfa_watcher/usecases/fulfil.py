"""Carrying out an approved change request: the one place that takes devices and sets passwords."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from mfa_watcher.domain.decision import RequestDecision, UserDecision
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest, SegregationOfDutiesError
from mfa_watcher.domain.requests.fulfilment import (
    CannotFulfilError,
    Removal,
    decide_fulfilled,
    record_step,
)
from mfa_watcher.domain.requests.passwords import Password, make_password
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.sign_in_page import sign_in_url
from mfa_watcher.domain.users.user import IamState, User
from mfa_watcher.domain.users.user_state import Situation
from mfa_watcher.ports.accounts import AccountAliases
from mfa_watcher.ports.errors import (
    FulfilmentInterruptedError,
    IamDeniedError,
    IamReadError,
    IamWriteError,
    LostRaceError,
    NoSuchRequestError,
)
from mfa_watcher.ports.iam import IamReader, IamReset, IamUser
from mfa_watcher.ports.store import Store

RACES = 5
"""How often a note that lost a race is made anew."""


class _TakenOverError(CannotFulfilError):
    """The request is not in this call's hands any more."""


@dataclass(frozen=True, slots=True)
class FulfilledRequest:
    """A request that is carried out, and the password, which is nowhere else from now on."""

    request: ChangeRequest
    user_name: str
    sign_in_url: str
    password: Password


@dataclass(frozen=True, slots=True)
class FulfilRequest:
    """Carries requests out: takes the approved devices off the user, and resets his password.

    Each step in IAM can be repeated and is noted when it is done, so whoever calls again after a
    crash or an error goes on where the last call ended, and gets a password of his own.
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
        """Carry a request out.

        Raises NoSuchRequestError; WrongStepError if its state, its window or another call does not
        allow it; SegregationOfDutiesError; CannotFulfilError if the user is not such that it can be done;
        FulfilmentInterruptedError if IAM did not do as asked. Whatever was raised, the request can be carried out
        later, unless its state says otherwise.
        """
        for _ in range(RACES):
            run = _Run.begin(self, request_id, by)
            try:
                return self._carry_out(run)
            except _TakenOverError:
                # The same person called again meanwhile. That call answers, unless this one has
                # replaced its password: then it must answer with a valid one.
                if not run.password_set:
                    raise
            except (CannotFulfilError, SegregationOfDutiesError) as error:
                run.release(str(error))
                raise
            except (IamReadError, IamWriteError) as error:
                # An answer that is lost may have been a yes.
                surely_not = isinstance(error, IamReadError | IamDeniedError)
                run.touched = run.touched or not surely_not
                run.release(str(error))
                raise FulfilmentInterruptedError(f"{error}. {run.progress}") from error
        raise LostRaceError(f"request {request_id}: lost {RACES} races")

    def _carry_out(self, run: "_Run") -> FulfilledRequest:
        account_id = run.request.subject.account_id
        iam, reset = self.iam_of(account_id), self.reset_of(account_id)
        user = run.find_subject(iam)
        if not iam.has_console_access(user.name):
            raise CannotFulfilError(_no_password(user.name))
        shortest = reset.shortest_password()
        for serial in run.request.devices:
            run.remove(iam, reset, user, Device(serial))
        left = run.read_devices_again(iam, user)
        password = make_password(shortest, self.randomness)
        run.set_password(reset, user, password)
        run.end(user.name, left)
        return FulfilledRequest(
            run.request, user.name, self._sign_in_url(account_id, user), password
        )

    def _sign_in_url(self, account_id: str, user: IamUser) -> str:
        """Give the page where the user signs in; by the account's number it is found as well."""
        alias = None
        with suppress(IamReadError):
            alias = self.aliases.alias(account_id)
        return sign_in_url(account_id, alias, user.arn.split(":")[1])


@dataclass(slots=True)
class _Run:
    """One call: what it holds, and how far it is."""

    use_case: FulfilRequest
    by: Person
    id: str
    before: ChangeRequest
    """The request as it was found."""
    request: ChangeRequest
    touched: bool = False
    """Whether this call may have changed anything in IAM."""
    password_set: bool = False
    gone: tuple[str, ...] = ()
    """Serial numbers of the devices that this call took off the user."""
    notes: int = 0

    @classmethod
    def begin(cls, use_case: FulfilRequest, request_id: str, by: Person) -> "_Run":
        """Take the request in hand, before anything is read or changed in IAM."""
        run_id = use_case.new_id()
        for _ in range(RACES):
            request = use_case.store.request(request_id)
            if request is None:
                raise NoSuchRequestError(f"there is no change request {request_id}")
            fulfilment_started = request.fulfilment_started(
                by, use_case.clock(), use_case.policy, run=run_id
            )
            run = cls(use_case, by, run_id, request, fulfilment_started)
            with suppress(LostRaceError):
                run.commit(
                    record_step(
                        run.event_id, use_case.clock(), fulfilment_started, "Fulfilment started", by
                    )
                )
                return run
        raise LostRaceError(f"request {request_id}: lost {RACES} races")

    @property
    def event_id(self) -> str:
        """The id of the next decision. They sort as they are made, also within a millisecond."""
        return f"{self.id}-{self.notes:02}"

    @property
    def done(self) -> tuple[str, ...]:
        """The steps that are done, in this call or before."""
        return self.request.fulfilment.done if self.request.fulfilment else ()

    @property
    def progress(self) -> str:
        """Say how far it is."""
        return f"Done so far: {', '.join(self.done) or 'nothing'}"

    def find_subject(self, iam: IamReader) -> IamUser:
        """Find the user whom the request is about, by any name we know, and never another."""
        key = self.request.subject
        known = self.use_case.store.user(key)
        for name in dict.fromkeys((known.name if known else "", self.request.subject_name)):
            found = iam.user(name) if name else None
            if found and found.user_id == key.user_id:
                if self.by.may_be(found.arn):  # who was renamed has a name the request lacks
                    raise SegregationOfDutiesError(
                        f"{self.by.name} is the user of this request, and may not fulfil"
                    )
                return found
        raise CannotFulfilError(_not_there(self.request.subject_name, key.user_id))

    def verify(self, iam: IamReader, user: IamUser) -> None:
        """See that the name still is the user's: names pass to others, and IAM knows no ids."""
        found = iam.user(user.name)
        if found is None or found.user_id != user.user_id:
            raise CannotFulfilError(_not_there(user.name, user.user_id))

    def remove(self, iam: IamReader, reset: IamReset, user: IamUser, device: Device) -> None:
        """Take one device off the user, and delete it if it is a virtual one."""
        removal = Removal(device.serial, self.done)
        if not removal.is_off_the_user:
            was_his = reset.deactivate(user.name, device.serial)
            self.touched = True
            if not was_his:  # IAM says the same of a user who is not there any more
                self.verify(iam, user)
            self.gone += (device.serial,)
            self.step(removal.deactivated if was_his else removal.was_gone)
        if device.kind is not DeviceKind.VIRTUAL or removal.is_cleared:
            return
        if reset.delete(device.serial) or self.removed_anew(reset, user, device):
            self.step(removal.deleted)
        elif removal.was_gone in self.done:
            self.step(removal.left)
        else:
            raise IamWriteError(
                f"IAM takes {device.serial} for the user's, although it is deactivated. Try again"
                " in a minute"
            )

    def removed_anew(self, reset: IamReset, user: IamUser, device: Device) -> bool:
        """Take the device once more off a user who enrolled it under its old name meanwhile.

        That can be between two calls of which the first ended with the deletion, before its note.
        """
        return reset.deactivate(user.name, device.serial) and reset.delete(device.serial)

    def read_devices_again(self, iam: IamReader, user: IamUser) -> tuple[Device, ...]:
        """Give the devices that the user has now, and see, as the last thing, that it is he."""
        found = iam.devices(user.name) or ()
        self.verify(iam, user)
        # IAM may still list what it has just taken away.
        left = tuple(device for device in found if device.serial not in self.gone)
        serials = tuple(device.serial for device in left)
        if self.before.new_device(serials, self.use_case.clock()):
            raise CannotFulfilError(
                f"user {user.name} has a new device already, and the request is about to close"
            )
        return left

    def set_password(self, reset: IamReset, user: IamUser, password: Password) -> None:
        """Give the user a new password instead of his."""
        if not reset.set_password(user.name, password):
            raise CannotFulfilError(_no_password(user.name))
        self.touched = self.password_set = True

    def step(self, step: str) -> None:
        """Note a step as done."""
        self.note(step[:1].upper() + step[1:], lambda request: request.with_step(step))

    def release(self, why: str) -> None:
        """Let others carry it out, unless others have it in hand already."""
        with suppress(_TakenOverError, LostRaceError):
            untouched = self.before.fulfilment is None and not self.touched
            self.note(
                f"Fulfilment stopped: {why}",
                lambda request: request.released(self.use_case.clock(), untouched=untouched),
            )

    def end(self, name: str, left: tuple[Device, ...]) -> None:
        """Note that all is done, with all that follows from it."""
        iam_state = IamState(exists=True, name=name, devices=left, console_access=True)
        for _ in range(RACES):
            key = self.request.subject
            user = self.use_case.store.user(key) or User(key, name)
            situation = Situation(
                self.event_id,
                self.use_case.clock(),
                None,
                user,
                self.use_case.policy,
                self.request,
                iam_state,
            )
            if self.won(decide_fulfilled(situation, self.request, self.by)):
                return
        raise LostRaceError(f"request {self.request.id}: lost {RACES} races")

    def note(self, what: str, change: Callable[[ChangeRequest], ChangeRequest]) -> None:
        """Change the request, and say so in its history."""
        for _ in range(RACES):
            changed = change(self.request)
            if self.won(record_step(self.event_id, self.use_case.clock(), changed, what, self.by)):
                return
        raise LostRaceError(f"request {self.request.id}: lost {RACES} races")

    def won(self, decision: UserDecision | RequestDecision) -> bool:
        """Commit; False if others changed the request or the user first, and it is still ours."""
        try:
            self.commit(decision)
        except LostRaceError:
            self.request = self._still_ours()
            return False
        return True

    def commit(self, decision: UserDecision | RequestDecision) -> None:
        """Commit, and go on from there. Raises LostRaceError."""
        self.use_case.store.commit(decision, now=self.use_case.clock())
        self.notes += 1
        if decision.request:
            self.request = replace(decision.request, version=decision.request.version + 1)

    def _still_ours(self) -> ChangeRequest:
        request = self.use_case.store.request(self.request.id)
        if request is None or not request.is_held_by(self.id):
            raise _TakenOverError(
                "another call took it over, or its state changed. Look at it; if it still is to be"
                " carried out, fulfil it once more"
            )
        return request


def _no_password(name: str) -> str:
    return (
        f"user {name} has no console password to reset. Give the user console access and fulfil it"
        " then, or reject the request"
    )


def _not_there(name: str, user_id: str) -> str:
    return (
        f"no user named {name} has the id {user_id} any more: deleted, renamed, or another has the"
        " name now. Look at the request again in a minute"
    )
