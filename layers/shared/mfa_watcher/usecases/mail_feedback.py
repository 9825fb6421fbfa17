"""From SES's report about a mail to what follows: history, a bad address, the same mail again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport, decide_feedback
from mfa_watcher.domain.notifications.mails import UserMail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError, UnactionableError
from mfa_watcher.ports.outbox import Outbox
from mfa_watcher.ports.store import Store

RACES = 5
"""How often a decision that lost a race is made anew before the queue has to try again."""


class FeedbackResult(StrEnum):
    """What became of a report."""

    DECIDED = "decided"
    NOTED = "noted"
    DUPLICATE = "duplicate"
    NOT_OURS = "not_ours"


@dataclass(frozen=True, slots=True)
class RecordedFeedback:
    """What was done about a report. ``event_id`` is the CloudTrail event behind the mail."""

    report: MailReport
    result: FeedbackResult
    event_id: str | None = None
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordMailFeedback:
    """Takes what SES reports about our mails."""

    store: Store
    outbox: Outbox
    policy: Policy
    clock: Callable[[], datetime]

    def read(self, report: MailReport) -> RecordedFeedback:
        """Act on a report. Safe to call any number of times, and in any order of reports.

        The decision is committed first and the intent's outcome noted after it, whether the
        decision is new or not: a crash in between is made up for when the queue hands the report
        over again. Raises UnactionableError for a report too old to tell from a duplicate,
        LostRaceError if others keep winning.
        """
        sent = self.outbox.look_up(report.intent_id) if report.intent_id else None
        if sent is None or isinstance(sent.intent.act, Alert):
            return RecordedFeedback(report, FeedbackResult.NOT_OURS)
        if self.clock() - report.at > self.policy.remember_events:
            raise UnactionableError(
                f"the report is of {report.at:%Y-%m-%d}, too old to tell whether it was read before"
            )
        report = replace(report, to=sent.to or report.to)
        if sent.unmarked:
            # Whoever sent it has not noted that, and perhaps never will: it must not go out again.
            to, now = report.to or "its recipient", self.clock()
            with suppress(LostRaceError):
                self.outbox.mark_sent(sent.unmarked, receipt=report.message_id, to=to, now=now)
        reading = record_report(self.store, report, sent.intent, now=self.clock())
        if report.concerns(report.to):
            self.outbox.record_outcome(sent.intent.id, report.outcome, at=report.at)
        return reading


def record_report(
    store: Store, report: MailReport, intent: Intent, *, now: datetime, in_hand: bool = False
) -> RecordedFeedback:
    """Decide about a report and commit the decision.

    A mail that is still ``in_hand`` is not sent anew. Raises LostRaceError if others keep winning.
    """
    if report.outcome is MailOutcome.SENT:
        return RecordedFeedback(
            report, FeedbackResult.NOTED, intent.event_id
        )  # no need to read the user
    for _ in range(RACES):
        user = store.user(intent.act.user) if isinstance(intent.act, UserMail) else None
        decision = decide_feedback(report, intent, user, in_hand=in_hand)
        if decision is None:
            return RecordedFeedback(report, FeedbackResult.NOTED, intent.event_id)
        try:
            store.commit(decision, now=now)
        except LostRaceError:
            continue
        except AlreadyDecidedError:
            return RecordedFeedback(report, FeedbackResult.DUPLICATE, intent.event_id)
        return RecordedFeedback(report, FeedbackResult.DECIDED, intent.event_id, decision.effects)
    raise LostRaceError(f"report {report.id}: lost {RACES} races for the same user")
