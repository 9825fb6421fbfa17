"""Function URLs of MiniStack 1.5, as callers and functions find them on AWS.

MiniStack checks the signature, and asks its policy evaluation for `lambda:InvokeFunctionUrl`. AWS
also, since October 2025,
- asks for `lambda:InvokeFunction`, with `lambda:InvokedViaFunctionUrl` true,
- answers "Forbidden" to a caller without permission, without a reason.
AWS passes the caller to the function in `requestContext.authorizer.iam`. And the host name in
MiniStack's URLs cannot be resolved here, so a function's URL points to this emulator.
"""

import json
import os
from collections.abc import Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

from ministack import app
from ministack.services import lambda_svc

from sandbox import aws_protocol, emulator_internals
from sandbox.records import Caller, Json

_PATH: Final = "/_aws/lambda-url/"
_INVOKE_URL: Final = "lambda:InvokeFunctionUrl"
_FORBIDDEN: Final = b'{"Message":"Forbidden"}'


def install() -> None:
    """Patch the MiniStack of this process."""
    for module, name, make in (
        (lambda_svc, "_create_function_url_config", _pointing_here),
        (lambda_svc, "_function_url_id", _of_both_forms),
        (lambda_svc, "_build_function_url_event", _with_authorizer),
        (app, "_enforce_data_plane", _with_both_permissions),
    ):
        setattr(module, name, make(getattr(module, name)))


def authorizer(who: Caller) -> Json:
    """Return what a function receives about a caller that IAM authenticated."""
    return {
        "iam": {
            "accessKey": who.access_key_id,
            "accountId": who.account_id,
            "callerId": who.principal_id,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": who.arn,
            "userId": who.principal_id,
        }
    }


def _pointing_here(create: Any) -> Any:
    @wraps(create)
    def created(function: str, asked: Json, qualifier: str | None) -> Any:
        status, headers, body = create(function, asked, qualifier)
        if status == HTTPStatus.CREATED:
            config = lambda_svc._function_urls[lambda_svc._url_config_key(function, qualifier)]
            name = lambda_svc._function_url_id(config["FunctionUrl"])
            here = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
            config["FunctionUrl"] = f"{here}{_PATH}{name}/"
            body = json.dumps(config).encode()
        return status, headers, body

    return created


def _of_both_forms(url_id: Any) -> Any:
    @wraps(url_id)
    def found(url: str) -> str:
        _, points_here, name = url.partition(_PATH)
        return name.rstrip("/") if points_here else str(url_id(url))

    return found


def _with_authorizer(build: Any) -> Any:
    @wraps(build)
    def with_caller(*of: Any, anonymous: bool = False, **more: Any) -> Json:
        event: Json = build(*of, anonymous=anonymous, **more)
        signed = aws_protocol.signature(event["headers"])
        who = emulator_internals.caller(signed.access_key_id) if signed and not anonymous else None
        if who:
            event["requestContext"]["authorizer"] = authorizer(who)
        return event

    return with_caller


def _with_both_permissions(enforce: Any) -> Any:
    @wraps(enforce)
    def enforced(
        service: str, action: str, headers: Mapping[str, str], *of: Any, **more: Any
    ) -> Any:
        denied = enforce(service, action, headers, *of, **more)
        if action != _INVOKE_URL:
            return denied
        if not denied and aws_protocol.signature(headers):
            via_url = {"service_context": {"lambda:InvokedViaFunctionUrl": "true"}}
            denied = enforce(service, "lambda:InvokeFunction", headers, *of, **(more | via_url))
        if denied and b"is not authorized to perform" in denied[2]:
            return denied[0], denied[1], _FORBIDDEN
        return denied

    return enforced
