"""Whatever happens to change requests, and in whatever order, what is promised of them holds.

Each walk is a story of forty steps: people, events and the clock, with crashes and lost calls in
the midst of them. ``make test`` plays some walks, others at each commit; ``make simulation`` plays
very many.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.random_walk import Act, Disruption, Walk
from tests.simulation.request_world import World
from tests.simulation.scripts import Script, played, told, write
from tests.template.cloudformation import ROOT

WALKS = int(os.environ.get("SIMULATED_WALKS", "100"))
FIXED_SEED = 1

EVERYWHERE = (
    "acknowledge", "approve", "crash", "filed", "fulfil", "fulfil again", "meanwhile", "reject",
    "reopen",
)  # fmt: skip
"""Where walks must have come, or they prove little."""


def seed_of_commit() -> int:
    """Return a number that changes with the commit; a fixed one where there is no git."""
    try:
        asked = ["git", "rev-parse", "HEAD"]
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return FIXED_SEED
    return int(said.stdout.strip()[:8], 16)


def _play(world: World, seed: int) -> Counter[str]:
    taken: Counter[str] = Counter()
    for number in range(WALKS):
        walk = played(world, write(seed * 1_000_000 + number))
        if walk.checker.wrong:
            pytest.fail(told(world, seed * 1_000_000 + number))
        taken += walk.taken
    return taken


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch)
        yield world
        world.close()


def test_every_random_walk_keeps_the_promises_about_change_requests(world: World) -> None:
    taken = _play(world, FIXED_SEED)
    assert WALKS < 100 or all(taken[what] for what in EVERYWHERE), taken


def test_random_walks_of_this_commit_keep_the_promises_about_change_requests(
    world: World,
) -> None:
    _play(world, seed_of_commit())


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


@pytest.mark.parametrize(
    ("mishap", "filed"),
    [("crash before", 0), ("throttled", 0), ("lost", 1), ("crash after", 1)],
)
def test_mishap_at_the_commit_hits_a_call_to_the_table(
    world: World, mishap: str, filed: int
) -> None:
    walk = Walk(world)
    commit = 4
    walk.take(Act("file", pick=3), Disruption(mishap, commit))
    assert len(walk.checker.requests()) == filed
    assert walk.taken["crash"] == 1
    walk.end()
    assert walk.checker.wrong == []


# Walks that broke a promise once, as short as they can be -----------------------------------------


def _steps(*acts: Act | tuple[Act, Disruption]) -> Script:
    return [(act, None) if isinstance(act, Act) else act for act in acts]


OFF_BOARDED_MEANWHILE = Act("off_board", who=5, pick=3)

BROKEN_ONCE = {
    "a removal whose user seemed gone is hidden by a request that is filed then": _steps(
        Act("remove"), Act("enrol"), Act("rename"), Act("arrive"), Act("advance")
    ),
    "records of a fulfilment arrive when another user has the name and lost a device": _steps(
        *(Act("advance"), Act("advance"), Act("enrol"), Act("advance"), Act("enrol")),
        *(Act("arrive"), (Act("advance"), Disruption("meanwhile", 4, OFF_BOARDED_MEANWHILE))),
        *(Act("create"), Act("arrive_all", pick=3)),
    ),
    "the removal of a fulfilment arrives after one of the same serial": _steps(
        *(Act("advance"), Act("advance"), Act("advance"), Act("advance", pick=1), Act("deny")),
        *(Act("advance"), Act("advance"), Act("off_board", pick=5), Act("arrive")),
        *(Act("arrive", pick=2), Act("arrive", pick=4), Act("create"), Act("arrive", pick=6)),
    ),
    "somebody in the fulfilling role removes a device of the same name at the same time": _steps(
        *(Act("advance"), Act("approve"), Act("advance"), Act("off_board"), Act("create")),
        *(Act("advance"), Act("remove", pick=5)),
    ),
    "a user is deleted right after their new password was set": _steps(
        *(Act("advance"), Act("advance")),
        (Act("advance"), Disruption("meanwhile", 15, Act("off_board", who=2, pick=4))),
    ),
    "a user seems gone when their request is due, and nobody is mailed of that": _steps(
        *(Act("remove"), Act("arrive"), Act("advance"), Act("deny"), Act("wait", pick=7)),
        *(Act("rename"), Act("expire")),
    ),
    "a device is enrolled and removed after the fulfilment, which then is repeated": _steps(
        *(Act("advance"), Act("advance"), Act("advance"), Act("advance"), Act("remove")),
        Act("fulfil"),
    ),
}


@pytest.mark.parametrize("what", BROKEN_ONCE)
def test_walk_that_broke_a_promise_once_keeps_it(world: World, what: str) -> None:
    assert played(world, BROKEN_ONCE[what]).checker.wrong == []


def test_removal_in_the_fulfilling_role_at_another_time_is_a_violation_of_whoever_lost_it(
    world: World,
) -> None:
    """Their device has the name of one that was removed from an earlier user of their name."""
    script = _steps(
        *(Act("advance"), Act("advance"), Act("advance"), Act("arrive_all"), Act("off_board")),
        *(Act("create"), Act("enrol"), Act("arrive_all"), Act("wait", pick=4)),
        *(Act("remove", pick=5), Act("arrive")),
    )
    walk = played(world, script)
    assert walk.checker.wrong == []
    assert [
        (one.subject.user_id, one.state) for one in walk.checker.requests() if one.violation
    ] == [(walk.ids["ana"], "open")]
