"""The whole product in an emulated account: deployed once, the story run once, then examined."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from sandbox.emulator import Emulator, EmulatorError, free_port, interpreter
from sandbox.scenarios import SCENARIOS
from sandbox.setup import Sandbox
from sandbox.time_shift import make_waiting_due
from sandbox.timeline import ScenarioResult, Timeline
from tests.e2e.docker import BRIDGE
from tests.e2e.waiting import Outage, eventually

OWN_SANDBOX = {
    "test_append_only",
    "test_deployment",
    "test_function_urls",
    "test_guard_matrix",
    "test_probe",
    "test_tampering",
}
"""The files that deploy for themselves."""

FRESH = {"test_docs", "test_local_functions", "test_only_this_machine"}
"""Those that share an account in which no story was played. All others examine the story's."""


class BySandbox(LoadScopeScheduling):  # type: ignore[misc]
    """All tests that play in one sandbox go to one worker, where they are in order.

    ``--dist=loadgroup`` would say the same, and groups nothing with this pytest (tried).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0]).stem
        return file if file in OWN_SANDBOX else "fresh" if file in FRESH else "story"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Spread the tests this way."""
    return BySandbox(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def demo_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Sandbox, list[ScenarioResult]]]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("sandbox")
    with Sandbox.running(Emulator(free_port(), home)) as sandbox:
        with (home / "timeline.txt").open("w") as transcript:
            results = Timeline(Console(file=transcript, width=120)).run(SCENARIOS, sandbox)
        yield sandbox, results


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox in which nothing has happened yet, and which containers reach."""
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("fresh")
    with Sandbox.running(Emulator(free_port(), home, BRIDGE)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def outage(demo_run: tuple[Sandbox, list[ScenarioResult]]) -> Outage:
    """Deliver is out while a mail and an alert are meant; redeliver runs, as on its schedule."""
    sandbox = demo_run[0]
    observations, lambda_ = sandbox.observations, sandbox.account.root.client("lambda")
    observations.update()
    mails, alerts = len(observations.mails), len(observations.alerts)
    known = {intent["id"] for intent in observations.kind("INTENT")}
    (stream,) = lambda_.list_event_source_mappings(FunctionName=observations.stack["Deliver"])[
        "EventSourceMappings"
    ]
    lambda_.update_event_source_mapping(UUID=stream["UUID"], Enabled=False)
    try:
        sandbox.actors.create_user("hanna", by=sandbox.actors["olivia"])
        sandbox.actors.grant_console_access("hanna", by=sandbox.actors["olivia"])
        sandbox.account.sign_in(source_ip="198.51.100.98")

        def meant() -> set[str]:
            observations.update()
            ids = {intent["id"] for intent in observations.kind("INTENT")} - known
            return {id_ for id_ in ids if "watcher_disturbed" not in id_}  # that is our own doing

        eventually(lambda: len(meant()) == 2)
        left = {one["id"] for one in observations.kind("INTENT") if one["status"] == "pending"}
        make_waiting_due(sandbox)
        sandbox.run("Redeliver")
    finally:
        lambda_.update_event_source_mapping(UUID=stream["UUID"], Enabled=True)
    eventually(lambda: observations.update() is not None and observations.is_idle())
    return Outage(left & meant(), observations.mails[mails:], observations.alerts[alerts:])


@pytest.fixture
def sandbox(demo_run: tuple[Sandbox, list[ScenarioResult]]) -> Sandbox:
    """Return the sandbox, after the story."""
    return demo_run[0]


@pytest.fixture
def results(demo_run: tuple[Sandbox, list[ScenarioResult]]) -> dict[str, ScenarioResult]:
    """Return the result of each scenario, by title."""
    return {one.scenario.title: one for one in demo_run[1]}
