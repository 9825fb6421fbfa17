"""What a step of the recipes in docs/conventions.md would forget is named here.

See the recipes there; the message of each assertion says which file to open.
"""

import re
from typing import Any, get_args, get_type_hints

import pytest
from moto.events.models import EventPattern

from mfa_watcher.domain.events.signals import IAM_CALLS, SignalKind
from mfa_watcher.domain.health.results import Check
from mfa_watcher.domain.notifications.intents import AlertKind
from mfa_watcher.domain.notifications.mails import MailAboutUser, UnreachableUsersMail
from mfa_watcher.domain.users.user import MailKind
from mfa_watcher.mail.languages import languages
from tests.golden.test_events import EVENTS, EXPECTED, is_of_a_schedule
from tests.support.tampering import CASES
from tests.template.cloudformation import ROOT, Template

PACKAGE = ROOT / "layers" / "shared" / "mfa_watcher"
ALERTS = PACKAGE / "domain" / "notifications" / "alerts.py"
HUB = Template.read()
FORWARDER = Template.forwarder("444455556666", "us-east-1")


def first_cells(page: str) -> set[str]:
    """Return the first cells of all tables of a page, without formatting."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
    return {cell.strip("` ").split(",")[0] for cell in rows}


# A new signal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "template"), [("template.yaml", HUB), ("forwarder.yaml", FORWARDER)]
)
def test_every_iam_call_that_is_a_signal_is_in_the_pattern_of_both_templates(
    file: str, template: Template
) -> None:
    pattern = EventPattern(
        None, template.resolve(template.properties("IamChangeRule")["EventPattern"])
    )
    missing = [name for name in sorted(IAM_CALLS) if not pattern.matches_event(iam_event(name))]
    assert not missing, f"{file}: add {missing} to the event pattern of IamChangeRule"


def iam_event(name: str) -> Any:
    """Return an event of an IAM call, with as much as a pattern may look at."""
    return {
        "source": "aws.iam",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventSource": "iam.amazonaws.com", "eventName": name},
    }


def test_every_signal_has_a_row_in_the_table_of_aws_calls() -> None:
    missing = sorted(set(SignalKind) - first_cells("aws-calls.md"))
    assert not missing, (
        f"docs/aws-calls.md, Deciding about an event, has no row for {missing}: add them to SIGNALS"
        " of tests/functions/test_aws_calls.py, whose failure prints the rows"
    )


def test_every_signal_has_an_event_file() -> None:
    shown = {kind for kind, _, _ in EXPECTED.values()} | {SignalKind.IGNORED}
    missing = sorted(set(SignalKind) - shown)
    assert not missing, (
        f"no file in events/ means {missing}: add one, and its line in EXPECTED of"
        " tests/golden/test_events.py"
    )


# A new alert ------------------------------------------------------------------------------------


def test_every_kind_of_alert_is_built_somewhere() -> None:
    source = source_but_of("intents.py")
    missing = [kind.name for kind in AlertKind if f"AlertKind.{kind.name}" not in source]
    assert not missing, f"domain/notifications/alerts.py: nothing builds {missing}"


def test_every_function_that_builds_an_alert_is_called() -> None:
    source = source_but_of("alerts.py")
    built = re.findall(r"^def ([a-z]\w+)", ALERTS.read_text("utf-8"), re.MULTILINE)
    inside = re.findall(r"(?<!def )\b([a-z]\w+)\(", ALERTS.read_text("utf-8"))
    unused = [name for name in built if f"{name}(" not in source and name not in inside]
    assert not unused, (
        f"{unused} of domain/notifications/alerts.py is never called: say in"
        " domain/events/decisions.py what it follows from"
    )


def source_but_of(name: str) -> str:
    """Return the source of the package, without the modules of that name."""
    return "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if path.name != name)


def test_every_kind_of_alert_has_a_row_in_the_table_of_alerts() -> None:
    missing = sorted(set(AlertKind) - first_cells("effects.md"))
    assert not missing, f"docs/effects.md, Alerts, has no row for {missing}"


# A new mail -------------------------------------------------------------------------------------


TYPES_OF_MAIL = (*get_args(MailAboutUser), UnreachableUsersMail)


def test_every_kind_of_mail_is_of_a_type_in_the_union_of_mails() -> None:
    kinds = {kind for one in TYPES_OF_MAIL for kind in get_args(get_type_hints(one)["kind"])}
    missing = sorted(set(MailKind) - kinds)
    assert not missing, f"domain/notifications/mails.py: no type in Mail is of the kind {missing}"


def test_every_type_of_mail_is_decided_somewhere() -> None:
    elsewhere = {PACKAGE / "domain" / "notifications" / "mails.py", PACKAGE / "cli" / "samples.py"}
    source = "".join(path.read_text("utf-8") for path in set(PACKAGE.rglob("*.py")) - elsewhere)
    built = set(re.findall(r"\b(\w+Mail)\(", source))
    unused = sorted({one.__name__ for one in TYPES_OF_MAIL} - built)
    assert not unused, f"nothing decides {unused}: see domain/events/decisions.py"


def test_every_mail_has_a_row_in_the_table_of_mails() -> None:
    missing = sorted(set(MailKind) - first_cells("mails.md"))
    assert not missing, f"docs/mails.md has no row for {missing}"


# A new language ---------------------------------------------------------------------------------


def test_the_template_offers_the_languages_that_exist() -> None:
    offered = HUB.body["Parameters"]["DefaultLanguage"]["AllowedValues"]
    assert set(offered) == set(languages()), (
        f"template.yaml: AllowedValues of DefaultLanguage must be {sorted(languages())}; then run"
        " make docs"
    )


# A new function ---------------------------------------------------------------------------------


FUNCTIONS = HUB.of_type("AWS::Serverless::Function")
OF_A_SCHEDULE = {
    name
    for name, function in FUNCTIONS.items()
    if any(e["Type"] == "ScheduleV2" for e in function["Properties"].get("Events", {}).values())
}


def test_every_function_is_called_by_a_queue_a_stream_a_person_or_a_schedule() -> None:
    missing = [
        name
        for name, function in FUNCTIONS.items()
        if not {"Events", "FunctionUrlConfig"} & function["Properties"].keys()
    ]
    assert not missing, f"template.yaml: nothing invokes {missing}: add Events with a ScheduleV2"


def test_every_function_of_a_schedule_has_an_event_file() -> None:
    cases = [str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json")]
    shown = {case.split("/")[0] for case in cases if is_of_a_schedule(case)}
    folders = {FUNCTIONS[name]["Properties"]["CodeUri"].split("/")[1] for name in OF_A_SCHEDULE}
    missing = sorted(folders - shown)
    assert not missing, f"events/: no file shows what a schedule invokes {missing} with"


def test_every_function_of_a_schedule_is_run_in_the_sandbox() -> None:
    """Otherwise nothing shows that its role permits what it does, and nothing beside."""
    source = "".join(
        path.read_text("utf-8")
        for folder in (ROOT / "sandbox", ROOT / "tests" / "e2e")
        for path in folder.glob("*.py")
    )
    missing = sorted(name for name in OF_A_SCHEDULE if f'"{name}"' not in source)
    assert not missing, f"sandbox/story.py, or a story beside it: no scene runs {missing}"


def test_every_function_has_its_line_in_the_docs() -> None:
    written = (ROOT / "docs" / "local-functions.md").read_text("utf-8")
    missing = [name for name in FUNCTIONS if f"invoke {name} " not in written]
    assert not missing, f"docs/local-functions.md does not invoke {missing}"


# A new health check -----------------------------------------------------------------------------


def test_every_health_check_has_a_row_in_its_table() -> None:
    missing = {check.value[0] for check in Check} - first_cells("doctor.md")
    assert not missing, f"docs/doctor.md has no row for {sorted(missing)}"


def test_every_call_of_tampering_is_on_the_page_about_it() -> None:
    written = (ROOT / "docs" / "watching.md").read_text("utf-8")
    missing = {case.name for case in CASES if f"`{plain_name(case.name)}`" not in written}
    assert not missing, f"docs/watching.md does not name {sorted(missing)}"


def plain_name(call: str) -> str:
    """Return a call's name without the version that Lambda adds."""
    return re.sub(r"\d{8}(v\d)?$", "", call)
