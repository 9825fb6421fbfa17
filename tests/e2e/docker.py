"""Whether functions can run in containers here."""

import subprocess
import sys
from typing import Final

import pytest

from sandbox import local
from sandbox.emulator import architecture


def _has_image() -> bool:
    image = f"public.ecr.aws/lambda/python:3.13-{architecture()}"
    command = ["docker", "image", "inspect", image]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - as given
    except FileNotFoundError:
        return False


HAS_IMAGE: Final = _has_image()
"""Whether Docker runs here, with the image that SAM looks for."""

BRIDGE: Final = local.HOST if HAS_IMAGE and sys.platform == "linux" else None
"""The address to listen at for containers, besides loopback."""

needs_docker: Final = pytest.mark.skipif(not HAS_IMAGE, reason="needs Docker with Lambda's image")
