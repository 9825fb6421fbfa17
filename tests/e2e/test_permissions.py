"""Least privilege, proved by what the policy evaluation was asked in the run."""

from fnmatch import fnmatchcase
from typing import Any

import pytest

from sandbox.stage import Stage

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

# Used in cases that the story does not tell.
NOT_IN_THE_STORY = (
    "iam:GetUser",  # a sign-in whose record lacks the user's id
    "sqs:SendMessage",  # bad input is parked
)


# Redeliver has nothing to do until deliver fails.
pytestmark = pytest.mark.usefixtures("outage")


def test_no_function_is_denied_anything_by_its_own_role(stage: Stage) -> None:
    assert stage.evidence.refusals() == []


def test_every_permission_of_a_function_is_used(stage: Stage) -> None:
    used: dict[str, set[str]] = {}
    for decision in stage.account.decisions():
        if ":assumed-role/" in decision["principal_arn"]:
            role = decision["principal_arn"].split("/")[1]
            used.setdefault(role, set()).add(decision["action"])
    iam = stage.account.root.client("iam")
    functions = stage.evidence.function_roles()
    assert functions <= used.keys(), "a function that called nothing"
    unused = {
        role: sorted(
            action
            for action in _granted(iam, role)
            if action not in used[role]
            and not any(
                fnmatchcase(action, excused) for excused in (*ASKED_BY_LAMBDA, *NOT_IN_THE_STORY)
            )
        )
        for role in functions
    }
    assert {role: actions for role, actions in unused.items() if actions} == {}


def _granted(iam: Any, role: str) -> set[str]:
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        documents.append(found["PolicyVersion"]["Document"])
    actions: set[str] = set()
    for document in documents:
        for statement in document["Statement"]:
            action = statement["Action"]
            actions |= {action} if isinstance(action, str) else set(action)
    return actions
