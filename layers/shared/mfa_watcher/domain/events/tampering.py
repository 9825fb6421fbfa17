"""What blinds, silences or disarms the watcher: which call, on which part of it, and the remedy."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mfa_watcher.domain.events import denials
from mfa_watcher.domain.events.records import Record


@dataclass(frozen=True, slots=True)
class Watcher:
    """The watcher's own parts: their names begin with the stack's, but for two that have none."""

    name: str = "mfa-watcher"
    key_id: str | None = None
    """The id of the key that the table is encrypted with."""
    scp_id: str | None = None
    """The id of the service control policy that guards the organization (``p-…``), if any."""

    @property
    def guard(self) -> str:
        """The name of the guard policy."""
        return f"{self.name}-guard"

    def own_name_in(self, named: str) -> str | None:
        """Give the name of the part of ours that a name, an ARN or a URL leads to, or None."""
        own = self.name.casefold()
        for part in re.split(r"[/:]", named):
            if part.casefold() == own or part.casefold().startswith(f"{own}-"):
                return named if named.startswith("/") else part  # a log group's name is a path
        return None


STANDARD: Final = Watcher()


class Part(StrEnum):
    """What was disturbed, in words that an alert uses."""

    TRAIL = "trail"
    RULE = "rule"
    BUS = "event bus's policy"
    QUEUE = "queue"
    FUNCTION = "function"
    SOURCE = "function's queue or stream"
    ROLE = "role"
    GUARD = "guard policy"
    POLICY = "policy"
    TABLE = "table"
    KEY = "key"
    TOPIC = "topic of alerts"
    SCHEDULE = "schedule"
    LOGS = "log"
    ALARM = "alarm"
    SCP = "service control policy"
    STACK = "stack"


@dataclass(frozen=True, slots=True)
class _Act:
    part: Part
    done: str
    fields: tuple[str, ...]
    """Where the record names the part, in the request or in the answer."""


def _acts(
    service: str, part: Part, fields: tuple[str, ...], **done: str
) -> dict[tuple[str, str], _Act]:
    return {
        (f"{service}.amazonaws.com", name): _Act(part, text, fields) for name, text in done.items()
    }


# Lambda's names in CloudTrail end in the version of its API, such as UpdateFunctionCode20150331v2
# (Lambda developer guide, "Logging Lambda API calls"), which is taken off before they are looked
# up here.
_ACTS: Final = {
    **_acts(
        "cloudtrail",
        Part.TRAIL,
        ("name", "trailName"),
        StopLogging="stopped",
        DeleteTrail="deleted",
        UpdateTrail="changed",
        PutEventSelectors="told anew what to record",
    ),
    **_acts(
        "events",
        Part.RULE,
        ("name", "rule"),
        DisableRule="disabled",
        DeleteRule="deleted",
        PutRule="rewritten",
        PutTargets="given other targets",
        RemoveTargets="stripped of targets",
    ),
    **_acts(
        "events",
        Part.BUS,
        ("statementId",),
        PutPermission="changed",
        RemovePermission="shut to the member accounts",
    ),
    **_acts(
        "sqs",
        Part.QUEUE,
        ("queueUrl",),
        PurgeQueue="purged",
        DeleteQueue="deleted",
        SetQueueAttributes="changed",
        AddPermission="opened to others",
        RemovePermission="shut to somebody",
    ),
    **_acts(
        "lambda",
        Part.FUNCTION,
        ("functionName",),
        PutFunctionConcurrency="given another limit of concurrency",
        UpdateFunctionCode="given other code",
        UpdateFunctionConfiguration="configured anew",
        DeleteFunction="deleted",
        AddPermission="opened to others",
        RemovePermission="shut to somebody",
        CreateFunctionUrlConfig="given a URL",
        UpdateFunctionUrlConfig="given another way in by its URL",
        DeleteFunctionUrlConfig="stripped of its URL",
    ),
    **_acts(
        "lambda",
        Part.SOURCE,
        ("functionArn", "functionName", "eventSourceArn"),
        CreateEventSourceMapping="taken by another function",
        UpdateEventSourceMapping="switched or configured anew",
        DeleteEventSourceMapping="taken away",
    ),
    **_acts(
        "iam",
        Part.ROLE,
        ("roleName",),
        AttachRolePolicy="given another policy",
        DetachRolePolicy="stripped of a policy",
        PutRolePolicy="given another policy",
        DeleteRolePolicy="stripped of a policy",
        UpdateAssumeRolePolicy="opened to others, or shut",
        PutRolePermissionsBoundary="bounded",
        DeleteRolePermissionsBoundary="stripped of its boundary",
        DeleteRole="deleted",
        CreateRole="made, which bears a name that the guard policy lets pass",
    ),
    **_acts(
        "iam",
        Part.GUARD,
        ("policyArn",),
        DetachUserPolicy="detached from a user",
        DetachGroupPolicy="detached from a group",
    ),
    **_acts(
        "iam",
        Part.POLICY,
        ("policyArn",),
        DeletePolicy="deleted",
        CreatePolicyVersion="given a new version",
        SetDefaultPolicyVersion="set to another version",
        DeletePolicyVersion="stripped of a version",
    ),
    **_acts(
        "dynamodb",
        Part.TABLE,
        ("tableName", "resourceArn"),
        DeleteTable="deleted",
        UpdateTable="changed",
        UpdateTimeToLive="told to forget otherwise than it should",
        UpdateContinuousBackups="given other backups, or none",
        PutResourcePolicy="opened to others",
        DeleteResourcePolicy="stripped of its policy",
    ),
    **_acts(
        "kms",
        Part.KEY,
        ("keyId",),
        DisableKey="disabled",
        ScheduleKeyDeletion="scheduled for deletion",
        PutKeyPolicy="given another policy",
        UntagResource="stripped of the tag by which the guard policy knows it",
    ),
    **_acts(
        "sns",
        Part.TOPIC,
        ("topicArn", "subscriptionArn"),
        DeleteTopic="deleted",
        SetTopicAttributes="changed",
        AddPermission="opened to others",
        RemovePermission="shut to somebody",
        Subscribe="given another subscriber, who reads all alerts from now on",
        Unsubscribe="stripped of a subscriber, who reads no more alerts",
        SetSubscriptionAttributes="told to send a subscriber less, or otherwise",
    ),
    **_acts(
        "scheduler",
        Part.SCHEDULE,
        ("name",),
        UpdateSchedule="changed",
        DeleteSchedule="deleted",
    ),
    **_acts(
        "logs",
        Part.LOGS,
        ("logGroupName",),
        DeleteLogGroup="deleted",
        DeleteLogStream="deleted in part",
        PutRetentionPolicy="told to forget otherwise than it should",
    ),
    **_acts(
        "monitoring",
        Part.ALARM,
        ("alarmNames", "alarmName"),
        DeleteAlarms="deleted",
        DisableAlarmActions="silenced",
        PutMetricAlarm="changed",
    ),
    **_acts(
        "organizations",
        Part.SCP,
        ("policyId", "policyType"),
        DetachPolicy="detached",
        UpdatePolicy="changed",
        DeletePolicy="deleted",
        DisablePolicyType="switched off, with all of its kind",
    ),
    **_acts("cloudformation", Part.STACK, ("stackName",), DeleteStack="deleted"),
}

_DATED: Final = re.compile(r"\d{8}(v\d+)?$")
_ALL_POLICIES = "SERVICE_CONTROL_POLICY"
_DEPLOY_AGAIN = "Deploy the stack again, which puts it back"
_THEN_SWEEP = "then invoke sweep, which finds what was missed"

_ADVICE: Final = {
    Part.TRAIL: (
        "What the trail does not record, the watcher does not see",
        "See that it logs write management events in all regions and is started (StartLogging), "
        + _THEN_SWEEP,
    ),
    Part.RULE: (
        "What the rule caught may not reach the watcher any more",
        f"{_DEPLOY_AGAIN} (or enable the rule: EnableRule), {_THEN_SWEEP}",
    ),
    Part.BUS: (
        "Events of member accounts may be refused, or those of strangers accepted",
        f"{_DEPLOY_AGAIN}, {_THEN_SWEEP}",
    ),
    Part.QUEUE: (
        "Events that waited in it may be lost, or are read by somebody else",
        f"{_DEPLOY_AGAIN}, {_THEN_SWEEP}",
    ),
    Part.FUNCTION: (
        "It may not run any more, or do something else than it should",
        f"{_DEPLOY_AGAIN}, see that its concurrency is not 0, {_THEN_SWEEP}",
    ),
    Part.SOURCE: (
        "Events may not reach the function any more, or another takes them away",
        f"{_DEPLOY_AGAIN}, delete mappings that are not the stack's, {_THEN_SWEEP}",
    ),
    Part.ROLE: (
        "A function may not do any more what it must, or somebody else may do it in its name",
        f"{_DEPLOY_AGAIN}, and delete roles and policies that are not the stack's",
    ),
    Part.GUARD: (
        "Whom it no longer holds can remove MFA devices and switch the watcher off",
        "Attach it again, and look at what was done meanwhile",
    ),
    Part.POLICY: (
        "What it allows or forbids may be something else now",
        f"{_DEPLOY_AGAIN}, and look at the policy's versions",
    ),
    Part.TABLE: (
        "State, history and mails on their way may be lost, or are forgotten too soon",
        f"{_DEPLOY_AGAIN}; a deleted table is restored from its backup",
    ),
    Part.KEY: (
        "Without the key nobody reads the table or the alerts, and after its deletion never again",
        "Take it back at once (CancelKeyDeletion, EnableKey), and deploy the stack again",
    ),
    Part.TOPIC: (
        "Alerts may not reach security any more, or reach somebody else",
        f"{_DEPLOY_AGAIN}, and look at the topic's subscriptions",
    ),
    Part.SCHEDULE: (
        "What it started by the clock may not run any more: sweep, reminders, the canary",
        _DEPLOY_AGAIN,
    ),
    Part.LOGS: (
        "What the watcher wrote of its doings may be gone; its history is in the table",
        _DEPLOY_AGAIN,
    ),
    Part.ALARM: ("The watcher's own failures may not be told any more", _DEPLOY_AGAIN),
    Part.SCP: (
        "In the accounts that it guarded, MFA devices can be removed and the watcher switched off",
        "Attach it again as docs/guard-policy.md says, and look at what was done meanwhile",
    ),
    Part.STACK: (
        "The watcher is being taken down; its table and key are kept",
        "If that was not meant, deploy it again",
    ),
}


@dataclass(frozen=True, slots=True)
class Tampering:
    """An act on a part of the watcher, or a try at one."""

    part: Part
    what: str
    denied: bool = False
    meaning: str = field(default="", compare=False)
    remedy: str = field(default="", compare=False)


def find_tampering(record: Record, watcher: Watcher) -> Tampering | None:
    """Say what a record did to the watcher; None if nothing, or to somebody else's resources."""
    act = _act_of(record)
    if act is None or (record.failed and not record.denied):
        return None
    part, named = _tampering(act, record, watcher)
    if part is None:
        return None
    whose = "The" if part in {Part.TRAIL, Part.SCP} else "The watcher's"
    which = f" {named}" if named else ""
    what = f"{whose} {part}{which} was {act.done}"
    if record.denied:
        what = f"{whose} {part}{which} was to be {act.done}, which was denied"
    meaning, remedy = _ADVICE[part]
    if record.denied:
        meaning = "Nothing changed: somebody tried, and a policy forbade it"
        remedy = "Ask who did this and why; if a deployment needs it, name its role an operator's"
    return Tampering(part, what, record.denied, meaning, remedy)


def is_watched_call(record: Record) -> bool:
    """Tell whether a call is of a kind that disturbs a watcher, whoever's resource it is about."""
    return _act_of(record) is not None


CANARY: Final = ("sqs.amazonaws.com", "TagQueue")
"""The call that the canary makes: a write that changes nothing, on a queue of ours."""


def is_canary(record: Record, watcher: Watcher) -> bool:
    """Tell whether a record is of the call that the canary makes."""
    return (record.event_source, record.event_name) == CANARY and any(
        watcher.own_name_in(value) for name, value in record.named if name == "queueUrl"
    )


def _act_of(record: Record) -> _Act | None:
    name = record.event_name or ""
    if record.event_source == "lambda.amazonaws.com":
        name = _DATED.sub("", name)
    return _ACTS.get((record.event_source or "", name))


def _tampering(act: _Act, record: Record, watcher: Watcher) -> tuple[Part | None, str]:
    """Give the part that is meant, and its name; None if it is nothing of ours."""
    named = [value for name, value in record.named if name in act.fields]
    if record.denied and not named:
        return _denied(act, record, watcher)
    match act.part:
        case Part.TRAIL:  # any: which of them feeds the watcher, nobody says
            return act.part, _last(named[0]) if named else "(unnamed)"
        case Part.KEY:
            ours = [one for one in named if watcher.key_id and _last(one) == watcher.key_id]
        case Part.SCP:
            wanted = {watcher.scp_id, _ALL_POLICIES}
            ours = [one for one in named if watcher.scp_id and one in wanted]
        case Part.GUARD:
            ours = [one for one in named if _last(one).casefold() == watcher.guard.casefold()]
        case Part.ROLE if record.event_name == "DetachRolePolicy" and _of_guard(record, watcher):
            return Part.GUARD, f"{watcher.guard}, on a role,"
        case Part.BUS if not named:  # all statements at once
            return act.part, ""
        case Part.POLICY if _of_guard(record, watcher):
            return Part.GUARD, watcher.guard
        case _:
            ours = [own for one in named if (own := watcher.own_name_in(one))]
    return (act.part, _last(ours[0])) if ours else (None, "")


def _denied(act: _Act, record: Record, watcher: Watcher) -> tuple[Part | None, str]:
    """Tell by the text, since CloudTrail drops a denied call's parameters."""
    message = record.error_message or ""
    resource = denials.resource_of(message)
    match act.part:
        case Part.TRAIL:
            return act.part, _last(resource) if resource else "(unnamed)"
        case Part.KEY if resource:
            ours = bool(watcher.key_id) and _last(resource) == watcher.key_id
        case Part.SCP if resource:
            ours = bool(watcher.scp_id) and _last(resource) == watcher.scp_id
        case Part.SOURCE | Part.GUARD | Part.SCP | Part.KEY | Part.BUS:
            # The text names no policy and no function. Whatever denies these explicitly is the
            # guard policy or one like it, and that denies them on the watcher's parts alone.
            return (act.part, "") if denials.is_explicit(message) else (None, "")
        case _:
            own = watcher.own_name_in(resource) if resource else None
            if own is None and record.event_name == "DetachRolePolicy":
                return (Part.GUARD, "") if denials.is_explicit(message) else (None, "")
            return (act.part, own) if own else (None, "")
    return (act.part, _last(resource)) if ours else (None, "")


def _of_guard(record: Record, watcher: Watcher) -> bool:
    policies = [value for name, value in record.named if name == "policyArn"]
    return any(_last(one).casefold() == watcher.guard.casefold() for one in policies)


def _last(named: str) -> str:
    """Give the last part of a name that says where something is."""
    return named if named.startswith("/") else re.split(r"[/:]", named)[-1]
