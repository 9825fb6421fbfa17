"""Show change requests and their history on a terminal.

User names, reasons and user agents are text of unknown origin, so they are shown as plain text.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mfa_watcher.cli.api_client import Json
from mfa_watcher.cli.terminal import plain
from mfa_watcher.domain.requests.change_request import RequestState
from mfa_watcher.domain.users.people import principal_name
from mfa_watcher.entrypoints.parsing import lenient

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WANTED = {
    "fido": "a security key or passkey",
    "virtual": "an authenticator app",
    "hardware_totp": "a hardware token",
    "none": "no other device",
}

_STYLES = {
    RequestState.OPEN: "yellow",
    RequestState.SUBMITTED: "bold yellow",
    RequestState.APPROVED: "bold cyan",
    RequestState.FULFILLED: "cyan",
    RequestState.CLOSED: "green",
}


def table_of(requests: Sequence[Json]) -> "Table":
    """Return a table of requests, each with what it waits for."""
    from rich.table import Table
    from rich.text import Text

    accounts = [_said(request.get("subject") or {}, "account_id") for request in requests]
    several = len(set(accounts)) > 1
    table = Table()
    about = ("about", "account") if several else ("about",)
    for column in ("request", *about, "state", "opened (UTC)", "waits for, or ended because"):
        table.add_column(column, no_wrap=column in {"request", "account"})
    for request, account in zip(requests, accounts, strict=True):
        table.add_row(
            Text(_said(request, "id")),
            Text(_said(request, "subject_name")),
            *([Text(account)] if several else ()),
            _state(request),
            Text(moment(request.get("opened_at")).removesuffix(" UTC")),
            Text(next_step(request)),
        )
    return table


def next_step(request: Json) -> str:
    """Return what a request waits for, or why it ended."""
    until = moment(request.get("window_until"))
    match request.get("state"):
        case RequestState.OPEN if request.get("violation"):
            return "security's acknowledgement"
        case RequestState.OPEN:
            return "details from the user"
        case RequestState.SUBMITTED:
            return "a decision"
        case RequestState.APPROVED:
            return f"fulfilment, until {until}"
        case RequestState.FULFILLED:
            return f"a new device, until {until}"
        case _:
            return _said(request, "ended_because")


def card_of(request: Json) -> "Iterator[Text]":
    """Yield one request, a line per fact."""
    from rich.text import Text

    subject = request.get("subject") or {}
    yield Text.assemble(
        (_said(request, "id"), "bold"),
        f"  about {_said(request, 'subject_name')} in account {_said(subject, 'account_id')}: ",
        _state(request),
        f" (version {_said(request, 'version')})" if "version" in request else "",
    )
    for title, text in _facts(request):
        yield Text(f"  {title:<10}{text}")


def story_of(request: Json, history: Sequence[Json]) -> "Iterator[Text]":
    """Yield a request's history: who did what on each day, and what followed."""
    from rich.text import Text

    day = ""
    for entry in in_order(history):
        at = lenient.moment(entry.get("at"))
        today = f"{at:%A}, {at.day} {at:%B %Y} (UTC)" if at else "at an unknown time"
        if today != day:
            yield Text(f"\n{today}" if day else today, style="bold")
            day = today
        when = f"{at:%H:%M:%S}" if at else " " * 8
        yield Text.assemble((f"  {when}  ", "dim"), _said(entry, "what"))
        for text, style in _around(request, entry):
            yield Text(f"            {text}", style=style)


def in_order(history: Sequence[Json]) -> list[Json]:
    """Return the entries in the order in which things happened, as far as it is known.

    CloudTrail's times are whole seconds, those of the API are not. So entries of the same second
    are sorted by state: each follows the entry that led to the state it begins with. Entries that
    change no state come last.
    """
    seconds: dict[str, list[Json]] = {}
    for entry in history:
        seconds.setdefault(str(entry.get("at"))[: len("2026-01-31T12:00:00")], []).append(entry)
    ordered: list[Json] = []
    state: object = None
    for entries in seconds.values():
        while entries:
            fits = [one for one in entries if one.get("after") and one.get("before") == state]
            moves = [one for one in entries if one.get("after")]
            first = min(fits or moves or entries, key=_at)
            entries.remove(first)
            ordered.append(first)
            state = first.get("after") or state
    return ordered


def moment(text: object) -> str:
    """Return one of the API's times in a readable form."""
    at = lenient.moment(lenient.as_text(text))
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


def who(arn: object) -> str:
    """Return the name behind an ARN, with the role it was used in."""
    text = plain(str(arn))
    name = principal_name(text)
    if name is None:
        return text
    kind, _, rest = text.split(":", 5)[-1].partition("/")
    return f"{name} (role {rest.split('/')[0]})" if kind == "assumed-role" else name


def _facts(request: Json) -> Iterator[tuple[str, str]]:
    opened_by = request.get("opened_by")
    by = who(opened_by) if opened_by else "a CloudTrail event"
    yield "opened", f"{moment(request.get('opened_at'))} by {by}"
    attempts = request.get("attempts") or ()
    for attempt in attempts:
        where = f" from {_said(attempt, 'source_ip')}" if attempt.get("source_ip") else ""
        what = f"{_said(attempt, 'call')} {_said(attempt, 'outcome')}"
        by = who(attempt.get("actor", ""))
        yield "tried", f"{moment(attempt.get('at'))}  {what}: {by}{where}"
        if attempt.get("serial"):
            yield "", _said(attempt, "serial")
    not_listed = int(request.get("attempt_count") or 0) - len(attempts)
    if not_listed > 0:
        yield "", f"and {not_listed} earlier attempts"
    if details := request.get("details"):
        wanted = WANTED.get(str(details.get("wanted") or "none"), _said(details, "wanted"))
        yield "wants", f"{wanted} instead" if details.get("wanted") else wanted
        yield "because", f"{_said(details, 'reason')} ({who(details.get('given_by', ''))})"
    if verdict := request.get("verdict"):
        decided = "approved" if verdict.get("approved") else "rejected"
        by = who(verdict.get("by", ""))
        yield decided, f"{moment(verdict.get('at'))} by {by}: {_said(verdict, 'reason')}"
    for serial in request.get("devices") or ():
        yield "device", plain(str(serial))
    if fulfilment := request.get("fulfilment"):
        yield (
            "started",
            f"{moment(fulfilment.get('started_at'))} by {who(fulfilment.get('by', ''))}",
        )
        for step in fulfilment.get("done") or ():
            yield "done", plain(str(step))
    active = request.get("state") in [state for state in RequestState if state.is_active]
    yield "waits for" if active else "ended", next_step(request)


def _around(request: Json, entry: Json) -> Iterator[tuple[str, str]]:
    """Yield the lines below a history entry: new state, effects, actor, evidence."""
    before, after = entry.get("before"), entry.get("after")
    if after and before != after:
        yield plain(f"{before} → {after}" if before else f"→ {after}"), "cyan"
    here = f"request {request.get('id')}"
    for effect in map(str, entry.get("effects") or ()):
        # The change of state was shown above; other effects on this request need no id.
        if not effect.startswith(f"{here}: "):
            yield plain(f"· {effect.replace(here, 'the request')}"), ""
    source = str(entry.get("event_id") or "")
    by = [f"by {who(entry['actor'])}"] if entry.get("actor") else []
    if not source.startswith(("desk-", "expire-")):
        by.append(plain(f"CloudTrail event {source}"))
    if by:
        yield ", ".join(by), "dim"


def _state(request: Json) -> "Text":
    from rich.text import Text

    state = _said(request, "state")
    if request.get("violation"):
        closed = request.get("state") == RequestState.CLOSED
        return Text(f"{state}, a violation", style="red" if closed else "bold red")
    known = next((one for one in RequestState if one == state), None)
    return Text(state, style=_STYLES.get(known, "") if known else "")


def _said(of: Json, name: str) -> str:
    value = of.get(name)
    return "" if value is None else plain(str(value))


def _at(entry: Json) -> datetime:
    return lenient.moment(entry.get("at")) or datetime.min.replace(tzinfo=UTC)
