"""The product's command line, run as the people of the story run it: each with their own keys."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import Final

from sandbox.account import Principal
from sandbox.deploy import Stack
from sandbox.only_this_machine import guarded
from sandbox.warm_python import SUPPORTED, WarmPython

# The URLs are given to users, who may not read them from the stack.
_VARIABLES: Final = {
    "ChangeDeskUrl": "MFA_WATCHER_CHANGE_DESK_URL",
    "ApprovalDeskUrl": "MFA_WATCHER_APPROVAL_DESK_URL",
    "FulfilUrl": "MFA_WATCHER_FULFIL_URL",
}
_PASSWORD: Final = re.compile(r"(?<=is not stored:\n\n  )\S+")

WARM: Final = WarmPython(
    sys.executable,
    guarded(os.environ),
    modules=(
        "boto3",
        "botocore.httpsession",
        "mfa_watcher.adapters.inspection",
        "mfa_watcher.adapters.store",
        "mfa_watcher.cli",
        "rich.table",
    ),
)


class UnexpectedAnswerError(RuntimeError):
    """A command did not end as expected; the message is its output."""


def run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m mfa_watcher`, with none of our own AWS settings but `environment`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command, environment = ["-m", "mfa_watcher", *arguments], guarded(kept | dict(environment))
    if not SUPPORTED:
        return subprocess.run(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        code = WARM.run("mfa_watcher", arguments, environment, output.fileno(), errors.fileno())
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, output.read(), errors.read())


def api_urls(stack: Stack) -> dict[str, str]:
    """Return the variables that name the URLs of the change desk's API."""
    return {variable: stack[output] for output, variable in _VARIABLES.items()}


def run_requests(stack: Stack, caller: Principal, *arguments: str, refused: str = "") -> str:
    """Run `mfa-watcher requests` as somebody, and return the command and its output.

    Raise UnexpectedAnswerError if it fails, or, where a refusal is expected, if it does not fail
    with those words.
    """
    command = ["requests", *arguments]
    finished = run(command, api_urls(stack) | caller.environment | {"COLUMNS": "100"})
    output = finished.stdout + finished.stderr
    if finished.returncode != (1 if refused else 0) or refused not in output:
        raise UnexpectedAnswerError(f"{caller.name}: {shlex.join(command)}: {output}")
    return f"{caller.name}$ mfa-watcher {shlex.join(command)}\n{output.rstrip()}"


def password_from(output: str) -> str:
    """Return the password that the output of a fulfilment shows."""
    found = _PASSWORD.search(output)
    if found is None:
        raise UnexpectedAnswerError(output)
    return found[0]


def without_password(output: str) -> str:
    """Return the output of a fulfilment without the password."""
    return _PASSWORD.sub("(shown to petra alone)", output)
