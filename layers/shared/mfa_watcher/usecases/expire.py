"""From a change request that is due to a committed decision."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.expiry import decide_request_due
from mfa_watcher.domain.users.user import User
from mfa_watcher.domain.users.user_state import MFA_STATUS_FACTS, Fact, Situation
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.iam import IamReader
from mfa_watcher.ports.store import Store
from mfa_watcher.usecases.read_user import read_user


class ExpiryResult(StrEnum):
    """What became of a request that was due."""

    DECIDED = "decided"
    NOT_DUE = "not_due"
    LOST_RACE = "lost_race"


@dataclass(frozen=True, slots=True)
class ExpiredRequest:
    """What became of one request, and what was done."""

    result: ExpiryResult
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpireRequests:
    """Looks at change requests that are due. Safe to run twice, late, and at the same time.

    Each look is committed under the versions of the request and of its user's record that it was
    decided from, so of two that meet at a request one changes nothing, and it stays due.
    """

    store: Store
    iam_of: Callable[[str], IamReader]
    policy: Policy
    clock: Callable[[], datetime]

    def due(self) -> Iterator[str]:
        """Give the ids of the requests that are due now."""
        return self.store.due_requests(now=self.clock())

    def expire(self, request_id: str) -> ExpiredRequest:
        """Look at one request. Raises IamReadError if IAM does not answer: it stays due."""
        request, now = self.store.request(request_id), self.clock()
        if request is None or request.due_at is None or request.due_at > now:
            return ExpiredRequest(ExpiryResult.NOT_DUE)
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
            return ExpiredRequest(ExpiryResult.LOST_RACE)
        return ExpiredRequest(ExpiryResult.DECIDED, decision.effects)
