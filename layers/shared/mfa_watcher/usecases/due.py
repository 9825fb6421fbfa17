"""What users and change requests that are due have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.decision import Decision
from mfa_watcher.domain.policy import Policy
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.iam import IamReaderFactory
from mfa_watcher.ports.store import Store


class DueResult(StrEnum):
    """What became of a user or a request that was due."""

    DECIDED = "decided"
    NOT_DUE = "not_due"
    LOST_RACE = "lost_race"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What became of a user or a request, and the effects of the decision."""

    result: DueResult
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluateDue:
    """Evaluates what is due. Safe to run twice, late, and concurrently.

    A decision is committed only if the user's record and the request are unchanged since they were
    read. Of two runs that evaluate the same one, one changes nothing.
    """

    store: Store
    iam_of: IamReaderFactory
    policy: Policy
    clock: Callable[[], datetime]

    def _commit(self, decision: Decision, now: datetime) -> Evaluated:
        try:
            self.store.commit(decision, now=now)
        except (LostRaceError, AlreadyDecidedError):
            return Evaluated(DueResult.LOST_RACE)
        return Evaluated(DueResult.DECIDED, decision.effects)
