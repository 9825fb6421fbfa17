"""The health check of a live account: reads each thing, and checks it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TypeVar

from mfa_watcher.domain.health import (
    account_checks,
    activity_checks,
    event_checks,
    notification_checks,
    resource_checks,
)
from mfa_watcher.domain.health.heartbeats import Heartbeat, expected_sources
from mfa_watcher.domain.health.readings import DeniedCall, Stack
from mfa_watcher.domain.health.results import Check, CheckResult, Level
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry
from mfa_watcher.domain.users.user import MfaStatus
from mfa_watcher.ports.errors import ExternalServiceError, MissingPermissionError
from mfa_watcher.ports.inspection import Inspector, TableReader

SIMULATED_USERS = 5
"""For how many users IAM simulates the first password: most users have the same policies."""

Run = Callable[[], Iterable[CheckResult]]
Reading = TypeVar("Reading")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Checks a deployed watcher and its account. It only reads.

    ``regions`` are those in which people sign in, and the watcher's own.
    """

    stack: Stack
    inspector: Inspector
    table: TableReader
    accounts: Callable[[], tuple[str, ...]]
    regions: tuple[str, ...]
    clock: Callable[[], datetime]
    _console_users_read: list[list[InventoryEntry] | None] = field(default_factory=list, init=False)

    def run(
        self, begins: Callable[[Check, str], object] = lambda _check, _about: None
    ) -> list[CheckResult]:
        """Return the results of all checks.

        ``begins`` is called before each check, with what the check is about. A check that cannot
        be made is UNKNOWN, and names the permission that is missing.
        """
        results: list[CheckResult] = []
        for check, about, run in self._checks():
            begins(check, about)
            results += _run_check(check, about, run)
        return sorted(results, key=lambda one: _ORDER[one.check])

    def _checks(self) -> Iterator[tuple[Check, str, Run]]:
        yield Check.STACK, "", lambda: event_checks.check_stack(self.stack)
        for region in sorted({*self.regions, self.stack.iam_region}):
            yield Check.TRAIL, region, partial(self._trails, region)
        yield Check.RULES, "", self._rules
        for region in self.regions:
            if region != self.stack.region:
                yield Check.FORWARDERS, region, partial(self._forwarder, region)
        yield Check.EVENT_BUS, "", self._event_bus
        yield Check.EVENT_SOURCES, "", self._event_sources
        yield Check.FUNCTIONS, "", self._functions
        yield Check.CONCURRENCY, "", self._concurrency
        yield Check.SCHEDULES, "", self._schedules
        yield Check.DEAD_LETTERS, "", self._dead_letters
        yield Check.SES_ACCOUNT, "", self._ses_account
        yield Check.SES_IDENTITY, "", self._ses_identity
        yield Check.SES_QUOTA, "", self._ses_quota
        yield Check.MAIL_DOMAINS, "", self._mail_domains
        yield Check.ALERT_TOPIC, "", self._alert_topic
        yield Check.GUARD_POLICY, "", self._guard_policy
        yield Check.ROOT_MFA, "", self._root_mfa
        yield Check.PASSWORD_POLICY, "", self._password_policy
        yield Check.FIRST_PASSWORD, "", self._first_password
        yield Check.LAST_SWEEP, "", self._last_sweep
        yield Check.HEARTBEAT, "", self._heartbeat

    # Events -----------------------------------------------------------------------------------

    def _trails(self, region: str) -> Iterable[CheckResult]:
        with_iam = region == self.stack.iam_region
        return event_checks.check_trails(region, self.inspector.trails(region), with_iam=with_iam)

    def _rules(self) -> Iterable[CheckResult]:
        own = {id_.rpartition("/")[2] for _, id_ in self.stack.resources.values()}
        rules = self._each("AWS::Events::Rule", self.inspector.rule)
        return event_checks.check_rules(
            rules, lambda target: target.rpartition(":")[2].rpartition("/")[2] in own
        )

    def _forwarder(self, region: str) -> Iterable[CheckResult]:
        name = self.stack.name
        rule = self.inspector.rule(event_checks.forwarder_rule(name), region)
        queue = event_checks.forwarder_dead_letters(name)
        messages = self.inspector.forwarder_dead_letters(queue, region) if rule else None
        return event_checks.check_forwarders({region: rule}, {region: messages}, stack=self.stack)

    def _event_bus(self) -> Iterable[CheckResult]:
        organization = self.stack.parameters.get("OrganizationId", "")
        return event_checks.check_event_bus(organization, self.inspector.event_bus_organizations())

    # The watcher's resources ------------------------------------------------------------------

    def _event_sources(self) -> Iterable[CheckResult]:
        kind, read = "AWS::Lambda::EventSourceMapping", self.inspector.event_source
        return resource_checks.check_event_sources(self._each(kind, read, by_logical_id=True))

    def _functions(self) -> Iterable[CheckResult]:
        functions = self._each("AWS::Lambda::Function", self.inspector.function)
        return resource_checks.check_functions(functions)

    def _concurrency(self) -> Iterable[CheckResult]:
        return resource_checks.check_concurrency(
            self.inspector.unreserved_concurrency(), self.stack.queue_concurrency
        )

    def _schedules(self) -> Iterable[CheckResult]:
        schedules = self._each("AWS::Scheduler::Schedule", self.inspector.schedule_enabled)
        return resource_checks.check_schedules(schedules)

    def _dead_letters(self) -> Iterable[CheckResult]:
        queues, read = self.stack.of_type("AWS::SQS::Queue").items(), self.inspector.messages
        dead_letters = {name: read(url) for name, url in queues if name.endswith("Letters")}
        return resource_checks.check_dead_letters(dead_letters)

    def _each(
        self, kind: str, read: Callable[[str], Reading], *, by_logical_id: bool = False
    ) -> Mapping[str, Reading]:
        """Read each of the stack's resources of a type, by its physical id if that is its name."""
        resources = self.stack.of_type(kind).items()
        return {
            logical if by_logical_id else physical: read(physical)
            for logical, physical in resources
        }

    # Mails and alerts -------------------------------------------------------------------------

    @property
    def _sender(self) -> str:
        return self.stack.parameters.get("SenderAddress", "")

    def _ses_account(self) -> Iterable[CheckResult]:
        return notification_checks.check_ses_account(self.inspector.ses_account())

    def _ses_identity(self) -> Iterable[CheckResult]:
        """Read the identities of the address, of its domain, and of the domains above it."""
        labels = self._sender.rpartition("@")[2].split(".")
        domains = [".".join(labels[at:]) for at in range(len(labels) - 1)]
        identities: dict[str, bool] = {}
        for identity in (self._sender, *domains):
            verified = self.inspector.identity_verified(identity)
            if verified is not None:
                identities[identity] = verified
            if verified:
                break
        return notification_checks.check_ses_identity(self._sender, identities)

    def _ses_quota(self) -> Iterable[CheckResult]:
        sweeps = [one for one in map(self.table.last_sweep, self.accounts()) if one]
        users = sum(one.user_counts.console_users for one in sweeps) if sweeps else None
        return notification_checks.check_ses_quota(self.inspector.ses_account(), users)

    def _mail_domains(self) -> Iterable[CheckResult]:
        parameters = self.stack.parameters
        return notification_checks.check_mail_domains(
            self._sender, parameters.get("MailDomains", ""), parameters.get("DefaultMailDomain", "")
        )

    def _alert_topic(self) -> Iterable[CheckResult]:
        subscriptions = self.inspector.subscriptions(self.stack.outputs["AlertTopicArn"])
        return notification_checks.check_alert_topic(subscriptions)

    # The account ------------------------------------------------------------------------------

    def _console_users(self) -> list[InventoryEntry] | None:
        """Return the account's console users; None if the watcher knows no users yet."""
        if not self._console_users_read:
            account_id = self.stack.account_id
            inventory = self.table.inventory(account_id)
            known = bool(inventory) or self.table.last_sweep(account_id) is not None
            users = [entry for entry in inventory if entry.has_console_access]
            self._console_users_read.append(users if known else None)
        return self._console_users_read[0]

    def _guard_policy(self) -> Iterable[CheckResult]:
        users = self._console_users()
        scp = self.stack.parameters.get("GuardScpId", "")
        return account_checks.check_guard_policy(
            self.inspector.guard_policy(self.stack.outputs["GuardPolicyArn"]),
            None if users is None else [entry.name for entry in users],
            scp=scp,
            scp_targets=self.inspector.scp_targets(scp) if scp else (),
        )

    def _root_mfa(self) -> Iterable[CheckResult]:
        return account_checks.check_root_mfa(self.inspector.root_user())

    def _password_policy(self) -> Iterable[CheckResult]:
        return account_checks.check_password_policy(self.inspector.password_policy())

    def _first_password(self) -> Iterable[CheckResult]:
        """Simulate the calls for a few users, those without a device first."""
        policy = self.inspector.password_policy()
        users = self._console_users()
        unprotected_first = sorted(
            users or (),
            key=lambda entry: (entry.mfa_status is not MfaStatus.UNPROTECTED, entry.name),
        )
        denied: dict[str, list[DeniedCall]] = {}
        for entry in unprotected_first[:SIMULATED_USERS]:
            calls = self.inspector.denied_password_calls(
                entry.name, users_change=policy is not None and policy.users_change
            )
            if calls is not None:
                denied[entry.name] = calls
        return account_checks.check_first_password(
            policy,
            None if users is None else list(denied),
            list(chain.from_iterable(denied.values())),
        )

    # Recent activity --------------------------------------------------------------------------

    def _last_sweep(self) -> Iterable[CheckResult]:
        sweeps = {account: self.table.last_sweep(account) for account in self.accounts()}
        return activity_checks.check_last_sweep(sweeps, now=self.clock())

    def _heartbeat(self) -> Iterable[CheckResult]:
        recorded = {heartbeat.source: heartbeat for heartbeat in self.table.heartbeats()}
        sources = expected_sources(self.accounts(), self.regions, self.stack.iam_region)
        return activity_checks.check_heartbeats(
            [recorded.get(source) or Heartbeat(source) for source in sources],
            now=self.clock(),
            silence_threshold=self.stack.silence_threshold,
        )


_ORDER = {check: at for at, check in enumerate(Check)}


def _run_check(check: Check, about: str, run: Run) -> Iterable[CheckResult]:
    try:
        return run()
    except MissingPermissionError as error:
        remedy = f"allow yourself {error} (docs/doctor.md has the complete policy)"
        return (CheckResult(check, Level.UNKNOWN, f"{error} is denied", remedy, about),)
    except ExternalServiceError as error:
        remedy = "try again; if the error stays, look at the resource yourself"
        return (CheckResult(check, Level.UNKNOWN, str(error), remedy, about),)
