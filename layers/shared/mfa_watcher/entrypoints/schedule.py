"""The rounds the watcher makes by the clock: who or what is due, and what is told of each."""

from collections import Counter
from collections.abc import Callable

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from mfa_watcher.usecases.expire import ExpireRequests
from mfa_watcher.usecases.quarantine import QuarantineUsers
from mfa_watcher.usecases.remind import RemindUsers
from mfa_watcher.usecases.watch import WatchHeartbeats

logger = Logger()
metrics = Metrics()

_SECONDS_PER_ITEM = 5.0
"""Enough for the slowest user or request: three reads of IAM and one commit."""


class Remind:
    """Hands users who are due to the reminder."""

    def __init__(self, reminder: RemindUsers) -> None:
        """Take the reminder."""
        self._reminder = reminder

    def make(self, *, seconds_left: Callable[[], float]) -> dict[str, int]:
        """Look at all users who are due, if it is mailing time; gives how many ended how.

        Stops when the time is nearly over: the next run goes on. A user who raises does not stop
        the others; the errors are raised at the end, and he stays due.
        """
        counts: Counter[str] = Counter()
        errors: list[Exception] = []
        metrics.add_metric("RemindRuns", MetricUnit.Count, 1)
        if not self._reminder.is_open():
            logger.info("No mailing time")
            return {}
        for key in self._reminder.due():
            if seconds_left() < _SECONDS_PER_ITEM:
                logger.warning("Out of time, the next run goes on")
                break
            try:
                reminding = self._reminder.remind(key)
            except Exception as error:
                logger.exception("Stays due", user_id=key.user_id)
                errors.append(error)
                continue
            counts[reminding.result] += 1
            logger.info(
                "Looked at",
                user_id=key.user_id,
                result=reminding.result.value,
                effects=reminding.effects,
            )
        counts["unreachable"] = self._reminder.report_unreachable()
        metrics.add_metric("UsersLookedAt", MetricUnit.Count, counts.total() + len(errors))
        if errors:
            raise ExceptionGroup("users who could not be looked at", errors)
        return dict(counts)


class Expire:
    """Hands change requests that are due to the registrar."""

    def __init__(self, registrar: ExpireRequests) -> None:
        """Take the registrar."""
        self._registrar = registrar

    def make(self, *, seconds_left: Callable[[], float]) -> dict[str, int]:
        """Look at all requests that are due; gives how many ended how.

        Stops when the time is nearly over: the next run goes on. A request that raises does not
        stop the others; the errors are raised at the end, and it stays due.
        """
        counts: Counter[str] = Counter()
        errors: list[Exception] = []
        metrics.add_metric("ExpireRuns", MetricUnit.Count, 1)
        for request_id in self._registrar.due():
            if seconds_left() < _SECONDS_PER_ITEM:
                logger.warning("Out of time, the next run goes on")
                break
            try:
                expiring = self._registrar.expire(request_id)
            except Exception as error:
                logger.exception("Stays due", request_id=request_id)
                errors.append(error)
                continue
            counts[expiring.result] += 1
            logger.info(
                "Looked at",
                request_id=request_id,
                result=expiring.result.value,
                effects=expiring.effects,
            )
        metrics.add_metric("RequestsLookedAt", MetricUnit.Count, counts.total() + len(errors))
        if errors:
            raise ExceptionGroup("requests that could not be looked at", errors)
        return dict(counts)


class Watch:
    """Has the watchman look."""

    def __init__(self, watchman: WatchHeartbeats) -> None:
        """Take the watchman."""
        self._watchman = watchman

    def make(self) -> dict[str, int]:
        """Look at all heartbeats; gives how many are expected, silent, and told of."""
        found = self._watchman.check()
        for source in found.silent:
            logger.warning(
                "Silent", account_id=source.account_id, region=source.region, path=source.path.value
            )
        metrics.add_metric("WatchRuns", MetricUnit.Count, 1)
        metrics.add_metric("HeartbeatsExpected", MetricUnit.Count, found.expected_sources)
        metrics.add_metric("HeartbeatsMissing", MetricUnit.Count, len(found.silent))
        return {
            "expected": found.expected_sources,
            "silent": len(found.silent),
            "alerts": found.alerts,
        }


class Quarantine:
    """Hands users who are to be shut in or let out to the warden."""

    def __init__(self, quarantine_adapter: QuarantineUsers) -> None:
        """Take the warden."""
        self._warden = quarantine_adapter

    def make(self) -> dict[str, str]:
        """Attend to all users who are due; gives what was done, by user id.

        A user who raises stays due and does not stop the others; the errors are raised at the end.
        """
        done: dict[str, str] = {}
        errors: list[Exception] = []
        for key in self._warden.due():
            try:
                done[key.user_id] = self._warden.apply(key)
            except Exception as error:
                logger.exception("Stays due", user_id=key.user_id)
                errors.append(error)
                continue
            logger.info("Attended to", user_id=key.user_id, done=done[key.user_id])
        metrics.add_metric("QuarantinesAttendedTo", MetricUnit.Count, len(done))
        if errors:
            raise ExceptionGroup("users who could not be attended to", errors)
        return done
