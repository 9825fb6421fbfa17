"""The files in events/: batches of a queue's messages, as a function gets them."""

import json
from pathlib import Path
from typing import Any


def envelopes(path: Path) -> list[dict[str, Any]]:
    """Return the EventBridge events in a file; a test of bad input may hold other messages."""
    found = []
    for message in json.loads(path.read_text())["Records"]:
        try:
            body = json.loads(message["body"])
        except ValueError:
            continue
        if isinstance(body, dict) and isinstance(body.get("detail"), dict):
            found.append(body)
    return found
