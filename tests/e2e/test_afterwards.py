"""What the story does not show, in the account after the story."""

import json
from collections.abc import Iterator

import pytest

from sandbox.deploy import DOMAIN, STACK, verify_sender
from sandbox.emulator import ACCOUNT_ID, REGION
from sandbox.records import Json
from sandbox.setup import Sandbox
from tests.e2e.waiting import Outage, eventually


@pytest.mark.parametrize(
    "body",
    ["no JSON at all", json.dumps({"version": "0", "source": "aws.iam"}), "[]"],
    ids=["no JSON", "no detail", "no object"],
)
def test_unusable_message_is_set_aside_with_its_reason(sandbox: Sandbox, body: str) -> None:
    sqs = sandbox.account.root.client("sqs")
    sqs.send_message(QueueUrl=sandbox.stack["IamChangeQueue"], MessageBody=body)

    letter = eventually(
        lambda: next(
            (one for one in sandbox.observations.dead_letters() if one["Body"] == body), None
        )
    )
    assert letter["MessageAttributes"]["reason"]["StringValue"]
    assert "IamChangeQueue" in letter["MessageAttributes"]["source_queue"]["StringValue"]

    sqs.delete_message(
        QueueUrl=sandbox.stack["IamChangeDeadLetters"],
        ReceiptHandle=letter["ReceiptHandle"],
    )


def test_intents_that_deliver_did_not_send_are_sent_once_by_redeliver(outage: Outage) -> None:
    assert len(outage.left) == 2
    assert [mail.to for mail in outage.mails] == ["hanna@example.com"]
    # Perhaps in one message with another: disabling deliver causes an alert, too.
    assert sum("Root user signed in" in alert.message for alert in outage.alerts) == 1


@pytest.fixture
def sender_refused(sandbox: Sandbox) -> Iterator[None]:
    """SES does not know the sender any more."""
    sandbox.account.root.client("sesv2").delete_email_identity(EmailIdentity=DOMAIN)
    yield
    verify_sender(sandbox.account)


@pytest.mark.usefixtures("sender_refused")
def test_mail_of_an_unverified_sender_waits_with_the_reason(sandbox: Sandbox) -> None:
    olivia = sandbox.actors["olivia"]
    sandbox.actors.create_user("erin", by=olivia)
    sandbox.actors.grant_console_access("erin", by=olivia)

    def waiting() -> Json | None:
        return next(
            (one for one in mails_to(sandbox, "erin") if "not verified" in one.get("reason", "")),
            None,
        )

    assert eventually(waiting)["status"] == "pending"


def test_each_mail_of_the_story_has_a_recorded_delivery_outcome(sandbox: Sandbox) -> None:
    def arrived() -> Json | None:
        sent = [one for one in mails_to(sandbox) if one["status"] == "sent"]
        ended = {one["id"]: one.get("outcome") for one in sent}
        meant = {one["id"]: _outcome_of_a_mail_to(one["sent_to"]) for one in sent}
        return meant if ended == meant else None

    assert set(eventually(arrived).values()) == {"bounced", "delivered"}


def _outcome_of_a_mail_to(address: str) -> str:
    return "bounced" if address.startswith("bounce") else "delivered"


def test_address_that_bounced_is_not_used_again_and_is_reported_to_security(
    sandbox: Sandbox,
) -> None:
    olivia = sandbox.actors["olivia"]
    sandbox.actors.create_user("bounce", by=olivia)
    sandbox.actors.grant_console_access("bounce", by=olivia)

    def marked() -> Json | None:
        sandbox.observations.update()
        user = next(
            (one for one in sandbox.observations.kind("USER") if one["name"] == "bounce"), {}
        )
        return user if user.get("bad_addresses") else None

    assert eventually(marked)["bad_addresses"] == ["bounce@example.com"]

    def undeliverable() -> Json | None:
        sandbox.observations.update()
        kinds = {alert.attributes.get("kind") for alert in sandbox.observations.alerts}
        return {"kinds": kinds} if "mail_undeliverable" in kinds else None

    eventually(undeliverable)


def mails_to(sandbox: Sandbox, name: str = "") -> list[Json]:
    """The intents of mails, to one user or to all."""
    sandbox.observations.update()
    return [
        intent
        for intent in sandbox.observations.kind("INTENT")
        if intent["id"].startswith("mail-") and name in intent["act"].get("user_name", "")
    ]


def test_renamed_user_keeps_finding_and_is_known_by_the_new_name(sandbox: Sandbox) -> None:
    sandbox.observations.update()
    bob = next(one for one in sandbox.observations.kind("USER") if one["name"] == "bob")
    iam = sandbox.actors["olivia"].client("iam")
    iam.update_user(UserName="bob", NewUserName="robert")
    try:

        def robert() -> Json | None:
            sandbox.observations.update()
            return next(
                (one for one in sandbox.observations.kind("USER") if one["name"] == "robert"), None
            )

        renamed = eventually(robert)
        assert renamed["pk"] == bob["pk"]
        assert renamed["finding"]["id"] == bob["finding"]["id"]
    finally:
        iam.update_user(UserName="robert", NewUserName="bob")


def test_a_complete_deployment_starts_the_sweep_by_a_rule_that_may_invoke_it(
    sandbox: Sandbox,
) -> None:
    root = sandbox.account.root
    events, lambdas = root.client("events"), root.client("lambda")
    function = lambdas.get_function(FunctionName=sandbox.stack["Sweep"])["Configuration"]
    [name] = events.list_rule_names_by_target(TargetArn=function["FunctionArn"])["RuleNames"]
    rule = events.describe_rule(Name=name)
    stack_id = root.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0][
        "StackId"
    ]
    event = {
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "account": ACCOUNT_ID,
        "source": "aws.cloudformation",
        "time": "2026-11-24T18:00:00Z",
        "region": REGION,
        "resources": [stack_id],
        "detail-type": "CloudFormation Stack Status Change",
        "detail": {
            "stack-id": stack_id,
            "status-details": {"status": "CREATE_COMPLETE", "status-reason": ""},
        },
    }

    assert events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))[
        "Result"
    ]
    policy = json.loads(lambdas.get_policy(FunctionName=sandbox.stack["Sweep"])["Policy"])
    assert rule["Arn"] in json.dumps(policy)
