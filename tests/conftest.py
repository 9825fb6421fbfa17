"""How the tests run: which are left out, with how many examples, what stays in memory."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SANDBOX = Path(__file__).parent / "e2e"

# Where CI is set, Hypothesis takes its own profile "ci", with 100 examples.
settings.register_profile(
    "quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
if not os.environ.get("CI"):
    settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the sandbox's tests, unless they are named: ``make test-e2e``."""
    if collection_path != SANDBOX:
        return None
    named = (Path(argument.partition("::")[0]) for argument in config.invocation_params.args)
    return not any(path.resolve().is_relative_to(SANDBOX) for path in named)


def pytest_collection_finish() -> None:
    """Keep the garbage collector off what stays until the end: modules and thousands of tests."""
    gc.collect()
    gc.freeze()
