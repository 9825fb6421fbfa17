"""``mfa-watcher addresses``: set a user's mail address, if their tags and name do not give it."""

import argparse
import sys

from mfa_watcher.cli.aws import add_account_options, administer_users
from mfa_watcher.cli.terminal import Actions


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "addresses",
        help="set a user's mail address by hand",
        description=(
            "An address set here is used before the user's tags and name. It is stored in the"
            " watcher's table, so you need write access to the table."
        ),
        epilog="Exit code: 0; 1 if it could not be done; 2 for a wrong call.",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    setting = actions.add_parser("set", help="send the user's mails to this address from now on")
    setting.add_argument("user", metavar="USER", help="IAM user name")
    setting.add_argument(
        "address", metavar="ADDRESS", help="an address in one of the stack's MailDomains"
    )
    clearing = actions.add_parser("clear", help="use the user's tags and name again")
    clearing.add_argument("user", metavar="USER", help="IAM user name")
    clearing.set_defaults(address=None)
    for action in (setting, clearing):
        add_account_options(action)
        action.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Set or clear one address."""
    user = administer_users(options).set_address(options.user, options.address)
    where = user.address or "the address that the tags or the user name give"
    sys.stdout.write(f"Mails for {user.name} go to {where} from now on.\n")
