"""IAM knows no sort key, so that no entry of history is put over another is the adapters' doing."""

from dataclasses import replace
from typing import Any

import pytest

from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.decision import Decision
from mfa_watcher.ports.errors import AlreadyDecidedError, LostRaceError
from tests.adapters.conftest import KEEP, REMEMBER
from tests.support.account import Account, client
from tests.support.builders import NOW, a_decision, a_mail

Put = dict[str, Any]


def watched_client() -> tuple[Any, list[Put]]:
    """Return a client, and a list of what it puts under a sort key of history."""
    seen: list[Put] = []
    watched = client("dynamodb")

    def note(params: dict[str, Any], **_: object) -> None:
        writes = [write.get("Put", {}) for write in params.get("TransactItems", [])]
        seen.extend(
            put
            for put in (*writes, params)
            if put.get("Item", {}).get("sk", {}).get("S", "").startswith("HISTORY#")
        )

    watched.meta.events.register("provide-client-params.dynamodb", note)
    return watched, seen


def test_each_entry_is_written_only_if_there_is_none(account: Account) -> None:
    watched, seen = watched_client()
    table = account.table
    store = DynamoStore(Table(watched, table), remember_events=REMEMBER, keep_evidence=KEEP)
    outbox = DynamoOutbox(Table(watched, table), keep_evidence=KEEP)
    mails = [a_mail(f"e{number}") for number in range(3)]
    store.commit(a_decision("e1", *mails), now=NOW)
    claims = [outbox.claim(mail.id, now=NOW) for mail in mails]
    assert claims[0]
    assert claims[1]
    assert claims[2]
    outbox.mark_sent(claims[0], receipt="r", to="alice@example.com", now=NOW)
    outbox.mark_skipped(claims[1], reason="enrolled", now=NOW)
    outbox.mark_failed(claims[2], reason="no address", now=NOW)
    assert [put["ConditionExpression"] for put in seen] == ["attribute_not_exists(pk)"] * 4


def test_a_decision_that_would_overwrite_a_history_entry_is_not_committed(
    store: DynamoStore, account: Account
) -> None:
    store.commit(a_decision("e1"), now=NOW)
    kept = account.items("USER#", "HISTORY#")
    (entry,) = a_decision("e1").history
    forged = Decision("another", (replace(entry, what="Nothing happened"),))
    with pytest.raises((AlreadyDecidedError, LostRaceError)):
        store.commit(forged, now=NOW)
    assert account.items("USER#", "HISTORY#") == kept
