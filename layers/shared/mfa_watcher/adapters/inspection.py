"""Reading a live account for the checkup. No call changes anything."""

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.health.checks import (
    DeniedCall,
    EventSource,
    Function,
    Guard,
    PasswordPolicy,
    Root,
    Rule,
    Selector,
    SesAccount,
    Stack,
    Subscriptions,
    Trail,
)
from mfa_watcher.ports.errors import InspectionError, MissingPermissionError

if TYPE_CHECKING:
    from mfa_watcher.adapters.store import DynamoStore
    from mfa_watcher.domain.health.heartbeats import Heartbeat
    from mfa_watcher.domain.sweep.user_inventory import InventoryEntry, SweepResult

Json = dict[str, Any]
Answer = TypeVar("Answer")

_MISSING = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchEntity",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
"""How services say that something is not there."""

_DENIED = ("AccessDenied", "AuthorizationError", "UnauthorizedOperation", "NotAuthorized")
"""How the codes begin by which services refuse."""

_CLASSES = (
    "RequireUppercaseCharacters",
    "RequireLowercaseCharacters",
    "RequireNumbers",
    "RequireSymbols",
)

_JUDGED_FIELDS = frozenset({"eventCategory", "eventSource", "readOnly"})


class BuildClient(Protocol):
    """What builds a client of a service in a region; None, the stack's own."""

    def __call__(self, service: str, region: str | None = None) -> Any:  # noqa: ANN401 - any service's client
        """Give the client; it may be the one that was given before."""
        ...


class BotoInspector:
    """Reads what the checkup is about, with the caller's own permissions.

    All methods raise MissingPermissionError, which names the action that is missing, or InspectionError.
    """

    def __init__(self, build: BuildClient) -> None:
        """Take what builds clients."""
        self._build = build
        self._trails: dict[str, Trail] = {}

    # The stack --------------------------------------------------------------------------------

    def stack(self, name: str) -> Stack:
        """Give the deployed stack; InspectionError if there is none."""
        described = self._ask("cloudformation", "DescribeStacks", StackName=name)
        if not described or not described["Stacks"]:
            raise InspectionError(f"there is no stack {name}")
        found = described["Stacks"][0]
        arn = found["StackId"].split(":")
        resources = self._all(
            "cloudformation", "ListStackResources", "StackResourceSummaries", StackName=name
        )
        return Stack(
            name=found["StackName"],
            account_id=arn[4],
            region=arn[3],
            partition=arn[1],
            status=found["StackStatus"],
            parameters={
                one["ParameterKey"]: one.get("ParameterValue", "")
                for one in found.get("Parameters", ())
            },
            outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())},
            resources={
                one["LogicalResourceId"]: (
                    one["ResourceType"],
                    one.get("PhysicalResourceId", ""),
                )
                for one in resources
            },
        )

    def function(self, name: str) -> Function | None:
        """Give a function, and for how many runs at a time Lambda keeps room for it."""
        found = self._ask("lambda", "GetFunctionConfiguration", FunctionName=name)
        if found is None:
            return None
        limit = self._ask("lambda", "GetFunctionConcurrency", FunctionName=name) or {}
        return Function(found.get("State", ""), limit.get("ReservedConcurrentExecutions"))

    def event_source(self, uuid: str) -> EventSource | None:
        """Give an event source mapping."""
        found = self._ask("lambda", "GetEventSourceMapping", UUID=uuid)
        if found is None:
            return None
        return EventSource(found.get("State", ""), found.get("LastProcessingResult", ""))

    def schedule_enabled(self, name: str) -> bool | None:
        """Tell whether a schedule is enabled; None if there is none."""
        found = self._ask("scheduler", "GetSchedule", Name=name)
        return found["State"] == "ENABLED" if found else None

    def messages(self, queue_url: str) -> int | None:
        """Count a queue's messages, also those that somebody has taken; None if it is gone."""
        names = ("", "NotVisible", "Delayed")
        found = self._ask(
            "sqs",
            "GetQueueAttributes",
            QueueUrl=queue_url,
            AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names],
        )
        return sum(int(count) for count in found["Attributes"].values()) if found else None

    # Events -----------------------------------------------------------------------------------

    def trails(self, region: str) -> list[Trail]:
        """Give the trails that take a region's events, wherever they are at home."""
        found = self._ask("cloudtrail", "DescribeTrails", region=region, includeShadowTrails=True)
        return [self._trail(one, region) for one in (found or {}).get("trailList", ())]

    def _trail(self, described: Json, region: str) -> Trail:
        """Read the trail where it is at home, once: from each region it looks the same."""
        arn: str = described.get("TrailARN") or described["Name"]
        if arn not in self._trails:
            home = described.get("HomeRegion", region)
            status = self._ask("cloudtrail", "GetTrailStatus", region=home, Name=arn) or {}
            selects = self._ask("cloudtrail", "GetEventSelectors", region=home, TrailName=arn) or {}
            self._trails[arn] = Trail(
                described["Name"],
                logging=bool(status.get("IsLogging")),
                global_events=bool(described.get("IncludeGlobalServiceEvents")),
                selectors=_selectors(
                    selects, custom=bool(described.get("HasCustomEventSelectors"))
                ),
                delivery_error=status.get("LatestDeliveryError", ""),
            )
        return self._trails[arn]

    def rule(self, name: str, region: str | None = None) -> Rule | None:
        """Give a rule of the default bus."""
        found = self._ask("events", "DescribeRule", region=region, Name=name)
        if found is None:
            return None
        targets = self._all("events", "ListTargetsByRule", "Targets", region=region, Rule=name)
        return Rule(
            found.get("State", "").startswith("ENABLED"), tuple(one["Arn"] for one in targets)
        )

    def event_bus_organizations(self) -> set[str]:
        """Give the organizations whose events the default bus takes; ``*``, everybody's."""
        found = self._ask("events", "DescribeEventBus", Name="default") or {}
        statements = json.loads(found.get("Policy") or "{}").get("Statement", ())
        return {
            str(given)
            for statement in _listed(statements)
            if statement.get("Effect") == "Allow"
            for given in _organizations(statement)
        }

    def forwarder_dead_letters(self, queue: str, region: str) -> int | None:
        """Count what a forwarder could not send; None if it has no such queue."""
        found = self._ask("sqs", "GetQueueUrl", region=region, QueueName=queue)
        if found is None:
            return None
        counted = self._ask(
            "sqs",
            "GetQueueAttributes",
            region=region,
            QueueUrl=found["QueueUrl"],
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        return int(counted["Attributes"]["ApproximateNumberOfMessages"]) if counted else None

    # Ways out ---------------------------------------------------------------------------------

    def mail_account(self) -> SesAccount:
        """Give what SES allows the account."""
        found = self._ask("sesv2", "GetAccount") or {}
        return SesAccount(
            production=bool(found.get("ProductionAccessEnabled")),
            sending=bool(found.get("SendingEnabled")),
            enforcement=found.get("EnforcementStatus", ""),
            daily=found.get("SendQuota", {}).get("Max24HourSend", 0),
        )

    def identity_verified(self, identity: str) -> bool | None:
        """Tell whether SES sends for an address or a domain; None if it knows no such identity."""
        found = self._ask("sesv2", "GetEmailIdentity", EmailIdentity=identity)
        return bool(found.get("VerifiedForSendingStatus")) if found else None

    def subscriptions(self, topic_arn: str) -> Subscriptions | None:
        """Count a topic's subscriptions; None if it is gone."""
        found = self._ask("sns", "GetTopicAttributes", TopicArn=topic_arn)
        if found is None:
            return None
        counts = found["Attributes"]
        return Subscriptions(
            int(counts.get("SubscriptionsConfirmed", 0)), int(counts.get("SubscriptionsPending", 0))
        )

    # IAM --------------------------------------------------------------------------------------

    def guard(self, policy_arn: str) -> Guard | None:
        """Give the guard policy and whom it is attached to; None if it is gone."""
        policy = self._ask("iam", "GetPolicy", PolicyArn=policy_arn)
        if policy is None:
            return None
        version = self._ask(
            "iam",
            "GetPolicyVersion",
            PolicyArn=policy_arn,
            VersionId=policy["Policy"]["DefaultVersionId"],
        )
        document = version["PolicyVersion"]["Document"] if version else {}
        users, groups, roles = (
            [
                one[f"{kind}Name"]
                for one in self._all(
                    "iam",
                    "ListEntitiesForPolicy",
                    f"Policy{kind}s",
                    PolicyArn=policy_arn,
                    EntityFilter=kind,
                )
            ]
            for kind in ("User", "Group", "Role")
        )
        return Guard(
            _denies(document, "iam:DeactivateMFADevice"),
            tuple(users),
            tuple(groups),
            tuple(roles),
            frozenset(
                user["UserName"]
                for group in groups
                for user in self._all("iam", "GetGroup", "Users", GroupName=group)
            ),
        )

    def scp_targets(self, policy_id: str) -> list[str]:
        """Give what a service control policy is attached to: roots, units, accounts."""
        found = self._all("organizations", "ListTargetsForPolicy", "Targets", PolicyId=policy_id)
        return [one.get("Name") or one["TargetId"] for one in found]

    def root(self) -> Root:
        """Give what the account's summary says of root."""
        found = (self._ask("iam", "GetAccountSummary") or {}).get("SummaryMap", {})
        # Where the summary does not tell, root has a password: it always had, once.
        return Root(
            mfa=bool(found.get("AccountMFAEnabled")),
            password=bool(found.get("AccountPasswordPresent", 1)),
            access_keys=bool(found.get("AccountAccessKeysPresent")),
        )

    def password_policy(self) -> PasswordPolicy | None:
        """Give the account's password policy; None if it has IAM's default."""
        asked = self._ask("iam", "GetAccountPasswordPolicy")
        if asked is None:
            return None
        found = asked["PasswordPolicy"]
        return PasswordPolicy(
            length=found.get("MinimumPasswordLength", 0),
            classes=sum(bool(found.get(name)) for name in _CLASSES),
            remembered=found.get("PasswordReusePrevention") or 0,
            users_change=bool(found.get("AllowUsersToChangePassword")),
            hard_expiry=bool(found.get("HardExpiry")),
            max_age=found.get("MaxPasswordAge") or 0,
        )

    def blocked(self, user: str, *, users_change: bool) -> list[DeniedCall] | None:
        """Give the calls for a first password that IAM refuses a user without MFA.

        ``users_change``: the account lets everybody change his own password, which IAM's
        simulation does not know of. None if there is no such user any more.
        """
        found = self._ask("iam", "GetUser", UserName=user)
        if found is None:
            return None
        arn = found["User"]["Arn"]
        simulated = self._ask(
            "iam",
            "SimulatePrincipalPolicy",
            PolicySourceArn=arn,
            ActionNames=["iam:ChangePassword", "iam:GetAccountPasswordPolicy"],
            ResourceArns=[arn],
            ContextEntries=[
                _context("aws:MultiFactorAuthPresent", "boolean", "false"),
                _context("aws:username", "string", user),
            ],
        )
        return [
            DeniedCall(user, one["EvalActionName"], _by(one))
            for one in (simulated or {}).get("EvaluationResults", ())
            if _refuses(one, users_change=users_change)
        ]

    # Asking -----------------------------------------------------------------------------------

    def _ask(
        self, service: str, operation: str, *, region: str | None = None, **asked: object
    ) -> Json | None:
        """Call; None if what it asks about is not there."""
        client = self._build(service, region)
        ask: Callable[..., Json] = getattr(client, xform_name(operation))
        return _read(_action(client, operation), lambda: ask(**asked))

    def _all(
        self,
        service: str,
        operation: str,
        listed: str,
        *,
        region: str | None = None,
        **asked: object,
    ) -> list[Json]:
        """Call for all pages; empty if what it asks about is not there."""
        client = self._build(service, region)
        pages = client.get_paginator(xform_name(operation)).paginate(**asked)
        return (
            _read(
                _action(client, operation),
                lambda: [one for page in pages for one in page.get(listed, ())],
            )
            or []
        )


class DynamoTableReader:
    """Reads what the watcher keeps in its table. Raises as BotoInspector does."""

    def __init__(self, store: "DynamoStore") -> None:
        """Take the store, with a client of the caller's."""
        self._store = store

    def last_sweep(self, account_id: str) -> "SweepResult | None":
        """Give what is kept of an account's last sweep."""
        return _read("dynamodb:GetItem", lambda: self._store.last_sweep(account_id))

    def inventory(self, account_id: str) -> "list[InventoryEntry]":
        """Give whom the watcher knows in an account."""
        return _read("dynamodb:Query", lambda: list(self._store.inventory(account_id))) or []

    def heartbeats(self) -> "list[Heartbeat]":
        """Give all heartbeats, of whatever was ever seen or expected."""
        return _read("dynamodb:Query", lambda: list(self._store.heartbeats())) or []


def _action(client: Any, operation: str) -> str:  # noqa: ANN401 - any service's client
    """Name a call as permissions name it; the prefix is what requests are signed for."""
    return f"{client.meta.service_model.signing_name}:{operation}"


def _read(action: str, ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _MISSING:
            return None
        if code.startswith(_DENIED):
            raise MissingPermissionError(action) from error
        raise InspectionError(f"{action}: {code}") from error
    except BotoCoreError as error:
        raise InspectionError(f"{action}: {type(error).__name__}") from error


def _selectors(selects: Json, *, custom: bool) -> tuple[Selector, ...]:
    found = (
        *map(_basic, selects.get("EventSelectors") or ()),
        *filter(None, map(_advanced, selects.get("AdvancedEventSelectors") or ())),
    )
    # A trail that nobody gave selectors takes all management events.
    return found or (() if custom else (Selector(writes=True),))


def _basic(selector: Json) -> Selector:
    return Selector(
        writes=bool(selector.get("IncludeManagementEvents", True))
        and selector.get("ReadWriteType", "All") in {"All", "WriteOnly"},
        left_out=frozenset(selector.get("ExcludeManagementEventSources") or ()),
    )


def _advanced(selector: Json) -> Selector | None:
    """Read an advanced selector; None if it is about other than management events."""
    fields = {one["Field"]: one for one in selector.get("FieldSelectors", ())}
    if "Management" not in (fields.get("eventCategory", {}).get("Equals") or ()):
        return None
    source = fields.get("eventSource", {})
    beyond = set(fields) - _JUDGED_FIELDS
    if set(source) - {"Field", "NotEquals"}:
        beyond.add("eventSource")
    return Selector(
        writes="true" not in (fields.get("readOnly", {}).get("Equals") or ()),
        left_out=frozenset(source.get("NotEquals") or ()),
        narrowed_by=tuple(sorted(beyond)),
    )


def _organizations(statement: Json) -> list[str]:
    """Give the organizations that a statement asks for; ``*`` if it asks nobody for anything."""
    condition = statement.get("Condition") or {}
    if not condition:
        return ["*"] if statement.get("Principal") in ("*", {"AWS": "*"}) else []
    return [
        one
        for asked in condition.values()
        for key, given in asked.items()
        if key.casefold() == "aws:principalorgid"
        for one in _listed(given)
    ]


def _denies(document: Json, action: str) -> bool:
    """Tell whether a policy denies a call to anybody at all."""
    return any(
        fnmatchcase(action.casefold(), pattern.casefold())
        for statement in _listed(document.get("Statement", ()))
        if statement.get("Effect") == "Deny"
        for pattern in _listed(statement.get("Action", ()))
    )


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - policies write one of a thing without a list
    return list(value) if isinstance(value, list | tuple) else [value]


def _context(key: str, kind: str, value: str) -> Json:
    return {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}


def _refuses(result: Json, *, users_change: bool) -> bool:
    organization = result.get("OrganizationsDecisionDetail", {})
    if not organization.get("AllowedByOrganizations", True):
        return True
    decision = result["EvalDecision"]
    return decision == "explicitDeny" or (decision == "implicitDeny" and not users_change)


def _by(result: Json) -> str:
    """Name what refuses, as far as the simulation says it."""
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return "a service control policy"
    return ", ".join(
        sorted({one.get("SourcePolicyId", "") for one in result.get("MatchedStatements", ())})
    )
