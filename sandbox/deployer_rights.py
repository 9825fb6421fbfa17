"""CloudFormation creates with the rights of whoever deploys, which MiniStack 1.5 does not.

Here it asks MiniStack's policy evaluation, for each resource that it is about to create, about the
calls that create it. The names of resources are not known yet, but how they begin is. Which calls a
resource type needs is in its schema (``handlers``); tests/e2e/test_deployment.py compares the
documented rights with all of those.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners, stacks

_DEPLOYER: Final[ContextVar[str]] = ContextVar("deployer", default="")
"""The access key that calls CloudFormation."""

Call = tuple[str, str, dict[str, str]]
"""An action, the resource's ARN, and what else the request says."""

_CREATED: Final = {
    "AWS::CloudFormation::Stack": ("cloudformation:CreateStack", "stack/{name}/*", ""),
    "AWS::CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm", "alarm:{name}", "AlarmName"),
    "AWS::DynamoDB::Table": ("dynamodb:CreateTable", "table/{name}", "TableName"),
    "AWS::Events::EventBusPolicy": ("events:PutPermission", "event-bus/default", ""),
    "AWS::IAM::ManagedPolicy": ("iam:CreatePolicy", "policy/{name}", "ManagedPolicyName"),
    "AWS::IAM::Role": ("iam:CreateRole", "role/{name}", "RoleName"),
    "AWS::Lambda::Function": ("lambda:CreateFunction", "function:{name}", "FunctionName"),
    "AWS::Lambda::LayerVersion": ("lambda:PublishLayerVersion", "layer:{name}", "LayerName"),
    "AWS::Logs::LogGroup": ("logs:CreateLogGroup", "log-group:{name}", "LogGroupName"),
    "AWS::S3::Bucket": ("s3:CreateBucket", "{name}", "BucketName"),
    "AWS::SES::ConfigurationSet": (
        "ses:CreateConfigurationSet",
        "configuration-set/{name}",
        "Name",
    ),
    "AWS::SES::ConfigurationSetEventDestination": (
        "ses:CreateConfigurationSetEventDestination",
        "configuration-set/{name}",
        "ConfigurationSetName",
    ),
    "AWS::SNS::Topic": ("sns:CreateTopic", "{name}", "TopicName"),
    "AWS::SQS::Queue": ("sqs:CreateQueue", "{name}", "QueueName"),
    "AWS::Scheduler::Schedule": ("scheduler:CreateSchedule", "schedule/default/{name}", "Name"),
}
"""By type: the call, the resource in the ARN, and the property with the name."""

_OF_A_FUNCTION: Final = {
    "AWS::Lambda::EventInvokeConfig": "lambda:PutFunctionEventInvokeConfig",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Lambda::Url": "lambda:CreateFunctionUrlConfig",
}

_WITHOUT_REGION: Final = frozenset({"iam", "s3"})


def install() -> None:
    """Patch the MiniStack of this process."""
    iam_evaluator.enforce = _noting_the_deployer(iam_evaluator.enforce)
    for module in (provisioners, stacks):
        module._provision_resource = _asking(module._provision_resource)


def _noting_the_deployer(enforce: Any) -> Any:
    @wraps(enforce)
    def noted(access_key: str, action: str, *request: Any, **rest: Any) -> Any:
        if action.startswith("cloudformation:") and access_key:
            _DEPLOYER.set(access_key)
        return enforce(access_key, action, *request, **rest)

    return noted


def _asking(provision: Any) -> Any:
    @wraps(provision)
    def asked(kind: str, logical_id: str, properties: Any, stack: str, *rest: Any) -> Any:
        if deployer := _DEPLOYER.get():
            for action, arn, context in _calls(kind, logical_id, properties, stack):
                verdict = iam_evaluator.enforce(
                    deployer,
                    action,
                    action.partition(":")[0],
                    get_region(),
                    resource_arn=arn,
                    service_context=context,
                )
                if verdict is not None:
                    raise ValueError(
                        f"the deployer is not authorized to perform: {action} on resource: {arn}"
                    )
        return provision(kind, logical_id, properties, stack, *rest)

    return asked


def _calls(kind: str, logical_id: str, properties: Any, stack: str) -> Iterator[Call]:
    """Return the calls that create a resource."""
    generated = f"{stack}-{logical_id}-X"
    if kind in _CREATED:
        action, resource, named_by = _CREATED[kind]
        name = properties.get(named_by) or generated
        yield action, _arn(action, resource.format(name=name)), {}
    if kind in _OF_A_FUNCTION:
        function = properties.get("FunctionName") or properties["TargetFunctionArn"]
        yield _OF_A_FUNCTION[kind], _function(function), {}
    if kind in _FURTHER:
        yield from _FURTHER[kind](properties, generated)


def _rule(properties: Any, generated: str) -> Iterator[Call]:
    for action in ("events:PutRule", "events:PutTargets"):
        yield action, _arn(action, f"rule/{properties.get('Name') or generated}"), {}


def _inline_policy(properties: Any, _generated: str) -> Iterator[Call]:
    for role in properties["Roles"]:
        yield "iam:PutRolePolicy", _arn("iam:", f"role/{role}"), {}


def _role(properties: Any, generated: str) -> Iterator[Call]:
    for action in ("iam:PutRolePolicy", "iam:AttachRolePolicy"):
        yield action, _arn(action, f"role/{properties.get('RoleName') or generated}"), {}


def _key(_properties: Any, _generated: str) -> Iterator[Call]:
    yield "kms:CreateKey", "*", {}
    yield "kms:EnableKeyRotation", _arn("kms:", "key/1"), {}


def _event_source(properties: Any, _generated: str) -> Iterator[Call]:
    function = _function(properties["FunctionName"])
    yield "lambda:CreateEventSourceMapping", "*", {"lambda:FunctionArn": function}


def _subscription(properties: Any, _generated: str) -> Iterator[Call]:
    yield "sns:Subscribe", properties["TopicArn"], {}


def _topic_policy(properties: Any, _generated: str) -> Iterator[Call]:
    for topic in properties["Topics"]:
        yield "sns:SetTopicAttributes", topic, {}


def _queue_policy(properties: Any, _generated: str) -> Iterator[Call]:
    for url in properties["Queues"]:
        yield "sqs:SetQueueAttributes", _arn("sqs:", url.rpartition("/")[2]), {}


_FURTHER: Final[dict[str, Callable[[Any, str], Iterator[Call]]]] = {
    "AWS::Events::Rule": _rule,
    "AWS::IAM::Policy": _inline_policy,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::EventSourceMapping": _event_source,
    "AWS::Lambda::Function": lambda properties, _: iter(
        [_pass(properties["Role"], "lambda.amazonaws.com")]
    ),
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::Scheduler::Schedule": lambda properties, _: iter(
        [_pass(properties["Target"]["RoleArn"], "scheduler.amazonaws.com")]
    ),
}
"""By type: what else is called, from the resource's properties and its generated name."""


def _arn(action: str, resource: str) -> str:
    service = action.partition(":")[0]
    region = "" if service in _WITHOUT_REGION else get_region()
    account = "" if service == "s3" else get_account_id()
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def _function(named: str) -> str:
    return named if named.startswith("arn:") else _arn("lambda:", f"function:{named}")


def _pass(role_arn: str, service: str) -> Call:
    return "iam:PassRole", role_arn, {"iam:PassedToService": service}
