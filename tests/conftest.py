"""How the tests run: which are left out, with how many examples, what stays in memory."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ELSEWHERE = {Path(__file__).parent / name for name in ("e2e", "audit")}
"""Tests with a target of their own: ``make test-e2e`` and ``make audit``."""

# Where CI is set, Hypothesis takes its own profile "ci", with 100 examples.
settings.register_profile(
    "quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
if not os.environ.get("CI"):
    settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests that have a target of their own, unless they are named."""
    if collection_path not in ELSEWHERE:
        return None
    named = (Path(argument.partition("::")[0]) for argument in config.invocation_params.args)
    return not any(path.resolve().is_relative_to(collection_path) for path in named)


def pytest_collection_finish() -> None:
    """Keep the garbage collector off what stays until the end: modules and thousands of tests."""
    gc.collect()
    gc.freeze()
