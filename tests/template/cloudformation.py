"""Reads the templates for the tests: their short tags, and the few functions that they use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

ROOT = Path(__file__).parents[2]
ACCOUNT = "111122223333"
REGION = "us-east-1"
STACK = "mfa-watcher"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/0a1b2c3d",
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}


_ARNS = {
    "AWS::DynamoDB::Table": ("dynamodb", "table/{}"),
    "AWS::Events::Rule": ("events", "rule/{}"),
    "AWS::Lambda::Function": ("lambda", "function:{}"),
    "AWS::Logs::LogGroup": ("logs", "log-group:{}:*"),
    "AWS::Serverless::Function": ("lambda", "function:{}"),
}
"""The service and the last part of the ARN that a resource's attribute ``Arn`` is."""


class _Loader(yaml.SafeLoader):
    """Turns `!Sub x` into `{"Fn::Sub": "x"}`, as CloudFormation does."""


def _long_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            raise TypeError(node)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)


@cache
def _body(file: str) -> dict[str, Any]:
    # A subclass of SafeLoader builds nothing but plain data.
    body: dict[str, Any] = yaml.load((ROOT / file).read_text(), Loader=_Loader)  # noqa: S506
    return body


def longest_value(declared: dict[str, Any]) -> str:
    """Return a value as long as a parameter may have.

    Raises:
        KeyError: the parameter may be of any length: it needs a ``MaxLength``.
    """
    match declared:
        case {"AllowedValues": values}:
            return max(map(str, values), key=len)
        case {"Type": "Number"}:
            return str(declared["MaxValue"])
        case {"AllowedPattern": str(pattern)} if "MaxLength" not in declared:
            # Patterns such as (o-[a-z0-9]{10,32})? say by themselves how long a value may be.
            [most] = re.findall(r"\{(?:\d+,)?(\d+)\}\)?\??$", pattern)
            return "x" * (int(most) + 2)
        case _:
            return "x" * int(declared["MaxLength"])


@dataclass(frozen=True)
class Template:
    """The template, with the functions in it resolved for one stack on demand."""

    body: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=dict)
    """Pseudo parameters that are not the hub's: another account, region, partition or stack."""
    prefix: str = STACK
    """What the names begin with that CloudFormation gives to resources."""
    suffix: str = "1A2B3C"
    """What these names end in."""

    @classmethod
    def read(cls, **parameters: str) -> Self:
        """Read the hub's template, with values for parameters that have no default."""
        return cls(_body("template.yaml"), {"SenderAddress": "mfa@example.com", **parameters})

    @classmethod
    def forwarder(
        cls, account: str, region: str, partition: str = "aws", **parameters: str
    ) -> Self:
        """Read the forwarder's template, as it is deployed somewhere."""
        place = {
            "AWS::AccountId": account,
            "AWS::Region": region,
            "AWS::Partition": partition,
            "AWS::StackName": "StackSet-forwarder-1a2b",
        }
        return cls(_body("forwarder.yaml"), {"HubAccountId": ACCOUNT, **parameters}, place)

    @classmethod
    def extreme(cls, *, stack: str, longest: bool) -> Self:
        """Read the hub's template as a stack with this name, where ARNs and names are longest.

        The parameters are as long as they may be or, if not longest, have their defaults.
        """
        body = _body("template.yaml")
        place = {
            "AWS::StackName": stack,
            "AWS::Region": "us-gov-west-1",
            "AWS::Partition": "aws-us-gov",
        }
        values = {
            name: longest_value(declared)
            for name, declared in body["Parameters"].items()
            if longest or "Default" not in declared
        }
        return cls(body, values, place, stack, "1A2B3C4D5E6F7")

    def nested(self, name: str) -> Template:
        """Return a nested template, with the parameters that this one passes on."""
        properties = self.properties(name)
        stack = self._name(name)
        return Template(
            _body(properties["TemplateURL"]),
            self.resolve(properties["Parameters"]),
            self.place | {"AWS::StackName": stack},
            stack,
            self.suffix,
        )

    def all(self) -> list[Template]:
        """Return this template and those nested in it."""
        return [self, *(self.nested(name) for name in self.of_type("AWS::CloudFormation::Stack"))]

    def values(self) -> dict[str, str]:
        """Return the values of all parameters, as CloudFormation keeps them of a deployed stack."""
        declared = {name: one.get("Default", "") for name, one in self.body["Parameters"].items()}
        return {name: str(value) for name, value in (declared | self.parameters).items()}

    def environment(self, function: str) -> dict[str, str]:
        """Return a function's whole environment: the variables of all, and its own."""
        shared = self.body["Globals"]["Function"]["Environment"]["Variables"]
        own = self.properties(function).get("Environment", {}).get("Variables", {})
        return {name: str(value) for name, value in self.resolve(shared | own).items()}

    def made(self) -> set[str]:
        """Return the logical ids of what is made at all, as the conditions say."""
        return {
            name
            for name, resource in self.body["Resources"].items()
            if "Condition" not in resource or self.resolve({"Condition": resource["Condition"]})
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the resources of one type, by logical id."""
        return {
            name: resource
            for name, resource in self.body["Resources"].items()
            if resource["Type"] == kind
        }

    def patterns(self) -> dict[str, Any]:
        """Return the event patterns of all rules: nested ones too, and those of functions."""
        found: dict[str, Any] = {}
        for template in self.all():
            for name, rule in template.of_type("AWS::Events::Rule").items():
                found[name] = template.resolve(rule["Properties"]["EventPattern"])
            for name, function in template.of_type("AWS::Serverless::Function").items():
                for event, one in function["Properties"].get("Events", {}).items():
                    if one["Type"] == "EventBridgeRule":
                        found[f"{name}{event}"] = template.resolve(one["Properties"]["Pattern"])
        return found

    def properties(self, name: str) -> dict[str, Any]:
        """Return one resource's properties, unresolved."""
        properties: dict[str, Any] = self.body["Resources"][name]["Properties"]
        return properties

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Return what a role may do: its own statements, and those of the policies it attaches."""
        properties = self.properties(role)
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [
            self.properties(attached["Ref"])["PolicyDocument"]
            for attached in properties.get("ManagedPolicyArns", [])
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def resolve(self, value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case a function
        """Return the value as it is in the deployed stack."""
        match value:
            case {"Ref": name}:
                return self._reference(name)
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self._arn(name)
            case {"Fn::GetAtt": [name, "StreamArn"]}:
                return f"{self._arn(name)}/stream/2026-03-02T12:00:00.000"
            case {"Fn::GetAtt": [name, "RoleId"]}:
                return f"AROA{name.upper()}"
            case {"Fn::GetAtt": [name, "QueueName"]}:
                return self._name(name)
            case {"Fn::GetAtt": [name, str(output)]} if output.startswith("Outputs."):
                nested = self.nested(name)
                outputs = nested.body["Outputs"]
                return nested.resolve(outputs[output.removeprefix("Outputs.")]["Value"])
            case {"Fn::Sub": [text, variables]}:
                return self._substitute(text, self.resolve(variables))
            case {"Fn::Sub": text}:
                return self._substitute(text, {})
            case {"Fn::Join": [separator, parts]}:
                return separator.join(self.resolve(parts))
            case {"Fn::Split": [separator, text]}:
                return self.resolve(text).split(separator)
            case {"Fn::Select": [index, parts]}:
                return self.resolve(parts)[int(index)]
            case {"Fn::If": [condition, then, otherwise]}:
                chosen = then if self.resolve(self.body["Conditions"][condition]) else otherwise
                return self.resolve(chosen)
            case {"Fn::Not": [condition]}:
                return not self.resolve(condition)
            case {"Condition": str(condition)} if len(value) == 1:
                return self.resolve(self.body["Conditions"][condition])
            case {"Fn::FindInMap": [name, first, second]}:
                return self.body["Mappings"][name][self.resolve(first)][second]
            case {"Fn::And": conditions}:
                return all(self.resolve(conditions))
            case {"Fn::Equals": [left, right]}:
                return self.resolve(left) == self.resolve(right)
            case dict():
                return {key: self.resolve(item) for key, item in value.items()}
            case list():
                return [self.resolve(item) for item in value]
            case _:
                return value

    def _reference(self, name: str) -> Any:
        if name in PSEUDO_PARAMETERS:
            return (PSEUDO_PARAMETERS | self.place)[name]
        if name in self.body["Parameters"]:
            declared = self.body["Parameters"][name]
            value = self.parameters.get(name, declared.get("Default"))
            return value.split(",") if declared["Type"] == "CommaDelimitedList" else value
        if name not in self.body["Resources"]:
            file = next(path for path in ROOT.glob("*.yaml") if _body(path.name) is self.body)
            raise KeyError(f"{file.name}: {name} is neither a parameter nor a resource")
        match self.body["Resources"][name]["Type"]:
            case "AWS::SQS::Queue":
                given = self.body["Resources"][name]["Properties"].get("QueueName")
                queue = self.resolve(given) if given else self._name(name)
                return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{queue}"
            case "AWS::IAM::ManagedPolicy" | "AWS::SNS::Topic":
                return self._arn(name)
            case _:
                return self._name(name)

    def _name(self, name: str) -> str:
        """Return the name that CloudFormation gives to a resource."""
        return f"{self.prefix}-{name}-{self.suffix}"

    def _arn(self, name: str) -> str:
        resource = self.body["Resources"][name]
        match resource["Type"]:
            case "AWS::IAM::ManagedPolicy":
                named = resource["Properties"].get("ManagedPolicyName", self._name(name))
                account = (PSEUDO_PARAMETERS | self.place)["AWS::AccountId"]
                return f"arn:aws:iam::{account}:policy/{self.resolve(named)}"
            case "AWS::KMS::Key":
                return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self._name(name)}"
            case "AWS::IAM::Role":
                return f"arn:aws:iam::{ACCOUNT}:role/{self._name(name)}"
            case kind:
                service, form = _ARNS.get(kind, (kind.split("::")[1].lower(), "{}"))
                return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{form.format(self._name(name))}"

    def _substitute(self, text: str, variables: dict[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in variables:
                return variables[name]
            if name.endswith(".Arn"):
                return self._arn(name.removesuffix(".Arn"))
            return str(self._reference(name))

        return re.sub(r"\$\{([\w:.]+)\}", value, text)
