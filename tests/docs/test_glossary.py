"""The package uses the words of docs/glossary.md, and none that were retired."""

import ast
import re
from pathlib import Path

import pytest

from mfa_watcher.cli import main
from tests.template.cloudformation import ROOT

WITH_ACTIONS = {"requests", "exemptions", "addresses", "mail"}
PACKAGE = ROOT / "layers" / "shared" / "mfa_watcher"

RETIRED = {
    "ladder": "escalation",
    "rung": "escalation step",
    "casework": "user state",
    "census": "account lists",
    "warden": "quarantine",
    "standing": "MFA status",
    "checkup": "health check",
    "postmaster": "mail feedback",
    "registrar": "expire",
    "watchman": "watch",
    "worlderror": "ExternalServiceError",
    "disturbance": "tampering",
    "fulfiller": "fulfilment",
}
"""Words that no identifier has any more, each with the word to use instead."""


def identifiers(path: Path) -> set[str]:
    """Return all names that a module defines or uses."""
    found: set[str] = {path.stem}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.keyword(arg=str(name)):
                found.add(name)
            case _:
                pass
    return found


def test_no_identifier_of_the_package_has_a_retired_word() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name} (use {better!r})"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in sorted(identifiers(path))
        for word, better in RETIRED.items()
        if word in name.casefold().replace("_", "")
    ]
    assert wrong == []


def test_the_glossary_has_no_retired_word_and_each_word_once() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\| \*\*([^*]+)\*\* \|", page, re.MULTILINE)
    assert len(words) == len(set(words)) > 30
    assert [word for word in words if word.casefold().replace(" ", "") in RETIRED] == []


def pages() -> list[Path]:
    """Return the README and all pages of the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_people_are_they_in_every_page(page: Path) -> None:
    found = re.findall(r".*\b(?:he|him|his|himself)\b.*", page.read_text("utf-8"))
    assert found == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        if not path.is_file() or (anchor and anchor not in anchors(path)):
            wrong.append(target)
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.casefold()).replace(" ", "-") for heading in headings}


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    named = [page.name for page in pages() if page.name != "README.md"]
    assert [name for name in named if f"({name}" not in index] == []


def test_every_command_that_the_docs_name_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(page.read_text("utf-8") for page in pages())
    for name, action in sorted(set(re.findall(r"bin/mfa-watcher (\w+)(?: ([a-z]+))?", text))):
        parts = [name, action] if action and name in WITH_ACTIONS else [name]
        with pytest.raises(SystemExit) as stopped:
            main([*parts, "--help"])
        assert stopped.value.code == 0, capsys.readouterr().err
