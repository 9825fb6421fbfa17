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

from mfa_watcher.domain.casework import Decision, Situation, finish, let_go, settle
from mfa_watcher.domain.census import Census, Seen
from mfa_watcher.domain.devices import Device, DeviceKind
from mfa_watcher.domain.roster import Entry
from mfa_watcher.domain.users import LiveUser, Standing, User, UserKey

EVENT_ON_ITS_WAY = timedelta(minutes=15)
"""How long an event may be on its way to us: a younger change has not been missed yet."""

MOST_SPARE_READS = 40
"""How many users of whom not all devices are known are read in one sweep, at most, and one in a
hundred users otherwise: what the account's lists do not show becomes known bit by bit."""

NOT_KNOWN = "The sweep found a user who was not known"
NOT_IN_ROSTER = "The sweep found a user whom the roster did not show"
DEVICE_GONE = "The sweep found a virtual device gone"
DEVICE_THERE = "The sweep found a change of virtual devices"
REPORT_WITHOUT_MFA = "The credential report shows no MFA"
REPORT_WITH_MFA = "The credential report shows MFA"
REPORT_WITHOUT_PASSWORD = "The credential report shows no password"  # noqa: S105 - a reason
REPORT_WITH_PASSWORD = "The credential report shows a password"  # noqa: S105 - a reason
SIGNED_IN_SINCE = "A password was used after the credential report was made"
STANDING_UNKNOWN = "The sweep found a user who was never looked at"
NOT_REPORTED = "The credential report does not show a user who was there"
RENAMED = "The sweep found another name"
COUNT_IS_SHORT = "The account has fewer devices in use than the watcher knows of"
DEVICES_UNREAD = "The sweep read which devices a user has"
USER_GONE = "The sweep found a user gone"


@dataclass(frozen=True, slots=True)
class SweepOrder:
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
class Suspect:
    """A user to decide about. ``live`` is what the live lists say, if that is enough.

    It only holds for the record it was compared with, of that ``version``; else IAM is asked.
    """

    key: UserKey
    name: str
    why: str
    live: LiveUser | None = None
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
    suspects: tuple[Suspect, ...]


def compare(census: Census, roster: Mapping[str, Entry], account_id: str) -> Comparison:
    """Set the lists against the roster, which is given by user id and was read before them."""
    notes, suspects = [], []
    known_as = {entry.name.casefold(): user_id for user_id, entry in roster.items()}
    for listed in census.users:
        key, seen = UserKey(account_id, listed.user_id), census.seen(listed)
        if known_as.get(listed.name.casefold(), listed.user_id) != listed.user_id:
            # The name was another's, who may have been created within the same second.
            seen = seen if seen.fresh else replace(seen, password=None, mfa=None)
        verdict = judge(key, seen, roster.get(listed.user_id))
        if isinstance(verdict, User):
            notes.append(verdict)
        elif verdict:
            suspects.append(verdict)
    there = {listed.user_id for listed in census.users}
    suspects += [
        Suspect(entry.key, entry.name, USER_GONE, version=entry.version, gone=True)
        for user_id, entry in roster.items()
        if user_id not in there
    ]
    return Comparison(tuple(notes), tuple(suspects))


def unexplained(census: Census, entries: Mapping[str, Entry]) -> int:
    """Count the devices in use that are in nobody's record: root's, and those not read yet."""
    listed = sum(len(devices) for owner, devices in census.virtual.items() if owner in entries)
    return census.devices_in_use - listed - sum(entry.unlisted for entry in entries.values())


def count_is_short(
    census: Census, entries: Mapping[str, Entry], before: int | None
) -> tuple[Suspect, ...]:
    """Give all who may have lost a device that no list shows, if the account has fewer than before.

    ``entries`` are the users as the suspects' cases have left them, ``before`` is what was
    unexplained after an earlier sweep. A report made for this sweep would have shown the loss.
    """
    if census.fresh or before is None or unexplained(census, entries) >= before:
        return ()
    return tuple(_ask(entry, COUNT_IS_SHORT) for entry in entries.values() if entry.unlisted)


def spare_reads(entries: Mapping[str, Entry], *, all_of_them: bool) -> tuple[Suspect, ...]:
    """Give users of whom not all devices are known: a few at a time."""
    unread = (_ask(entry, DEVICES_UNREAD) for entry in entries.values() if entry.devices_unread)
    most = None if all_of_them else min(MOST_SPARE_READS, len(entries) // 100)
    return tuple(islice(unread, most))


def judge(  # noqa: PLR0911 - a table
    key: UserKey, seen: Seen, entry: Entry | None
) -> User | Suspect | None:
    """Judge one user; None if nothing seems to have changed."""
    if entry is None:
        return _judge_unknown(key, seen)
    name, virtual = seen.user.name, seen.virtual
    if frozenset(virtual) != entry.virtual:
        if not virtual:
            return _ask(entry, DEVICE_GONE, name, password=_surely(seen))
        if entry.nameless:  # the device that he had must go on being counted, or not
            return _ask(entry, DEVICE_THERE, name)
        # An event was missed, so there may be more to be read than the list shows.
        return _tell(entry, DEVICE_THERE, _holding(seen, entry, unread=True))
    reason = _doubt(seen, entry)
    if reason in _HELD_ANYWAY and virtual:
        return _tell(entry, reason, _holding(seen, entry, unread=entry.devices_unread))
    if reason == STANDING_UNKNOWN and seen.password is False and seen.mfa is False:
        return _tell(entry, reason, LiveUser(exists=True, name=name, console_access=False))
    if reason is None and seen.unreported and not virtual:
        reason = NOT_REPORTED
    if reason:
        return _ask(entry, reason, name, password=_surely(seen))
    if entry.name != name:
        return _tell(entry, RENAMED, LiveUser(exists=True, name=name))
    return None


_HELD_ANYWAY = frozenset({STANDING_UNKNOWN, REPORT_WITH_PASSWORD, SIGNED_IN_SINCE, DEVICE_THERE})


def _judge_unknown(key: UserKey, seen: Seen) -> User | Suspect:
    user = User(key, seen.user.name)
    if seen.virtual or (seen.mfa and seen.fresh):
        # In an older report a device that is in no list may be one that was lost since.
        return replace(user, standing=Standing.PROTECTED, devices=seen.virtual, devices_unread=True)
    if seen.password is False and seen.mfa is False and not seen.signed_in_since:
        return replace(user, standing=Standing.NO_CONSOLE_ACCESS)
    return Suspect(key, seen.user.name, NOT_KNOWN, password=_surely(seen))


def _doubt(seen: Seen, entry: Entry) -> str | None:  # noqa: PLR0911 - a table
    """Say what speaks against a user's standing, his virtual devices being as known."""
    match entry.standing:
        case Standing.PROTECTED:
            return REPORT_WITHOUT_MFA if seen.mfa is False and not seen.virtual else None
        case Standing.NO_CONSOLE_ACCESS if seen.signed_in_since:
            return SIGNED_IN_SINCE
        case Standing.NO_CONSOLE_ACCESS:
            return REPORT_WITH_PASSWORD if seen.password else None
        case Standing.UNPROTECTED | Standing.EXEMPT if seen.virtual:
            return DEVICE_THERE
        case Standing.UNPROTECTED | Standing.EXEMPT if seen.mfa:
            return REPORT_WITH_MFA
        case Standing.UNPROTECTED | Standing.EXEMPT:
            return REPORT_WITHOUT_PASSWORD if seen.password is False else None
        case _:
            return STANDING_UNKNOWN


def _holding(seen: Seen, entry: Entry, *, unread: bool) -> LiveUser:
    devices = (*seen.virtual, *entry.others)
    return LiveUser(exists=True, name=seen.user.name, devices=devices, devices_unread=unread)


def _tell(entry: Entry, why: str, live: LiveUser) -> Suspect:
    return Suspect(entry.key, live.name or entry.name, why, live, entry.version)


def _ask(entry: Entry, why: str, name: str | None = None, *, password: bool = False) -> Suspect:
    known_as = name or entry.name
    return Suspect(entry.key, known_as, why, version=entry.version, password=password)


def _surely(seen: Seen) -> bool:
    return seen.fresh and seen.password is True


def decide_swept(situation: Situation, why: str, *, known: bool = True) -> Decision | None:
    """Decide about a suspect from what IAM says of him; None if that is what was known.

    ``known``: the roster shows him. If not, his record is written as it is, which puts him there.
    """
    live, user = situation.live, situation.user
    if live is not None and not live.exists:
        if user.gone_at or user.version == 0:
            return None
        return finish(situation, let_go(situation), why, None)
    draft = settle(situation)
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
        Standing.UNPROTECTED: True,
        Standing.EXEMPT: True,
        Standing.NO_CONSOLE_ACCESS: False,
    }
    return known.get(user.standing) if user.standing else None


def _devices_changed(before: User, after: User) -> tuple[set[Device], int]:
    """Give the devices gained, and how many went, where the record could tell."""
    had, has = set(before.devices), set(after.devices)
    if before.version == 0 or before.standing is None:  # nobody ever looked which he has
        return set(), 0
    gained = has - had
    if before.devices_unread:
        gained = {one for one in gained if one.kind is DeviceKind.VIRTUAL}
    gone = len(had - has)
    nameless = before.standing is Standing.PROTECTED and not had
    return gained, gone + (nameless and after.standing is not Standing.PROTECTED and not has)


def young_at(now: datetime, census: Census) -> frozenset[str]:
    """Give what is so new that its event may yet come."""
    since = now - EVENT_ON_ITS_WAY
    users = {user.user_id for user in census.users if user.created_at > since}
    devices = {
        one.device.serial
        for one in census.assigned
        if one.enabled_at is not None and one.enabled_at > since
    }
    return frozenset(users | devices)


def tally(lost: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Count lost events by call, from those of each user."""
    return dict(sorted(Counter(call for calls in lost.values() for call in calls).items()))
