"""One function in Docker, on Lambda's own image, against a running sandbox: `sam local invoke`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.account import Account
from sandbox.deploy import STACK, sam
from sandbox.emulator import REGION, ROOT, ROOT_KEY, ROOT_SECRET, EmulatorError, architecture

BUILT: Final = ROOT / ".aws-sam" / "build"
# The address of this machine in a container: Docker's bridge on Linux, a name elsewhere.
HOST: Final = "172.17.0.1" if sys.platform == "linux" else "host.docker.internal"


def invoke(account: Account, port: int, function: str, event: Path) -> int:
    """Run a function (its logical id) once, as deployed, on what `make build` built for Lambda."""
    template = BUILT / "template.yaml"
    if not template.exists():
        raise EmulatorError(f"nothing is built in {BUILT}: run `make build` first")
    endpoint = f"http://{HOST}:{port}"
    # SAM passes only variables that the template declares, so a copy of it declares one more.
    declared = re.compile(r"^( *)POWERTOOLS_METRICS_NAMESPACE:.*$", re.MULTILINE)
    local = template.with_name("local.yaml")
    local.write_text(declared.sub(r'\g<0>\n\1AWS_ENDPOINT_URL: ""', template.read_text()))
    variables = template.with_name("env.json")
    variables.write_text(json.dumps(_variables(account, endpoint), indent=2))
    command = [
        *("local", "invoke", function, "--event", str(event), "--template", str(local)),
        *("--env-vars", str(variables), "--skip-pull-image", "--region", REGION),
        *("--parameter-overrides", f"Architecture={architecture()}"),
    ]
    print("sam", *command, file=sys.stderr)  # noqa: T201 - to be copied
    finished = subprocess.run(
        [sam(), *command],
        cwd=ROOT,
        env=os.environ | {"AWS_ACCESS_KEY_ID": ROOT_KEY, "AWS_SECRET_ACCESS_KEY": ROOT_SECRET},
        check=False,
    )
    return finished.returncode


def _variables(account: Account, endpoint: str) -> dict[str, dict[str, str]]:
    """Return each deployed function's variables by logical id. SAM alone would pass on names."""
    resources = account.root.client("cloudformation").list_stack_resources(StackName=STACK)
    functions = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    lambda_ = account.root.client("lambda")
    return {
        logical_id: lambda_.get_function_configuration(FunctionName=name)["Environment"][
            "Variables"
        ]
        | {"AWS_ENDPOINT_URL": endpoint}
        for logical_id, name in functions.items()
    }
