"""Reading AWS requests and responses off the wire with botocore's service models.

Gives CloudTrail's view of them: names in lowerCamelCase, real types, no secrets.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser

from sandbox.records import Json, response_date

# Never in a record: passwords, seeds and keys, and the codes of a device.
SECRETS: Final = frozenset({
    "Password", "OldPassword", "NewPassword", "AuthenticationCode1", "AuthenticationCode2",
    "Base32StringSeed", "QRCodePNG", "SecretAccessKey",
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


def signature(headers: Mapping[str, str]) -> Signature | None:
    """Who claims to have signed for which service, or None for an unsigned request."""
    found = _SCOPE.search(headers.get("authorization", ""))
    return Signature(found["key"], found["region"], found["service"]) if found else None


@cache
def service_model(service: str) -> ServiceModel:
    """Botocore's description of a service."""
    return botocore.session.get_session().get_service_model(service)


def operation(
    service: str, headers: Mapping[str, str], query: bytes, body: bytes
) -> OperationModel | None:
    """The operation that a request calls, in the query or the JSON protocol; None if the service has no such."""
    if target := headers.get("x-amz-target"):
        name = target.rpartition(".")[2]
    else:
        name = _form(query, body).get("Action", [""])[0]
    model = service_model(service)
    return model.operation_model(name) if name in model.operation_names else None


def parameters(
    called: OperationModel, headers: Mapping[str, str], query: bytes, body: bytes
) -> Json:
    """What a record's `requestParameters` says about the request."""
    shape = called.input_shape
    if shape is None:
        return {}
    if "x-amz-target" in headers:
        return _camel(json.loads(body or b"{}"))
    flat = {name: values[0] for name, values in _form(query, body).items()}
    return _camel(_read_form(shape, flat, ""))


def outcome(called: OperationModel, status: int, headers: Mapping[str, str], body: bytes) -> Json:
    """The parsed response: the output's members, or `Error` with `Code` and `Message`."""
    protocol = "json" if "json" in headers.get("content-type", "") else "query"
    response = {"status_code": status, "headers": dict(headers), "body": body}
    parsed: Json = create_parser(protocol).parse(response, called.output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


def response_elements(members: Json) -> Json:
    """What a record's `responseElements` says about the output."""
    return _camel(members)


def _form(query: bytes, body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode(errors="replace"), keep_blank_values=True) or parse_qs(
        query.decode()
    )


def _read_form(shape: Shape, flat: Mapping[str, str], prefix: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value at `prefix` ("Tags.member.1") of a query-protocol form, typed by the model."""
    match shape.type_name:
        case "structure":
            members = getattr(shape, "members", {})
            return {
                name: _read_form(member, flat, f"{prefix}{name}" + _separator(member))
                for name, member in members.items()
                if any(
                    key == f"{prefix}{name}" or key.startswith(f"{prefix}{name}.") for key in flat
                )
            }
        case "list":
            count = len(
                {
                    key.split(".")[prefix.count(".") + 2]
                    for key in flat
                    if key.startswith(f"{prefix}.member.")
                }
            )
            item: Shape = getattr(shape, "member")  # noqa: B009 - the stub knows no list shapes
            tail = _separator(item)
            return [
                _read_form(item, flat, f"{prefix}.member.{index}{tail}")
                for index in range(1, count + 1)
            ]
        case "boolean":
            return flat[prefix] == "true"
        case "integer" | "long":
            return int(flat[prefix])
        case _:
            return flat[prefix]


def _separator(shape: Shape) -> str:
    return "." if shape.type_name == "structure" else ""


def _camel(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case dict():
            return {
                name[:1].lower() + name[1:]: _camel(member)
                for name, member in value.items()
                if name not in SECRETS
            }
        case list():
            return [_camel(item) for item in value]
        case datetime():
            return response_date(value)
        case _:
            return value
