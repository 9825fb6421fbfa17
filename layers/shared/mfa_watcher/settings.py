"""What each function reads from its environment, checked when the function starts.

Every variable is required: a function that lacks one does not start, and says which one. Some may
be empty, which then means "none".
"""

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
from mfa_watcher.domain.requests.approvers import Approvers
from mfa_watcher.domain.users.addresses import AddressBook

_HOURS_A_DAY = 24
_STEPS = 5
"""Guide, two reminders, final warning, case for security: the mails' words say what comes next."""


class SettingsError(Exception):
    """The environment lacks a variable or holds one that cannot be read; the text names it."""


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _rising(days: list[int]) -> list[int]:
    if len(days) != _STEPS or days != sorted(set(days)) or days[0] != 0:
        raise ValueError(f"must be {_STEPS} days that rise from 0 on, such as 0,1,3,7,14")
    return days


def _hours(value: str) -> tuple[time, time]:
    """Read "8-18": from eight until before six in the evening."""
    start, _, end = value.partition("-")
    if not (start.isdigit() and end.isdigit() and int(start) < int(end) <= _HOURS_A_DAY):
        raise ValueError("must be two hours, the first before the second, such as 8-18")
    last = time.max if int(end) == _HOURS_A_DAY else time(int(end))
    return time(int(start)), last


def _zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"no time zone {value!r}; an IANA name is needed, such as Europe/Berlin"
        ) from error


Text = Annotated[str, Field(min_length=1)]
TextOrNone = Annotated[str | None, BeforeValidator(lambda value: value or None)]
Texts = Annotated[list[str], BeforeValidator(_split)]
Arn = Annotated[str, Field(pattern=r"^arn:")]
Count = Annotated[int, Field(ge=0)]
CountFromOne = Annotated[int, Field(ge=1)]


class TableSettings(BaseModel):
    """The accounts that are watched, and the table with all that is known of their users."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
        alias_generator=lambda name: to_snake(name).upper(),
    )

    table_name: Text
    account_id: str = Field(pattern=r"^\d{12}$")
    partition: Text
    organization_id: TextOrNone
    member_accounts: Texts
    reader_role: Text
    retention_days: CountFromOne

    @property
    def asks_organization(self) -> bool:
        """Whether the organization says who its members are, since nobody named them."""
        return self.organization_id is not None and not self.member_accounts

    @property
    def keep_evidence(self) -> timedelta:
        """How long history and finished intents are kept."""
        return timedelta(days=self.retention_days)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the settings in the environment.

        Raises SettingsError, which names each variable that is missing or cannot be read.
        """
        try:
            return cls.model_validate(dict(os.environ if environment is None else environment))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise SettingsError(f"the function's environment is not usable: {faults}") from error


class PolicySettings(TableSettings):
    """The security team's choices: each parameter of the stack that is part of the policy.

    Every function has all of them, so that none decides by other rules than its neighbours; expire
    and the desks need no more.
    """

    # When users are written to, and when more than that happens.
    escalation_days: Annotated[list[int], BeforeValidator(_split), AfterValidator(_rising)]
    second_device_days: Count
    mail_hours: Annotated[tuple[time, time], BeforeValidator(_hours)]
    time_zone: Annotated[ZoneInfo, BeforeValidator(_zone)]
    quarantine: Quarantine
    quarantine_days: CountFromOne
    first_sign_in_grace_minutes: Count
    off_boarding_grace_minutes: Count
    lost_events_alert_threshold: Count

    # Change requests.
    approval_window_hours: CountFromOne
    enrolment_window_hours: CountFromOne

    # Who may do what.
    break_glass_roles: Texts
    operator_roles: Texts
    service_desk_roles: Texts
    fulfil_role: TextOrNone
    member_fulfil_role: Text

    # Where users may be written to.
    sender_address: str = Field(min_length=3)
    mail_domains: Texts
    default_mail_domain: TextOrNone
    address_tags: Annotated[Texts, Field(min_length=1)]
    manager_tag: Text
    language_tag: Text

    @property
    def addresses(self) -> AddressBook:
        """How users' addresses are found; without a list, only in the sender's own domain."""
        domains = self.mail_domains or [self.sender_address.rsplit("@", 1)[-1]]
        return AddressBook(
            frozenset(domain.casefold() for domain in domains),
            tuple(self.address_tags),
            self.default_mail_domain,
            self.manager_tag,
            self.language_tag,
        )

    @property
    def policy(self) -> Policy:
        """The policy that these choices make."""
        return Policy(
            escalation_schedule=tuple(timedelta(days=days) for days in self.escalation_days),
            second_device_after=timedelta(days=self.second_device_days) or None,
            mail_hours=MailHours(*self.mail_hours, self.time_zone),
            quarantine=self.quarantine,
            quarantine_after=timedelta(days=self.quarantine_days),
            first_sign_in_grace=timedelta(minutes=self.first_sign_in_grace_minutes),
            off_boarding_grace=timedelta(minutes=self.off_boarding_grace_minutes),
            lost_events_alerted=self.lost_events_alert_threshold,
            approval_window=timedelta(hours=self.approval_window_hours),
            enrolment_window=timedelta(hours=self.enrolment_window_hours),
            break_glass_roles=frozenset(self.break_glass_roles),
            operator_roles=frozenset(self.operator_roles),
            service_desk_roles=frozenset(self.service_desk_roles),
            fulfil_role=self.fulfil_role,
            member_fulfil_role=self.member_fulfil_role,
            own_account=self.account_id,
            addresses=self.addresses,
        )


class QueueSettings(PolicySettings):
    """The environment of a function that a queue calls; on_mail_feedback needs no more."""

    dead_letter_queue_url: Text
    max_receive_count: CountFromOne


class ObserveSettings(QueueSettings):
    """The environment of on_sign_in and on_iam_change."""

    path: Annotated[EventPath, Field(alias="EVENTS")]
    watcher_name: Text
    watcher_key: Text
    guard_scp_id: TextOrNone

    @property
    def watcher(self) -> Watcher:
        """What belongs to the watcher itself."""
        return Watcher(self.watcher_name, self.watcher_key, self.guard_scp_id)


class DeliverSettings(PolicySettings):
    """The environment of deliver and redeliver."""

    security_contact: Text
    default_language: Text
    alert_topic_arn: Arn
    alert_digest_seconds: Count
    configuration_set: TextOrNone
    account_alias: TextOrNone

    @property
    def alert_digest(self) -> timedelta:
        """How long alerts are gathered after a first one; 0: each is sent by itself."""
        return timedelta(seconds=self.alert_digest_seconds)


class RemindSettings(PolicySettings):
    """The environment of remind."""

    quarantines_members: bool


class SweepSettings(QueueSettings):
    """The environment of sweep."""

    sweep_queue_url: Text


class WatchSettings(PolicySettings):
    """The environment of watch."""

    regions: Texts
    iam_region: Text
    heartbeat_hours: CountFromOne

    @property
    def silence_threshold(self) -> timedelta:
        """How long no event may come from a region before security is alerted."""
        return timedelta(hours=self.heartbeat_hours)


class QuarantineSettings(PolicySettings):
    """The environment of quarantine."""

    quarantine_policy_arn: Arn
    quarantine_role: Text
    member_quarantine_policy: Text

    def policy_arn_in(self, account_id: str) -> str:
        """Return the quarantine policy's ARN: our own, or that of a member's forwarder."""
        if account_id == self.account_id:
            return self.quarantine_policy_arn
        return f"arn:{self.partition}:iam::{account_id}:policy/{self.member_quarantine_policy}"


class ApproverSettings(PolicySettings):
    """The environment of approval_desk: who may decide, and how they prove who they are."""

    approver_role_id: TextOrNone
    approver_permission_sets: Texts
    sts_endpoint: str = Field(pattern=r"^(https://[a-z0-9.-]+|http://127\.0\.0\.1:[0-9]+)$")
    sts_region: Text
    proof_function: Text

    @property
    def approvers(self) -> Approvers:
        """Whom the account named."""
        return Approvers(self.approver_role_id, frozenset(self.approver_permission_sets))


class FulfilSettings(ApproverSettings):
    """The environment of fulfil."""

    account_alias: TextOrNone
