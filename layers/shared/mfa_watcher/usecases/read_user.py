"""Asking IAM how a user stands, with as few calls as the question needs."""

from collections.abc import Iterable

from mfa_watcher.domain.users.user import IamState, UserKey
from mfa_watcher.domain.users.user_state import Fact
from mfa_watcher.ports.iam import IamReader


def read_user(
    iam: IamReader, key: UserKey, names: Iterable[str], facts: frozenset[Fact]
) -> IamState | None:
    """Read the given facts of a user who may go by several names; None if none are wanted.

    A rename and the event that tells of it arrive in any order, so the first name that exists
    counts. Raises IamReadError.
    """
    if not facts:
        return None
    for name in dict.fromkeys(names):
        iam_state = _read_named_user(iam, key, name, facts)
        if iam_state.exists:
            return iam_state
    return IamState(exists=False)


def _read_named_user(iam: IamReader, key: UserKey, name: str, facts: frozenset[Fact]) -> IamState:
    if Fact.IDENTITY in facts:
        found = iam.user(name)
        if found is None or found.user_id != key.user_id:
            return IamState(exists=False)
    devices = None
    if Fact.DEVICES in facts:
        devices = iam.devices(name)
        if devices is None:
            return IamState(exists=False)
    # Whoever has a device is protected, with a password or without one: one call less.
    asks = Fact.CONSOLE_ACCESS in facts and not devices
    access = iam.has_console_access(name) if asks else None
    return IamState(exists=True, name=name, devices=devices, console_access=access)
