"""What the health check reads of a live account, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

IAM_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1"}
"""In which region of a partition IAM's events appear. ``forwarder.yaml`` needs the same regions at
deployment; a test compares the two."""


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
        """Return the physical ids of the resources of a type, by logical id."""
        return {name: id_ for name, (type_, id_) in self.resources.items() if type_ == kind}

    @property
    def iam_region(self) -> str:
        """Return the region of the partition's IAM."""
        return IAM_REGIONS.get(self.partition, self.region)

    @property
    def sign_in_regions(self) -> tuple[str, ...]:
        """Return the regions from which the watcher expects sign-ins, as it was deployed."""
        return tuple(one.strip() for one in self.outputs["SignInRegions"].split(","))

    @property
    def silence_threshold(self) -> timedelta:
        """Return after how long without any event the watcher calls a region silent."""
        return timedelta(hours=float(self.parameters.get("HeartbeatHours") or 13))

    @property
    def queue_concurrency(self) -> int:
        """Return how many functions may run at the same time for each queue."""
        return int(self.parameters.get("QueueConcurrency") or 2)

    @property
    def event_bus_arn(self) -> str:
        """Return the ARN of the event bus to which forwarders send."""
        return f"arn:{self.partition}:events:{self.region}:{self.account_id}:event-bus/default"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which management events a trail records."""

    writes: bool
    left_out: frozenset[str] = frozenset()
    narrowed_by: tuple[str, ...] = ()
    """Fields by which an advanced selector filters events, and which are not evaluated here."""


@dataclass(frozen=True, slots=True)
class Trail:
    """A CloudTrail trail, as seen in one region."""

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
    """An event source mapping: its state, and the result of its last batch."""

    state: str
    last_result: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function."""

    state: str
    reserved: int | None = None
    """The reserved concurrency; None if there is none."""


@dataclass(frozen=True, slots=True)
class SesAccount:
    """An account's SES in a region."""

    production: bool
    sending: bool
    enforcement: str
    daily: float
    """The daily quota of recipients; negative if there is no limit."""


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """How many subscriptions a topic has."""

    confirmed: int
    pending: int


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """The guard policy: whether it still denies, and to whom it is attached."""

    denies_removal: bool
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()
    """The users of the groups."""

    @property
    def covered_users(self) -> frozenset[str]:
        """Return all users it applies to, in lower case: IAM ignores the case of names."""
        return frozenset(name.casefold() for name in (*self.users, *self.members))


@dataclass(frozen=True, slots=True)
class RootUser:
    """The root user, as ``GetAccountSummary`` describes them."""

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
    """How many former passwords may not be used again."""
    users_change: bool
    """Whether all users may change their own password."""
    hard_expiry: bool = False
    """Whether users cannot change an expired password."""
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class DeniedCall:
    """A call that IAM's simulation denies a user without MFA, and the policy that denies it."""

    user: str
    action: str
    policy: str = ""
