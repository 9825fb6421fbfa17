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
from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest, Details
from mfa_watcher.domain.requests.steps import RequestStep
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User, UserKey
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
class AskedStep:
    """A step that somebody asks for, with a reason. ``version`` is the one that they have read."""

    by: Person
    request_id: str
    reason: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Reads requests and users, and commits steps."""

    account_id: str
    store: Store
    iam_of: Callable[[str], IamReader]
    policy: Policy
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def show(self, by: Person, request_id: str) -> RequestWithHistory:
        """Return a request with its history. Raises NoSuchRequestError and NotAllowedError."""
        request = self._request(by, request_id)
        return RequestWithHistory(request, self.store.request_history(request.id))

    def cancel(self, asked: AskedStep) -> ChangeRequest:
        """Cancel a request. Raises as ``show`` does, WrongStepError, and LostRaceError."""
        step = self._step(asked)
        return self._commit(step, steps.cancel(step))

    def _own_key(self, _by: Person) -> UserKey | None:
        """Return the key of the only user whose requests the caller may see; None: all users."""
        return None

    def _request(self, by: Person, request_id: str) -> ChangeRequest:
        own = self._own_key(by)
        request = self.store.request(request_id) if _REQUEST_ID.fullmatch(request_id) else None
        if request is None or (own and request.subject != own):
            raise NoSuchRequestError(f"there is no request {request_id[:40]}")
        return request

    def _step(self, asked: AskedStep) -> RequestStep:
        request, version = self._request(asked.by, asked.request_id), asked.version
        if version is not None and version != request.version:
            raise LostRaceError(f"{request.id} has version {request.version} now")
        user = self.store.user(request.subject) or User(request.subject, request.subject_name)
        now, event_id = self.clock(), self.new_id()
        return RequestStep(asked.by, now, event_id, self.policy, user, request, asked.reason)

    def _devices_of(self, step: RequestStep) -> tuple[Device, ...] | None:
        """Return the user's devices as IAM lists them; None if the user does not exist any more."""
        key, names = step.user.key, (step.user.name, step.request.subject_name)
        facts = frozenset({Fact.IDENTITY, Fact.DEVICES})
        iam_state = read_user(self.iam_of(key.account_id), key, names, facts)
        return (iam_state.devices or ()) if iam_state and iam_state.exists else None

    def _commit(self, step: RequestStep, decision: UserDecision) -> ChangeRequest:
        self.store.commit(decision, now=step.at)
        request = decision.request
        assert request is not None  # noqa: S101 - each step of a desk is about a request
        return replace(request, version=request.version + 1)
