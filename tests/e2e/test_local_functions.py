"""Each function runs alone, as docs/local-functions.md says."""

import re
import subprocess
import sys

import pytest

from sandbox import local
from sandbox.emulator import ROOT
from sandbox.setup import Sandbox
from tests.e2e.docker import needs_docker

COMMANDS = re.findall(
    r"^\.venv/bin/python -m (sandbox invoke (\w+) +\S+)$",
    (ROOT / "docs" / "local-functions.md").read_text(),
    re.MULTILINE,
)
NAMES = [name for _, name in COMMANDS]


@pytest.mark.parametrize("function", NAMES)
def test_deployed_names_are_known_for_each_function(fresh: Sandbox, function: str) -> None:
    variables = local.deployed_variables(fresh.account, function)
    assert variables["TABLE_NAME"] == fresh.stack["TableName"]


@needs_docker
@pytest.mark.skipif(
    not (local.BUILT / "template.yaml").exists(), reason="nothing is built: make build"
)
@pytest.mark.parametrize(("command", "function"), COMMANDS, ids=NAMES)
def test_function_runs_on_lambdas_image(fresh: Sandbox, command: str, function: str) -> None:
    ran = subprocess.run(  # noqa: S603 - a command of ours
        [sys.executable, "-m", *command.split(), "--port", str(fresh.emulator.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Invoking app.handler" in ran.stderr
    assert f'"function_name":"{function}"' in ran.stderr


def test_function_that_is_not_in_the_stack_is_an_error_that_names_those_that_are(
    fresh: Sandbox,
) -> None:
    ran = subprocess.run(  # noqa: S603 - as above
        [
            *(sys.executable, "-m", "sandbox", "invoke", "Remember"),
            *("events/remind/every_hour.json", "--port", str(fresh.emulator.port)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert all(name in ran.stdout for name in ("no function Remember", *NAMES))
