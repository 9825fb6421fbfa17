"""What the schedules start: reminders, expiry of change requests, quarantine, the watch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from mfa_watcher.entrypoints.due import DueItems
from mfa_watcher.usecases.due import Evaluated
from mfa_watcher.usecases.expire import ExpireRequests
from mfa_watcher.usecases.quarantine import QuarantineUsers
from mfa_watcher.usecases.remind import RemindUsers
from mfa_watcher.usecases.watch import WatchHeartbeats

logger = Logger()
metrics = Metrics()

_SECONDS_PER_ITEM = 5.0
"""Enough for the slowest user or request: three reads of IAM, one write, and one commit."""


@dataclass(frozen=True, slots=True)
class Remind:
    """Evaluates the users who are due."""

    users: RemindUsers

    def run(self, *, seconds_left: Callable[[], float]) -> dict[str, int]:
        """Evaluate all users who are due, if it is mailing time; return how many ended how.

        A user whose evaluation fails stays due; the errors are raised at the end.
        """
        metrics.add_metric("RemindRuns", MetricUnit.Count, 1)
        if not self.users.is_mailing_time():
            logger.info("Outside the mail hours")
            return {}
        due, counts = DueItems(seconds_left, seconds_per_item=_SECONDS_PER_ITEM), Counter[str]()
        for key in due.in_time(self.users.due()):
            with due.keep_error(user_id=key.user_id):
                evaluated = self.users.remind(key)
                counts[evaluated.result] += 1
                logger.info("User evaluated", user_id=key.user_id, **_outcome(evaluated))
        counts["unreachable"] = self.users.report_unreachable()
        total = counts.total() + len(due.errors)
        metrics.add_metric("UsersEvaluated", MetricUnit.Count, total)
        due.raise_errors("users who could not be evaluated")
        return dict(counts)


@dataclass(frozen=True, slots=True)
class Expire:
    """Evaluates the change requests that are due."""

    requests: ExpireRequests

    def run(self, *, seconds_left: Callable[[], float]) -> dict[str, int]:
        """Evaluate all requests that are due; return how many ended how.

        A request whose evaluation fails stays due; the errors are raised at the end.
        """
        metrics.add_metric("ExpireRuns", MetricUnit.Count, 1)
        due, counts = DueItems(seconds_left, seconds_per_item=_SECONDS_PER_ITEM), Counter[str]()
        for request_id in due.in_time(self.requests.due()):
            with due.keep_error(request_id=request_id):
                evaluated = self.requests.expire(request_id)
                counts[evaluated.result] += 1
                logger.info("Request evaluated", request_id=request_id, **_outcome(evaluated))
        total = counts.total() + len(due.errors)
        metrics.add_metric("RequestsEvaluated", MetricUnit.Count, total)
        due.raise_errors("requests that could not be evaluated")
        return dict(counts)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Quarantines and releases the users who are due."""

    users: QuarantineUsers

    def run(self, *, seconds_left: Callable[[], float]) -> dict[str, str]:
        """Quarantine and release all users who are due; return what was done, by user id.

        A user whose quarantine fails stays due; the errors are raised at the end.
        """
        due, done = DueItems(seconds_left, seconds_per_item=_SECONDS_PER_ITEM), dict[str, str]()
        for key in due.in_time(self.users.due()):
            with due.keep_error(user_id=key.user_id):
                done[key.user_id] = self.users.apply(key)
                logger.info("Quarantine applied", user_id=key.user_id, done=done[key.user_id])
        metrics.add_metric("QuarantinesApplied", MetricUnit.Count, len(done))
        due.raise_errors("users whose quarantine could not be applied")
        return done


@dataclass(frozen=True, slots=True)
class Watch:
    """Watches the heartbeats."""

    heartbeats: WatchHeartbeats

    def run(self) -> dict[str, int]:
        """Evaluate all heartbeats; return how many are expected, silent, and alerted."""
        found = self.heartbeats.watch()
        for source in found.silent:
            logger.warning(
                "Silent", account_id=source.account_id, region=source.region, path=source.path.value
            )
        metrics.add_metric("WatchRuns", MetricUnit.Count, 1)
        metrics.add_metric("HeartbeatsExpected", MetricUnit.Count, found.expected)
        metrics.add_metric("HeartbeatsMissing", MetricUnit.Count, len(found.silent))
        return {"expected": found.expected, "silent": len(found.silent), "alerts": found.alerts}


def _outcome(evaluated: Evaluated) -> dict[str, Any]:
    return {"result": evaluated.result.value, "effects": evaluated.effects}
