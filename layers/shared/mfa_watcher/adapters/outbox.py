"""The outbox in DynamoDB: claims, and the outcome of each intent."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mfa_watcher.adapters import items
from mfa_watcher.adapters.items import Item, dump, key_of
from mfa_watcher.adapters.store import history_item
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import Alert, Intent, IntentStatus
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.notifications.mails import MailAboutUser, UnreachableUser, UserMail
from mfa_watcher.ports.errors import LostRaceError
from mfa_watcher.ports.outbox import Claim, SentIntent

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

CLAIM_DURATION = timedelta(minutes=2)
"""How long nobody else may claim the intent: longer than a function may run."""


@dataclass(frozen=True, slots=True)
class DynamoOutbox:
    """Intents, in the same table as the state that they were decided with."""

    table: Table
    keep_evidence: timedelta
    """How long finished intents and history are kept."""

    def claim(self, intent_id: str, *, now: datetime) -> Claim | None:
        """Claim an intent that is pending, or whose last claim ran out without an outcome.

        An intent that was put back waits until it is due, even if the stream delivers it again (as
        it does with all records after one that failed). A new one need not wait.
        """
        claimed = self._update(
            intent_id,
            "SET #status = :claimed, claimed_until = :until, due_at = :until ADD attempts :one",
            "(#status = :pending AND (attempts = :none OR due_at <= :now))"
            " OR (#status = :claimed AND claimed_until <= :now)",
            {
                ":pending": IntentStatus.PENDING.value,
                ":claimed": IntentStatus.CLAIMED.value,
                ":until": items.timestamp(now + CLAIM_DURATION),
                ":now": items.timestamp(now),
                ":none": 0,
                ":one": 1,
            },
        )
        return None if claimed is None else _claim(claimed)

    def mark_sent(self, claim: Claim, *, receipt: str, to: str, now: datetime) -> None:
        """Record that it was sent, in the intent and in its user's history."""
        self._finish(claim, IntentStatus.SENT, now, f"sent to {to}", receipt=receipt, sent_to=to)

    def mark_skipped(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Record that it is not sent, because it is not relevant any more."""
        self._finish(claim, IntentStatus.SKIPPED, now, f"not sent: {reason}", reason=reason)

    def mark_failed(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Record that it cannot be sent, and why; it can be reopened."""
        self._finish(claim, IntentStatus.FAILED, now, f"failed: {reason}", reason=reason)

    def put_back(
        self, claim: Claim, *, reason: str, due_at: datetime, waited: bool = False
    ) -> None:
        """Make it due later."""
        put_back = self._update(
            claim.intent.id,
            "SET #status = :pending, reason = :reason, due_at = :due"
            " ADD waits :waits, put_backs :one",
            _STILL_CLAIMED,
            {
                ":pending": IntentStatus.PENDING.value,
                ":reason": reason,
                ":due": items.timestamp(due_at),
                ":waits": int(waited),
                ":one": 1,
                **_claim_values(claim),
            },
        )
        if put_back is None:
            raise LostRaceError(_TAKEN)

    def record_unreachable(self, mail: MailAboutUser, *, why: str, now: datetime) -> None:
        """Put a user without a usable address on the list to report, unless they are on it."""
        item = {
            "pk": items.unreachable_pk(mail.user),
            "sk": items.STATE,
            **dump(items.UNREACHABLE_USER, UnreachableUser(mail.user_name, now, why)),
            "due_shard": items.DUE_UNREACHABLE,
            "due_at": items.timestamp(now),
        }
        client = self.table.client
        with suppress(client.exceptions.ConditionalCheckFailedException):
            client.put_item(**self.table.put_new(item))

    def reopen(self, intent_id: str, *, now: datetime) -> bool:
        """Make a failed intent due again, without its attempts; return whether it was failed."""
        found = self.look_up(intent_id)
        if found is None:
            return False
        shard = items.due(items.due_prefix(found.intent), intent_id, now)["due_shard"]
        reopened = self._update(
            intent_id,
            "SET #status = :pending, attempts = :none, due_shard = :shard, due_at = :now"
            " REMOVE expires_at, finished_at, waits, put_backs",
            "#status = :failed",
            {
                ":pending": IntentStatus.PENDING.value,
                ":failed": IntentStatus.FAILED.value,
                ":none": 0,
                ":shard": shard,
                ":now": items.timestamp(now),
            },
        )
        return reopened is not None

    def look_up(self, intent_id: str) -> SentIntent | None:
        """Return an intent, whatever its status."""
        item = self.table.get(items.intent_pk(intent_id))
        if item is None:
            return None
        unmarked = _claim(item) if item["status"] in _UNDELIVERED and item["attempts"] else None
        return SentIntent(items.INTENT.validate_python(item), item.get("sent_to"), unmarked)

    def record_outcome(self, intent_id: str, outcome: MailOutcome, *, at: datetime) -> bool:
        """Record the outcome of a sent mail; return False if as much or more is known."""
        recorded = self._update(
            intent_id,
            "SET outcome = :outcome, outcome_rank = :rank, outcome_at = :at",
            "attribute_exists(pk) AND (attribute_not_exists(outcome_rank) OR outcome_rank < :rank)",
            {":outcome": outcome.value, ":rank": outcome.rank, ":at": items.timestamp(at)},
        )
        return recorded is not None

    def due(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of due mails, page by page, shard by shard."""
        return self._due(items.DUE_INTENTS, now)

    def due_alerts(self, *, now: datetime) -> Iterator[str]:
        """Return the ids of due alerts, page by page, shard by shard."""
        return self._due(items.DUE_ALERTS, now)

    def _due(self, prefix: str, now: datetime) -> Iterator[str]:
        for pk in self.table.due_in_all_shards(prefix, now):
            yield pk.removeprefix(items.intent_pk(""))

    def _update(self, intent_id: str, change: str, condition: str, values: Item) -> Item | None:
        """Update an intent; return it as it is then, None if the condition does not hold."""
        key = key_of(items.intent_pk(intent_id))
        return self.table.try_update(key, change, condition, values, "ALL_NEW")

    def _finish(
        self, claim: Claim, status: IntentStatus, now: datetime, outcome: str, **details: str
    ) -> None:
        """Set an intent's final status and add it to the history, in one transaction."""
        values: dict[str, Any] = {
            ":status": status.value,
            ":now": items.timestamp(now),
            ":expires": items.epoch(now + self.keep_evidence),
            **{f":{name}": value for name, value in details.items()},
            **_claim_values(claim),
        }
        sets = ", ".join(f"#{name} = :{name}" for name in details)
        history = history_item(
            _entry(claim.intent, f"{_label(claim.intent)} {outcome}", now),
            now=now,
            keep=self.keep_evidence,
            part=f"#{claim.intent.id}#{claim.attempts}",
        )
        # A mail that was sent is marked so, even if the response was lost and it is pending again.
        condition = _STILL_LAST_ATTEMPT if status is IntentStatus.SENT else _STILL_CLAIMED
        if status is IntentStatus.SENT:
            values[":pending"] = IntentStatus.PENDING.value
        update = self.table.update(
            key_of(items.intent_pk(claim.intent.id)),
            "SET #status = :status, finished_at = :now,"
            f" expires_at = :expires, {sets} REMOVE due_shard, due_at, claimed_until",
            condition,
            values,
        )
        self._transact([{"Update": update}, {"Put": self.table.put_new(history)}])

    def _transact(self, writes: "list[TransactWriteItemTypeDef]") -> None:
        client = self.table.client
        try:
            client.transact_write_items(TransactItems=writes)
        except client.exceptions.TransactionCanceledException as error:
            reasons = error.response["CancellationReasons"]
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                raise LostRaceError(_TAKEN) from error
            raise


_TAKEN = "another run has claimed or finished the intent"
_STILL_CLAIMED = "#status = :claimed AND attempts = :attempts"
_STILL_LAST_ATTEMPT = "(#status = :claimed OR #status = :pending) AND attempts = :attempts"
_UNDELIVERED = frozenset({IntentStatus.PENDING.value, IntentStatus.CLAIMED.value})


def _claim(item: Item) -> Claim:
    attempts, put_backs = int(item["attempts"]), int(item.get("put_backs", 0))
    intent = items.INTENT.validate_python(item)
    lapses = max(0, attempts - 1 - put_backs)
    return Claim(intent, attempts, int(item.get("waits", 0)), lapses)


def _claim_values(claim: Claim) -> Item:
    """Return the values for a condition: a claim ends with an outcome or with another attempt."""
    return {":claimed": IntentStatus.CLAIMED.value, ":attempts": claim.attempts}


def _label(intent: Intent) -> str:
    return f"{'alert' if isinstance(intent.act, Alert) else 'mail'} {intent.act.kind}"


def _entry(intent: Intent, outcome: str, now: datetime) -> HistoryEntry:
    match intent.act:
        case UserMail(user=user):
            about, subject = About.USER, f"{user.account_id}/{user.user_id}"
        case act:
            about, subject = About.ACCOUNT, act.account_id or "unknown"
    return HistoryEntry(about, subject, now, intent.event_id, outcome)
