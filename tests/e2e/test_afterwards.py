"""What the story does not tell, in the account that it left behind."""

import json
from collections.abc import Iterator

import pytest

from sandbox.deploy import DOMAIN, verify_sender
from sandbox.records import Json
from sandbox.stage import Stage
from tests.e2e.waiting import Outage, eventually


@pytest.mark.parametrize(
    "body",
    ["no JSON at all", json.dumps({"version": "0", "source": "aws.iam"}), "[]"],
    ids=["no JSON", "no detail", "no object"],
)
def test_poison_message_is_parked_with_its_reason(stage: Stage, body: str) -> None:
    sqs = stage.account.root.client("sqs")
    sqs.send_message(QueueUrl=stage.evidence.stack["IamChangeQueue"], MessageBody=body)

    letter = eventually(
        lambda: next((one for one in stage.evidence.dead_letters() if one["Body"] == body), None)
    )
    assert letter["MessageAttributes"]["reason"]["StringValue"]
    assert "IamChangeQueue" in letter["MessageAttributes"]["source_queue"]["StringValue"]

    sqs.delete_message(
        QueueUrl=stage.evidence.stack["IamChangeDeadLetters"],
        ReceiptHandle=letter["ReceiptHandle"],
    )


def test_what_deliver_leaves_goes_out_by_the_schedule_and_once(outage: Outage) -> None:
    assert len(outage.left) == 2
    assert [mail.to for mail in outage.mails] == ["hanna@example.com"]
    # Perhaps in one message with another: switching deliver off is told, too.
    assert sum("Root user signed in" in alert.message for alert in outage.alerts) == 1


@pytest.fixture
def sender_refused(stage: Stage) -> Iterator[None]:
    """SES does not know the sender any more."""
    stage.account.root.client("sesv2").delete_email_identity(EmailIdentity=DOMAIN)
    yield
    verify_sender(stage.account)


@pytest.mark.usefixtures("sender_refused")
def test_mail_of_a_sender_that_ses_does_not_know_waits_with_the_reason(stage: Stage) -> None:
    olivia = stage.cast["olivia"]
    stage.cast.hire("erin", by=olivia)
    stage.cast.give_console_access("erin", by=olivia)

    def waiting() -> Json | None:
        return next(
            (one for one in mails_to(stage, "erin") if "not verified" in one.get("reason", "")),
            None,
        )

    assert eventually(waiting)["status"] == "pending"


def test_each_mail_of_the_story_is_known_to_have_arrived_or_not(stage: Stage) -> None:
    def arrived() -> Json | None:
        sent = [one for one in mails_to(stage) if one["status"] == "sent"]
        ended = {one["id"]: one.get("outcome") for one in sent}
        meant = {one["id"]: _outcome_of_a_mail_to(one["sent_to"]) for one in sent}
        return meant if ended == meant else None

    assert set(eventually(arrived).values()) == {"bounced", "delivered"}


def _outcome_of_a_mail_to(address: str) -> str:
    return "bounced" if address.startswith("bounce") else "delivered"


def test_address_that_mail_bounces_from_is_not_used_again_and_told_to_security(
    stage: Stage,
) -> None:
    olivia = stage.cast["olivia"]
    stage.cast.hire("bounce", by=olivia)
    stage.cast.give_console_access("bounce", by=olivia)

    def marked() -> Json | None:
        stage.evidence.look()
        user = next((one for one in stage.evidence.kind("USER") if one["name"] == "bounce"), {})
        return user if user.get("bad_addresses") else None

    assert eventually(marked)["bad_addresses"] == ["bounce@example.com"]

    def told() -> Json | None:
        stage.evidence.look()
        kinds = {alert.attributes.get("kind") for alert in stage.evidence.alerts}
        return {"kinds": kinds} if "mail_undeliverable" in kinds else None

    eventually(told)


def mails_to(stage: Stage, name: str = "") -> list[Json]:
    """The intents of mails, to one user or to all."""
    stage.evidence.look()
    return [
        intent
        for intent in stage.evidence.kind("INTENT")
        if intent["id"].startswith("mail-") and name in intent["act"]["user_name"]
    ]


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
