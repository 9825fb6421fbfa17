"""``mfa-watcher roster``: who there is in an account, how he stands, and with which devices."""

import argparse
import json
import sys
from collections.abc import Sequence

from mfa_watcher.cli.aws import AccountError, add_account_options, security_desk
from mfa_watcher.cli.terminal import console, plain
from mfa_watcher.domain.roster import Entry, Swept, summary
from mfa_watcher.domain.users import Standing
from mfa_watcher.ports import WorldError

_URGENCY = (
    Standing.UNPROTECTED,
    Standing.EXEMPT,
    None,
    Standing.PROTECTED,
    Standing.NO_CONSOLE_ACCESS,
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "roster",
        help="list an account's users and their devices",
        description=(
            "The users of an account as the watcher knows them, whoever is unprotected first, and"
            " how many have only virtual devices, a single device, or a phishing-resistant one."
            " IAM is not asked: the sweep is, every four hours. Of a user whose devices are not"
            ' all known yet, "more?" stands beside those that are; the sweep reads some of them'
            ' each time, and all if it is invoked with {"read_devices": true}.'
        ),
        epilog="Exit code: 0; 1 if it could not be done; 2 for a wrong call.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per user")
    parser.add_argument(
        "--standing",
        action="append",
        choices=[*Standing, "unknown"],
        help="only users who stand so; may be repeated",
    )
    add_account_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List an account's users; gives the exit code."""
    try:
        entries, swept = security_desk(options).roster()
    except (AccountError, WorldError) as error:
        sys.stderr.write(f"mfa-watcher roster: {error}\n")
        return 1
    shown = [
        entry
        for entry in sorted(entries, key=_place)
        if not options.standing or (entry.standing or "unknown") in options.standing
    ]
    if options.json:
        for entry in shown:
            sys.stdout.write(json.dumps(_line(entry)) + "\n")
    else:
        _show(shown, entries, swept)
    return 0


def _show(shown: Sequence[Entry], entries: Sequence[Entry], swept: Swept | None) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("user", "standing", "devices"):
        table.add_column(column)
    for entry in shown:
        kinds = [device.kind.value for device in entry.devices]
        devices = ", ".join([*kinds, *(["more?"] if entry.devices_unread else [])])
        cells = (entry.name, entry.standing or "unknown", devices)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    out = console()
    if shown:
        out.print(table)
    counted = summary(entries)
    out.print(
        f"{counted.users} users: {counted.unprotected} without MFA, {counted.exempt} exempt,"
        f" {counted.protected} with MFA, {counted.no_console_access} without console access"
    )
    out.print(
        f"Of those with MFA: {counted.phishing_resistant} have a phishing-resistant device,"
        f" {counted.only_virtual} only virtual ones, {counted.single_device} a single one;"
        f" of {counted.devices_unread} not all devices are known"
    )
    when = f"{swept.at:%Y-%m-%d %H:%M} UTC" if swept else "never yet"
    out.print(f"Last swept: {when}")


def _place(entry: Entry) -> tuple[int, str]:
    return _URGENCY.index(entry.standing), entry.name.casefold()


def _line(entry: Entry) -> dict[str, object]:
    return {
        "user": entry.name,
        "user_id": entry.key.user_id,
        "account_id": entry.key.account_id,
        "standing": entry.standing or "unknown",
        "devices": [{"serial": one.serial, "kind": one.kind} for one in entry.devices],
        "devices_known": not entry.devices_unread,
        "phishing_resistant": entry.phishing_resistant,
        "only_virtual": entry.only_virtual,
        "single_device": entry.single_device,
    }
