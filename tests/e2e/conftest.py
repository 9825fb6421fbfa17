"""The whole product in an emulated account: deployed once, the story played once, then examined."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from sandbox.emulator import Emulator, EmulatorError, free_port, interpreter
from sandbox.scenes import SCENES
from sandbox.stage import Stage
from sandbox.timelapse import waiting_is_over
from sandbox.timeline import Played, Timeline
from tests.e2e.waiting import Outage, eventually

OWN_SANDBOX = {"test_append_only", "test_disturbances", "test_function_urls", "test_guard_matrix"}
"""The files that deploy for themselves. All others examine the one account of the story."""


class BySandbox(LoadScopeScheduling):  # type: ignore[misc]
    """All tests that play in one sandbox go to one worker, where they are in order.

    ``--dist=loadgroup`` would say the same, and groups nothing with this pytest (tried).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0]).stem
        return file if file in OWN_SANDBOX else "story"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Spread the tests this way."""
    return BySandbox(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


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


@pytest.fixture(scope="session")
def outage(told: tuple[Stage, list[Played]]) -> Outage:
    """Deliver is out while a mail and an alert are meant; redeliver runs, as on its schedule."""
    stage = told[0]
    evidence, lambda_ = stage.evidence, stage.account.root.client("lambda")
    evidence.look()
    mails, alerts = len(evidence.mails), len(evidence.alerts)
    known = {intent["id"] for intent in evidence.kind("INTENT")}
    (stream,) = lambda_.list_event_source_mappings(FunctionName=evidence.stack["DeliverFunction"])[
        "EventSourceMappings"
    ]
    lambda_.update_event_source_mapping(UUID=stream["UUID"], Enabled=False)
    try:
        stage.cast.hire("hanna", by=stage.cast["olivia"])
        stage.cast.give_console_access("hanna", by=stage.cast["olivia"])
        stage.account.sign_in(source_ip="198.51.100.98")

        def meant() -> set[str]:
            evidence.look()
            ids = {intent["id"] for intent in evidence.kind("INTENT")} - known
            return {id_ for id_ in ids if "watcher_disturbed" not in id_}  # that is our own doing

        eventually(lambda: len(meant()) == 2)
        left = {one["id"] for one in evidence.kind("INTENT") if one["status"] == "pending"}
        waiting_is_over(stage)
        stage.run("RedeliverFunction")
    finally:
        lambda_.update_event_source_mapping(UUID=stream["UUID"], Enabled=True)
    eventually(lambda: evidence.look() is not None and evidence.settled())
    return Outage(left & meant(), evidence.mails[mails:], evidence.alerts[alerts:])


@pytest.fixture
def stage(told: tuple[Stage, list[Played]]) -> Stage:
    """The account, after the story."""
    return told[0]


@pytest.fixture
def played(told: tuple[Stage, list[Played]]) -> dict[str, Played]:
    """How each scene ended, by title."""
    return {one.scene.title: one for one in told[1]}
