"""Processes of functions that start faster: MiniStack 1.5 unpacks and imports all for each anew.

A burst of events starts twenty processes of one function. Layers, thousands of files, are unpacked
once for all of them, and third-party packages are imported once (`warm_python.py`). What a function
imports of its own, and its clients, are made in its own process.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any, Final

from ministack.core import lambda_runtime

from sandbox.warm_python import SUPPORTED, WarmPython

# What the functions import that is not ours.
PACKAGES: Final = (
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.parser",
    "boto3",
    "botocore.handlers",
    "jinja2",
    "pydantic",
    "s3transfer",
)
_LAYERS: Final = "_LAMBDA_LAYERS_DIRS"

_unpacked: Final[dict[str, Path]] = {}
_interpreters: Final[dict[tuple[str, ...], WarmPython]] = {}
_lock: Final = Lock()


def install() -> None:
    """Patch the MiniStack of this process."""
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": _UnpackedOnce})
    if SUPPORTED:
        lambda_runtime.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": _start})


def _start(command: list[str], *, env: dict[str, str], cwd: str, **streams: Any) -> Any:
    """Start a function's process, in place of `subprocess.Popen`."""
    if command[0] != sys.executable or not env.get(_LAYERS):
        return subprocess.Popen(command, env=env, cwd=cwd, **streams)
    layers = tuple(str(Path(one).resolve() / "python") for one in env[_LAYERS].split(os.pathsep))
    with _lock:
        python = _interpreters.setdefault(
            layers, WarmPython(sys.executable, dict(os.environ), layers[::-1], PACKAGES)
        )
    return python.start(command[1], env, cwd)


class _UnpackedOnce(zipfile.ZipFile):
    """A zip file. If it is a layer's, a link to what was unpacked of it before is enough."""

    @property
    def _is_layer(self) -> bool:
        return Path(str(self.filename)).name.startswith("layer_")

    def namelist(self) -> list[str]:
        """Return the names; none for a layer, which we built and whose names need no check."""
        return [] if self._is_layer else super().namelist()

    def extractall(self, path: Any = None, *rest: Any) -> None:
        """Unpack into a folder, or put a link in its place."""
        if not self._is_layer:
            super().extractall(path, *rest)
            return
        content = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        with _lock:
            if content not in _unpacked:
                folder = Path(tempfile.mkdtemp(prefix="layer-"))
                super().extractall(folder, super().namelist())
                _unpacked[content] = folder
        Path(path).rmdir()
        Path(path).symlink_to(_unpacked[content])
