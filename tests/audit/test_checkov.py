"""checkov finds in the templates what checkov.toml gives a reason for, and nothing else."""

import json
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

from tests.template.cloudformation import ROOT

TEMPLATES = (
    "template.yaml",
    "alarms.yaml",
    "guard-policy.yaml",
    "tampering.yaml",
    "forwarder.yaml",
)
CHECKOV = Path(sys.executable).with_name("checkov")
STAYS = tomllib.loads((ROOT / "tests" / "audit" / "checkov.toml").read_text())["stays"]

Finding = tuple[str, str]
"""A check's id and a resource; beside the hub's, with the name of the template."""


@cache
def report() -> dict[str, object]:
    """Run checkov, which asks nobody on the network."""
    ran = subprocess.run(  # noqa: S603 - our own arguments
        [
            CHECKOV,
            *("--framework", "cloudformation", "--skip-download", "--compact"),
            *("--output", "json", "--soft-fail", "--file", *TEMPLATES),
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def findings(kind: str) -> list[Finding]:
    results: dict[str, list[dict[str, str]]] = report()["results"]  # type: ignore[assignment]
    return [
        (one["check_id"], _named(one["file_path"].rpartition("/")[2], one["resource"]))
        for one in results[kind]
    ]


def _named(file: str, resource: str) -> str:
    logical_id = resource.rpartition(".")[2]
    return logical_id if file == "template.yaml" else f"{file} {logical_id}"


def test_all_templates_are_read() -> None:
    summary: dict[str, int] = report()["summary"]  # type: ignore[assignment]
    assert summary["parsing_errors"] == 0
    assert summary["resource_count"] > 130
    assert len(findings("passed_checks")) > 250


def test_each_finding_has_a_reason_and_each_reason_a_finding() -> None:
    explained = [(one["check"], resource) for one in STAYS for resource in one["resources"]]
    assert [one for one, times in Counter(explained).items() if times > 1] == []
    found = set(findings("failed_checks"))
    assert found - set(explained) == set(), "found, and not explained"
    assert set(explained) - found == set(), "explained, and not found any more"
    assert all(len(one["why"]) > 50 for one in STAYS)


def test_nothing_is_skipped_inside_a_template() -> None:
    """A reason there would be seen by few, and holds for whatever stands below it."""
    assert findings("skipped_checks") == []
