"""The command line. Not part of the Lambda layer."""

import argparse
import os
import sys
from collections.abc import Sequence

from mfa_watcher import __version__
from mfa_watcher.cli import addresses, doctor, exemptions, mail, names, replay, requests, roster
from mfa_watcher.cli.terminal import CommandError
from mfa_watcher.domain.users.address_overrides import AddressError
from mfa_watcher.domain.users.exemptions import ExemptionError
from mfa_watcher.ports.errors import ExternalServiceError
from mfa_watcher.usecases.administer import NoSuchUserError

_REFUSALS = (CommandError, AddressError, ExemptionError, NoSuchUserError, ExternalServiceError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="mfa-watcher",
        description="Makes sure everybody who can sign in to the AWS console has an MFA device.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for module in (replay, exemptions, addresses, requests, roster, mail, doctor, names):
        module.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        code: int | None = options.run(options)
        sys.stdout.flush()
    except _REFUSALS as error:
        sys.stderr.write(f"mfa-watcher {options.command}: {error}\n")
        return error.exit_code if isinstance(error, CommandError) else 1
    except BrokenPipeError:
        # The reader of our output (head, less) has closed it. What is still buffered must not raise
        # again when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code or 0
