"""Working off what is due, until the function's time is over."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from aws_lambda_powertools import Logger

logger = Logger()

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class DueItems:
    """One run over what is due: it stops in time, and a failed item does not stop the others.

    ::

        due = DueItems(seconds_left, seconds_per_item=5)
        for key in due.in_time(use_case.due()):
            with due.keep_error(user_id=key.user_id):
                ...
        due.raise_errors("users who could not be evaluated")
    """

    seconds_left: Callable[[], float]
    seconds_per_item: float
    """What the slowest item needs."""
    errors: list[Exception] = field(default_factory=list, init=False)

    def in_time(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items while there is time for one more. The next run continues with the others."""
        for item in items:
            if self.seconds_left() < self.seconds_per_item:
                logger.warning("Out of time, the next run continues")
                return
            yield item

    @contextmanager
    def keep_error(self, **about: str) -> Iterator[None]:
        """Log and keep what is raised for one item; ``about`` says in the log which one."""
        try:
            yield
        except Exception as error:
            logger.exception("Stays due", extra=about)
            self.errors.append(error)

    def raise_errors(self, what: str) -> None:
        """Raise an ExceptionGroup of the errors, if there are any, so that the function fails."""
        if self.errors:
            raise ExceptionGroup(what, self.errors)
