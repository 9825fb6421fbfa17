"""State and decisions in DynamoDB."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from mfa_watcher.adapters import items
from mfa_watcher.adapters.items import STATE, Item, dump, key_of
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.decision import (
    Decision,
    RequestDecision,
    UnreachableUsersDecision,
    UserDecision,
)
from mfa_watcher.domain.health.heartbeats import Heartbeat, HeartbeatDecision, HeartbeatSource
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.notifications.intents import Intent, IntentStatus
from mfa_watcher.domain.notifications.mails import UnreachableUser
from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepDecision, SweepResult
from mfa_watcher.domain.users.user import User, UserKey
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from mfa_watcher.ports.store import RequestPage, RequestSearch

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

STREAM_HEAD_START = timedelta(minutes=2)
"""How long the stream has to deliver a new intent before the schedule does."""

DEVICE_REMEMBERED = timedelta(days=1)
"""How long the user of a removed device is kept: the deletion of a virtual device follows its
deactivation within seconds, but events may be late."""

USERS_PER_MAIL = 50
"""How many unreachable users one mail reports: its transaction marks them as reported, and takes
at most a hundred writes."""

_NEW_USERS_AT_ONCE = 50
"""There are two writes a user, and a transaction takes a hundred."""

_LONGEST_PAGE = 1_500_000
"""Bytes of a page of requests. An answer of Lambda has 6 MB, and JSON may need three times the
bytes."""

_LONGEST_KEY = 2048
"""Bytes (DynamoDB quotas). A failed call's record may hold any text as the user's name."""


@dataclass(frozen=True, slots=True)
class DynamoStore:
    """The table, as the use cases need it. Reads are strongly consistent, except by an index."""

    table: Table
    remember_events: timedelta
    """How long the ids of events are kept."""
    keep_evidence: timedelta
    """How long history is kept."""

    def user(self, key: UserKey) -> User | None:
        """Return the user's record."""
        item = self.table.get(items.user_pk(key))
        return items.USER.validate_python(item) if item else None

    def user_id_named(self, account_id: str, name: str) -> str | None:
        """Return the id of the user last known under a name."""
        return self._user_id_at(items.name_pk(account_id, name))

    def user_id_of_removed_device(self, account_id: str, serial: str) -> str | None:
        """Return the id of the user whose device was lately removed, or was to be removed."""
        return self._user_id_at(items.device_pk(account_id, serial))

    def user_id_of_fulfilment(self, account_id: str, serial: str, at: datetime) -> str | None:
        """Return the id of the user of the last fulfilment for a device, if it ran at a moment."""
        pk = items.device_pk(account_id, serial)
        item = self.table.get(pk, items.FULFILLED) if _is_key(pk) else None
        ran_then = item and item["since"] <= items.timestamp(at) <= item["until"]
        return str(item["user_id"]) if item and ran_then else None

    def request(self, request_id: str) -> ChangeRequest | None:
        """Return a change request."""
        item = self.table.get(items.request_pk(request_id))
        return items.REQUEST.validate_python(item) if item else None

    def request_history(self, request_id: str) -> list[HistoryEntry]:
        """Return the history of a request, the oldest entry first."""
        return self._history_at(items.request_pk(request_id))

    def user_history(self, key: UserKey) -> list[HistoryEntry]:
        """Return the history of a user, the oldest entry first."""
        return self._history_at(items.user_pk(key))

    def _history_at(self, pk: str) -> list[HistoryEntry]:
        found = self.table.query(
            "pk = :subject AND begins_with(sk, :history)",
            {":subject": pk, ":history": "HISTORY#"},
            ConsistentRead=True,
        )
        return [items.HISTORY.validate_python(item) for item in found]

    def requests(self, search: RequestSearch) -> RequestPage:
        """Return a page of the matching requests, the newest first.

        The index follows the table within moments.
        """
        by_state = [self._in_state(state, search) for state in search.states or RequestState]
        newest_first = merge(*by_state, key=itemgetter("request_order"), reverse=True)
        found = list(islice(newest_first, search.limit + 1))
        shown = _fitting_into_an_answer(found[: search.limit])
        return RequestPage(
            tuple(items.REQUEST.validate_python(item) for item in shown),
            str(shown[-1]["request_order"]) if len(found) > len(shown) else None,
        )

    def _in_state(self, state: RequestState, search: RequestSearch) -> Iterator[Item]:
        low = items.timestamp(search.opened_from) if search.opened_from else "0"
        high = items.timestamp(search.opened_before) if search.opened_before else "9"
        high = min(high, search.after or high)
        if low > high:
            return
        filter_, values = _filter(search)
        for item in self.table.query(
            "request_state = :state AND request_order BETWEEN :low AND :high",
            values | {":state": state.value, ":low": low, ":high": high},
            IndexName=items.REQUESTS_INDEX,
            ScanIndexForward=False,
            **filter_,
        ):
            if item["request_order"] != search.after:
                yield item

    def due_users(self, *, now: datetime) -> Iterator[UserKey]:
        """Return the due users, page by page, shard by shard."""
        return map(_user_in, self.table.due_in_all_shards(items.DUE_USERS, now))

    def due_requests(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of the due requests, page by page, shard by shard."""
        for pk in self.table.due_in_all_shards(items.DUE_REQUESTS, now):
            yield pk.removeprefix(items.request_pk(""))

    def unreachable(self, *, now: datetime) -> list[tuple[UserKey, UnreachableUser]]:
        """Return unreachable users who were not reported yet, as many as fit into one mail."""
        return [
            (_user_in(pk), items.UNREACHABLE_USER.validate_python(item))
            for pk in islice(self.table.due(items.DUE_UNREACHABLE, now), USERS_PER_MAIL)
            if (item := self.table.get(pk))
        ]

    def due_quarantines(self, *, now: datetime) -> Iterator[UserKey]:
        """Return the users who are to be quarantined or released."""
        return map(_user_in, self.table.due(items.DUE_QUARANTINE, now))

    def quarantine_done(self, key: UserKey, *, decided_at: datetime) -> None:
        """Remove a user from that list, unless there was a decision after the given moment."""
        self.table.try_update(
            key_of(items.quarantine_pk(key)),
            "REMOVE due_shard, due_at",
            "due_at <= :seen",
            {":seen": items.timestamp(decided_at)},
        )

    def inventory(self, account_id: str) -> Iterator[InventoryEntry]:
        """Return all users of an account who are not gone, from the index."""
        for shard in range(items.INVENTORY_SHARDS):
            values = {":shard": items.inventory_pk(account_id, shard)}
            for item in self.table.query(
                "inventory = :shard", values, IndexName=items.INVENTORY_INDEX
            ):
                key = {"account_id": account_id, "user_id": item["inventory_id"]}
                yield items.INVENTORY_ENTRY.validate_python({**item, "key": key})

    def add_users(self, users: Sequence[User]) -> tuple[User, ...]:
        """Write records of users who were not known; return those who are known by now."""
        known: list[User] = []
        waiting = list(users)
        while waiting:
            batch, waiting = waiting[:_NEW_USERS_AT_ONCE], waiting[_NEW_USERS_AT_ONCE:]
            try:
                refused = self._transact(
                    [write for user in batch for write in (self._user(user), self._name(user))]
                )
            except LostRaceError:  # an event about one of them is being decided now
                known += batch
                continue
            if refused:
                # Each user has two writes, and only the first has a condition.
                there = {position // 2 for position in refused}
                known += [batch[at] for at in there]
                waiting = [user for at, user in enumerate(batch) if at not in there] + waiting
        return tuple(known)

    def last_sweep(self, account_id: str) -> SweepResult | None:
        """Return the result of an account's last sweep."""
        item = self.table.get(items.account_pk(account_id), items.SWEEP_RESULT_SK)
        return items.SWEEP_RESULT.validate_python(item) if item else None

    def record_heartbeat(self, source: HeartbeatSource, at: datetime) -> None:
        """Record when an event happened that came by a path, unless there is a later one."""
        self.table.try_update(
            key_of(items.HEARTBEATS, items.heartbeat_sk(source)),
            "SET seen_at = :at",
            "attribute_not_exists(seen_at) OR seen_at < :at",
            {":at": items.timestamp(at)},
        )

    def expect_heartbeat(self, source: HeartbeatSource, now: datetime) -> None:
        """Record since when events are expected by a path, unless that is known."""
        self.table.try_update(
            key_of(items.HEARTBEATS, items.heartbeat_sk(source)),
            "SET expected_since = :now",
            "attribute_not_exists(expected_since)",
            {":now": items.timestamp(now)},
        )

    def heartbeats(self) -> Iterator[Heartbeat]:
        """Return the heartbeats of all sources that were ever seen or expected."""
        values = {":heartbeats": items.HEARTBEATS}
        return map(
            items.heartbeat, self.table.query("pk = :heartbeats", values, ConsistentRead=True)
        )

    def exempted(self) -> Iterator[User]:
        """Return all users with an exemption, by reading the whole table."""
        found = self.table.scan(
            "begins_with(pk, :user) AND sk = :state AND attribute_exists(exemption)",
            {":user": "USER#", ":state": STATE},
        )
        return map(items.USER.validate_python, found)

    def commit(self, decision: Decision, *, now: datetime) -> None:
        """Write state, history, intents and the event's id in one transaction."""
        intents = decision.intents
        while True:
            writes = [
                self._remember(decision, now),
                *(self._history(entry, now) for entry in decision.history),
                *self._state(decision, now),
                *(self._intent(intent, now) for intent in intents),
            ]
            refused = self._transact(writes)
            if not refused:
                return
            # An intent's id says for what it happens once. If it exists, it was decided before, so
            # the rest of the decision is written without it.
            first_intent = len(writes) - len(intents)
            kept = tuple(
                intent for at, intent in enumerate(intents, first_intent) if at not in refused
            )
            if any(position <= len(decision.history) for position in refused):
                raise AlreadyDecidedError(decision.event_id)
            if any(position < first_intent for position in refused) or kept == intents:
                raise LostRaceError(f"event {decision.event_id}: the state changed meanwhile")
            intents = kept

    def _transact(self, writes: list["TransactWriteItemTypeDef"]) -> set[int]:
        """Write all or nothing; return the positions of failed conditions."""
        client = self.table.client
        try:
            client.transact_write_items(TransactItems=writes)
        except client.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response["CancellationReasons"]]
            if "ConditionalCheckFailed" in codes:
                return {at for at, code in enumerate(codes) if code == "ConditionalCheckFailed"}
            if "TransactionConflict" in codes:
                raise LostRaceError("another transaction is writing the same item") from error
            raise
        except ClientError as error:
            if error.response["Error"]["Code"] == "TransactionConflictException":
                raise LostRaceError("another transaction is writing the same item") from error
            raise
        return set()

    def _remember(self, decision: Decision, now: datetime) -> "TransactWriteItemTypeDef":
        return self._put_new(
            {
                "pk": items.event_pk(decision.event_id),
                "sk": STATE,
                "decided_at": items.timestamp(now),
                "expires_at": items.epoch(now + self.remember_events),
            }
        )

    def _history(self, entry: HistoryEntry, now: datetime) -> "TransactWriteItemTypeDef":
        return self._put_new(history_item(entry, now=now, keep=self.keep_evidence))

    def _state(self, decision: Decision, now: datetime) -> Iterator["TransactWriteItemTypeDef"]:
        """Yield the writes of the state that the decision's type changes."""
        match decision:
            case UserDecision(user=user, request=request):
                yield self._user(user)
                if decision.renamed:
                    yield self._name(user)
                if request:
                    yield from self._request(request, now)
                if decision.quarantine:
                    yield self._quarantine(user.key, now)
            case RequestDecision(request=request):
                yield from self._request(request, now)
            case SweepDecision(result=result):
                yield self._sweep_result(result)
            case UnreachableUsersDecision(users=users):
                yield from (self._reported(key, now) for key in users)
            case HeartbeatDecision(silent=silent, recovered=recovered):
                yield from (self._alerted(beat, now, silent=True) for beat in silent)
                yield from (self._alerted(beat, now, silent=False) for beat in recovered)

    def _user(self, user: User) -> "TransactWriteItemTypeDef":
        item = dump(items.USER, user) | items.inventory(user)
        if user.due_at:
            item |= items.due(items.DUE_USERS, user.key.user_id, user.due_at)
        return self._put_next(items.user_pk(user.key), item, user.version)

    def _name(self, user: User) -> "TransactWriteItemTypeDef":
        name = items.name_pk(user.key.account_id, user.name)
        return self._put({"pk": name, "sk": STATE, "user_id": user.key.user_id})

    def _sweep_result(self, result: SweepResult) -> "TransactWriteItemTypeDef":
        pk = items.account_pk(result.account_id)
        return self._put(
            {"pk": pk, "sk": items.SWEEP_RESULT_SK, **dump(items.SWEEP_RESULT, result)}
        )

    def _request(
        self, request: ChangeRequest, now: datetime
    ) -> Iterator["TransactWriteItemTypeDef"]:
        item = dump(items.REQUEST, request) | items.listed(request)
        if request.due_at:
            item |= items.due(items.DUE_REQUESTS, request.id, request.due_at)
        yield self._put_next(items.request_pk(request.id), item, request.version)
        # The deletion of a virtual device names no user: these items name the user of a serial.
        tried = {attempt.serial for attempt in request.attempts[-1:] if attempt.serial}
        taken = set(request.devices) if request.fulfilment else set()
        # Devices that a fulfilment removes have an item more, which no attempt replaces: its record
        # may be late, and an attempt be taken for one of the user who has the name by then.
        for serial in sorted(tried | taken):
            named = {
                "pk": items.device_pk(request.subject.account_id, serial),
                "user_id": request.subject.user_id,
                "expires_at": items.epoch(now + DEVICE_REMEMBERED),
            }
            yield self._put({**named, "sk": STATE})
            if request.fulfilment and serial in taken:
                since, until = map(items.timestamp, request.fulfilment.runs_between)
                times = {"since": since, "until": until}
                yield self._put({**named, "sk": items.FULFILLED, **times})

    def _intent(self, intent: Intent, now: datetime) -> "TransactWriteItemTypeDef":
        return self._put_new(
            {
                "pk": items.intent_pk(intent.id),
                "sk": STATE,
                **dump(items.INTENT, intent),
                "status": IntentStatus.PENDING.value,
                "attempts": 0,
                **items.due(items.due_prefix(intent), intent.id, now + STREAM_HEAD_START),
            }
        )

    def _quarantine(self, key: UserKey, now: datetime) -> "TransactWriteItemTypeDef":
        return self._put(
            {
                "pk": items.quarantine_pk(key),
                "sk": STATE,
                "due_shard": items.DUE_QUARANTINE,
                "due_at": items.timestamp(now),
            }
        )

    def _reported(self, key: UserKey, now: datetime) -> "TransactWriteItemTypeDef":
        update = self.table.update(
            key_of(items.unreachable_pk(key)),
            "SET reported_at = :now REMOVE due_shard, due_at",
            "attribute_exists(due_shard)",
            {":now": items.timestamp(now)},
        )
        return {"Update": update}

    def _alerted(
        self, beat: Heartbeat, now: datetime, *, silent: bool
    ) -> "TransactWriteItemTypeDef":
        """Record an alert about a silence or its end, unless another run has alerted it."""
        before = {":before": items.timestamp(beat.alerted_at)} if beat.alerted_at else {}
        values = {":since": items.timestamp(beat.since or now), ":now": items.timestamp(now)}
        update = self.table.update(
            key_of(items.HEARTBEATS, items.heartbeat_sk(beat.source)),
            "SET silent_since = :since, alerted_at = :now"
            if silent
            else "REMOVE silent_since, alerted_at",
            "alerted_at = :before" if before else "attribute_not_exists(alerted_at)",
            before | (values if silent else {}),
        )
        return {"Update": update}

    def _put(self, item: Item) -> "TransactWriteItemTypeDef":
        return {"Put": self.table.put(item)}

    def _put_new(self, item: Item) -> "TransactWriteItemTypeDef":
        return {"Put": self.table.put_new(item)}

    def _put_next(self, pk: str, item: Item, version: int) -> "TransactWriteItemTypeDef":
        """Put the next version of an item, if it is still at the given one."""
        following = {"pk": pk, "sk": STATE, **item, "version": version + 1}
        if version == 0:
            return self._put_new(following)
        return {"Put": self.table.put(following, "version = :read", {":read": version})}

    def _user_id_at(self, pk: str) -> str | None:
        item = self.table.get(pk) if _is_key(pk) else None
        return str(item["user_id"]) if item else None


def _is_key(pk: str) -> bool:
    """Return whether a text that somebody else wrote can be a partition key."""
    return len(pk.encode()) <= _LONGEST_KEY


def _user_in(pk: str) -> UserKey:
    """Return the user whom a partition key names."""
    _, account_id, user_id = pk.split("#")
    return UserKey(account_id, user_id)


def _fitting_into_an_answer(found: list[Item]) -> list[Item]:
    """Return the first of the items, one at least, and as many as an answer has room for."""
    sizes = accumulate(len(str(item).encode()) for item in found)
    return found[: max(1, sum(size <= _LONGEST_PAGE for size in sizes))]


def _filter(search: RequestSearch) -> tuple[Item, Item]:
    """Return the filter of a search for a user and its values; both are empty without a user."""
    conditions: list[str] = []
    values: Item = {}
    if search.subject:
        conditions.append("subject.account_id = :account AND subject.user_id = :user")
        values |= {":account": search.subject.account_id, ":user": search.subject.user_id}
    if search.subject_name:
        conditions.append("request_subject = :name")
        values |= {":name": search.subject_name.casefold()}
    expression = " OR ".join(f"({condition})" for condition in conditions)
    return {"FilterExpression": expression} if conditions else {}, values


def history_item(entry: HistoryEntry, *, now: datetime, keep: timedelta, part: str = "") -> Item:
    """Return a history entry's item: written once, never changed."""
    return {
        "pk": items.history_pk(entry),
        "sk": items.history_sk(entry, part),
        **dump(items.HISTORY, entry),
        "recorded_at": items.timestamp(now),
        "expires_at": items.epoch(now + keep),
    }
