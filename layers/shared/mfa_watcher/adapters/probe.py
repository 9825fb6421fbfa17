"""Asks a live account, and makes the probe's signs in it. It changes the probe's own user only."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from mfa_watcher.adapters import items
from mfa_watcher.adapters.aws_errors import AWS_ERRORS, error_code
from mfa_watcher.adapters.inspection import BotoInspector, DynamoTableReader, read
from mfa_watcher.adapters.table import Table
from mfa_watcher.domain.health.probe import USER_PREFIX, IntentRecord
from mfa_watcher.domain.requests.passwords import make_password
from mfa_watcher.domain.users.user import UserKey
from mfa_watcher.ports.errors import InspectionError, MissingPermissionError
from mfa_watcher.ports.probe import ProbeUser

if TYPE_CHECKING:
    from mfa_watcher.domain.history import HistoryEntry
    from mfa_watcher.domain.users.user import User

_NOT_KNOWN_YET = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
"""What AWS answers to an access key in its first seconds."""

_ALLOW_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}

_CANARY_TAGS = {"mfa-watcher-canary": "sings"}
"""As the schedule `Canary` in template.yaml sets them."""


@dataclass(frozen=True, slots=True)
class BotoProbe(BotoInspector):
    """Asks and acts with the caller's own permissions. ``build_as`` makes the user's clients."""

    build_as: Callable[[ProbeUser, str], Any]
    account_id: str
    randomness: Random

    def matches(self, rule: str, event: Mapping[str, Any]) -> bool:
        """Call DescribeRule and TestEventPattern."""
        pattern = (self._call("events", "DescribeRule", Name=rule) or {}).get("EventPattern")
        if pattern is None:
            return False
        tested = self._call(
            "events", "TestEventPattern", EventPattern=pattern, Event=json.dumps(event)
        )
        return bool(tested and tested["Result"])

    def simulated(self, policy_arn: str, user_arn: str, actions: Sequence[str]) -> dict[str, str]:
        """Call GetPolicy, GetPolicyVersion and SimulateCustomPolicy."""
        policy = self._call("iam", "GetPolicy", PolicyArn=policy_arn)
        if policy is None:
            return {}
        version = self._call(
            "iam",
            "GetPolicyVersion",
            PolicyArn=policy_arn,
            VersionId=policy["Policy"]["DefaultVersionId"],
        )
        document = (version or {})["PolicyVersion"]["Document"]
        found = self._call(
            "iam",
            "SimulateCustomPolicy",
            PolicyInputList=[json.dumps(document), json.dumps(_ALLOW_ALL)],
            ActionNames=actions,
            ResourceArns=[user_arn],
            ContextEntries=[
                {
                    "ContextKeyName": "aws:PrincipalArn",
                    "ContextKeyType": "string",
                    "ContextKeyValues": [user_arn],
                }
            ],
        )
        return {
            one["EvalActionName"]: one["EvalDecision"]
            for one in (found or {}).get("EvaluationResults", ())
        }

    def may_update(self, table: str, *keys: str) -> bool:
        """Call UpdateItem or TransactWriteItems, with a condition that does not hold."""
        dynamodb = self.build("dynamodb")
        in_table = Table(dynamodb, table)
        updates = [
            in_table.update(
                items.key_of(key), "SET probe = :probe", "attribute_exists(pk)", {":probe": ""}
            )
            for key in keys
        ]
        try:
            if len(updates) == 1:
                dynamodb.update_item(**updates[0])
            else:
                dynamodb.transact_write_items(TransactItems=[{"Update": one} for one in updates])
        except AWS_ERRORS as error:
            code = error_code(error)
            if code in {"ConditionalCheckFailedException", "TransactionCanceledException"}:
                return True
            if code == "AccessDeniedException":
                return False
            raise InspectionError(f"dynamodb:UpdateItem: {code}") from error
        raise InspectionError("dynamodb:UpdateItem: an item exists that nobody should have made")

    # Signs ------------------------------------------------------------------------------------

    def tag_queue(self, queue: str, region: str) -> bool:
        """Call TagQueue, and GetQueueUrl if the queue is named and not given by its URL."""
        if not queue.startswith("http"):
            found = self._call("sqs", "GetQueueUrl", region=region, QueueName=queue)
            if found is None:
                return False
            queue = found["QueueUrl"]
        done = self._call("sqs", "TagQueue", region=region, QueueUrl=queue, Tags=_CANARY_TAGS)
        return done is not None

    def left_overs(self, tag: tuple[str, str]) -> list[str]:
        """Call ListUsers, and GetUser for each user whose name is like the probe's."""
        names = [
            one["UserName"]
            for one in self._all("iam", "ListUsers", "Users")
            if one["UserName"].startswith(USER_PREFIX)
        ]
        tagged = ((name, self._call("iam", "GetUser", UserName=name) or {}) for name in names)
        return [
            name
            for name, found in tagged
            if {"Key": tag[0], "Value": tag[1]} in found.get("User", {}).get("Tags", ())
        ]

    def create_user(self, name: str, tags: Mapping[str, str], policy_arn: str) -> ProbeUser:
        """Call CreateUser, CreateAccessKey, AttachUserPolicy and CreateLoginProfile."""
        made = self._made(
            "CreateUser",
            UserName=name,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )["User"]
        key = self._made("CreateAccessKey", UserName=name)["AccessKey"]
        self._made("AttachUserPolicy", UserName=name, PolicyArn=policy_arn)
        self._made(
            "CreateLoginProfile",
            UserName=name,
            # The longest that IAM takes as a rule, so that no password policy refuses it.
            Password=make_password(64, self.randomness).reveal(),
            PasswordResetRequired=True,
        )
        return ProbeUser(
            name,
            UserKey(self.account_id, made["UserId"]),
            made["Arn"],
            key["AccessKeyId"],
            key["SecretAccessKey"],
        )

    def _made(self, operation: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - as boto3's
        answer = self._call("iam", operation, **parameters)
        if answer is None:
            raise InspectionError(f"iam:{operation}: the user is gone")
        return answer

    def removal_is_denied(self, user: ProbeUser) -> bool | None:
        """Call DeactivateMFADevice as the probe's user, whom nothing allows it."""
        iam = self.build_as(user, "iam")
        serial = f"{user.arn.partition(':user/')[0]}:mfa/{user.name}"
        try:
            read(
                "iam:DeactivateMFADevice",
                lambda: iam.deactivate_mfa_device(UserName=user.name, SerialNumber=serial),
            )
        except MissingPermissionError:
            return True
        except InspectionError as error:
            if str(error).rpartition(" ")[2] in _NOT_KNOWN_YET:
                return None
            raise
        return False

    def delete_user(self, name: str) -> None:
        """Call the opposite of each call of ``create_user``, and DeleteUser."""
        keys = self._all("iam", "ListAccessKeys", "AccessKeyMetadata", UserName=name)
        for key in keys:
            self._call("iam", "DeleteAccessKey", UserName=name, AccessKeyId=key["AccessKeyId"])
        attached = self._all("iam", "ListAttachedUserPolicies", "AttachedPolicies", UserName=name)
        for policy in attached:
            self._call("iam", "DetachUserPolicy", UserName=name, PolicyArn=policy["PolicyArn"])
        self._call("iam", "DeleteLoginProfile", UserName=name)
        self._call("iam", "DeleteUser", UserName=name)


@dataclass(frozen=True, slots=True)
class DynamoProbedTable(DynamoTableReader):
    """Reads the watcher's table with the caller's own permissions."""

    def user(self, key: UserKey) -> "User | None":
        """Call GetItem."""
        return read("dynamodb:GetItem", lambda: self.store.user(key))

    def user_history(self, key: UserKey) -> "list[HistoryEntry]":
        """Query the user's items."""
        return read("dynamodb:Query", lambda: self.store.user_history(key)) or []

    def intent(self, intent_id: str) -> IntentRecord | None:
        """Call GetItem."""
        item = read("dynamodb:GetItem", lambda: self.store.table.get(items.intent_pk(intent_id)))
        if item is None:
            return None
        names = {"to": "sent_to", "receipt": "receipt", "reason": "reason", "outcome": "outcome"}
        return IntentRecord(
            item["status"], **{name: str(item.get(stored) or "") for name, stored in names.items()}
        )
