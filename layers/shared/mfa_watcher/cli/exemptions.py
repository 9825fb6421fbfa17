"""``mfa-watcher exemptions``: who may go without MFA, until when, why, and who granted it."""

import argparse
import sys
from datetime import UTC, datetime, time

from mfa_watcher.cli.aws import add_account_options, administer_users
from mfa_watcher.cli.terminal import Actions, console, day, print_json_lines, table_of
from mfa_watcher.domain.users.user import Exemption, User


def add_command(commands: Actions) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "exemptions",
        help="list, grant and revoke exemptions",
        description=(
            "Exemptions are granted by the security team, with a reason and an end. They are stored"
            " in the watcher's table, so you need write access to the table. A tag on a user"
            " grants nothing."
        ),
        epilog="Exit code: 0; 1 if it could not be done; 2 for a wrong call.",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list all exemptions, the next one to end first")
    listing.add_argument("--json", action="store_true", help="one JSON line per exemption")
    granting = actions.add_parser("grant", help="exempt a user")
    granting.add_argument("user", metavar="USER", help="IAM user name")
    granting.add_argument(
        "--until", required=True, type=day, metavar="YYYY-MM-DD", help="the last day"
    )
    granting.add_argument(
        "--reason", required=True, metavar="TEXT", help="the reason, for the auditor"
    )
    revoking = actions.add_parser("revoke", help="revoke an exemption")
    revoking.add_argument("user", metavar="USER", help="IAM user name")
    for action, run in ((listing, _list), (granting, _grant), (revoking, _revoke)):
        add_account_options(action)
        action.set_defaults(run=run)


def _list(options: argparse.Namespace) -> None:
    found = administer_users(options).exempted()
    exempted = [(user, user.exemption) for user in found if user.exemption]
    lines = [_line(*one) for one in sorted(exempted, key=lambda one: one[1].until)]
    if options.json:
        print_json_lines(lines)
    elif lines:
        shown = ("user", "account_id", "until", "reason", "granted_by")
        rows = ([line[key] for key in shown] for line in lines)
        console().print(table_of(("user", "account", "until", "reason", "granted by"), rows))
    else:
        sys.stdout.write("No user is exempt.\n")


def _grant(options: argparse.Namespace) -> None:
    # The day named is the last one of the exemption.
    until = datetime.combine(options.until, time.max, tzinfo=UTC).replace(microsecond=0)
    user = administer_users(options).grant(options.user, reason=options.reason, until=until)
    sys.stdout.write(f"{user.name} is exempt until the end of {options.until} (UTC).\n")


def _revoke(options: argparse.Namespace) -> None:
    user = administer_users(options).revoke(options.user)
    sys.stdout.write(
        f"{user.name} is no longer exempt. The watcher evaluates them within an hour.\n"
    )


def _line(user: User, exemption: Exemption) -> dict[str, str]:
    return {
        "user": user.name,
        "user_id": user.key.user_id,
        "account_id": user.key.account_id,
        "until": f"{exemption.until:%Y-%m-%d}",
        "reason": exemption.reason,
        "granted_by": exemption.granted_by,
        "granted_at": exemption.granted_at.isoformat(),
    }
