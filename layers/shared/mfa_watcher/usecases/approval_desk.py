"""The approval desk: where approvers decide about change requests."""

from dataclasses import dataclass

from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.desk import Desk, RequestWithHistory


@dataclass(frozen=True, slots=True)
class ApprovalDesk(Desk):
    """Where approvers decide. IAM admits the approvers; segregation of duties is enforced here."""

    def list(self, search: RequestSearch) -> RequestPage:
        """Return a page of all requests."""
        return self.store.requests(search)

    def show(self, request_id: str) -> RequestWithHistory:
        """Return a request with its history. Raises NoSuchRequestError."""
        return self._with_history(self._request(request_id))

    def approve(
        self, by: Person, request_id: str, reason: str, version: int | None = None
    ) -> ChangeRequest:
        """Approve the removal of the named devices that IAM still lists.

        This and the other steps raise NoSuchRequestError, WrongStepError, SegregationOfDutiesError
        and LostRaceError; those that read IAM also raise IamReadError.
        """
        request = self._request(request_id, version)
        request.refuse_approval(by)
        step, user = self._step(by), self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(steps.approve(step, user, request, reason, devices), step)

    def reject(
        self, by: Person, request_id: str, reason: str, version: int | None = None
    ) -> ChangeRequest:
        """Reject a request, or withdraw an approval."""
        request = self._request(request_id, version)
        step = self._step(by)
        return self._commit(steps.reject(step, self._user_of(request), request, reason), step)

    def reopen(
        self, by: Person, request_id: str, reason: str, version: int | None = None
    ) -> ChangeRequest:
        """Open the window of a request again. Reads IAM."""
        request = self._request(request_id, version)
        step = self._step(by)
        request.refuse_reopening(by, step.at)
        user = self._user_of(request)
        devices = self._devices_of(user, request)
        return self._commit(steps.reopen(step, user, request, reason, devices), step)

    def cancel(
        self, by: Person, request_id: str, reason: str, version: int | None = None
    ) -> ChangeRequest:
        """Cancel a request on behalf of the user."""
        request = self._request(request_id, version)
        step = self._step(by)
        return self._commit(steps.cancel(step, self._user_of(request), request, reason), step)

    def acknowledge(
        self, by: Person, request_id: str, reason: str, version: int | None = None
    ) -> ChangeRequest:
        """Close a violation, with the security team's reason."""
        request = self._request(request_id, version)
        step = self._step(by)
        return self._commit(steps.acknowledge(step, self._user_of(request), request, reason), step)
