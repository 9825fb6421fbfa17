"""Messages of the queues: CloudTrail's events, SES's reports about mails, accounts to sweep.

Each class takes one message, which the batch processor passes as ``record``, and calls one use
case. A message that cannot be acted on is set aside in the dead letters with the reason; the rest
of its batch goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from mfa_watcher.domain.sweep.user_inventory import SweepResult
from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError, parse_event
from mfa_watcher.entrypoints.parsing.ses import parse_report
from mfa_watcher.entrypoints.parsing.sweep_tasks import parse_task
from mfa_watcher.ports.errors import UnactionableError
from mfa_watcher.ports.queues import DeadLetters, SweepQueue
from mfa_watcher.usecases.mail_feedback import RecordMailFeedback
from mfa_watcher.usecases.observe import ObserveEvents
from mfa_watcher.usecases.record_heartbeat import RecordHeartbeat
from mfa_watcher.usecases.sweep import Postponed, SweepAccounts

logger = Logger()
metrics = Metrics()

SWEEP_RETRY_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""When a sweep that failed is tried again; after the last of them it is set aside."""


@dataclass(frozen=True, slots=True)
class UnusableMessages:
    """Sets messages aside that no retry can help."""

    dead_letters: DeadLetters
    max_receives: int
    """How often the queue delivers a message before it gives it up."""
    metric: str
    """What the metrics count: ``<metric>SetAside`` and ``<metric>Retried``."""

    @contextmanager
    def set_aside(self, message: SQSRecord) -> Iterator[None]:
        """Act on a message inside this context. What it raises may be tried again.

        On the last receive a failed message is set aside too, because the queue's own redrive
        would move it without a reason.
        """
        try:
            yield
        except (DamagedEventError, UnactionableError) as error:
            self._set_aside(message, str(error))
        except Exception as error:
            receives = int(message.attributes.approximate_receive_count)
            if receives < self.max_receives:
                logger.warning("Will be tried again", receives=receives, exc_info=True)
                metrics.add_metric(f"{self.metric}Retried", MetricUnit.Count, 1)
                raise
            logger.exception("The last try failed")
            self._set_aside(message, _describe(error))
        finally:
            logger.remove_keys(["correlation_id"])

    def _set_aside(self, message: SQSRecord, reason: str) -> None:
        source = message.event_source_arn.rsplit(":", 1)[-1]
        self.dead_letters.set_aside(message.body, reason=reason, source_queue=source)
        logger.error("Set aside", reason=reason, message_id=message.message_id)
        metrics.add_metric(f"{self.metric}SetAside", MetricUnit.Count, 1)


@dataclass(frozen=True, slots=True)
class Observe:
    """Takes CloudTrail's events, and records that they arrive."""

    events: ObserveEvents
    heartbeats: RecordHeartbeat
    unusable: UnusableMessages

    def take(self, record: SQSRecord) -> None:
        """Observe the event of a message, or set it aside. Raises if it may be tried again."""
        with self.unusable.set_aside(record):
            event = parse_event(record.body)
            logger.set_correlation_id(event.id)
            observation = self.events.observe(event)
            signal = observation.signal
            logger.info(
                "Event observed",
                signal=signal.kind.value,
                outcome=signal.outcome.value if signal.outcome else None,
                subject=signal.subject,
                why=signal.why,
                result=observation.result.value,
                effects=observation.effects,
            )
            metrics.add_metric("EventsObserved", MetricUnit.Count, 1)
            metrics.add_metric(f"Events_{observation.result.value}", MetricUnit.Count, 1)
            self.heartbeats.record(event)


@dataclass(frozen=True, slots=True)
class MailFeedback:
    """Takes SES's reports about our mails."""

    feedback: RecordMailFeedback
    unusable: UnusableMessages

    def take(self, record: SQSRecord) -> None:
        """Record the report of a message, or set it aside. Raises if it may be tried again."""
        with self.unusable.set_aside(record):
            recorded = self.feedback.record(parse_report(record.body))
            report = recorded.report
            # A mail goes back to a CloudTrail event: one id follows it from there to the mailbox.
            logger.set_correlation_id(recorded.event_id)
            logger.info(
                "Report recorded",
                report=report.id,
                intent=report.intent_id,
                outcome=report.outcome.value,
                result=recorded.result.value,
                effects=recorded.effects,
            )
            metrics.add_metric(f"Mails_{report.outcome.value}", MetricUnit.Count, 1)


class SweepInput(BaseModel):
    """What the function is invoked with: nothing by the schedule, wishes by a person."""

    accounts: tuple[str, ...] = ()
    """Account ids; none: all."""
    at_once: bool = False
    """Use the existing credential report, although IAM will renew it within minutes."""
    read_devices: bool = False
    """Read all users whose devices are not all known, one call each."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Puts accounts into the sweep's queue, and sweeps those that the queue delivers."""

    accounts: SweepAccounts
    queue: SweepQueue
    unusable: UnusableMessages

    def enqueue(self, event: object) -> dict[str, object]:
        """Put accounts into the queue; return their ids and the name of the run."""
        wanted = SweepInput.model_validate(event)
        tasks = self.accounts.enqueue(
            wanted.accounts, at_once=wanted.at_once, read_devices=wanted.read_devices
        )
        run, accounts = tasks[0].run if tasks else None, [task.account_id for task in tasks]
        metrics.add_metric("SweepsOrdered", MetricUnit.Count, len(accounts))
        logger.info("Sweep enqueued", run=run, accounts=accounts)
        return {"run": run, "accounts": accounts}

    def take(self, record: SQSRecord, lambda_context: LambdaContext) -> None:
        """Sweep the account of a message, put it back for later, or set it aside.

        A failed sweep is put back with a delay. The queue's own redelivery comes only after the
        time that a function may run: it remains for crashes, and for a queue that does not accept
        the account again.
        """
        with self.unusable.set_aside(record):
            task = parse_task(record.body)
            logger.set_correlation_id(f"sweep-{task.run}-{task.account_id}")
            try:
                swept = self.accounts.sweep(
                    task,
                    seconds_left=lambda: lambda_context.get_remaining_time_in_millis() / 1000,
                )
            except UnactionableError:
                raise
            except Exception as error:
                if task.tries >= len(SWEEP_RETRY_DELAYS):
                    logger.exception("The last try failed")
                    raise UnactionableError(_describe(error)) from error
                logger.warning("Will be tried again", tries=task.tries, exc_info=True)
                again = replace(task, tries=task.tries + 1)
                self.queue.send(again, delay=SWEEP_RETRY_DELAYS[task.tries])
                return
            if isinstance(swept, Postponed):
                logger.info("Postponed", why=swept.why, seconds=swept.delay.total_seconds())
                self.queue.send(swept.task, delay=swept.delay)
            else:
                _log_sweep(swept)


def _describe(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return f"{error.message}: {len(error.exceptions)}, such as {error.exceptions[0]}"
    return f"{type(error).__name__}: {error}"


def _log_sweep(result: SweepResult) -> None:
    users = asdict(result.user_counts)
    logger.info(
        "Account swept",
        account_id=result.account_id,
        report_at=result.report_at.isoformat(),
        iam_calls=result.iam_calls,
        candidates=result.candidates,
        differences=result.differences,
        decided=result.decided,
        lost=result.lost,
        users=users,
    )
    metrics.add_metric("SweepsEnded", MetricUnit.Count, 1)
    metrics.add_metric("SweepIamCalls", MetricUnit.Count, result.iam_calls)
    metrics.add_metric("SweepDifferences", MetricUnit.Count, result.differences)
    metrics.add_metric("EventsLost", MetricUnit.Count, sum(result.lost.values()))
    metrics.add_metric("Users", MetricUnit.Count, result.user_counts.users)
    for name in ("unprotected", "only_virtual", "single_device", "phishing_resistant"):
        metrics.add_metric(f"Users_{name}", MetricUnit.Count, users[name])
