"""Playing the story and showing, line by line, what happens and what the watcher makes of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.markup import escape

from sandbox.expectations import Expectation, Scenario, Since
from sandbox.observations import Alert, HistoryLine, Mail, Observations
from sandbox.records import Json
from sandbox.setup import Sandbox

SCENE_TAKES_AT_MOST_SECONDS: Final = 30
# Once something is missing, what follows will probably miss something too.
THEN_AT_MOST_SECONDS: Final = 4
LOOK_EVERY_SECONDS: Final = 0.25


@dataclass(frozen=True)
class ScenarioResult:
    """A scenario that was results, and what did not follow."""

    scenario: Scenario
    seconds: float
    missing: tuple[Expectation, ...]


@dataclass
class Timeline:
    """The story on a terminal, or in a log file."""

    console: Console
    began: float = field(default_factory=time.monotonic)
    silence_threshold: float = SCENE_TAKES_AT_MOST_SECONDS

    def play(self, scenarios: tuple[Scenario, ...], sandbox: Sandbox) -> list[ScenarioResult]:
        """Play all scenarios, even after one that did not end as demo_run."""
        return [self._play(scenario, sandbox) for scenario in scenarios]

    def watch(self, observations: Observations) -> None:
        """Show what others do, until interrupted."""
        while True:
            self.show(observations.update())
            time.sleep(LOOK_EVERY_SECONDS)

    def show(self, news: list[Json | HistoryLine | Mail | Alert]) -> None:
        """Print what is new."""
        for item in news:
            for kind, style, text in _lines(item):
                self._line(kind, style, text)

    def _line(self, kind: str, style: str, text: str) -> None:
        at = f"{time.monotonic() - self.began:6.1f} s"
        line = f"[dim]{at}[/]  [{style}]{kind:<10}[/] {text}"
        self.console.print(line, highlight=False, soft_wrap=True)

    def _play(self, scenario: Scenario, sandbox: Sandbox) -> ScenarioResult:
        self.console.print()
        self.console.rule(f"[bold]{escape(scenario.title)}", align="left", style="dim")
        self.console.print(f"[italic]{escape(scenario.text)}", highlight=False)
        since = Since.now(sandbox.observations)
        for number, line in enumerate((scenario.act(sandbox) or "").splitlines()):
            self._line("" if number else "meanwhile", "cyan", escape(line))
        start = time.monotonic()
        missing = self._wait(scenario, since, start)
        if missing:
            self.silence_threshold = THEN_AT_MOST_SECONDS
        for expectation in scenario.then:
            failed = expectation in missing
            mark, style = ("✗ MISSING", "bold red") if failed else ("✓", "green")
            self.console.print(f"{'':8}  [{style}]{mark}[/] {escape(expectation.claim)}")
        return ScenarioResult(scenario, time.monotonic() - start, missing)

    def _wait(self, scenario: Scenario, since: Since, start: float) -> tuple[Expectation, ...]:
        """Look until nothing is under way and all has followed, or it takes too long."""
        while True:
            is_idle = since.observations.is_idle()
            self.show(since.observations.update())
            missing = tuple(claim for claim in scenario.then if not claim.holds(since))
            too_long = time.monotonic() - start > self.silence_threshold
            if (is_idle and not missing and since.observations.is_idle()) or too_long:
                return missing
            time.sleep(LOOK_EVERY_SECONDS)


def _lines(item: Json | HistoryLine | Mail | Alert) -> Iterator[tuple[str, str, str]]:
    match item:
        case Mail():
            copied = f" (copy to {item.copy_to})" if item.copy_to else ""
            yield "mail", "bold blue", f"to {escape(item.to + copied)}: {escape(item.subject)}"
        case Alert():
            yield "alert", "bold red", escape(item.subject)
        case HistoryLine():
            if item.is_delivery:
                yield "delivered", "dim", escape(item.what)
                return
            yield "saw", "magenta", escape(item.what)
            for effect in item.effects:
                yield "did", "bold magenta", escape(effect)
        case _:
            yield "CloudTrail", "cyan", _record_line(item["record"], item["rules"])


def _record_line(record: Json, rules: list[str]) -> str:
    identity = record["userIdentity"]
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
    role = f"role {issuer['userName']}" if issuer else ""
    who = identity.get("userName") or role or identity["type"].lower()
    answer = record.get("errorCode") or (record["responseElements"] or {}).get("ConsoleLogin", "")
    mfa = (record.get("additionalEventData") or {}).get("MFAUsed")
    outcome = " ".join(filter(None, [answer, mfa and f"MFAUsed {mfa}"]))
    matched = "" if rules else " [dim](no rule matches)[/]"
    return f"{record['eventName']} by {escape(who)}{' → ' + outcome if outcome else ''}{matched}"
