"""``mfa-watcher requests``: the change desk, for users, the service desk and approvers."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import quote

from mfa_watcher.cli.api_client import (
    DeskCallError,
    DeskClient,
    DeskEndpoint,
    Json,
    add_desk_options,
    desk_client,
)
from mfa_watcher.cli.aws import AccountError
from mfa_watcher.cli.request_export import as_csv, as_json
from mfa_watcher.cli.request_views import (
    WANTED,
    card_of,
    moment,
    next_step,
    story_of,
    table_of,
)
from mfa_watcher.cli.terminal import console, plain
from mfa_watcher.domain.requests.change_request import RequestState

_PAGE = 100
"""The number of requests that the API returns per page."""

_LISTED = 100
"""The number of requests that ``list`` shows by default."""

Do = Callable[[DeskClient, argparse.Namespace], None]


class WrongCallError(Exception):
    """The call is wrong. The text says what a correct call needs."""


class NotConfirmedError(Exception):
    """The caller did not confirm."""


class ExportError(Exception):
    """The file cannot be written. The text says why."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "requests",
        help="the change desk: see, file, decide and fulfil change requests",
        description=(
            "To replace an MFA device, a Password Reset change request is needed. The user or a"
            " service desk files it, somebody else decides, it is fulfilled, and it is closed when"
            " the new device is enabled. Calls are signed with your own AWS credentials, which also"
            " identify you. The URLs are read from the stack's outputs, or given as an option or in"
            " the environment."
        ),
        epilog=(
            "Exit code: 0; 1 if it was refused or could not be done; 2 for a wrong call."
            f" Environment: {', '.join(endpoint.variable for endpoint in DeskEndpoint)}."
        ),
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for add in (_add_reading, _add_asking, _add_deciding):
        add(actions)


def run(options: argparse.Namespace) -> int:
    """Do one action and return the exit code."""
    try:
        _require_confirmation(options)
        options.do(desk_client(options), options)
    except WrongCallError as error:
        sys.stderr.write(f"mfa-watcher requests: {error}\n")
        return 2
    except (AccountError, DeskCallError, NotConfirmedError, ExportError) as error:
        sys.stderr.write(f"mfa-watcher requests: {error}\n")
        return 1
    return 0


# The options ----------------------------------------------------------------------------


def _add_reading(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = _action(actions, "list", _list, "list requests, the newest first")
    listing.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in RequestState],
        help="only requests in this state; may be repeated",
    )
    listing.add_argument("--active", action="store_true", help="only requests that have not ended")
    listing.add_argument("--user", metavar="NAME", help="only requests about this IAM user")
    listing.add_argument(
        "--older-than",
        type=_count,
        metavar="DAYS",
        help="only requests opened at least this many days ago",
    )
    _add_period(listing, required=False)
    listing.add_argument(
        "--limit",
        type=_count,
        default=_LISTED,
        metavar="N",
        help="show at most this many (%(default)s)",
    )
    listing.add_argument("--json", action="store_true", help="one JSON line per request")

    showing = _action(actions, "show", _show, "show one request and its history")
    _add_id(showing)
    showing.add_argument(
        "--history", action="store_true", help="show everything that happened, in order"
    )
    _add_json(showing)

    exporting = _action(
        actions, "export", _export, "export all requests of a period with their history"
    )
    _add_period(exporting, required=True)
    exporting.add_argument("--format", choices=("csv", "json"), default="csv", help="(%(default)s)")
    exporting.add_argument(
        "--output", metavar="FILE", type=Path, help="the file to write (default: standard output)"
    )


def _add_asking(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    opening = _action(actions, "open", _open, "file a request, for yourself or for a user")
    opening.add_argument(
        "--user", metavar="NAME", help="the IAM user it is about (default: yourself)"
    )
    opening.add_argument(
        "--account",
        metavar="ID",
        type=_account,
        help="the user's account, if it is not the watcher's own",
    )
    _add_details(opening)
    _add_json(opening)

    detailing = _action(
        actions,
        "details",
        _details,
        "give the reason and the kind of new device; asks for what is missing",
    )
    _add_id(detailing)
    _add_details(detailing)
    _add_seen(detailing)
    _add_json(detailing)

    cancelling = _action(
        actions, "cancel", _cancel, "withdraw a request whose fulfilment has not started"
    )
    _add_id(cancelling)
    _add_reason(cancelling)
    _add_yes(cancelling)
    _add_json(cancelling)


def _add_deciding(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, undoable, text in (
        ("approve", False, "approve the removal of the devices, within a time window"),
        ("reject", True, "reject a request, or take an approval back"),
        ("acknowledge", True, "close a violation, with the reason of the security team"),
        ("reopen", False, "approve again a request that was not fulfilled in time"),
    ):
        deciding = _action(actions, name, _decide, text)
        _add_id(deciding)
        _add_reason(deciding)
        if undoable:
            _add_yes(deciding)
        _add_json(deciding)
        deciding.set_defaults(step=name)

    fulfilling = _action(
        actions,
        "fulfil",
        _fulfil,
        "fulfil an approved request: remove its devices and set a new password",
    )
    _add_id(fulfilling)
    _add_yes(fulfilling)
    _add_json(fulfilling)


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, do: Do, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=text,
        description=f"{text[:1].upper()}{text[1:]}.",
        epilog="Exit code: 0; 1 if it was refused or could not be done; 2 for a wrong call.",
    )
    add_desk_options(parser)
    parser.set_defaults(run=run, do=do, undoable=False)
    return parser


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the request's id: PR-…")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="the reason, for the auditor"
    )
    _add_seen(parser)


def _add_seen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seen",
        type=_count,
        metavar="N",
        help="the version that you read, as `show` prints it: if it has changed, nothing is done",
    )


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.set_defaults(undoable=True)


def _add_details(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", help="why the device has to be removed")
    parser.add_argument(
        "--wanted",
        choices=tuple(WANTED),
        help="the kind of the new device; none: the user keeps another device",
    )
    parser.add_argument(
        "--device",
        action="append",
        metavar="SERIAL",
        help="the device to remove (default: all); may be repeated",
    )


def _add_period(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--from",
        dest="first",
        required=required,
        type=_day,
        metavar="YYYY-MM-DD",
        help="opened on this day (UTC) or later",
    )
    parser.add_argument(
        "--to",
        dest="last",
        required=required,
        type=_day,
        metavar="YYYY-MM-DD",
        help="opened on this day (UTC) or earlier",
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a date as YYYY-MM-DD: {text!r}") from error


def _account(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) == len("111122223333")):
        raise argparse.ArgumentTypeError(f"not an account id of 12 digits: {text!r}")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


# The actions -------------------------------------------------------------------------------------


def _list(at: DeskClient, options: argparse.Namespace) -> None:
    found: list[Json] = []
    more = False
    for request in _all(at, options):
        if len(found) == options.limit:
            more = True
            break
        found.append(request)
    if options.json:
        for request in found:
            sys.stdout.write(json.dumps(request) + "\n")
    elif found:
        console().print(table_of(found))
    else:
        sys.stdout.write("No matching requests.\n")
    if more:
        sys.stderr.write(f"There are more than these {len(found)}. Use --limit to see more.\n")


def _show(at: DeskClient, options: argparse.Namespace) -> None:
    found = at.ask_either("GET", _path(options.id))
    if options.json:
        shown = found if options.history else {"request": found["request"]}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    screen = console()
    for line in card_of(found["request"]):
        screen.print(line, soft_wrap=True)
    if options.history:
        screen.print()
        for line in story_of(found["request"], found["history"]):
            screen.print(line, soft_wrap=True)
        _report_omissions([found])


def _export(at: DeskClient, options: argparse.Namespace) -> None:
    requests = sorted(_all(at, options), key=lambda request: str(request.get("opened_at")))
    exported = [at.ask_either("GET", _path(str(request["id"]))) for request in requests]
    _report_omissions(exported)
    if options.format == "json":
        written = as_json(options.first, options.last, exported) + "\n"
    else:
        written = as_csv(exported)
    if options.output is None:
        sys.stdout.write(written)
        return
    try:
        with options.output.open("w", encoding="utf-8", newline="") as file:
            file.write(written)
    except OSError as error:
        raise ExportError(f"{options.output} cannot be written: {error.strerror}") from error
    sys.stderr.write(f"{len(exported)} requests: {options.output}\n")


def _open(at: DeskClient, options: argparse.Namespace) -> None:
    given = (options.reason, options.wanted)
    if any(given) != all(given) or (options.device and not all(given)):
        raise WrongCallError("details need both --reason and --wanted")
    if options.account and not options.user:
        raise WrongCallError("--account says where a --user is; your own is known")
    body: Json = {"user_name": options.user} if options.user else {}
    if options.account:
        body["account_id"] = options.account
    if all(given):
        body["details"] = _details_of(options)
    _report(at.ask(DeskEndpoint.CHANGE, "POST", "/requests", body=body), options)


def _details(at: DeskClient, options: argparse.Namespace) -> None:
    _ask_for_what_is_missing(options)
    body = _details_of(options) | _seen(options)
    _report(at.ask(DeskEndpoint.CHANGE, "POST", _path(options.id, "details"), body=body), options)


def _cancel(at: DeskClient, options: argparse.Namespace) -> None:
    seen = _confirm(at, options, "The request ends without a decision.")
    body = {"reason": options.reason} | seen
    _report(at.ask_either("POST", _path(options.id, "cancel"), body=body), options)


def _decide(at: DeskClient, options: argparse.Namespace) -> None:
    seen = _confirm(at, options, "This ends the request.") if options.undoable else _seen(options)
    body = {"reason": options.reason} | seen
    _report(
        at.ask(DeskEndpoint.APPROVAL, "POST", _path(options.id, options.step), body=body), options
    )


def _fulfil(at: DeskClient, options: argparse.Namespace) -> None:
    _confirm(at, options, "The devices of the request are removed, and a new password is set.")
    done = at.ask(DeskEndpoint.FULFIL, "POST", _path(options.id, "fulfil"), body={})
    if options.json:
        sys.stdout.write(json.dumps(done, indent=2) + "\n")
        return
    name = plain(str(done.get("user_name")))
    sys.stdout.write(f"Fulfilled for {name} in account {plain(str(done.get('account')))}:\n")
    for step in done.get("steps") or ():
        sys.stdout.write(f"  {plain(str(step))}\n")
    sys.stdout.write(
        f"""
The new password. It is shown only once and is not stored:

  {plain(str(done.get("password")))}

Give it to {name} and to nobody else. At the first sign-in {name} must choose another password:
{plain(str(done.get("sign_in_url")))}
The new device must be enabled by {moment(done.get("new_device_until"))}.
"""
    )


# Shared steps -----------------------------------------------------------------------------------


def _all(at: DeskClient, options: argparse.Namespace) -> Iterator[Json]:
    """Yield all requests that match the options, page by page."""
    states = list(getattr(options, "state", None) or ())
    if getattr(options, "active", False):
        states += [state.value for state in RequestState if state.is_active]
    query = [("state", state) for state in dict.fromkeys(states)]
    if user := getattr(options, "user", None):
        query.append(("subject", user))
    if (days := getattr(options, "older_than", None)) is not None:
        query.append(("older_than_days", str(days)))
    if options.first:
        query.append(("opened_from", _midnight(options.first).isoformat()))
    if options.last:
        query.append(("opened_before", _midnight(options.last + timedelta(days=1)).isoformat()))
    cursor: str | None = None
    while True:
        next_page = [("cursor", cursor)] if cursor else []
        page = at.ask_either("GET", "/requests", query=[*query, ("limit", str(_PAGE)), *next_page])
        yield from page["requests"]
        cursor = page.get("cursor")
        if not cursor:
            return


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _path(request_id: str, step: str = "") -> str:
    return f"/requests/{quote(request_id, safe='')}" + (f"/{step}" if step else "")


def _details_of(options: argparse.Namespace) -> Json:
    return {
        "reason": options.reason,
        "wanted": options.wanted,
        "devices": list(options.device or ()),
    }


def _ask_for_what_is_missing(options: argparse.Namespace) -> None:
    """Ask for missing details at the terminal. Raises WrongCallError without a terminal."""
    if options.reason and options.wanted:
        return
    if not sys.stdin.isatty():
        raise WrongCallError("details need both --reason and --wanted")
    if not options.reason:
        options.reason = _asked("Why does the device have to be removed?\n> ")
    if not options.wanted:
        for number, means in enumerate(WANTED.values(), 1):
            sys.stderr.write(f"  {number}  {means}\n")
        kinds = dict(enumerate(WANTED, 1))
        answer = _asked(f"Which device is wanted instead? [1-{len(kinds)}] ")
        options.wanted = kinds.get(int(answer)) if answer.isdecimal() else None
        if options.wanted is None:
            raise NotConfirmedError(f"{answer!r} is not one of these; nothing was done")


def _asked(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _report(answer: Json, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    request = answer["request"]
    state, follows = plain(str(request["state"])), next_step(request)
    active = state in [one for one in RequestState if one.is_active]
    sys.stdout.write(
        f"{plain(str(request['id']))} about {plain(str(request['subject_name']))} is {state}"
        + (f" and waits for {follows}" if active else f": {follows}" if follows else "")
        + ".\n"
    )


def _require_confirmation(options: argparse.Namespace) -> None:
    """Refuse what cannot be undone if nobody can confirm it. Raises WrongCallError."""
    if options.undoable and not options.yes and not sys.stdin.isatty():
        raise WrongCallError(
            "this cannot be undone, and there is no terminal to confirm it at: use --yes"
        )


def _confirm(at: DeskClient, options: argparse.Namespace, what: str) -> Json:
    """Show the request and ask for confirmation, unless ``--yes``. Raises NotConfirmedError.

    Return the version that was shown, as a part of the call: another version is not changed.
    """
    if options.yes:
        return _seen(options)
    found = at.ask_either("GET", _path(options.id))
    screen = console(stderr=True)
    for line in card_of(found["request"]):
        screen.print(line, soft_wrap=True)
    answer = _asked(f"\n{what} This cannot be undone. Continue? [y/N] ")
    if answer.casefold() not in {"y", "yes"}:
        raise NotConfirmedError("nothing was done")
    return {"version": found["request"]["version"]}


def _seen(options: argparse.Namespace) -> Json:
    seen = getattr(options, "seen", None)
    return {"version": seen} if seen else {}


def _report_omissions(shown: list[Json]) -> None:
    for one in shown:
        if left_out := one.get("history_left_out"):
            id_ = plain(str(one["request"]["id"]))
            sys.stderr.write(f"{id_}: {left_out} older history entries are only in the table.\n")
