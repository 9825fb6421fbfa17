"""The second account, another region, and an account whose events are refused."""

import json
from dataclasses import replace
from typing import Final

from sandbox.change_request_story import petra_approves, petra_fulfils, request_of
from sandbox.command_line import run_requests
from sandbox.emulator import ACCOUNT_ID, MEMBER_ID, OUTSIDER_ID, REGION
from sandbox.expectations import Expectation, Scenario, Since, alerted, finding, mailed, request
from sandbox.multi_account import ALIAS, EUROPE, PACIFIC
from sandbox.setup import Sandbox


def linked_to(alias: str, account: str) -> Expectation:
    """The mails of a scenario are about one account, and link to its sign-in page."""

    def holds(since: Since) -> bool:
        link = f"https://{alias}.signin.aws.amazon.com/console"
        texts = [" ".join(mail.text.split()) for mail in since.mails]
        return bool(texts) and all(
            link in text and f"{alias} ({account})" in text for text in texts
        )

    return Expectation(f"the mail links to the sign-in page of {alias}", holds)


def about(alias: str, account: str) -> Expectation:
    """The mails of a scenario name the account that they are about."""

    def holds(since: Since) -> bool:
        texts = [" ".join(mail.text.split()) for mail in since.mails]
        return bool(texts) and all(f"{alias} ({account})" in text for text in texts)

    return Expectation(f"the mail is about the account {alias}", holds)


def of_account(name: str, account: str) -> Expectation:
    """The watcher's record of a user is kept under their own account."""
    return Expectation(
        f"{name} is a user of account {account}",
        lambda since: since.user(name).get("pk", "").startswith(f"USER#{account}#"),
    )


def recorded(event_name: str, account: str, region: str) -> Expectation:
    """CloudTrail has a record of this call in this account and region."""
    return Expectation(
        f"{event_name} was recorded in account {account}, {region}",
        lambda since: any(
            (record["eventName"], record["recipientAccountId"], record["awsRegion"])
            == (event_name, account, region)
            for record in since.records
        ),
    )


def refused_by_hub(account: str) -> Expectation:
    """An account's event is in its own dead-letter queue: the hub's bus refused it."""

    def holds(since: Since) -> bool:
        hub = since.observations.account
        outsider = replace(hub, number=account).root.client("sqs")
        url = outsider.get_queue_url(QueueName="mfa-watcher-forward-dead-letters")["QueueUrl"]
        found = outsider.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages", [])
        bodies = [json.loads(message["Body"]) for message in found]
        return [body["detail"]["recipientAccountId"] for body in bodies] == [account]

    return Expectation("the event is in the outsider's own dead-letter queue", holds)


def henry_signs_in_from_sydney(sandbox: Sandbox) -> None:
    """Henry, a user of the hub's account, signs in on another region's page."""
    sandbox.account.sign_in("henry", region=PACIFIC, source_ip=sandbox.actors["henry"].source_ip)


def mia_signs_in(sandbox: Sandbox) -> None:
    """Mia signs in to the second account, in another region."""
    mia = sandbox.other_accounts.actors["mia"]
    sandbox.other_accounts.account.sign_in("mia", region=EUROPE, source_ip=mia.source_ip)


def mia_enrols(sandbox: Sandbox) -> None:
    """Mia registers a phone in the second account."""
    sandbox.other_accounts.actors.enrol("mia", device="mia-phone")


def mia_asks(sandbox: Sandbox) -> str:
    """Mia files a request at the hub's change desk, with keys of their own account."""
    mia, stack = sandbox.other_accounts.actors["mia"], sandbox.stack
    why = ("--reason", "my phone is too old for its updates", "--wanted", "virtual")
    return f"{run_requests(stack, mia, 'open', *why)}\n{run_requests(stack, mia, 'list')}"


def mia_and_petra(sandbox: Sandbox) -> str:
    """Mia may not use the approval desk; petra, a user of the hub's account, approves."""
    mia, id_ = sandbox.other_accounts.actors["mia"], request_of(sandbox, "mia")
    refused = ("approve", id_, "--seen", "1", "--reason", "it is true")
    said = run_requests(sandbox.stack, mia, *refused, refused="IAM does not allow you")
    return f"{said}\n{petra_approves('mia', why='met mia at the office')(sandbox)}"


def mia_enrols_anew(sandbox: Sandbox) -> None:
    """Mia registers another phone."""
    sandbox.other_accounts.actors.enrol("mia", device="mia-new-phone")


def lars_removes(sandbox: Sandbox) -> None:
    """Lars, an administrator there, removes mia's device without an approval."""
    actors = sandbox.other_accounts.actors
    iam, serial = actors["lars"].client("iam"), actors.serial("mia-new-phone")
    iam.deactivate_mfa_device(UserName="mia", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)


def an_outsider_forwards(sandbox: Sandbox) -> None:
    """The root user of an account outside the organization signs in; its forwarder sends that."""
    sandbox.other_accounts.outsider.sign_in(source_ip="192.0.2.200")


SCENARIOS: Final = (
    Scenario(
        "henry signs in from Sydney",
        "The hub's account, but another region: the forwarder there sends the event.",
        henry_signs_in_from_sydney,
        (
            recorded("ConsoleLogin", ACCOUNT_ID, PACIFIC),
            finding("henry", opened=True),
            of_account("henry", ACCOUNT_ID),
            mailed("henry"),
            linked_to("sandbox", ACCOUNT_ID),
            alerted("sign_in_without_mfa", naming="henry"),
        ),
    ),
    Scenario(
        "mia signs in to the second account",
        "Another account and another region. The hub reads IAM there by the forwarder's role.",
        mia_signs_in,
        (
            recorded("ConsoleLogin", MEMBER_ID, EUROPE),
            finding("mia", opened=True),
            of_account("mia", MEMBER_ID),
            mailed("mia"),
            linked_to(ALIAS, MEMBER_ID),
            alerted("sign_in_without_mfa", naming=f"{ALIAS} ({MEMBER_ID})"),
        ),
    ),
    Scenario(
        "mia enrols in the second account",
        "A change in that account's IAM reaches the hub as well.",
        mia_enrols,
        (
            recorded("EnableMFADevice", MEMBER_ID, REGION),
            finding("mia", opened=False),
            mailed("mia"),
            alerted(),
        ),
    ),
    Scenario(
        "mia asks for another device",
        "At the hub's change desk. Both the policy there and the one in mia's account allow it.",
        mia_asks,
        (
            request("mia", "submitted"),
            mailed("mia"),
            about(ALIAS, MEMBER_ID),
            alerted("request_waiting", naming=f"{ALIAS} ({MEMBER_ID})"),
        ),
    ),
    Scenario(
        "petra approves mia's request",
        "Approvers are users of the hub's account.",
        mia_and_petra,
        (request("mia", "approved"), mailed("mia"), about(ALIAS, MEMBER_ID), alerted()),
    ),
    Scenario(
        "petra has mia's request fulfilled",
        "By a role in the second account, which its forwarder made. This removal is no violation.",
        petra_fulfils("mia"),
        (
            recorded("DeactivateMFADevice", MEMBER_ID, REGION),
            request("mia", "fulfilled"),
            finding("mia", opened=True),
            mailed("mia"),
            linked_to(ALIAS, MEMBER_ID),
            alerted("request_fulfilled", naming=f"{ALIAS} ({MEMBER_ID})"),
        ),
    ),
    Scenario(
        "mia enrols another phone",
        "This closes the finding and the request.",
        mia_enrols_anew,
        (
            request("mia", "closed"),
            finding("mia", opened=False),
            mailed("mia"),
            alerted(),
        ),
    ),
    Scenario(
        "lars removes mia's device",
        "An administrator of the second account, without an approved change request.",
        lars_removes,
        (
            finding("mia", opened=True),
            mailed("mia"),
            alerted("removal_unapproved", naming=f"{ALIAS} ({MEMBER_ID})"),
        ),
    ),
    Scenario(
        "an account outside the organization forwards an event",
        "Anybody can deploy the forwarder. The bus accepts events of the organization only.",
        an_outsider_forwards,
        (
            recorded("ConsoleLogin", OUTSIDER_ID, REGION),
            refused_by_hub(OUTSIDER_ID),
            mailed(),
            alerted(),
        ),
    ),
)
