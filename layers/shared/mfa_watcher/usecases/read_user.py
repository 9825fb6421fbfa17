"""Reading a user from IAM, with as few calls as the question needs."""

from collections.abc import Iterable

from mfa_watcher.domain.users.user import IamState, UserKey
from mfa_watcher.domain.users.user_state import Fact
from mfa_watcher.ports.iam import IamReader


def read_user(
    iam: IamReader, key: UserKey, names: Iterable[str], facts: frozenset[Fact]
) -> IamState | None:
    """Return the wanted facts of a user who may have any of several names.

    None if no facts are wanted. A rename and the event that reports it arrive in any order, so the
    first name that exists counts. Raises IamReadError.
    """
    if not facts:
        return None
    for name in dict.fromkeys(names):
        if Fact.IDENTITY in facts:
            found = iam.user(name)
            if found is None or found.user_id != key.user_id:
                continue
        devices = iam.devices(name) if Fact.DEVICES in facts else None
        if devices is None and Fact.DEVICES in facts:
            continue
        # A user with a device is protected, with or without a password: this saves one call.
        asks = Fact.CONSOLE_ACCESS in facts and not devices
        access = iam.has_console_access(name) if asks else None
        return IamState(exists=True, name=name, devices=devices, console_access=access)
    return IamState(exists=False)
