"""Runs at the same time, taking turns at each call they make, in an order that a seed decides."""

import threading
from collections.abc import Callable, Sequence
from random import Random


class Interleaver:
    """One run goes on at a time. Whoever makes a call hands over to one drawn by lot.

    So runs meet in more ways than real ones do in years, and in the same ways each time.
    """

    def __init__(self, seed: int) -> None:
        """Take the seed."""
        self._random = Random(seed)  # noqa: S311 - a simulation
        self._turns: dict[int, threading.Event] = {}
        self._here = threading.local()
        self._all_done = threading.Event()

    def turn(self) -> None:
        """Hand over, if others are running. Called before each call that a run makes."""
        mine: threading.Event | None = getattr(self._here, "turn", None)
        if mine is None or len(self._turns) == 1:
            return
        following = self._draw()
        if following is not mine:
            mine.clear()
            following.set()
            mine.wait()

    def together(self, runs: Sequence[Callable[[], object]]) -> None:
        """Make all runs, and come back when all are done. Raises what the first of them raised."""
        errors: list[BaseException] = []
        self._all_done.clear()
        self._turns = {number: threading.Event() for number in range(len(runs))}

        def go(number: int, run: Callable[[], object]) -> None:
            self._here.turn = mine = self._turns[number]
            mine.wait()
            try:
                run()
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                errors.append(error)
            finally:
                del self._turns[number]
                (self._draw() if self._turns else self._all_done).set()

        threads = [threading.Thread(target=go, args=each) for each in enumerate(runs)]
        for thread in threads:
            thread.start()
        self._draw().set()
        self._all_done.wait()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _draw(self) -> threading.Event:
        return self._random.choice(list(self._turns.values()))
