"""All IAM documents of the templates and of the docs, with the values of a deployed stack."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.template.cloudformation import ROOT, Template

MEMBER = "444455556666"
PAGES = ("deploy.md", "doctor.md", "guard-policy.md")
GIVEN = {
    "OrganizationId": "o-abcdefghij",
    "GuardScpId": "p-examplescp1",
    "BreakGlassRoles": "break-glass",
    "OperatorRoles": "Deployment",
    "ServiceDeskRoles": "ServiceDesk",
}
"""Values of parameters without which some statements would not be there."""


@dataclass(frozen=True)
class Statement:
    """One statement, and where it stands."""

    where: str
    body: dict[str, Any]

    @property
    def actions(self) -> list[str]:
        """The actions that it names, or that it leaves out."""
        return _listed(self.body.get("Action", self.body.get("NotAction", [])))

    @property
    def resources(self) -> list[str]:
        """The resources that it names; none in a trust policy."""
        return _listed(self.body.get("Resource", []))

    @property
    def condition_keys(self) -> set[str]:
        """The keys of its conditions."""
        return {key for keys in self.body.get("Condition", {}).values() for key in keys}


@cache
def statements() -> tuple[Statement, ...]:
    """Return the statements of all documents."""
    hub = Template.read(**GIVEN)
    there = Template.forwarder(
        MEMBER,
        "us-east-1",
        FulfilRole="yes",
        QuarantineRole="yes",
        OrganizationId=GIVEN["OrganizationId"],
        GuardScpId=GIVEN["GuardScpId"],
    )
    templates = {"template.yaml": hub, "forwarder.yaml": there} | {
        hub.properties(name)["TemplateURL"]: hub.nested(name)
        for name in hub.of_type("AWS::CloudFormation::Stack")
    }
    found: list[Statement] = []
    for file, template in templates.items():
        for name, resource in template.body["Resources"].items():
            found += _statements(f"{file} {name}", resource["Properties"], template)
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found += _statements(f"docs/{page}", json.loads(block), hub)
    return tuple(found)


def _statements(where: str, value: Any, template: Template) -> Iterator[Statement]:
    """Yield the statements of the documents in a value, at any depth."""
    if isinstance(value, dict):
        if "Statement" in value:
            for one in template.resolve(value["Statement"]):
                if isinstance(one, dict) and "Effect" in one:
                    yield Statement(f"{where} {one.get('Sid', '')}".strip(), one)
            return
        for part in value.values():
            yield from _statements(where, part, template)
    elif isinstance(value, list):
        for part in value:
            yield from _statements(where, part, template)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
