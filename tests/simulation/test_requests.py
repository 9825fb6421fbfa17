"""Whatever happens to change requests, and in whatever order, what is promised of them holds.

Each walk is a story of forty steps: people, events and the clock, with crashes and lost calls in
the midst of them. ``make test`` takes some walks, ``make simulation`` very many.
"""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from tests.simulation.random_walk import Act, Disruption, Walk
from tests.simulation.request_world import World

WALKS = int(os.environ.get("SIMULATED_WALKS", "100"))
SEED = int(os.environ.get("SIMULATION_SEED", "1"))
STEPS = 40

HOW_OFTEN = {
    "advance": 12, "arrive": 8, "wait": 5, "expire": 4,
    "approve": 2, "arrive_all": 2, "deliver": 2, "deny": 2, "enrol": 2, "file": 2, "fulfil": 3,
    "remove": 4,
    "acknowledge": 1, "again": 1, "create": 1, "details": 1, "off_board": 1, "password": 1,
    "redeliver": 1, "reject": 1, "remind": 1, "rename": 1, "reopen": 1, "sign_in": 1, "withdraw": 2,
}  # fmt: skip
ALL = [what for what, times in HOW_OFTEN.items() for _ in range(times)]
NOT_IN_BETWEEN = {"wait", "arrive_all", "deliver", "redeliver"}
IN_BETWEEN = [what for what in ALL if what not in NOT_IN_BETWEEN]
EVERYWHERE = (
    "acknowledge", "approve", "crash", "filed", "fulfil", "fulfil again", "meanwhile", "reject",
    "reopen",
)  # fmt: skip
"""Where walks must have come, or they prove little."""

HURTS = ("crash before", "crash after", "throttled", "lost")

Script = list[tuple[Act, Disruption | None]]


def write(seed: int) -> Script:
    """Write a walk: the same for a seed, whatever comes of it."""
    random = Random(seed)  # noqa: S311 - a simulation

    def an_act(names: list[str]) -> Act:
        user, who, pick = int(random.random() < 0.2), random.randrange(6), random.randrange(8)
        return Act(random.choice(names), user, who, pick)

    def a_disruption() -> Disruption | None:
        lot, at = random.random(), random.randint(1, 16)
        if lot < 0.6:
            return None
        if lot < 0.8:
            return Disruption(random.choice(HURTS), at)
        return Disruption("meanwhile", at, an_act(IN_BETWEEN))

    return [(an_act(ALL), a_disruption()) for _ in range(STEPS)]


def played(world: World, script: Script) -> Walk:
    """Play a walk to its end, or to where something is wrong."""
    walk = Walk(world)
    for act, disruption in script:
        walk.take(act, disruption)
        if walk.checker.wrong:
            return walk
    walk.end()
    return walk


def shortest(world: World, script: Script) -> Script:
    """Leave out what is not needed for something to be wrong."""
    for at in reversed(range(len(script))):
        without = script[:at] + script[at + 1 :]
        if played(world, without).checker.wrong:
            script = without
    return script


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch)
        yield world
        world.close()


def test_every_random_walk_keeps_the_promises_about_change_requests(world: World) -> None:
    taken: Counter[str] = Counter()
    for number in range(WALKS):
        seed = SEED * 1_000_000 + number
        walk = played(world, script := write(seed))
        if walk.checker.wrong:
            script = shortest(world, script)
            steps = "\n".join(f"    {step}," for step in script)
            wrong = "\n".join(played(world, script).checker.wrong)
            pytest.fail(f"walk {seed}:\n{wrong}\nafter\n{steps}")
        taken += walk.taken
    assert WALKS < 100 or all(taken[what] for what in EVERYWHERE), taken


def test_device_that_is_enrolled_again_during_a_fulfilment_is_removed_too(
    world: World,
) -> None:
    walk = Walk(world)
    for what in ("file", "approve"):
        walk.take(Act(what, pick=2 if what == "approve" else 3))
    lost_answer_to_the_deletion = Disruption("lost", 9)
    walk.take(Act("fulfil", who=1), lost_answer_to_the_deletion)
    [serial] = world.town.items("REQUEST#", "STATE")[0]["devices"]
    assert serial not in world.iam.virtual
    walk.take(Act("enrol"))
    assert serial in world.iam.virtual
    walk.take(Act("fulfil", who=1))
    assert serial not in world.iam.virtual
    walk.end()
    assert walk.taken["fulfil"] == 1
    assert walk.checker.wrong == []
