"""What the change desk and the approval desk have in common.

Each step reads the request and its user, decides, and commits in one transaction. A change that
somebody else made meanwhile is never overwritten: the step raises LostRaceError, and the person
reads the request again.
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
    """The user already has an active request; the text names it."""


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What somebody asks for. All texts are hostile until escaped."""

    reason: str
    new_device: DeviceKind | None
    devices: tuple[str, ...] = ()

    def by(self, person: Person, at: datetime) -> Details:
        """Return it as the details of a request, given by a person."""
        return Details(self.reason, person.arn, at, wanted=self.new_device, devices=self.devices)


@dataclass(frozen=True, slots=True)
class RequestWithHistory:
    """A request with its history, the oldest entry first."""

    request: ChangeRequest
    history: list[HistoryEntry]


@dataclass(frozen=True, slots=True)
class Desk:
    """Reads requests and users, and commits steps."""

    account_id: str
    store: Store
    iam_of: Callable[[str], IamReader]
    policy: Policy
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def _step(self, by: Person) -> RequestStep:
        return RequestStep(by, self.clock(), self.new_id(), self.policy)

    def _request(self, request_id: str, version: int | None = None) -> ChangeRequest:
        """Return the request. ``version``: the one that the caller has read and decided about."""
        request = self.store.request(request_id) if _REQUEST_ID.fullmatch(request_id) else None
        if request is None:
            raise no_such_request(request_id)
        return at_version(request, version)

    def _user_of(self, request: ChangeRequest) -> User:
        return self.store.user(request.subject) or User(request.subject, request.subject_name)

    def _devices_of(self, user: User, request: ChangeRequest) -> tuple[Device, ...] | None:
        """Return the user's devices as IAM lists them; None if the user does not exist any more."""
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
        assert request is not None  # noqa: S101 - each step of a desk is about a request
        return replace(request, version=request.version + 1)

    def _with_history(self, request: ChangeRequest) -> RequestWithHistory:
        return RequestWithHistory(request, self.store.request_history(request.id))


def no_such_request(request_id: str) -> NoSuchRequestError:
    """Return the error for an id that no request has."""
    return NoSuchRequestError(f"there is no request {request_id[:40]}")


def at_version(request: ChangeRequest, version: int | None) -> ChangeRequest:
    """Return the request if it still has the version that was read. Raises LostRaceError."""
    if version is not None and version != request.version:
        raise LostRaceError(f"{request.id} has version {request.version} now")
    return request
