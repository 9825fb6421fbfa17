"""What each function is told by its environment, checked on first use."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_snake

from mfa_watcher.domain.addresses import AddressBook
from mfa_watcher.domain.policy import Policy


class SettingsError(Exception):
    """The environment lacks a variable or holds one that cannot be read; the text names it."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


Listed = BeforeValidator(_split)
Optional = BeforeValidator(lambda value: value or None)


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, alias_generator=lambda name: to_snake(name).upper()
    )

    table_name: str = Field(min_length=1)
    account_id: str = Field(pattern=r"^\d{12}$")
    retention_days: int = Field(default=400, ge=1)

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


class ObserveSettings(_Settings):
    """The environment of on_sign_in and on_iam_change."""

    dead_letter_queue_url: str = Field(min_length=1)
    max_receive_count: int = Field(default=5, ge=1)
    watcher_name: str = Field(min_length=1)
    break_glass_roles: Annotated[list[str], Listed] = []
    first_sign_in_grace_minutes: int = Field(default=60, ge=0)
    ladder_days: Annotated[list[int], Listed] = [0, 1, 3, 7, 14]

    @property
    def policy(self) -> Policy:
        """The security team's choices."""
        return Policy(
            ladder=tuple(timedelta(days=days) for days in self.ladder_days),
            first_sign_in_grace=timedelta(minutes=self.first_sign_in_grace_minutes),
            break_glass_roles=frozenset(self.break_glass_roles),
        )


class DeliverSettings(_Settings):
    """The environment of deliver and redeliver."""

    sender_address: str = Field(min_length=3)
    security_contact: str = ""
    mail_domains: Annotated[list[str], Listed] = []
    default_mail_domain: Annotated[str | None, Optional] = None
    address_tag: str = "email"
    alert_topic_arn: str = Field(pattern=r"^arn:")
    configuration_set: Annotated[str | None, Optional] = None
    account_alias: Annotated[str | None, Optional] = None

    @property
    def addresses(self) -> AddressBook:
        """How users' addresses are found; without a list, only the sender's own domain."""
        domains = self.mail_domains or [self.sender_address.rsplit("@", 1)[-1]]
        return AddressBook(
            frozenset(domain.casefold() for domain in domains),
            self.address_tag,
            self.default_mail_domain,
        )

    @property
    def partition(self) -> str:
        """The AWS partition, as the topic's ARN names it."""
        return self.alert_topic_arn.split(":")[1]
