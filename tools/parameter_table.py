"""Write docs/parameters.md from the parameters of the two templates. `make docs` runs it.

The meaning of a parameter is its description in the template, so it is written once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parameters.md"

_HEAD = """\
# Parameters

Generated from `template.yaml` and `forwarder.yaml` by `make docs`. Do not edit this page, but the
descriptions in the templates.

How to set them: `sam deploy --guided` asks for each, and `samconfig.toml` keeps the answers.
"""


class TemplateLoader(yaml.SafeLoader):
    """Reads a template. The short forms of functions (`!Sub`) have no meaning here."""


TemplateLoader.add_multi_constructor("!", lambda *_: None)


def page() -> str:
    """Return the whole page, as it has to be in the docs."""
    parts = [_HEAD]
    for file, title in (("template.yaml", "The hub"), ("forwarder.yaml", "The forwarder")):
        # A subclass of SafeLoader builds nothing but plain data.
        template = yaml.load((ROOT / file).read_text("utf-8"), Loader=TemplateLoader)  # noqa: S506
        parts.append(f"\n## {title}: `{file}`\n")
        interface = template["Metadata"]["AWS::CloudFormation::Interface"]
        for group in interface["ParameterGroups"]:
            rows = [_row(name, template["Parameters"][name]) for name in group["Parameters"]]
            parts.append(f"\n### {group['Label']['default']}\n")
            parts.append("\n| parameter | default | values | meaning |\n|---|---|---|---|\n")
            parts.append("".join(rows))
    return "".join(parts)


def _row(name: str, parameter: dict[str, Any]) -> str:
    cells = (f"`{name}`", _default(parameter), _values(parameter), parameter["Description"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(parameter: dict[str, Any]) -> str:
    if "Default" not in parameter:
        return "required"
    return f"`{parameter['Default']}`" if parameter["Default"] != "" else "none"


def _values(parameter: dict[str, Any]) -> str:
    if allowed := parameter.get("AllowedValues"):
        return ", ".join(f"`{value}`" for value in allowed)
    least, most = parameter.get("MinValue"), parameter.get("MaxValue")
    if least is None:
        return ""
    return f"{least} to {most}" if most is not None else f"{least} or more"


def main() -> int:
    """Write the page; return the exit code."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is up to date with the templates.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
