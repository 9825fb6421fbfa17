"""Turn EventBridge events into what a queue hands to a function, and back, to write `events/`.

    python tools/wrap_event.py --unwrap events/on_iam_change/removal_denied_scp.json > event.json
    python tools/wrap_event.py on_iam_change event.json > events/on_iam_change/my_case.json

A message's body is a string, which nobody likes to read or edit: unwrapped, it is plain JSON, one
event or a list of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ACCOUNT = "111122223333"
QUEUES = {
    "on_sign_in": "SignInQueue",
    "on_iam_change": "IamChangeQueue",
    "on_mail_feedback": "MailFeedbackQueue",
    "sweep": "SweepQueue",
}
SENT = "1795507560000"  # 24 November 2026, 08:06 UTC, in milliseconds


def wrap(function: str, events: list[Any]) -> dict[str, Any]:
    """Return what the function is invoked with when its queue holds these events."""
    queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:mfa-watcher-{QUEUES[function]}-1A2B3C"
    return {"Records": [_message(queue, place, event) for place, event in enumerate(events)]}


def _message(queue: str, place: int, event: object) -> dict[str, Any]:
    # A text stands for a body that is no JSON at all.
    body = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
    return {
        "messageId": str(uuid5(NAMESPACE_URL, f"{place}/{body}")),
        "receiptHandle": "AQEBexampleReceiptHandle",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": SENT,
            "SenderId": "AIDAEXAMPLEEVENTBRIDG",
            "ApproximateFirstReceiveTimestamp": SENT,
        },
        "messageAttributes": {},
        "md5OfBody": md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": "us-east-1",
    }


def unwrap(invocation: dict[str, Any]) -> list[Any]:
    """Return the events that the messages hold; a body that is no JSON as the text it is."""
    return [_event(message["body"]) for message in invocation["Records"]]


def _event(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body


def main() -> None:
    """Read a file, write to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("function", nargs="?", choices=sorted(QUEUES), help="whose queue it is")
    way.add_argument("--unwrap", action="store_true", help="the other way round")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    try:
        content = json.loads(options.file.read_text(encoding="utf-8"))
        events = unwrap(content) if options.unwrap else []
    except (OSError, ValueError) as error:
        parser.error(f"{options.file} cannot be read as JSON: {error}")
    except (KeyError, TypeError):
        parser.error(f"{options.file} is no invocation with Records that have a body")
    if options.unwrap:
        content = events[0] if len(events) == 1 else events
    else:
        content = wrap(options.function, content if isinstance(content, list) else [content])
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
