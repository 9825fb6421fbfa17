"""The sweep's judgement: who seems to stand otherwise than the watcher knows. Pure.

Three lists of IAM are set against the roster. Where a list that is live says enough, that decides;
where only the credential report speaks, it merely makes a suspect, whom IAM is asked about. The
report alone opens no finding and mails nobody.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.sweep.account_lists import AccountLists, UserInLists
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.user import IamState, MfaStatus, User, UserKey
from mfa_watcher.domain.users.user_state import (
    Situation,
    finish,
    mark_gone,
    update_from_iam,
)

EVENT_DELAY = timedelta(minutes=15)
"""How long an event may be on its way to us: a younger change has not been missed yet."""

MAX_EXTRA_READS = 40
"""How many users of whom not all devices are known are read in one sweep, at most, and one in a
hundred users otherwise: what the account's lists do not show becomes known bit by bit."""

NOT_KNOWN = "The sweep found a user who was not known"
NOT_IN_INVENTORY = "The sweep found a user whom the roster did not show"
DEVICE_GONE = "The sweep found a virtual device gone"
DEVICES_CHANGED = "The sweep found a change of virtual devices"
REPORT_WITHOUT_MFA = "The credential report shows no MFA"
REPORT_WITH_MFA = "The credential report shows MFA"
REPORT_WITHOUT_PASSWORD = "The credential report shows no password"  # noqa: S105 - a reason
REPORT_WITH_PASSWORD = "The credential report shows a password"  # noqa: S105 - a reason
SIGNED_IN_SINCE = "A password was used after the credential report was made"
MFA_STATUS_UNKNOWN = "The sweep found a user who was never looked at"
NOT_REPORTED = "The credential report does not show a user who was there"
RENAMED = "The sweep found another name"
DEVICES_MISSING = "The account has fewer devices in use than the watcher knows of"
DEVICES_UNREAD = "The sweep read which devices a user has"
USER_GONE = "The sweep found a user gone"


@dataclass(frozen=True, slots=True)
class SweepTask:
    """One account to sweep. ``run`` names the sweep; a message of the queue carries this."""

    account_id: str
    run: str
    asked_at: datetime
    waits: int = 0
    """How often it was put off because there was no report yet."""
    tries: int = 0
    """How often it was put off because something went wrong, or time was over."""
    calls: int = 0
    """How many calls were made to IAM before this turn."""
    at_once: bool = False
    """Whether it takes a report that will soon be renewed as it is: for a person who waits."""
    read_devices: bool = False
    """Whether all users are read of whom not all devices are known, whatever that costs."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user to decide about. ``live`` is what the live lists say, if that is enough.

    It only holds for the record it was compared with, of that ``version``; else IAM is asked.
    """

    key: UserKey
    name: str
    why: str
    iam_state: IamState | None = None
    version: int = 0
    gone: bool = False
    """Whether the list of users does not have him any more."""
    password: bool = False
    """Whether a report made for this sweep shows a password: then only his devices are asked for.
    """


@dataclass(frozen=True, slots=True)
class Comparison:
    """What follows from the lists."""

    notes: tuple[User, ...]
    """Users nobody knew and who need no finding: their records can be written as they are."""
    candidates: tuple[Candidate, ...]


def compare(
    account_lists: AccountLists, inventory: Mapping[str, InventoryEntry], account_id: str
) -> Comparison:
    """Set the lists against the roster, which is given by user id and was read before them."""
    notes, candidates = [], []
    known_as = {entry.name.casefold(): user_id for user_id, entry in inventory.items()}
    for listed in account_lists.users:
        key, seen = UserKey(account_id, listed.user_id), account_lists.state_of(listed)
        if known_as.get(listed.name.casefold(), listed.user_id) != listed.user_id:
            # The name was another's, who may have been created within the same second.
            seen = seen if seen.fresh else replace(seen, password=None, mfa=None)
        verdict = compare_user(key, seen, inventory.get(listed.user_id))
        if isinstance(verdict, User):
            notes.append(verdict)
        elif verdict:
            candidates.append(verdict)
    there = {listed.user_id for listed in account_lists.users}
    candidates += [
        Candidate(entry.key, entry.name, USER_GONE, version=entry.version, gone=True)
        for user_id, entry in inventory.items()
        if user_id not in there
    ]
    return Comparison(tuple(notes), tuple(candidates))


def unexplained(account_lists: AccountLists, entries: Mapping[str, InventoryEntry]) -> int:
    """Count the devices in use that are in nobody's record: root's, and those not read yet."""
    listed = sum(
        len(devices) for owner, devices in account_lists.virtual.items() if owner in entries
    )
    return (
        account_lists.devices_in_use
        - listed
        - sum(entry.unlisted_devices for entry in entries.values())
    )


def candidates_for_missing_devices(
    account_lists: AccountLists, entries: Mapping[str, InventoryEntry], before: int | None
) -> tuple[Candidate, ...]:
    """Give all who may have lost a device that no list shows, if the account has fewer than before.

    ``entries`` are the users as the suspects' cases have left them, ``before`` is what was
    unexplained after an earlier sweep. A report made for this sweep would have shown the loss.
    """
    if account_lists.fresh or before is None or unexplained(account_lists, entries) >= before:
        return ()
    return tuple(
        _candidate_to_read(entry, DEVICES_MISSING)
        for entry in entries.values()
        if entry.unlisted_devices
    )


def candidates_with_unread_devices(
    entries: Mapping[str, InventoryEntry], *, all_of_them: bool
) -> tuple[Candidate, ...]:
    """Give users of whom not all devices are known: a few at a time."""
    unread = (
        _candidate_to_read(entry, DEVICES_UNREAD)
        for entry in entries.values()
        if entry.devices_unread
    )
    most = None if all_of_them else min(MAX_EXTRA_READS, len(entries) // 100)
    return tuple(islice(unread, most))


def compare_user(  # noqa: PLR0911 - a table
    key: UserKey, seen: UserInLists, entry: InventoryEntry | None
) -> User | Candidate | None:
    """Judge one user; None if nothing seems to have changed."""
    if entry is None:
        return _compare_unknown_user(key, seen)
    name, virtual = seen.user.name, seen.virtual
    if frozenset(virtual) != entry.virtual:
        if not virtual:
            return _candidate_to_read(entry, DEVICE_GONE, name, password=_has_fresh_password(seen))
        if entry.has_unnamed_device:  # the device that he had must go on being counted, or not
            return _candidate_to_read(entry, DEVICES_CHANGED, name)
        # An event was missed, so there may be more to be read than the list shows.
        return _candidate_from_lists(
            entry, DEVICES_CHANGED, _state_with_devices(seen, entry, unread=True)
        )
    reason = _contradiction(seen, entry)
    if reason in _DEVICES_FROM_LISTS and virtual:
        return _candidate_from_lists(
            entry, reason, _state_with_devices(seen, entry, unread=entry.devices_unread)
        )
    if reason == MFA_STATUS_UNKNOWN and seen.password is False and seen.mfa is False:
        return _candidate_from_lists(
            entry, reason, IamState(exists=True, name=name, console_access=False)
        )
    if reason is None and seen.unreported and not virtual:
        reason = NOT_REPORTED
    if reason:
        return _candidate_to_read(entry, reason, name, password=_has_fresh_password(seen))
    if entry.name != name:
        return _candidate_from_lists(entry, RENAMED, IamState(exists=True, name=name))
    return None


_DEVICES_FROM_LISTS = frozenset(
    {MFA_STATUS_UNKNOWN, REPORT_WITH_PASSWORD, SIGNED_IN_SINCE, DEVICES_CHANGED}
)


def _compare_unknown_user(key: UserKey, seen: UserInLists) -> User | Candidate:
    user = User(key, seen.user.name)
    if seen.virtual or (seen.mfa and seen.fresh):
        # In an older report a device that is in no list may be one that was lost since.
        return replace(
            user, mfa_status=MfaStatus.PROTECTED, devices=seen.virtual, devices_unread=True
        )
    if seen.password is False and seen.mfa is False and not seen.signed_in_since:
        return replace(user, mfa_status=MfaStatus.NO_CONSOLE_ACCESS)
    return Candidate(key, seen.user.name, NOT_KNOWN, password=_has_fresh_password(seen))


def _contradiction(seen: UserInLists, entry: InventoryEntry) -> str | None:  # noqa: PLR0911 - a table
    """Say what speaks against a user's standing, his virtual devices being as known."""
    match entry.mfa_status:
        case MfaStatus.PROTECTED:
            return REPORT_WITHOUT_MFA if seen.mfa is False and not seen.virtual else None
        case MfaStatus.NO_CONSOLE_ACCESS if seen.signed_in_since:
            return SIGNED_IN_SINCE
        case MfaStatus.NO_CONSOLE_ACCESS:
            return REPORT_WITH_PASSWORD if seen.password else None
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT if seen.virtual:
            return DEVICES_CHANGED
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT if seen.mfa:
            return REPORT_WITH_MFA
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT:
            return REPORT_WITHOUT_PASSWORD if seen.password is False else None
        case _:
            return MFA_STATUS_UNKNOWN


def _state_with_devices(seen: UserInLists, entry: InventoryEntry, *, unread: bool) -> IamState:
    devices = (*seen.virtual, *entry.others)
    return IamState(exists=True, name=seen.user.name, devices=devices, devices_unread=unread)


def _candidate_from_lists(entry: InventoryEntry, why: str, iam_state: IamState) -> Candidate:
    return Candidate(entry.key, iam_state.name or entry.name, why, iam_state, entry.version)


def _candidate_to_read(
    entry: InventoryEntry, why: str, name: str | None = None, *, password: bool = False
) -> Candidate:
    known_as = name or entry.name
    return Candidate(entry.key, known_as, why, version=entry.version, password=password)


def _has_fresh_password(seen: UserInLists) -> bool:
    return seen.fresh and seen.password is True


def decide_candidate(situation: Situation, why: str, *, known: bool = True) -> UserDecision | None:
    """Decide about a suspect from what IAM says of him; None if that is what was known.

    ``known``: the roster shows him. If not, his record is written as it is, which puts him there.
    """
    iam_state, user = situation.iam_state, situation.user
    if iam_state is not None and not iam_state.exists:
        if user.gone_at or user.version == 0:
            return None
        return finish(situation, mark_gone(situation), why, None)
    draft = update_from_iam(situation)
    if draft.user == user and user.version and known and not draft.effects:
        return None
    return finish(situation, draft, why, None)


# Lost events -------------------------------------------------------------------------------------


def lost_events(before: User, after: User, young: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Name the calls whose events must have been missed for a record to have to change so.

    ``young`` are ids of users and serial numbers of devices so new that their events may yet come.
    """
    if after.gone_at:
        return ("DeleteUser",)
    lost = []
    if before.version == 0:
        if after.key.user_id in young:
            return ()
        lost.append("CreateUser")
    elif before.name != after.name:
        lost.append("UpdateUser")
    if before.version and _has_access(before) is False and _has_access(after):
        lost.append("CreateLoginProfile")
    if _has_access(before) and _has_access(after) is False:
        lost.append("DeleteLoginProfile")
    gained, gone = _devices_changed(before, after)
    lost += ["EnableMFADevice" for device in gained if device.serial not in young]
    lost += ["DeactivateMFADevice"] * gone
    return tuple(lost)


def _has_access(user: User) -> bool | None:
    """Tell whether a user could sign in; a device says nothing of it."""
    known = {
        MfaStatus.UNPROTECTED: True,
        MfaStatus.EXEMPT: True,
        MfaStatus.NO_CONSOLE_ACCESS: False,
    }
    return known.get(user.mfa_status) if user.mfa_status else None


def _devices_changed(before: User, after: User) -> tuple[set[Device], int]:
    """Give the devices gained, and how many went, where the record could tell."""
    had, has = set(before.devices), set(after.devices)
    if before.version == 0 or before.mfa_status is None:  # nobody ever looked which he has
        return set(), 0
    gained = has - had
    if before.devices_unread:
        gained = {one for one in gained if one.kind is DeviceKind.VIRTUAL}
    gone = len(had - has)
    has_unnamed_device = before.mfa_status is MfaStatus.PROTECTED and not had
    return gained, gone + (
        has_unnamed_device and after.mfa_status is not MfaStatus.PROTECTED and not has
    )


def recently_changed(now: datetime, account_lists: AccountLists) -> frozenset[str]:
    """Give what is so new that its event may yet come."""
    since = now - EVENT_DELAY
    users = {user.user_id for user in account_lists.users if user.created_at > since}
    devices = {
        one.device.serial
        for one in account_lists.assigned
        if one.enabled_at is not None and one.enabled_at > since
    }
    return frozenset(users | devices)


def count_by_call(lost: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Count lost events by call, from those of each user."""
    return dict(sorted(Counter(call for calls in lost.values() for call in calls).items()))
