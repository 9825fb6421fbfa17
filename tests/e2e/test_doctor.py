"""The doctor in the deployed account: well at first, then broken in all ways that can be."""

from io import StringIO

import pytest
from rich.console import Console

from mfa_watcher.domain.health.results import Check
from sandbox import doctor_story
from sandbox.setup import Sandbox

NOT_IN_THE_EMULATOR = {"stack", "ses_account", "ses_quota", "mail_domains", "root_mfa"}
"""What cannot be broken there, or not without deploying anew. tests/functions breaks it."""


@pytest.fixture(scope="session")
def said() -> StringIO:
    return StringIO()


def test_he_finds_all_that_is_broken_and_nothing_else(sandbox: Sandbox, said: StringIO) -> None:
    assert doctor_story.visit(Console(file=said, width=120), sandbox) == []


def test_what_was_broken_is_mended_again(sandbox: Sandbox) -> None:
    verdicts = doctor_story.CheckedAccount(sandbox).examine()
    assert [one for one in verdicts if one["level"] in {"fail", "unknown"}] == []


def test_every_check_is_broken_there_that_can_be() -> None:
    broken = {fault.check for fault in doctor_story.FAULTS}
    assert broken == {check.key for check in Check} - NOT_IN_THE_EMULATOR
