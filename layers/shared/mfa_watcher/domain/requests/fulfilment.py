"""Carrying out an approved request: what is noted at each step, and what follows from the end."""

from dataclasses import dataclass, replace
from datetime import datetime

from mfa_watcher.domain.decision import RequestDecision, UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import fulfilled_alert
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState, WrongStepError
from mfa_watcher.domain.requests.mails import fulfilled
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user_state import Situation, finish, update_from_iam

PASSWORD_SET = "new password set"  # noqa: S105 - a step's name


class CannotFulfilError(WrongStepError):
    """The user is not such that the request can be carried out; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How far the removal of one device is, as the request's steps tell."""

    serial: str
    done: tuple[str, ...]

    @property
    def deactivated(self) -> str:
        """The step that takes the device off the user."""
        return f"deactivated {self.serial}"

    @property
    def was_gone(self) -> str:
        """The step that finds the device off the user already."""
        return f"found {self.serial} deactivated"

    @property
    def deleted(self) -> str:
        """The step that deletes a virtual device, without which its name cannot be used again."""
        return f"deleted {self.serial}"

    @property
    def left(self) -> str:
        """The step that leaves a virtual device alone, because another user has it by now."""
        return f"left {self.serial}, which is in use elsewhere"

    @property
    def is_off_the_user(self) -> bool:
        """Tell whether the device is no way in for the user any more."""
        return not {self.deactivated, self.was_gone}.isdisjoint(self.done)

    @property
    def is_cleared(self) -> bool:
        """Tell whether nothing is left to delete, as far as it is ours to."""
        return not {self.deleted, self.left}.isdisjoint(self.done)


def record_step(
    event_id: str, at: datetime, request: ChangeRequest, what: str, by: Person
) -> RequestDecision:
    """Decide what changes the request alone: the beginning, a step, or the letting go."""
    state = request.state
    entry = HistoryEntry(
        About.REQUEST, request.id, at, event_id, what, by.arn, before=state, after=state
    )
    return RequestDecision(event_id, (entry,), request=request)


def decide_fulfilled(situation: Situation, request: ChangeRequest, by: Person) -> UserDecision:
    """Decide that all is carried out: the user's case is settled, he and security are told.

    ``request`` is being carried out, ``situation.live`` says what IAM says after the removals.
    """
    again = request.state is RequestState.FULFILLED
    done = request.with_step(PASSWORD_SET).fulfilled(situation.at, situation.policy)
    draft = replace(update_from_iam(situation), request=done, request_touched=True)
    draft = draft.adding(
        fulfilled(done, draft.user, situation.at),
        fulfilled_alert(done, draft.user, by, situation.at, again=again),
        effect=f"request {done.id} fulfilled",
    )
    return finish(situation, draft, "Request carried out", by.arn)
