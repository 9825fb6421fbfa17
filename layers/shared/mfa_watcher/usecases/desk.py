"""The two desks: where users ask for a change of their devices, and where approvers decide.

Each step reads the request and its user, decides, and commits in one transaction. What was changed
meanwhile is never overwritten: LostRaceError, and the person looks again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest, Details
from mfa_watcher.domain.requests.steps import RequestStep
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User
from mfa_watcher.domain.users.user_state import Fact
from mfa_watcher.ports.errors import LostRaceError, NoSuchRequestError
from mfa_watcher.ports.iam import IamReader
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.read_user import read_user

_REQUEST_ID = re.compile(r"PR-[0-9]{8}-[A-Z2-7]{8}")


class NotAllowedError(Exception):
    """The caller may not do this here; the text says who may."""


class ActiveRequestError(Exception):
    """The user has a request already, which comes first; the text names it."""


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What somebody asks for, before it is a request's details. All texts are hostile."""

    reason: str
    new_device: DeviceKind | None
    devices: tuple[str, ...] = ()

    def by(self, person: Person, at: datetime) -> Details:
        """Give it as the details that somebody gives."""
        return Details(self.reason, person.arn, at, wanted=self.new_device, devices=self.devices)


@dataclass(frozen=True, slots=True)
class RequestWithHistory:
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

    def _step(self, by: Person) -> RequestStep:
        return RequestStep(by, self.clock(), self.new_id(), self.policy)

    def _found(self, request_id: str, seen: int | None = None) -> ChangeRequest:
        """Give the request. ``seen``: the version that the caller has decided about."""
        request = self.store.request(request_id) if _REQUEST_ID.fullmatch(request_id) else None
        if request is None:
            raise _no_such(request_id)
        return _at_version(request, seen)

    def _user_of(self, request: ChangeRequest) -> User:
        return self.store.user(request.subject) or User(request.subject, request.subject_name)

    def _devices_of(self, user: User, request: ChangeRequest) -> tuple[Device, ...] | None:
        """Ask IAM for the devices of the user with that id; None if there is none any more."""
        iam_state = read_user(
            self.iam_of(user.key.account_id),
            user.key,
            (user.name, request.subject_name),
            frozenset({Fact.IDENTITY, Fact.DEVICES}),
        )
        return (iam_state.devices or ()) if iam_state and iam_state.exists else None

    def _commit(self, decision: UserDecision, step: RequestStep) -> ChangeRequest:
        self.store.commit(decision, now=step.at)
        request = decision.request
        assert request is not None  # noqa: S101 - a desk's decisions are all about a request
        return replace(request, version=request.version + 1)

    def _shown(self, request: ChangeRequest) -> RequestWithHistory:
        return RequestWithHistory(request, self.store.request_history(request.id))


def _no_such(request_id: str) -> NoSuchRequestError:
    return NoSuchRequestError(f"there is no request {request_id[:40]}")


def _at_version(request: ChangeRequest, version: int | None) -> ChangeRequest:
    if version is not None and version != request.version:
        raise LostRaceError(f"{request.id} is at version {request.version} by now")
    return request
