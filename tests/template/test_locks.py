from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.template.cloudformation import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LAYER = ROOT / "layers/dependencies/requirements.txt"
LOCKS = [LAYER, *sorted((ROOT / "requirements").glob("*.txt"))]


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.stem for lock in LOCKS])
def test_lock_names_versions_and_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=\w)", text[text.index("\n\n") + 2 :] if "\n\n" in text else text)
    assert not re.search(r"://|file:|^-", text, re.MULTILINE)
    assert all("==" in e and "--hash=sha256:" in e for e in entries if not e.startswith("#"))


def test_tests_run_with_what_the_layer_brings() -> None:
    assert _pins(LAYER).items() <= _pins(ROOT / "requirements/dev.txt").items()


def test_layer_leaves_to_the_runtime_what_the_runtime_brings() -> None:
    assert _pins(LAYER).keys().isdisjoint({"boto3", "botocore", "s3transfer", "urllib3"})
