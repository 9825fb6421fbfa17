"""Tampering with the watcher: which call, on which part of it, and the remedy."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mfa_watcher.domain.events import denials
from mfa_watcher.domain.events.records import Record


@dataclass(frozen=True, slots=True)
class Watcher:
    """The watcher's own resources: all names begin with the stack's, except two that have ids."""

    name: str = "mfa-watcher"
    key_id: str | None = None
    """The id of the key that the table is encrypted with."""
    scp_id: str | None = None
    """The id of the service control policy that guards the organization (``p-…``), if any."""

    @property
    def guard(self) -> str:
        """Return the name of the guard policy."""
        return f"{self.name}-guard"

    def own_name_in(self, named: str) -> str | None:
        """Return the own resource that a name, an ARN or a URL names, or None.

        The names of a StackSet's stacks begin with ``StackSet-`` and the StackSet's name
        (CloudFormation user guide, "StackSets concepts").
        """
        own = self.name.casefold()
        for part in re.split(r"[/:]", named):
            if part.casefold() == own or part.casefold().startswith(
                (f"{own}-", f"stackset-{own}-")
            ):
                return named if named.startswith("/") else part  # a log group's name is a path
        return None


STANDARD: Final = Watcher()


class Part(Enum):
    """What was tampered with: its name in an alert, its service, and the fields that name it.

    The fields are those of a call's request or response.
    """

    TRAIL = ("trail", "cloudtrail", "name", "trailName")
    RULE = ("rule", "events", "name", "rule")
    BUS = ("event bus's policy", "events", "statementId")
    QUEUE = ("queue", "sqs", "queueUrl")
    FUNCTION = ("function", "lambda", "functionName")
    SOURCE = (
        "function's queue or stream",
        "lambda",
        "functionArn",
        "functionName",
        "eventSourceArn",
    )
    ROLE = ("role", "iam", "roleName")
    GUARD = ("guard policy", "iam", "policyArn")
    POLICY = ("policy", "iam", "policyArn")
    TABLE = ("table", "dynamodb", "tableName", "resourceArn")
    KEY = ("key", "kms", "keyId")
    TOPIC = ("topic of alerts", "sns", "topicArn", "subscriptionArn")
    SCHEDULE = ("schedule", "scheduler", "name")
    LOGS = ("log", "logs", "logGroupName")
    ALARM = ("alarm", "monitoring", "alarmNames", "alarmName")
    SCP = ("service control policy", "organizations", "policyId", "policyType")
    STACK = ("stack", "cloudformation", "stackName")

    def __init__(self, label: str, service: str, *fields: str) -> None:
        """Take the part's name, its service and its fields."""
        self.label, self.source, self.fields = label, f"{service}.amazonaws.com", fields

    def __str__(self) -> str:
        """Return the part's name."""
        return self.label


# Lambda's names in CloudTrail end in the version of its API, such as UpdateFunctionCode20150331v2
# (Lambda developer guide, "Logging Lambda API calls"), which is removed before the lookup here.
_DONE_TO: Final = {
    Part.TRAIL: {
        "StopLogging": "stopped",
        "DeleteTrail": "deleted",
        "UpdateTrail": "changed",
        "PutEventSelectors": "set to record other events",
    },
    Part.RULE: {
        "DisableRule": "disabled",
        "DeleteRule": "deleted",
        "PutRule": "rewritten",
        "PutTargets": "changed (other targets)",
        "RemoveTargets": "changed (targets removed)",
    },
    Part.BUS: {
        "PutPermission": "changed",
        "RemovePermission": "closed to the member accounts",
    },
    Part.QUEUE: {
        "PurgeQueue": "purged",
        "DeleteQueue": "deleted",
        "SetQueueAttributes": "changed",
        "AddPermission": "opened to others",
        "RemovePermission": "closed to somebody",
    },
    Part.FUNCTION: {
        "PutFunctionConcurrency": "changed (other concurrency limit)",
        "UpdateFunctionCode": "changed (other code)",
        "UpdateFunctionConfiguration": "changed (other configuration)",
        "DeleteFunction": "deleted",
        "AddPermission": "opened to others",
        "RemovePermission": "closed to somebody",
        "CreateFunctionUrlConfig": "made reachable by a URL",
        "UpdateFunctionUrlConfig": "changed (other access by its URL)",
        "DeleteFunctionUrlConfig": "changed (URL deleted)",
    },
    Part.SOURCE: {
        "CreateEventSourceMapping": "connected to another function",
        "UpdateEventSourceMapping": "changed",
        "DeleteEventSourceMapping": "disconnected",
    },
    Part.ROLE: {
        "AttachRolePolicy": "changed (other policy)",
        "DetachRolePolicy": "changed (policy removed)",
        "PutRolePolicy": "changed (other policy)",
        "DeleteRolePolicy": "changed (policy removed)",
        "UpdateAssumeRolePolicy": "changed (who may assume it)",
        "PutRolePermissionsBoundary": "changed (permissions boundary set)",
        "DeleteRolePermissionsBoundary": "changed (permissions boundary removed)",
        "DeleteRole": "deleted",
        "CreateRole": "created (the guard policy trusts its name)",
    },
    Part.GUARD: {
        "DetachUserPolicy": "detached from a user",
        "DetachGroupPolicy": "detached from a group",
    },
    Part.POLICY: {
        "DeletePolicy": "deleted",
        "CreatePolicyVersion": "changed (new version)",
        "SetDefaultPolicyVersion": "set to another version",
        "DeletePolicyVersion": "changed (version deleted)",
    },
    Part.TABLE: {
        "DeleteTable": "deleted",
        "UpdateTable": "changed",
        "UpdateTimeToLive": "changed (how long data is kept)",
        "UpdateContinuousBackups": "changed (other backups, or none)",
        "PutResourcePolicy": "opened to others",
        "DeleteResourcePolicy": "changed (policy removed)",
    },
    Part.KEY: {
        "DisableKey": "disabled",
        "ScheduleKeyDeletion": "scheduled for deletion",
        "PutKeyPolicy": "changed (other policy)",
        "UntagResource": "changed (the tag for the guard policy removed)",
    },
    Part.TOPIC: {
        "DeleteTopic": "deleted",
        "SetTopicAttributes": "changed",
        "AddPermission": "opened to others",
        "RemovePermission": "closed to somebody",
        "Subscribe": "changed (new subscriber, who reads all alerts)",
        "Unsubscribe": "changed (subscriber removed, who reads no alerts now)",
        "SetSubscriptionAttributes": "changed (what a subscriber receives)",
    },
    Part.SCHEDULE: {
        "UpdateSchedule": "changed",
        "DeleteSchedule": "deleted",
    },
    Part.LOGS: {
        "DeleteLogGroup": "deleted",
        "DeleteLogStream": "partly deleted",
        "PutRetentionPolicy": "changed (how long data is kept)",
    },
    Part.ALARM: {
        "DeleteAlarms": "deleted",
        "DisableAlarmActions": "silenced",
        "PutMetricAlarm": "changed",
    },
    Part.SCP: {
        "DetachPolicy": "detached",
        "UpdatePolicy": "changed",
        "DeletePolicy": "deleted",
        "DisablePolicyType": "switched off, with all policies of its type",
    },
    Part.STACK: {
        "DeleteStack": "deleted",
    },
}
_CALLS: Final = {
    (part.source, name): (part, done)
    for part, calls in _DONE_TO.items()
    for name, done in calls.items()
}

_DATED: Final = re.compile(r"\d{8}(v\d+)?$")
_ALL_POLICIES = "SERVICE_CONTROL_POLICY"
_DEPLOY_AGAIN = "Deploy the stack again, which restores it"
_THEN_SWEEP = "then invoke sweep, which finds what was missed"

_ADVICE: Final = {
    Part.TRAIL: (
        "The watcher does not see what the trail does not record",
        "Check that it logs write management events in all regions and is started (StartLogging), "
        + _THEN_SWEEP,
    ),
    Part.RULE: (
        "Events of this rule may not reach the watcher any more",
        f"{_DEPLOY_AGAIN} (or enable the rule: EnableRule), {_THEN_SWEEP}",
    ),
    Part.BUS: (
        "Events of member accounts may be refused, or events of other accounts accepted",
        f"{_DEPLOY_AGAIN}, {_THEN_SWEEP}",
    ),
    Part.QUEUE: (
        "Events in it may be lost, or be read by somebody else",
        f"{_DEPLOY_AGAIN}, {_THEN_SWEEP}",
    ),
    Part.FUNCTION: (
        "It may not run any more, or not do what it should",
        f"{_DEPLOY_AGAIN}, check that its concurrency is not 0, {_THEN_SWEEP}",
    ),
    Part.SOURCE: (
        "Events may not reach the function any more, or reach another one instead",
        f"{_DEPLOY_AGAIN}, delete mappings that are not the stack's, {_THEN_SWEEP}",
    ),
    Part.ROLE: (
        "A function may lack permissions that it needs, or somebody else may have them",
        f"{_DEPLOY_AGAIN}, and delete roles and policies that are not the stack's",
    ),
    Part.GUARD: (
        "Principals without it can remove MFA devices and switch the watcher off",
        "Attach it again, and review what was done meanwhile",
    ),
    Part.POLICY: (
        "It may allow or deny other actions now",
        f"{_DEPLOY_AGAIN}, and review the policy's versions",
    ),
    Part.TABLE: (
        "State, history and pending mails may be lost, or deleted too soon",
        f"{_DEPLOY_AGAIN}; a deleted table has to be restored from its backup",
    ),
    Part.KEY: (
        "Without the key nobody can read the table or the alerts; if it is deleted, never again",
        "Restore it at once (CancelKeyDeletion, EnableKey), and deploy the stack again",
    ),
    Part.TOPIC: (
        "Alerts may not reach security any more, or reach somebody else",
        f"{_DEPLOY_AGAIN}, and review the topic's subscriptions",
    ),
    Part.SCHEDULE: (
        "Scheduled functions may not run any more: sweep, reminders, the canary",
        _DEPLOY_AGAIN,
    ),
    Part.LOGS: (
        "Logs of the watcher may be gone; its history is in the table",
        _DEPLOY_AGAIN,
    ),
    Part.ALARM: ("Failures of the watcher may not be notified any more", _DEPLOY_AGAIN),
    Part.SCP: (
        "In the accounts that it guarded, MFA devices can be removed and the watcher switched off",
        "Attach it again as docs/guard-policy.md says, and review what was done meanwhile",
    ),
    Part.STACK: (
        "The watcher is being deleted; its table and key are kept",
        "If that was not meant, deploy it again",
    ),
}


_ADVICE_IF_DENIED: Final = (
    "Nothing changed: somebody tried, and a policy denied it",
    "Ask who did this and why; if a deployment needs it, make its role an operator role",
)


@dataclass(frozen=True, slots=True)
class Tampering:
    """A call that changed a part of the watcher, or a denied attempt."""

    part: Part
    what: str
    denied: bool = False

    @property
    def advice(self) -> tuple[str, str]:
        """Return what it means, and what to do about it."""
        return _ADVICE_IF_DENIED if self.denied else _ADVICE[self.part]


def find_tampering(record: Record, watcher: Watcher) -> Tampering | None:
    """Return how a record tampered with the watcher's own resources, or None."""
    call = _call_of(record)
    if call is None or (record.failed and not record.denied):
        return None
    of, done = call
    part, named = _tampering(of, record, watcher)
    if part is None:
        return None
    whose = "The" if part in {Part.TRAIL, Part.SCP} else "The watcher's"
    which = f" {named}" if named else ""
    what = f"{whose} {part}{which} was {done}"
    if record.denied:
        what = f"{whose} {part}{which} was to be {done}, which was denied"
    return Tampering(part, what, record.denied)


def is_watched_call(record: Record) -> bool:
    """Return whether a call would be tampering if its resource were the watcher's."""
    return _call_of(record) is not None


CANARY: Final = ("sqs.amazonaws.com", "TagQueue")
"""The call that the canary makes: a write that changes nothing, on a queue of the watcher."""


def is_canary(record: Record, watcher: Watcher) -> bool:
    """Return whether a record is of the canary's call."""
    return (record.event_source, record.event_name) == CANARY and any(
        watcher.own_name_in(value) for name, value in record.named if name == "queueUrl"
    )


def _call_of(record: Record) -> tuple[Part, str] | None:
    """Return the part that a call is about, and what it does to it; None for any other call."""
    name = record.event_name or ""
    if record.event_source == "lambda.amazonaws.com":
        name = _DATED.sub("", name)
    return _CALLS.get((record.event_source or "", name))


def _tampering(part: Part, record: Record, watcher: Watcher) -> tuple[Part | None, str]:
    """Return the part that the call is about, and its name; None if it is not the watcher's."""
    named = [value for name, value in record.named if name in part.fields]
    if record.denied and not named:
        return _denied_tampering(part, record, watcher)
    match part:
        case Part.TRAIL:  # any trail: which one the watcher depends on is not known
            return part, _last_part(named[0]) if named else "(unnamed)"
        case Part.KEY:
            ours = [one for one in named if watcher.key_id and _last_part(one) == watcher.key_id]
        case Part.SCP:
            wanted = {watcher.scp_id, _ALL_POLICIES}
            ours = [one for one in named if watcher.scp_id and one in wanted]
        case Part.GUARD:
            ours = [one for one in named if _last_part(one).casefold() == watcher.guard.casefold()]
        case Part.ROLE if record.event_name == "DetachRolePolicy" and _names_guard_policy(
            record, watcher
        ):
            return Part.GUARD, f"{watcher.guard}, on a role,"
        case Part.BUS if not named:  # all statements at once
            return part, ""
        case Part.POLICY if _names_guard_policy(record, watcher):
            return Part.GUARD, watcher.guard
        case _:
            ours = [own for one in named if (own := watcher.own_name_in(one))]
    return (part, _last_part(ours[0])) if ours else (None, "")


def _denied_tampering(part: Part, record: Record, watcher: Watcher) -> tuple[Part | None, str]:
    """Return the same from the error message: a denied call's record has no parameters."""
    message = record.error_message or ""
    resource = denials.resource_of(message)
    match part:
        case Part.TRAIL:
            return part, _last_part(resource) if resource else "(unnamed)"
        case Part.KEY if resource:
            ours = bool(watcher.key_id) and _last_part(resource) == watcher.key_id
        case Part.SCP if resource:
            ours = bool(watcher.scp_id) and _last_part(resource) == watcher.scp_id
        case Part.SOURCE | Part.GUARD | Part.SCP | Part.KEY | Part.BUS:
            # The text names no policy and no function. What denies these calls explicitly is the
            # guard policy or one like it, and that denies them only on the watcher's parts.
            return (part, "") if denials.is_explicit(message) else (None, "")
        case _:
            own = watcher.own_name_in(resource) if resource else None
            if own is None and record.event_name == "DetachRolePolicy":
                return (Part.GUARD, "") if denials.is_explicit(message) else (None, "")
            return (part, own) if own else (None, "")
    return (part, _last_part(resource)) if ours else (None, "")


def _names_guard_policy(record: Record, watcher: Watcher) -> bool:
    policies = [value for name, value in record.named if name == "policyArn"]
    return any(_last_part(one).casefold() == watcher.guard.casefold() for one in policies)


def _last_part(named: str) -> str:
    """Return the last part of an ARN, a URL or a name; a log group's name stays whole."""
    return named if named.startswith("/") else re.split(r"[/:]", named)[-1]
