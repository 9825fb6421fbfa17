"""The sweep's comparison: which users' state in IAM seems to differ from their record.

IAM's lists are compared with the user inventory. A list that shows IAM's current state is enough
to decide about a user. The credential report may be old, so it only makes the user a candidate,
who is then read from IAM: the report alone opens no finding and sends no mail.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.sweep.account_lists import AccountLists, ListedState
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.user import IamState, MfaStatus, User, UserKey
from mfa_watcher.domain.users.user_state import Situation, finish, mark_gone, update_from_iam

EVENT_DELAY = timedelta(minutes=15)
"""How long an event may take to reach us: a younger change has not been missed yet."""

MAX_EXTRA_READS = 40
"""How many users with unknown devices one sweep reads at most, and never more than one in a
hundred users: devices that no list of the account shows become known over several sweeps."""

NOT_KNOWN = "The sweep found a user who was not known"
NOT_IN_INVENTORY = "The sweep found a user who was missing from the inventory"
DEVICE_GONE = "The sweep found that a virtual device is gone"
DEVICES_CHANGED = "The sweep found a change of virtual devices"
REPORT_WITHOUT_MFA = "The credential report shows no MFA"
REPORT_WITH_MFA = "The credential report shows MFA"
REPORT_WITHOUT_PASSWORD = "The credential report shows no password"  # noqa: S105 - a reason
REPORT_WITH_PASSWORD = "The credential report shows a password"  # noqa: S105 - a reason
SIGNED_IN_SINCE = "A password was used after the credential report was generated"
MFA_STATUS_UNKNOWN = "The sweep found a user who was never evaluated"
NOT_REPORTED = "The credential report does not show a user who should be in it"
RENAMED = "The sweep found that a user was renamed"
DEVICES_MISSING = "The account has fewer devices in use than the watcher knows of"
DEVICES_UNREAD = "The sweep read which devices a user has"
USER_GONE = "The sweep found that a user is gone"


@dataclass(frozen=True, slots=True)
class SweepTask:
    """One account to sweep, as the body of a queue message. ``run`` identifies the sweep."""

    account_id: str
    run: str
    asked_at: datetime
    waits: int = 0
    """How often the sweep was postponed because there was no report yet."""
    tries: int = 0
    """How often the sweep was postponed because of an error or because time ran out."""
    calls: int = 0
    """How many calls earlier attempts made to IAM."""
    at_once: bool = False
    """Whether to use a report that IAM will soon replace, because a person is waiting."""
    read_devices: bool = False
    """Whether to read every user with unknown devices, at any cost in calls."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user whose state seems to differ from their record, and who must be evaluated.

    ``iam_state`` is set if the lists show enough of the user's current state. It is only valid for
    the record with that ``version``; if the record has changed, the user is read from IAM.
    """

    key: UserKey
    name: str
    why: str
    iam_state: IamState | None = None
    version: int = 0
    gone: bool = False
    """Whether the list of users no longer contains the user."""
    has_password: bool = False
    """Whether a fresh report shows a password: then only the user's devices must be read."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing the lists with the inventory."""

    new_users: tuple[User, ...]
    """Unknown users who need no finding: their records can be written as they are."""
    candidates: tuple[Candidate, ...]


def compare(
    account_lists: AccountLists, inventory: Mapping[str, InventoryEntry], account_id: str
) -> Comparison:
    """Return what differs between the lists and the inventory.

    The inventory is given by user id, and must have been read before the lists.
    """
    new_users, candidates = [], []
    known_as = {entry.name.casefold(): user_id for user_id, entry in inventory.items()}
    for listed in account_lists.users:
        key, state = UserKey(account_id, listed.user_id), account_lists.listed_state(listed)
        renamed_or_replaced = known_as.get(listed.name.casefold(), listed.user_id) != listed.user_id
        if renamed_or_replaced and not state.report_is_fresh:
            # Another user had this name, perhaps one who was created in the same second: the old
            # report's row may be about them.
            state = replace(state, has_password=None, has_mfa=None)
        difference = compare_user(key, state, inventory.get(listed.user_id))
        if isinstance(difference, User):
            new_users.append(difference)
        elif difference:
            candidates.append(difference)
    listed_ids = {listed.user_id for listed in account_lists.users}
    candidates += [
        Candidate(entry.key, entry.name, USER_GONE, version=entry.version, gone=True)
        for user_id, entry in inventory.items()
        if user_id not in listed_ids
    ]
    return Comparison(tuple(new_users), tuple(candidates))


def unaccounted_devices(account_lists: AccountLists, entries: Mapping[str, InventoryEntry]) -> int:
    """Return how many devices in use are in no user's record: root's, and those not yet read."""
    listed = sum(
        len(devices) for owner, devices in account_lists.virtual_devices.items() if owner in entries
    )
    return (
        account_lists.devices_in_use
        - listed
        - sum(entry.unlisted_devices for entry in entries.values())
    )


def candidates_if_devices_missing(
    account_lists: AccountLists, entries: Mapping[str, InventoryEntry], before: int | None
) -> tuple[Candidate, ...]:
    """Return all users who may have lost an unlisted device, if the account has fewer than before.

    ``entries`` is the inventory after the other candidates were evaluated. ``before`` is the number
    of unaccounted devices after an earlier sweep. A fresh report would have shown the loss.
    """
    if account_lists.report_is_fresh or before is None:
        return ()
    if unaccounted_devices(account_lists, entries) >= before:
        return ()
    return tuple(
        _candidate_to_read(entry, DEVICES_MISSING)
        for entry in entries.values()
        if entry.unlisted_devices
    )


def candidates_with_unread_devices(
    entries: Mapping[str, InventoryEntry], *, all_of_them: bool
) -> tuple[Candidate, ...]:
    """Return users whose devices are not all known: a few in each sweep, or all of them."""
    unread = (
        _candidate_to_read(entry, DEVICES_UNREAD)
        for entry in entries.values()
        if entry.devices_unread
    )
    most = None if all_of_them else min(MAX_EXTRA_READS, len(entries) // 100)
    return tuple(islice(unread, most))


def compare_user(  # noqa: PLR0911 - a table
    key: UserKey, state: ListedState, entry: InventoryEntry | None
) -> User | Candidate | None:
    """Return a new user's record, or a candidate; None if the user's state is as known."""
    if entry is None:
        return _compare_unknown_user(key, state)
    name, virtual = state.user.name, state.virtual_devices
    fresh_password = _has_fresh_password(state)
    if frozenset(virtual) != entry.virtual_devices:
        if not virtual:
            return _candidate_to_read(entry, DEVICE_GONE, name, has_password=fresh_password)
        if entry.has_unnamed_device:  # only IAM can say whether it is one of the listed devices
            return _candidate_to_read(entry, DEVICES_CHANGED, name)
        # An event was missed, so the user may have more devices than the list shows.
        return _candidate_from_lists(
            entry, DEVICES_CHANGED, _state_with_devices(state, entry, unread=True)
        )
    why = _contradiction(state, entry)
    if why in _DECIDED_BY_LISTED_DEVICES and virtual:
        return _candidate_from_lists(
            entry, why, _state_with_devices(state, entry, unread=entry.devices_unread)
        )
    if why == MFA_STATUS_UNKNOWN and state.has_password is False and state.has_mfa is False:
        return _candidate_from_lists(
            entry, why, IamState(exists=True, name=name, console_access=False)
        )
    if why is None and state.missing_from_report and not virtual:
        why = NOT_REPORTED
    if why:
        return _candidate_to_read(entry, why, name, has_password=fresh_password)
    if entry.name != name:
        return _candidate_from_lists(entry, RENAMED, IamState(exists=True, name=name))
    return None


_DECIDED_BY_LISTED_DEVICES = frozenset(
    {MFA_STATUS_UNKNOWN, REPORT_WITH_PASSWORD, SIGNED_IN_SINCE, DEVICES_CHANGED}
)
"""Reasons for which a listed virtual device is enough to decide, without reading the user."""


def _compare_unknown_user(key: UserKey, state: ListedState) -> User | Candidate:
    user = User(key, state.user.name)
    if state.virtual_devices or (state.has_mfa and state.report_is_fresh):
        # In an older report, MFA without a listed device may be a device that was lost since.
        return replace(
            user,
            mfa_status=MfaStatus.PROTECTED,
            devices=state.virtual_devices,
            devices_unread=True,
        )
    no_access = state.has_password is False and state.has_mfa is False
    if no_access and not state.password_used_since_report:
        return replace(user, mfa_status=MfaStatus.NO_CONSOLE_ACCESS)
    return Candidate(key, state.user.name, NOT_KNOWN, has_password=_has_fresh_password(state))


def _contradiction(state: ListedState, entry: InventoryEntry) -> str | None:  # noqa: PLR0911 - a table
    """Return what contradicts a user's MFA status, if their virtual devices are as known."""
    match entry.mfa_status:
        case MfaStatus.PROTECTED:
            no_mfa = state.has_mfa is False and not state.virtual_devices
            return REPORT_WITHOUT_MFA if no_mfa else None
        case MfaStatus.NO_CONSOLE_ACCESS if state.password_used_since_report:
            return SIGNED_IN_SINCE
        case MfaStatus.NO_CONSOLE_ACCESS:
            return REPORT_WITH_PASSWORD if state.has_password else None
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT if state.virtual_devices:
            return DEVICES_CHANGED
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT if state.has_mfa:
            return REPORT_WITH_MFA
        case MfaStatus.UNPROTECTED | MfaStatus.EXEMPT:
            return REPORT_WITHOUT_PASSWORD if state.has_password is False else None
        case _:
            return MFA_STATUS_UNKNOWN


def _state_with_devices(state: ListedState, entry: InventoryEntry, *, unread: bool) -> IamState:
    devices = (*state.virtual_devices, *entry.other_devices)
    return IamState(exists=True, name=state.user.name, devices=devices, devices_unread=unread)


def _candidate_from_lists(entry: InventoryEntry, why: str, iam_state: IamState) -> Candidate:
    return Candidate(entry.key, iam_state.name or entry.name, why, iam_state, entry.version)


def _candidate_to_read(
    entry: InventoryEntry, why: str, name: str | None = None, *, has_password: bool = False
) -> Candidate:
    listed_name = name or entry.name
    return Candidate(entry.key, listed_name, why, version=entry.version, has_password=has_password)


def _has_fresh_password(state: ListedState) -> bool:
    return state.report_is_fresh and state.has_password is True


def decide_candidate(situation: Situation, why: str, *, known: bool = True) -> UserDecision | None:
    """Return the decision about a candidate from their IAM state; None if nothing changed.

    ``known`` is whether the inventory contains the user. If not, their record is written even if
    nothing changed, which adds them to the inventory.
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
    """Return the API calls whose events were missed, given how a user's record had to change.

    ``young`` holds the ids of users and serial numbers of devices that are so new that their events
    may still arrive.
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
    """Return whether a user could sign in; None if the record cannot say."""
    known = {
        MfaStatus.UNPROTECTED: True,
        MfaStatus.EXEMPT: True,
        MfaStatus.NO_CONSOLE_ACCESS: False,
    }
    return known.get(user.mfa_status) if user.mfa_status else None


def _devices_changed(before: User, after: User) -> tuple[set[Device], int]:
    """Return the devices gained, and how many are gone, as far as the record can say."""
    had, has = set(before.devices), set(after.devices)
    if before.version == 0 or before.mfa_status is None:  # their devices were never read
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
    """Return the ids of users and serial numbers of devices whose events may still arrive."""
    since = now - EVENT_DELAY
    users = {user.user_id for user in account_lists.users if user.created_at > since}
    devices = {
        one.device.serial
        for one in account_lists.assigned
        if one.enabled_at is not None and one.enabled_at > since
    }
    return frozenset(users | devices)


def count_by_call(lost: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return how many events of each API call were lost, from the lost events of each user."""
    return dict(sorted(Counter(call for calls in lost.values() for call in calls).items()))
