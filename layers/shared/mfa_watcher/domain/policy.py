"""The choices of a security team: all compliance settings of the product are here."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fnmatch import fnmatchcase

from mfa_watcher.domain.users.addresses import AddressBook

_ROLE_OF_ACCOUNT = re.compile(r"(?P<account>\d{12})/(?P<name>.+)")


class Quarantine(StrEnum):
    """Whether a user who does not enrol is quarantined at the end of the escalation schedule."""

    OFF = "off"
    DRY_RUN = "dry_run"
    ON = "on"


@dataclass(frozen=True, slots=True)
class MailHours:
    """When reminders may go out, in the account's own time: from ``start`` until before ``end``."""

    start: time = time(8)
    end: time = time(18)
    zone: tzinfo = UTC

    def next_opening(self, moment: datetime) -> datetime:
        """Return when these hours next begin, for a moment outside of them."""
        local = moment.astimezone(self.zone)
        opening = local.replace(
            hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0
        )
        if opening <= local:
            opening += timedelta(days=1)
        return opening.astimezone(UTC)

    def include(self, moment: datetime) -> bool:
        """Return whether a reminder may go out at a moment."""
        return self.start <= moment.astimezone(self.zone).time() < self.end


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds and timing of the watcher."""

    escalation_schedule: tuple[timedelta, ...] = tuple(
        timedelta(days=days) for days in (0, 1, 3, 7, 14)
    )
    """When a user is mailed, counted from the opening of the finding. The first is day 0. The last
    but one is the final warning. On the last one the security team is mailed, too."""

    then_every: timedelta = timedelta(days=7)
    """How often the user is reminded after that."""

    reminder_gap: timedelta = timedelta(days=1)
    """A user gets no two reminders within this time, however late the schedule is."""

    mail_hours: MailHours = field(default_factory=MailHours)

    quarantine: Quarantine = Quarantine.OFF
    quarantine_after: timedelta = timedelta(days=21)
    """When a user is quarantined, counted from the opening of the finding, if at all."""

    second_device_after: timedelta | None = None
    """How long after enrolment a user with one device is advised to add a second; None: only the
    mail about the enrolment says so."""

    exemption_warning: timedelta = timedelta(days=7)
    """How long before an exemption ends the security team is notified."""

    first_sign_in_grace: timedelta = timedelta(minutes=60)
    """A new console user has to sign in once without MFA to enrol. For this long after the access
    was granted, such a sign-in is expected and causes neither an alert nor another mail."""

    same_attempt: timedelta = timedelta(minutes=5)
    """One click in the console makes two calls (deactivate, delete): removals by the same source
    within this time are one attempt and one alert. Sessions of one role are one source."""

    alert_again_after: timedelta = timedelta(days=1)
    """How long after an alert the same user's sign-ins without MFA cause no other."""

    lost_events_alerted: int = 3
    """How many events must have been missed since the last sweep for an alert; 0: they are only
    counted."""

    remember_events: timedelta = timedelta(days=35)
    """How long an event's id is kept to recognise duplicates: longer than events can wait anywhere
    (24 h at EventBridge, 14 days in a queue, 14 more in its dead-letter queue). An older event may
    be a duplicate, so it is set aside instead of acted on."""

    break_glass_roles: frozenset[str] = frozenset()
    """Names of roles that may remove a device in an emergency, with their paths. ``*`` and ``?``
    are wildcards, as in the guard policy. A role of another account than the watcher's own is named
    as ``444455556666/Emergency``."""

    fulfil_role: str | None = None
    """Name of the role under which requests are fulfilled: a removal by it within an approved
    window is fulfilment, a removal by anybody else is a violation."""

    member_fulfil_role: str | None = None
    """Its name in a member account, where the watcher acts as another role."""

    own_account: str | None = None
    """The watcher's own account, where ``fulfil_role`` applies; None: there is no other account."""

    service_desk_roles: frozenset[str] = frozenset()
    """Names of roles whose sessions may file requests for any user; users file for themselves.
    Without paths, since a session does not show its role's. ``*`` and ``?`` are wildcards."""

    operator_roles: frozenset[str] = frozenset()
    """Names of roles that deploy and operate the watcher, with their paths, and those of other
    accounts as above. What they do to it causes no alert. By default there is none."""

    denial_mailed_again_after: timedelta = timedelta(days=1)
    """How long after a mail about a denied removal the user gets no other about the same source."""

    details_reminders: tuple[timedelta, ...] = tuple(timedelta(days=days) for days in (2, 7, 14))
    """When a user is reminded to give details, counted from the opening of the request."""

    details_deadline: timedelta = timedelta(days=30)
    """When a request without details is cancelled, counted from its opening."""

    decision_reminder_every: timedelta = timedelta(days=2)
    """How often security is reminded of a request that waits for their decision."""

    violation_reminder_every: timedelta = timedelta(days=7)
    """How often security is reminded of a violation that nobody has acknowledged."""

    approval_window: timedelta = timedelta(hours=24)
    """For how long an approved request may be fulfilled."""

    enrolment_window: timedelta = timedelta(hours=72)
    """How long after the fulfilment the user may take to enrol before security is notified."""

    fulfilment_lease: timedelta = timedelta(minutes=2)
    """For how long nobody else may fulfil a request that somebody has started to fulfil."""

    new_user_for: timedelta = timedelta(days=1)
    """How long after a user was created a first password set by somebody else is no alert."""

    same_hand: timedelta = timedelta(days=7)
    """Within this time a password and a device that the same other sets for a user are a high
    alert: whoever has both can sign in as the user."""

    off_boarding_grace: timedelta = timedelta(hours=1)
    """A user who is deleted within this time after the removal of a device was off-boarded, and the
    removal was no violation."""

    addresses: AddressBook | None = None
    """How addresses are found. Tags that name an address outside of its domains are alerted."""

    def step_due_at(self, opened_at: datetime, step: int) -> datetime | None:
        """Return when a step is due; None only if the escalation schedule is empty."""
        if step < len(self.escalation_schedule):
            return opened_at + self.escalation_schedule[step]
        if not self.escalation_schedule:
            return None
        return (
            opened_at
            + self.escalation_schedule[-1]
            + self.then_every * (step - len(self.escalation_schedule) + 1)
        )

    def is_fulfil_role(self, role_name: str | None, account_id: str | None) -> bool:
        """Return whether an account's role is the one under which requests are fulfilled there."""
        in_own_account = self.own_account is None or account_id == self.own_account
        expected = self.fulfil_role if in_own_account else self.member_fulfil_role
        return role_name is not None and role_name == expected

    def is_break_glass(self, role_name: str | None, account_id: str | None) -> bool:
        """Return whether an account's role is one of the named emergency roles."""
        return role_name is not None and any(
            fnmatchcase(role_name.casefold(), pattern.casefold())
            for pattern in self._names_in(account_id, self.break_glass_roles)
        )

    def is_operator(self, role_name: str | None, account_id: str | None) -> bool:
        """Return whether an account's role is one of those that deploy and operate the watcher."""
        return role_name is not None and role_name.casefold() in {
            name.casefold() for name in self._names_in(account_id, self.operator_roles)
        }

    def _names_in(self, account_id: str | None, named: Iterable[str]) -> Iterator[str]:
        """Return the names of roles that are meant in an account.

        Anybody may create a role of any name in their own account, so a name without one is of the
        watcher's own account only.
        """
        for one in named:
            written = _ROLE_OF_ACCOUNT.fullmatch(one)
            of = written["account"] if written else self.own_account
            if of is None or of == account_id:
                yield written["name"] if written else one

    def is_service_desk(self, role_name: str | None) -> bool:
        """Return whether a role is one of those whose sessions act for any user."""
        return role_name is not None and any(
            fnmatchcase(role_name, pattern) for pattern in self.service_desk_roles
        )
