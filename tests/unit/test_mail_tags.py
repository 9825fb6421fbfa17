import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.notifications.mail_tags import from_tag, to_tag
from tests.support.builders import HOSTILE

AWKWARD = [
    "mail-guide-F-6bd1bb37-0e5a-4c7e-9b0d-7f0a3c1f9a52",
    "mail-removal_denied-PR-X",
    "a__b",
    "a___5fb",
    "__2f",
    "_",
    "event/predecessor",
    "ana.b+c@example.com",
    HOSTILE,
]


@pytest.mark.parametrize("text", AWKWARD)
def test_an_id_comes_back_from_its_tag(text: str) -> None:
    assert from_tag(to_tag(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_from_a_tag_of_legal_characters(text: str) -> None:
    tag = to_tag(text)
    assert re.fullmatch(r"[A-Za-z0-9_-]*", tag)
    assert len(tag) > 255 or from_tag(tag) == text


@given(st.text())
def test_a_tag_of_somebody_elses_gives_some_text(tag: str) -> None:
    assert isinstance(from_tag(tag), str)


def test_the_kinds_of_mail_and_our_ids_stay_readable() -> None:
    assert to_tag("mail-removal_denied-PR-7") == "mail-removal_denied-PR-7"
