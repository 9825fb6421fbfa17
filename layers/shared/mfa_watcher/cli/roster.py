"""``mfa-watcher roster``: lists the users of an account, their MFA status and their devices."""

import argparse
import json
import sys
from collections.abc import Sequence

from mfa_watcher.cli.aws import AccountError, add_account_options, administer_users
from mfa_watcher.cli.terminal import console, plain
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult, count_users
from mfa_watcher.domain.users.user import MfaStatus
from mfa_watcher.ports.errors import ExternalServiceError

_MOST_URGENT_FIRST = (
    MfaStatus.UNPROTECTED,
    MfaStatus.EXEMPT,
    None,
    MfaStatus.PROTECTED,
    MfaStatus.NO_CONSOLE_ACCESS,
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "roster",
        help="list an account's users, their MFA status and their devices",
        description=(
            "Lists the users of an account as the watcher knows them, unprotected users first, and"
            " counts how many have only virtual devices, a single device, or a phishing-resistant"
            " one. The command does not read IAM; the sweep does, every four hours. If a user's"
            ' devices are not all known yet, "more?" follows the known ones: each sweep reads some'
            ' of these users, and a sweep invoked with {"read_devices": true} reads all of them.'
        ),
        epilog="Exit code: 0; 1 if the users could not be listed; 2 for wrong arguments.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line per user")
    parser.add_argument(
        "--mfa-status",
        action="append",
        choices=[*MfaStatus, "unknown"],
        help="only users with this MFA status; may be repeated",
    )
    add_account_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List an account's users; return the exit code."""
    try:
        entries, swept = administer_users(options).inventory()
    except (AccountError, ExternalServiceError) as error:
        sys.stderr.write(f"mfa-watcher roster: {error}\n")
        return 1
    shown = [
        entry
        for entry in sorted(entries, key=_order)
        if not options.mfa_status or (entry.mfa_status or "unknown") in options.mfa_status
    ]
    if options.json:
        for entry in shown:
            sys.stdout.write(json.dumps(_line(entry)) + "\n")
    else:
        _show(shown, entries, swept)
    return 0


def _show(
    shown: Sequence[InventoryEntry], entries: Sequence[InventoryEntry], swept: SweepResult | None
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("user", "MFA status", "devices"):
        table.add_column(column)
    for entry in shown:
        kinds = [device.kind.value for device in entry.devices]
        devices = ", ".join([*kinds, *(["more?"] if entry.devices_unread else [])])
        cells = (entry.name, entry.mfa_status or "unknown", devices)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    out = console()
    if shown:
        out.print(table)
    counts = count_users(entries)
    out.print(
        f"{counts.users} users: {counts.unprotected} without MFA, {counts.exempt} exempt,"
        f" {counts.protected} with MFA, {counts.no_console_access} without console access"
    )
    out.print(
        f"Of those with MFA: {counts.phishing_resistant} have a phishing-resistant device,"
        f" {counts.only_virtual} only virtual devices, {counts.single_device} a single device;"
        f" the devices of {counts.devices_unread} are not all known yet"
    )
    last_sweep = f"{swept.at:%Y-%m-%d %H:%M} UTC" if swept else "never"
    out.print(f"Last sweep: {last_sweep}")


def _order(entry: InventoryEntry) -> tuple[int, str]:
    return _MOST_URGENT_FIRST.index(entry.mfa_status), entry.name.casefold()


def _line(entry: InventoryEntry) -> dict[str, object]:
    return {
        "user": entry.name,
        "user_id": entry.key.user_id,
        "account_id": entry.key.account_id,
        "mfa_status": entry.mfa_status or "unknown",
        "devices": [{"serial": one.serial, "kind": one.kind} for one in entry.devices],
        "devices_known": not entry.devices_unread,
        "phishing_resistant": entry.phishing_resistant,
        "only_virtual": entry.only_virtual,
        "single_device": entry.single_device,
    }
