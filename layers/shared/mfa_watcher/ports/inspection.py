"""What the health check reads of a live account."""

from typing import Protocol

from mfa_watcher.domain.health.checks import (
    DeniedCall,
    EventSource,
    Function,
    Guard,
    PasswordPolicy,
    Root,
    Rule,
    SesAccount,
    Subscriptions,
    Trail,
)
from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult


class Inspector(Protocol):
    """Reads a live account for the checkup: None if a thing is not there.

    All raise MissingPermissionError or InspectionError.
    """

    def trails(self, region: str) -> list[Trail]:
        """Give the trails that take a region's events."""
        ...

    def rule(self, name: str, region: str | None = None) -> Rule | None:
        """Give a rule of the default bus; without a region, in the stack's own."""
        ...

    def event_bus_organizations(self) -> set[str]:
        """Give the organizations whose events the hub's bus takes; ``*``, everybody's."""
        ...

    def forwarder_dead_letters(self, queue: str, region: str) -> int | None:
        """Count what a forwarder could not send."""
        ...

    def function(self, name: str) -> Function | None:
        """Give a function."""
        ...

    def event_source(self, uuid: str) -> EventSource | None:
        """Give an event source mapping."""
        ...

    def schedule_enabled(self, name: str) -> bool | None:
        """Tell whether a schedule is enabled."""
        ...

    def messages(self, queue_url: str) -> int | None:
        """Count a queue's messages."""
        ...

    def mail_account(self) -> SesAccount:
        """Give what SES allows the account."""
        ...

    def identity_verified(self, identity: str) -> bool | None:
        """Tell whether SES sends for an address or a domain."""
        ...

    def subscriptions(self, topic_arn: str) -> Subscriptions | None:
        """Count a topic's subscriptions."""
        ...

    def guard(self, policy_arn: str) -> Guard | None:
        """Give the guard policy and whom it is attached to."""
        ...

    def scp_targets(self, policy_id: str) -> list[str]:
        """Give what a service control policy is attached to: roots, units, accounts."""
        ...

    def root(self) -> Root:
        """Give what is known of root's credentials."""
        ...

    def password_policy(self) -> PasswordPolicy | None:
        """Give the account's password policy."""
        ...

    def blocked(self, user: str, *, users_change: bool) -> list[DeniedCall] | None:
        """Give the calls for a first password that a user without MFA is refused.

        ``users_change``: the account lets everybody change his own password.
        """
        ...


class TableReader(Protocol):
    """Reads for the checkup what the watcher keeps. Raises as the Inspector does."""

    def last_sweep(self, account_id: str) -> SweepResult | None:
        """Give what is kept of an account's last sweep."""
        ...

    def inventory(self, account_id: str) -> list[InventoryEntry]:
        """Give whom the watcher knows in an account."""
        ...

    def heartbeats(self) -> "list[Heartbeat]":
        """Give all heartbeats, of whatever was ever seen or expected."""
        ...
