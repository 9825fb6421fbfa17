from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.sweep.account_lists import (
    AccountLists,
    AssignedDevice,
    CredentialReport,
    ListedState,
    ListedUser,
    ReportRow,
)
from mfa_watcher.domain.sweep.comparison import (
    DEVICE_GONE,
    DEVICES_CHANGED,
    EVENT_DELAY,
    MAX_EXTRA_READS,
    MFA_STATUS_UNKNOWN,
    NOT_KNOWN,
    NOT_REPORTED,
    RENAMED,
    REPORT_WITH_MFA,
    REPORT_WITH_PASSWORD,
    REPORT_WITHOUT_MFA,
    REPORT_WITHOUT_PASSWORD,
    SIGNED_IN_SINCE,
    USER_GONE,
    Candidate,
    candidates_if_devices_missing,
    candidates_with_unread_devices,
    compare,
    compare_user,
    decide_candidate,
    lost_events,
    recently_changed,
    unaccounted_devices,
)
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, count_users, inventory_entry
from mfa_watcher.domain.users.devices import Device
from mfa_watcher.domain.users.user import Cause, Exemption, IamState, MfaStatus, User, UserKey
from mfa_watcher.domain.users.user_state import Situation
from tests.support.builders import ACCOUNT, ALICE, NOW, later

PHONE = Device(f"arn:aws:iam::{ACCOUNT}:mfa/phone")
TABLET = Device(f"arn:aws:iam::{ACCOUNT}:mfa/tablet")
KEY = Device(f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/key-1")
TOKEN = Device("GAHT12345678")
LISTED = ListedUser("AIDAALICE", "alice", NOW - timedelta(days=9))
PROTECTED, UNPROTECTED = MfaStatus.PROTECTED, MfaStatus.UNPROTECTED
EXEMPT, NO_ACCESS = MfaStatus.EXEMPT, MfaStatus.NO_CONSOLE_ACCESS


def seen(
    *virtual: Device,
    password: bool | None = True,
    mfa: bool | None = False,
    since: bool = False,
    fresh: bool = False,
    name: str = "alice",
) -> ListedState:
    user = replace(LISTED, name=name)
    return ListedState(
        user, virtual, password, mfa, password_used_since_report=since, report_is_fresh=fresh
    )


def missing(*virtual: Device, name: str = "alice") -> ListedState:
    """Return a user whom the report should contain but does not."""
    return replace(seen(*virtual, password=None, mfa=None, name=name), missing_from_report=True)


def entry(mfa_status: MfaStatus | None, *devices: Device, unread: bool = False) -> InventoryEntry:
    return InventoryEntry(ALICE.key, "alice", mfa_status, devices, unread, 3)


# One user ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        (seen(PHONE, mfa=True), (PROTECTED, (PHONE,), True)),
        (seen(PHONE, TABLET, password=None, mfa=None), (PROTECTED, (PHONE, TABLET), True)),
        (seen(PHONE, mfa=False), (PROTECTED, (PHONE,), True)),
        (seen(mfa=True, fresh=True), (PROTECTED, (), True)),
        (seen(password=False, fresh=True), (NO_ACCESS, (), False)),
        (seen(password=False), (NO_ACCESS, (), False)),
    ],
)
def test_unknown_users_are_recorded_without_reading_iam_if_the_lists_say_enough(
    said: ListedState, noted: tuple[MfaStatus, tuple[Device, ...], bool]
) -> None:
    difference = compare_user(ALICE.key, said, None)
    assert isinstance(difference, User)
    assert (difference.mfa_status, difference.devices, difference.devices_unread) == noted
    assert difference.finding is None


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(
    ("password", "mfa", "since"),
    [
        (True, False, False),
        (None, None, False),
        (None, False, False),
        (False, None, False),
        (False, False, True),
    ],
)
def test_unknown_users_who_may_be_unprotected_are_read_from_iam(
    *, password: bool | None, mfa: bool | None, since: bool, fresh: bool
) -> None:
    said = seen(password=password, mfa=mfa, since=since, fresh=fresh)
    difference = compare_user(ALICE.key, said, None)
    surely = fresh and password is True
    assert difference == Candidate(ALICE.key, "alice", NOT_KNOWN, has_password=surely)


def test_mfa_in_an_old_report_alone_does_not_count() -> None:
    difference = compare_user(ALICE.key, seen(mfa=True), None)
    assert isinstance(difference, Candidate)


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (seen(PHONE, mfa=True), entry(PROTECTED, PHONE)),
        (seen(PHONE, mfa=False), entry(PROTECTED, PHONE)),
        (seen(PHONE, password=False), entry(PROTECTED, PHONE)),
        (seen(PHONE, password=None, mfa=None), entry(PROTECTED, PHONE, KEY)),
        (seen(mfa=True), entry(PROTECTED, KEY)),
        (seen(mfa=True), entry(PROTECTED, unread=True)),
        (seen(mfa=None, password=None), entry(PROTECTED, TOKEN)),
        (seen(), entry(UNPROTECTED)),
        (seen(password=None, mfa=None), entry(UNPROTECTED)),
        (seen(), entry(EXEMPT)),
        (seen(password=False), entry(NO_ACCESS)),
        (seen(password=False, mfa=True), entry(NO_ACCESS, KEY)),
        (seen(PHONE, password=False, mfa=True), entry(NO_ACCESS, PHONE)),
        (seen(password=None, mfa=None), entry(NO_ACCESS)),
        (seen(since=True), entry(UNPROTECTED)),
        (missing(PHONE), entry(PROTECTED, PHONE)),
    ],
)
def test_users_whose_state_is_as_known_are_not_candidates(
    said: ListedState, known: InventoryEntry
) -> None:
    assert compare_user(ALICE.key, said, known) is None


@pytest.mark.parametrize(
    ("said", "known", "why"),
    [
        (seen(mfa=True), entry(PROTECTED, PHONE), DEVICE_GONE),
        (seen(mfa=False), entry(PROTECTED, PHONE), DEVICE_GONE),
        (seen(mfa=True), entry(PROTECTED, PHONE, KEY), DEVICE_GONE),
        (seen(password=False), entry(NO_ACCESS, PHONE), DEVICE_GONE),
        (seen(mfa=False), entry(PROTECTED, KEY), REPORT_WITHOUT_MFA),
        (seen(mfa=False), entry(PROTECTED, unread=True), REPORT_WITHOUT_MFA),
        (seen(mfa=True), entry(UNPROTECTED), REPORT_WITH_MFA),
        (seen(mfa=True), entry(EXEMPT), REPORT_WITH_MFA),
        (seen(password=False), entry(UNPROTECTED), REPORT_WITHOUT_PASSWORD),
        (seen(password=False), entry(EXEMPT), REPORT_WITHOUT_PASSWORD),
        (seen(password=True), entry(NO_ACCESS), REPORT_WITH_PASSWORD),
        (seen(password=True, mfa=True), entry(NO_ACCESS), REPORT_WITH_PASSWORD),
        (seen(password=False, since=True), entry(NO_ACCESS), SIGNED_IN_SINCE),
        (seen(password=None, since=True), entry(NO_ACCESS), SIGNED_IN_SINCE),
        (seen(), entry(None), MFA_STATUS_UNKNOWN),
        (seen(password=None, mfa=None), entry(None), MFA_STATUS_UNKNOWN),
        (seen(mfa=True), entry(None), MFA_STATUS_UNKNOWN),
        (missing(), entry(UNPROTECTED), NOT_REPORTED),
        (seen(PHONE, password=None), entry(PROTECTED, unread=True), DEVICES_CHANGED),
        (missing(), entry(NO_ACCESS), NOT_REPORTED),
        (missing(), entry(PROTECTED, KEY), NOT_REPORTED),
    ],
)
@pytest.mark.parametrize("fresh", [True, False])
def test_users_whose_state_seems_to_differ_are_read_from_iam(
    said: ListedState, known: InventoryEntry, why: str, *, fresh: bool
) -> None:
    said = replace(said, report_is_fresh=fresh)
    difference = compare_user(ALICE.key, said, known)
    surely = fresh and said.has_password is True
    assert difference == Candidate(ALICE.key, "alice", why, version=3, has_password=surely)


@pytest.mark.parametrize(
    ("said", "known", "why", "devices", "unread"),
    [
        (seen(PHONE), entry(UNPROTECTED), DEVICES_CHANGED, (PHONE,), True),
        (seen(PHONE), entry(EXEMPT), DEVICES_CHANGED, (PHONE,), True),
        (seen(PHONE), entry(NO_ACCESS), DEVICES_CHANGED, (PHONE,), True),
        (seen(PHONE), entry(None), DEVICES_CHANGED, (PHONE,), True),
        (seen(PHONE, TABLET), entry(PROTECTED, PHONE), DEVICES_CHANGED, (PHONE, TABLET), True),
        (seen(PHONE), entry(PROTECTED, PHONE, TABLET), DEVICES_CHANGED, (PHONE,), True),
        (seen(TABLET), entry(PROTECTED, PHONE, KEY), DEVICES_CHANGED, (TABLET, KEY), True),
        (seen(PHONE), entry(UNPROTECTED, PHONE), DEVICES_CHANGED, (PHONE,), False),
        (seen(PHONE), entry(None, PHONE), MFA_STATUS_UNKNOWN, (PHONE,), False),
        (seen(PHONE), entry(NO_ACCESS, PHONE), REPORT_WITH_PASSWORD, (PHONE,), False),
    ],
)
def test_a_listed_virtual_device_decides_without_reading_iam(
    said: ListedState, known: InventoryEntry, why: str, devices: tuple[Device, ...], *, unread: bool
) -> None:
    iam_state = IamState(exists=True, name="alice", devices=devices, devices_unread=unread)
    assert compare_user(ALICE.key, said, known) == Candidate(ALICE.key, "alice", why, iam_state, 3)


def test_an_unevaluated_user_without_password_and_device_is_not_read_from_iam() -> None:
    iam_state = IamState(exists=True, name="alice", console_access=False)
    expected = Candidate(ALICE.key, "alice", MFA_STATUS_UNKNOWN, iam_state, 3)
    assert compare_user(ALICE.key, seen(password=False), entry(None)) == expected


def test_a_rename_is_decided_from_the_list_of_users() -> None:
    iam_state = IamState(exists=True, name="anna")
    said = seen(PHONE, mfa=None, password=None, name="anna")
    expected = Candidate(ALICE.key, "anna", RENAMED, iam_state, 3)
    assert compare_user(ALICE.key, said, entry(PROTECTED, PHONE)) == expected


# All of them -------------------------------------------------------------------------------------


def a_report(*rows: ReportRow, at: datetime = NOW) -> CredentialReport:
    return CredentialReport(at, {row.name.casefold(): row for row in rows})


def account_lists_of(
    *users: ListedUser,
    report: CredentialReport | None = None,
    assigned: tuple[AssignedDevice, ...] = (),
    in_use: int = 0,
    asked_at: datetime = NOW,
) -> AccountLists:
    return AccountLists(report or a_report(), users, assigned, in_use, asked_at)


def test_a_row_about_an_earlier_user_of_the_same_name_is_not_used() -> None:
    old = ReportRow("Alice", NOW - timedelta(days=99), has_password=False, has_mfa=True)
    assert a_report(old).row_of(LISTED) is None
    same = replace(old, created_at=LISTED.created_at)
    assert a_report(same).row_of(LISTED) == same
    undated = replace(old, created_at=None)
    assert a_report(undated).row_of(LISTED) == undated


def test_a_report_is_fresh_if_it_was_made_after_the_sweep_was_asked_for() -> None:
    assert account_lists_of(asked_at=later(-1)).report_is_fresh
    assert account_lists_of().report_is_fresh
    assert not account_lists_of(asked_at=later(1)).report_is_fresh


def test_a_password_used_after_the_report_was_made_is_noticed() -> None:
    for minutes, since in ((1, True), (0, False), (-1, False)):
        user = replace(LISTED, password_used_at=later(minutes))
        assert account_lists_of(user).listed_state(user).password_used_since_report is since
    assert not account_lists_of(LISTED).listed_state(LISTED).password_used_since_report


def test_a_user_in_the_report_under_an_old_name_is_read_from_iam() -> None:
    expected = Candidate(ALICE.key, "anna", NOT_REPORTED, version=3)
    assert compare_user(ALICE.key, missing(name="anna"), entry(NO_ACCESS)) == expected


def test_only_users_older_than_the_report_can_be_missing_from_it() -> None:
    newcomer = replace(LISTED, created_at=later(1))
    account_lists = account_lists_of(LISTED, newcomer)
    assert account_lists.listed_state(LISTED).missing_from_report
    assert not account_lists.listed_state(newcomer).missing_from_report


def test_a_user_who_is_no_longer_listed_is_a_candidate_as_gone() -> None:
    found = compare(account_lists_of(), {"AIDAALICE": entry(PROTECTED, PHONE)}, ACCOUNT)
    assert found.candidates == (Candidate(ALICE.key, "alice", USER_GONE, version=3, gone=True),)


def test_a_user_recreated_under_the_same_name_is_another_user() -> None:
    heir = ListedUser("AIDAHEIR", "alice", NOW)
    row = ReportRow("alice", LISTED.created_at, has_password=False, has_mfa=False)
    account_lists = account_lists_of(heir, report=a_report(row))
    found = compare(account_lists, {"AIDAALICE": entry(UNPROTECTED)}, ACCOUNT)
    assert found.new_users == ()
    assert [(one.key.user_id, one.why) for one in found.candidates] == [
        ("AIDAHEIR", NOT_KNOWN),
        ("AIDAALICE", USER_GONE),
    ]


def test_listed_devices_without_a_virtual_serial_number_are_ignored() -> None:
    """On AWS there is no such thing; an emulator may list all devices there."""
    assigned = (AssignedDevice(PHONE, "AIDAALICE"), AssignedDevice(KEY, "AIDAALICE"))
    assert account_lists_of(LISTED, assigned=assigned).virtual_devices == {"AIDAALICE": (PHONE,)}


def test_an_old_reports_row_is_not_used_if_another_user_had_the_name() -> None:
    """Even if both were created within the same second, and the row seems to fit."""
    heir = ListedUser("AIDAHEIR", "Alice", LISTED.created_at)
    row = ReportRow("alice", LISTED.created_at, has_password=False, has_mfa=False)
    account_lists = account_lists_of(heir, report=a_report(row), asked_at=later(1))
    assert [note.name for note in compare(account_lists, {}, ACCOUNT).new_users] == ["Alice"]
    found = compare(account_lists, {"AIDAALICE": entry(NO_ACCESS)}, ACCOUNT)
    assert [candidate.why for candidate in found.candidates] == [NOT_KNOWN, USER_GONE]


HOLDER = {"AIDAALICE": entry(PROTECTED, KEY)}


def test_fewer_devices_in_use_make_all_holders_of_unlisted_devices_candidates() -> None:
    account_lists = account_lists_of(LISTED, in_use=1, asked_at=later(1))  # root's, say
    assert unaccounted_devices(account_lists, HOLDER) == 0
    [candidate] = candidates_if_devices_missing(account_lists, HOLDER, before=1)
    assert candidate.key == ALICE.key


@pytest.mark.parametrize(
    ("before", "in_use", "asked_at"),
    [(1, 2, later(1)), (1, 3, later(1)), (None, 0, later(1)), (1, 1, NOW)],
    ids=["as many", "more", "first sweep", "fresh report"],
)
def test_the_device_count_makes_nobody_a_candidate_otherwise(
    before: int | None, in_use: int, asked_at: datetime
) -> None:
    account_lists = account_lists_of(LISTED, in_use=in_use, asked_at=asked_at)
    assert candidates_if_devices_missing(account_lists, HOLDER, before) == ()


def test_roots_device_is_unaccounted() -> None:
    root = AssignedDevice(Device(f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"), ACCOUNT)
    alices = AssignedDevice(PHONE, "AIDAALICE")
    account_lists = account_lists_of(LISTED, assigned=(root, alices), in_use=2)
    assert unaccounted_devices(account_lists, {"AIDAALICE": entry(PROTECTED, PHONE)}) == 1


def test_each_sweep_reads_a_few_users_with_unknown_devices() -> None:
    def entries(number: int) -> dict[str, InventoryEntry]:
        return {
            f"AIDA{one}": replace(entry(PROTECTED, unread=True), key=UserKey(ACCOUNT, f"AIDA{one}"))
            for one in range(number)
        }

    assert len(candidates_with_unread_devices(entries(99), all_of_them=False)) == 0
    assert len(candidates_with_unread_devices(entries(1000), all_of_them=False)) == 10
    assert len(candidates_with_unread_devices(entries(9000), all_of_them=False)) == MAX_EXTRA_READS
    assert len(candidates_with_unread_devices(entries(300), all_of_them=True)) == 300
    assert (
        candidates_with_unread_devices({"AIDAALICE": entry(PROTECTED, PHONE)}, all_of_them=True)
        == ()
    )


def test_users_are_counted_by_status_and_devices() -> None:
    entries = [
        entry(PROTECTED, PHONE),
        entry(PROTECTED, PHONE, TABLET),
        entry(PROTECTED, PHONE, KEY),
        entry(PROTECTED, KEY),
        entry(PROTECTED, PHONE, unread=True),
        entry(PROTECTED, unread=True),
        entry(UNPROTECTED),
        entry(EXEMPT),
        entry(NO_ACCESS),
        entry(NO_ACCESS, PHONE),
        entry(None),
    ]
    counted = count_users(entries)
    assert (counted.users, counted.protected, counted.unprotected) == (11, 6, 1)
    assert (counted.exempt, counted.no_console_access, counted.never_evaluated) == (1, 2, 1)
    assert (counted.only_virtual, counted.single_device) == (2, 2)
    assert (counted.phishing_resistant, counted.devices_unread) == (2, 2)


# Deciding ----------------------------------------------------------------------------------------


def a_situation(user: User, iam_state: IamState) -> Situation:
    return Situation("sweep-1", NOW, None, user, Policy(), None, iam_state)


def test_an_unchanged_known_user_is_not_written() -> None:
    user = replace(ALICE, mfa_status=UNPROTECTED, version=3)
    opened = decide_candidate(
        a_situation(user, IamState(exists=True, devices=(), console_access=True)), "why"
    )
    assert opened
    iam_state = IamState(exists=True, name="alice", devices=(), console_access=True)
    known = a_situation(replace(opened.user, version=4), iam_state)
    assert decide_candidate(known, "why") is None
    assert decide_candidate(known, "why", known=False)


def test_a_gone_user_is_marked_once_and_only_if_known() -> None:
    gone = IamState(exists=False)
    assert decide_candidate(a_situation(ALICE, gone), "why") is None
    known = replace(ALICE, version=2)
    decision = decide_candidate(a_situation(known, gone), "why")
    assert decision
    assert decision.user.gone_at == NOW
    assert decide_candidate(a_situation(decision.user, gone), "why") is None


def test_losing_an_unread_device_opens_a_finding() -> None:
    user = replace(ALICE, mfa_status=PROTECTED, devices_unread=True, version=3)
    iam_state = IamState(exists=True, name="alice", devices=(), console_access=True)
    decision = decide_candidate(a_situation(user, iam_state), "why")
    assert decision
    assert decision.user.finding
    assert decision.user.finding.cause is Cause.DEVICE_REMOVED


def test_a_sweep_respects_an_exemption() -> None:
    exemption = Exemption("reason", "sec", NOW, later(60))
    user = replace(ALICE, mfa_status=PROTECTED, devices=(PHONE,), exemption=exemption, version=3)
    iam_state = IamState(exists=True, name="alice", devices=(), console_access=True)
    decision = decide_candidate(a_situation(user, iam_state), "why")
    assert decision
    assert (decision.user.mfa_status, decision.intents) == (EXEMPT, ())


# Lost events -------------------------------------------------------------------------------------

KNOWN = replace(ALICE, version=3)


def a_user(mfa_status: MfaStatus | None, *devices: Device, unread: bool = False) -> User:
    return replace(KNOWN, mfa_status=mfa_status, devices=devices, devices_unread=unread)


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (ALICE, a_user(UNPROTECTED), ["CreateUser"]),
        (ALICE, a_user(PROTECTED, PHONE), ["CreateUser"]),
        (a_user(PROTECTED, PHONE), replace(KNOWN, gone_at=NOW), ["DeleteUser"]),
        (a_user(UNPROTECTED), replace(a_user(UNPROTECTED), name="anna"), ["UpdateUser"]),
        (a_user(NO_ACCESS), a_user(UNPROTECTED), ["CreateLoginProfile"]),
        (a_user(UNPROTECTED), a_user(NO_ACCESS), ["DeleteLoginProfile"]),
        (a_user(EXEMPT), a_user(NO_ACCESS), ["DeleteLoginProfile"]),
        (a_user(UNPROTECTED), a_user(PROTECTED, PHONE), ["EnableMFADevice"]),
        (a_user(PROTECTED, PHONE), a_user(UNPROTECTED), ["DeactivateMFADevice"]),
        (a_user(PROTECTED, unread=True), a_user(UNPROTECTED), ["DeactivateMFADevice"]),
        (
            a_user(PROTECTED, PHONE, KEY),
            a_user(PROTECTED, TABLET),
            ["EnableMFADevice", "DeactivateMFADevice", "DeactivateMFADevice"],
        ),
        (a_user(PROTECTED, PHONE, unread=True), a_user(PROTECTED, PHONE, KEY), []),
        (a_user(PROTECTED, unread=True), a_user(PROTECTED, KEY), []),
        (
            a_user(PROTECTED, PHONE, unread=True),
            a_user(PROTECTED, PHONE, TABLET),
            ["EnableMFADevice"],
        ),
        (a_user(None), a_user(PROTECTED, PHONE), []),
        (a_user(None), a_user(UNPROTECTED), []),
        (a_user(UNPROTECTED), a_user(EXEMPT), []),
        (a_user(PROTECTED, PHONE), a_user(PROTECTED, PHONE), []),
    ],
)
def test_the_change_of_a_record_names_the_missed_events(
    before: User, after: User, lost: list[str]
) -> None:
    assert list(lost_events(before, after)) == lost


def test_events_that_may_still_arrive_are_not_missed() -> None:
    new = NOW - EVENT_DELAY / 2
    heir = ListedUser("AIDAHEIR", "heir", new)
    assigned = (
        AssignedDevice(PHONE, "AIDAALICE", new),
        AssignedDevice(TABLET, "AIDAALICE", NOW - 2 * EVENT_DELAY),
    )
    young = recently_changed(NOW, account_lists_of(LISTED, heir, assigned=assigned))
    assert young == {"AIDAHEIR", PHONE.serial}
    created = User(UserKey(ACCOUNT, "AIDAHEIR"), "heir", UNPROTECTED)
    assert lost_events(replace(created, mfa_status=None), created, young) == ()
    gained = lost_events(a_user(UNPROTECTED), a_user(PROTECTED, PHONE, TABLET), young)
    assert gained == ("EnableMFADevice",)


# Against the truth -------------------------------------------------------------------------------
#
# An account is changed at random, by changes that events tell of and by some that are lost; at one
# moment between them IAM makes its report. Then it is swept, and must be known as it is.


@dataclass
class Person:
    """A user's true state."""

    user_id: str
    name: str
    created_at: datetime
    password: bool
    virtual: frozenset[Device] = frozenset()
    others: frozenset[Device] = frozenset()

    @property
    def devices(self) -> frozenset[Device]:
        """All devices of the user."""
        return self.virtual | self.others


@dataclass
class World:
    """An account, what the watcher knows of it, and the report about it."""

    people: dict[str, Person]
    inventory: dict[str, InventoryEntry]
    report: CredentialReport
    before: int | None
    numbers: "count[int]"
    asked: int = 0

    def evaluate_at(self, user_id: str) -> IamState:
        """Answer as IAM does, two calls at most."""
        person = self.people.get(user_id)
        self.asked += 1
        if person is None:
            return IamState(exists=False)
        devices = tuple(sorted(person.devices, key=lambda one: one.serial))
        access = person.password if not devices else None
        return IamState(exists=True, name=person.name, devices=devices, console_access=access)

    def tell(self, user_id: str) -> None:
        """Deliver the event: the watcher reads the user."""
        iam_state, known = self.evaluate_at(user_id), self.inventory.get(user_id)
        if not iam_state.exists:
            self.inventory.pop(user_id, None)
            return
        name = iam_state.name or ""
        user = User(UserKey(ACCOUNT, user_id), name, version=known.version + 1 if known else 1)
        self.inventory[user_id] = inventory_entry(user.with_iam_state(iam_state))

    def make_report(self, at: datetime) -> None:
        """Generate the credential report."""
        self.report = a_report(
            *(
                ReportRow(
                    one.name, one.created_at, has_password=one.password, has_mfa=bool(one.devices)
                )
                for one in self.people.values()
            ),
            at=at,
        )

    def account_lists(self, asked_at: datetime) -> AccountLists:
        """Return the account's lists."""
        listed = tuple(ListedUser(o.user_id, o.name, o.created_at) for o in self.people.values())
        assigned = tuple(
            AssignedDevice(device, one.user_id)
            for one in self.people.values()
            for device in sorted(one.virtual, key=lambda device: device.serial)
        )
        in_use = 1 + sum(len(one.devices) for one in self.people.values())  # root has one, too
        return AccountLists(self.report, listed, assigned, in_use, asked_at)

    def sweep(self, asked_at: datetime) -> None:
        """Sweep as the use case does, with IAM answering truly."""
        account_lists = self.account_lists(asked_at)
        found = compare(account_lists, self.inventory, ACCOUNT)
        for user in found.new_users:
            self.inventory[user.key.user_id] = inventory_entry(user)
        self._attend(found.candidates)
        self._attend(candidates_if_devices_missing(account_lists, self.inventory, self.before))
        self.before = unaccounted_devices(account_lists, self.inventory)

    def _attend(self, candidates: tuple[Candidate, ...]) -> None:
        for candidate in candidates:
            user_id = candidate.key.user_id
            iam_state = candidate.iam_state or self.evaluate_at(user_id)
            if not iam_state.exists:
                self.inventory.pop(user_id, None)
                continue
            known = self.inventory.get(user_id)
            user = User(candidate.key, candidate.name)
            if known:
                user = replace(
                    user,
                    mfa_status=known.mfa_status,
                    devices=known.devices,
                    devices_unread=known.devices_unread,
                )
            self.inventory[user_id] = inventory_entry(user.with_iam_state(iam_state))

    def truly_unprotected(self) -> set[str]:
        """Return the users without MFA."""
        return {one.user_id for one in self.people.values() if one.password and not one.devices}

    def known_unprotected(self) -> set[str]:
        """Return the users known to be without MFA."""
        return {id_ for id_, one in self.inventory.items() if one.mfa_status is UNPROTECTED}


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CREATED = NOW - timedelta(days=30)
PASSWORD, VIRTUAL_ON, VIRTUAL_OFF, OTHER_ON, OTHER_OFF, RENAME, CREATE, DELETE = range(8)
CHANGES = tuple(range(8))


def change(world: World, draw: st.DataObject, kinds: tuple[int, ...]) -> str | None:
    """Change a random user; return their id if a change was possible."""
    kind = draw.draw(st.sampled_from(kinds))
    number = next(world.numbers)
    if kind == CREATE or not world.people:
        user_id = f"AIDA{number}"
        free = [f"n{n}" for n in range(9) if f"n{n}" not in {o.name for o in world.people.values()}]
        if not free:
            return None
        name = draw.draw(st.sampled_from(free))
        at = CREATED + timedelta(seconds=number)
        world.people[user_id] = Person(user_id, name, at, password=draw.draw(st.booleans()))
        return user_id
    user_id = draw.draw(st.sampled_from(sorted(world.people)))
    person = world.people[user_id]
    match kind:
        case 0:
            person.password = not person.password
        case 1:
            person.virtual |= {Device(f"arn:aws:iam::{ACCOUNT}:mfa/d{number}")}
        case 2 if person.virtual:
            person.virtual -= {draw.draw(st.sampled_from(sorted(person.virtual, key=str)))}
        case 3:
            person.others |= {Device(f"arn:aws:iam::{ACCOUNT}:u2f/user/x/d{number}")}
        case 4 if person.others:
            person.others -= {draw.draw(st.sampled_from(sorted(person.others, key=str)))}
        case 5:
            person.name = f"r{number}"
        case 7:
            del world.people[user_id]
        case _:
            return None
    return user_id


def grown(draw: st.DataObject) -> World:
    """Return an account of a few users, all known to the watcher from a first sweep."""
    world = World({}, {}, a_report(at=NOW), None, count())
    for _ in range(draw.draw(st.integers(0, 9))):
        change(world, draw, (CREATE, CREATE, VIRTUAL_ON, OTHER_ON))
    world.make_report(NOW)
    world.sweep(NOW)
    assert world.known_unprotected() == world.truly_unprotected()
    return world


def go_on(world: World, draw: st.DataObject, *, lost: tuple[int, ...] = CHANGES) -> None:
    """Make random changes. Some send an event; the events of others are lost."""
    for _ in range(draw.draw(st.integers(0, 12))):
        if draw.draw(st.booleans()):
            if changed := change(world, draw, CHANGES):
                world.tell(changed)
        else:
            change(world, draw, lost)


@UNHURRIED
@given(draw=st.data())
def test_with_a_report_of_its_own_a_sweep_knows_an_account_as_it_is_whatever_was_lost(
    draw: st.DataObject,
) -> None:
    world = grown(draw)
    for hours in (4, 8):
        go_on(world, draw)
        world.make_report(NOW + timedelta(hours=hours))
        world.sweep(NOW + timedelta(hours=hours))
        assert world.known_unprotected() == world.truly_unprotected()
        assert set(world.inventory) == set(world.people)
        assert all(world.inventory[one.user_id].name == one.name for one in world.people.values())
        for one in world.people.values():
            assert world.inventory[one.user_id].virtual_devices == one.virtual


@UNHURRIED
@given(draw=st.data())
def test_with_an_old_report_it_is_exact_if_what_was_lost_since_is_in_a_live_list(
    draw: st.DataObject,
) -> None:
    """A lost gain of another kind of device before the report may hide a loss: see decisions.md."""
    world = grown(draw)
    seen_by_report = (PASSWORD, VIRTUAL_ON, VIRTUAL_OFF, OTHER_OFF, RENAME, CREATE, DELETE)
    go_on(world, draw, lost=seen_by_report)
    world.make_report(later(60))
    go_on(world, draw, lost=(VIRTUAL_ON, VIRTUAL_OFF, OTHER_OFF, RENAME, CREATE, DELETE))
    world.sweep(later(200))
    assert world.known_unprotected() == world.truly_unprotected()
    assert set(world.inventory) == set(world.people)


@UNHURRIED
@given(draw=st.data())
def test_a_first_sweep_with_an_old_report_misses_only_passwords_set_since(
    draw: st.DataObject,
) -> None:
    world = World({}, {}, a_report(), None, count())
    for _ in range(draw.draw(st.integers(0, 9))):
        change(world, draw, CHANGES)
    world.make_report(NOW)
    for _ in range(draw.draw(st.integers(0, 9))):
        change(world, draw, (VIRTUAL_ON, VIRTUAL_OFF, OTHER_ON, OTHER_OFF, RENAME, CREATE, DELETE))
    world.sweep(later(200))
    assert world.known_unprotected() == world.truly_unprotected()


@UNHURRIED
@given(draw=st.data())
def test_a_second_sweep_reads_no_user_from_iam(draw: st.DataObject) -> None:
    world = grown(draw)
    go_on(world, draw)
    for hours in (4, 8):
        world.make_report(NOW + timedelta(hours=hours))
        world.asked = 0
        world.sweep(NOW + timedelta(hours=hours))
    assert world.asked == 0
