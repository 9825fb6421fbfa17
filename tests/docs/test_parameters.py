"""The page of parameters says what the templates say."""

import yaml

from tools.parameter_table import PAGE, ROOT, TemplateLoader, page


def test_the_page_of_parameters_is_up_to_date_with_the_templates() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "docs/parameters.md is not what the templates say: run `make docs`"
    )


def test_every_parameter_is_in_a_group_and_so_on_the_page() -> None:
    for file in ("template.yaml", "forwarder.yaml"):
        template = yaml.load((ROOT / file).read_text(encoding="utf-8"), Loader=TemplateLoader)  # noqa: S506
        groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        assert sorted(grouped) == sorted(template["Parameters"]), (
            f"{file}: ParameterGroups does not have each parameter once"
        )
