"""Functions in the sandbox reach the sandbox, and no address off this machine."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import local
from sandbox.account import Account
from sandbox.emulator import Emulator, free_port
from sandbox.only_this_machine import REFUSED
from sandbox.setup import Sandbox
from tests.e2e.docker import BRIDGE, needs_docker

PROBE = """
import os, boto3
def handler(event, context):
    os.environ.update(event["variables"])
    client = boto3.client(event["service"], **event["options"])
    return getattr(client, event["call"])()["ResponseMetadata"]["HTTPStatusCode"]
"""
NO_ENDPOINT = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_MAX_ATTEMPTS": "1"}
ELSEWHERE = {
    "sts": {"service": "sts", "call": "get_caller_identity", "options": {}},
    "organizations": {"service": "organizations", "call": "list_accounts", "options": {}},
    "an endpoint of its own": {
        "service": "sqs",
        "call": "list_queues",
        "options": {"endpoint_url": "https://sqs.us-east-1.amazonaws.com"},
    },
}
HERE = ELSEWHERE["sts"] | {"variables": {}}


@pytest.fixture(params=["with the layers", "alone"])
def probe(fresh: Sandbox, request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """Yield what invokes a function of the account: it starts warm with layers, else anew."""
    lambda_ = fresh.account.root.client("lambda")
    deployed = lambda_.get_function_configuration(FunctionName=fresh.stack["Sweep"])
    name = f"probe-{request.param.replace(' ', '-')}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", PROBE)
    layers = [one["Arn"] for one in deployed["Layers"]] if request.param != "alone" else []
    lambda_.create_function(
        FunctionName=name,
        Runtime=deployed["Runtime"],
        Handler="app.handler",
        Role=deployed["Role"],
        Code={"ZipFile": archive.getvalue()},
        Layers=layers,
        Timeout=30,
    )

    def invoke(event: Any) -> Any:
        answer = lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read())

    yield invoke
    lambda_.delete_function(FunctionName=name)


def test_process_of_a_function_asks_the_sandbox(probe: Callable[[Any], Any]) -> None:
    assert probe(HERE) == 200


@pytest.mark.parametrize("call", ELSEWHERE.values(), ids=ELSEWHERE)
def test_process_of_a_function_is_refused_the_real_aws(
    probe: Callable[[Any], Any], call: dict[str, Any]
) -> None:
    answer = probe(call | {"variables": NO_ENDPOINT})
    assert REFUSED in answer["errorMessage"]
    assert ".amazonaws.com" in answer["errorMessage"]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start an empty account that a container reaches."""
    with Emulator(free_port(), tmp_path_factory.mktemp("empty"), bind=BRIDGE) as emulator:
        yield emulator


def run_in_container(emulator: Emulator, folder: Path, event: Any) -> None:
    (folder / "app.py").write_text(PROBE)
    (folder / "event.json").write_text(json.dumps(event))
    properties = {
        "CodeUri": str(folder),
        "Handler": "app.handler",
        "Runtime": "python3.13",
        "Timeout": 30,
    }
    built = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Probe": {"Type": "AWS::Serverless::Function", "Properties": properties}},
    }
    template = local.local_template(built, "Probe", {}, f"http://{local.HOST}:{emulator.port}")
    local.run(Account(emulator.endpoint), template, "Probe", folder / "event.json")


@needs_docker
def test_container_of_a_function_asks_the_sandbox(
    emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in_container(emulator, tmp_path, HERE)
    assert capsys.readouterr().out == "200\n"


@needs_docker
@pytest.mark.parametrize("call", ELSEWHERE.values(), ids=ELSEWHERE)
def test_container_of_a_function_is_refused_the_real_aws(
    emulator: Emulator, tmp_path: Path, call: dict[str, Any]
) -> None:
    with pytest.raises(local.InvocationError, match=REFUSED) as failed:
        run_in_container(emulator, tmp_path, call | {"variables": NO_ENDPOINT})
    assert ".amazonaws.com" in str(failed.value)
