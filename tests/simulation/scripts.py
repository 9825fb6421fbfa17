"""The scripts of random walks: written by a seed, played, and shortened until little is left."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.simulation.random_walk import Act, Disruption, Walk
from tests.simulation.request_world import World

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

HURTS = ("crash before", "crash after", "throttled", "lost")

Step = tuple[Act, Disruption | None]
Script = list[Step]


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
    """Return the script without what is not needed for something to be wrong."""
    shorter: Script | None = script
    while shorter is not None:
        script = shorter
        shorter = next(
            (one for one in _simpler(script) if played(world, one).checker.wrong), None
        )  # fmt: skip
    return script


def _simpler(script: Script) -> Iterator[Script]:
    """Return scripts with a step less, a step that nothing disrupts, or a smaller number."""
    for at in reversed(range(len(script))):
        yield script[:at] + script[at + 1 :]
    for at, (act, disruption) in enumerate(script):
        smaller = [replace(act, user=0), replace(act, who=0), replace(act, pick=0)]
        steps: list[Step] = [(one, disruption) for one in smaller if one != act]
        if disruption:
            steps.append((act, None))
        for step in steps:
            yield [*script[:at], step, *script[at + 1 :]]


def told(world: World, seed: int) -> str:
    """Return what is wrong with a walk, and the shortest script that shows it; or nothing."""
    if not played(world, write(seed)).checker.wrong:
        return ""
    script = shortest(world, write(seed))
    wrong = "\n".join(played(world, script).checker.wrong)
    steps = "\n".join(f"    {step}," for step in script)
    return f"walk {seed}:\n{wrong}\nafter\n{steps}"
