"""The doctor command in the deployed account: first healthy, then broken in all possible ways."""

from io import StringIO

import pytest
from rich.console import Console

from mfa_watcher.domain.health.results import Check
from sandbox import doctor_story
from sandbox.setup import Sandbox

NOT_IN_THE_EMULATOR = {
    "stack",
    "concurrency",
    "ses_account",
    "ses_quota",
    "mail_domains",
    "root_mfa",
}
"""What cannot be broken there, or only by another deployment. tests/functions breaks it."""


@pytest.fixture(scope="session")
def output() -> StringIO:
    return StringIO()


def test_doctor_finds_everything_that_is_broken_and_nothing_else(
    sandbox: Sandbox, output: StringIO
) -> None:
    assert doctor_story.run(Console(file=output, width=120), sandbox) == []


def test_after_the_repair_the_health_check_passes_again(sandbox: Sandbox) -> None:
    verdicts = doctor_story.CheckedAccount(sandbox).check()
    assert [one for one in verdicts if one["level"] in {"fail", "unknown"}] == []


def test_every_check_that_the_emulator_can_break_is_broken() -> None:
    broken = {fault.check for fault in doctor_story.FAULTS}
    assert broken == {check.key for check in Check} - NOT_IN_THE_EMULATOR
