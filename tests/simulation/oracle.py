"""What each user must get, computed naively: from their history alone, one user at a time.

Nothing of the watcher is used here, and nothing of how it works: no table, no outbox, no versions.
The promise: a guide when first seen without a device; then on the days of the schedule, in mail
hours, one reminder a day at most, each step once, until they have a device, have no console
access, are exempt, or are gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.user_histories import (
    DAY,
    DOMAIN,
    END,
    HOUR,
    MINUTE,
    ZONE,
    Life,
    Script,
    Sent,
    State,
    Word,
    within,
)

LADDER = (0, 1, 3, 7, 14)
SECURITY = "security@example.com"
TO_USERS_WITHOUT_MFA = frozenset(
    {"guide", "welcome", "device_lost", "reminder", "final_warning", "security_case"}
)
REMINDERS = frozenset({"reminder", "final_warning"})
TO_SECURITY = frozenset({"security_case", "exemption_ending"})


@dataclass(frozen=True, order=True)
class Letter:
    """One mail: what, about whom, to whom, in which language."""

    user_id: str
    kind: str
    step: int
    to: str
    copy_to: str
    language: str


@dataclass
class Promise:
    """What one user must get, and when, at the earliest."""

    letters: list[tuple[datetime, Letter]] = field(default_factory=list)
    unreachable: bool = False
    bad_addresses: set[str] = field(default_factory=set)


def in_mail_hours(moment: datetime) -> bool:
    """Return whether reminders may go out: from eight to six, where the company is."""
    return 8 <= moment.astimezone(ZONE).hour < 18


def foresee(script: Script) -> dict[str, Promise]:
    """Return for each user what they must get."""
    return {life.user_id: _Foreseen(script, life).promise() for life in script.lives}


@dataclass
class _Finding:
    since: datetime
    cause: str
    due: datetime
    step: int = 0
    told: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Held:
    """A mail between its decision and the moment at which it may leave."""

    leaves_at: datetime
    decided_at: datetime
    kind: str
    step: int
    finding: _Finding | None
    escalation_step: int


class _Foreseen:
    def __init__(self, script: Script, life: Life) -> None:
        self.script = script
        self.life = life
        self.made = Promise()
        self.finding: _Finding | None = None
        self.until: datetime | None = None
        self.warn_at: datetime | None = None
        self.evaluate_at: datetime | None = None
        self.had_device = False
        self.held: list[_Held] = []

    def promise(self) -> Promise:
        for at, what in sorted(self._moments(), key=lambda moment: moment[0]):
            self._let_go(at)
            match what:
                case Sent():
                    self._hear(at, what)
                case Word():
                    self._obey(at, what)
                case None:
                    self._make_rounds(at)
        self._let_go(END + 7 * DAY)
        return self.made

    def _moments(self) -> Iterator[tuple[datetime, Sent | Word | None]]:
        for record in self.life.records:
            # It comes once if it comes twice. While IAM is out, the queue tries every 3 minutes.
            for arrival in record.arrives[:1]:
                at = arrival
                while within(self.script.iam_out, at):
                    at += 3 * MINUTE
                if at < END:
                    yield at, record
        for word in self.life.words:
            if word.at < END:
                yield word.at, word
        for run, _ in self.script.runs:
            if in_mail_hours(run) and not within(self.script.iam_out, run):
                yield run, None

    def _hear(self, at: datetime, record: Sent) -> None:
        state = self.life.at(at)
        what = record.what
        if what == "created" and self.life.follows_another:
            what = "granted"  # the name's earlier owner may count as this user
        if what in {"created", "entity_deleted"} or (
            what == "sign_in_with_mfa" and not self.finding
        ):
            return
        if what in {"access_removed", "deleted"}:
            if not state.exists or (what == "access_removed" and not state.console):
                self.finding = None
            return
        self._see(state, record.at, at, what)
        if what == "sign_in" and (finding := self.finding):
            expected = finding.cause == "granted" and record.at - finding.since < HOUR
            if not expected and not finding.told & {"guide", "device_lost"}:
                self._tell(at, "guide")

    def _obey(self, at: datetime, word: Word) -> None:
        if word.until is None:
            self.until, self.evaluate_at = None, at
            return
        self.finding = None
        self.until, self.warn_at = word.until, max(word.until - 7 * DAY, at)

    def _make_rounds(self, at: datetime) -> None:
        finding, exempt = self.finding, self.warn_at or self.until if self.until else None
        times = (finding.due if finding else None, exempt, self.evaluate_at)
        if not any(time and time <= at for time in times):
            return
        self.evaluate_at = None
        state = self.life.at(at)
        self._see(state, at, at, "rounds")
        if not state.exists:
            self.until = None
            return
        if self.until and self.warn_at and at >= self.warn_at:
            self.warn_at = None
            self._tell(at, "exemption_ending")
        if (finding := self.finding) and finding.due <= at:
            self._climb(finding, at)

    def _climb(self, finding: _Finding, at: datetime) -> None:
        finding.step += 1
        step, last = finding.step, len(LADDER) - 1
        days = (*LADDER, *(LADDER[-1] + 7 * week for week in range(1, 9)))
        finding.due = max(finding.since + days[step + 1] * DAY, at + DAY)
        if step == last - 1:
            self._tell(at, "final_warning", step)
            return
        self._tell(at, "reminder", step if step < last else step - 1)
        if step == last:
            self._tell(at, "security_case", step)

    def _see(self, state: State, since: datetime, at: datetime, cause: str) -> None:
        """Take in what is true: it opens a finding, or ends one."""
        had_device, self.had_device = self.had_device, bool(state.devices)
        if not state.exists:
            self.finding = None
            return
        if self.until and since >= self.until:
            self.until = None
        if state.devices:
            if self.finding:
                self._tell(at, "enrolled")
            self.finding = None
        elif not state.console or self.until:
            self.finding = None
        elif not self.finding:
            self.finding = _Finding(since, cause, since + LADDER[1] * DAY)
            lost = cause == "removed" or (cause not in {"sign_in", "granted"} and had_device)
            first = "device_lost" if lost else "welcome" if cause == "granted" else "guide"
            self._tell(at, first)

    def _tell(self, at: datetime, kind: str, step: int = 0) -> None:
        if self.finding:
            self.finding.told.add(kind)
        leaves_at = within(self.script.ses_out, at) or at
        if kind in REMINDERS:
            while not in_mail_hours(leaves_at):
                leaves_at += HOUR
        escalation_step = self.finding.step if self.finding else 0
        self.held.append(_Held(leaves_at, at, kind, step, self.finding, escalation_step))
        self._let_go(at)

    def _let_go(self, until: datetime) -> None:
        """Let go what may leave by now."""
        for mail in sorted(self.held, key=lambda one: one.leaves_at):
            if mail.leaves_at <= until:
                self.held.remove(mail)
                self._leave(mail)

    def _leave(self, mail: _Held) -> None:
        leaves_at, kind, step = mail.leaves_at, mail.kind, mail.step
        state = self.life.at(leaves_at)
        if kind in REMINDERS and self._is_overtaken(mail):
            return
        # While SES is out, IAM is asked at each try: who is seen protected once gets it no more.
        tried_until = within(self.script.ses_out, mail.decided_at) or leaves_at
        seen = [one for at, one in self.life.states if mail.decided_at < at <= tried_until]
        if not all(_wants(kind, one) for one in (*seen, state)):
            return
        if kind in TO_SECURITY:
            self._send(leaves_at, kind, step, SECURITY, "", "")
            return
        tags, post, bad = dict(state.tags), self.script.post, self.made.bad_addresses
        manager = tags.get("manager", "")
        copied = kind == "final_warning" and manager.endswith(f"@{DOMAIN}") and manager not in bad
        for address in _addresses(state):
            if address in bad:
                continue
            if address in post.refused:
                bad.add(address)
                continue
            copy_to = manager if copied else ""
            self._send(leaves_at, kind, step, address, copy_to, tags.get("language", ""))
            bad |= {copy_to} & (post.bounces | post.complains)
            if address not in post.bounces:
                bad |= {address} & post.complains
                return
            bad.add(address)  # and the same mail goes to the next one
            copied = copied and manager not in bad
        self.made.unreachable = True

    def _is_overtaken(self, mail: _Held) -> bool:
        """Return whether a reminder is one too many by now: a later one has come, or is to come."""
        finding = self.finding
        if finding is None or finding is not mail.finding or finding.step > mail.escalation_step:
            return True
        held_up = mail.leaves_at - mail.decided_at > HOUR
        return held_up and finding.due - mail.leaves_at < DAY

    def _send(self, at: datetime, *what: Any) -> None:
        self.made.letters.append((at, Letter(self.life.user_id, *what)))


def _wants(kind: str, state: State) -> bool:
    """Return whether a mail is still to the point."""
    unprotected = state.console and not state.devices
    return state.exists and (unprotected or kind not in TO_USERS_WITHOUT_MFA)


def _addresses(state: State) -> list[str]:
    tags = dict(state.tags)
    wanted = (tags.get("email", ""), state.name, f"{state.name}@{DOMAIN}")
    return [
        one
        for one in wanted
        if one.endswith(f"@{DOMAIN}") and one.count("@") == 1 and "," not in one
    ]


def latest(script: Script, at: datetime) -> datetime:
    """Say by when a mail must have gone: minutes later, whatever went wrong on its way."""
    return (within(script.ses_out, at) or at) + timedelta(minutes=30)
