"""AWS's command line, release 2, as operators use it."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from sandbox.emulator import ROOT


@cache
def aws_cli() -> Path:
    """Return the program; skip the test where there is none, which `make test-e2e` prevents."""
    named = os.environ.get("SANDBOX_AWS"), str(ROOT / ".venv-aws" / "bin" / "aws")
    for candidate in (*filter(None, named), shutil.which("aws") or ""):
        try:
            said = subprocess.run(  # noqa: S603 - what operators run
                [candidate, "--version"], capture_output=True, text=True, check=False
            ).stdout
        except OSError:  # not there, or made for another machine
            continue
        if said.startswith("aws-cli/2."):
            return Path(candidate).resolve()
    pytest.skip("needs AWS CLI version 2: make test-e2e brings it on Linux with x86_64")
