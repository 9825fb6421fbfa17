"""The checkup of a live account: read one thing after the other, and judge it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import TypeVar

from mfa_watcher.domain.health import checks
from mfa_watcher.domain.health.checks import Check, CheckResult, DeniedCall, Level, Stack
from mfa_watcher.domain.health.heartbeats import Heartbeat, expected_sources
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.user import MfaStatus
from mfa_watcher.ports.errors import ExternalServiceError, MissingPermissionError
from mfa_watcher.ports.inspection import Inspector, TableReader

ASKED_ABOUT = 5
"""For so many users IAM simulates the first password: their policies are mostly the same."""

Run = Callable[[], Iterable[CheckResult]]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Examines a deployed watcher and its account. It only reads.

    ``regions`` are those in which people sign in, with the watcher's own.
    """

    stack: Stack
    inspector: Inspector
    table: TableReader
    accounts: Callable[[], tuple[str, ...]]
    regions: tuple[str, ...]
    clock: Callable[[], datetime]
    _known: list[list[InventoryEntry] | None] = field(default_factory=list, init=False)

    def run(
        self, begins: Callable[[Check, str], object] = lambda _check, _about: None
    ) -> list[CheckResult]:
        """Do all checks; ``begins`` hears of each before it is done, and what it is about.

        A check that cannot be done is unknown, and says which permission is missing.
        """
        verdicts: list[CheckResult] = []
        for check, about, run in self._checks():
            begins(check, about)
            verdicts += _run_check(check, about, run)
        return sorted(verdicts, key=lambda one: _ORDER[one.check])

    def _checks(self) -> Iterator[tuple[Check, str, Run]]:
        yield Check.STACK, "", lambda: checks.stack(self.stack)
        for region in sorted({*self.regions, self.stack.iam_region}):
            yield Check.TRAIL, region, partial(self._trail, region)
        yield Check.RULES, "", self._rules
        for region in self._elsewhere():
            yield Check.FORWARDERS, region, partial(self._forwarder, region)
        yield Check.EVENT_BUS, "", self._event_bus
        yield Check.EVENT_SOURCES, "", self._event_sources
        yield Check.FUNCTIONS, "", self._functions
        yield Check.SCHEDULES, "", self._schedules
        yield Check.DEAD_LETTERS, "", self._dead_letters
        yield Check.SES_ACCOUNT, "", self._ses_account
        yield Check.SES_IDENTITY, "", self._ses_identity
        yield Check.SES_QUOTA, "", self._ses_quota
        yield Check.MAIL_DOMAINS, "", self._mail_domains
        yield Check.ALERT_TOPIC, "", self._alert_topic
        yield Check.GUARD_POLICY, "", self._guard_policy
        yield Check.ROOT_MFA, "", lambda: checks.root_mfa(self.inspector.root())
        yield Check.PASSWORD_POLICY, "", self._password_policy
        yield Check.FIRST_PASSWORD, "", self._first_password
        yield Check.LAST_SWEEP, "", self._last_sweep
        yield Check.HEARTBEAT, "", self._heartbeat

    # Events -----------------------------------------------------------------------------------

    def _elsewhere(self) -> list[str]:
        return [region for region in self.regions if region != self.stack.region]

    def _trail(self, region: str) -> Iterable[CheckResult]:
        with_iam = region == self.stack.iam_region
        return checks.trails(region, self.inspector.trails(region), with_iam=with_iam)

    def _rules(self) -> Iterable[CheckResult]:
        own = {id_.rpartition("/")[2] for _, id_ in self.stack.resources.values()}
        return checks.rules(
            self._each("AWS::Events::Rule", self.inspector.rule, by=_name),
            lambda target: target.rpartition(":")[2].rpartition("/")[2] in own,
        )

    def _forwarder(self, region: str) -> Iterable[CheckResult]:
        name = self.stack.name
        rule = self.inspector.rule(checks.forward_rule(name), region)
        queue = checks.forward_dead_letters(name)
        left = self.inspector.forwarder_dead_letters(queue, region) if rule else None
        return checks.forwarders({region: rule}, {region: left}, stack=self.stack)

    def _event_bus(self) -> Iterable[CheckResult]:
        organization = self.stack.parameters.get("OrganizationId", "")
        return checks.event_bus(organization, self.inspector.event_bus_organizations())

    # The watcher ------------------------------------------------------------------------------

    def _event_sources(self) -> Iterable[CheckResult]:
        kind = "AWS::Lambda::EventSourceMapping"
        return checks.event_sources(self._each(kind, self.inspector.event_source, by=_logical))

    def _functions(self) -> Iterable[CheckResult]:
        kind = "AWS::Lambda::Function"
        return checks.functions(self._each(kind, self.inspector.function, by=_name))

    def _schedules(self) -> Iterable[CheckResult]:
        kind = "AWS::Scheduler::Schedule"
        return checks.schedules(self._each(kind, self.inspector.schedule_enabled, by=_name))

    def _dead_letters(self) -> Iterable[CheckResult]:
        queues = self._each("AWS::SQS::Queue", self.inspector.messages, by=_logical, only="Letters")
        return checks.dead_letters(queues)

    def _each(
        self,
        kind: str,
        read: Callable[[str], Found],
        *,
        by: Callable[[str, str], str],
        only: str = "",
    ) -> Mapping[str, Found]:
        """Read each of the stack's resources of a type, named as the reader knows it."""
        return {
            by(logical, physical): read(physical)
            for logical, physical in self.stack.of_type(kind).items()
            if logical.endswith(only)
        }

    # Mail and alerts --------------------------------------------------------------------------

    @property
    def _sender(self) -> str:
        return self.stack.parameters.get("SenderAddress", "")

    def _ses_account(self) -> Iterable[CheckResult]:
        return checks.ses_account(self.inspector.ses_account())

    def _ses_identity(self) -> Iterable[CheckResult]:
        """Ask for the address, its domain, and the domains that this is in."""
        labels = self._sender.rpartition("@")[2].split(".")
        domains = [".".join(labels[at:]) for at in range(len(labels) - 1)]
        known: dict[str, bool] = {}
        for identity in (self._sender, *domains):
            verified = self.inspector.identity_verified(identity)
            if verified is not None:
                known[identity] = verified
            if verified:
                break
        return checks.ses_identity(self._sender, known)

    def _ses_quota(self) -> Iterable[CheckResult]:
        swept = [one for one in map(self.table.last_sweep, self.accounts()) if one]
        users = sum(_counted(one) for one in swept) if swept else None
        return checks.ses_quota(self.inspector.ses_account(), users)

    def _mail_domains(self) -> Iterable[CheckResult]:
        given = self.stack.parameters
        return checks.mail_domains(
            self._sender, given.get("MailDomains", ""), given.get("DefaultMailDomain", "")
        )

    def _alert_topic(self) -> Iterable[CheckResult]:
        return checks.alert_topic(self.inspector.subscriptions(self.stack.outputs["AlertTopicArn"]))

    # The account ------------------------------------------------------------------------------

    def _console_users(self) -> list[InventoryEntry] | None:
        """Give the account's console users as the watcher knows them; None if it knows nobody."""
        if not self._known:
            account_id = self.stack.account_id
            inventory = self.table.inventory(account_id)
            knows = bool(inventory) or self.table.last_sweep(account_id) is not None
            users = [one for one in inventory if checks.has_console_access(one)]
            self._known.append(users if knows else None)
        return self._known[0]

    def _guard_policy(self) -> Iterable[CheckResult]:
        known = self._console_users()
        scp = self.stack.parameters.get("GuardScpId", "")
        return checks.guard_policy(
            self.inspector.guard(self.stack.outputs["GuardPolicyArn"]),
            None if known is None else [one.name for one in known],
            scp=scp,
            scp_targets=self.inspector.scp_targets(scp) if scp else (),
        )

    def _password_policy(self) -> Iterable[CheckResult]:
        return checks.password_policy(self.inspector.password_policy())

    def _first_password(self) -> Iterable[CheckResult]:
        """Ask for those first who are to enrol yet."""
        policy = self.inspector.password_policy()
        known = self._console_users()
        waiting = sorted(
            known or (), key=lambda one: (one.mfa_status is not MfaStatus.UNPROTECTED, one.name)
        )
        asked: dict[str, list[DeniedCall]] = {}
        for one in waiting[:ASKED_ABOUT]:
            blocked = self.inspector.blocked(
                one.name, users_change=policy is not None and policy.users_change
            )
            if blocked is not None:
                asked[one.name] = blocked
        return checks.first_password(
            policy,
            None if known is None else list(asked),
            list(chain.from_iterable(asked.values())),
        )

    # Lately -----------------------------------------------------------------------------------

    def _last_sweep(self) -> Iterable[CheckResult]:
        swept = {account: self.table.last_sweep(account) for account in self.accounts()}
        return checks.last_sweep(swept, now=self.clock())

    def _heartbeat(self) -> Iterable[CheckResult]:
        known = {beat.source: beat for beat in self.table.heartbeats()}
        sources = expected_sources(self.accounts(), self.regions, self.stack.iam_region)
        return checks.heartbeat(
            [known.get(source) or Heartbeat(source) for source in sources],
            now=self.clock(),
            silence_threshold=timedelta(
                hours=float(self.stack.parameters.get("HeartbeatHours") or 13)
            ),
        )


_ORDER = {check: at for at, check in enumerate(Check)}


def _run_check(check: Check, about: str, run: Run) -> Iterable[CheckResult]:
    try:
        return run()
    except MissingPermissionError as error:
        remedy = f"allow yourself {error} (docs/doctor.md has the whole policy)"
        return (CheckResult(check, Level.UNKNOWN, f"{error} is denied", remedy, about),)
    except ExternalServiceError as error:
        remedy = "try again; if it stays, look there by hand"
        return (CheckResult(check, Level.UNKNOWN, str(error), remedy, about),)


def _name(_logical: str, physical: str) -> str:
    return physical


def _logical(logical: str, _physical: str) -> str:
    return logical


def _counted(swept: SweepResult) -> int:
    known = swept.user_counts
    return known.protected + known.unprotected + known.exempt
