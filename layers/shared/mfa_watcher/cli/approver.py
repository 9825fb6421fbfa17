"""What an approver's calls need: the approver role's session with MFA, and a proof of who calls."""

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mfa_watcher.cli.aws import AccountError, account_errors
from mfa_watcher.domain.requests.approvers import CALL_HEADER
from mfa_watcher.domain.users.people import principal_name

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import ReadOnlyCredentials

_SECONDS = 60


def proof_of(
    session: "boto3.Session", credentials: "ReadOnlyCredentials", region: str, bound_to: str
) -> str:
    """Return a presigned URL of ``sts:GetCallerIdentity``: STS will say of it who signed it.

    A signed header binds it to one call. It is for the STS endpoint of the function's own region.
    """
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    with account_errors():
        endpoint = session.client("sts", region_name=region).meta.endpoint_url.rstrip("/")
    query = "Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", f"{endpoint}/?{query}", {CALL_HEADER: bound_to})
    request.headers["host"] = urlsplit(endpoint).netloc
    SigV4QueryAuth(credentials, "sts", region, expires=_SECONDS).add_auth(request)
    return str(request.url)


def assumed(session: "boto3.Session", role_arn: str) -> "boto3.Session":
    """Return a session of the approver role, under the caller's own name.

    Asks at the terminal for the code of the caller's device. Raises AccountError.
    """
    import boto3

    with account_errors():
        sts = session.client("sts")
        caller = sts.get_caller_identity()["Arn"]
        if ":user/" not in caller:
            raise AccountError(
                f"only an IAM user assumes the approver role, and you are {caller}. Without"
                " --approver-role, your session is used as it is"
            )
        listed = session.client("iam").list_mfa_devices()["MFADevices"]
        # AWS takes codes only, not security keys, for a session of a role.
        devices = [one["SerialNumber"] for one in listed if ":u2f/" not in one["SerialNumber"]]
        if not devices:
            raise AccountError("you have no MFA device that shows codes, and the role needs one")
        sys.stderr.write(f"The code of your MFA device {devices[0]}: ")
        sys.stderr.flush()
        keys = sts.assume_role(
            RoleArn=role_arn,
            RoleSessionName=principal_name(caller) or "",
            SerialNumber=devices[0],
            TokenCode=sys.stdin.readline().strip(),
        )["Credentials"]
        return boto3.Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            region_name=session.region_name,
        )
