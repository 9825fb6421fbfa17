"""Layers unpacked once, and not by each worker of each function: that is thousands of files."""

import hashlib
import tempfile
import zipfile
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any, Final

from ministack.core import lambda_runtime

_unpacked: Final[dict[str, Path]] = {}
_lock: Final = Lock()


def install() -> None:
    """Correct the MiniStack of this process."""
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": _UnpackedOnce})


class _UnpackedOnce(zipfile.ZipFile):
    """A zip file; if it is a layer's, a link to what was unpacked of it before will do."""

    @property
    def _is_layer(self) -> bool:
        return Path(str(self.filename)).name.startswith("layer_")

    def namelist(self) -> list[str]:
        """Give the names; of a layer none, which we built and whose names need no check."""
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
