"""Answers with the emulator's own code which events match which patterns.

Run by .venv-sandbox's Python: ``test_patterns.py`` compares its answers with moto's. Standard input
is a JSON list of pairs, a pattern and a list of events; standard output has for each pair a list of
true and false, or a text: why AWS would refuse the pattern.
"""

import json
import sys

from ministack.services import eventbridge


def _answer(pattern: object, events: list[object]) -> list[bool] | str:
    text = json.dumps(pattern)
    if wrong := eventbridge._event_pattern_error(text):  # noqa: SLF001 - it has no public name
        return str(wrong)
    payload, matches = eventbridge._event_from_test_payload, eventbridge._matches_pattern  # noqa: SLF001
    return [bool(matches(text, payload(event))) for event in events]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump([_answer(pattern, events) for pattern, events in asked], sys.stdout)
