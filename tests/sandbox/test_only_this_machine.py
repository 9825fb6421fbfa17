"""Programs of the sandbox reach addresses of this machine, and no others."""

import os
import socket
import subprocess
import sys

import pytest

from sandbox.guard.sitecustomize import OTHERS_VARIABLE
from sandbox.only_this_machine import REFUSED, guarded

# Addresses and names that are reserved for documentation (RFC 5737, 3849, 2606).
ELSEWHERE = {
    "a service without an endpoint": "import boto3; boto3.client('sts').get_caller_identity()",
    "another service": "import boto3; boto3.client('organizations').list_accounts()",
    "an endpoint of its own": (
        "import boto3; boto3.client('sqs', endpoint_url='https://192.0.2.1').list_queues()"
    ),
    "a page": "import urllib.request; urllib.request.urlopen('http://example.com', timeout=3)",
    "an address": "import socket; socket.create_connection(('192.0.2.1', 443), timeout=3)",
    "an address of IPv6": (
        "import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 443))"
    ),
    "without waiting": "import socket; socket.socket().connect_ex(('192.0.2.1', 443))",
    "a datagram": (
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))"
    ),
    "a name": "import socket; socket.getaddrinfo('example.com', 443)",
    "a name, asked in the old way": "import socket; socket.gethostbyname('example.com')",
}


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(  # noqa: S603 - programs of this test
        [sys.executable, "-c", program],
        env=guarded(environment | variables),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("program", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_elsewhere_is_refused_with_its_name(program: str) -> None:
    refused = run(program)
    last = refused.stderr.strip().splitlines()[-1]
    assert refused.returncode == 1
    assert f"{REFUSED}, which reaches no address off this machine: " in last


def test_proxy_on_this_machine_is_not_used() -> None:
    refused = run(ELSEWHERE["a service without an endpoint"], HTTPS_PROXY="http://127.0.0.1:1")
    assert "sts.us-east-1.amazonaws.com" in refused.stderr.splitlines()[-1]


def test_file_of_the_users_own_settings_is_not_read() -> None:
    said = run(
        "import botocore.session as s; print(s.Session().full_config)", HOME=os.environ["HOME"]
    )
    assert "'profiles': {}" in said.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = (host, server.getsockname()[1])
        reached = run(f"import socket; socket.create_connection({address})")
    assert (reached.returncode, reached.stderr) == (0, "")


def test_address_that_is_named_is_reached_and_no_other() -> None:
    program = (
        "import socket; one = socket.socket(type=socket.SOCK_DGRAM);"
        " one.connect(('{}', 9)); print('ok')"
    )
    named = {OTHERS_VARIABLE: "192.0.2.1"}
    assert run(program.format("192.0.2.1"), **named).stdout == "ok\n"
    assert REFUSED in run(program.format("192.0.2.2"), **named).stderr
