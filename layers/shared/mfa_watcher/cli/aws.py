"""What a command needs of the caller's AWS account: his identity, and the deployed stack."""

import argparse
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mfa_watcher.domain.policy import Policy

if TYPE_CHECKING:
    import boto3

    from mfa_watcher.ports import IamReader, Store

TABLE_OUTPUT = "TableName"

EVIDENCE_KEPT = timedelta(days=400)
"""As the template's default; what a person writes is kept as long as what the functions write."""


class AccountError(Exception):
    """The account cannot be used as asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed watcher, as a person reaches it with credentials of his own."""

    account_id: str
    caller_arn: str
    store: "Store"
    iam: "IamReader"


def add_account_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which deployment is meant."""
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


def deployment(options: argparse.Namespace) -> Deployment:
    """Find the deployment with the caller's credentials. Raises AccountError."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from mfa_watcher.adapters.iam import BotoIamReader
    from mfa_watcher.adapters.store import DynamoStore

    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        identity = session.client("sts").get_caller_identity()
        table_name = _table(session, options.stack)
    except ClientError as error:
        said = error.response["Error"]
        raise AccountError(f"{said['Code']}: {said.get('Message', '')}") from error
    except BotoCoreError as error:
        raise AccountError(f"{error}") from error
    policy = Policy()
    store = DynamoStore(
        session.client("dynamodb"),
        table_name=table_name,
        remember_events=policy.remember_events,
        keep_evidence=EVIDENCE_KEPT,
    )
    iam = BotoIamReader(session.client("iam"))
    return Deployment(identity["Account"], identity["Arn"], store, iam)


def _table(session: "boto3.Session", stack: str) -> str:
    (found,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    for output in found.get("Outputs", []):
        if output.get("OutputKey") == TABLE_OUTPUT:
            return output["OutputValue"]
    raise AccountError(f"the stack {stack!r} has no output {TABLE_OUTPUT}: is it the watcher's?")


def now() -> datetime:
    """The caller's clock."""
    return datetime.now(UTC)
