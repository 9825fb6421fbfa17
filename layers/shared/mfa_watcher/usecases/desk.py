"""The two desks: where users ask for a change of their devices, and where approvers decide.

Each step reads the request and its user, decides, and commits in one transaction. What was changed
meanwhile is never overwritten: LostRaceError, and the person looks again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain import desk
from mfa_watcher.domain.casework import Decision, Fact
from mfa_watcher.domain.change_requests import ChangeRequest, Details
from mfa_watcher.domain.desk import Step
from mfa_watcher.domain.devices import Device, DeviceKind
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.people import Person
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users import User, UserKey
from mfa_watcher.ports import (
    Accounts,
    IamReader,
    LostRaceError,
    NoSuchRequestError,
    RequestPage,
    RequestSearch,
    Store,
)
from mfa_watcher.usecases.look import look
from mfa_watcher.usecases.security_desk import NoSuchUserError

_REQUEST_ID = re.compile(r"PR-[0-9]{8}-[A-Z2-7]{8}")


class NotAllowedError(Exception):
    """The caller may not do this here; the text says who may."""


class ActiveRequestError(Exception):
    """The user has a request already, which comes first; the text names it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for, before it is a request's details. All texts are hostile."""

    reason: str
    new_device: DeviceKind | None
    devices: tuple[str, ...] = ()

    def by(self, person: Person, at: datetime) -> Details:
        """Give it as the details that somebody gives."""
        return Details(self.reason, person.arn, at, wanted=self.new_device, devices=self.devices)


@dataclass(frozen=True, slots=True)
class Shown:
    """A request with all that is recorded of it, the oldest first."""

    request: ChangeRequest
    history: list[HistoryEntry]


@dataclass(frozen=True, slots=True)
class _Desk:
    """What both desks have in common."""

    account_id: str
    store: Store
    iam_of: Callable[[str], IamReader]
    """Gives the reader of an account's IAM."""
    policy: Policy
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def _step(self, by: Person) -> Step:
        return Step(by, self.clock(), self.new_id(), self.policy)

    def _found(self, request_id: str, seen: int | None = None) -> ChangeRequest:
        """Give the request. ``seen``: the version that the caller has decided about."""
        request = self.store.request(request_id) if _REQUEST_ID.fullmatch(request_id) else None
        if request is None:
            raise _no_such(request_id)
        return _as_seen(request, seen)

    def _user_of(self, request: ChangeRequest) -> User:
        return self.store.user(request.subject) or User(request.subject, request.subject_name)

    def _devices_of(self, user: User, request: ChangeRequest) -> tuple[Device, ...] | None:
        """Ask IAM for the devices of the user with that id; None if there is none any more."""
        live = look(
            self.iam_of(user.key.account_id),
            user.key,
            (user.name, request.subject_name),
            frozenset({Fact.IDENTITY, Fact.DEVICES}),
        )
        return (live.devices or ()) if live and live.exists else None

    def _commit(self, decision: Decision, step: Step) -> ChangeRequest:
        self.store.commit(decision, now=step.at)
        request = decision.request
        assert request is not None  # noqa: S101 - a desk's decisions are all about a request
        return replace(request, version=request.version + 1)

    def _shown(self, request: ChangeRequest) -> Shown:
        return Shown(request, self.store.request_history(request.id))


def _no_such(request_id: str) -> NoSuchRequestError:
    return NoSuchRequestError(f"there is no request {request_id[:40]}")


def _as_seen(request: ChangeRequest, version: int | None) -> ChangeRequest:
    if version is not None and version != request.version:
        raise LostRaceError(f"{request.id} is at version {request.version} by now")
    return request


@dataclass(frozen=True, slots=True)
class ChangeDesk(_Desk):
    """The requesters' desk: an IAM user sees and files his own requests, a service desk anybody's.

    Users of member accounts come here, too; the service desk is in the watcher's own account.
    Somebody else's request is, to a user, one that does not exist.
    """

    accounts: Accounts

    def list(self, by: Person, search: RequestSearch) -> RequestPage:
        """Give a page of the requests that the caller may know of. Raises NotAllowedError."""
        own = self._own(by)
        if own:
            if search.subject_name and search.subject_name.casefold() != by.name.casefold():
                raise NotAllowedError("you see your own requests only; leave `subject` out")
            search = replace(search, subject=own, subject_name=None)
        return self.store.requests(search)

    def show(self, by: Person, request_id: str) -> Shown:
        """Give a request with its history. Raises NotAllowedError, NoSuchRequestError."""
        return self._shown(self._of(by, request_id))

    def file(
        self,
        by: Person,
        user_name: str | None = None,
        wanted: Wanted | None = None,
        *,
        account_id: str | None = None,
        source_ip: str | None = None,
    ) -> ChangeRequest:
        """Open a request for the caller himself, or as a service desk for a user of any account.

        Raises NotAllowedError, NoSuchUserError, ActiveRequestError, UnfitDetailsError,
        WrongStepError if the user has no device, LostRaceError, IamReadError, WorldError.
        """
        step = self._step(by)
        own = self._own(by)
        name = user_name or by.name
        if own and name.casefold() != by.name.casefold():
            raise NotAllowedError("you can file for yourself only; the service desk files for all")
        if own is None and not user_name:
            raise NotAllowedError("you are no IAM user; name in `user_name` whom it is for")
        account_id = self._account(own, account_id)
        iam = self.iam_of(account_id)
        found = iam.user(name)
        devices = iam.devices(name) if found else None
        if found is None or devices is None or (own and own.user_id != found.user_id):
            raise NoSuchUserError(f"there is no IAM user {name} in account {account_id}")
        key = UserKey(account_id, found.user_id)
        user = self.store.user(key) or User(key, found.name)
        self._refuse_second(user)
        details = wanted.by(by, step.at) if wanted else None
        decision = desk.file(step, user, devices, details, source_ip=source_ip)
        return self._commit(decision, step)

    def give_details(
        self, by: Person, request_id: str, wanted: Wanted, seen: int | None = None
    ) -> ChangeRequest:
        """Say what the user wants, and why. To say the same again changes nothing.

        Raises NotAllowedError, NoSuchRequestError, WrongStepError, UnfitDetailsError,
        LostRaceError, IamReadError.
        """
        request = self._of(by, request_id, seen)
        step = self._step(by)
        details = wanted.by(by, step.at)
        given = request.details
        if given and replace(details, given_at=given.given_at) == given:
            return request
        request.submitted(details, self.policy)  # refused, if at all, before IAM is asked
        user = self._user_of(request)
        devices = self._devices_of(user, request)
        if devices is None:
            raise NoSuchUserError(f"the user {user.name} is not there any more")
        return self._commit(desk.give_details(step, user, request, details, devices), step)

    def cancel(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Withdraw it. Raises as ``show`` does, WrongStepError, and LostRaceError."""
        request = self._of(by, request_id, seen)
        step = self._step(by)
        return self._commit(desk.cancel(step, self._user_of(request), request, reason), step)

    def _own(self, by: Person) -> UserKey | None:
        """Give whose requests the caller may know of; None: everybody's."""
        if by.is_iam_user:
            return UserKey(by.account_id, by.user_id)
        if by.account_id == self.account_id and self.policy.is_service_desk(by.role_name):
            return None
        raise NotAllowedError(
            "only IAM users, for themselves, and the service desk's roles in account"
            f" {self.account_id} are served here;"
            " approvers use the approval desk"
        )

    def _account(self, own: UserKey | None, named: str | None) -> str:
        """Give the account of whom a request is for: a user's is his own."""
        account_id = own.account_id if own else self.account_id
        if named in {None, account_id}:
            return account_id
        assert named is not None  # noqa: S101 - mypy does not see it
        if own:
            raise NotAllowedError("you can file for yourself only; leave `account_id` out")
        if not self.accounts.include(named):
            raise NoSuchUserError(f"account {named} is not watched")
        return named

    def _of(self, by: Person, request_id: str, seen: int | None = None) -> ChangeRequest:
        own = self._own(by)
        request = self._found(request_id)
        if own and request.subject != own:
            raise _no_such(request_id)
        return _as_seen(request, seen)

    def _refuse_second(self, user: User) -> None:
        current = self.store.request(user.request_id) if user.request_id else None
        if current and current.state.is_active:
            raise ActiveRequestError(
                f"{user.name} has the request {current.id} already, which is {current.state};"
                " go on with that one"
            )


@dataclass(frozen=True, slots=True)
class ApprovalDesk(_Desk):
    """The approvers' desk. IAM lets in whoever may approve; the four eyes are seen to here."""

    def list(self, search: RequestSearch) -> RequestPage:
        """Give a page of all requests."""
        return self.store.requests(search)

    def show(self, request_id: str) -> Shown:
        """Give a request with its history. Raises NoSuchRequestError."""
        return self._shown(self._found(request_id))

    def approve(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Approve the removal of what IAM says is there now.

        This and the other steps raise NoSuchRequestError, WrongStepError, FourEyesError and
        LostRaceError; those that ask IAM, IamReadError.
        """
        request = self._found(request_id, seen)
        request.refuse_approval(by)
        step, user = self._step(by), self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(desk.approve(step, user, request, reason, devices), step)

    def reject(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Turn it down, or take an approval back."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(desk.reject(step, self._user_of(request), request, reason), step)

    def reopen(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Open a window that is over once more. Asks IAM."""
        request = self._found(request_id, seen)
        step = self._step(by)
        request.refuse_reopening(by, step.at)
        user = self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(desk.reopen(step, user, request, reason, devices), step)

    def cancel(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Withdraw it in the user's place."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(desk.cancel(step, self._user_of(request), request, reason), step)

    def acknowledge(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Close a violation with the security team's word on it."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(desk.acknowledge(step, self._user_of(request), request, reason), step)
