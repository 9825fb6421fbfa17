"""The events that the repository shows, taken by the functions they are for."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.functions.product import Product
from tests.support.account import Account
from tests.support.builders import ACCOUNT, Json
from tests.template.cloudformation import ACCOUNT as SHOWN_ACCOUNT
from tests.template.cloudformation import ROOT

EVENTS = sorted((ROOT / "events").glob("*/*.json"))


def shown(path: Path) -> Json:
    event: Json = json.loads(path.read_text().replace(SHOWN_ACCOUNT, ACCOUNT))
    return event


@pytest.fixture(autouse=True)
def today(account: Account) -> None:
    """The day of the shown events, with their user."""
    account.clock.time = datetime(2026, 11, 24, 12, tzinfo=UTC)
    account.new_user("alice")


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_shown_event_is_tried_again(product: Product, path: Path) -> None:
    answer = product.invoke(path.parent.name, shown(path))
    assert answer.get("batchItemFailures", []) == []
    dead_letters = [name for name in product.account.queue_urls if name.endswith("DeadLetters")]
    parked = [letter for name in dead_letters for letter in product.account.parked(name)]
    assert bool(parked) == ("damaged" in path.stem)


@pytest.mark.parametrize(
    "path", [path for path in EVENTS if path.parent.name == "deliver"], ids=lambda path: path.stem
)
def test_the_intents_of_a_shown_stream_are_ones_that_deliver_reads(
    product: Product, account: Account, path: Path
) -> None:
    event = shown(path)
    images = [record["dynamodb"]["NewImage"] for record in event["Records"]]
    for image in images:
        account.dynamodb.put_item(TableName=account.table, Item=image)
    assert product.invoke("deliver", event) == {"batchItemFailures": []}
    ended = {item["pk"]: item["status"] for item in account.items("INTENT#")}
    assert set(ended.values()) <= {"sent", "skipped"}
    assert len(ended) == len(images)


def test_each_function_has_its_events() -> None:
    shown = {path.parent.name for path in EVENTS}
    functions = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    assert not functions - shown, f"events/: there is no file for {functions - shown}"
    assert not shown - functions, f"events/: there is no function {shown - functions}"
