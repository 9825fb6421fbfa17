"""`sam build` and `sam deploy` of the real template into the emulated account."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from sandbox.account import Account, Principal
from sandbox.emulator import (
    HOME,
    MEMBER_ID,
    ORGANIZATION_ID,
    REGION,
    ROOT,
    ROOT_KEY,
    ROOT_SECRET,
    layer_target,
)
from sandbox.only_this_machine import guarded

STACK: Final = "mfa-watcher"
BUCKET: Final = "sam-artifacts"
# As in samconfig.toml.
CAPABILITIES: Final = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
DOMAIN: Final = "example.com"
SENDER: Final = f"mfa-watcher@{DOMAIN}"
SECURITY: Final = f"security@{DOMAIN}"


class DeployError(RuntimeError):
    """SAM failed; the message ends with its last output."""


@dataclass(frozen=True)
class Stack:
    """The deployed stack, with its nested ones."""

    outputs: dict[str, str]
    resources: dict[str, str]
    """Physical ids by logical ids."""

    def __getitem__(self, name: str) -> str:
        """Return the value of an output, or a resource's physical id by its logical id."""
        return self.outputs[name] if name in self.outputs else self.resources[name]


def build(home: Path = HOME) -> None:
    """Build functions and layers for the interpreter that runs the emulator."""
    target = layer_target()
    # SAM's cache knows the sources, not the interpreter that a layer was built for.
    cache = home / "cache" / "-".join([target["LAYER_PYTHON"], target["LAYER_ARCHITECTURE"]])
    _sam(
        "build",
        *("--template-file", str(ROOT / "template.yaml"), "--build-dir", str(home / "build")),
        *("--cached", "--cache-dir", str(cache), "--parallel"),
        home=home,
        PYTHON=sys.executable,
        **target,
    )


def deploy(account: Account, home: Path = HOME, **overrides: str) -> Stack:
    """Deploy what was built, or bring a deployed stack up to date."""
    root = account.root
    root.client("s3").create_bucket(Bucket=BUCKET)
    verify_sender(account)
    parameters = {
        "SenderAddress": SENDER,
        "SecurityAddress": SECURITY,
        "MailDomains": DOMAIN,
        "OrganizationId": ORGANIZATION_ID,
        "MemberAccounts": MEMBER_ID,
        "Architecture": layer_target()["LAYER_ARCHITECTURE"],
        # IAM in the emulator is consistent at once, so events need not wait.
        "SettleSeconds": "0",
        # Nor do alerts wait until others can be combined with them.
        "AlertDigestSeconds": "0",
        # The demo runs at any time of the day.
        "MailHours": "0-24",
        "QuarantineMode": "on",
        "ServiceDeskRoles": "ServiceDesk",
        "Approvers": "carol,petra,victor",
    } | overrides
    return sam_deploy(root, home, parameters)


def sam_deploy(
    by: Principal,
    home: Path,
    parameters: Mapping[str, str],
    *,
    stack: str = STACK,
    bucket: str | None = BUCKET,
) -> Stack:
    """Run `sam deploy` on what was built, as somebody.

    Without a bucket, SAM makes one, as it does with the settings of samconfig.toml.
    """
    cloudformation = Account(by.endpoint).root.client("cloudformation")
    try:
        _sam(
            "deploy",
            *("--template-file", str(home / "build" / "template.yaml"), "--stack-name", stack),
            *(("--s3-bucket", bucket) if bucket else ("--resolve-s3",)),
            *("--capabilities", *CAPABILITIES),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            "--parameter-overrides",
            # SAM takes no empty values, which are the defaults of what may be empty.
            *(f"{name}={value}" for name, value in parameters.items() if value),
            home=home,
            **by.environment,
        )
    except DeployError as error:
        for line in _failures(cloudformation, stack):
            error.add_note(line)
        raise
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    return Stack(outputs, dict(_resources(cloudformation, stack)))


def _resources(cloudformation: Any, name: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - a boto3 client
    """Yield logical and physical ids of a stack's resources, and of those nested in it."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    for one in (one for page in pages for one in page["StackResourceSummaries"]):
        yield one["LogicalResourceId"], one["PhysicalResourceId"]
        if one["ResourceType"] == "AWS::CloudFormation::Stack":
            yield from _resources(cloudformation, one["PhysicalResourceId"])


def _failures(cloudformation: Any, name: str) -> list[str]:  # noqa: ANN401 - a boto3 client
    """Return why resources failed, nested ones too, which SAM breaks into narrow columns."""
    stacks = cloudformation.list_stacks()["StackSummaries"]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for stack in stacks
        if stack["StackName"] == name or stack["StackName"].startswith(f"{name}-")
        for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
    ]


def verify_sender(account: Account) -> None:
    """Make the sender's domain an SES identity, which a person does once per account."""
    mail = account.root.client("sesv2")
    try:
        mail.create_email_identity(EmailIdentity=DOMAIN)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def sam() -> str:
    """Return the SAM CLI, which has its own environment."""
    return os.environ.get("SANDBOX_SAM", str(ROOT / ".venv-sam" / "bin" / "sam"))


def _sam(command: str, *arguments: str, home: Path, **environment: str) -> None:
    # A separate file, so that samconfig.toml is not read.
    settings = home / "samconfig.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("version = 0.1\n")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))
    }
    if command != "build":  # which asks no AWS, and lets pip fetch what the layers are made of
        kept = guarded(kept)
    finished = subprocess.run(
        [sam(), command, "--config-file", str(settings), "--region", REGION, *arguments],
        cwd=ROOT,
        env=kept
        | {
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.1",
        }
        | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (home / f"sam-{command}.log").write_text(finished.stdout)
    if finished.returncode:
        last = "\n".join(finished.stdout.splitlines()[-12:])
        raise DeployError(f"sam {command} failed; see {home / f'sam-{command}.log'}\n{last}")
