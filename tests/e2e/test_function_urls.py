"""Function URLs of the emulated account admit the callers that AWS would, and name them."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from sandbox import totp
from sandbox.account import Account, Principal
from sandbox.actors import Actors
from sandbox.emulator import REGION, Emulator, EmulatorError, free_port, interpreter

ECHO = "def handler(event, context):\n    return event\n"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
    ],
}


@dataclass
class Door:
    """A deployed function that gives back the event it gets, and its URL."""

    account: Account
    actors: Actors
    arn: str
    url: str

    def let_in(self, user: str, *actions: str, **condition: Any) -> None:
        """Let a user do this to the function."""
        statement = {"Effect": "Allow", "Action": actions, "Resource": self.arn}
        document = {"Version": "2012-10-17", "Statement": [statement | condition]}
        self.account.root.client("iam").put_user_policy(
            UserName=user, PolicyName="door", PolicyDocument=json.dumps(document)
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    try:
        interpreter()
    except EmulatorError as error:
        pytest.skip(str(error))
    with Emulator(free_port(), tmp_path_factory.mktemp("api_urls")) as emulator:
        account = Account(emulator.endpoint)
        root = account.root
        role = root.client("iam").create_role(
            RoleName="echo", AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", ECHO)
        lambda_ = root.client("lambda")
        made = lambda_.create_function(
            FunctionName="echo",
            Runtime="python3.13",
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": code.getvalue()},
        )
        url = lambda_.create_function_url_config(FunctionName="echo", AuthType="AWS_IAM")
        yield Door(account, Actors(account), made["FunctionArn"], url["FunctionUrl"])


@pytest.fixture
def carol(door: Door) -> Iterator[Principal]:
    """A user with an access key and a device, and no permission."""
    root, iam = door.account.root, door.account.root.client("iam")
    door.actors.create_user("carol", by=root)
    iam.put_user_policy(
        UserName="carol",
        PolicyName="self",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "iam:*MFADevice", "Resource": "*"},
            }
        ),
    )
    door.actors.enrol("carol", device="carol-phone")
    yield door.actors["carol"]
    serial = door.actors.serial("carol-phone")
    iam.deactivate_mfa_device(UserName="carol", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    door.actors.seeds.clear()
    for name in iam.list_user_policies(UserName="carol")["PolicyNames"]:
        iam.delete_user_policy(UserName="carol", PolicyName=name)
    iam.delete_access_key(UserName="carol", AccessKeyId=door.actors["carol"].access_key_id)
    iam.delete_user(UserName="carol")


def call(url: str, who: Principal | None = None, token: str | None = None) -> tuple[int, Any]:
    """Call a URL, signed if by somebody."""
    request = AWSRequest("POST", url + "a/path?x=1&y=a%20b", JSON, b'{"reason": "lost"}')
    if who:
        session = boto3.Session(who.access_key_id, who.secret_access_key, token)
        keys: Any = session.get_credentials()
        SigV4Auth(keys.get_frozen_credentials(), "lambda", REGION).add_auth(request)
    response = URLLib3Session().send(request.prepare())
    return response.status_code, json.loads(response.content)


def with_mfa(door: Door, who: Principal, code: str = "") -> tuple[Principal, str]:
    """Get the session that a code of carol's phone gives."""
    serial = door.actors.serial("carol-phone")
    shown = code or totp.code(door.actors.seeds[serial], time.time())
    got = who.client("sts").get_session_token(SerialNumber=serial, TokenCode=shown)["Credentials"]
    session = Principal("carol", got["AccessKeyId"], got["SecretAccessKey"], who.endpoint)
    return session, got["SessionToken"]


BOTH = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
JSON = {"Content-Type": "application/json"}
MFA = {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}


def test_unsigned_call_is_refused(door: Door) -> None:
    assert call(door.url) == (403, {"Message": "Forbidden"})


@pytest.mark.parametrize("granted", [(), BOTH[:1], BOTH[1:]], ids=["neither", "url", "function"])
def test_call_needs_both_permissions(
    door: Door, carol: Principal, granted: tuple[str, ...]
) -> None:
    if granted:
        door.let_in("carol", *granted)
    assert call(door.url, carol) == (403, {"Message": "Forbidden"})


def test_function_is_told_which_user_called(door: Door, carol: Principal) -> None:
    door.let_in("carol", *BOTH)
    status, event = call(door.url, carol)
    user = door.account.root.client("iam").get_user(UserName="carol")["User"]
    assert status == 200
    assert event["requestContext"]["authorizer"]["iam"] == {
        "accessKey": carol.access_key_id,
        "accountId": "111122223333",
        "callerId": user["UserId"],
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": user["Arn"],
        "userId": user["UserId"],
    }
    assert (event["rawPath"], event["body"]) == ("/a/path", '{"reason": "lost"}')


def test_permission_for_the_url_alone_does_not_allow_a_direct_invocation(
    door: Door, carol: Principal
) -> None:
    by_url = {"Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}}
    statements = [
        {"Effect": "Allow", "Action": BOTH[0], "Resource": door.arn},
        {"Effect": "Allow", "Action": BOTH[1], "Resource": door.arn} | by_url,
    ]
    door.account.root.client("iam").put_user_policy(
        UserName="carol",
        PolicyName="door",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    assert call(door.url, carol)[0] == 200
    with pytest.raises(ClientError, match="not authorized"):
        carol.client("lambda").invoke(FunctionName="echo", Payload=b"{}")


def test_wrong_signature_is_refused(door: Door, carol: Principal) -> None:
    door.let_in("carol", *BOTH)
    status, _ = call(door.url, Principal("carol", carol.access_key_id, "a guess", carol.endpoint))
    assert status == 403


def test_mfa_is_needed_where_a_policy_says_so(door: Door, carol: Principal) -> None:
    door.let_in("carol", *BOTH, **MFA)
    assert call(door.url, carol)[0] == 403
    session, token = with_mfa(door, carol)
    status, event = call(door.url, session, token)
    assert status == 200
    assert event["requestContext"]["authorizer"]["iam"]["userArn"].endswith(":user/carol")


def test_session_without_a_code_counts_as_without_mfa(door: Door, carol: Principal) -> None:
    door.let_in("carol", *BOTH, **MFA)
    got = carol.client("sts").get_session_token()["Credentials"]
    session = Principal("carol", got["AccessKeyId"], got["SecretAccessKey"], carol.endpoint)
    assert call(door.url, session, got["SessionToken"])[0] == 403


def test_wrong_code_gives_no_session(door: Door, carol: Principal) -> None:
    with pytest.raises(ClientError, match="one time pass code"):
        with_mfa(door, carol, code="000000")


def test_function_is_told_which_session_of_a_role_called(door: Door, carol: Principal) -> None:
    iam = door.account.root.client("iam")
    role = iam.create_role(RoleName="desk", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    statement = {"Effect": "Allow", "Action": BOTH, "Resource": door.arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="desk", PolicyName="door", PolicyDocument=document)
    door.let_in("carol", "sts:AssumeRole", Resource=role["Arn"])
    got = carol.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="lena")
    keys = got["Credentials"]
    session = Principal("lena", keys["AccessKeyId"], keys["SecretAccessKey"], carol.endpoint)
    status, event = call(door.url, session, keys["SessionToken"])
    stated = event["requestContext"]["authorizer"]["iam"]
    assert status == 200
    assert stated["userArn"] == "arn:aws:sts::111122223333:assumed-role/desk/lena"
    assert stated["userId"] == f"{role['RoleId']}:lena"
