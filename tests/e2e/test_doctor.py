"""The doctor in the deployed account: well at first, then broken in all ways that can be."""

from io import StringIO

import pytest
from rich.console import Console

from mfa_watcher.domain.health.results import Check
from sandbox import doctor
from sandbox.stage import Stage

NOT_IN_THE_EMULATOR = {"stack", "ses_account", "ses_quota", "mail_domains", "root_mfa"}
"""What cannot be broken there, or not without deploying anew. tests/functions breaks it."""


@pytest.fixture(scope="session")
def said() -> StringIO:
    return StringIO()


def test_he_finds_all_that_is_broken_and_nothing_else(stage: Stage, said: StringIO) -> None:
    assert doctor.visit(Console(file=said, width=120), stage) == []


def test_what_was_broken_is_mended_again(stage: Stage) -> None:
    verdicts = doctor.Patient(stage).examine()
    assert [one for one in verdicts if one["level"] in {"fail", "unknown"}] == []


def test_every_check_is_broken_there_that_can_be() -> None:
    broken = {ailment.check for ailment in doctor.AILMENTS}
    assert broken == {check.key for check in Check} - NOT_IN_THE_EMULATOR
