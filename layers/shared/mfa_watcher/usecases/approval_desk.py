"""The approval desk: where approvers decide about change requests."""

from dataclasses import dataclass

from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.desk import RequestWithHistory, _Desk


@dataclass(frozen=True, slots=True)
class ApprovalDesk(_Desk):
    """The approvers' desk. IAM lets in whoever may approve; the four eyes are seen to here."""

    def list(self, search: RequestSearch) -> RequestPage:
        """Give a page of all requests."""
        return self.store.requests(search)

    def show(self, request_id: str) -> RequestWithHistory:
        """Give a request with its history. Raises NoSuchRequestError."""
        return self._shown(self._found(request_id))

    def approve(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Approve the removal of what IAM says is there now.

        This and the other steps raise NoSuchRequestError, WrongStepError, SegregationOfDutiesError and
        LostRaceError; those that ask IAM, IamReadError.
        """
        request = self._found(request_id, seen)
        request.refuse_approval(by)
        step, user = self._step(by), self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(steps.approve(step, user, request, reason, devices), step)

    def reject(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Turn it down, or take an approval back."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(steps.reject(step, self._user_of(request), request, reason), step)

    def reopen(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Open a window that is over once more. Asks IAM."""
        request = self._found(request_id, seen)
        step = self._step(by)
        request.refuse_reopening(by, step.at)
        user = self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(steps.reopen(step, user, request, reason, devices), step)

    def cancel(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Withdraw it in the user's place."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(steps.cancel(step, self._user_of(request), request, reason), step)

    def acknowledge(
        self, by: Person, request_id: str, reason: str, seen: int | None = None
    ) -> ChangeRequest:
        """Close a violation with the security team's word on it."""
        request = self._found(request_id, seen)
        step = self._step(by)
        return self._commit(steps.acknowledge(step, self._user_of(request), request, reason), step)
