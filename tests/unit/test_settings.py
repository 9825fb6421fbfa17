"""The functions' settings: every variable is required, and a function that lacks one says so."""

from __future__ import annotations

import pytest

from mfa_watcher import settings
from mfa_watcher.settings import PolicySettings, SettingsError, TableSettings
from tests.template.cloudformation import Template

TEMPLATE = Template.read()
FUNCTIONS = {
    "OnSignIn": settings.ObserveSettings,
    "Deliver": settings.DeliverSettings,
    "OnMailFeedback": settings.QueueSettings,
    "Remind": settings.RemindSettings,
    "Expire": settings.PolicySettings,
    "Quarantine": settings.QuarantineSettings,
    "Sweep": settings.SweepSettings,
    "Watch": settings.WatchSettings,
    "ChangeDesk": settings.PolicySettings,
    "ApprovalDesk": settings.PolicySettings,
    "Fulfil": settings.FulfilSettings,
}
MAY_BE_EMPTY = {
    "ACCOUNT_ALIAS",
    "BREAK_GLASS_ROLES",
    "CONFIGURATION_SET",
    "DEFAULT_MAIL_DOMAIN",
    "FULFIL_ROLE",
    "GUARD_SCP_ID",
    "MAIL_DOMAINS",
    "MEMBER_ACCOUNTS",
    "OPERATOR_ROLES",
    "ORGANIZATION_ID",
    "REGIONS",
    "SERVICE_DESK_ROLES",
}


def test_all_settings_are_here() -> None:
    declared = {
        kind
        for kind in vars(settings).values()
        if isinstance(kind, type) and issubclass(kind, TableSettings)
    }
    assert declared == {*FUNCTIONS.values(), PolicySettings, TableSettings}
    assert all(issubclass(kind, PolicySettings) for kind in FUNCTIONS.values())


def refusal(kind: type[PolicySettings], environment: dict[str, str]) -> str:
    """Return what the settings say of an environment; empty, they accept it."""
    try:
        kind.from_environment(environment)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "kind"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_a_variable_that_is_missing_is_named(name: str, kind: type[PolicySettings]) -> None:
    complete = TEMPLATE.environment(name)
    assert refusal(kind, complete) == ""
    said = {}
    for field in kind.model_fields.values():
        environment = {key: value for key, value in complete.items() if key != field.alias}
        said[field.alias] = refusal(kind, environment)
    assert said == {
        variable: f"the function's environment is not usable: {variable}: Field required"
        for variable in said
    }


@pytest.mark.parametrize(("name", "kind"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_a_variable_that_is_empty_means_none_or_is_named(
    name: str, kind: type[PolicySettings]
) -> None:
    accepted = set()
    for field in kind.model_fields.values():
        variable = field.alias or ""
        environment = TEMPLATE.environment(name) | {variable: ""}
        said = refusal(kind, environment)
        if said:
            assert f"not usable: {variable}: " in said
        else:
            read = kind.from_environment(environment).model_dump(by_alias=True)
            assert read[variable] in (None, [])
            accepted.add(variable)
    assert accepted == MAY_BE_EMPTY & {field.alias for field in kind.model_fields.values()}


@pytest.mark.parametrize("kind", FUNCTIONS.values(), ids=FUNCTIONS)
def test_all_variables_that_are_missing_are_named_at_once(kind: type[PolicySettings]) -> None:
    with pytest.raises(SettingsError) as said:
        kind.from_environment({})
    assert all(f"{field.alias}: " in str(said.value) for field in kind.model_fields.values())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ACCOUNT_ID", "1"),
        ("ESCALATION_DAYS", "0,1,3,7"),
        ("ESCALATION_DAYS", "1,2,3,4,5"),
        ("ESCALATION_DAYS", "0,3,1,7,14"),
        ("MAIL_HOURS", "18-8"),
        ("MAIL_HOURS", "8"),
        ("QUARANTINE", "perhaps"),
        ("QUARANTINE_DAYS", "0"),
        ("RETENTION_DAYS", "0"),
        ("SECOND_DEVICE_DAYS", "-1"),
        ("TIME_ZONE", "Europe/Nowhere"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(variable: str, value: str) -> None:
    environment = TEMPLATE.environment("Remind") | {variable: value}
    with pytest.raises(SettingsError, match=rf"not usable: {variable}"):
        settings.RemindSettings.from_environment(environment)


def test_without_a_list_of_domains_only_the_senders_own_is_written_to() -> None:
    environment = TEMPLATE.environment("Deliver") | {"SENDER_ADDRESS": "mfa@Example.COM"}
    read = settings.DeliverSettings.from_environment
    assert read(environment).addresses.domains == {"example.com"}
    given = environment | {"MAIL_DOMAINS": "a.example, B.example"}
    assert read(given).policy.addresses == read(given).addresses
    assert read(given).addresses.domains == {"a.example", "b.example"}


def test_the_last_mail_hour_may_be_midnight_and_no_second_device_is_advised_by_0_days() -> None:
    environment = TEMPLATE.environment("Remind") | {"MAIL_HOURS": "0-24", "SECOND_DEVICE_DAYS": "0"}
    policy = settings.RemindSettings.from_environment(environment).policy
    assert (policy.mail_hours.start.hour, policy.mail_hours.end.hour) == (0, 23)
    assert policy.second_device_after is None
