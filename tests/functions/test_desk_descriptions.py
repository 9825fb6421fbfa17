"""What the desks say of themselves: OpenAPI, made from the code and served."""

import json
import re
import sys
from subprocess import run
from typing import Any

import pytest

from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.entrypoints.api.schemas import RequestView
from tests.functions.approved import BOB
from tests.functions.product import Product
from tests.support.builders import Json
from tests.template.cloudformation import ROOT

READING = {("get", "/requests"), ("get", "/requests/{request_id}")}
ROUTES = {
    "change_desk": READING
    | {
        ("post", "/requests"),
        ("post", "/requests/{request_id}/details"),
        ("post", "/requests/{request_id}/cancel"),
    },
    "approval_desk": READING
    | {
        ("post", f"/requests/{{request_id}}/{step}")
        for step in ("approve", "reject", "acknowledge", "reopen", "cancel")
    },
    "fulfil": {("post", "/requests/{request_id}/fulfil")},
}


@pytest.fixture(params=ROUTES)
def function(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def described(product: Product, function: str) -> Json:
    status, document = product.call(function, "GET", "/openapi.json", BOB)
    assert status == 200
    return document


def _operations(document: Json) -> dict[tuple[str, str], Json]:
    return {
        (method, path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_description_names_each_route_and_what_it_is_for(described: Json, function: str) -> None:
    assert described["openapi"].startswith("3.1")
    assert described["info"]["title"].startswith("MFA Watcher: ")
    operations = _operations(described)
    assert set(operations) == ROUTES[function]
    for operation in operations.values():
        assert len(operation["summary"].split()) >= 2
        assert operation["description"].endswith(".")
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def test_each_route_tells_what_it_answers_and_each_problem_by_its_own_media_type(
    described: Json,
) -> None:
    for (method, path), operation in _operations(described).items():
        answers = operation["responses"]
        [good] = [status for status in answers if status.startswith("2")]
        assert good == ("201" if (method, path) == ("post", "/requests") else "200")
        assert "$ref" in answers[good]["content"]["application/json"]["schema"]
        problems = {status for status in answers if status != good}
        assert problems == {"400", "403", "404", "409", "413", "415", "422", "503"}
        for status in problems:
            [(media, content)] = answers[status]["content"].items()
            assert media == "application/problem+json"
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_route_requires_a_signed_call(described: Json) -> None:
    assert described["security"] == [{"sigv4": []}]
    assert described["components"]["securitySchemes"]["sigv4"]["name"] == "Authorization"


def test_every_schema_that_is_used_is_defined_and_every_defined_one_is_used(
    described: Json,
) -> None:
    text = json.dumps(described)
    used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert used == set(described["components"]["schemas"])


@pytest.mark.parametrize("door", ["change_desk", "approval_desk"])
def test_bodies_and_queries_have_a_schema(product: Product, door: str) -> None:
    _, document = product.call(door, "GET", "/openapi.json", BOB)
    schemas = document["components"]["schemas"]
    for operation in _operations(document).values():
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["schema"].get("description")
        if "requestBody" in operation:
            [content] = operation["requestBody"]["content"].values()
            body = schemas[content["schema"]["$ref"].rsplit("/", 1)[-1]]
            assert body["additionalProperties"] is False
            assert all("description" in field for field in body["properties"].values())


def test_states_of_the_description_are_those_of_the_domain(product: Product) -> None:
    _, document = product.call("approval_desk", "GET", "/openapi.json", BOB)
    assert document["components"]["schemas"]["RequestState"]["enum"] == [*RequestState]


def test_request_is_shown_with_all_that_the_domain_knows_of_it() -> None:
    known: dict[str, Any] = ChangeRequest.__dataclass_fields__
    bookkeeping = {"denials_mailed", "denial_mailed_at", "state_before"}
    assert set(known) - set(RequestView.model_fields) == bookkeeping


@pytest.mark.parametrize(
    "function", ["on_sign_in", "on_iam_change", "deliver", "remind", "expire", "quarantine"]
)
def test_function_without_a_url_does_not_import_the_resolver(function: str) -> None:
    asks = (
        "import sys, importlib.util\n"
        "import mfa_watcher.bootstrap\n"
        f"spec = importlib.util.spec_from_file_location('app', 'functions/{function}/app.py')\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "print([name for name in sys.modules if 'event_handler' in name or 'doors' in name])"
    )
    said = run(  # noqa: S603 - its arguments are our own
        [sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"
