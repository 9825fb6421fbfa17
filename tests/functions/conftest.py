"""The functions in an emulated account."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.functions.product import Output, Product
from tests.support.account import Account, opened
from tests.support.aws_limits import LIMITS
from tests.template.cloudformation import STACK

# Powertools reads these when the functions' modules are imported, once per process.
os.environ["POWERTOOLS_SERVICE_NAME"] = STACK
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "MfaWatcher"
os.environ["POWERTOOLS_LOG_LEVEL"] = "INFO"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore waits between its tries."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Account]:
    with opened(monkeypatch, moto=bool(request.node.get_closest_marker("moto"))) as account:
        yield account


@pytest.fixture
def product(account: Account, monkeypatch: pytest.MonkeyPatch) -> Product:
    return Product(account, monkeypatch)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Callable[[], Output]:
    """Reads what the functions wrote since it was last asked."""
    return lambda: Output.read(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def within_the_limits_of_aws() -> Iterator[None]:
    """No call of the product is one that AWS would refuse: see ``tests/support/aws_limits.py``."""
    LIMITS.take()
    yield
    assert LIMITS.take() == []
