"""An emulated account, and the adapters on real clients of it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from mfa_watcher.adapters.items import DUE_SHARDS
from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table
from tests.support.account import Account, client, opened
from tests.support.aws_limits import LIMITS

KEEP = timedelta(days=400)
REMEMBER = timedelta(days=35)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with opened(monkeypatch, moto=True, shards=DUE_SHARDS) as account:
        yield account


@pytest.fixture
def store(account: Account) -> DynamoStore:
    return DynamoStore(
        Table(client("dynamodb"), account.table), remember_events=REMEMBER, keep_evidence=KEEP
    )


@pytest.fixture
def outbox(account: Account) -> DynamoOutbox:
    return DynamoOutbox(Table(client("dynamodb"), account.table), keep_evidence=KEEP)


@pytest.fixture(autouse=True)
def within_the_limits_of_aws() -> Iterator[None]:
    """No call of the product is one that AWS would refuse: see ``tests/support/aws_limits.py``."""
    LIMITS.take()
    yield
    assert LIMITS.take() == []
