"""The page about the sandbox names files and tests that are there."""

import re

from tests.template.cloudformation import ROOT

PAGE = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What stands in for AWS in tests")[2]


def test_named_files_and_tests_exist() -> None:
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", SECTION))
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).is_file()] == []
    written = "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    tests = set(re.findall(r"`(test_\w+)`", SECTION))
    assert len(tests) > 3
    assert [name for name in tests if f"def {name}(" not in written] == []
