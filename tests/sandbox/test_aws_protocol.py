import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from sandbox import aws_protocol
from sandbox.records import Json


def parameters(action: str, **form: str) -> Json:
    request = aws_protocol.Request({}, b"", urlencode({"Action": action, **form}).encode())
    called = aws_protocol.operation("iam", request)
    assert called is not None
    return aws_protocol.parameters(called, request)


def test_parameters_are_typed_and_spelled_as_in_a_record() -> None:
    assert parameters("CreateLoginProfile", UserName="alice", PasswordResetRequired="true") == {
        "userName": "alice",
        "passwordResetRequired": True,
    }


def test_lists_of_a_form_become_lists() -> None:
    assert parameters(
        "CreateUser",
        **{
            "UserName": "alice",
            "Tags.member.1.Key": "email",
            "Tags.member.1.Value": "alice@example.com",
            "Tags.member.2.Key": "team",
            "Tags.member.2.Value": "",
        },
    ) == {
        "userName": "alice",
        "tags": [
            {"key": "email", "value": "alice@example.com"},
            {"key": "team", "value": ""},
        ],
    }


def test_no_secret_of_a_request_reaches_a_record() -> None:
    assert parameters(
        "EnableMFADevice",
        UserName="alice",
        SerialNumber="arn:aws:iam::111122223333:mfa/phone",
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    ) == {"userName": "alice", "serialNumber": "arn:aws:iam::111122223333:mfa/phone"}
    assert parameters("ChangePassword", OldPassword="old", NewPassword="new") == {}


def test_json_request_is_read_as_well() -> None:
    headers = {"x-amz-target": "AWSEvents.DisableRule"}
    request = aws_protocol.Request(headers, b"", b'{"Name": "a-rule"}')
    called = aws_protocol.operation("events", request)
    assert called is not None
    assert aws_protocol.parameters(called, request) == {"name": "a-rule"}


def test_error_is_read_from_the_response() -> None:
    called = aws_protocol.service_model("iam").operation_model("DeactivateMFADevice")
    inner = b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
    body = b"<ErrorResponse>" + inner + b"</ErrorResponse>"
    error = aws_protocol.outcome(
        called, aws_protocol.Response(403, {"content-type": "text/xml"}, body)
    )["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDenied", "No")


def test_dates_of_a_response_are_american_and_its_seed_is_left_out() -> None:
    at = datetime(2023, 7, 10, 12, 25, 4, tzinfo=UTC)
    members = {
        "VirtualMFADevice": {"SerialNumber": "s", "Base32StringSeed": b"x", "EnableDate": at}
    }
    assert aws_protocol.camel(members) == {
        "virtualMFADevice": {"serialNumber": "s", "enableDate": "Jul 10, 2023 12:25:04 PM"}
    }


def test_signature_tells_key_region_and_service() -> None:
    scope = "AKIAEXAMPLE/20261124/us-east-1/iam/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
    found = aws_protocol.signature({"authorization": header})
    assert found == aws_protocol.Signature("AKIAEXAMPLE", "us-east-1", "iam")
    assert aws_protocol.signature({}) is None


def on_rest(method: str, path: str, body: Json | None = None) -> tuple[str, Json]:
    request = aws_protocol.Request({}, b"", json.dumps(body or {}).encode(), method, path)
    called = aws_protocol.operation("lambda", request)
    assert called is not None
    return aws_protocol.event_name(called), aws_protocol.parameters(called, request)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/2017-10-31/functions/f/concurrency", "PutFunctionConcurrency20171031"),
        ("PUT", "/2015-03-31/functions/f/code", "UpdateFunctionCode20150331v2"),
        ("DELETE", "/2015-03-31/functions/f", "DeleteFunction20150331"),
        ("POST", "/2015-03-31/functions/f/policy", "AddPermission20150331v2"),
        ("PUT", "/2021-10-31/functions/f/url", "UpdateFunctionUrlConfig"),
        (
            "PUT",
            "/2015-03-31/event-source-mappings/u/",
            "UpdateEventSourceMapping20150331",
        ),
    ],
)
def test_a_call_of_lambda_has_its_name_in_cloudtrail(method: str, path: str, name: str) -> None:
    assert on_rest(method, path)[0] == name


def test_what_stands_in_a_path_is_a_parameter_and_code_is_none() -> None:
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Af"
    _, found = on_rest("PUT", f"/2015-03-31/functions/{arn}/code", {"ZipFile": "x", "DryRun": True})
    assert found == {
        "functionName": "arn:aws:lambda:us-east-1:111122223333:function:f",
        "dryRun": True,
    }
