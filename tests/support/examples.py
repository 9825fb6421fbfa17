"""How many examples Hypothesis makes for a test, relative to the profile (tests/conftest.py)."""

from hypothesis import settings


def examples(share: float) -> int:
    """Return so much of what the profile has, and one at least."""
    return max(1, round(settings.default.max_examples * share))  # type: ignore[union-attr]
