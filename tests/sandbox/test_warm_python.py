"""Programs that are started from a process with imported packages behave like fresh ones."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.warm_python import SUPPORTED, Process, WarmPython

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="programs are started as always here")

ECHO = """
import json, os, sys
print(json.dumps({"name": os.environ.get("NAME"), "home": os.environ.get("HOME"),
                  "folder": os.getcwd(), "imported": "colorsys" in sys.modules}), flush=True)
print("to standard error", file=sys.stderr, flush=True)
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
"""


@pytest.fixture
def python() -> Iterator[WarmPython]:
    python = WarmPython(sys.executable, os.environ, modules=("colorsys", "no_such_module"))
    yield python
    python.stop()


def close(process: Process) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def test_program_has_its_own_environment_folder_and_streams(
    python: WarmPython, tmp_path: Path
) -> None:
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    process = python.start(str(script), {"NAME": "ana"}, str(tmp_path))
    first = process.stdout.readline()
    assert '"name": "ana", "home": null' in first
    assert str(tmp_path) in first
    assert '"imported": true' in first
    assert process.stderr.readline() == "to standard error\n"
    process.stdin.write("hello\n")
    assert process.stdout.readline() == "HELLO\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    close(process)


def test_program_ends_when_it_is_asked_to(python: WarmPython, tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    process = python.start(str(script), {}, str(tmp_path))
    process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert process.poll() == 0
    close(process)


def test_module_is_run_with_arguments_and_its_exit_code_returned(
    python: WarmPython, tmp_path: Path
) -> None:
    output, errors = tmp_path / "output", tmp_path / "errors"
    with output.open("w") as out, errors.open("w") as err:
        code = python.run(
            "json.tool", ["--no-such-option"], dict(os.environ), out.fileno(), err.fileno()
        )
    assert code == 2
    assert output.read_text() == ""
    assert "--no-such-option" in errors.read_text()
