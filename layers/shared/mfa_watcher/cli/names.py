"""``mfa-watcher names``: prints the names of a deployed watcher's parts for use in a shell."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mfa_watcher.cli.aws import add_stack_options, deployed_stack
from mfa_watcher.cli.terminal import Actions

if TYPE_CHECKING:
    from mfa_watcher.domain.health.readings import Stack

_FUNCTION = "AWS::Lambda::Function"
_QUEUE = "AWS::SQS::Queue"
_URL_OF_THE_API = "Url"


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "names",
        help="print the names of a deployed watcher's parts, as variables for a shell",
        description=(
            "Prints one export line for each function, queue and output of the stack."
            ' Use it as: eval "$(mfa-watcher names)". A queue has two variables: its URL, and with'
            " _ARN at the end its ARN. The change desk's URLs have the names that the command"
            " requests reads."
        ),
        epilog="Exit code: 0; 1 if the stack could not be read; 2 for wrong arguments.",
    )
    add_stack_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the export lines."""
    for name, value in sorted(_variables(deployed_stack(options))):
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def _variables(stack: "Stack") -> Iterator[tuple[str, str]]:
    """Yield names and values. No name is an output's and a resource's at the same time."""
    for output, value in stack.outputs.items():
        prefix = "MFA_WATCHER_" if output.endswith(_URL_OF_THE_API) else ""
        yield prefix + _as_variable(output), value
    for logical_id, name in stack.of_type(_FUNCTION).items():
        yield _as_variable(logical_id), name
    for logical_id, url in stack.of_type(_QUEUE).items():
        # Of a queue, CloudFormation's physical id is its URL, which ends in its name.
        name = url.rpartition("/")[2]
        yield _as_variable(logical_id), url
        yield (
            f"{_as_variable(logical_id)}_ARN",
            f"arn:{stack.partition}:sqs:{stack.region}:{stack.account_id}:{name}",
        )


def _as_variable(name: str) -> str:
    """Return SIGN_IN_QUEUE for SignInQueue."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
