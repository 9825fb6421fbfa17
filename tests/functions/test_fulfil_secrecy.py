"""The password is in the answer, and nowhere else."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.template.cloudformation import ROOT, STACK

TALKATIVE = {
    "POWERTOOLS_SERVICE_NAME": STACK,
    "POWERTOOLS_METRICS_NAMESPACE": "MfaWatcher",
    "POWERTOOLS_LOG_LEVEL": "DEBUG",
    "POWERTOOLS_LOGGER_LOG_EVENT": "true",
    "POWERTOOLS_LOGGER_SAMPLE_RATE": "1",
    "POWERTOOLS_DEBUG": "true",
    "PYTHONDEVMODE": "1",
}
"""All that can be set to make the libraries say more."""


@pytest.mark.parametrize("dev", ["true", "false"])
def test_no_log_table_mail_alert_metric_or_error_ever_holds_a_password(
    tmp_path: Path, dev: str
) -> None:
    noted = tmp_path / "passwords.json"
    run = subprocess.run(  # noqa: S603 - a module of our own
        [sys.executable, "-m", "tests.functions.secret_leak_probe", str(noted)],
        cwd=ROOT,
        env={**os.environ, **TALKATIVE, "POWERTOOLS_DEV": dev},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    written = run.stdout + run.stderr
    passwords = json.loads(noted.read_text())
    assert len(set(passwords)) == 7
    for password in passwords:
        for form in (password, quote(password), b64encode(password.encode()).decode()):
            assert form not in written
    for said in (
        "OperationModel(name=GetUser)",  # botocore tells all it is asked
        "PR-20260302-",  # the function logs
        "Fulfilment stopped: IAM did not do UpdateLoginProfile: Throttling",  # the history
        "INTENT#mail-request_fulfilled",  # the table
        "As the runtime would log it",  # the errors
        "EmailTags",  # the mails
        "A change request was fulfilled again",  # the alerts
    ):
        assert said in written
    assert ('"RequestsFulfilled"' in written) == (dev == "false")  # which also stops the metrics
    assert "OperationModel(name=UpdateLoginProfile)" not in written
