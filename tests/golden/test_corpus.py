"""Real records from public sources are classified as people labelled them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mfa_watcher.domain.events.signals import Signal, SignalKind, classify
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_record

RECORDS = Path(__file__).parents[3] / "shared" / "cloudtrail" / "records.jsonl"

pytestmark = pytest.mark.skipif(
    not RECORDS.is_file(), reason="the labelled records are not part of the project and not here"
)

Line = dict[str, Any]


@cache
def judged() -> tuple[tuple[Line, Signal], ...]:
    lines = [json.loads(text) for text in RECORDS.read_text(encoding="utf-8").splitlines()]
    return tuple((line, classify(parse_record(line["record"]))) for line in lines)


def device_change(signal: Signal) -> str | None:
    match signal.kind:
        case SignalKind.DEVICE_ENABLED:
            return "enable"
        case SignalKind.DEVICE_RESYNCED:
            return "resync"
        case _:
            return None


PROPERTIES: dict[str, Callable[[Signal], object]] = {
    "login_without_mfa": lambda signal: signal.kind is SignalKind.SIGN_IN_WITHOUT_MFA,
    "device_removal": lambda signal: signal.outcome,
    "device_change": device_change,
    "new_console_user": lambda signal: signal.kind is SignalKind.CONSOLE_ACCESS_GRANTED,
    "root": lambda signal: signal.root,
    "actor": lambda signal: signal.record.identity.arn,
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_record_of_high_confidence_is_classified_as_labelled(name: str) -> None:
    wrong = {
        line["id"]: (found, line["label"][name])
        for line, signal in judged()
        if line["label_confidence"] == "high"
        and (found := PROPERTIES[name](signal)) != line["label"][name]
    }

    assert not wrong


def test_every_signal_of_high_confidence_names_the_labelled_user() -> None:
    wrong = {
        line["id"]: (signal.subject, line["label"]["target_user"])
        for line, signal in judged()
        if line["label_confidence"] == "high"
        and signal.kind is not SignalKind.IGNORED
        and signal.subject != line["label"]["target_user"]
    }

    assert not wrong


def test_every_record_has_a_reason_however_odd_it_is() -> None:
    assert all(signal.why for _, signal in judged())


def test_the_records_are_all_there() -> None:
    assert len(judged()) > 700
