"""The change desk's command line, as the people of the story use it: each with keys of his own."""

import os
import re
import shlex
import subprocess
import sys
from typing import Final

from sandbox.account import Principal
from sandbox.deploy import Stack

# Who may not describe stacks is told the URLs by whoever may.
_VARIABLES: Final = {
    "ChangeDeskUrl": "MFA_WATCHER_CHANGE_DESK_URL",
    "ApprovalDeskUrl": "MFA_WATCHER_APPROVAL_DESK_URL",
    "FulfilUrl": "MFA_WATCHER_FULFIL_URL",
}
_PASSWORD: Final = re.compile(r"(?<=kept nowhere:\n\n  )\S+")


class UnexpectedAnswerError(RuntimeError):
    """The command did not end as demo_run; the message is what it said."""


def api_urls(stack: Stack) -> dict[str, str]:
    """The variables that tell where the desk is."""
    return {variable: stack[output] for output, variable in _VARIABLES.items()}


def run_requests(stack: Stack, caller: Principal, *arguments: str, refused: str = "") -> str:
    """Run `python -m mfa_watcher requests` as somebody; return the command and what it said.

    Raises UnexpectedAnswerError if it was not done, or, where a refusal is expected, not refused like that.
    """
    command = ["requests", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    finished = subprocess.run(
        [sys.executable, "-m", "mfa_watcher", *command],
        env=kept | api_urls(stack) | caller.environment | {"COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = finished.stdout + finished.stderr
    if finished.returncode != (1 if refused else 0) or refused not in said:
        raise UnexpectedAnswerError(f"{caller.name}: {shlex.join(command)}: {said}")
    return f"{caller.name}$ mfa-watcher {shlex.join(command)}\n{said.rstrip()}"


def password_from(said: str) -> str:
    """The password that a carrying out gave."""
    found = _PASSWORD.search(said)
    if found is None:
        raise UnexpectedAnswerError(said)
    return found[0]


def without_password(said: str) -> str:
    """What was said, fit to be shown to others."""
    return _PASSWORD.sub("(shown to petra alone)", said)
