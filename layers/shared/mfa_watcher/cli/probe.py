"""``mfa-watcher doctor --probe``: sends signs through a deployed watcher and shows which arrive."""

import argparse
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

from mfa_watcher.cli.api_client import AccessDeniedError, DeskCallError, DeskClient, DeskEndpoint
from mfa_watcher.cli.aws import AccountError, OpenedStack, open_stack
from mfa_watcher.cli.terminal import WrongCallError, console, plain, print_json_lines
from mfa_watcher.domain.health.probe import USER_PREFIX, ProbeResult, Sign
from mfa_watcher.domain.health.results import Level
from mfa_watcher.domain.users.addresses import is_address
from mfa_watcher.ports.probe import DeskRefusedError, ProbeUser

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from mfa_watcher.usecases.probe import Probe

INTERRUPTED = 130
NOT_SHOWN = 3
"""The exit code if nothing is wrong but that the caller may not see something."""

_OUTPUTS = ("RequesterPolicyArn", "ChangeDeskUrl", "ApprovalDeskUrl")
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAIL: "bold red"}
_SAY_EVERY = 30.0
"""Seconds between two lines about what is waited for, where there is no terminal."""


def add_probe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the probe."""
    group = parser.add_argument_group(
        "probe",
        "With a user made for it, and deleted at the end, the probe shows that events, mails,"
        " alerts and a change request take the real way. docs/doctor.md has the permissions.",
    )
    group.add_argument(
        "--probe", action="store_true", help="send signs, instead of reading the account"
    )
    group.add_argument(
        "--address",
        type=_address,
        metavar="ADDRESS",
        help="your own address, in MailDomains: gets the mails",
    )
    group.add_argument(
        "--time-limit",
        type=_seconds,
        default=600.0,
        metavar="SECONDS",
        help="how long to wait for each sign (%(default).0f)",
    )


def run_probe(options: argparse.Namespace) -> int:
    """Probe a deployed watcher and show each result when it is known; return the exit code."""
    if not options.address:
        raise WrongCallError("--probe needs --address, where mails may be sent")
    results: list[ProbeResult] = []
    user = f"{USER_PREFIX}{secrets.token_hex(4)}"
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it also cleans up
    try:
        opened = open_stack(options)
        if not opened.settings.addresses.allows(options.address):
            domains = ", ".join(sorted(opened.settings.addresses.domains))
            raise WrongCallError(f"--address must be at {domains}")
        with _screen(as_json=options.json) as screen:

            def show(result: ProbeResult) -> None:
                results.append(result)
                screen.show(result)

            _probe(opened, options, user, show, screen.waits).run()
    except KeyboardInterrupt:
        removed = any(one.sign is Sign.REMOVED and one.about == user for one in results)
        left = "" if removed else f"; if the user {user} exists, the next probe removes them"
        sys.stderr.write(f"mfa-watcher doctor: interrupted{left}\n")
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    levels = Counter(one.level for one in results)
    if not options.json:
        counted = ", ".join(f"{levels[level]} {level}" for level in Level if levels[level])
        sys.stdout.write(f"\n{len(results)} results: {counted}\n")
    return 1 if levels[Level.FAIL] else NOT_SHOWN if levels[Level.UNKNOWN] else 0


def _probe(
    opened: OpenedStack,
    options: argparse.Namespace,
    user: str,
    show: Callable[[ProbeResult], None],
    waits: Callable[[Sequence[str], float], None],
) -> "Probe":
    from mfa_watcher.adapters.probe import BotoProbe, DynamoProbedTable
    from mfa_watcher.usecases.probe import Probe

    stack, settings = opened.stack, opened.settings
    for output in _OUTPUTS:
        if output not in stack.outputs:
            raise AccountError(
                f"the stack {options.stack!r} has no output {output}: deploy it again"
            )
    account = BotoProbe(
        opened.build,
        lambda made, service: _session_of(made, stack.region).client(service),
        stack.account_id,
        secrets.SystemRandom(),
    )
    return Probe(
        stack,
        account,
        DynamoProbedTable(opened.store),
        _Desks(opened),
        opened.accounts.ids,
        options.sign_in_regions or stack.sign_in_regions,
        user,
        {settings.address_tags[0]: options.address},
        timedelta(seconds=options.time_limit),
        now,
        sleep,
        show,
        waits,
    )


def now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def _session_of(user: ProbeUser, region: str) -> Any:  # noqa: ANN401 - as boto3 types it by name
    import boto3

    return boto3.Session(
        aws_access_key_id=user.access_key_id,
        aws_secret_access_key=user.secret,
        region_name=region,
    )


@dataclass(frozen=True, slots=True)
class _Desks:
    """The desks of a deployed stack."""

    opened: OpenedStack

    def give_details(self, user: ProbeUser, request_id: str) -> str | None:
        """Call the change desk with the user's access key."""
        body = {"reason": "a probe of the watcher", "wanted": "virtual", "devices": []}
        at = self._client(_session_of(user, self.opened.stack.region))
        try:
            return _state(at, DeskEndpoint.CHANGE, f"/requests/{request_id}/details", body)
        except AccessDeniedError:
            return None

    def reject(self, request_id: str) -> str:
        """Call the approval desk as the caller."""
        body = {"reason": "a probe of the watcher"}
        at = self._client(self.opened.session)
        try:
            return _state(at, DeskEndpoint.APPROVAL, f"/requests/{request_id}/reject", body)
        except AccessDeniedError as error:
            raise DeskRefusedError(str(error)) from error

    def _client(self, session: Any) -> DeskClient:  # noqa: ANN401 - a boto3 session
        from botocore.httpsession import URLLib3Session

        stack = self.opened.stack
        known = {
            one: stack.outputs[one.output] for one in (DeskEndpoint.CHANGE, DeskEndpoint.APPROVAL)
        }
        return DeskClient(session, stack.name, stack.region, known, URLLib3Session().send)


def _state(at: DeskClient, endpoint: DeskEndpoint, path: str, body: dict[str, Any]) -> str:
    try:
        return str(at.ask(endpoint, "POST", path, body=body)["request"]["state"])
    except AccessDeniedError:
        raise
    except (AccountError, DeskCallError) as error:
        raise DeskRefusedError(str(error)) from error


# Showing -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Screen:
    """Shows each result as a line, and what is waited for."""

    lines: "Console | None"
    """None: JSON is written."""
    status: "Status | None"
    """None: there is no terminal."""
    _said: float = field(default=0.0, init=False)

    def show(self, result: ProbeResult) -> None:
        """Write a result."""
        if self.lines is None:
            print_json_lines([_line(result)])
            sys.stdout.flush()
            return
        from rich.text import Text

        line = Text(f"  {_word(result.level):<9}", style=_STYLES.get(result.level, "magenta"))
        subject = " ".join(filter(None, (result.sign.title, plain(result.about))))
        took = "" if result.seconds is None else f" ({result.seconds:.1f} s)"
        line.append(f"{subject}: {plain(result.seen)}{took}", style="")
        if result.remedy:
            line.append(f"\n  {'':<9}→ {result.remedy}", style="dim")
        self.lines.print(line, soft_wrap=True)

    def waits(self, titles: Sequence[str], seconds: float) -> None:
        """Show what is waited for, on a terminal at once, elsewhere now and then."""
        text = f"waiting for {', '.join(map(plain, titles))}: {seconds:.0f} s"
        if self.status:
            self.status.update(text)
        elif seconds - self._said >= _SAY_EVERY:
            self._said = seconds
            sys.stderr.write(text + "\n")


@contextmanager
def _screen(*, as_json: bool) -> Iterator[_Screen]:
    lines = None if as_json else console()
    progress = console(stderr=True)
    if not progress.is_terminal:
        yield _Screen(lines, None)
        return
    with progress.status("asking the account") as status:
        yield _Screen(lines, status)


def _word(level: Level) -> str:
    return "FAIL" if level is Level.FAIL else level.value


def _line(result: ProbeResult) -> dict[str, object]:
    return {
        "sign": result.sign.key,
        "about": result.about,
        "level": result.level.value,
        "seen": result.seen,
        "seconds": None if result.seconds is None else round(result.seconds, 1),
        "remedy": result.remedy,
    }


def _address(text: str) -> str:
    if not is_address(text):
        raise argparse.ArgumentTypeError(f"not a mail address: {text!r}")
    return text


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return float(text)
