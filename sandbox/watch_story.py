"""Attempts against the watcher, its canary, and a region without events."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox.emulator import ACCOUNT_ID
from sandbox.expectations import Expectation, Scenario, Since, alerted, denied, mailed
from sandbox.setup import Sandbox

FAR: Final = "ap-southeast-2"
"""A region that the watcher expects events from, because users sign in there."""


def carol_purges(sandbox: Sandbox) -> None:
    """Carol, a user under the guard policy, tries to purge a queue."""
    sqs = sandbox.actors["carol"].client("sqs")
    denied(sqs.purge_queue, QueueUrl=sandbox.stack["SignInQueue"])


def olivia_stops_a_function(sandbox: Sandbox) -> None:
    """Olivia sets a function's concurrency to 0, and takes that back."""
    lambdas, name = sandbox.actors["olivia"].client("lambda"), sandbox.stack["Remind"]
    lambdas.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    lambdas.delete_function_concurrency(FunctionName=name)


def canary_is_sent(sandbox: Sandbox) -> None:
    """Make the canary's call, then run watch. Schedules do both."""
    sqs = sandbox.account.root.client("sqs")
    queue = sandbox.stack["SignInQueue"]
    sqs.tag_queue(QueueUrl=queue, Tags={"mfa-watcher-canary": "sent"})
    sandbox.run("Watch")


def a_region_is_silent(sandbox: Sandbox) -> str:
    """Set the time back since when events are expected from a region; then run watch."""
    for item in sandbox.observations.items:
        if item["pk"] == "HEARTBEAT" and item["sk"].startswith(f"{ACCOUNT_ID}#{FAR}#"):
            then = datetime.now(UTC) - timedelta(hours=14)
            sandbox.account.root.client("dynamodb").update_item(
                TableName=sandbox.stack["TableName"],
                Key={"pk": {"S": "HEARTBEAT"}, "sk": {"S": item["sk"]}},
                UpdateExpression="SET expected_since = :then",
                ExpressionAttributeValues={":then": {"S": then.isoformat(timespec="milliseconds")}},
            )
    found = sandbox.run("Watch")
    return f"14 hours pass without an event from {FAR}: {found['silent']} silent"


def a_sign_in_fails_there(sandbox: Sandbox) -> None:
    """Fail to sign in to that region. It is an event nevertheless."""
    sandbox.account.sign_in("nobody", region=FAR)


def watch_runs(sandbox: Sandbox) -> None:
    """Run watch as its schedule does."""
    sandbox.run("Watch")


def events_from(*regions: str) -> Expectation:
    """These are the regions that events came from so far."""

    def holds(since: Since) -> bool:
        beats = [item for item in since.observations.items if item["pk"] == "HEARTBEAT"]
        of_hub = [item for item in beats if item["sk"].startswith(f"{ACCOUNT_ID}#")]
        heard = {item["sk"].split("#")[1] for item in of_hub if "seen_at" in item}
        return heard == set(regions)

    return Expectation(f"events came from {', '.join(regions)}", holds)


SCENARIOS: Final = (
    Scenario(
        "carol tries to purge a queue",
        "The guard policy denies it, and the attempt causes an alert.",
        carol_purges,
        (mailed(), alerted("watcher_disturbed", naming="which was denied")),
    ),
    Scenario(
        "olivia stops a function",
        "They set its concurrency to 0.",
        olivia_stops_a_function,
        (mailed(), alerted("watcher_disturbed", naming="concurrency")),
    ),
    Scenario(
        "the canary is sent",
        "A call that changes nothing takes the path of all events. It shows that the path works.",
        canary_is_sent,
        (events_from("us-east-1"), mailed(), alerted()),
    ),
    Scenario(
        "no event comes from a region",
        "As if its forwarder had been deleted. Sign-ins there would not be seen.",
        a_region_is_silent,
        (mailed(), alerted("watch_silent", naming=FAR)),
    ),
    Scenario(
        "a sign-in to that region fails",
        "The event comes nevertheless.",
        a_sign_in_fails_there,
        (events_from("us-east-1", FAR), mailed(), alerted()),
    ),
    Scenario(
        "watch runs an hour later",
        "Events come again, which causes an alert, too.",
        watch_runs,
        (mailed(), alerted("watch_back", naming=FAR)),
    ),
)
