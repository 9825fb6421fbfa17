from datetime import UTC, datetime
from urllib.parse import urlencode

from sandbox import wire
from sandbox.records import Json


def parameters(action: str, **form: str) -> Json:
    request = wire.Request({}, b"", urlencode({"Action": action, **form}).encode())
    called = wire.operation("iam", request)
    assert called is not None
    return wire.parameters(called, request)


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
    request = wire.Request(headers, b"", b'{"Name": "a-rule"}')
    called = wire.operation("events", request)
    assert called is not None
    assert wire.parameters(called, request) == {"name": "a-rule"}


def test_error_is_read_from_the_response() -> None:
    called = wire.service_model("iam").operation_model("DeactivateMFADevice")
    inner = b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
    body = b"<ErrorResponse>" + inner + b"</ErrorResponse>"
    error = wire.outcome(called, wire.Response(403, {"content-type": "text/xml"}, body))["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDenied", "No")


def test_dates_of_a_response_are_american_and_its_seed_is_left_out() -> None:
    at = datetime(2023, 7, 10, 12, 25, 4, tzinfo=UTC)
    members = {
        "VirtualMFADevice": {"SerialNumber": "s", "Base32StringSeed": b"x", "EnableDate": at}
    }
    assert wire.camel(members) == {
        "virtualMFADevice": {"serialNumber": "s", "enableDate": "Jul 10, 2023 12:25:04 PM"}
    }


def test_signature_tells_key_region_and_service() -> None:
    scope = "AKIAEXAMPLE/20261124/us-east-1/iam/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
    found = wire.signature({"authorization": header})
    assert found == wire.Signature("AKIAEXAMPLE", "us-east-1", "iam")
    assert wire.signature({}) is None
