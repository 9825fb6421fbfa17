"""Play very many random walks, in as many processes as there are cores.

    python -m tests.simulation.many_walks [--walks 10000] [--seeds 1,2,3] [--processes 2]

Each seed gets as many walks as ``--walks`` says. A walk that breaks a promise is printed with its
number and the shortest script that shows it. The exit status is 1 if there is one.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from time import monotonic

import pytest

from tests.simulation.request_world import World
from tests.simulation.scripts import told

AT_ONCE = 25
"""How many walks a process plays before it says how it went."""
SHOWN_EVERY = 10.0
"""Seconds."""


def play(walks: range) -> list[str]:
    """Play walks, each by its seed, and return what is to be told of those that broke a promise."""
    world = _world()
    return [text for seed in walks if (text := told(world, seed))]


@cache
def _world() -> World:
    """Return the process's world: the functions start slowly, and stay warm as in Lambda."""
    return World(pytest.MonkeyPatch())


def _parts(seeds: list[int], walks: int) -> Iterator[range]:
    for seed in seeds:
        for first in range(0, walks, AT_ONCE):
            start = seed * 1_000_000
            yield range(start + first, start + min(first + AT_ONCE, walks))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_number(one) for one in text.split(",")]


def main(arguments: list[str]) -> int:
    """Play the walks that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description="Play very many random walks.")
    parser.add_argument("--walks", type=_number, default=10_000, help="of each seed")
    parser.add_argument("--seeds", type=_numbers, default=[1], help="with commas in between")
    parser.add_argument("--processes", type=_number, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    number = len(asked.seeds) * asked.walks
    named = ", ".join(map(str, asked.seeds))
    _say(f"{number} walks of seed {named}, in {asked.processes} processes")
    begun = shown = monotonic()
    done = broken = 0
    with ProcessPoolExecutor(asked.processes) as processes:
        parts = {
            processes.submit(play, part): len(part) for part in _parts(asked.seeds, asked.walks)
        }
        for part in as_completed(parts):
            for text in part.result():
                broken += 1
                _say(text)
            done += parts[part]
            if monotonic() - shown >= SHOWN_EVERY or done == number:
                shown = monotonic()
                _say(f"  {done:6} walks, {broken} broken, {shown - begun:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
