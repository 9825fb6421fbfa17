"""The command line. Not part of the Lambda layer."""

import argparse
import os
import sys
from collections.abc import Sequence

from mfa_watcher import __version__
from mfa_watcher.cli import addresses, doctor, exemptions, mail, names, replay, requests, roster


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="mfa-watcher",
        description="Makes sure everybody who can sign in to the AWS console has an MFA device.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    replay.add_command(commands)
    exemptions.add_command(commands)
    addresses.add_command(commands)
    requests.add_command(commands)
    roster.add_command(commands)
    mail.add_command(commands)
    doctor.add_command(commands)
    names.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (head, less) has closed it. What is still buffered must not raise
        # again when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code
