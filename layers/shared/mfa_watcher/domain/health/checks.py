"""The checkup: what must be true of a live account for nobody to be missed, and what is said of it.

What was read comes in, verdicts go out. A verdict that is not good says what to do.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult
from mfa_watcher.domain.users.user import MfaStatus

MOST_NAMED = 5
"""So many are named in one line; of the others it is said how many there are."""

SWEEP_LATE = timedelta(hours=10)
"""Two sweeps in a row that never came, as the alarm on silence has it."""

IAM_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
"""Where a partition's IAM is, and its events."""

SIGN_IN_REGIONS = {"aws": ("us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")}
"""Where the console records sign-ins by itself, beside the regional endpoints that people use."""

LEAST_LENGTH = 14
"""CIS AWS Foundations Benchmark 5.0, recommendation 1.7."""

LEAST_REMEMBERED = 24
"""CIS AWS Foundations Benchmark 5.0, recommendation 1.8: what IAM can remember at most."""

LONG_ENOUGH_WITHOUT_CLASSES = 20
"""From here on length outweighs classes of characters: our own judgement, not the benchmark's."""

_CLASSES = 4
"""Of characters, as IAM tells them apart."""

_IN_MINUTES = 120
_IN_HOURS = 48

_GOOD_STACK = frozenset(
    {"CREATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}
)
_TRAIL_SOURCES = ("iam.amazonaws.com", "signin.amazonaws.com")
"""What a trail must not leave out."""

_OWN_SOURCES = frozenset(
    f"{service}.amazonaws.com"
    for service in (
        *("cloudtrail", "dynamodb", "events", "kms", "lambda", "logs"),
        *("organizations", "scheduler", "sns", "sqs"),
    )
)
"""What tells of attempts against the watcher itself."""


class Level(StrEnum):
    """How a check ended. Whatever could not be looked at is not good either."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def passes(self) -> bool:
        """Tell whether the watcher can be relied on in this."""
        return self in {Level.OK, Level.WARNING}


class Group(StrEnum):
    """What checks are about."""

    EVENTS = "Events come in"
    RUNNING = "The watcher runs"
    TELLING = "People are told"
    RULES = "The account's rules"
    LATELY = "It saw something lately"


class Check(Enum):
    """All checks, in the order they are told."""

    STACK = ("stack", Group.EVENTS)
    TRAIL = ("trail", Group.EVENTS)
    RULES = ("rules", Group.EVENTS)
    FORWARDERS = ("forwarders", Group.EVENTS)
    EVENT_BUS = ("event_bus", Group.EVENTS)
    EVENT_SOURCES = ("event_sources", Group.RUNNING)
    FUNCTIONS = ("functions", Group.RUNNING)
    SCHEDULES = ("schedules", Group.RUNNING)
    DEAD_LETTERS = ("dead_letters", Group.RUNNING)
    SES_ACCOUNT = ("ses_account", Group.TELLING)
    SES_IDENTITY = ("ses_identity", Group.TELLING)
    SES_QUOTA = ("ses_quota", Group.TELLING)
    MAIL_DOMAINS = ("mail_domains", Group.TELLING)
    ALERT_TOPIC = ("alert_topic", Group.TELLING)
    GUARD_POLICY = ("guard_policy", Group.RULES)
    ROOT_MFA = ("root_mfa", Group.RULES)
    PASSWORD_POLICY = ("password_policy", Group.RULES)
    FIRST_PASSWORD = ("first_password", Group.RULES)
    LAST_SWEEP = ("last_sweep", Group.LATELY)
    HEARTBEAT = ("heartbeat", Group.LATELY)

    def __init__(self, word: str, group: Group) -> None:
        """Take the word that names the check in JSON, and its group."""
        self.word = word
        self.group = group

    @property
    def title(self) -> str:
        """Name it for a reader."""
        return self.word.replace("_", " ")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check says of one thing. ``about`` is a region, a resource; empty, the whole."""

    check: Check
    level: Level
    seen: str
    remedy: str = ""
    about: str = ""


# What was read ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed watcher."""

    name: str
    account_id: str
    region: str
    partition: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    resources: Mapping[str, tuple[str, str]]
    """By logical id: type and physical id."""

    def of_type(self, kind: str) -> dict[str, str]:
        """Give the physical ids of the resources of a type, by logical id."""
        return {name: id_ for name, (type_, id_) in self.resources.items() if type_ == kind}

    @property
    def iam_region(self) -> str:
        """Give the region of the partition's IAM."""
        return IAM_REGIONS.get(self.partition, self.region)

    @property
    def sign_in_regions(self) -> tuple[str, ...]:
        """Give the regions that the watcher expects sign-ins from."""
        named = self.parameters.get("SignInRegions", "").split(",")
        given = tuple(one.strip() for one in named if one.strip())
        return given or SIGN_IN_REGIONS.get(self.partition, (self.region,))

    @property
    def bus(self) -> str:
        """Give the ARN of the bus that forwarders send to."""
        return f"arn:{self.partition}:events:{self.region}:{self.account_id}:event-bus/default"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which management events a trail takes."""

    writes: bool
    left_out: frozenset[str] = frozenset()
    narrowed_by: tuple[str, ...] = ()
    """Fields that an advanced selector asks for, beyond those that are judged."""


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as it is in a region."""

    name: str
    logging: bool
    global_events: bool
    selectors: tuple[Selector, ...]
    delivery_error: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """An EventBridge rule. ``targets`` are ARNs."""

    enabled: bool
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventSource:
    """An event source mapping: what it is in, and how the last batch went."""

    state: str
    last_result: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function. ``reserved``: how many may run at a time; None, no limit of its own."""

    state: str
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class SesAccount:
    """An account's SES in a region. ``daily`` recipients; negative, without limit."""

    production: bool
    sending: bool
    enforcement: str
    daily: float


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """How many a topic has."""

    confirmed: int
    pending: int


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard policy: whether it still denies, and whom it is attached to.

    ``members`` are the users of its groups.
    """

    denies_removal: bool
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()

    @property
    def covers(self) -> frozenset[str]:
        """Give the users it holds for, in lower case: IAM ignores a name's case."""
        return frozenset(name.casefold() for name in (*self.users, *self.members))


@dataclass(frozen=True, slots=True)
class Root:
    """What GetAccountSummary says of the root user."""

    mfa: bool
    password: bool
    access_keys: bool


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The account's password policy."""

    length: int
    classes: int
    """How many of upper case, lower case, numbers and symbols are required."""
    remembered: int
    users_change: bool
    hard_expiry: bool = False
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class DeniedCall:
    """A call that IAM's simulation refuses a user without MFA, and by which policy."""

    user: str
    action: str
    policy: str = ""


# Verdicts -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Notes:
    """What one check finds: a line for each fault, or one that says all is well."""

    check: Check
    verdicts: list[CheckResult] = field(default_factory=list)

    def fail(self, seen: str, remedy: str, about: str = "") -> None:
        self.verdicts.append(CheckResult(self.check, Level.FAIL, seen, remedy, about))

    def warn(self, seen: str, remedy: str, about: str = "") -> None:
        self.verdicts.append(CheckResult(self.check, Level.WARNING, seen, remedy, about))

    def unknown(self, seen: str, remedy: str, about: str = "") -> None:
        self.verdicts.append(CheckResult(self.check, Level.UNKNOWN, seen, remedy, about))

    def or_well(self, seen: str, about: str = "") -> tuple[CheckResult, ...]:
        return tuple(self.verdicts) or (CheckResult(self.check, Level.OK, seen, about=about),)


def named(names: Iterable[str]) -> str:
    """Name some, and say how many more there are."""
    listed = sorted(names)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def stack(found: Stack) -> tuple[CheckResult, ...]:
    """Judge where the stack is, and how its last deployment ended."""
    notes = _Notes(Check.STACK)
    if found.region != found.iam_region:
        notes.fail(
            f"deployed in {found.region}, but IAM's events appear in {found.iam_region} alone",
            f"deploy it in {found.iam_region}",
        )
    if found.status not in _GOOD_STACK:
        notes.fail(
            f"its last deployment ended as {found.status}",
            "see its events in CloudFormation, mend the cause and deploy again",
        )
    return notes.or_well(f"{found.name} in {found.region} of account {found.account_id}")


def trails(region: str, found: Sequence[Trail], *, with_iam: bool) -> tuple[CheckResult, ...]:
    """Judge whether a trail writes management events in a region, without which no rule fires.

    IAM's events are global ones: where they appear, a trail must take those, too.
    """
    notes = _Notes(Check.TRAIL)
    judged = [(trail, _shortcoming(trail, with_iam=with_iam)) for trail in found]
    good = [trail for trail, lacks in judged if not lacks]
    if not good:
        why = "; ".join(f"{trail.name} {lacks}" for trail, lacks in judged)
        notes.fail(
            why or "there is no trail",
            "have a multi-region trail log write management events, all sources, and start it"
            " (cloudtrail create-trail --is-multi-region-trail, start-logging)",
            region,
        )
        return tuple(notes.verdicts)
    whole = [trail for trail in good if not any(one.narrowed_by for one in trail.selectors)]
    if not whole:
        fields = {name for one in good for each in one.selectors for name in each.narrowed_by}
        notes.unknown(
            f"{named(one.name for one in good)} takes only events with certain {named(fields)}",
            "take the field out of the trail's advanced selectors, or have another trail beside it",
            region,
        )
    elif blind := frozenset.intersection(*(_own_left_out(trail) for trail in whole)):
        notes.warn(
            f"{named(one.name for one in whole)} leaves out {named(blind)}:"
            " nobody hears of changes to what the watcher has there",
            "take it into the trail's selectors",
            region,
        )
    elif all(trail.delivery_error for trail in whole):
        notes.warn(
            f"{whole[0].name} logs, but cannot deliver to its bucket: {whole[0].delivery_error}",
            "mend the bucket or its policy: events come in, but no evidence is kept",
            region,
        )
    return notes.or_well(f"{named(one.name for one in whole)} logs write events", region)


def _own_left_out(trail: Trail) -> frozenset[str]:
    left_out = [one.left_out for one in trail.selectors if one.writes]
    return frozenset.intersection(_OWN_SOURCES, *left_out)


def _shortcoming(trail: Trail, *, with_iam: bool) -> str:
    writing = [one for one in trail.selectors if one.writes]
    left_out = [
        source for source in _TRAIL_SOURCES if all(source in one.left_out for one in writing)
    ]
    if not trail.logging:
        return "is stopped"
    if not writing:
        return "logs no write management events"
    if left_out:
        return f"leaves out {', '.join(left_out)}"
    if with_iam and not trail.global_events:
        return "leaves out global services, which IAM is"
    return ""


def rules(
    found: Mapping[str, Rule | None], reaches: Callable[[str], bool]
) -> tuple[CheckResult, ...]:
    """Judge the stack's rules. ``reaches`` tells whether a target's ARN is one of the stack's."""
    notes = _Notes(Check.RULES)
    again = "deploy the stack again, and ask who changed it: the alerts name him"
    for name, rule in found.items():
        if rule is None:
            notes.fail("is gone", again, name)
        elif not rule.enabled:
            notes.fail("is disabled", f"aws events enable-rule --name {name}", name)
        elif not any(map(reaches, rule.targets)):
            notes.fail("has no target in the stack", again, name)
    return notes.or_well(f"{len(found)} enabled, with their targets")


def forwarders(
    found: Mapping[str, Rule | None], letters: Mapping[str, int | None], *, stack: Stack
) -> tuple[CheckResult, ...]:
    """Judge the hub account's forwarders, by region, and their dead letters."""
    notes = _Notes(Check.FORWARDERS)
    for region, rule in found.items():
        if rule is None:
            notes.fail(
                "there is none: sign-ins there are not seen",
                f"deploy forwarder.yaml there with HubAccountId={stack.account_id}"
                f" HubStackName={stack.name}; or leave the region out if nobody signs in there",
                region,
            )
        elif not rule.enabled:
            notes.fail(
                "its rule is disabled: sign-ins there are not seen",
                f"aws events enable-rule --region {region} --name {forward_rule(stack.name)}",
                region,
            )
        elif stack.bus not in rule.targets:
            notes.fail(
                "its rule does not send to the hub's bus",
                f"deploy forwarder.yaml there again; the target is {stack.bus}",
                region,
            )
        elif letters.get(region):
            notes.fail(
                f"{count(letters[region] or 0, 'event')} did not reach the hub",
                f"see whether the hub's bus lets it in, then empty"
                f" {forward_dead_letters(stack.name)}: the next sweep finds what they were about",
                region,
            )
    return notes.or_well(f"enabled in {named(found)}" if found else "no other region is expected")


def forward_rule(stack_name: str) -> str:
    """Give the name of a forwarder's rule for sign-ins."""
    return f"{stack_name}-forward-sign-in"


def forward_dead_letters(stack_name: str) -> str:
    """Give the name of a forwarder's queue of dead letters."""
    return f"{stack_name}-forward-dead-letters"


def event_bus(organization_id: str, lets_in: Collection[str]) -> tuple[CheckResult, ...]:
    """Judge whether the bus takes events of the organization, and of nobody else.

    ``lets_in`` are the organizations that its policy names; ``*`` for everybody.
    """
    notes = _Notes(Check.EVENT_BUS)
    if "*" in lets_in:
        notes.fail(
            "anybody may put events on it",
            "take the statement without a condition out of the default bus's policy",
        )
    elif organization_id and organization_id not in lets_in:
        notes.fail(
            f"takes no events of the organization {organization_id}",
            "deploy the stack again: the statement is gone from the default bus's policy",
        )
    return notes.or_well(
        f"takes events of {organization_id}" if organization_id else "takes this account's events"
    )


def event_sources(found: Mapping[str, EventSource | None]) -> tuple[CheckResult, ...]:
    """Judge what hands the queues and the table's stream to the functions."""
    notes = _Notes(Check.EVENT_SOURCES)
    for name, source in found.items():
        if source is None:
            notes.fail("is gone", "deploy the stack again", name)
        elif source.state not in {"Enabled", "Enabling", "Creating", "Updating"}:
            notes.fail(
                f"is {source.state.casefold()}",
                "aws lambda update-event-source-mapping --enabled --uuid …, or deploy again",
                name,
            )
        elif source.last_result.startswith("PROBLEM"):
            notes.warn(source.last_result, "look at the function's log", name)
    return notes.or_well(f"{len(found)} enabled")


def functions(found: Mapping[str, Function | None]) -> tuple[CheckResult, ...]:
    """Judge whether the functions may run."""
    notes = _Notes(Check.FUNCTIONS)
    for name, function in found.items():
        if function is None:
            notes.fail("is gone", "deploy the stack again", name)
        elif function.reserved == 0:
            notes.fail(
                "may not run: its reserved concurrency is 0",
                f"aws lambda delete-function-concurrency --function-name {name}",
                name,
            )
        elif function.state == "Failed":
            notes.fail("is in state Failed", "deploy the stack again", name)
    return notes.or_well(f"{len(found)} may run")


def schedules(found: Mapping[str, bool | None]) -> tuple[CheckResult, ...]:
    """Judge the schedules: True, enabled."""
    notes = _Notes(Check.SCHEDULES)
    for name, enabled in found.items():
        if enabled is None:
            notes.fail("is gone", "deploy the stack again", name)
        elif not enabled:
            notes.fail("is disabled", "enable it in EventBridge Scheduler, or deploy again", name)
    return notes.or_well(f"{len(found)} enabled")


def dead_letters(found: Mapping[str, int | None]) -> tuple[CheckResult, ...]:
    """Judge the queues of dead letters, by their number of messages."""
    notes = _Notes(Check.DEAD_LETTERS)
    for name, count in found.items():
        if count is None:
            notes.fail("is gone", "deploy the stack again", name)
        elif count:
            notes.fail(
                f"holds {count}",
                "read the attribute reason, mend the cause, and redrive it"
                " (aws sqs start-message-move-task)",
                name,
            )
    return notes.or_well(f"{len(found)} empty")


def ses_account(found: SesAccount) -> tuple[CheckResult, ...]:
    """Judge whether SES sends, and to everybody."""
    notes = _Notes(Check.SES_ACCOUNT)
    if not found.sending or found.enforcement == "SHUTDOWN":
        notes.fail(
            "the account may not send",
            "see what AWS says in SES's account dashboard; mails wait in the outbox meanwhile",
        )
    elif not found.production:
        notes.fail(
            "in the sandbox: mail to addresses that are not verified is refused",
            "ask for production access (aws sesv2 put-account-details)",
        )
    elif found.enforcement not in {"", "HEALTHY"}:
        notes.warn(
            f"under review: {found.enforcement}",
            "see to bounces and complaints before AWS pauses sending",
        )
    return notes.or_well("out of the sandbox, and sends")


def ses_identity(sender: str, found: Mapping[str, bool]) -> tuple[CheckResult, ...]:
    """Judge whether the sender is verified: the address, or a domain it is in."""
    notes = _Notes(Check.SES_IDENTITY)
    verified = [name for name, good in found.items() if good]
    if not verified:
        pending = f"; not verified yet: {named(found)}" if found else ""
        notes.fail(
            f"neither {sender} nor its domain is a verified identity{pending}",
            f"verify {sender.rpartition('@')[2]} in SES (aws sesv2 create-email-identity)",
        )
    return notes.or_well(f"{verified[0]} is verified" if verified else "")


def ses_quota(found: SesAccount, users: int | None) -> tuple[CheckResult, ...]:
    """Judge whether a day's quota reaches for all console users at once; None, nobody counted."""
    notes = _Notes(Check.SES_QUOTA)
    if found.daily < 0:
        return notes.or_well("no daily limit")
    if users is None:
        notes.unknown(
            f"{found.daily:.0f} mails a day; no sweep has counted the users yet",
            "run the sweep, then ask again",
        )
        return tuple(notes.verdicts)
    if found.daily < users:
        notes.warn(
            f"{found.daily:.0f} mails a day for {count(users, 'console user')}",
            "ask for a higher quota; a first wave would take days",
        )
    return notes.or_well(f"{found.daily:.0f} mails a day for {count(users, 'console user')}")


def mail_domains(sender: str, domains: str, default: str) -> tuple[CheckResult, ...]:
    """Judge where mail may go: the parameters MailDomains and DefaultMailDomain."""
    notes = _Notes(Check.MAIL_DOMAINS)
    own = sender.rpartition("@")[2]
    allowed = [one.strip().casefold() for one in domains.split(",") if one.strip()] or [own]
    if default and default.casefold() not in allowed:
        notes.fail(
            f"users without an address are reached at {default}, which MailDomains does not allow",
            f"add {default} to MailDomains",
        )
    elif not domains:
        notes.warn(
            f"MailDomains is empty: nobody outside {own}, the sender's domain, is written to",
            "name the domains that your people have their mail in",
        )
    return notes.or_well(named(allowed))


def alert_topic(found: Subscriptions | None) -> tuple[CheckResult, ...]:
    """Judge whether somebody hears the alerts."""
    notes = _Notes(Check.ALERT_TOPIC)
    pending = f"{found.pending} not confirmed yet" if found and found.pending else ""
    if found is None:
        notes.fail("is gone", "deploy the stack again")
        return tuple(notes.verdicts)
    if not found.confirmed:
        notes.fail(
            f"nobody hears the alerts{': ' + pending if pending else ': no subscription'}",
            "confirm the subscription that SNS mailed to SecurityAddress, or subscribe a tool",
        )
    elif pending:
        notes.warn(pending, "confirm it, or delete the subscription")
    return notes.or_well(count(found.confirmed, "confirmed subscription"))


def guard_policy(
    found: Guard | None,
    console_users: Collection[str] | None,
    *,
    scp: str = "",
    scp_targets: Collection[str] = (),
) -> tuple[CheckResult, ...]:
    """Judge whether the guard policy denies, and whom it holds for.

    ``console_users``: None, nobody is known. ``scp`` is a service control policy with the same
    text, which holds for everybody in what it is attached to.
    """
    notes = _Notes(Check.GUARD_POLICY)
    if found is None or not found.denies_removal:
        seen = "does not deny the removal of devices any more" if found else "is gone"
        notes.fail(seen, "deploy the stack again, and ask who changed it: the alerts name him")
        return tuple(notes.verdicts)
    holds = (("groups", found.groups), ("users", found.users), ("roles", found.roles))
    whom = "; ".join(f"{kind} {named(names)}" for kind, names in holds if names)
    if scp and not scp_targets:
        notes.fail(
            f"the service control policy {scp} is attached to nothing",
            "attach it to the organization's root or units (aws organizations attach-policy)",
        )
        return tuple(notes.verdicts)
    if scp:
        too = f"; attached to {whom}" if whom else ""
        return notes.or_well(f"{scp} holds for {named(scp_targets)}{too}")
    if not whom:
        notes.fail(
            "attached to nobody: users can remove their devices",
            "attach it to the groups of console users, or use it as a service control policy"
            " (docs/guard-policy.md)",
        )
        return tuple(notes.verdicts)
    if console_users is None:
        notes.unknown(
            f"attached to {whom}; who the console users are, is not known yet",
            "run the sweep, then ask again",
        )
        return tuple(notes.verdicts)
    uncovered = [name for name in console_users if name.casefold() not in found.covers]
    if uncovered:
        notes.warn(
            f"attached to {whom}; not to {count(len(uncovered), 'console user')}:"
            f" {named(uncovered)}",
            "attach it to a group that they are in",
        )
    return notes.or_well(
        f"attached to {whom}; that is all of {count(len(console_users), 'console user')}"
    )


def root_mfa(found: Root) -> tuple[CheckResult, ...]:
    """Judge root's MFA (CIS AWS Foundations Benchmark 5.0, 1.4) and access keys (1.3)."""
    notes = _Notes(Check.ROOT_MFA)
    if found.password and not found.mfa:
        notes.fail(
            "root has a password and no MFA device (CIS 5.0, 1.4)",
            "sign in as root and add a device, or remove root's credentials from the organization",
        )
    elif found.access_keys:
        notes.warn("root has access keys (CIS 5.0, 1.3)", "delete them")
    return notes.or_well("root has MFA" if found.mfa else "root has no password and no access key")


def password_policy(found: PasswordPolicy | None) -> tuple[CheckResult, ...]:
    """Judge the password policy (CIS AWS Foundations Benchmark 5.0, 1.7 and 1.8).

    The benchmark asks for no expiry any more; the last one that did was 1.2 (1.11).
    """
    notes = _Notes(Check.PASSWORD_POLICY)
    change = "aws iam update-account-password-policy"
    if found is None:
        notes.fail(
            "there is none: IAM's default asks for 8 characters (CIS 5.0, 1.7)",
            f"{change} --minimum-password-length {LEAST_LENGTH}"
            f" --password-reuse-prevention {LEAST_REMEMBERED} --allow-users-to-change-password",
        )
        return tuple(notes.verdicts)
    # Each call sets all of it: what is not named falls back to IAM's default.
    whole = "with all that shall stay, since it sets the whole policy"
    if found.length < LEAST_LENGTH:
        notes.fail(
            f"{found.length} characters are enough; CIS 5.0, 1.7 asks for {LEAST_LENGTH}",
            f"{change} --minimum-password-length {LEAST_LENGTH}, {whole}",
        )
    if found.remembered < LEAST_REMEMBERED:
        notes.fail(
            f"{found.remembered} former passwords are refused;"
            f" CIS 5.0, 1.8 asks for {LEAST_REMEMBERED}",
            f"{change} --password-reuse-prevention {LEAST_REMEMBERED}, {whole}",
        )
    if found.classes < _CLASSES and LEAST_LENGTH <= found.length < LONG_ENOUGH_WITHOUT_CLASSES:
        notes.warn(
            f"{found.classes} of 4 classes of characters are required",
            f"require them all, or at least {LONG_ENOUGH_WITHOUT_CLASSES} characters",
        )
    age = f", valid for {found.max_age} days" if found.max_age else ""
    return notes.or_well(
        f"{found.length} characters, {found.classes} of 4 classes,"
        f" {found.remembered} former ones refused{age}"
    )


def first_password(
    found: PasswordPolicy | None, asked: Collection[str] | None, blocked: Sequence[DeniedCall]
) -> tuple[CheckResult, ...]:
    """Judge whether a new user can set his password, without which he never gets to enrolling.

    ``asked`` are the users that IAM simulated it for, without MFA; None, nobody is known.
    """
    notes = _Notes(Check.FIRST_PASSWORD)
    if found and found.hard_expiry:
        notes.warn(
            "an expired password cannot be changed by its user (hard expiry)",
            "take the hard expiry out of the password policy",
        )
    for action in sorted({one.action for one in blocked}):
        users = [one.user for one in blocked if one.action == action]
        by = named({one.policy for one in blocked if one.action == action and one.policy})
        notes.fail(
            f"{named(users)} may not call {action} without MFA{f': {by}' if by else ''}",
            f"leave {action} out of what is denied without MFA, or allow it; the account's"
            " AllowUsersToChangePassword allows it where no policy denies it",
        )
    if asked is None:
        notes.unknown(
            "no console user is known whose policies could be asked about",
            "run the sweep, then ask again",
        )
    return notes.or_well(
        f"IAM lets {named(asked)} change it without MFA" if asked else "there is no console user"
    )


def last_sweep(
    found: Mapping[str, SweepResult | None], *, now: datetime
) -> tuple[CheckResult, ...]:
    """Judge how long ago each account was swept."""
    notes = _Notes(Check.LAST_SWEEP)
    never = [account for account, swept in found.items() if swept is None]
    done = {account: swept for account, swept in found.items() if swept}
    late = [account for account, swept in done.items() if now - swept.at > SWEEP_LATE]
    look = "look at the schedule, the queue's dead letters and the log of sweep"
    if never:
        notes.fail(f"never: {named(never)}", f"invoke sweep with {{}}; if that helps not, {look}")
    if late:
        oldest = max(now - done[account].at for account in late)
        notes.fail(f"not for {ago(oldest)}: {named(late)}", look)
    latest = max((now - swept.at for swept in done.values()), default=timedelta())
    users = sum(swept.user_counts.users for swept in done.values())
    return notes.or_well(
        f"{count(len(found), 'account')} with {count(users, 'user')}, the oldest {ago(latest)} ago"
    )


def heartbeat(
    found: Sequence[Heartbeat], *, now: datetime, silence_threshold: timedelta
) -> tuple[CheckResult, ...]:
    """Judge when events last came from each account and region, by each path."""
    notes = _Notes(Check.HEARTBEAT)
    silent = [beat for beat in found if beat.is_silent(now, silence_threshold) or not beat.since]
    new = [beat for beat in found if not beat.seen_at and beat not in silent]
    look = (
        "look at the trail, the forwarder and its dead letters there, and at the policy of the"
        " hub's bus"
    )
    if never := [_place(beat) for beat in silent if not beat.seen_at]:
        notes.fail(f"never heard from {named(never)}", look)
    if ceased := [(_place(beat), now - beat.seen_at) for beat in silent if beat.seen_at]:
        notes.fail(
            f"not for {ago(max(time for _, time in ceased))} from"
            f" {named(place for place, _ in ceased)}",
            look,
        )
    if new:
        notes.warn(
            f"nothing yet from {named(map(_place, new))}",
            "ask again once the canary has come round",
        )
    oldest = max((now - beat.seen_at for beat in found if beat.seen_at), default=timedelta())
    return notes.or_well(f"{count(len(found), 'path')} heard from, each within {ago(oldest)}")


def _place(beat: Heartbeat) -> str:
    source = beat.source
    return f"{source.account_id} {source.region} ({source.path.words})"


def count(number: int, thing: str) -> str:
    """Count things, in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def ago(time: timedelta) -> str:
    """Say how long that is."""
    minutes = max(0, int(time.total_seconds() // 60))
    if minutes < _IN_MINUTES:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < _IN_HOURS else f"{hours // 24} days"


def has_console_access(entry: InventoryEntry) -> bool:
    """Tell whether a user of the roster can sign in to the console."""
    return entry.mfa_status not in {None, MfaStatus.NO_CONSOLE_ACCESS}
