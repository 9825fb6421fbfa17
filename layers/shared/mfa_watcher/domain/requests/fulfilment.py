"""Fulfilment of an approved request: the record of each step, and the decision at the end."""

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
    """The user's state does not allow the fulfilment; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How far the removal of one device is, according to the request's steps."""

    serial: str
    done: tuple[str, ...]

    @property
    def deactivated(self) -> str:
        """Return the step for a device that was deactivated."""
        return f"deactivated {self.serial}"

    @property
    def was_gone(self) -> str:
        """Return the step for a device that was deactivated already."""
        return f"found {self.serial} deactivated"

    @property
    def deleted(self) -> str:
        """Return the step for a deleted virtual device: its name can be used again."""
        return f"deleted {self.serial}"

    @property
    def left(self) -> str:
        """Return the step for a virtual device that is kept, because another user has it now."""
        return f"left {self.serial}, which is in use elsewhere"

    @property
    def is_off_the_user(self) -> bool:
        """Return whether the user cannot sign in with the device any more."""
        return not {self.deactivated, self.was_gone}.isdisjoint(self.done)

    @property
    def is_cleared(self) -> bool:
        """Return whether the virtual device need not be deleted any more."""
        return not {self.deleted, self.left}.isdisjoint(self.done)


def record_step(
    event_id: str, at: datetime, request: ChangeRequest, what: str, by: Person
) -> RequestDecision:
    """Return a decision that changes only the request: the start, a step, or the release."""
    state = request.state
    entry = HistoryEntry(
        About.REQUEST, request.id, at, event_id, what, by.arn, before=state, after=state
    )
    return RequestDecision(event_id, (entry,), request=request)


def decide_fulfilled(situation: Situation, request: ChangeRequest, by: Person) -> UserDecision:
    """Return the decision at the end: the user's state is updated, user and security notified.

    ``request`` is being fulfilled. ``situation.iam_state`` is read after the removals.
    """
    again = request.state is RequestState.FULFILLED
    done = request.with_step(PASSWORD_SET).fulfilled(situation.at, situation.policy)
    draft = replace(update_from_iam(situation), request=done, request_changed=True)
    draft = draft.adding(
        fulfilled(done, draft.user, situation.at),
        fulfilled_alert(done, draft.user, by, situation.at, again=again),
        effect=f"request {done.id} fulfilled",
    )
    return finish(situation, draft, "Request fulfilled", by.arn)
