"""Parse AWS requests and responses with botocore's service models.

The result is as CloudTrail has it: names in lowerCamelCase, real types, no secrets.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, cast
from urllib.parse import parse_qs, unquote

import botocore.session
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser

from sandbox.records import Json, response_date

# Never in a record: passwords, seeds and keys, the codes of a device, and a function's code.
SECRETS: Final = frozenset({
    "Password", "OldPassword", "NewPassword", "AuthenticationCode1", "AuthenticationCode2",
    "Base32StringSeed", "QRCodePNG", "SecretAccessKey", "ZipFile",
})  # fmt: skip

_SCOPE: Final = re.compile(
    r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
)


@dataclass(frozen=True)
class Signature:
    """The credential scope that a request was signed for."""

    access_key_id: str
    region: str
    service: str


@dataclass(frozen=True)
class Request:
    """A request in the query or a JSON protocol."""

    headers: Mapping[str, str]
    query: bytes
    body: bytes
    method: str = "POST"
    path: str = "/"


@dataclass(frozen=True)
class Response:
    """The response to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def signature(headers: Mapping[str, str]) -> Signature | None:
    """Return the key, region and service of a signature; None for an unsigned request."""
    found = _SCOPE.search(headers.get("authorization", ""))
    return Signature(found["key"], found["region"], found["service"]) if found else None


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's description of a service."""
    return botocore.session.get_session().get_service_model(service)


def operation(service: str, request: Request) -> OperationModel | None:
    """Return the operation that a request calls; None if the service has none such."""
    model = service_model(service)
    if _is_rest(model):
        return next((called for called, _ in _called_by_path(service, request)), None)
    if target := request.headers.get("x-amz-target"):
        name = target.rpartition(".")[2]
    else:
        name = _form(request).get("Action", "")
    return model.operation_model(name) if name in model.operation_names else None


def parameters(called: OperationModel, request: Request) -> Json:
    """Return a record's `requestParameters` for the request."""
    if called.input_shape is None:
        return {}
    if _is_rest(called.service_model):
        places = _called_by_path(called.service_model.service_name, request)
        named = next((found.groupdict() for one, found in places if one.name == called.name), {})
        body = json.loads(request.body or b"{}")
        return camel({name: unquote(value) for name, value in named.items()} | body)
    if "x-amz-target" in request.headers:
        return camel(json.loads(request.body or b"{}"))
    return camel(_read_form(called.input_shape, _form(request), ""))


def outcome(called: OperationModel, response: Response) -> Json:
    """Return the parsed response: the output's members, or `Error` with `Code` and `Message`."""
    if _is_rest(called.service_model):
        protocol = "rest-json"
    else:
        protocol = "json" if "json" in response.headers.get("content-type", "") else "query"
    raw = {
        "status_code": response.status,
        "headers": dict(response.headers),
        "body": response.body,
    }
    # The stub says that every operation has an output. The parser accepts None for none.
    parsed: Json = create_parser(protocol).parse(raw, cast("Shape", called.output_shape))
    parsed.pop("ResponseMetadata", None)
    return parsed


def event_name(called: OperationModel) -> str:
    """Return CloudTrail's name of a call. Lambda's older ones end in the version of the API."""
    dated = _DATED.match(called.http["requestUri"])
    if called.service_model.service_name != "lambda" or dated is None:
        return called.name
    second = "v2" if called.name in _SECOND else ""
    return f"{called.name}{dated['version'].replace('-', '')}{second}"


_DATED: Final = re.compile(r"/(?P<version>2015-03-31|2017-10-31)/")
_SECOND: Final = frozenset({
    "AddPermission", "RemovePermission", "UpdateFunctionCode", "UpdateFunctionConfiguration",
})  # fmt: skip


def _is_rest(model: ServiceModel) -> bool:
    return str(model.metadata["protocol"]) == "rest-json"


def _called_by_path(
    service: str, request: Request
) -> Iterator[tuple[OperationModel, re.Match[str]]]:
    """Yield the operations of a REST service that fit a request's path, with the match."""
    for method, path, called in _paths(service):
        if method == request.method and (found := path.fullmatch(request.path.rstrip("/"))):
            yield called, found


@cache
def _paths(service: str) -> list[tuple[str, re.Pattern[str], OperationModel]]:
    model = service_model(service)
    found = []
    for name in model.operation_names:
        called = model.operation_model(name)
        path = called.http["requestUri"].partition("?")[0].rstrip("/")
        pattern = re.sub(r"\{(\w+)(\+?)\}", r"(?P<\1>[^/]+)", path)
        found.append((called.http["method"], re.compile(pattern), called))
    return found


def _form(request: Request) -> dict[str, str]:
    text = (request.body or request.query).decode(errors="replace")
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _read_form(shape: Shape, form: Mapping[str, str], at: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the value at `at` ("Tags.member.1") of a form, typed by the model."""
    if isinstance(shape, StructureShape):
        places = {name: f"{at}.{name}".lstrip(".") for name in shape.members}
        return {
            name: _read_form(shape.members[name], form, place)
            for name, place in places.items()
            if any(key == place or key.startswith(f"{place}.") for key in form)
        }
    if isinstance(shape, ListShape):
        numbers = {
            int(key.removeprefix(f"{at}.member.").partition(".")[0])
            for key in form
            if key.startswith(f"{at}.member.")
        }
        return [_read_form(shape.member, form, f"{at}.member.{n}") for n in sorted(numbers)]
    match shape.type_name:
        case "boolean":
            return form[at] == "true"
        case "integer" | "long":
            return int(form[at])
        case _:
            return form[at]


def camel(members: Json) -> Json:
    """Return members as a record has them, without secrets."""
    return {
        name[:1].lower() + name[1:]: _spelled(member)
        for name, member in members.items()
        if name not in SECRETS
    }


def _spelled(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case dict():
            return camel(value)
        case list():
            return [_spelled(item) for item in value]
        case datetime():
            return response_date(value)
        case _:
            return value
