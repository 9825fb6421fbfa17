"""Prints what SAM makes of template.yaml: the template that CloudFormation gets.

Run by .venv-sam's Python. CloudFormation does the same on AWS, with the same library.
"""

import json
import sys
from pathlib import Path

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

UPLOADED = {"Bucket": "bucket", "Key": "key"}
"""Where ``sam package`` would put code and layers."""


def main(path: Path) -> None:
    """Read a template and print it transformed."""
    template = yaml_parse(path.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        properties |= dict.fromkeys(properties.keys() & {"CodeUri", "ContentUri"}, UPLOADED)
    translator = Translator({}, Parser())
    json.dump(translator.translate(template, {"SenderAddress": "x@example.com"}), sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
