"""Change requests that are due: reminders, cancellation, expiry."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.expiry import decide_request_due
from mfa_watcher.domain.users.user import User
from mfa_watcher.domain.users.user_state import MFA_STATUS_FACTS, Fact, Situation
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.iam import IamReaderFactory
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.read_user import read_user


class ExpiryResult(StrEnum):
    """What became of a request that was due."""

    DECIDED = "decided"
    NOT_DUE = "not_due"
    LOST_RACE = "lost_race"


@dataclass(frozen=True, slots=True)
class EvaluatedRequest:
    """What became of one request, and the effects of the decision."""

    result: ExpiryResult
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpireRequests:
    """Evaluates change requests that are due. Safe to run twice, late, and concurrently.

    A decision is committed only if the request and its user's record are unchanged since they were
    read. Of two runs that evaluate the same request, one changes nothing.
    """

    store: Store
    iam_of: IamReaderFactory
    policy: Policy
    clock: Callable[[], datetime]

    def due(self) -> Iterator[str]:
        """Return the ids of the requests that are due now."""
        return self.store.due_requests(now=self.clock())

    def expire(self, request_id: str) -> EvaluatedRequest:
        """Evaluate one request.

        Raises IamReadError if IAM does not answer; the request then stays due.
        """
        request, now = self.store.request(request_id), self.clock()
        if request is None or request.due_at is None or request.due_at > now:
            return EvaluatedRequest(ExpiryResult.NOT_DUE)
        key = request.subject
        user = self.store.user(key) or User(key, request.subject_name)
        names = (user.name, request.subject_name)
        facts = MFA_STATUS_FACTS | {Fact.IDENTITY}
        iam_state = read_user(self.iam_of(key.account_id), key, names, facts)
        event_id = f"due-{request.id}-{request.version}"
        situation = Situation(event_id, now, None, user, self.policy, request, iam_state)
        decision = decide_request_due(situation)
        try:
            self.store.commit(decision, now=now)
        except (LostRaceError, AlreadyDecidedError):
            return EvaluatedRequest(ExpiryResult.LOST_RACE)
        return EvaluatedRequest(ExpiryResult.DECIDED, decision.effects)
