import copy
import json
import pickle
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.requests.passwords import SHORTEST, Password, make_password

LONGEST = 128
"""The longest password that IAM takes, and the longest that a policy can ask for."""
IAM_SYMBOLS = "!@#$%^&*()_+-=[]{}|'"
"""The symbols that count for a policy (IAM API reference, UpdateAccountPasswordPolicy)."""

seeds = st.integers()


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a test wants the same again


@given(seeds, st.integers(6, LONGEST))
def test_a_password_is_as_long_as_the_policy_asks_and_never_shorter_than_twenty(
    seed: int, shortest: int
) -> None:
    password = make_password(shortest, seeded(seed)).reveal()
    assert len(password) == max(shortest, 20)
    assert len(password) <= LONGEST


@given(seeds)
def test_a_password_has_each_kind_of_character_that_a_policy_can_ask_for(seed: int) -> None:
    password = make_password(8, seeded(seed)).reveal()
    for kind in (string.ascii_uppercase, string.ascii_lowercase, string.digits, IAM_SYMBOLS):
        assert set(password) & set(kind)


@given(seeds)
def test_a_password_can_be_read_out_and_pasted_anywhere(seed: int) -> None:
    password = make_password(8, seeded(seed)).reveal()
    assert not set(password) & set("O0Il1o")
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_=@-]+", password)
    assert json.dumps(password) == f'"{password}"'


def test_no_two_passwords_are_the_same() -> None:
    assert len({make_password(8, secrets.SystemRandom()).reveal() for _ in range(1000)}) == 1000


def test_each_place_takes_each_character_so_that_none_can_be_guessed() -> None:
    made = [make_password(8, seeded(seed)).reveal() for seed in range(5000)]
    alphabet = {character for password in made for character in password}
    assert len(alphabet) == 24 + 24 + 8 + 4
    assert {password[0] for password in made} == {c for c in alphabet if c.isalpha()}
    for place in range(1, SHORTEST):
        assert {password[place] for password in made} == alphabet


@dataclass(frozen=True)
class Answer:
    """What a password may stand in."""

    password: Password


SHOWN = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "format repr": "{!r}".format,
    "repr of what holds it": lambda password: repr(Answer(password)),
    "repr of a list": lambda password: repr([password]),
}
SERIALISED = {
    "json": json.dumps,
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "asdict": lambda password: asdict(Answer(password)),
    "vars": vars,
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_nothing_shows_a_password_by_accident(show: Callable[[Password], str]) -> None:
    assert "Secret-1" not in show(Password("Secret-1"))


@pytest.mark.parametrize("serialise", SERIALISED.values(), ids=SERIALISED)
def test_nothing_serialises_a_password(serialise: Callable[[Password], object]) -> None:
    with pytest.raises(TypeError):
        serialise(Password("Secret-1"))
