"""The results of the health check: all checks, their levels, and the texts that they share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, StrEnum

MOST_NAMED = 5
"""How many names one line lists; the rest is only counted."""

_SHOWN_IN_MINUTES = 120
_SHOWN_IN_HOURS = 48


class Level(StrEnum):
    """How a check ended. A check that could not be made is UNKNOWN."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def passes(self) -> bool:
        """Return whether the watcher can be relied on in this respect."""
        return self in {Level.OK, Level.WARNING}


class Group(StrEnum):
    """The subjects of the checks, as headings."""

    EVENTS = "Events arrive"
    RESOURCES = "The watcher runs"
    NOTIFICATIONS = "Mails and alerts go out"
    ACCOUNT = "The account is protected"
    ACTIVITY = "The watcher was active recently"


class Check(Enum):
    """All checks, in the order in which they are shown."""

    STACK = ("stack", Group.EVENTS)
    TRAIL = ("trail", Group.EVENTS)
    RULES = ("rules", Group.EVENTS)
    FORWARDERS = ("forwarders", Group.EVENTS)
    EVENT_BUS = ("event_bus", Group.EVENTS)
    EVENT_SOURCES = ("event_sources", Group.RESOURCES)
    FUNCTIONS = ("functions", Group.RESOURCES)
    CONCURRENCY = ("concurrency", Group.RESOURCES)
    SCHEDULES = ("schedules", Group.RESOURCES)
    DEAD_LETTERS = ("dead_letters", Group.RESOURCES)
    SES_ACCOUNT = ("ses_account", Group.NOTIFICATIONS)
    SES_IDENTITY = ("ses_identity", Group.NOTIFICATIONS)
    SES_QUOTA = ("ses_quota", Group.NOTIFICATIONS)
    MAIL_DOMAINS = ("mail_domains", Group.NOTIFICATIONS)
    ALERT_TOPIC = ("alert_topic", Group.NOTIFICATIONS)
    GUARD_POLICY = ("guard_policy", Group.ACCOUNT)
    ROOT_MFA = ("root_mfa", Group.ACCOUNT)
    PASSWORD_POLICY = ("password_policy", Group.ACCOUNT)
    FIRST_PASSWORD = ("first_password", Group.ACCOUNT)
    LAST_SWEEP = ("last_sweep", Group.ACTIVITY)
    HEARTBEAT = ("heartbeat", Group.ACTIVITY)

    def __init__(self, key: str, group: Group) -> None:
        """Take the check's name in JSON, and its group."""
        self.key = key
        self.group = group

    @property
    def title(self) -> str:
        """Return the check's name for a reader."""
        return self.key.replace("_", " ")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check. ``about`` is a region or a resource; empty means all of it."""

    check: Check
    level: Level
    seen: str
    remedy: str = ""
    about: str = ""


@dataclass(slots=True)
class Findings:
    """Collects what one check finds: a result for each fault, or a single OK."""

    check: Check
    results: list[CheckResult] = field(default_factory=list)

    def fail(self, seen: str, remedy: str, about: str = "") -> tuple[CheckResult, ...]:
        """Add a fault. This and the next two return all results so far."""
        return self._add(Level.FAIL, seen, remedy, about)

    def warn(self, seen: str, remedy: str, about: str = "") -> tuple[CheckResult, ...]:
        """Add something that works but needs attention."""
        return self._add(Level.WARNING, seen, remedy, about)

    def unknown(self, seen: str, remedy: str, about: str = "") -> tuple[CheckResult, ...]:
        """Add something that could not be checked."""
        return self._add(Level.UNKNOWN, seen, remedy, about)

    def _add(self, level: Level, seen: str, remedy: str, about: str) -> tuple[CheckResult, ...]:
        self.results.append(CheckResult(self.check, level, seen, remedy, about))
        return tuple(self.results)

    def or_ok(self, seen: str, about: str = "") -> tuple[CheckResult, ...]:
        """Return the results, or a single OK if there are none."""
        return tuple(self.results) or (CheckResult(self.check, Level.OK, seen, about=about),)


def named(names: Iterable[str]) -> str:
    """Return some of the names, and how many more there are."""
    listed = sorted(names)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def count(number: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def duration(time: timedelta) -> str:
    """Return a duration in minutes, hours or days."""
    minutes = max(0, int(time.total_seconds() // 60))
    if minutes < _SHOWN_IN_MINUTES:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < _SHOWN_IN_HOURS else f"{hours // 24} days"
