"""Fulfilment of an approved request: the record of each step, and the decision at the end."""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.decision import RequestDecision, UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.alerts import fulfilled_alert
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState, WrongStepError
from mfa_watcher.domain.requests.mails import fulfilled
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user_state import Situation, finish, update_from_iam

PASSWORD_SET = "new password set"  # noqa: S105 - a step's name
DEACTIVATED = "deactivated {}"
WAS_GONE = "found {} deactivated"
DELETED = "deleted {}"
"""Of a virtual device: its name can be used again."""
LEFT = "left {}, which is in use elsewhere"
"""Of a virtual device that is kept, because another user has it now."""


class CannotFulfilError(WrongStepError):
    """The user's state does not allow the fulfilment; the text says what to do."""


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
