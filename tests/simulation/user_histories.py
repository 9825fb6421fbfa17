"""The lives of an account's users in a month: what is true of each when, and who hears of it.

Everything here is drawn from a seed before the month begins, so that the watcher and the oracle are
told the same. Nothing of the watcher is used.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Berlin")
FIRST_DAY = datetime(2026, 10, 5, tzinfo=UTC)  # three weeks before summer time ends
DAYS = 31
END = FIRST_DAY + timedelta(days=DAYS)
DOMAIN = "example.com"

SILENT = frozenset({9, 17, 18, 19})
"""Days on which the schedule does not fire at all."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class State:
    """What IAM has of a user at one time."""

    name: str
    tags: tuple[tuple[str, str], ...] = ()
    devices: tuple[str, ...] = ()
    console: bool = False
    exists: bool = True


@dataclass(frozen=True)
class Sent:
    """A CloudTrail record about a user: what it tells, and when it arrives, if it does."""

    what: str
    at: datetime
    arrives: tuple[datetime, ...]
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Word:
    """Security's word: an exemption until a day, or (None) no exemption any more."""

    at: datetime
    until: datetime | None


@dataclass
class Life:
    """One user's life."""

    user_id: str
    kind: str
    follows_another: bool = False
    """Whether somebody had the name before."""
    states: list[tuple[datetime, State]] = field(default_factory=list)
    records: list[Sent] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def at(self, moment: datetime) -> State:
        """Return what is true at a moment."""
        number = bisect_right(self.states, moment, key=lambda entry: entry[0])
        return self.states[number - 1][1] if number else State("", exists=False)


@dataclass(frozen=True)
class Post:
    """What becomes of a mail to an address that is in one of these sets."""

    bounces: frozenset[str]
    complains: frozenset[str]
    refused: frozenset[str]


@dataclass(frozen=True)
class Script:
    """A month: lives, mailboxes, the schedule as it really fires, and what is out of order when."""

    lives: tuple[Life, ...]
    post: Post
    runs: tuple[tuple[datetime, int], ...]
    """When ``remind`` runs, and how many of it at the same time."""
    iam_out: tuple[Span, ...]
    ses_out: tuple[Span, ...]


def within(spans: Iterable[Span], moment: datetime) -> datetime | None:
    """Return the end of the span that a moment lies in."""
    return next((end for start, end in spans if start <= moment < end), None)


def write(users: int, seed: int) -> Script:
    """Write a month's script."""
    random = Random(seed)  # noqa: S311 - a simulation
    runs = tuple(_schedule(random))
    # IAM is out when the schedule fires; SES one morning, for days until a night, and from an
    # evening to a noon.
    iam_out = tuple(
        (at - 2 * MINUTE, at + 8 * MINUTE)
        for at in (FIRST_DAY + day * DAY + hour * HOUR for day, hour in ((4, 9), (14, 13)))
    )
    ses_out = (
        (FIRST_DAY + 8 * DAY + 7 * HOUR, FIRST_DAY + 8 * DAY + 11 * HOUR),
        (FIRST_DAY + 11 * DAY + 10 * HOUR, FIRST_DAY + 13 * DAY + 20 * HOUR),
        (FIRST_DAY + 22 * DAY + 15 * HOUR, FIRST_DAY + 23 * DAY + 11 * HOUR),
    )
    author = _Author(random, [(at, at + 16 * MINUTE) for at, _ in runs], list(ses_out))
    lives = tuple(life for number in range(users) for life in author.lives(number))
    post = Post(*(frozenset(group) for group in (author.bounces, author.complains, author.refused)))
    return Script(lives, post, runs, iam_out, ses_out)


def _schedule(random: Random) -> Iterable[tuple[datetime, int]]:
    """Return the schedule as it fires: hourly, and late, twice, at once, or not at all."""
    for hour in range(DAYS * 24):
        at = FIRST_DAY + hour * HOUR + random.randrange(8) * MINUTE
        lot = random.random()
        if hour // 24 in SILENT or lot < 0.05:
            continue
        if lot < 0.10:
            at += random.randrange(20, 35) * MINUTE
        yield at, 1 if lot < 0.80 else random.choice((2, 3))
        if lot > 0.90:
            yield at + random.randrange(1, 5) * MINUTE, 1


KINDS = {
    "stays away": 20,
    "enrols": 26,
    "enrols, loses the device": 12,
    "enrols, loses it, enrols again": 8,
    "has two, loses one": 4,
    "protected": 6,
    "leaves": 8,
    "name passes on": 2,
    "password taken": 5,
    "exempt": 5,
    "exempt, taken back": 2,
    "keys only": 6,
}


class _Author:
    def __init__(self, random: Random, busy: list[Span], no_mail: list[Span]) -> None:
        self.random = random
        self.busy = busy
        self.no_mail = no_mail
        self.avoided = busy
        self.bounces: set[str] = set()
        self.complains: set[str] = set()
        self.refused: set[str] = set()

    def lives(self, number: int) -> list[Life]:
        random = self.random
        kind = random.choices(list(KINDS), list(KINDS.values()))[0]
        plot = _Plot(self, Life(f"AIDA{number:05}", kind))
        before = len(self.bounces | self.complains)
        name, tags = self._reached_at(number)
        # Two mails that wait for SES leave together, before either has bounced: which of them goes
        # to the next address is nobody's promise.
        trouble = len(self.bounces | self.complains) > before
        self.avoided = [*self.busy, *self.no_mail] if trouble else self.busy
        new = random.random() < 0.4
        start = random.uniform(0, 24 if new else 10)
        after = plot.created(name, tags, start if new else None, console=kind != "keys only")
        if kind == "keys only":
            plot.signs_in_sometimes()
            return [plot.life]
        getattr(plot, f"_{kind.replace(',', '').replace(' ', '_')}", plot.nothing)(after, start)
        if kind not in {"leaves", "name passes on"} and random.random() < 0.12:
            plot.renamed(random.uniform(2, 30), f"{name.split('@')[0]}-new")
        plot.signs_in_sometimes()
        if kind != "name passes on" or plot.life.states[-1][1].exists:
            return [plot.life]
        successor = _Plot(self, Life(f"AIDB{number:05}", kind, follows_another=True))
        gone = (plot.life.states[-1][0] - FIRST_DAY) / DAY
        successor.created(name, tags, gone + random.uniform(0.3, 3), console=True)
        successor.signs_in_sometimes()
        return [plot.life, successor.life]

    def _reached_at(  # noqa: C901, PLR0912 - a table
        self, number: int
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Draw a name, and tags with addresses, a manager and a language."""
        random = self.random
        name, address = f"user{number}", f"person{number}@{DOMAIN}"
        tags: dict[str, str] = {}
        match random.choices(range(9), (40, 14, 10, 8, 4, 8, 4, 6, 6))[0]:
            case 0:
                tags["email"] = address
            case 1:
                name = f"user{number}@{DOMAIN}"
            case 2:
                pass  # the name at the account's domain
            case 3:
                tags["email"] = address
                self.bounces.add(address)
            case 4:
                tags["email"] = address
                self.refused.add(address)
            case 5:
                name = f"user{number},int"  # no address can be made of it
            case 6:
                name, tags["email"] = f"user{number},int", address
                self.bounces.add(address)
            case 7:
                tags["email"] = f"person{number}@elsewhere.test"
            case _:
                tags["email"] = address
                self.complains.add(address)
        if random.random() < 0.05:
            self.bounces.add(f"user{number}@{DOMAIN}")
        if random.random() < 0.4:
            where = DOMAIN if random.random() < 0.85 else "elsewhere.test"
            tags["manager"] = f"boss{number % 50}@{where}"
        if random.random() < 0.1:
            self.bounces.add(f"boss{number % 50}@{DOMAIN}")
        if language := random.choice(("", "", "de", "en", "xx")):
            tags["language"] = language
        return name, tuple(tags.items())

    def moment(self, day: float) -> datetime:
        """Return a moment at which no run is under way: which of the two is first is no promise."""
        at = FIRST_DAY + timedelta(hours=int(day * 24))
        while True:
            at = at.replace(minute=self.random.randrange(26, 47))
            if within(self.avoided, at) is None:
                return at
            at += HOUR


class _Plot:
    """Writes one life, forward in time."""

    def __init__(self, author: _Author, life: Life) -> None:
        self.author = author
        self.random = author.random
        self.life = life
        self.devices = 0

    @property
    def now(self) -> State:
        return self.life.states[-1][1]

    def nothing(self, _after: float, _start: float) -> None:
        """Leave it at that."""

    def created(
        self, name: str, tags: tuple[tuple[str, str], ...], day: float | None, *, console: bool
    ) -> float:
        """Begin: before the month, when nobody watched, or on a day; return a day after that."""
        if day is None:
            self.life.states.append((FIRST_DAY - DAY, State(name, tags, (), console)))
            return 0
        at = self.author.moment(day)
        self.life.states.append((at, State(name, tags, (), console)))
        self.record("created", at, sure=True)
        if console:
            self.record("granted", at, sure=self.life.follows_another)
            if self.random.random() < 0.7:  # the first sign-in, with which enrolment begins
                self.record("sign_in", at + MINUTE * self.random.randrange(1, 9))
                self._apart()
        return self.day_of(at) + 0.1

    def _apart(self) -> None:
        """Of records of one minute any may be the first: let the sign-in's have its own."""
        created, granted, sign_in = self.life.records[-3:]
        while {*created.arrives, *granted.arrives} & set(sign_in.arrives):
            sign_in = replace(sign_in, arrives=tuple(at + MINUTE for at in sign_in.arrives))
        self.life.records[-1] = sign_in

    def _enrols(self, after: float, start: float) -> None:
        self.enrols(self.spread(after, start))

    def _enrols_loses_the_device(self, after: float, start: float) -> None:
        self.enrols(self.spread(after, start))
        self.loses(self.day_of(self.life.states[-1][0]) + self.random.uniform(0.1, 9))

    def _enrols_loses_it_enrols_again(self, after: float, start: float) -> None:
        self._enrols_loses_the_device(after, start)
        self.enrols(self.day_of(self.life.states[-1][0]) + self.random.expovariate(1 / 4) + 0.1)

    def _has_two_loses_one(self, after: float, start: float) -> None:
        first = self.spread(after, start)
        self.enrols(first)
        self.enrols(first + self.random.uniform(0.1, 3))
        self.loses(self.day_of(self.life.states[-1][0]) + self.random.uniform(0.1, 9))

    def _protected(self, after: float, _start: float) -> None:
        self.enrols(after)

    def _leaves(self, after: float, start: float) -> None:
        if self.random.random() < 0.3:
            self.enrols(self.spread(after, start))
        self.leaves(max(self.last, self.spread(after, start) + self.random.uniform(0.1, 9)))

    _name_passes_on = _leaves

    def _password_taken(self, after: float, start: float) -> None:
        at = self.change(self.spread(after, start), console=False)
        self.record("access_removed", at)
        if self.random.random() < 0.4:
            at = self.change(self.day_of(at) + self.random.uniform(0.2, 6), console=True)
            self.record("granted", at)

    def _exempt(self, after: float, start: float) -> None:
        at = self.author.moment(self.spread(after, start))
        until = at + timedelta(days=self.random.choice((2, 5, 9, 12, 40)))
        self.life.words.append(Word(at, until))
        if self.random.random() < 0.3:
            self.enrols(self.day_of(at) + self.random.uniform(0.2, 10))

    def _exempt_taken_back(self, after: float, start: float) -> None:
        at = self.author.moment(self.spread(after, start))
        back = self.author.moment(self.day_of(at) + self.random.uniform(0.2, 7))
        self.life.words += [Word(at, at + 60 * DAY), Word(back, None)]

    def enrols(self, day: float) -> None:
        self.devices += 1
        serial = f"arn:aws:iam::123456789012:mfa/{self.life.user_id}-{self.devices}"
        at = self.change(max(day, self.last), devices=(*self.now.devices, serial))
        self.record("enabled", at, detail=serial)

    def loses(self, day: float) -> None:
        *kept, lost = self.now.devices
        at = self.change(max(day, self.last), devices=tuple(kept))
        self.record("removed", at, detail=lost)
        self.record("entity_deleted", at, detail=lost)

    def leaves(self, day: float) -> None:
        devices = self.now.devices
        at = self.change(day, exists=False, devices=(), console=False)
        for serial in devices:
            self.record("removed", at, detail=serial)
        self.record("access_removed", at)
        self.record("deleted", at)

    def renamed(self, day: float, name: str) -> None:
        """Rename, at a time that no other change has."""
        at = self.author.moment(day)
        if any(abs(at - taken) < HOUR for taken, _ in self.life.states):
            return
        before = self.life.at(at)
        if not before.exists:
            return
        changed = []
        for since, state in self.life.states:
            changed.append((since, replace(state, name=name) if since > at else state))
        self.life.states = sorted([*changed, (at, replace(before, name=name))], key=_first)
        self.life.records = [
            replace(one, name=name) if one.at > at else one for one in self.life.records
        ]
        # A rename that nobody hears of makes a user look deleted; that is for reconciling.
        self.record("renamed", at, sure=True, name=before.name, detail=name)

    def signs_in_sometimes(self) -> None:
        """Sign in every few days, if there is a password."""
        day = self.random.uniform(0, 6)
        while day < DAYS - 1:
            at = self.author.moment(day)
            state = self.life.at(at)
            times = [*(since for since, _ in self.life.states), *(w.at for w in self.life.words)]
            alone = all(abs(at - time) > 20 * MINUTE for time in times)
            if alone and state.exists and state.console:
                what = "sign_in_with_mfa" if state.devices else "sign_in"
                self.record(what, at, name=state.name)
            day += self.random.expovariate(1 / 6) + 0.2

    def change(self, day: float, **changes: object) -> datetime:
        at = self.author.moment(max(day, self.last))
        self.life.states.append((at, replace(self.now, **changes)))  # type: ignore[arg-type]
        return at

    def record(
        self,
        what: str,
        at: datetime,
        *,
        sure: bool = False,
        name: str | None = None,
        detail: str = "",
    ) -> None:
        """Tell of it: mostly once and after minutes, sometimes twice, sometimes never."""
        lot = self.random.random()
        arrives = [at + self.random.randrange(1, 11) * MINUTE]
        if lot < 0.06:
            arrives.append(arrives[0] + self.random.choice((0, 1, 50, 1500)) * MINUTE)
        elif lot < 0.09 and not sure:
            arrives.clear()
        named = self.life.at(at).name or self.life.states[-1][1].name
        self.life.records.append(Sent(what, at, tuple(arrives), name or named, detail))

    @property
    def last(self) -> float:
        """The first day on which the next change may be."""
        return self.day_of(self.life.states[-1][0]) + 1.2 / 24

    def spread(self, after: float, start: float) -> float:
        """Draw when something happens: soon for many, after weeks for some."""
        return max(after, start) + self.random.expovariate(1 / 6)

    @staticmethod
    def day_of(at: datetime) -> float:
        return (at - FIRST_DAY) / DAY


def _first(entry: tuple[datetime, State]) -> datetime:
    return entry[0]
