"""How the domain's values are stored in the table. See docs/decisions.md, "One table"."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from pydantic import TypeAdapter

from mfa_watcher.domain.health.heartbeats import EventPath, Heartbeat, HeartbeatSource
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.notifications.intents import Alert, Intent
from mfa_watcher.domain.notifications.mails import UnreachableUser
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.user import User, UserKey

Item = dict[str, Any]

STATE: Final = "STATE"
FULFILLED: Final = "FULFILLED"
"""The sort key of the item that maps a removed device to the user of the fulfilment."""
DUE_INDEX: Final = "due"
REQUESTS_INDEX: Final = "requests"
DUE_SHARDS: Final = 8
"""What is due is spread over this many keys of the index, so that a storm is not limited by one (a
partition takes 1,000 writes a second)."""

DUE_INTENTS: Final = "DUE"
DUE_ALERTS: Final = "ALERT"
DUE_USERS: Final = "USER"
DUE_REQUESTS: Final = "REQUEST"
DUE_QUARANTINE: Final = "QUARANTINE#0"
DUE_UNREACHABLE: Final = "UNREACHABLE#0"

INVENTORY_INDEX: Final = "inventory"
INVENTORY_SHARDS: Final = 8
"""An account's users are spread over this many keys of the index, as what is due is."""

HEARTBEATS: Final = "HEARTBEAT"
"""The partition of all heartbeats: a few thousand small items, each written once an hour at most,
and read together."""

SWEEP_RESULT_SK: Final = "SWEEP"
"""The result of an account's last sweep is stored next to its history."""

USER: Final = TypeAdapter(User)
INVENTORY_ENTRY: Final = TypeAdapter(InventoryEntry)
SWEEP_RESULT: Final = TypeAdapter(SweepResult)
HEARTBEAT: Final = TypeAdapter(Heartbeat)
REQUEST: Final = TypeAdapter(ChangeRequest)
INTENT: Final = TypeAdapter(Intent)
UNREACHABLE_USER: Final = TypeAdapter(UnreachableUser)
HISTORY: Final = TypeAdapter(HistoryEntry)

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def user_pk(key: UserKey) -> str:
    """Return the partition key of a user."""
    return f"USER#{key.account_id}#{key.user_id}"


def name_pk(account_id: str, name: str) -> str:
    """Return the partition key of the item that maps a name to a user id; case does not matter."""
    return f"NAME#{account_id}#{name.casefold()}"


def device_pk(account_id: str, serial: str) -> str:
    """Return the partition key of the item that maps a removed device to its user's id."""
    return f"DEVICE#{account_id}#{serial}"


def quarantine_pk(key: UserKey) -> str:
    """Return the partition key of the mark that a user is to be quarantined or released."""
    return f"QUARANTINE#{key.account_id}#{key.user_id}"


def unreachable_pk(key: UserKey) -> str:
    """Return the partition key of the mark that a user is unreachable."""
    return f"UNREACHABLE#{key.account_id}#{key.user_id}"


def request_pk(request_id: str) -> str:
    """Return the partition key of a change request."""
    return f"REQUEST#{request_id}"


def intent_pk(intent_id: str) -> str:
    """Return the partition key of an intent."""
    return f"INTENT#{intent_id}"


def event_pk(event_id: str) -> str:
    """Return the partition key of the mark that an event was decided."""
    return f"EVENT#{event_id}"


def history_pk(entry: HistoryEntry) -> str:
    """Return the partition key of a history entry: that of its subject."""
    return f"{entry.about.upper()}#{entry.subject_id.replace('/', '#')}"


def history_sk(entry: HistoryEntry, part: str = "") -> str:
    """Return the sort key of a history entry: by time, and one per event and part."""
    return f"HISTORY#{timestamp(entry.at)}#{entry.event_id}{part}"


def timestamp(moment: datetime) -> str:
    """Return a moment as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def epoch(moment: datetime) -> int:
    """Return a moment in whole seconds, as DynamoDB's TTL needs it."""
    return int(moment.timestamp())


def due_prefix(intent: Intent) -> str:
    """Return the part of the index for an intent: alerts have their own."""
    return DUE_ALERTS if isinstance(intent.act, Alert) else DUE_INTENTS


def due(prefix: str, id_: str, at: datetime) -> Item:
    """Return the attributes that put an item into the sparse index of what is due."""
    shard = sum(id_.encode()) % DUE_SHARDS
    return {"due_shard": f"{prefix}#{shard}", "due_at": timestamp(at)}


def inventory(user: User) -> Item:
    """Return the attributes that put a user into the inventory; none for a user who is gone."""
    if user.gone_at:
        return {}
    key = user.key
    shard = sum(key.user_id.encode()) % INVENTORY_SHARDS
    return {"inventory": inventory_pk(key.account_id, shard), "inventory_id": key.user_id}


def inventory_pk(account_id: str, shard: int) -> str:
    """Return the index's partition key of a shard of an account's users."""
    return f"{account_id}#{shard}"


def account_pk(account_id: str) -> str:
    """Return the partition key of an account's items."""
    return f"ACCOUNT#{account_id}"


def heartbeat_sk(source: HeartbeatSource) -> str:
    """Return the sort key of a heartbeat."""
    return f"{source.account_id}#{source.region}#{source.path}"


def heartbeat(item: Mapping[str, Any]) -> Heartbeat:
    """Return the heartbeat of an item."""
    account_id, region, path = item["sk"].split("#")
    source = HeartbeatSource(account_id, region, EventPath(path))
    return HEARTBEAT.validate_python({**item, "source": source})


def listed(request: ChangeRequest) -> Item:
    """Return the attributes by which requests are listed and found."""
    return {
        "request_state": request.state.value,
        "request_order": f"{timestamp(request.opened_at)}#{request.id}",
        "request_subject": request.subject_name.casefold(),
    }


def key_of(pk: str, sk: str = STATE) -> Item:
    """Return an item's key in DynamoDB's form."""
    return to_wire({"pk": pk, "sk": sk})


def to_wire(item: Mapping[str, Any]) -> Item:
    """Return plain values in DynamoDB's form."""
    return {name: _serializer.serialize(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """Return DynamoDB's form as plain values (numbers are Decimals)."""
    return {name: _deserializer.deserialize(value) for name, value in item.items()}


def dump(adapter: TypeAdapter[Any], value: object) -> Item:
    """Return a domain value as plain values, without those that are None."""
    plain: Item = adapter.dump_python(value, mode="json", exclude_none=True)
    return plain
