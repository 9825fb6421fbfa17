"""The roles as they are deployed, against the evaluator: what each can do to a history entry."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.emulator import EmulatorError, interpreter
from tests.e2e.guarded import Guarded, verdict
from tests.template.cloudformation import Template

ROLES = sorted(set(Template.read().of_type("AWS::IAM::Role")) - {"CanaryRole"})
MARKS = {
    "OnSignInRole": ["HEARTBEAT"],
    "OnIamChangeRole": ["HEARTBEAT"],
    "WatchRole": ["HEARTBEAT"],
    "DeliverRole": ["INTENT#1", "SENDING_RATE", "ALERTS"],
    "RedeliverRole": ["INTENT#1", "SENDING_RATE", "ALERTS"],
    "OnMailFeedbackRole": ["INTENT#1"],
    "RemindRole": ["UNREACHABLE#1#2"],
    "QuarantineRole": ["QUARANTINE#1#2"],
}
HISTORIES = ["USER#111122223333#AIDA1", "REQUEST#R-1", "ACCOUNT#111122223333"]

LET_THROUGH, NOT_ALLOWED = "let through", "not allowed"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    with Guarded.set_up(tmp_path_factory.mktemp("observations")) as guarded:
        yield guarded


@pytest.fixture
def table(guarded: Guarded) -> str:
    """The table, with an entry in each kind of history."""
    name = guarded.resources["Table"]
    dynamodb = guarded.account.root.client("dynamodb")
    for pk in HISTORIES:
        dynamodb.put_item(TableName=name, Item=_key(pk) | {"what": {"S": "It happened"}})
    return name


def _key(pk: str, sk: str = "HISTORY#2026-01-01#e1") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _update(table: str, pk: str, sk: str = "HISTORY#2026-01-01#e1") -> dict[str, Any]:
    return {
        "TableName": table,
        "Key": _key(pk, sk),
        "UpdateExpression": "SET what = :new",
        "ExpressionAttributeValues": {":new": {"S": "Nothing happened"}},
    }


def _harm(dynamodb: Any, table: str, pk: str) -> dict[str, Callable[[], object]]:
    """Every call that could change or remove an entry, but putting another in its place."""
    one = {"TableName": table, "Key": _key(pk)}
    decoy = {"Update": _update(table, "INTENT#decoy", "STATE")}
    return {
        "update": lambda: dynamodb.update_item(**_update(table, pk)),
        "update in a transaction": lambda: dynamodb.transact_write_items(
            TransactItems=[decoy, {"Update": _update(table, pk)}]
        ),
        "delete": lambda: dynamodb.delete_item(**one),
        "delete in a transaction": lambda: dynamodb.transact_write_items(
            TransactItems=[decoy, {"Delete": one}]
        ),
        "delete in a batch": lambda: dynamodb.batch_write_item(
            RequestItems={table: [{"DeleteRequest": {"Key": _key(pk)}}]}
        ),
        "update in PartiQL": lambda: dynamodb.execute_statement(
            Statement=f"UPDATE \"{table}\" SET what='' WHERE pk='{pk}' AND sk='HISTORY#'"  # noqa: S608
        ),
        "let it expire": lambda: dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "at"}
        ),
        "delete the table": lambda: dynamodb.delete_table(TableName=table),
    }


@pytest.mark.parametrize("role", ROLES)
def test_no_role_changes_or_removes_a_history_entry(
    guarded: Guarded, table: str, role: str
) -> None:
    client = guarded.session(guarded.resources[role])("dynamodb")
    found = {
        (pk, how): verdict(call)
        for pk in HISTORIES
        for how, call in _harm(client, table, pk).items()
    }
    assert {cell for cell, answer in found.items() if answer != NOT_ALLOWED} == set()
    root = guarded.account.root.client("dynamodb")
    for pk in HISTORIES:
        kept = root.get_item(TableName=table, Key=_key(pk))["Item"]
        assert kept["what"] == {"S": "It happened"}


@pytest.mark.parametrize("role", MARKS)
def test_role_may_update_its_own_items_together_with_a_history_entry(
    guarded: Guarded, table: str, role: str
) -> None:
    client = guarded.session(guarded.resources[role])("dynamodb")
    entry = {"Put": {"TableName": table, "Item": _key(HISTORIES[0], f"HISTORY#2026#{role}")}}
    for pk in MARKS[role]:
        assert verdict(client.update_item, **_update(table, pk, "STATE")) == LET_THROUGH
        if role == "QuarantineRole":  # it puts nothing
            continue
        both = [{"Update": _update(table, pk, "STATE")}, entry]
        assert verdict(client.transact_write_items, TransactItems=both) == LET_THROUGH
    others = {pk for marks in MARKS.values() for pk in marks} - set(MARKS[role])
    answers = {verdict(client.update_item, **_update(table, pk, "STATE")) for pk in others}
    assert answers <= {NOT_ALLOWED}
