"""Reads a live account for the health check. No call changes anything."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError

from mfa_watcher.adapters.aws_errors import AWS_ERRORS, error_code
from mfa_watcher.domain.health import readings
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
"""The error codes of services for a resource that does not exist."""

_DENIED = ("AccessDenied", "AuthorizationError", "UnauthorizedOperation", "NotAuthorized")
"""How the error codes of services begin if permission is denied."""

_CLASSES = (
    "RequireUppercaseCharacters",
    "RequireLowercaseCharacters",
    "RequireNumbers",
    "RequireSymbols",
)

_EVALUATED_FIELDS = frozenset({"eventCategory", "eventSource", "readOnly"})


class BuildClient(Protocol):
    """Returns the client of a service in a region; without a region, in the stack's own."""

    def __call__(self, service: str, region: str | None = None) -> Any:  # noqa: ANN401 - any service's client
        """Return the client; it may be one that was returned before."""
        ...


@dataclass(frozen=True, slots=True)
class BotoInspector:
    """Reads with the caller's own permissions.

    A MissingPermissionError names the missing action as it is written in policies.
    """

    build: BuildClient
    _trails: dict[str, readings.Trail] = field(default_factory=dict, init=False)

    # The stack --------------------------------------------------------------------------------

    def stack(self, name: str) -> readings.Stack:
        """Return the deployed stack, with what is nested in it.

        Raises InspectionError if it does not exist.
        """
        described = self._call("cloudformation", "DescribeStacks", StackName=name)
        if not described or not described["Stacks"]:
            raise InspectionError(f"there is no stack {name}")
        found = described["Stacks"][0]
        arn = found["StackId"].split(":")
        return readings.Stack(
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
            resources=dict(self._resources(name)),
        )

    def _resources(self, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the resources of a stack and of those nested in it: id, type, physical id."""
        for one in self._all(
            "cloudformation", "ListStackResources", "StackResourceSummaries", StackName=name
        ):
            type_, physical = one["ResourceType"], one.get("PhysicalResourceId", "")
            yield one["LogicalResourceId"], (type_, physical)
            if type_ == "AWS::CloudFormation::Stack" and physical:
                yield from self._resources(physical)

    def function(self, name: str) -> readings.Function | None:
        """Call GetFunctionConfiguration and GetFunctionConcurrency."""
        found = self._call("lambda", "GetFunctionConfiguration", FunctionName=name)
        if found is None:
            return None
        limit = self._call("lambda", "GetFunctionConcurrency", FunctionName=name) or {}
        return readings.Function(found.get("State", ""), limit.get("ReservedConcurrentExecutions"))

    def unreserved_concurrency(self) -> int:
        """Call GetAccountSettings."""
        found = self._call("lambda", "GetAccountSettings") or {}
        return int(found["AccountLimit"]["UnreservedConcurrentExecutions"])

    def event_source(self, uuid: str) -> readings.EventSource | None:
        """Call GetEventSourceMapping."""
        found = self._call("lambda", "GetEventSourceMapping", UUID=uuid)
        if found is None:
            return None
        return readings.EventSource(found.get("State", ""), found.get("LastProcessingResult", ""))

    def schedule_enabled(self, name: str) -> bool | None:
        """Call GetSchedule."""
        found = self._call("scheduler", "GetSchedule", Name=name)
        return found["State"] == "ENABLED" if found else None

    def messages(self, queue_url: str) -> int | None:
        """Call GetQueueAttributes, for visible, delayed and in-flight messages."""
        return self._messages(queue_url, "", "NotVisible", "Delayed")

    def _messages(self, queue_url: str, *kinds: str, region: str | None = None) -> int | None:
        found = self._call(
            "sqs",
            "GetQueueAttributes",
            region=region,
            QueueUrl=queue_url,
            AttributeNames=[f"ApproximateNumberOfMessages{kind}" for kind in kinds],
        )
        return sum(int(count) for count in found["Attributes"].values()) if found else None

    # Events -----------------------------------------------------------------------------------

    def trails(self, region: str) -> list[readings.Trail]:
        """Call DescribeTrails, including trails whose home is another region."""
        found = self._call("cloudtrail", "DescribeTrails", region=region, includeShadowTrails=True)
        return [self._trail(one, region) for one in (found or {}).get("trailList", ())]

    def _trail(self, described: Json, region: str) -> readings.Trail:
        """Read a trail once, in its home region: it looks the same from each region."""
        arn: str = described.get("TrailARN") or described["Name"]
        if arn not in self._trails:
            home = described.get("HomeRegion", region)
            status = self._call("cloudtrail", "GetTrailStatus", region=home, Name=arn) or {}
            selects = self._call("cloudtrail", "GetEventSelectors", region=home, TrailName=arn)
            self._trails[arn] = readings.Trail(
                described["Name"],
                logging=bool(status.get("IsLogging")),
                global_events=bool(described.get("IncludeGlobalServiceEvents")),
                selectors=_selectors(
                    selects or {}, custom=bool(described.get("HasCustomEventSelectors"))
                ),
                delivery_error=status.get("LatestDeliveryError", ""),
            )
        return self._trails[arn]

    def rule(self, name: str, region: str | None = None) -> readings.Rule | None:
        """Call DescribeRule and ListTargetsByRule."""
        found = self._call("events", "DescribeRule", region=region, Name=name)
        if found is None:
            return None
        targets = self._all("events", "ListTargetsByRule", "Targets", region=region, Rule=name)
        return readings.Rule(
            found.get("State", "").startswith("ENABLED"), tuple(one["Arn"] for one in targets)
        )

    def event_bus_organizations(self) -> set[str]:
        """Call DescribeEventBus, and read the conditions of its policy."""
        found = self._call("events", "DescribeEventBus", Name="default") or {}
        statements = json.loads(found.get("Policy") or "{}").get("Statement", ())
        return {
            str(values)
            for statement in _listed(statements)
            if statement.get("Effect") == "Allow"
            for values in _organizations(statement)
        }

    def forwarder_dead_letters(self, queue: str, region: str) -> int | None:
        """Call GetQueueUrl and GetQueueAttributes."""
        found = self._call("sqs", "GetQueueUrl", region=region, QueueName=queue)
        return self._messages(found["QueueUrl"], "", region=region) if found else None

    # Mails and alerts -------------------------------------------------------------------------

    def ses_account(self) -> readings.SesAccount:
        """Call GetAccount."""
        found = self._call("sesv2", "GetAccount") or {}
        return readings.SesAccount(
            production=bool(found.get("ProductionAccessEnabled")),
            sending=bool(found.get("SendingEnabled")),
            enforcement=found.get("EnforcementStatus", ""),
            daily=found.get("SendQuota", {}).get("Max24HourSend", 0),
        )

    def identity_verified(self, identity: str) -> bool | None:
        """Call GetEmailIdentity."""
        found = self._call("sesv2", "GetEmailIdentity", EmailIdentity=identity)
        return bool(found.get("VerifiedForSendingStatus")) if found else None

    def subscriptions(self, topic_arn: str) -> readings.Subscriptions | None:
        """Call GetTopicAttributes, which counts the subscriptions."""
        found = self._call("sns", "GetTopicAttributes", TopicArn=topic_arn)
        if found is None:
            return None
        counts = found["Attributes"]
        return readings.Subscriptions(
            int(counts.get("SubscriptionsConfirmed", 0)), int(counts.get("SubscriptionsPending", 0))
        )

    # IAM --------------------------------------------------------------------------------------

    def guard_policy(self, policy_arn: str) -> readings.GuardPolicy | None:
        """Call GetPolicy, GetPolicyVersion, ListEntitiesForPolicy, and GetGroup for its groups."""
        policy = self._call("iam", "GetPolicy", PolicyArn=policy_arn)
        if policy is None:
            return None
        version = self._call(
            "iam",
            "GetPolicyVersion",
            PolicyArn=policy_arn,
            VersionId=policy["Policy"]["DefaultVersionId"],
        )
        document = version["PolicyVersion"]["Document"] if version else {}
        users, groups, roles = (
            self._attached(policy_arn, kind) for kind in ("User", "Group", "Role")
        )
        members = {
            user["UserName"]
            for group in groups
            for user in self._all("iam", "GetGroup", "Users", GroupName=group)
        }
        denies = _denies(document, "iam:DeactivateMFADevice")
        return readings.GuardPolicy(denies, users, groups, roles, frozenset(members))

    def _attached(self, policy_arn: str, kind: str) -> tuple[str, ...]:
        """Return the names of the users, groups or roles that a policy is attached to."""
        found = self._all(
            "iam",
            "ListEntitiesForPolicy",
            f"Policy{kind}s",
            PolicyArn=policy_arn,
            EntityFilter=kind,
        )
        return tuple(one[f"{kind}Name"] for one in found)

    def scp_targets(self, policy_id: str) -> list[str]:
        """Call ListTargetsForPolicy."""
        found = self._all("organizations", "ListTargetsForPolicy", "Targets", PolicyId=policy_id)
        return [one.get("Name") or one["TargetId"] for one in found]

    def root_user(self) -> readings.RootUser:
        """Call GetAccountSummary."""
        found = (self._call("iam", "GetAccountSummary") or {}).get("SummaryMap", {})
        # Older summaries say nothing about root's password; at that time root always had one.
        return readings.RootUser(
            mfa=bool(found.get("AccountMFAEnabled")),
            password=bool(found.get("AccountPasswordPresent", 1)),
            access_keys=bool(found.get("AccountAccessKeysPresent")),
        )

    def password_policy(self) -> readings.PasswordPolicy | None:
        """Call GetAccountPasswordPolicy."""
        answer = self._call("iam", "GetAccountPasswordPolicy")
        if answer is None:
            return None
        found = answer["PasswordPolicy"]
        return readings.PasswordPolicy(
            length=found.get("MinimumPasswordLength", 0),
            classes=sum(bool(found.get(name)) for name in _CLASSES),
            remembered=found.get("PasswordReusePrevention") or 0,
            users_change=bool(found.get("AllowUsersToChangePassword")),
            hard_expiry=bool(found.get("HardExpiry")),
            max_age=found.get("MaxPasswordAge") or 0,
        )

    def denied_password_calls(
        self, user: str, *, users_change: bool
    ) -> list[readings.DeniedCall] | None:
        """Call GetUser and SimulatePrincipalPolicy.

        IAM's simulation does not know that the account may let all users change their own
        password, so ``users_change`` overrules an implicit denial.
        """
        found = self._call("iam", "GetUser", UserName=user)
        if found is None:
            return None
        arn = found["User"]["Arn"]
        simulated = self._call(
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
            readings.DeniedCall(user, one["EvalActionName"], _denied_by(one))
            for one in (simulated or {}).get("EvaluationResults", ())
            if _is_denied(one, users_change=users_change)
        ]

    # Calls ------------------------------------------------------------------------------------

    def _call(
        self, service: str, operation: str, *, region: str | None = None, **parameters: object
    ) -> Json | None:
        """Return the answer; None if the resource does not exist."""
        client = self.build(service, region)
        call: Callable[..., Json] = getattr(client, xform_name(operation))
        return read(_action(client, operation), lambda: call(**parameters))

    def _all(
        self,
        service: str,
        operation: str,
        listed: str,
        *,
        region: str | None = None,
        **parameters: object,
    ) -> list[Json]:
        """Return the items of all pages; empty if the resource does not exist."""
        client = self.build(service, region)
        pages = client.get_paginator(xform_name(operation)).paginate(**parameters)
        items = (one for page in pages for one in page.get(listed, ()))
        return read(_action(client, operation), lambda: list(items)) or []


@dataclass(frozen=True, slots=True)
class DynamoTableReader:
    """Reads the watcher's table with the caller's own permissions."""

    store: "DynamoStore"

    def last_sweep(self, account_id: str) -> "SweepResult | None":
        """Call GetItem."""
        return read("dynamodb:GetItem", lambda: self.store.last_sweep(account_id))

    def inventory(self, account_id: str) -> "list[InventoryEntry]":
        """Query the account's index."""
        return read("dynamodb:Query", lambda: list(self.store.inventory(account_id))) or []

    def heartbeats(self) -> "list[Heartbeat]":
        """Query the heartbeats."""
        return read("dynamodb:Query", lambda: list(self.store.heartbeats())) or []


def _action(client: Any, operation: str) -> str:  # noqa: ANN401 - any service's client
    """Return a call's action as written in policies; the prefix is the signing name."""
    return f"{client.meta.service_model.signing_name}:{operation}"


def read(action: str, call: Callable[[], Answer]) -> Answer | None:
    """Return the answer; None if the resource does not exist. Raises the errors of the ports."""
    try:
        return call()
    except AWS_ERRORS as error:
        code = error_code(error)
        if code in _MISSING:
            return None
        if code.startswith(_DENIED):
            raise MissingPermissionError(action) from error
        # An error of botocore itself says in words what is wrong, such as missing credentials.
        reason = code if isinstance(error, ClientError) else error
        raise InspectionError(f"{action}: {reason}") from error


def _selectors(selects: Json, *, custom: bool) -> tuple[readings.Selector, ...]:
    found = (
        *map(_basic, selects.get("EventSelectors") or ()),
        *filter(None, map(_advanced, selects.get("AdvancedEventSelectors") or ())),
    )
    # A trail without selectors records all management events.
    return found or (() if custom else (readings.Selector(writes=True),))


def _basic(selector: Json) -> readings.Selector:
    return readings.Selector(
        writes=bool(selector.get("IncludeManagementEvents", True))
        and selector.get("ReadWriteType", "All") in {"All", "WriteOnly"},
        left_out=frozenset(selector.get("ExcludeManagementEventSources") or ()),
    )


def _advanced(selector: Json) -> readings.Selector | None:
    """Return an advanced selector; None if it is not about management events."""
    fields = {one["Field"]: one for one in selector.get("FieldSelectors", ())}
    if "Management" not in (fields.get("eventCategory", {}).get("Equals") or ()):
        return None
    source = fields.get("eventSource", {})
    narrowed_by = set(fields) - _EVALUATED_FIELDS
    if set(source) - {"Field", "NotEquals"}:
        narrowed_by.add("eventSource")
    return readings.Selector(
        writes="true" not in (fields.get("readOnly", {}).get("Equals") or ()),
        left_out=frozenset(source.get("NotEquals") or ()),
        narrowed_by=tuple(sorted(narrowed_by)),
    )


def _organizations(statement: Json) -> list[str]:
    """Return the organizations that a statement allows; ``*`` if it allows everybody."""
    condition = statement.get("Condition") or {}
    if not condition:
        return ["*"] if statement.get("Principal") in ("*", {"AWS": "*"}) else []
    return [
        one
        for operator in condition.values()
        for key, values in operator.items()
        if key.casefold() == "aws:principalorgid"
        for one in _listed(values)
    ]


def _denies(document: Json, action: str) -> bool:
    """Return whether a policy denies a call to anybody."""
    return any(
        fnmatchcase(action.casefold(), pattern.casefold())
        for statement in _listed(document.get("Statement", ()))
        if statement.get("Effect") == "Deny"
        for pattern in _listed(statement.get("Action", ()))
    )


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - policies write a single value without a list
    return list(value) if isinstance(value, list | tuple) else [value]


def _context(key: str, kind: str, value: str) -> Json:
    return {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}


def _is_denied(result: Json, *, users_change: bool) -> bool:
    organization = result.get("OrganizationsDecisionDetail", {})
    if not organization.get("AllowedByOrganizations", True):
        return True
    decision = result["EvalDecision"]
    return decision == "explicitDeny" or (decision == "implicitDeny" and not users_change)


def _denied_by(result: Json) -> str:
    """Return what denies the call, as far as the simulation says."""
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return "a service control policy"
    return ", ".join(
        sorted({one.get("SourcePolicyId", "") for one in result.get("MatchedStatements", ())})
    )
