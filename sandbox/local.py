"""One function in Docker, on Lambda's own image, against a running sandbox: `sam local invoke`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import yaml

from sandbox.account import Account
from sandbox.deploy import STACK, sam
from sandbox.emulator import REGION, ROOT, EmulatorError, architecture
from sandbox.guard.sitecustomize import OTHERS_VARIABLE
from sandbox.only_this_machine import GUARD, REFUSED, guarded
from sandbox.records import Json

BUILT: Final = ROOT / ".aws-sam" / "build"
# The address of this machine in a container: Docker's bridge on Linux, a name elsewhere.
HOST: Final = "172.17.0.1" if sys.platform == "linux" else "host.docker.internal"
_GUARD_LAYER: Final = "SandboxGuard"
_SERVER_ERROR: Final = 500


class InvocationError(RuntimeError):
    """The function failed, or SAM did; the message says how."""


def invoke(account: Account, port: int, function: str, event: Path) -> None:
    """Run a function (its logical id) once, as deployed, on what `make build` built for Lambda.

    Raise EmulatorError if there is nothing to run, and InvocationError if the function fails.
    """
    variables = deployed_variables(account, function)
    if not (BUILT / "template.yaml").exists():
        raise EmulatorError(f"nothing is built in {BUILT}: run `make build` first")
    if not event.is_file():
        raise EmulatorError(f"there is no file {event}")
    template = local_template(
        yaml.safe_load((BUILT / "template.yaml").read_text()),
        function,
        variables,
        f"http://{HOST}:{port}",
    )
    run(account, template, function, event)


def deployed_variables(account: Account, function: str) -> dict[str, str]:
    """Return the environment variables of a deployed function. SAM alone would pass on names."""
    pages = (
        account.root.client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName=STACK)
    )
    functions = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    if function not in functions:
        raise EmulatorError(
            f"the stack {STACK} has no function {function}; it has {', '.join(sorted(functions))}"
        )
    deployed = account.root.client("lambda").get_function_configuration(
        FunctionName=functions[function]
    )
    variables: dict[str, str] = deployed["Environment"]["Variables"]
    return variables


def local_template(built: Json, function: str, variables: Mapping[str, str], endpoint: str) -> Json:
    """Return a built template in which a function asks only the sandbox.

    The template declares all its variables, since SAM drops others. The guard comes as a layer.
    """
    resources: Json = built["Resources"]
    if function not in resources:
        raise EmulatorError(f"{BUILT} has no function {function}: run `make build` again")
    properties = resources[function]["Properties"]
    changed = properties | {
        "Environment": {
            "Variables": {
                **variables,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL": endpoint,
                "PYTHONPATH": "/opt",
                OTHERS_VARIABLE: HOST,
            }
        },
        "Layers": [*properties.get("Layers", []), {"Ref": _GUARD_LAYER}],
    }
    guard = {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": str(GUARD)}}
    return built | {
        "Resources": resources
        | {function: resources[function] | {"Properties": changed}, _GUARD_LAYER: guard}
    }


def run(account: Account, template: Json, function: str, event: Path) -> None:
    """Let SAM run a function of a template; print its answer, and its log to standard error.

    Raise InvocationError if the function fails.
    """
    BUILT.mkdir(parents=True, exist_ok=True)
    described, values = BUILT / "local.yaml", BUILT / "env.json"
    described.write_text(json.dumps(template, indent=2))
    # Of a variable's values SAM takes the one here, then that of its own environment, such as our
    # endpoint, and only then the template's.
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    values.write_text(json.dumps({function: variables}, indent=2))
    command = [
        *("local", "invoke", function, "--event", str(event), "--template", str(described)),
        *("--env-vars", str(values), "--skip-pull-image", "--region", REGION),
        *("--parameter-overrides", f"Architecture={architecture()}"),
    ]
    print("sam", *command, file=sys.stderr)  # noqa: T201 - to be copied
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    refused = []
    with TemporaryFile("w+") as output:
        with subprocess.Popen(
            [sam(), *command],
            cwd=ROOT,
            env=guarded(kept | {"SAM_CLI_TELEMETRY": "0"} | account.root.environment),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stderr or ():
                sys.stderr.write(line)
                if line.startswith(REFUSED):
                    refused.append(line.strip())
        output.seek(0)
        answer = output.read().strip()
    print(answer)  # noqa: T201 - what a person asked for
    if process.returncode:
        raise InvocationError(f"{function}: sam local invoke ended with {process.returncode}")
    if failure := "; ".join(dict.fromkeys(refused)) or _failure(answer):
        raise InvocationError(f"{function} failed: {failure}")


def _failure(answer: str) -> str:
    """Return how a function failed by what it answered, empty if it did not. SAM exits with 0."""
    if not answer:
        return "it gave no answer, as when it takes too long or its process ends"
    match json.loads(answer.splitlines()[-1]):
        case {"errorMessage": message, **rest}:
            return f"{rest.get('errorType', 'error')}: {message}"
        case {"batchItemFailures": [_, *_] as items}:
            failed = ", ".join(str(one.get("itemIdentifier")) for one in items)
            return f"it could not process {failed}; the log above says why"
        case {"statusCode": int(status), "body": body} if status >= _SERVER_ERROR:
            return f"it answered with status {status}: {body}"
        case _:
            return ""
