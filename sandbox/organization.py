"""Accounts and regions that belong together, which MiniStack 1.5 has but does not connect.

MiniStack has as many accounts and regions as are used, and lets one account's user assume another's
role as its trust policy says. What is patched:

- the hub and the second account belong to one organization, which policies can name,
- a rule sends to a bus in another account or region, if the rule's role may put events there, and
  if the bus's own policy allows the other account; refused events go to the target's dead letters,
- in conditions, a session of a role has its role's ARN, in whatever account it is,
- the policy of a function applies to callers of other accounts as well,
- a template may declare the policy of a bus,
- a template's conditions know the account and the region, and read mappings.
"""

import json
from functools import wraps
from typing import Any, Final

from ministack.core import iam_evaluator
from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, iam, lambda_svc
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

from sandbox.emulator import ACCOUNT_ID, MEMBER_ID, ORGANIZATION_ID

_EVENTS: Final = "events.amazonaws.com"


def install() -> None:
    """Patch the MiniStack of this process."""
    for module, name, make in (
        (iam_evaluator, "_principal_org_id", lambda _: _organization_of),
        (iam_evaluator, "_resolve_condition_key", _with_role_of_session),
        (eventbridge, "_invoke_target", _across_accounts),
        (lambda_svc, "function_policy_for_arn", _of_its_own_account),
    ):
        setattr(module, name, make(getattr(module, name)))
    for module in (changesets, handlers, stacks):
        module._evaluate_conditions = _knowing_the_place(module._evaluate_conditions)
    provisioners._RESOURCE_HANDLERS["AWS::Events::EventBusPolicy"] = {
        "create": _create_bus_policy,
        "delete": _delete_bus_policy,
    }


def _organization_of(account_id: str) -> str | None:
    return ORGANIZATION_ID if account_id in {ACCOUNT_ID, MEMBER_ID} else None


def _with_role_of_session(resolve: Any) -> Any:
    @wraps(resolve)
    def resolved(key: str, context: Any) -> Any:
        found = resolve(key, context)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(found):
            return found
        account, name = str(found).split(":")[4], str(found).split("/")[1]
        role = iam._roles.get_scoped(account, None, name) or {}
        return role.get("Arn", found)

    return resolved


def _of_its_own_account(policy_of: Any) -> Any:
    @wraps(policy_of)
    def found(resource_arn: str) -> Any:
        try:
            function = parse_arn(resource_arn)
        except ArnParseError:
            return policy_of(resource_arn)
        with request_scope(function.account_id, function.region):
            return policy_of(resource_arn)

    return found


# --- events --------------------------------------------------------------------------------------


def _across_accounts(invoke: Any) -> Any:
    @wraps(invoke)
    def across(target: Any, event: Any, rule: Any, view: Any = None) -> None:
        try:
            bus = parse_arn(target.get("Arn", ""))
        except ArnParseError:
            bus = None
        here = (get_account_id(), get_region())
        if (
            bus is None
            or not (bus.service == "events" and bus.resource.startswith("event-bus/"))
            or (bus.account_id, bus.region) == here
        ):
            invoke(target, event, rule, view)
        elif _may_put_events(rule, str(target.get("RoleArn", "")), bus):
            # The event keeps the account and the region in which it happened.
            with request_scope(bus.account_id, bus.region):
                name = bus.resource.partition("/")[2]
                eventbridge._dispatch_event({**event, "EventBusName": name})
        elif letters := target.get("DeadLetterConfig", {}).get("Arn"):
            view = view or eventbridge._pattern_event_view(event)
            body = json.dumps(view.event_with_detail())
            eventbridge._dispatch_to_sqs(parse_arn(letters), body)

    return across


def _may_put_events(rule: Any, role_arn: str, bus: Any) -> bool:
    """Return whether the rule's role, and the bus's policy for another account, allow the event."""
    account, name = get_account_id(), role_arn.rpartition("/")[2]
    role = iam._roles.get(name)
    if role is None or not _trusts_rule(role, rule):
        return False
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/events",
        principal_type="AssumedRole",
        principal_account=account,
        action="events:PutEvents",
        resource_arn=str(bus),
        region=bus.region,
    )
    allowed = iam_evaluator.evaluate(
        context, iam_evaluator._gather_role_policies(name, account)
    ).decision
    policy = eventbridge._event_bus_policies.get_scoped(
        bus.account_id, bus.region, bus.resource.partition("/")[2]
    )
    same_account = bus.account_id == account
    lets_in: bool = iam_evaluator.resource_policy_allows(policy, context, same_account)
    return allowed == "Allow" and lets_in


def _trusts_rule(role: Any, rule: Any) -> bool:
    document = role["AssumeRolePolicyDocument"]
    context = iam_evaluator.EvalContext(
        principal_arn=_EVENTS,
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context={
            "aws:sourceaccount": get_account_id(),
            "aws:sourcearn": eventbridge._rule_arn(
                rule["Name"], rule.get("EventBusName", "default")
            ),
        },
    )
    return any(
        iam_evaluator._service_principal_matches(statement.get("Principal"), _EVENTS)
        and iam_evaluator._conditions_met(statement.get("Condition", {}), context)
        for statement in (json.loads(document) if isinstance(document, str) else document)[
            "Statement"
        ]
    )


# --- CloudFormation ------------------------------------------------------------------------------


def _knowing_the_place(evaluate: Any) -> Any:
    @wraps(evaluate)
    def evaluated(template: dict[str, Any], parameters: dict[str, Any]) -> Any:
        place = {
            "AWS::AccountId": {"Value": get_account_id()},
            "AWS::Partition": {"Value": "aws"},
            "AWS::Region": {"Value": get_region()},
        }
        known, mappings = place | parameters, template.get("Mappings", {})

        def mapped(value: Any) -> Any:
            match value:
                case {"Fn::FindInMap": [name, {"Ref": first}, second]}:
                    return mappings[name][known[first]["Value"]][second]
                case dict():
                    return {key: mapped(one) for key, one in value.items()}
                case list():
                    return [mapped(one) for one in value]
                case _:
                    return value

        conditions = mapped(template.get("Conditions", {}))
        return evaluate({**template, "Conditions": conditions}, known)

    return evaluated


def _create_bus_policy(
    _logical_id: str, properties: dict[str, Any], _stack: str
) -> tuple[str, dict[str, Any]]:
    sid, bus = properties["StatementId"], properties.get("EventBusName", "default")
    policy = eventbridge._event_bus_policies.get(bus) or {"Version": "2012-10-17", "Statement": []}
    others = [one for one in policy["Statement"] if one.get("Sid") != sid]
    policy["Statement"] = [*others, {"Sid": sid, **properties["Statement"]}]
    eventbridge._event_bus_policies[bus] = policy
    return f"{bus}|{sid}", {}


def _delete_bus_policy(physical_id: str, _properties: dict[str, Any]) -> None:
    bus, _, sid = physical_id.partition("|")
    if policy := eventbridge._event_bus_policies.get(bus):
        policy["Statement"] = [one for one in policy["Statement"] if one.get("Sid") != sid]
