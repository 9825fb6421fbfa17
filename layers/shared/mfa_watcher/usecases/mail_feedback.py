"""SES's reports about our mails: history, bad addresses, mails that are sent again."""

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
from mfa_watcher.usecases.lost_races import attempts, lost_all_races


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
    """Records what SES reports about our mails, and what follows from it."""

    store: Store
    outbox: Outbox
    policy: Policy
    clock: Callable[[], datetime]

    def record(self, report: MailReport) -> RecordedFeedback:
        """Record a report. Safe to call any number of times, and in any order of reports.

        The decision is committed first and the intent's outcome after it, whether the decision is
        new or not. After a crash in between, the queue delivers the report again. Raises
        UnactionableError for a report too old to be told from a duplicate, and LostRaceError.
        """
        sent = self.outbox.look_up(report.intent_id) if report.intent_id else None
        if sent is None or isinstance(sent.intent.act, Alert):
            return RecordedFeedback(report, FeedbackResult.NOT_OURS)
        if self.clock() - report.at > self.policy.remember_events:
            raise UnactionableError(
                f"the report is of {report.at:%Y-%m-%d}, too old to know whether it was recorded"
            )
        report = replace(report, to=sent.to or report.to)
        if sent.unmarked:
            # The sender has not marked it as sent, and may have crashed: it must not be sent again.
            to, now = report.to or "its recipient", self.clock()
            with suppress(LostRaceError):
                self.outbox.mark_sent(sent.unmarked, receipt=report.message_id, to=to, now=now)
        recorded = record_report(self.store, report, sent.intent, now=self.clock())
        if report.concerns(report.to):
            self.outbox.record_outcome(sent.intent.id, report.outcome, at=report.at)
        return recorded


def record_report(
    store: Store, report: MailReport, intent: Intent, *, now: datetime, in_hand: bool = False
) -> RecordedFeedback:
    """Decide about a report and commit the decision. Raises LostRaceError.

    ``in_hand``: the caller is about to send the mail to the next address itself.
    """
    if report.outcome is MailOutcome.SENT:
        # Nothing follows from it, so the user need not be read.
        return RecordedFeedback(report, FeedbackResult.NOTED, intent.event_id)
    for attempt in attempts():
        with attempt:
            user = store.user(intent.act.user) if isinstance(intent.act, UserMail) else None
            decision = decide_feedback(report, intent, user, in_hand=in_hand)
            if decision is None:
                return RecordedFeedback(report, FeedbackResult.NOTED, intent.event_id)
            try:
                store.commit(decision, now=now)
            except AlreadyDecidedError:
                return RecordedFeedback(report, FeedbackResult.DUPLICATE, intent.event_id)
            return RecordedFeedback(
                report, FeedbackResult.DECIDED, intent.event_id, decision.effects
            )
    raise lost_all_races(f"report {report.id}")
