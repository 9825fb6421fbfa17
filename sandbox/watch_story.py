"""The watch on the watcher: attempts against it, its canary, and a region that falls silent."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox.emulator import ACCOUNT_ID
from sandbox.expectations import Expectation, Scenario, Since, alerted, denied, mailed
from sandbox.setup import Sandbox

FAR: Final = "ap-southeast-2"
"""A region that the watcher expects events from, as people sign in there."""


def carol_purges(sandbox: Sandbox) -> None:
    """Carol, whom the guard policy holds, wants waiting events gone."""
    sqs = sandbox.actors["carol"].client("sqs")
    denied(sqs.purge_queue, QueueUrl=sandbox.observations.stack["SignInQueue"])


def olivia_disarms(sandbox: Sandbox) -> None:
    """Olivia leaves a function nothing to run with, and takes that back."""
    lambdas, name = sandbox.actors["olivia"].client("lambda"), sandbox.observations.stack["Remind"]
    lambdas.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    lambdas.delete_function_concurrency(FunctionName=name)


def canary_sings(sandbox: Sandbox) -> None:
    """Make the call that the schedule makes every few hours, then look as it does every hour."""
    sqs = sandbox.account.root.client("sqs")
    queue = sandbox.observations.stack["SignInQueue"]
    sqs.tag_queue(QueueUrl=queue, Tags={"mfa-watcher-canary": "sings"})
    sandbox.run("Watch")


def a_region_is_silent(sandbox: Sandbox) -> str:
    """Set back since when events are expected from far away; then look as the schedule does."""
    for item in sandbox.observations.items:
        if item["pk"] == "HEARTBEAT" and item["sk"].startswith(f"{ACCOUNT_ID}#{FAR}#"):
            then = datetime.now(UTC) - timedelta(hours=14)
            sandbox.account.root.client("dynamodb").update_item(
                TableName=sandbox.observations.stack["TableName"],
                Key={"pk": {"S": "HEARTBEAT"}, "sk": {"S": item["sk"]}},
                UpdateExpression="SET expected_since = :then",
                ExpressionAttributeValues={":then": {"S": then.isoformat(timespec="milliseconds")}},
            )
    found = sandbox.run("Watch")
    return f"14 hours pass without an event from {FAR}: {found['silent']} silent"


def somebody_signs_in_there(sandbox: Sandbox) -> None:
    """Fail to sign in far away: whatever it means, it is an event."""
    sandbox.account.sign_in("nobody", region=FAR)


def an_hour_later(sandbox: Sandbox) -> None:
    """Look as the schedule does."""
    sandbox.run("Watch")


def heard_from(*regions: str) -> Expectation:
    """These are the regions that were heard from so far."""

    def holds(since: Since) -> bool:
        beats = [item for item in since.observations.items if item["pk"] == "HEARTBEAT"]
        of_hub = [item for item in beats if item["sk"].startswith(f"{ACCOUNT_ID}#")]
        heard = {item["sk"].split("#")[1] for item in of_hub if "seen_at" in item}
        return heard == set(regions)

    return Expectation(f"heard from {', '.join(regions)}", holds)


SCENARIOS: Final = (
    Scenario(
        "carol wants waiting events gone",
        "The guard policy denies it, and that she tried is demo_run.",
        carol_purges,
        (mailed(), alerted("watcher_disturbed", naming="which was denied")),
    ),
    Scenario(
        "olivia leaves a function nothing to run with",
        "Its concurrency is set to 0.",
        olivia_disarms,
        (mailed(), alerted("watcher_disturbed", naming="concurrency")),
    ),
    Scenario(
        "the canary sings",
        "A call that changes nothing comes the way of all events, so events come.",
        canary_sings,
        (heard_from("us-east-1"), mailed(), alerted()),
    ),
    Scenario(
        "a region is silent",
        "As if its forwarder had been deleted: nobody would know of a sign-in.",
        a_region_is_silent,
        (mailed(), alerted("watch_silent", naming=FAR)),
    ),
    Scenario(
        "somebody signs in there",
        "In vain, but the event comes.",
        somebody_signs_in_there,
        (heard_from("us-east-1", FAR), mailed(), alerted()),
    ),
    Scenario(
        "an hour later, by the watch",
        "Events come again, and that is demo_run, too.",
        an_hour_later,
        (mailed(), alerted("watch_back", naming=FAR)),
    ),
)
