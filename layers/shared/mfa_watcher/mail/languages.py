"""The languages of the mails. Each is a folder in ``templates/words``; there is no other list.

Beside the text of each mail, the folder holds ``language.toml``: how the language writes dates,
and the names and short phrases that are used inside sentences.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

TEMPLATES = Path(__file__).parent / "templates"
WORDS = TEMPLATES / "words"
FACTS = "language.toml"


class LanguageError(Exception):
    """A language's folder is missing or incomplete. The text says which, and what is missing."""


@dataclass(frozen=True, slots=True)
class Language:
    """What a language's ``language.toml`` says. The patterns are for ``str.format``."""

    code: str
    name: str
    direction: str
    """``ltr`` or ``rtl``, as HTML's ``dir`` has it."""
    subject: str
    """Of ``account`` and ``title``."""
    day: str
    """Of ``weekday``, ``day``, ``month``, ``month_number`` and ``year``; so are the next three."""
    date: str
    short_day: str
    moment: str
    """Of ``hour``, ``minute`` and ``zone`` besides."""
    weekdays: tuple[str, ...]
    """From Monday on, as in Python."""
    months: tuple[str, ...]
    zones: Mapping[str, str]
    """Short names of time zones, where the language has its own for what the tz database says."""
    devices: Mapping[str, str]
    causes: Mapping[str, str]
    """Why a user has a finding, for the security team."""
    notes: Mapping[str, str]
    """Why a user cannot be reached."""
    actors: Mapping[str, str]
    """``root`` and ``somebody``; of ``name``: ``user`` and ``role``; ``session`` of both names."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as a language writes it, in the account's time zone."""

    day: str
    """With its weekday."""
    date: str
    short_day: str
    """Without the year."""
    exact: str

    def __str__(self) -> str:
        """Return the date and the time."""
        return self.exact


@cache
def languages() -> Mapping[str, Language]:
    """Return all languages by their codes (ISO 639, as in HTML's ``lang``)."""
    folders = sorted(folder for folder in WORDS.iterdir() if folder.is_dir())
    return {folder.name: _read(folder) for folder in folders}


def choose(wanted: str | None, default: str) -> Language:
    """Return the wanted language, however it is written, or the default one.

    ``wanted`` may be anything, since it comes from a tag: ``DE``, ``de-AT`` and ``de_CH.UTF-8``
    are all German unless they have a folder of their own.
    """
    return _known(wanted) or known(default)


def known(code: str) -> Language:
    """Return a language that must exist. Raises LanguageError."""
    language = _known(code)
    if language is None:
        there = ", ".join(languages())
        raise LanguageError(f"no mails in the language {code!r}: there are {there}")
    return language


def moment(at: datetime, zone: tzinfo, language: Language) -> Moment:
    """Return a point in time as a language writes it."""
    local = at.astimezone(zone)
    parts = {
        "weekday": language.weekdays[local.weekday()],
        "day": local.day,
        "month": language.months[local.month - 1],
        "month_number": local.month,
        "year": local.year,
        "hour": local.hour,
        "minute": local.minute,
        "zone": _zone_name(local, language),
    }
    return Moment(
        day=language.day.format_map(parts),
        date=language.date.format_map(parts),
        short_day=language.short_day.format_map(parts),
        exact=language.moment.format_map(parts),
    )


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises LanguageError.

    UTC needs no time zone database, which a small machine may not have.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise LanguageError(f"no time zone {name!r} in the time zone database here") from error


def _known(code: str | None) -> Language | None:
    written = (code or "").strip().casefold().partition(".")[0].replace("_", "-")
    by_code = {code.casefold(): language for code, language in languages().items()}
    return by_code.get(written) or by_code.get(written.partition("-")[0])


def _zone_name(local: datetime, language: Language) -> str:
    name = local.tzname() or ""
    # For many zones the tz database has no short name but an offset: +03.
    return f"UTC{name}" if name[:1] in {"+", "-"} else language.zones.get(name, name)


def _read(folder: Path) -> Language:
    path = folder / FACTS
    try:
        facts: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        weekdays, months = tuple(facts.pop("weekdays")), tuple(facts.pop("months"))
        return Language(code=folder.name, weekdays=weekdays, months=months, **facts)
    except FileNotFoundError as error:
        raise LanguageError(f"the language {folder.name!r} has no {FACTS}") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LanguageError(f"{folder.name}/{FACTS}: {error}") from error
