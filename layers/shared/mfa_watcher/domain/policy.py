"""The choices a security team makes: every compliance knob of the product stands here."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fnmatch import fnmatchcase

from mfa_watcher.domain.users.addresses import AddressBook


class Quarantine(StrEnum):
    """Whether a user who does not enrol is shut in at the end of the ladder."""

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
        """Give the next moment, from one outside these hours, at which they begin."""
        local = moment.astimezone(self.zone)
        opening = local.replace(
            hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0
        )
        if opening <= local:
            opening += timedelta(days=1)
        return opening.astimezone(UTC)

    def include(self, moment: datetime) -> bool:
        """Tell whether a reminder may go out at a moment."""
        return self.start <= moment.astimezone(self.zone).time() < self.end


@dataclass(frozen=True, slots=True)
class Policy:
    """How strict, how patient and how loud the watcher is."""

    escalation_schedule: tuple[timedelta, ...] = tuple(
        timedelta(days=days) for days in (0, 1, 3, 7, 14)
    )
    """When a user is written to, counted from the opening of the finding; the first is day 0, the
    last but one the final warning, and on the last the security team gets the case."""

    then_every: timedelta = timedelta(days=7)
    """How often he is reminded after that."""

    reminder_gap: timedelta = timedelta(days=1)
    """A user gets no two reminders within this time, however late the schedule is."""

    mail_hours: MailHours = field(default_factory=MailHours)

    quarantine: Quarantine = Quarantine.OFF
    quarantine_after: timedelta = timedelta(days=21)
    """When a user is shut in, counted from the opening of the finding, if he is at all."""

    second_device_after: timedelta | None = None
    """How long after his enrolment a user with one device is advised to add a second; None: the
    thank-you said so, and that was enough."""

    exemption_warning: timedelta = timedelta(days=7)
    """How long before an exemption ends the security team is told."""

    first_sign_in_grace: timedelta = timedelta(minutes=60)
    """A new console user has to sign in once without MFA to enrol: for this long after the
    access was granted, that is expected and neither alerted nor mailed about again."""

    same_attempt: timedelta = timedelta(minutes=5)
    """One click in the console makes two calls (deactivate, delete): removals by the same actor
    within this time are one attempt and one alert."""

    alert_again_after: timedelta = timedelta(days=1)
    """How long the same user's sign-ins without MFA stay one alert."""

    lost_events_alerted: int = 3
    """How many events must have been missed since the last sweep for security to be told; 0: they
    are only counted."""

    remember_events: timedelta = timedelta(days=35)
    """How long an event's id is kept to tell duplicates. Longer than an event can wait anywhere
    (24 h at EventBridge, 14 days in a queue, 14 more in its dead-letter queue). An older event
    cannot be told from a duplicate, so it is set aside instead of acted on."""

    break_glass_roles: frozenset[str] = frozenset()
    """Names of roles that may remove a device in an emergency, with their paths, and with ``*`` and
    ``?`` as the guard policy takes them."""

    fulfil_role: str | None = None
    """Name of the role under which requests are fulfilled: a removal by it within an approved
    window is fulfilment, by anybody else a violation."""

    member_fulfil_role: str | None = None
    """Its name in a member account, where the watcher acts as another role."""

    own_account: str | None = None
    """The watcher's own account, where the first of both names counts; None: there is no other."""

    service_desk_roles: frozenset[str] = frozenset()
    """Names of roles whose sessions may file requests for any user; users file for themselves.
    Without paths, since a session does not tell its role's; ``*`` and ``?`` as in IAM policies."""

    operator_roles: frozenset[str] = frozenset()
    """Names of roles that deploy and operate the watcher, with their paths. What they do to it is
    not alerted. Nobody is one by default."""

    denial_mailed_again_after: timedelta = timedelta(days=1)
    """How long a user whose device somebody keeps trying to remove gets no second mail of it."""

    details_reminders: tuple[timedelta, ...] = tuple(timedelta(days=days) for days in (2, 7, 14))
    """When a user is reminded to give details, counted from the opening of the request."""

    details_deadline: timedelta = timedelta(days=30)
    """When a request without details is cancelled, counted from its opening."""

    decision_reminder_every: timedelta = timedelta(days=2)
    """How often security is reminded of a request that waits for its decision."""

    violation_reminder_every: timedelta = timedelta(days=7)
    """How often security is reminded of a violation that nobody has acknowledged."""

    approval_window: timedelta = timedelta(hours=24)
    """For how long an approved request may be fulfilled."""

    enrolment_window: timedelta = timedelta(hours=72)
    """How long after the fulfilment the new device may take before security is told."""

    fulfilment_lease: timedelta = timedelta(minutes=2)
    """For how long nobody else may carry out a request that somebody has begun to."""

    off_boarding_grace: timedelta = timedelta(hours=1)
    """A user who is deleted within this time after his device was removed was off-boarded, and the
    removal was no violation."""

    addresses: AddressBook | None = None
    """Where users may be written to; by it a tag that leads mail elsewhere is told."""

    def step_due_at(self, opened_at: datetime, step: int) -> datetime | None:
        """Say when a step of the ladder is due; None only for a ladder without that step."""
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
        """Tell whether an account's role is the one under which requests are fulfilled there."""
        at_home = self.own_account is None or account_id == self.own_account
        ours = self.fulfil_role if at_home else self.member_fulfil_role
        return role_name is not None and role_name == ours

    def is_break_glass(self, role_name: str | None) -> bool:
        """Tell whether a role is one of the named emergency roles."""
        return role_name is not None and any(
            fnmatchcase(role_name.casefold(), pattern.casefold())
            for pattern in self.break_glass_roles
        )

    def is_operator(self, role_name: str | None) -> bool:
        """Tell whether a role is one of those that deploy and operate the watcher."""
        return role_name is not None and role_name.casefold() in {
            name.casefold() for name in self.operator_roles
        }

    def is_service_desk(self, role_name: str | None) -> bool:
        """Tell whether a role is one of those whose sessions act for any user."""
        return role_name is not None and any(
            fnmatchcase(role_name, pattern) for pattern in self.service_desk_roles
        )
