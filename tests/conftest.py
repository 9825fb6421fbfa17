"""How the tests are spread over pytest-xdist's workers."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class OneSandbox(LoadScopeScheduling):  # type: ignore[misc]
    """Each test by itself, but all that play in the sandbox on one worker, where they are in order.

    ``--dist=loadgroup`` would say the same, and groups nothing with this pytest (tried).
    """

    def _split_scope(self, nodeid: str) -> str:
        return "sandbox" if nodeid.startswith("tests/e2e/") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Spread the tests this way."""
    return OneSandbox(config, log)
