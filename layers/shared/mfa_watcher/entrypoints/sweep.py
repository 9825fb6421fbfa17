"""The sweep's way in: from a schedule to accounts in a queue, and from there to their users."""

from dataclasses import asdict, replace
from datetime import timedelta

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict

from mfa_watcher.adapters.sweep_queue import read_task
from mfa_watcher.domain.sweep.comparison import SweepTask
from mfa_watcher.domain.sweep.user_inventory import SweepResult
from mfa_watcher.ports.errors import UnactionableError
from mfa_watcher.ports.queues import DeadLetters, SweepQueue
from mfa_watcher.usecases.sweep import Postponed, SweepAccounts

logger = Logger()
metrics = Metrics()

RETRY_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""When a sweep that something went wrong with is tried again; after that it is set aside."""


class SweepInput(BaseModel):
    """What the function is called with: by the schedule nothing, by a person what he wants."""

    model_config = ConfigDict(extra="ignore")

    accounts: tuple[str, ...] = ()
    """Account ids; none: all."""
    at_once: bool = False
    """Take the credential report that is there, although IAM will renew it within minutes."""
    read_devices: bool = False
    """Read all users of whom not all devices are known, a call each."""


class Sweep:
    """Puts accounts into the queue, and sweeps those that come out of it."""

    def __init__(
        self,
        sweeper: SweepAccounts,
        queue: SweepQueue,
        dead_letters: DeadLetters,
        *,
        max_receives: int,
    ) -> None:
        """Take what sweeps, its queue, and where an account goes that cannot be swept."""
        self._max_receives = max_receives
        self._sweeper = sweeper
        self._queue = queue
        self._dead_letters = dead_letters

    def order(self, call: object) -> dict[str, object]:
        """Have accounts swept; gives which, and the name of the run."""
        asked = SweepInput.model_validate(call)
        orders = self._sweeper.order(
            asked.accounts, at_once=asked.at_once, read_devices=asked.read_devices
        )
        accounts = [order.account_id for order in orders]
        metrics.add_metric("SweepsOrdered", MetricUnit.Count, len(accounts))
        logger.info("Ordered", run=orders[0].run if orders else None, accounts=accounts)
        return {"run": orders[0].run if orders else None, "accounts": accounts}

    def take(self, record: SQSRecord, lambda_context: LambdaContext) -> None:
        """Sweep the account of a message, put it back, or set it aside with the reason.

        What the queue itself hands out again comes no sooner than a function may run: that is left
        for crashes, and for a queue that does not take the account back.
        """
        try:
            order = read_task(record.body)
            logger.set_correlation_id(f"sweep-{order.run}-{order.account_id}")
            self._sweep(order, lambda_context)
        except UnactionableError as error:
            self._set_aside(record, str(error))
        except Exception as error:
            if int(record.attributes.approximate_receive_count) < self._max_receives:
                raise
            logger.exception("The last receive failed")
            self._set_aside(record, _describe(error))
        finally:
            logger.remove_keys(["correlation_id"])

    def _set_aside(self, record: SQSRecord, reason: str) -> None:
        source = record.event_source_arn.rsplit(":", 1)[-1]
        self._dead_letters.set_aside(record.body, reason=reason, source_queue=source)
        logger.error("Set aside", reason=reason, message_id=record.message_id)
        metrics.add_metric("SweepsSetAside", MetricUnit.Count, 1)

    def _sweep(self, order: SweepTask, context: LambdaContext) -> None:
        try:
            done = self._sweeper.sweep(
                order, seconds_left=lambda: context.get_remaining_time_in_millis() / 1000
            )
        except UnactionableError:
            raise
        except Exception as error:
            if order.tries >= len(RETRY_DELAYS):
                logger.exception("The last try failed")
                raise UnactionableError(_describe(error)) from error
            logger.warning("Will be tried again", tries=order.tries, exc_info=True)
            again = replace(order, tries=order.tries + 1)
            self._queue.send(again, delay=RETRY_DELAYS[order.tries])
            return
        if isinstance(done, Postponed):
            logger.info("Waits", why=done.why, seconds=done.delay.total_seconds())
            self._queue.send(done.order, delay=done.delay)
        else:
            _log_sweep(done)


def _describe(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return f"{error.message}: {len(error.exceptions)}, such as {error.exceptions[0]}"
    return f"{type(error).__name__}: {error}"


def _log_sweep(swept: SweepResult) -> None:
    users = asdict(swept.user_counts)
    logger.info(
        "Swept",
        account_id=swept.account_id,
        report_at=swept.report_at.isoformat(),
        iam_calls=swept.iam_calls,
        candidates=swept.candidates,
        differences=swept.differences,
        decided=swept.decided,
        lost=swept.lost,
        users=users,
    )
    metrics.add_metric("SweepsEnded", MetricUnit.Count, 1)
    metrics.add_metric("SweepIamCalls", MetricUnit.Count, swept.iam_calls)
    metrics.add_metric("SweepDifferences", MetricUnit.Count, swept.differences)
    metrics.add_metric("EventsLost", MetricUnit.Count, sum(swept.lost.values()))
    metrics.add_metric("Users", MetricUnit.Count, swept.user_counts.users)
    for name in ("unprotected", "only_virtual", "single_device", "phishing_resistant"):
        metrics.add_metric(f"Users_{name}", MetricUnit.Count, users[name])
