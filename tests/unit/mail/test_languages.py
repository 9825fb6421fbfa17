"""The languages: a folder of words each, and nothing missing from any."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.user import Cause, MailKind
from mfa_watcher.mail import languages as module
from mfa_watcher.mail.languages import WORDS, LanguageError, choose, languages, moment, zone_named
from mfa_watcher.mail.rendering import _environment

ACTORS = {"root", "somebody", "user", "role", "session"}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the words that a test may change."""
    words = tmp_path / "words"
    shutil.copytree(WORDS, words)
    monkeypatch.setattr(module, "WORDS", words)
    languages.cache_clear()
    yield words
    languages.cache_clear()


def missing_from(words: Path) -> list[str]:
    """Return the files that one language has and another has not."""
    files = {folder.name: {f.name for f in folder.iterdir()} for folder in words.iterdir()}
    wanted = set.union(*files.values(), {f"{kind}.jinja" for kind in MailKind})
    return sorted(f"{code}/{name}" for code, there in files.items() for name in wanted - there)


def test_every_language_has_every_file() -> None:
    missing = missing_from(WORDS)
    assert not missing, f"mail/templates/words: there is no {missing}"


SAME_AS_ENGLISH = frozenset({"security_case.jinja: (mfa-watcher exemptions grant)."})
"""Lines of words, as ``<file>: <line>``, that are rightly the same in another language."""


def untranslated(words: Path) -> list[str]:
    """Return the lines of text that a language has exactly as English has them."""
    found = []
    for path in sorted(words.glob("*/*.jinja")):
        if path.parent.name == "en":
            continue
        english = sentences(words / "en" / path.name)
        same = [line for line in sentences(path) if line in english]
        found += [f"{path.parent.name}/{path.name}: {line}" for line in same]
    return [one for one in found if one.split("/", 1)[1] not in SAME_AS_ENGLISH]


def sentences(path: Path) -> set[str]:
    """Return the lines of a file that have at least three words outside of Jinja's syntax."""
    if not path.is_file():
        return set()
    syntax = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
    text = syntax.sub("…", path.read_text(encoding="utf-8"))
    lines = {line.strip() for line in text.splitlines()}
    return {line for line in lines if len(re.findall(r"[^\W\d_]{2,}", line)) >= 3}


def test_no_language_has_lines_that_are_still_english() -> None:
    english = untranslated(WORDS)
    assert not english, (
        f"mail/templates/words: translate {english}, or name what is rightly the same in"
        " SAME_AS_ENGLISH of this test"
    )


def test_a_line_that_is_still_english_is_named(elsewhere: Path) -> None:
    shutil.copytree(elsewhere / "en", elsewhere / "xx")

    files = {one.split(":")[0] for one in untranslated(elsewhere)}

    assert {"xx/guide.jinja", "xx/reminder.jinja", "xx/request_opened.jinja"} <= files


@pytest.mark.parametrize("code", sorted(set(languages()) - {"en"}))
def test_phrases_of_a_language_are_not_still_english(code: str) -> None:
    language, english = languages()[code], languages()["en"]
    for table in ("devices", "causes", "notes", "actors"):
        own, others = getattr(language, table), getattr(english, table)
        same = {key: text for key, text in own.items() if text == others.get(key)}
        long = {key: text for key, text in same.items() if len(text.split()) >= 3}
        assert long == {}, f"{code}/language.toml [{table}] is still English"
    assert language.weekdays != english.weekdays


def test_a_file_that_a_language_lacks_is_named(elsewhere: Path) -> None:
    (elsewhere / "de" / "guide.jinja").unlink()
    (elsewhere / "en" / "footer.jinja").unlink()

    named = set(missing_from(elsewhere)) - set(missing_from(WORDS))
    assert named == {"de/guide.jinja", "en/footer.jinja"}


@pytest.mark.parametrize("code", languages())
def test_a_language_names_everything_there_is(code: str) -> None:
    language = languages()[code]

    assert set(language.devices) == set(DeviceKind)
    assert set(language.causes) == set(Cause)
    assert set(language.actors) == ACTORS
    assert set(language.notes) == set(languages()["en"].notes)
    assert len(set(language.weekdays)) == 7
    assert len(set(language.months)) == 12
    assert language.direction in {"ltr", "rtl"}
    assert language.subject.format(account="A", title="B") == "[AWS A] B"


@pytest.mark.parametrize("code", languages())
def test_every_word_of_a_language_is_a_template_that_compiles(code: str) -> None:
    for part in ("html", "text"):
        for path in sorted((WORDS / code).glob("*.jinja")):
            assert _environment(part, code).get_template(path.name).name == path.name


def test_english_and_german_are_there() -> None:
    assert {"en", "de"} <= set(languages())
    assert languages()["de"].name == "Deutsch"


def test_adding_a_language_is_adding_its_files(elsewhere: Path) -> None:
    shutil.copytree(elsewhere / "en", elsewhere / "xx")

    assert choose("xx-CA", "en").code == "xx"
    assert [one for one in missing_from(elsewhere) if one.startswith("xx/")] == [
        one.replace("en/", "xx/") for one in missing_from(WORDS) if one.startswith("en/")
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (None, "the language 'xx' has no language.toml"),
        ('name = "Nobody speaks it"', "xx/language.toml: 'weekdays'"),
        ("name = ", "xx/language.toml: "),
    ],
)
def test_the_error_names_a_language_without_its_facts(
    elsewhere: Path, facts: str | None, said: str
) -> None:
    (elsewhere / "xx").mkdir()
    if facts is not None:
        (elsewhere / "xx" / "language.toml").write_text(facts, encoding="utf-8")

    with pytest.raises(LanguageError, match=said):
        languages()


@pytest.mark.parametrize(
    ("code", "zone", "exact", "day", "short"),
    [
        ("en", "UTC", "1 July 2026, 22:05 UTC", "Wednesday, 1 July 2026", "1 July"),
        ("en", "Europe/Berlin", "2 July 2026, 00:05 CEST", "Thursday, 2 July 2026", "2 July"),
        ("de", "UTC", "1. Juli 2026 um 22:05 Uhr (UTC)", "Mittwoch, 1. Juli 2026", "1. Juli"),
        (
            "de",
            "Europe/Berlin",
            "2. Juli 2026 um 00:05 Uhr (MESZ)",
            "Donnerstag, 2. Juli 2026",
            "2. Juli",
        ),
        (
            "en",
            "America/Sao_Paulo",
            "1 July 2026, 19:05 UTC-03",
            "Wednesday, 1 July 2026",
            "1 July",
        ),
        ("en", "Asia/Kolkata", "2 July 2026, 03:35 IST", "Thursday, 2 July 2026", "2 July"),
    ],
)
def test_a_moment_is_written_as_the_language_does_in_the_zone_given(
    code: str, zone: str, exact: str, day: str, short: str
) -> None:
    at = datetime(2026, 7, 1, 22, 5, tzinfo=UTC)

    written = moment(at, zone_named(zone), languages()[code])

    assert (written.exact, written.day, written.short_day) == (exact, day, short)
    assert str(written) == exact


def test_utc_needs_no_time_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> ZoneInfo:
        raise KeyError(name)

    monkeypatch.setattr(module, "ZoneInfo", not_there)

    assert zone_named("UTC") is UTC
    with pytest.raises(LanguageError, match="no time zone 'Europe/Berlin' in the time zone"):
        zone_named("Europe/Berlin")
