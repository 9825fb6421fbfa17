"""How many functions of ours a value passes from the handler to the outside world."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from mfa_watcher.adapters.iam import BotoIamReader
from mfa_watcher.adapters.ses import SesMailer
from mfa_watcher.adapters.store import DynamoStore
from tests.functions.approved import DORA, approved
from tests.functions.product import Product
from tests.functions.test_sweep import reporting
from tests.support.account import Account
from tests.support.builders import iam_user, sign_in

ROOT = Path(__file__).parents[2]
OURS = (str(ROOT / "layers" / "shared" / "mfa_watcher"), str(ROOT / "functions"))


@pytest.fixture
def depths(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The deepest stack of our own frames at each outgoing call, by the call's name."""
    found: dict[str, int] = {}
    started: dict[int, int] = {}
    start = threading.Thread.start

    def remember(thread: threading.Thread) -> None:
        # A frame of the pool's thread stands on those of whoever started it.
        started[id(thread)] = own_frames(sys._getframe(1))  # noqa: SLF001 - the only way
        start(thread)

    def own_frames(frame: FrameType | None) -> int:
        depth = started.get(id(threading.current_thread()), 0)
        while frame:
            code = frame.f_code
            # From Python 3.12 on, a comprehension has no frame of its own.
            depth += code.co_filename.startswith(OURS) and code.co_name != "<listcomp>"
            frame = frame.f_back
        return depth

    def measured(name: str, method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            depth = own_frames(sys._getframe(1)) + 1  # noqa: SLF001 - with the method itself
            found[name] = max(found.get(name, 0), depth)
            return method(*args, **kwargs)

        return call

    monkeypatch.setattr(threading.Thread, "start", remember)
    for name, owner, method in (
        ("commit", DynamoStore, "commit"),
        ("mail", SesMailer, "send"),
        ("devices", BotoIamReader, "devices"),
    ):
        monkeypatch.setattr(owner, method, measured(name, getattr(owner, method)))
    return found


def test_an_event_passes_at_most_five_functions(
    product: Product, account: Account, depths: dict[str, int]
) -> None:
    product.observe(sign_in(iam_user("ana", account.new_user("ana")), at=account.clock()))
    assert 0 < depths["commit"] <= 5


def test_a_mail_passes_at_most_six_functions(
    product: Product, account: Account, depths: dict[str, int]
) -> None:
    product.observe(sign_in(iam_user("ana", account.new_user("ana")), at=account.clock()))
    assert product.deliver() == []
    assert 0 < depths["mail"] <= 6


def test_a_step_of_a_desk_passes_at_most_six_functions(
    product: Product, depths: dict[str, int]
) -> None:
    request = approved(product)
    depths.clear()
    path, reason = f"/requests/{request.id}/reject", {"reason": "not needed any more"}
    status, _ = product.call("approval_desk", "POST", path, DORA, reason)
    assert status == 200
    assert 0 < depths["commit"] <= 6


def test_a_sweep_passes_at_most_seven_functions(
    product: Product, account: Account, monkeypatch: pytest.MonkeyPatch, depths: dict[str, int]
) -> None:
    reporting(account, monkeypatch)
    account.new_user("ana")
    product.sweep()
    assert 0 < depths["devices"] <= 7
