"""Deciding again after somebody else changed the same user or request first."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress

from mfa_watcher.ports.errors import LostRaceError

MAX_ATTEMPTS = 5
"""How often a decision is made again before the caller (a queue, a schedule, a person) has to."""


def attempts() -> Iterator[AbstractContextManager[object]]:
    """Yield one context for each attempt to read, decide and commit.

    The context ignores a LostRaceError, so that the loop goes on with the next attempt::

        for attempt in attempts():
            with attempt:
                ...
                return result
        raise lost_all_races("event 1")
    """
    for _ in range(MAX_ATTEMPTS):
        yield suppress(LostRaceError)


def lost_all_races(what: str) -> LostRaceError:
    """Return the error for the case that every attempt lost its race."""
    return LostRaceError(f"{what}: somebody else was first {MAX_ATTEMPTS} times in a row")
