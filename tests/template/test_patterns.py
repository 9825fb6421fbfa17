"""The patterns of hub and forwarder, as two implementations match them that are not ours.

moto and MiniStack, the sandbox's emulator, share no code. Each is first held against the examples
of AWS's documentation.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Any

import pytest
from moto.events.models import EventPattern

from mfa_watcher.domain.events.signals import SignalKind, classify
from mfa_watcher.entrypoints.parsing.cloudtrail import parse_record
from tests.support.event_files import envelopes
from tests.support.tampering import CASES, OTHERS, OURS, SCP_ID
from tests.template.cloudformation import ACCOUNT, ROOT, Template

Json = dict[str, Any]

MEMBER = "444455556666"
CORPUS = ROOT.parent / "shared" / "cloudtrail" / "records.jsonl"
SANDBOX = ROOT / ".venv-sandbox" / "bin" / "python"
HUB = Template.read(GuardScpId=SCP_ID, OrganizationId="o-abcdefghij")
FORWARDER = Template.forwarder(MEMBER, "us-east-1", GuardScpId=SCP_ID)
PATTERNS = {f"hub {name}": pattern for name, pattern in HUB.patterns().items()} | {
    f"forwarder {name}": pattern for name, pattern in FORWARDER.patterns().items()
}

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_file(), reason="the labelled records are not part of the project and not here"
)
needs_sandbox = pytest.mark.skipif(
    not SANDBOX.is_file(), reason="the emulator's environment is made by: make setup"
)


def by_moto(pattern: Json, events: list[Any]) -> list[bool]:
    compiled = EventPattern(None, pattern)
    return [bool(compiled.matches_event(event)) for event in events]


def by_ministack(asked: list[tuple[Json, list[Json]]]) -> list[list[bool] | str]:
    answer = subprocess.run(  # noqa: S603 - our own script
        [SANDBOX, ROOT / "tests" / "template" / "ministack_matches.py"],
        input=json.dumps(asked),
        capture_output=True,
        check=True,
        text=True,
    )
    answers: list[list[bool] | str] = json.loads(answer.stdout)
    return answers


# The documented operators -------------------------------------------------------------------------

DOCUMENTED: dict[str, tuple[Json, list[Json], list[Json]]] = {
    # operator: a pattern for the detail, details that match, and details that do not
    "and": ({"a": ["x"], "b": ["y", "z"]}, [{"a": "x", "b": "z"}], [{"a": "x"}, {"b": "y"}]),
    "or": (
        {"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]},
        [{"Location": "New York"}, {"Day": "Monday"}],
        [{"Location": "Rome", "Day": "Friday"}, {}],
    ),
    "or, nested": (
        {"a": {"$or": [{"b": ["x"]}, {"c": [{"prefix": "y"}]}]}, "d": ["z"]},
        [{"a": {"b": "x"}, "d": "z"}, {"a": {"c": "yes"}, "d": "z"}],
        [{"a": {"b": "x"}}, {"a": {"b": "y", "c": "x"}, "d": "z"}],
    ),
    "nested": ({"a": {"b": {"c": ["x"]}}}, [{"a": {"b": {"c": "x"}}}], [{"a": {"c": "x"}}, {}]),
    "equals": ({"Name": ["Alice"]}, [{"Name": "Alice"}], [{"Name": "alice"}, {"Name": "Al"}]),
    "equals, in a list": ({"a": ["x"]}, [{"a": ["y", "x"]}], [{"a": ["y"]}, {"a": []}]),
    "equals-ignore-case": (
        {"Name": [{"equals-ignore-case": "alice"}]},
        [{"Name": "ALICE"}, {"Name": "alice"}],
        [{"Name": "alicex"}, {}],
    ),
    "empty": ({"LastName": [""]}, [{"LastName": ""}], [{"LastName": "x"}, {}]),
    "null": ({"UserID": [None]}, [{"UserID": None}], [{"UserID": ""}]),
    "true": ({"a": [True]}, [{"a": True}], [{"a": "true"}, {"a": False}]),
    "exists": ({"a": [{"exists": True}]}, [{"a": "x"}, {"a": None}], [{"b": "x"}]),
    "does not exist": ({"a": [{"exists": False}]}, [{"b": "x"}], [{"a": "x"}]),
    "prefix": (
        {"Region": [{"prefix": "us-"}]},
        [{"Region": "us-east-1"}],
        [{"Region": "eu-us-1"}, {"Region": "US-east-1"}],
    ),
    "prefix, any case": (
        {"service": [{"prefix": {"equals-ignore-case": "eventb"}}]},
        [{"service": "EventBridge"}],
        [{"service": "AnEventBridge"}],
    ),
    "suffix": (
        {"FileName": [{"suffix": ".png"}]},
        [{"FileName": "a.png"}],
        [{"FileName": "a.PNG"}, {"FileName": "a.png.txt"}],
    ),
    "suffix, any case": (
        {"service": [{"suffix": {"equals-ignore-case": "tbridge"}}]},
        [{"service": "EvenTBRIDGE"}],
        [{"service": "tbridges"}],
    ),
    "wildcard": (
        {"FileName": [{"wildcard": "dir/*.png"}]},
        [{"FileName": "dir/a.png"}, {"FileName": "dir/a/b.png"}, {"FileName": "dir/.png"}],
        [{"FileName": "x/dir/a.png"}, {"FileName": "dir/a.png2"}, {"FileName": "dirapng"}],
    ),
    "wildcard, twice": (
        {"a": [{"wildcard": "*:role/*-ops"}]},
        [{"a": "arn:role/x-ops"}],
        [{"a": "arn:role/ops"}, {"a": "role/x-ops"}],
    ),
    "anything-but": (
        {"state": [{"anything-but": "initializing"}]},
        [{"state": "running"}, {"state": "Initializing"}],
        [{"state": "initializing"}, {}],
    ),
    "anything-but, a list": (
        {"state": [{"anything-but": ["stopped", "overloaded"]}]},
        [{"state": "running"}],
        [{"state": "stopped"}, {"state": "overloaded"}],
    ),
    "anything-but, a number": (
        {"x": [{"anything-but": [100, 200]}]},
        [{"x": 300}],
        [{"x": 100}, {"x": 200}],
    ),
    "anything-but, prefix": (
        {"Region": [{"anything-but": {"prefix": "us-"}}]},
        [{"Region": "eu-north-1"}],
        [{"Region": "us-east-1"}, {}],
    ),
    "anything-but, prefixes": (
        {"Region": [{"anything-but": {"prefix": ["us-", "eu-"]}}]},
        [{"Region": "ap-south-1"}],
        [{"Region": "us-east-1"}, {"Region": "eu-north-1"}],
    ),
    "anything-but, suffix": (
        {"FileName": [{"anything-but": {"suffix": ".png"}}]},
        [{"FileName": "a.txt"}],
        [{"FileName": "a.png"}],
    ),
    "anything-but, wildcard": (
        {"FilePath": [{"anything-but": {"wildcard": "*/lib/*"}}]},
        [{"FilePath": "usr/bin/x"}],
        [{"FilePath": "usr/lib/x"}],
    ),
    "anything-but, any case": (
        {"state": [{"anything-but": {"equals-ignore-case": ["initializing", "stopped"]}}]},
        [{"state": "running"}],
        [{"state": "INITIALIZING"}, {"state": "Stopped"}],
    ),
}
"""Source: EventBridge user guide, "Comparison operators for use in event patterns"."""


def _as_event(detail: Json) -> Json:
    return {"source": "aws.x", "detail-type": "x", "account": ACCOUNT, "detail": detail}


def _asked(operator: str) -> tuple[Json, list[Json], list[bool]]:
    pattern, matching, others = DOCUMENTED[operator]
    wanted = [True] * len(matching) + [False] * len(others)
    return {"detail": pattern}, [_as_event(one) for one in (*matching, *others)], wanted


@pytest.mark.parametrize("operator", DOCUMENTED)
def test_moto_matches_as_documented(operator: str) -> None:
    pattern, events, wanted = _asked(operator)
    assert by_moto(pattern, events) == wanted


@needs_sandbox
def test_ministack_matches_as_documented() -> None:
    asked = {operator: _asked(operator) for operator in DOCUMENTED}
    found = by_ministack([(pattern, events) for pattern, events, _ in asked.values()])
    wanted = {operator: wanted for operator, (_, _, wanted) in asked.items()}
    assert dict(zip(asked, found, strict=True)) == wanted


@needs_sandbox
@pytest.mark.parametrize(
    "pattern",
    [{"detail": {"a": "x"}}, {"detail": {"a": [{"prefixes": "x"}]}}, {"detail": {"a": []}}],
    ids=["no list", "no such operator", "an empty list"],
)
def test_ministack_refuses_what_is_no_pattern(pattern: Json) -> None:
    [answer] = by_ministack([(pattern, [])])
    assert isinstance(answer, str)


def test_operators_of_our_patterns_are_among_the_examples() -> None:
    documented = {name for pattern, _, _ in DOCUMENTED.values() for name in _operators(pattern)}
    assert _operators(list(PATTERNS.values())) <= documented


def _operators(pattern: Any) -> set[str]:
    """Return the operators in a pattern, with the one that each stands in."""
    match pattern:
        case dict():
            found = set()
            for key, part in pattern.items():
                inner = _operators(part)
                if key in {"anything-but", "prefix", "suffix"} and isinstance(part, dict):
                    found |= {f"{key} {one}" for one in inner}
                elif key in _OPERATORS:
                    found |= {key, *inner}
                else:
                    found |= inner
            return found
        case list():
            return {name for part in pattern for name in _operators(part)}
        case _:
            return set()


_OPERATORS = {"$or", "anything-but", "equals-ignore-case", "exists", "prefix", "suffix", "wildcard"}


# All events of the tests --------------------------------------------------------------------------


def _enveloped(record: Json, account: str = ACCOUNT) -> Json:
    """Return a record as EventBridge has it on the bus."""
    source = str(record.get("eventSource") or "").partition(".")[0]
    kind = "Console Sign In" if record.get("eventName") == "ConsoleLogin" else "API Call"
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": f"AWS {kind} via CloudTrail",
        "source": f"aws.{source}",
        "account": account,
        "time": record.get("eventTime") or "2026-03-02T12:00:00Z",
        "region": record.get("awsRegion") or "us-east-1",
        "resources": [],
        "detail": record,
    }


@cache
def shown() -> list[Json]:
    """Return the events in events/ that are on a bus, and what their queues hold beside them."""
    files = sorted((ROOT / "events").glob("on_*/*.json"))
    return [event for path in files for event in envelopes(path)]


@cache
def corpus() -> list[Json]:
    if not CORPUS.is_file():
        return []
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["record"] for line in lines]


def cases() -> list[Json]:
    """Return the calls that disturb the watcher, denied ones, and those about others' resources."""
    calls = [call for case in CASES for call in (case.record, case.denied)]
    calls += [
        {"eventSource": f"{source}.amazonaws.com", "eventName": name, "requestParameters": given}
        for source, name, given in OTHERS
    ]
    return [
        _enveloped({**call, "recipientAccountId": account}, account)
        for call in calls
        for account in (ACCOUNT, MEMBER)
    ]


@needs_sandbox
def test_both_implementations_say_the_same_of_each_pattern_and_each_event() -> None:
    events = [*shown(), *cases(), *map(_enveloped, corpus())]
    found = by_ministack([(pattern, events) for pattern in PATTERNS.values()])
    differences = {}
    matches = 0
    for (name, pattern), theirs in zip(PATTERNS.items(), found, strict=True):
        assert not isinstance(theirs, str), f"{name}: AWS refuses the pattern: {theirs}"
        ours = by_moto(pattern, events)
        matches += sum(ours)
        different = [e["detail"] for e, a, b in zip(events, ours, theirs, strict=True) if a != b]
        if different:
            differences[name] = different
    assert differences == {}
    assert matches > 500, "so few matches compare little"


# What means something is caught -------------------------------------------------------------------


FAILED = "did not succeed"
"""A pattern does not look at the outcome, since denied attempts at the same calls count. What
failed for another reason comes with them."""
UNCLEAR = "does not say whether it succeeded"
"""Old samples of sign-ins without an answer. Today's records have one."""

LET_THROUGH = {
    ("IamChangeRule", "ChangePassword"): FAILED,
    ("IamChangeRule", "CreateUser"): FAILED,
    ("IamChangeRule", "DeleteLoginProfile"): FAILED,
    ("IamChangeRule", "UpdateLoginProfile"): FAILED,
    ("PathRule", "DeleteTrail"): FAILED,
    ("PathRule", "StopLogging"): FAILED,
    ("PathRule", "UpdateTrail"): FAILED,
    ("SignInRule", "ConsoleLogin"): UNCLEAR,
}
"""What of the corpus comes to a function although it means nothing, and why."""


@needs_corpus
def test_each_record_that_means_something_is_caught_by_a_rule_of_the_hub() -> None:
    meaning = [record for record in corpus() if _kind(record) is not SignalKind.IGNORED]
    assert len(meaning) > 50
    missed = [record for record in meaning if not _rules(record)]
    assert missed == []


@needs_corpus
def test_what_means_nothing_and_comes_through_is_known() -> None:
    let_through = {
        (rule, str(record.get("eventName"))): classify(parse_record(record)).why
        for record in corpus()
        if _kind(record) is SignalKind.IGNORED
        for rule in _rules(record)
    }
    assert let_through.keys() == LET_THROUGH.keys()
    assert all(LET_THROUGH[one] in why for one, why in let_through.items()), let_through


def test_each_shown_event_that_means_something_is_caught_by_a_rule_of_the_hub() -> None:
    caught = {True: 0, False: 0}
    for event in shown():
        if event["source"] == "aws.ses":
            continue
        rules = [n for n, one in HUB.patterns().items() if by_moto(one, [event]) == [True]]
        kind = classify(parse_record(event["detail"]), OURS).kind
        assert rules or kind is SignalKind.IGNORED, event
        caught[kind is not SignalKind.IGNORED] += 1
    assert caught[True] > caught[False]


def _kind(record: Json) -> SignalKind:
    return classify(parse_record(record)).kind


def _rules(record: Json) -> list[str]:
    event = _enveloped(record)
    return [name for name, one in HUB.patterns().items() if by_moto(one, [event]) == [True]]
