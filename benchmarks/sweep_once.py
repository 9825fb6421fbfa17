"""One sweep in a process of its own, as Lambda and SQS would run it: what ``sweep`` measures.

Invokes the function as the schedule does, then hands it each message of its queue, no sooner than
the message's delay allows. Prints one JSON line: seconds in the function, seconds that passed in
the queue, and invocations.
"""

import importlib.util
import json
import os
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from warnings import simplefilter

import boto3

APP = Path(__file__).parents[1] / "functions" / "sweep" / "app.py"
PATIENCE_S = 900.0


class Context:
    """What Lambda tells a function."""

    function_name = "mfa-watcher-Sweep"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:mfa-watcher-Sweep"
    aws_request_id = "r"

    def __init__(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left."""
        return int(1000 * (PATIENCE_S - time.monotonic() + self._began))


def main() -> None:
    """Sweep."""
    simplefilter("ignore")
    spec = importlib.util.spec_from_file_location("app", APP)
    app: Any = importlib.util.module_from_spec(spec) if spec else None
    working = waiting = 0.0
    invocations = 0

    def invoke(event: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        nonlocal working, invocations
        began = time.perf_counter()
        answer = app.handler(event, Context())
        working += time.perf_counter() - began
        invocations += 1
        return answer

    with redirect_stdout(StringIO()):  # the logs and metrics
        if spec and spec.loader:
            spec.loader.exec_module(app)
        sqs: Any = boto3.client("sqs")
        queue = os.environ["SWEEP_QUEUE_URL"]
        invoke(json.loads(sys.argv[1]))
        while messages := sqs.receive_message(QueueUrl=queue).get("Messages"):
            [message] = messages
            delay = int(message["Attributes"]["DelaySeconds"])
            time.sleep(delay)
            waiting += delay
            failed = invoke({"Records": [_record(message)]})["batchItemFailures"]
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            if failed:
                raise SystemExit("the sweep failed")
    told = {"working_s": working, "waiting_s": waiting, "invocations": invocations}
    sys.stdout.write(json.dumps(told) + "\n")


def _record(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:SweepQueue",
    }


if __name__ == "__main__":
    main()
