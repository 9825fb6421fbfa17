"""An emulated account with all that the template makes but the functions' code, under the guard."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.account import Account, Principal
from sandbox.actors import SELF_SERVICE, Actors
from sandbox.deploy import BUCKET
from sandbox.emulator import REGION, Emulator, free_port
from tests.template.cloudformation import ROOT, STACK, Template

BREAK_GLASS = "break-glass"
RESCUE = "emergency/rescue"
OPERATOR = "operator"

_ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
_ECHO = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'let in'}\n"


def without_code(template: Template) -> dict[str, Any]:
    """The template as it is, but for functions that do nothing, so that none has to be built."""
    kept = {}
    for name, resource in template.body["Resources"].items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function":
                plain = {key: properties[key] for key in ("Role", "Description")}
                plain |= {"Handler": "index.handler", "Runtime": "python3.13"}
                plain |= {"Code": {"ZipFile": _ECHO}}
                kept[name] = {"Type": "AWS::Lambda::Function", "Properties": plain}
                if url := properties.get("FunctionUrlConfig"):
                    target = {"TargetFunctionArn": {"Fn::GetAtt": [name, "Arn"]}}
                    kept[f"{name}Url"] = {"Type": "AWS::Lambda::Url", "Properties": url | target}
            case "AWS::Events::Rule":  # as it is named, with nothing to catch
                nothing = properties | {"EventPattern": {"source": ["aws.nothing"]}}
                kept[name] = resource | {"Properties": nothing}
            case "AWS::CloudFormation::Stack" if name == "Alarms":
                pass
            case "AWS::CloudFormation::Stack":
                url = f"https://s3.amazonaws.com/{BUCKET}/{properties['TemplateURL']}"
                kept[name] = resource | {"Properties": properties | {"TemplateURL": url}}
            case "AWS::Serverless::LayerVersion":
                pass
            case _:
                kept[name] = resource
    # Without what is for people: a template handed over in a call has at most 51,200 bytes.
    for_people = {"Description", "ConstraintDescription"}
    parameters = {
        name: {key: value for key, value in declared.items() if key not in for_people}
        for name, declared in template.body["Parameters"].items()
    }
    parts = ("AWSTemplateFormatVersion", "Conditions")
    body = {part: template.body[part] for part in parts}
    outputs = {"GuardPolicyArn": template.body["Outputs"]["GuardPolicyArn"]}
    return body | {"Parameters": parameters, "Resources": kept, "Outputs": outputs}


@dataclass
class Guarded:
    """The account, and who calls in it."""

    account: Account
    actors: Actors
    resources: dict[str, str]
    """Physical ids by logical ids."""

    guard: str
    callers: dict[str, Callable[[str], Any]] = field(default_factory=dict)
    """What makes each caller's clients."""

    @classmethod
    @contextmanager
    def set_up(cls, home: Path, **parameters: str) -> Iterator[Self]:
        """Start an account and deploy into it."""
        with Emulator(free_port(), home) as emulator:
            account = Account(emulator.endpoint)
            root = account.root
            given = {"SenderAddress": "mfa@example.com", "QuarantineMode": "on"} | parameters
            formation, s3 = root.client("cloudformation"), root.client("s3")
            s3.create_bucket(Bucket=BUCKET)
            for nested in ("guard-policy.yaml", "tampering.yaml"):
                s3.put_object(Bucket=BUCKET, Key=nested, Body=(ROOT / nested).read_bytes())
            formation.create_stack(
                StackName=STACK,
                TemplateBody=json.dumps(without_code(Template.read()), separators=(",", ":")),
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value} for key, value in given.items()
                ],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            formation.get_waiter("stack_create_complete").wait(
                StackName=STACK, WaiterConfig={"Delay": 1}
            )
            made = formation.describe_stack_resources(StackName=STACK)["StackResources"]
            ids = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in made}
            [output] = formation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
            yield cls(account, Actors(account), ids, output["OutputValue"])

    def user(self, name: str, *policies: str) -> Principal:
        """Create a user with these managed policies, who may manage their own credentials."""
        root = self.account.root
        self.actors.create_user(name, by=root)
        iam = root.client("iam")
        iam.put_user_policy(
            UserName=name, PolicyName="self-service", PolicyDocument=json.dumps(SELF_SERVICE)
        )
        for policy in policies:
            iam.attach_user_policy(UserName=name, PolicyArn=policy)
        self.callers[name] = self.actors[name].client
        return self.actors[name]

    def role(self, name: str, *policies: str) -> None:
        """Make a role with these managed policies, and a session of it, by the role's name."""
        path, _, plain = name.rpartition("/")
        iam = self.account.root.client("iam")
        iam.create_role(
            RoleName=plain,
            Path=f"/{path}/" if path else "/",
            AssumeRolePolicyDocument=json.dumps(_ANYBODY),
        )
        for policy in policies:
            iam.attach_role_policy(RoleName=plain, PolicyArn=policy)
        self.callers[name] = self.session(plain)

    def session(self, role: str) -> Callable[[str], Any]:
        """Assume a role, whatever its trust policy, and return what makes the session's clients."""
        root = self.account.root
        iam = root.client("iam")
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(_ANYBODY))
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        keys = root.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        session = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION
        )

        def client(service: str) -> Any:
            made: Any = session.client(  # type: ignore[call-overload]
                service,
                endpoint_url=self.account.endpoint,
                config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
            )
            return made

        return client


def verdict(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """How the policy evaluation answers a call: whatever else is wrong with it is no denial."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        said = error.response["Error"]
        if said["Code"] not in {"AccessDenied", "AccessDeniedException", "AuthorizationError"}:
            return "let through"
        return "denied by the guard" if "explicit deny" in said["Message"] else "not allowed"
    return "let through"
