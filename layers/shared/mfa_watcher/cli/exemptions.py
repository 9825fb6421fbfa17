"""``mfa-watcher exemptions``: who may go without MFA, until when, why, and who granted it."""

import argparse
import json
import sys
from datetime import UTC, date, datetime, time

from mfa_watcher.cli.aws import AccountError, add_account_options, administer_users
from mfa_watcher.cli.terminal import console, plain
from mfa_watcher.domain.users.exemptions import ExemptionError
from mfa_watcher.domain.users.user import User
from mfa_watcher.ports.errors import ExternalServiceError
from mfa_watcher.usecases.administer import AdministerUsers, NoSuchUserError


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
        "--until", required=True, type=_day, metavar="YYYY-MM-DD", help="the last day"
    )
    granting.add_argument(
        "--reason", required=True, metavar="TEXT", help="the reason, for the auditor"
    )
    revoking = actions.add_parser("revoke", help="revoke an exemption")
    revoking.add_argument("user", metavar="USER", help="IAM user name")
    for action, do in ((listing, _list), (granting, _grant), (revoking, _revoke)):
        add_account_options(action)
        action.set_defaults(run=run, do=do)


def run(options: argparse.Namespace) -> int:
    """Do one action and return the exit code."""
    try:
        options.do(administer_users(options), options)
    except (AccountError, ExemptionError, NoSuchUserError, ExternalServiceError) as error:
        sys.stderr.write(f"mfa-watcher exemptions: {error}\n")
        return 1
    return 0


def _list(desk: AdministerUsers, options: argparse.Namespace) -> None:
    users = sorted(desk.exempted(), key=_ends_at)
    if options.json:
        for user in users:
            sys.stdout.write(json.dumps(_line(user)) + "\n")
        return
    if not users:
        sys.stdout.write("No user is exempt.\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("user", "account", "until", "reason", "granted by"):
        table.add_column(column)
    for user in users:
        line = _line(user)
        cells = [line[key] for key in ("user", "account_id", "until", "reason", "granted_by")]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    console().print(table)


def _grant(desk: AdministerUsers, options: argparse.Namespace) -> None:
    # The day named is the last one of the exemption.
    until = datetime.combine(options.until, time.max, tzinfo=UTC).replace(microsecond=0)
    user = desk.grant(options.user, reason=options.reason, until=until)
    sys.stdout.write(f"{user.name} is exempt until the end of {options.until} (UTC).\n")


def _revoke(desk: AdministerUsers, options: argparse.Namespace) -> None:
    user = desk.revoke(options.user)
    sys.stdout.write(
        f"{user.name} is no longer exempt. The watcher evaluates them within an hour.\n"
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a date as YYYY-MM-DD: {text!r}") from error


def _ends_at(user: User) -> datetime:
    return user.exemption.until if user.exemption else datetime.max.replace(tzinfo=UTC)


def _line(user: User) -> dict[str, str]:
    exemption = user.exemption
    if exemption is None:
        return {}
    return {
        "user": user.name,
        "user_id": user.key.user_id,
        "account_id": user.key.account_id,
        "until": f"{exemption.until:%Y-%m-%d}",
        "reason": exemption.reason,
        "granted_by": exemption.granted_by,
        "granted_at": exemption.granted_at.isoformat(),
    }
