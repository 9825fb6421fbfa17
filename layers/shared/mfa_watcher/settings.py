"""What each function is told by its environment, checked on first use."""

import os
from collections.abc import Mapping
from datetime import time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_snake

from mfa_watcher.domain.events.tampering import Watcher
from mfa_watcher.domain.health.heartbeats import EventPath
from mfa_watcher.domain.policy import MailHours, Policy, Quarantine
from mfa_watcher.domain.users.addresses import AddressBook


class SettingsError(Exception):
    """The environment lacks a variable or holds one that cannot be read; the text names it."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _rising(days: list[int]) -> list[int]:
    if len(days) != _STEPS or days != sorted(set(days)) or days[0] != 0:
        raise ValueError(f"must be {_STEPS} days that rise from 0 on, such as 0,1,3,7,14")
    return days


def _hours(value: object) -> object:
    """Read "8-18": from eight until before six in the evening."""
    if not isinstance(value, str):
        return value
    start, _, end = value.partition("-")
    if not (start.isdigit() and end.isdigit() and int(start) < int(end) <= _HOURS_A_DAY):
        raise ValueError("must be two hours, the first before the second, such as 8-18")
    last = time.max if int(end) == _HOURS_A_DAY else time(int(end))
    return time(int(start)), last


def _zone(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"no time zone {value!r}; an IANA name is needed, such as Europe/Berlin"
        ) from error


_HOURS_A_DAY = 24
_STEPS = 5
"""Guide, two reminders, final warning, case for security: the mails' words say what comes next."""

Listed = BeforeValidator(_split)
Optional = BeforeValidator(lambda value: value or None)


class TableSettings(BaseModel):
    """What every function is told: the account, and the table with all that is known of it."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
        alias_generator=lambda name: to_snake(name).upper(),
    )

    table_name: str = Field(min_length=1)
    account_id: str = Field(pattern=r"^\d{12}$")
    retention_days: int = Field(default=400, ge=1)
    partition: str = "aws"
    organization_id: Annotated[str | None, Optional] = None
    member_accounts: Annotated[list[str], Listed] = []
    reader_role: str = "mfa-watcher-Reader"

    @property
    def asks_organization(self) -> bool:
        """Tell whether the organization says who its members are, since nobody named them."""
        return self.organization_id is not None and not self.member_accounts

    @property
    def keep_evidence(self) -> timedelta:
        """How long history and finished intents are kept."""
        return timedelta(days=self.retention_days)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the environment. Raises SettingsError, which names each variable at fault."""
        try:
            return cls.model_validate(dict(os.environ if environment is None else environment))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise SettingsError(f"the function's environment is not usable: {faults}") from error


class _AddressSettings(TableSettings):
    """Where users may be written to."""

    sender_address: str = Field(min_length=3)
    mail_domains: Annotated[list[str], Listed] = []
    default_mail_domain: Annotated[str | None, Optional] = None
    address_tags: Annotated[list[str], Listed, Field(min_length=1)] = ["email"]
    manager_tag: str = "manager"
    language_tag: str = "language"

    @property
    def addresses(self) -> AddressBook:
        """How users' addresses are found; without a list, only the sender's own domain."""
        domains = self.mail_domains or [self.sender_address.rsplit("@", 1)[-1]]
        return AddressBook(
            frozenset(domain.casefold() for domain in domains),
            tuple(self.address_tags),
            self.default_mail_domain,
            self.manager_tag,
            self.language_tag,
        )


class _EscalationSettings(TableSettings):
    """How a user's case is settled, and when he is reminded.

    The ladder's days must rise, from day 0 on.
    """

    escalation_days: Annotated[list[int], Listed, AfterValidator(_rising)] = [0, 1, 3, 7, 14]
    second_device_days: int = Field(default=0, ge=0)
    off_boarding_grace_minutes: int = Field(default=60, ge=0)

    @property
    def off_boarding_grace(self) -> timedelta:
        """How long after a removal the user may be deleted to count as off-boarded."""
        return timedelta(minutes=self.off_boarding_grace_minutes)

    @property
    def second_device_after(self) -> timedelta | None:
        """When a second device is advised; 0 days: never."""
        return timedelta(days=self.second_device_days) or None

    @property
    def escalation_schedule(self) -> tuple[timedelta, ...]:
        """The ladder's steps."""
        return tuple(timedelta(days=days) for days in self.escalation_days)


class _RequestSettings(TableSettings):
    """How long a change request's windows stand open."""

    approval_window_hours: int = Field(default=24, ge=1)
    enrolment_window_hours: int = Field(default=72, ge=1)

    @property
    def approval_window(self) -> timedelta:
        """For how long an approved request may be fulfilled."""
        return timedelta(hours=self.approval_window_hours)

    @property
    def enrolment_window(self) -> timedelta:
        """How long after the fulfilment the new device may take."""
        return timedelta(hours=self.enrolment_window_hours)


class FeedbackSettings(TableSettings):
    """The environment of on_mail_feedback."""

    dead_letter_queue_url: str = Field(min_length=1)
    max_receive_count: int = Field(default=5, ge=1)


class ObserveSettings(_AddressSettings, _EscalationSettings):
    """The environment of on_sign_in and on_iam_change."""

    dead_letter_queue_url: str = Field(min_length=1)
    max_receive_count: int = Field(default=5, ge=1)
    path: Annotated[EventPath, Field(alias="EVENTS")] = EventPath.IAM_CHANGES
    watcher_name: str = Field(min_length=1)
    watcher_key: Annotated[str | None, Optional] = None
    guard_scp_id: Annotated[str | None, Optional] = None
    operator_roles: Annotated[list[str], Listed] = []
    break_glass_roles: Annotated[list[str], Listed] = []
    fulfil_role: Annotated[str | None, Optional] = None
    member_fulfil_role: Annotated[str | None, Optional] = None
    first_sign_in_grace_minutes: int = Field(default=60, ge=0)

    @property
    def watcher(self) -> Watcher:
        """What is the watcher's own."""
        return Watcher(self.watcher_name, self.watcher_key, self.guard_scp_id)

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            escalation_schedule=self.escalation_schedule,
            second_device_after=self.second_device_after,
            first_sign_in_grace=timedelta(minutes=self.first_sign_in_grace_minutes),
            break_glass_roles=frozenset(self.break_glass_roles),
            operator_roles=frozenset(self.operator_roles),
            fulfil_role=self.fulfil_role,
            member_fulfil_role=self.member_fulfil_role,
            own_account=self.account_id,
            off_boarding_grace=self.off_boarding_grace,
            addresses=self.addresses,
        )


class _HoursSettings(TableSettings):
    """When reminders go out, and in which time zone dates are written."""

    mail_hours: Annotated[tuple[time, time], BeforeValidator(_hours)] = (time(8), time(18))
    time_zone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("UTC")

    @property
    def hours(self) -> MailHours:
        """The mail hours in the account's time zone."""
        return MailHours(*self.mail_hours, self.time_zone)


class RemindSettings(_EscalationSettings, _HoursSettings):
    """The environment of remind."""

    quarantine: Quarantine = Quarantine.OFF
    quarantine_days: int = Field(default=21, ge=1)
    quarantines_members: bool = False

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            escalation_schedule=self.escalation_schedule,
            second_device_after=self.second_device_after,
            mail_hours=self.hours,
            quarantine=self.quarantine,
            quarantine_after=timedelta(days=self.quarantine_days),
            off_boarding_grace=self.off_boarding_grace,
        )


class ChangeDeskSettings(TableSettings):
    """The environment of change_desk."""

    service_desk_roles: Annotated[list[str], Listed] = []

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(service_desk_roles=frozenset(self.service_desk_roles))


class ApprovalDeskSettings(_RequestSettings):
    """The environment of approval_desk."""

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(approval_window=self.approval_window, enrolment_window=self.enrolment_window)


class FulfilSettings(_EscalationSettings, _RequestSettings):
    """The environment of fulfil."""

    member_fulfil_role: str = "mfa-watcher-Fulfil"
    account_alias: Annotated[str | None, Optional] = None

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            escalation_schedule=self.escalation_schedule,
            second_device_after=self.second_device_after,
            off_boarding_grace=self.off_boarding_grace,
            approval_window=self.approval_window,
            enrolment_window=self.enrolment_window,
        )


class ExpireSettings(_EscalationSettings):
    """The environment of expire."""

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            escalation_schedule=self.escalation_schedule,
            second_device_after=self.second_device_after,
            off_boarding_grace=self.off_boarding_grace,
        )


class WatchSettings(TableSettings):
    """The environment of watch."""

    regions: Annotated[list[str], Listed] = []
    iam_region: str = Field(min_length=1)
    heartbeat_hours: int = Field(default=13, ge=1)

    @property
    def silence_threshold(self) -> timedelta:
        """For how long nothing may come from a region before that is told."""
        return timedelta(hours=self.heartbeat_hours)


class SweepSettings(_EscalationSettings):
    """The environment of sweep."""

    sweep_queue_url: str = Field(min_length=1)
    dead_letter_queue_url: str = Field(min_length=1)
    max_receive_count: int = Field(default=5, ge=1)
    lost_events_alert_threshold: int = Field(default=3, ge=0)

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            escalation_schedule=self.escalation_schedule,
            second_device_after=self.second_device_after,
            off_boarding_grace=self.off_boarding_grace,
            lost_events_alerted=self.lost_events_alert_threshold,
        )


class QuarantineSettings(TableSettings):
    """The environment of quarantine."""

    quarantine_policy_arn: str = Field(pattern=r"^arn:")
    quarantine_role: str = "mfa-watcher-Quarantine"
    member_quarantine_policy: str = "mfa-watcher-quarantine"

    def policy_arn_in(self, account_id: str) -> str:
        """Give the policy that shuts in: our own, or the one that a member's forwarder made."""
        if account_id == self.account_id:
            return self.quarantine_policy_arn
        return f"arn:{self.partition}:iam::{account_id}:policy/{self.member_quarantine_policy}"


class DeliverSettings(_AddressSettings, _HoursSettings):
    """The environment of deliver and redeliver."""

    security_contact: str = ""
    default_language: str = "en"
    alert_topic_arn: str = Field(pattern=r"^arn:")
    alert_digest_seconds: int = Field(default=60, ge=0)
    configuration_set: Annotated[str | None, Optional] = None
    account_alias: Annotated[str | None, Optional] = None

    @property
    def alert_digest(self) -> timedelta:
        """How long alerts are gathered that come after a first one; not at all: each is told."""
        return timedelta(seconds=self.alert_digest_seconds)
