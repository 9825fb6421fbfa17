"""Patches of MiniStack 1.5 where it differs from AWS in a way that this product notices.

MiniStack decides who may do what; nothing here decides for it. docs/sandbox.md lists what differs.
Further patches are in `deployer_rights.py`, `organization.py`, `function_urls.py`,
`mfa_sessions.py` and `passwords.py`, and, for speed only, `function_processes.py`.

Patching fails loudly if a release of MiniStack no longer has the original.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parseaddr
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import dynamodb, iam, lambda_svc, ses_v2, sqs
from ministack.services.cloudformation import provisioners

from sandbox import (
    aws_protocol,
    deployer_rights,
    function_processes,
    function_urls,
    mfa_sessions,
    organization,
    passwords,
    totp,
)


@dataclass(frozen=True)
class Decision:
    """One decision of the policy evaluation."""

    principal_arn: str
    action: str
    resource: str
    allowed: bool


def install(observe: Callable[[Decision], None]) -> None:
    """Patch the MiniStack of this process; `observe` is called with each policy decision."""
    _replace(iam_evaluator, "enforce", lambda original: _observed(original, observe))
    _replace(iam_evaluator, "enforce", _with_leading_keys)
    _replace(iam_evaluator, "_first_match", _with_variables_expanded)
    _replace(iam_actions, "extract_resource_arn", _with_iam_resources)
    _replace(iam_actions, "_ses_v2_resource_arn", _with_sending_identity)
    _replace(iam_actions, "request_tag_context", _with_attached_policy)
    _replace(iam_actions, "dynamodb_service_context", _with_keys_of_items)
    _replace(iam_actions, "access_denied_response", _with_message_of_aws)
    _replace(provisioners, "_cw_metric_alarm_record", _without_metric_math)
    _replace(lambda_svc, "_sqs_esm_concurrency", _with_number_of_the_template)
    for name, handler in iam._IAM_HANDLERS.items():
        iam._IAM_HANDLERS[name] = _for_the_caller(name, handler)
    iam._IAM_HANDLERS["CreateVirtualMFADevice"] = _with_real_seed(
        iam._IAM_HANDLERS["CreateVirtualMFADevice"]
    )
    iam._IAM_HANDLERS["EnableMFADevice"] = _with_codes_checked(iam._IAM_HANDLERS["EnableMFADevice"])
    iam._IAM_HANDLERS["UpdateUser"] = _update_user
    sqs._HANDLERS["StartMessageMoveTask"] = _start_message_move_task
    for more in (
        function_processes,
        function_urls,
        mfa_sessions,
        organization,
        passwords,
        deployer_rights,
    ):
        more.install()


def _replace(module: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(module, name, make(getattr(module, name)))


# --- Lambda -------------------------------------------------------------------------------------


def _with_number_of_the_template(concurrency: Any) -> Any:
    """Take a parameter's value, which is a text, for the number that CloudFormation makes of it."""

    @wraps(concurrency)
    def limited(mapping: dict[str, Any], *rest: Any, **more: Any) -> Any:
        scaling = {name: int(value) for name, value in mapping.get("ScalingConfig", {}).items()}
        return concurrency({**mapping, "ScalingConfig": scaling}, *rest, **more)

    return limited


# --- policy evaluation --------------------------------------------------------------------------


def _observed(enforce: Any, observe: Callable[[Decision], None]) -> Any:
    @wraps(enforce)
    def observed(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        **rest: Any,
    ) -> Any:
        verdict = enforce(access_key, action, service, region, resource_arn=resource_arn, **rest)
        if not isinstance(verdict, iam_evaluator.AuthError):
            found = iam_evaluator.resolve_credential(access_key, get_account_id())
            principal = getattr(found, "principal_arn", "anonymous")
            observe(Decision(principal, action, resource_arn, allowed=verdict is None))
        return verdict

    return observed


def _with_variables_expanded(first_match: Any) -> Any:
    def expand(text: str, context: Any) -> str:
        def value(found: re.Match[str]) -> str:
            resolved = iam_evaluator._resolve_condition_key(found[1], context)
            return found[0] if resolved is None else str(resolved)

        return re.sub(r"\$\{([^}]+)\}", value, text)

    @wraps(first_match)
    def expanded(context: Any, statements: list[Any], effect: str) -> Any:
        return first_match(
            context,
            [
                replace(
                    statement,
                    resources=[expand(text, context) for text in statement.resources],
                    not_resources=[expand(text, context) for text in statement.not_resources],
                )
                for statement in statements
            ],
            effect,
        )

    return expanded


_KEYS_OF_ITEMS: Final = "sandbox:keys-of-items"


def _with_keys_of_items(service_context: Any) -> Any:
    @wraps(service_context)
    def extended(body: bytes) -> dict[str, Any]:
        known: dict[str, Any] = service_context(body)
        return known | {_KEYS_OF_ITEMS: _keys_of_items(json.loads(body or b"{}"))}

    return extended


def _with_leading_keys(enforce: Any) -> Any:
    """Authorise each item of a transaction as its own action, with its own key."""

    @wraps(enforce)
    def keyed(access_key: str, action: str, *request: Any, **rest: Any) -> Any:
        context = dict(rest.get("service_context") or {})
        keys = context.pop(_KEYS_OF_ITEMS, None) or []
        leading = [key for one, key in keys if one in {action, ""}]
        if leading:
            context["dynamodb:LeadingKeys"] = leading
        return enforce(access_key, action, *request, **(rest | {"service_context": context}))

    return keyed


def _keys_of_items(call: dict[str, Any]) -> list[tuple[str, str]]:
    """Return action (empty: the call's own) and partition key of each item that a call names."""
    items = [("", call)]
    items += [
        (f"dynamodb:{kind}Item", one)
        for each in call.get("TransactItems", [])
        for kind, one in each.items()
    ]
    items += [
        ("", {"TableName": table} | next(iter(write.values())))
        for table, writes in call.get("RequestItems", {}).items()
        if isinstance(writes, list)
        for write in writes
    ]
    found = []
    for action, item in items:
        table = dynamodb._tables.get(str(item.get("TableName", "")).rpartition("/")[2]) or {}
        values = item.get("Key") or item.get("Item") or {}
        if value := values.get(table.get("pk_name"), {}):
            found.append((action, str(next(iter(value.values())))))
    return found


def _with_iam_resources(extract: Any) -> Any:
    @wraps(extract)
    def extended(service: str, *request: Any) -> str:
        *_, form, region, account = request
        action = _first(form, "Action")
        if service == "iam" and action in {"CreateVirtualMFADevice", "DeleteVirtualMFADevice"}:
            path = _first(form, "Path") or "/"
            return (
                _first(form, "SerialNumber")
                or f"arn:aws:iam::{account}:mfa{path}{_first(form, 'VirtualMFADeviceName')}"
            )
        about_caller = _defaults_to_caller(action) or action == "ChangePassword"
        no_user_named = about_caller and not _first(form, "UserName")
        if service == "iam" and no_user_named and _calling_user():
            return _caller_arn()
        resource: str = extract(service, *request)
        if service == "sqs" and resource == "*":
            return iam_actions._safe_json_field(request[3], "SourceArn") or resource
        if service == "events":
            return _rule_resource(resource, request[3], region, account)
        return resource

    return extended


def _rule_resource(resource: str, body: bytes, region: str, account: str) -> str:
    """Name a rule as AWS does: without the default bus, also in calls about its targets."""
    if resource == "*" and (rule := json.loads(body or b"{}").get("Rule")):
        return f"arn:aws:events:{region}:{account}:rule/{rule}"
    return resource.replace(":rule/default/", ":rule/")


def _with_attached_policy(request_context: Any) -> Any:
    @wraps(request_context)
    def extended(service: str, action: str, body: bytes, form: Any) -> dict[str, Any]:
        known: dict[str, Any] = request_context(service, action, body, form)
        attached = _first(form, "PolicyArn") if service == "iam" else ""
        return known | ({"iam:PolicyARN": attached} if attached else {})

    return extended


def _with_sending_identity(resource_arn: Any) -> Any:
    @wraps(resource_arn)
    def of_identity(method: str, path: str, body: bytes, region: str, account: str) -> str:
        if method == "POST" and path.rstrip("/") == "/v2/email/outbound-emails":
            sender = parseaddr(iam_actions._safe_json_field(body, "FromEmailAddress"))[1]
            found = [
                name for name in ses_v2._identities if name == sender or sender.endswith(f"@{name}")
            ]
            return f"arn:aws:ses:{region}:{account}:identity/{max(found, key=len, default=sender)}"
        resource: str = resource_arn(method, path, body, region, account)
        return resource

    return of_identity


# --- messages of a denial -----------------------------------------------------------------------


def _with_message_of_aws(respond: Any) -> Any:
    @wraps(respond)
    def denied(service: str, action: str, principal: str, request_id: str, **rest: Any) -> Any:
        if not (rest.get("error_code") or rest.get("message") or rest.get("resource_policy_arn")):
            resource = rest.get("resource_arn", "*")
            rest["message"] = (
                f"User: {principal} is not authorized to perform: {action} "
                f"on resource: {_named(resource)} "
                f"{_reason(principal, action, resource, explicit=rest.get('explicit_deny', False))}"
            )
        return respond(service, action, principal, request_id, **rest)

    return denied


def _named(resource: str) -> str:
    """Return a resource as IAM names it: "user carol", but a policy or a device by its ARN."""
    found = re.fullmatch(r"arn:[^:]+:iam::\d*:(user|role|group)/(?:.+/)?([^/]+)", resource)
    return f"{found[1]} {found[2]}" if found else resource


def _reason(principal: str, action: str, resource: str, *, explicit: bool) -> str:
    if not explicit:
        return f"because no identity-based policy allows the {action} action"
    policy = _denying_policy(principal, action, resource)
    return "with an explicit deny in an identity-based policy" + (f": {policy}" if policy else "")


def _denying_policy(principal: str, action: str, resource: str) -> str:
    """Return the managed policy whose statement denied; empty for an inline policy."""
    account, name = principal.split(":")[4], principal.rpartition("/")[2]
    context = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="User",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region="us-east-1",
        principal_keys={"aws:username": name},
    )
    groups = [group for group in iam._groups.values() if name in group.get("Users", [])]
    for holder in [iam._users.get(name) or {}, *groups]:
        for arn in holder.get("AttachedPolicies", []):
            document = iam_evaluator._resolve_managed_policy_document(arn, account)
            if iam_evaluator._first_match(
                context, iam_evaluator.parse_policy_document(document), "Deny"
            ):
                return str(arn)
    return ""


# --- IAM calls ----------------------------------------------------------------------------------


def _for_the_caller(action: str, handle: Any) -> Any:
    if not _defaults_to_caller(action):
        return handle

    @wraps(handle)
    def defaulted(form: dict[str, Any]) -> Any:
        if not _first(form, "UserName") and _calling_user():
            form["UserName"] = [_calling_user()]
        return handle(form)

    return defaulted


def _with_real_seed(create: Any) -> Any:
    @wraps(create)
    def seeded(form: dict[str, Any]) -> Any:
        status, headers, body = create(form)
        if status == HTTPStatus.OK:
            serial = re.search(rb"<SerialNumber>([^<]+)<", body)[1].decode()  # type: ignore[index]
            device = iam._mfa_devices[serial]
            old, device["Base32StringSeed"] = device["Base32StringSeed"], totp.new_seed()
            body = body.replace(_blob(old), _blob(device["Base32StringSeed"]))
        return status, headers, body

    return seeded


def _with_codes_checked(enable: Any) -> Any:
    @wraps(enable)
    def checked(form: dict[str, Any]) -> Any:
        device = iam._mfa_devices.get(_first(form, "SerialNumber"))
        first, second = _first(form, "AuthenticationCode1"), _first(form, "AuthenticationCode2")
        if device and not totp.consecutive(device["Base32StringSeed"], first, second, time.time()):
            return iam._error(
                403, "InvalidAuthenticationCode", "Authentication code for device is not valid."
            )
        return enable(form)

    return checked


def _update_user(form: dict[str, Any]) -> Any:
    old = _first(form, "UserName")
    new = _first(form, "NewUserName") or old
    user = iam._users.get(old)
    if user is None:
        return iam._error(404, "NoSuchEntity", f"The user with name {old} cannot be found.")
    if new != old and new in iam._users:
        return iam._error(409, "EntityAlreadyExists", f"User with name {new} already exists.")
    path = _first(form, "NewPath") or user["Path"]
    arn = f"{user['Arn'].partition(':user/')[0]}:user{path}{new}"
    user.update(UserName=new, Path=path, Arn=arn)
    for store in (iam._users, iam._login_profiles, iam._user_inline_policies):
        if old in store:
            store[new] = store.pop(old)
    for holder, name in ((iam._access_keys, "UserName"), (iam._mfa_devices, "User")):
        for held in holder.values():
            held[name] = new if held[name] == old else held[name]
    if new in iam._login_profiles:
        iam._login_profiles[new]["UserName"] = new
    for group in iam._groups.values():
        group["Users"] = [new if name == old else name for name in group.get("Users", [])]
    return iam._xml(200, "UpdateUserResponse", "")


# --- SQS ----------------------------------------------------------------------------------------


def _start_message_move_task(call: dict[str, Any], _: str) -> dict[str, str]:
    """Move what waits in a queue of dead letters at once, as new messages with their attributes.

    Without a destination, a message goes to the queue that SQS moved it from. SQS knows none for a
    message that was sent to the queue of dead letters.
    """
    source = sqs._queue_by_arn(call.get("SourceArn", ""))
    if source is None:
        raise sqs._Err(
            "ResourceNotFoundException",
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        )
    for message in [one for one in source["messages"] if one["visible_at"] <= time.time()]:
        origin = message["sys"].get("DeadLetterQueueSourceArn", "")
        target = sqs._queue_by_arn(call.get("DestinationArn") or origin)
        if target is None:
            continue
        sent = {
            "QueueUrl": target["url"],
            "MessageBody": message["body"],
            "MessageAttributes": message["message_attributes"],
        }
        sqs._act_send_message(sent, "")
        source["messages"].remove(message)
    return {"TaskHandle": base64.b64encode(call["SourceArn"].encode()).decode()}


# --- CloudFormation -----------------------------------------------------------------------------


def _without_metric_math(record: Any) -> Any:
    @wraps(record)
    def plain(name: str, properties: dict[str, Any]) -> Any:
        metrics = properties.get("Metrics", [])
        first: dict[str, Any] = next(
            (one["MetricStat"]["Metric"] for one in metrics if "MetricStat" in one), {}
        )
        named = {key: first[key] for key in ("MetricName", "Namespace") if key in first}
        kept = {key: value for key, value in properties.items() if key != "Metrics"}
        return record(name, named | kept)

    return plain


# --- reading a request --------------------------------------------------------------------------


def _defaults_to_caller(action: str) -> bool:
    """Return whether the action is about the caller's own user if no user is named."""
    model = aws_protocol.service_model("iam")
    if action not in model.operation_names:
        return False
    shape = model.operation_model(action).input_shape
    return (
        shape is not None
        and "UserName" in shape.members
        and "UserName" not in shape.required_members
    )


def _caller_arn() -> str:
    return str(iam_evaluator.caller_arn())


def _calling_user() -> str:
    arn = _caller_arn()
    return arn.rpartition("/")[2] if ":user/" in arn else ""


def _first(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _blob(seed: str) -> bytes:
    return base64.b64encode(seed.encode())
