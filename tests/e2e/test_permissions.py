"""Least privilege, proved by what the policy evaluation was asked in the run."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from sandbox.records import Json
from sandbox.setup import Sandbox

# Used by the Lambda service itself on AWS, where the emulator asks nobody.
ASKED_BY_LAMBDA = (
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "logs:*",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "xray:*",
)

# Used in cases that the story does not show.
NOT_IN_THE_STORY = (
    "iam:GetUser",  # a sign-in whose record lacks the user's id
    "iam:ListAccountAliases",  # asked for once an hour, by the first function that delivers
    "sqs:SendMessage",  # bad input is parked
    "sts:AssumeRole",  # a member's user is due, quarantined, or mailed at the second try
)

# And of one function: on_iam_change looks for a virtual device's owner, a sweep asks for passwords
# only if the credential report is an old one, the quarantine commits a decision only about a user
# who has too many policies.
NOT_IN_THE_STORY_OF = {
    "OnIamChangeRole": {"dynamodb:Query"},
    "SweepRole": {"iam:GetLoginProfile"},
    "QuarantineRole": {"dynamodb:PutItem"},
}


# Redeliver has nothing to do until deliver fails.
pytestmark = pytest.mark.usefixtures("outage")


def test_no_function_is_denied_anything_by_its_own_role(sandbox: Sandbox) -> None:
    assert sandbox.observations.refusals() == []


def test_every_permission_of_a_function_is_used(sandbox: Sandbox) -> None:
    """Also those of a policy that several roles share: each must use all of it."""
    used: dict[str, set[str]] = {}
    for decision in sandbox.account.decisions():
        if ":assumed-role/" in decision["principal_arn"]:
            role = decision["principal_arn"].split("/")[1]
            used.setdefault(role, set()).add(decision["action"])
    iam = sandbox.account.root.client("iam")
    functions = sandbox.observations.function_roles()
    assert functions <= used.keys(), "a function that called nothing"
    resources = sandbox.stack.resources
    # What deliver could not send, redeliver delivers, and on some days there is nothing.
    delivering = [resources[name] for name in ("DeliverRole", "RedeliverRole")]
    used |= dict.fromkeys(delivering, set().union(*(used[role] for role in delivering)))
    for name, actions in NOT_IN_THE_STORY_OF.items():
        used[resources[name]] |= actions
    unused = {role: _unused(_granted(iam, role), used[role]) for role in functions}
    assert {name: actions for name, actions in unused.items() if actions} == {}


def _unused(granted: set[str], called: set[str]) -> list[str]:
    excused = (*ASKED_BY_LAMBDA, *NOT_IN_THE_STORY)
    return sorted(
        action
        for action in granted - called
        if not any(fnmatchcase(action, excuse) for excuse in excused)
    )


def _granted(iam: Any, role: str) -> set[str]:
    """Return the actions that a role's own policies and the attached ones allow."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names
    ]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return _actions([*documents, *(_document(iam, policy["PolicyArn"]) for policy in attached)])


def _document(iam: Any, arn: str) -> Json:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)
    document: Json = found["PolicyVersion"]["Document"]
    return document


def _actions(documents: Iterable[Json]) -> set[str]:
    actions: set[str] = set()
    for document in documents:
        for statement in document["Statement"]:
            action = statement["Action"]
            actions |= {action} if isinstance(action, str) else set(action)
    return actions
