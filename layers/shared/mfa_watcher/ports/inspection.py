"""What the health check reads of a live account."""

from typing import Protocol

from mfa_watcher.domain.health import readings
from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult


class Inspector(Protocol):
    """Reads a live account. Where None can be returned, it means that the thing does not exist.

    All methods raise MissingPermissionError or InspectionError.
    """

    # Events

    def trails(self, region: str) -> list[readings.Trail]:
        """Return the trails that record a region's events."""

    def rule(self, name: str, region: str | None = None) -> readings.Rule | None:
        """Return a rule of the default event bus; without a region, of the stack's own region."""

    def event_bus_organizations(self) -> set[str]:
        """Return the organizations whose events the hub's event bus accepts; ``*``: everybody."""

    def forwarder_dead_letters(self, queue: str, region: str) -> int | None:
        """Return how many events a forwarder could not send."""

    # The watcher's resources

    def event_source(self, uuid: str) -> readings.EventSource | None:
        """Return an event source mapping."""

    def function(self, name: str) -> readings.Function | None:
        """Return a function."""

    def unreserved_concurrency(self) -> int:
        """Return how many functions without a reservation may run at the same time."""

    def schedule_enabled(self, name: str) -> bool | None:
        """Return whether a schedule is enabled."""

    def messages(self, queue_url: str) -> int | None:
        """Return how many messages a queue holds, including those in flight."""

    # Mails and alerts

    def ses_account(self) -> readings.SesAccount:
        """Return what SES allows the account."""

    def identity_verified(self, identity: str) -> bool | None:
        """Return whether SES sends for an address or a domain."""

    def subscriptions(self, topic_arn: str) -> readings.Subscriptions | None:
        """Return how many subscriptions a topic has."""

    # The account

    def guard_policy(self, policy_arn: str) -> readings.GuardPolicy | None:
        """Return the guard policy, and to whom it is attached."""

    def scp_targets(self, policy_id: str) -> list[str]:
        """Return the roots, units and accounts to which a service control policy is attached."""

    def root_user(self) -> readings.RootUser:
        """Return what is known of the root user's credentials."""

    def password_policy(self) -> readings.PasswordPolicy | None:
        """Return the account's password policy; None if IAM's default applies."""

    def denied_password_calls(
        self, user: str, *, users_change: bool
    ) -> list[readings.DeniedCall] | None:
        """Return the calls for setting a first password that a user without MFA may not make.

        ``users_change`` is whether the account lets all users change their own password.
        """


class TableReader(Protocol):
    """Reads the watcher's own records. Raises the same errors as the Inspector."""

    def last_sweep(self, account_id: str) -> SweepResult | None:
        """Return the result of an account's last sweep."""

    def inventory(self, account_id: str) -> list[InventoryEntry]:
        """Return the users whom the watcher knows in an account."""

    def heartbeats(self) -> list[Heartbeat]:
        """Return all recorded heartbeats."""
