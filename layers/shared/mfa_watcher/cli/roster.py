"""``mfa-watcher roster``: lists the users of an account, their MFA status and their devices."""

import argparse
from collections.abc import Sequence

from mfa_watcher.cli.aws import add_account_options, administer_users
from mfa_watcher.cli.terminal import Actions, console, print_json_lines, table_of
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult, count_users
from mfa_watcher.domain.users.user import MfaStatus

_MOST_URGENT_FIRST = (
    MfaStatus.UNPROTECTED,
    MfaStatus.EXEMPT,
    None,
    MfaStatus.PROTECTED,
    MfaStatus.NO_CONSOLE_ACCESS,
)


def add_command(commands: Actions) -> None:
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


def run(options: argparse.Namespace) -> None:
    """List an account's users."""
    entries, swept = administer_users(options).inventory()
    shown = [
        entry
        for entry in sorted(entries, key=_order)
        if not options.mfa_status or (entry.mfa_status or "unknown") in options.mfa_status
    ]
    if options.json:
        print_json_lines(map(_line, shown))
    else:
        _show(shown, entries, swept)


def _show(
    shown: Sequence[InventoryEntry], entries: Sequence[InventoryEntry], swept: SweepResult | None
) -> None:
    out = console()
    if shown:
        rows = [(one.name, one.mfa_status or "unknown", _devices(one)) for one in shown]
        out.print(table_of(("user", "MFA status", "devices"), rows))
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


def _devices(entry: InventoryEntry) -> str:
    kinds = [device.kind.value for device in entry.devices]
    return ", ".join([*kinds, "more?"] if entry.devices_unread else kinds)


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
