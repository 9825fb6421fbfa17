"""Access to a deployed stack with the caller's own AWS credentials."""

import argparse
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mfa_watcher.cli.terminal import CommandError
from mfa_watcher.ports.errors import InspectionError, MissingPermissionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import boto3
    from types_boto3_dynamodb import DynamoDBClient

    from mfa_watcher.adapters.inspection import BotoInspector, BuildClient
    from mfa_watcher.adapters.store import DynamoStore
    from mfa_watcher.domain.health.readings import Stack
    from mfa_watcher.ports.accounts import Accounts
    from mfa_watcher.settings import PolicySettings
    from mfa_watcher.usecases.administer import AdministerUsers
    from mfa_watcher.usecases.health_check import HealthCheck

TABLE_OUTPUT = "TableName"

_PARAMETERS = {"QUARANTINE": "QuarantineMode", "RETENTION_DAYS": "EvidenceRetentionDays"}
"""The parameters of variables whose name differs from the parameter's."""

_HEALTH_CHECK_OUTPUTS = (TABLE_OUTPUT, "AlertTopicArn", "GuardPolicyArn", "SignInRegions")


class AccountError(CommandError):
    """The account cannot be used as asked. The text says why and what to do."""


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the deployment."""
    parser.add_argument(
        "--stack", default="mfa-watcher", metavar="NAME", help="the stack's name (%(default)s)"
    )
    parser.add_argument("--profile", metavar="NAME", help="AWS profile to use")
    parser.add_argument(
        "--region",
        default=os.environ.get("AWS_REGION", "us-east-1"),
        metavar="NAME",
        help="the stack's region (%(default)s)",
    )


def add_account_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the deployment and one of its accounts."""
    add_stack_options(parser)
    parser.add_argument(
        "--account",
        metavar="ID",
        help="the member account that the user is in (default: the watcher's own)",
    )


def administer_users(options: argparse.Namespace) -> "AdministerUsers":
    """Return AdministerUsers for a deployed stack, as the caller. Raises AccountError."""
    from mfa_watcher.adapters.iam import BotoIamReader
    from mfa_watcher.usecases.administer import AdministerUsers

    session = session_of(options)
    with account_errors():
        caller = session.client("sts").get_caller_identity()
        parameters, outputs = _described(session, options.stack)
    own = caller["Account"]
    account_id = options.account or own
    partition = caller["Arn"].split(":")[1]
    settings = _settings(options.stack, own, partition, parameters, outputs)
    return AdministerUsers(
        account_id,
        caller["Arn"],
        _store(session.client("dynamodb"), settings),
        BotoIamReader(session.client("iam")) if account_id == own else None,
        settings.policy,
        settings.addresses,
        _now,
        lambda: f"desk-{uuid4()}",
    )


@dataclass(frozen=True, slots=True)
class OpenedStack:
    """A deployed stack, and what reads it as the caller."""

    session: "boto3.Session"
    build: "BuildClient"
    inspector: "BotoInspector"
    stack: "Stack"
    settings: "PolicySettings"
    store: "DynamoStore"
    accounts: "Accounts"


def health_check(options: argparse.Namespace) -> "HealthCheck":
    """Return the health check of a deployed stack, as the caller. Raises AccountError."""
    from mfa_watcher.adapters.inspection import DynamoTableReader
    from mfa_watcher.usecases.health_check import HealthCheck

    opened = open_stack(options)
    return HealthCheck(
        opened.stack,
        opened.inspector,
        DynamoTableReader(opened.store),
        opened.accounts.ids,
        options.sign_in_regions or opened.stack.sign_in_regions,
        _now,
    )


def open_stack(options: argparse.Namespace) -> OpenedStack:
    """Read a deployed stack as the caller. Raises AccountError."""
    from botocore.config import Config

    from mfa_watcher.adapters.inspection import BotoInspector

    config = Config(
        connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3}
    )
    session = session_of(options)

    @cache
    def build(service: str, region: str | None = None) -> Any:  # noqa: ANN401 - any service's client
        made: Callable[..., Any] = session.client
        return made(service, region_name=region, config=config)

    inspector = BotoInspector(build)
    stack = read_stack(inspector, options.stack)
    settings = _settings(
        stack.name, stack.account_id, stack.partition, stack.parameters, stack.outputs
    )
    for output in _HEALTH_CHECK_OUTPUTS:
        if output not in stack.outputs:
            raise AccountError(
                f"the stack {options.stack!r} has no output {output}: is it the watcher's, and was"
                " it deployed with this version?"
            )
    return OpenedStack(
        session,
        build,
        inspector,
        stack,
        settings,
        _store(build("dynamodb"), settings),
        _accounts(settings, build),
    )


def read_stack(inspector: "BotoInspector", name: str) -> "Stack":
    """Return the deployed stack, with its resources. Raises AccountError."""
    try:
        return inspector.stack(name)
    except MissingPermissionError as error:
        raise AccountError(f"{error} is denied, and without it nothing can be read") from error
    except InspectionError as error:
        raise AccountError(f"{error}") from error


def deployed_stack(options: argparse.Namespace) -> "Stack":
    """Return the stack that the options name, as the caller. Raises AccountError."""
    from mfa_watcher.adapters.inspection import BotoInspector

    session = session_of(options)
    client: Callable[..., Any] = session.client
    with account_errors():
        return read_stack(
            BotoInspector(lambda service, region=None: client(service, region)), options.stack
        )


def _accounts(settings: "PolicySettings", build: "BuildClient") -> "Accounts":
    from mfa_watcher.adapters.accounts import NamedAccounts, OrganizationAccounts

    if settings.asks_organization:
        return OrganizationAccounts(build("organizations"), own=settings.account_id, clock=_now)
    return NamedAccounts(settings.account_id, settings.member_accounts)


def _now() -> datetime:
    return datetime.now(UTC)


def _store(client: "DynamoDBClient", settings: "PolicySettings") -> "DynamoStore":
    from mfa_watcher.adapters.store import DynamoStore
    from mfa_watcher.adapters.table import Table

    return DynamoStore(
        Table(client, settings.table_name),
        remember_events=settings.policy.remember_events,
        keep_evidence=settings.keep_evidence,
    )


@contextmanager
def account_errors() -> "Iterator[None]":
    """Raise AccountError instead of boto3's errors."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        said = error.response["Error"]
        raise AccountError(f"{said['Code']}: {said.get('Message', '')}") from error
    except BotoCoreError as error:
        raise AccountError(f"{error}") from error


def session_of(options: argparse.Namespace) -> "boto3.Session":
    """Return a session with the caller's credentials. Raises AccountError."""
    import boto3

    with account_errors():
        return boto3.Session(profile_name=options.profile, region_name=options.region)


def stack_outputs(session: "boto3.Session", name: str) -> dict[str, str]:
    """Return the outputs of a deployed stack. Raises AccountError."""
    with account_errors():
        return _described(session, name)[1]


def _described(session: "boto3.Session", name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parameters and the outputs of a deployed stack."""
    (found,) = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    parameters, outputs = found.get("Parameters", []), found.get("Outputs", [])
    return (
        {one.get("ParameterKey", ""): one.get("ParameterValue", "") for one in parameters},
        {one.get("OutputKey", ""): one.get("OutputValue", "") for one in outputs},
    )


def _settings(
    stack: str,
    account_id: str,
    partition: str,
    parameters: "Mapping[str, str]",
    outputs: "Mapping[str, str]",
) -> "PolicySettings":
    """Return the settings of a deployed stack's functions, as far as a command needs them.

    A command must decide by the same policy as the functions, and what it writes must be kept as
    long. Raises AccountError.
    """
    from pydantic.alias_generators import to_pascal

    from mfa_watcher.settings import PolicySettings, SettingsError

    if not outputs.get(TABLE_OUTPUT):
        raise AccountError(
            f"the stack {stack!r} has no output {TABLE_OUTPUT}: is it a stack of MFA Watcher?"
        )
    environment = {
        "TABLE_NAME": outputs[TABLE_OUTPUT],
        "ACCOUNT_ID": account_id,
        "PARTITION": partition,
        "READER_ROLE": f"{stack}-Reader",
        "MEMBER_FULFIL_ROLE": f"{stack}-Fulfil",
        "FULFIL_ROLE": "",  # no command needs to know who removed a device
    }
    missing = []
    for field in PolicySettings.model_fields.values():
        variable = field.alias or ""
        parameter = _PARAMETERS.get(variable) or to_pascal(variable.lower())
        if parameter in parameters:
            environment[variable] = parameters[parameter]
        elif variable not in environment:
            missing.append(parameter)
    if missing:
        raise AccountError(
            f"the stack {stack!r} has no parameter {', '.join(missing)}: deploy it again from this"
            " version"
        )
    try:
        return PolicySettings.from_environment(environment)
    except SettingsError as error:
        raise AccountError(f"the parameters of the stack {stack!r}: {error}") from error
