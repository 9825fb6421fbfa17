"""The approval desk: where approvers decide about change requests."""

from dataclasses import dataclass

from mfa_watcher.domain.requests import steps
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.desk import AskedStep, Desk


@dataclass(frozen=True, slots=True)
class ApprovalDesk(Desk):
    """Where approvers decide. IAM admits the approvers; segregation of duties is enforced here."""

    def list(self, search: RequestSearch) -> RequestPage:
        """Return a page of all requests."""
        return self.store.requests(search)

    def approve(self, asked: AskedStep) -> ChangeRequest:
        """Approve the removal of the named devices that IAM still lists.

        This and the other steps raise NoSuchRequestError, WrongStepError, SegregationOfDutiesError
        and LostRaceError; those that read IAM also raise IamReadError.
        """
        step = self._step(asked)
        step.request.refuse_approval(step.by)
        return self._commit(step, steps.approve(step, self._devices_of(step)))

    def reject(self, asked: AskedStep) -> ChangeRequest:
        """Reject a request, or withdraw an approval."""
        step = self._step(asked)
        return self._commit(step, steps.reject(step))

    def reopen(self, asked: AskedStep) -> ChangeRequest:
        """Open the window of a request again. Reads IAM."""
        step = self._step(asked)
        step.request.refuse_reopening(step.by, step.at)
        return self._commit(step, steps.reopen(step, self._devices_of(step)))

    def acknowledge(self, asked: AskedStep) -> ChangeRequest:
        """Close a violation, with the security team's reason."""
        step = self._step(asked)
        return self._commit(step, steps.acknowledge(step))
