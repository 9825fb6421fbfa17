"""Asking IAM how a user stands, with as few calls as the question needs."""

from collections.abc import Iterable

from mfa_watcher.domain.casework import Fact
from mfa_watcher.domain.users import LiveUser, UserKey
from mfa_watcher.ports import IamReader


def look(
    iam: IamReader, key: UserKey, names: Iterable[str], facts: frozenset[Fact]
) -> LiveUser | None:
    """Read the given facts of a user who may go by several names; None if none are wanted.

    A rename and the event that tells of it arrive in any order, so the first name that exists
    counts. Raises IamReadError.
    """
    if not facts:
        return None
    for name in dict.fromkeys(names):
        live = _look_at(iam, key, name, facts)
        if live.exists:
            return live
    return LiveUser(exists=False)


def _look_at(iam: IamReader, key: UserKey, name: str, facts: frozenset[Fact]) -> LiveUser:
    if Fact.IDENTITY in facts:
        found = iam.user(name)
        if found is None or found.user_id != key.user_id:
            return LiveUser(exists=False)
    devices = None
    if Fact.DEVICES in facts:
        devices = iam.devices(name)
        if devices is None:
            return LiveUser(exists=False)
    # Whoever has a device is protected, with a password or without one: one call less.
    asks = Fact.CONSOLE_ACCESS in facts and not devices
    access = iam.has_console_access(name) if asks else None
    return LiveUser(exists=True, name=name, devices=devices, console_access=access)
