"""What the story does not tell, in the account that it left behind."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from sandbox.deploy import DOMAIN, verify_sender
from sandbox.records import Json
from sandbox.stage import Stage


def eventually(look: Callable[[], Json | None]) -> Json:
    """Look until something is seen."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.3)
    pytest.fail("it was not seen within 30 s")


@pytest.mark.parametrize(
    "body",
    ["no JSON at all", json.dumps({"version": "0", "source": "aws.iam"}), "[]"],
    ids=["no JSON", "no detail", "no object"],
)
def test_poison_message_is_parked_with_its_reason(stage: Stage, body: str) -> None:
    sqs = stage.account.root.client("sqs")
    sqs.send_message(QueueUrl=stage.evidence.stack["IamChangeQueueUrl"], MessageBody=body)

    letter = eventually(
        lambda: next((one for one in stage.evidence.dead_letters() if one["Body"] == body), None)
    )
    assert letter["MessageAttributes"]["reason"]["StringValue"]
    assert "IamChangeQueue" in letter["MessageAttributes"]["source_queue"]["StringValue"]

    sqs.delete_message(
        QueueUrl=stage.evidence.stack["IamChangeDeadLettersUrl"],
        ReceiptHandle=letter["ReceiptHandle"],
    )


@pytest.fixture
def sender_refused(stage: Stage) -> Iterator[None]:
    """SES does not know the sender any more."""
    stage.account.root.client("sesv2").delete_email_identity(EmailIdentity=DOMAIN)
    yield
    verify_sender(stage.account)


@pytest.mark.usefixtures("sender_refused")
def test_mail_that_ses_rejects_is_kept_as_failed_with_the_reason(stage: Stage) -> None:
    olivia = stage.cast["olivia"]
    stage.cast.hire("erin", by=olivia)
    stage.cast.give_console_access("erin", by=olivia)

    def failed() -> Json | None:
        stage.evidence.look()
        return next(
            (
                intent
                for intent in stage.evidence.kind("INTENT")
                if intent["act"].get("user_name") == "erin" and intent["status"] == "failed"
            ),
            None,
        )

    assert "not verified" in eventually(failed)["reason"]


def test_renamed_user_keeps_finding_and_is_known_by_the_new_name(stage: Stage) -> None:
    stage.evidence.look()
    bob = next(one for one in stage.evidence.kind("USER") if one["name"] == "bob")
    iam = stage.cast["olivia"].client("iam")
    iam.update_user(UserName="bob", NewUserName="robert")
    try:

        def robert() -> Json | None:
            stage.evidence.look()
            return next(
                (one for one in stage.evidence.kind("USER") if one["name"] == "robert"), None
            )

        renamed = eventually(robert)
        assert renamed["pk"] == bob["pk"]
        assert renamed["finding"]["id"] == bob["finding"]["id"]
    finally:
        iam.update_user(UserName="robert", NewUserName="bob")
