"""Change requests that are due: reminders, cancellation, expiry."""

from collections.abc import Iterator
from dataclasses import dataclass

from mfa_watcher.domain.requests.expiry import decide_request_due
from mfa_watcher.domain.users.user import User
from mfa_watcher.domain.users.user_state import ALL_FACTS, Situation
from mfa_watcher.usecases.due import DueResult, Evaluated, EvaluateDue
from mfa_watcher.usecases.read_user import read_user


@dataclass(frozen=True, slots=True)
class ExpireRequests(EvaluateDue):
    """Evaluates change requests that are due."""

    def due(self) -> Iterator[str]:
        """Return the ids of the requests that are due now."""
        return self.store.due_requests(now=self.clock())

    def expire(self, request_id: str) -> Evaluated:
        """Evaluate one request.

        Raises IamReadError if IAM does not answer; the request then stays due.
        """
        request, now = self.store.request(request_id), self.clock()
        if request is None or request.due_at is None or request.due_at > now:
            return Evaluated(DueResult.NOT_DUE)
        key = request.subject
        user = self.store.user(key) or User(key, request.subject_name)
        names = (user.name, request.subject_name)
        iam_state = read_user(self.iam_of(key.account_id), key, names, ALL_FACTS)
        event_id = f"due-{request.id}-{request.version}"
        situation = Situation(event_id, now, None, user, self.policy, request, iam_state)
        return self._commit(decide_request_due(situation), now)
