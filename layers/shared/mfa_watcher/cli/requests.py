"""``mfa-watcher requests``: the change desk, for users, the service desk and approvers."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mfa_watcher.cli import request_views
from mfa_watcher.cli.api_client import (
    DeskClient,
    DeskEndpoint,
    Json,
    add_desk_options,
    desk_client,
)
from mfa_watcher.cli.request_export import as_csv, as_json
from mfa_watcher.cli.terminal import (
    Actions,
    CommandError,
    WrongCallError,
    console,
    day,
    plain,
    print_json_lines,
)
from mfa_watcher.domain.requests.change_request import RequestState

_PAGE = 100
"""The number of requests that the API returns per page."""

_LISTED = 100
"""The number of requests that ``list`` shows by default."""

Do = Callable[[DeskClient, argparse.Namespace], None]


def add_command(commands: Actions) -> None:
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
    for name, do, text, arguments in _ACTIONS:
        action = actions.add_parser(
            name,
            help=text,
            description=f"{text[:1].upper()}{text[1:]}.",
            epilog="Exit code: 0; 1 if it was refused or could not be done; 2 for a wrong call.",
        )
        add_desk_options(action)
        for argument in arguments:
            action.add_argument(*argument.names, **argument.settings)
        action.set_defaults(run=run, do=do, step=name, undoable=_YES in arguments)


def run(options: argparse.Namespace) -> None:
    """Do one action."""
    _require_confirmation(options)
    _require_version(options)
    options.do(desk_client(options), options)


# The actions -------------------------------------------------------------------------------------


def _list(at: DeskClient, options: argparse.Namespace) -> None:
    listed = list(islice(_all(at, options), options.limit + 1))
    found = listed[: options.limit]
    if options.json:
        print_json_lines(found)
    elif found:
        console().print(request_views.table_of(found))
    else:
        sys.stdout.write("No matching requests.\n")
    if len(listed) > len(found):
        sys.stderr.write(f"There are more than these {len(found)}. Use --limit to see more.\n")


def _show(at: DeskClient, options: argparse.Namespace) -> None:
    found = at.ask_either("GET", _path(options.id))
    if options.json:
        shown = found if options.history else {"request": found["request"]}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    screen = console()
    for line in request_views.card_of(found["request"]):
        screen.print(line, soft_wrap=True)
    if options.history:
        screen.print()
        for line in request_views.story_of(found["request"], found["history"]):
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
        raise CommandError(f"{options.output} cannot be written: {error.strerror}") from error
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
    if not seen:  # an approver's call needs a version, and a user's may have one
        found = at.ask_either("GET", _path(options.id))
        seen = {"version": found["request"]["version"]}
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
The new device must be enabled by {request_views.moment(done.get("new_device_until"))}.
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
        for number, means in enumerate(request_views.WANTED.values(), 1):
            sys.stderr.write(f"  {number}  {means}\n")
        kinds = dict(enumerate(request_views.WANTED, 1))
        answer = _asked(f"Which device is wanted instead? [1-{len(kinds)}] ")
        options.wanted = kinds.get(int(answer)) if answer.isdecimal() else None
        if options.wanted is None:
            raise CommandError(f"{answer!r} is not one of these; nothing was done")


def _asked(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _report(answer: Json, options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    request = answer["request"]
    state, follows = plain(str(request["state"])), request_views.next_step(request)
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
    """Show the request and ask for confirmation, unless ``--yes``. Raises CommandError.

    Return the version that was shown, as a part of the call: another version is not changed.
    """
    if options.yes:
        return _seen(options)
    found = at.ask_either("GET", _path(options.id))
    screen = console(stderr=True)
    for line in request_views.card_of(found["request"]):
        screen.print(line, soft_wrap=True)
    answer = _asked(f"\n{what} This cannot be undone. Continue? [y/N] ")
    if answer.casefold() not in {"y", "yes"}:
        raise CommandError("nothing was done")
    return {"version": found["request"]["version"]}


def _require_version(options: argparse.Namespace) -> None:
    """Refuse to decide about a version that nobody has read. Raises WrongCallError."""
    if options.do is not _decide or getattr(options, "seen", None):
        return
    if not options.undoable or options.yes:
        raise WrongCallError(
            "--seen N is needed: the version that `requests show` printed. What you decide about is"
            " then what you have read"
        )


def _seen(options: argparse.Namespace) -> Json:
    seen = getattr(options, "seen", None)
    return {"version": seen} if seen else {}


def _report_omissions(shown: list[Json]) -> None:
    for one in shown:
        if left_out := one.get("history_left_out"):
            id_ = plain(str(one["request"]["id"]))
            sys.stderr.write(f"{id_}: {left_out} older history entries are only in the table.\n")


# The actions and their options -------------------------------------------------------------------


def _account(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) == len("111122223333")):
        raise argparse.ArgumentTypeError(f"not an account id of 12 digits: {text!r}")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


class _Argument:
    """An argument of an action, as argparse takes it."""

    def __init__(self, *names: str, **settings: Any) -> None:  # noqa: ANN401 - as argparse has them
        self.names = names
        self.settings = settings


def _period(*, required: bool) -> tuple[_Argument, ...]:
    each: Json = {"required": required, "type": day, "metavar": "YYYY-MM-DD"}
    return (
        _Argument("--from", dest="first", help="opened on this day (UTC) or later", **each),
        _Argument("--to", dest="last", help="opened on this day (UTC) or earlier", **each),
    )


_ID = _Argument("id", metavar="ID", help="the request's id: PR-…")
_JSON = _Argument("--json", action="store_true", help="print the API's answer as JSON")
_YES = _Argument("--yes", action="store_true", help="do not ask for confirmation")
_SEEN = _Argument(
    "--seen",
    type=_count,
    metavar="N",
    help="the version that you read, as `show` prints it: if it has changed, nothing is done",
)
_REASON = _Argument("--reason", required=True, metavar="TEXT", help="the reason, for the auditor")
_DETAILS = (
    _Argument("--reason", metavar="TEXT", help="why the device has to be removed"),
    _Argument(
        "--wanted",
        choices=tuple(request_views.WANTED),
        help="the kind of the new device; none: the user keeps another device",
    ),
    _Argument(
        "--device",
        action="append",
        metavar="SERIAL",
        help="the device to remove (default: all); may be repeated",
    ),
)
_LIST = (
    _Argument(
        "--state",
        action="append",
        choices=[state.value for state in RequestState],
        help="only requests in this state; may be repeated",
    ),
    _Argument("--active", action="store_true", help="only requests that have not ended"),
    _Argument("--user", metavar="NAME", help="only requests about this IAM user"),
    _Argument(
        "--older-than",
        type=_count,
        metavar="DAYS",
        help="only requests opened at least this many days ago",
    ),
    *_period(required=False),
    _Argument(
        "--limit",
        type=_count,
        default=_LISTED,
        metavar="N",
        help="show at most this many (%(default)s)",
    ),
    _Argument("--json", action="store_true", help="one JSON line per request"),
)
_HISTORY = _Argument(
    "--history", action="store_true", help="show everything that happened, in order"
)
_EXPORT = (
    *_period(required=True),
    _Argument("--format", choices=("csv", "json"), default="csv", help="(%(default)s)"),
    _Argument(
        "--output", metavar="FILE", type=Path, help="the file to write (default: standard output)"
    ),
)
_OPEN = (
    _Argument("--user", metavar="NAME", help="the IAM user it is about (default: yourself)"),
    _Argument(
        "--account",
        metavar="ID",
        type=_account,
        help="the user's account, if it is not the watcher's own",
    ),
)
_STEP = (_ID, _REASON, _SEEN)

_ACTIONS: tuple[tuple[str, Do, str, tuple[_Argument, ...]], ...] = (
    ("list", _list, "list requests, the newest first", _LIST),
    ("show", _show, "show one request and its history", (_ID, _HISTORY, _JSON)),
    ("export", _export, "export all requests of a period with their history", _EXPORT),
    ("open", _open, "file a request, for yourself or for a user", (*_OPEN, *_DETAILS, _JSON)),
    (
        "details",
        _details,
        "give the reason and the kind of new device; asks for what is missing",
        (_ID, *_DETAILS, _SEEN, _JSON),
    ),
    (
        "cancel",
        _cancel,
        "withdraw a request whose fulfilment has not started",
        (*_STEP, _YES, _JSON),
    ),
    (
        "approve",
        _decide,
        "approve the removal of the devices, within a time window",
        (*_STEP, _JSON),
    ),
    ("reject", _decide, "reject a request, or take an approval back", (*_STEP, _YES, _JSON)),
    (
        "acknowledge",
        _decide,
        "close a violation, with the reason of the security team",
        (*_STEP, _YES, _JSON),
    ),
    (
        "reopen",
        _decide,
        "approve again a request that was not fulfilled in time",
        (*_STEP, _JSON),
    ),
    (
        "fulfil",
        _fulfil,
        "fulfil an approved request: remove its devices and set a new password",
        (_ID, _YES, _JSON),
    ),
)
