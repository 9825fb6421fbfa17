"""The whole product in an emulated account: deployed once, the story played once, then examined."""

from collections.abc import Iterator

import pytest
from rich.console import Console

from sandbox.emulator import Emulator, EmulatorError, free_port, interpreter
from sandbox.scenes import SCENES
from sandbox.stage import Stage
from sandbox.timeline import Played, Timeline


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            # One worker of pytest-xdist plays the story; a second would only play it again.
            item.add_marker(pytest.mark.xdist_group("sandbox"))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, list[Played]]]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("sandbox")
    with Emulator(free_port(), home) as emulator:
        stage = Stage.set_up(emulator)
        with (home / "timeline.txt").open("w") as transcript:
            played = Timeline(Console(file=transcript, width=120)).play(SCENES, stage)
        yield stage, played


@pytest.fixture
def stage(told: tuple[Stage, list[Played]]) -> Stage:
    """The account, after the story."""
    return told[0]


@pytest.fixture
def played(told: tuple[Stage, list[Played]]) -> dict[str, Played]:
    """How each scene ended, by title."""
    return {one.scene.title: one for one in told[1]}
