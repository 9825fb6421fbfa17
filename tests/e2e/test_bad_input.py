"""Bad input ends where the design says, in the deployed stack too."""

import json
import time

import pytest

from sandbox.records import Json
from sandbox.stage import Stage


@pytest.mark.parametrize(
    "body",
    ["no JSON at all", json.dumps({"version": "0", "source": "aws.iam"}), "[]"],
    ids=["no JSON", "no detail", "no object"],
)
def test_poison_message_is_parked_with_its_reason(stage: Stage, body: str) -> None:
    sqs = stage.account.root.client("sqs")
    sqs.send_message(QueueUrl=stage.evidence.stack["IamChangeQueueUrl"], MessageBody=body)
    letter = _dead_letter(stage, body)
    assert letter["MessageAttributes"]["reason"]["StringValue"]
    sqs.delete_message(
        QueueUrl=stage.evidence.stack["IamChangeDeadLettersUrl"],
        ReceiptHandle=letter["ReceiptHandle"],
    )


def _dead_letter(stage: Stage, body: str) -> Json:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        for letter in stage.evidence.dead_letters():
            if letter["Body"] == body:
                return letter
        time.sleep(0.3)
    pytest.fail("nothing was parked")
