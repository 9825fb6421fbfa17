"""The people and programs in the sandbox: IAM users with their own keys, under real policies.

All of them are made up. The addresses they call from are reserved for documentation (RFC 5737).
"""

import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Final

from sandbox import totp
from sandbox.account import Account, Principal
from sandbox.deploy import DOMAIN
from sandbox.records import Json

GROUP: Final = "console-users"
SECURITY_TEAM: Final = "security-team"
SERVICE_DESK: Final = "ServiceDesk"
ADMINISTRATOR_POLICY: Final = "arn:aws:iam::aws:policy/AdministratorAccess"

# What AWS's documentation lets users do for themselves: without the guard policy, anything.
SELF_SERVICE: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iam:GetAccountPasswordPolicy", "iam:ListVirtualMFADevices"],
            "Resource": "*",
        },
        {
            "Effect": "Allow",
            "Action": ["iam:ChangePassword", "iam:GetUser", "iam:*MFADevice", "iam:ListMFADevices"],
            "Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:mfa/*"],
        },
    ],
}

SOURCE_IPS: Final = {
    "alice": "203.0.113.21",
    "bob": "203.0.113.22",
    "carol": "203.0.113.23",
    "dave": "203.0.113.24",
    "olivia": "198.51.100.7",
    "deploy-bot": "192.0.2.80",
    "frank": "203.0.113.25",
    "gina": "203.0.113.26",
    "petra": "198.51.100.21",
    "victor": "198.51.100.22",
    "lena": "198.51.100.30",
    "henry": "203.0.113.27",
    "mia": "203.0.113.40",
    "lars": "198.51.100.40",
}

# Stricter than IAM's default.
PASSWORD_POLICY: Final = {
    "MinimumPasswordLength": 14,
    "RequireSymbols": True,
    "RequireNumbers": True,
    "RequireUppercaseCharacters": True,
    "RequireLowercaseCharacters": True,
    "AllowUsersToChangePassword": True,
    "PasswordReusePrevention": 24,
}


@dataclass
class Actors:
    """The people and programs of an account, each with an access key once they have one."""

    account: Account
    people: dict[str, Principal] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    # Passwords that the watcher set, as shown to the approver.
    issued_passwords: list[str] = field(default_factory=list)
    approver_role_arn: str = ""

    def __getitem__(self, name: str) -> Principal:
        """Return the principal of that name."""
        return self.people[name]

    def create(self) -> None:
        """Create the account as it is before the watcher is installed."""
        root = self.account.root
        iam = root.client("iam")
        iam.update_account_password_policy(**PASSWORD_POLICY)
        iam.create_account_alias(AccountAlias="sandbox")
        iam.create_group(GroupName=GROUP)
        iam.create_group(GroupName=SECURITY_TEAM)
        iam.put_group_policy(
            GroupName=GROUP, PolicyName="self-service", PolicyDocument=json.dumps(SELF_SERVICE)
        )
        self.create_user("olivia", by=root)
        iam.attach_user_policy(UserName="olivia", PolicyArn=ADMINISTRATOR_POLICY)
        for name in ("olivia", "bob", "carol", "dave", "henry", "petra", "victor"):
            if name not in self.people:
                self.create_user(name, by=root, manager=f"olivia@{DOMAIN}")
                iam.add_user_to_group(GroupName=GROUP, UserName=name)
            self.grant_console_access(name, by=root)
        self.create_user("frank", by=root)
        for name in ("olivia", "carol", "dave", "petra", "victor"):
            self.enrol(name, device=f"{name}-phone")
        # Carol is in the security team: they may approve, but not their own request.
        for name in ("carol", "petra", "victor"):
            iam.add_user_to_group(GroupName=SECURITY_TEAM, UserName=name)
        self._create_service_desk()

    def _create_service_desk(self) -> None:
        """Create the service desk's role, and lena, who works in it."""
        iam = self.account.root.client("iam")
        self.create_user("lena", by=self.account.root)
        lena = iam.get_user(UserName="lena")["User"]["Arn"]
        trust = {"Effect": "Allow", "Principal": {"AWS": lena}, "Action": "sts:AssumeRole"}
        role = iam.create_role(
            RoleName=SERVICE_DESK, AssumeRolePolicyDocument=json.dumps(_policy(trust))
        )["Role"]
        enter = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]}
        iam.put_user_policy(
            UserName="lena", PolicyName="service-desk", PolicyDocument=json.dumps(_policy(enter))
        )

    def create_user(self, name: str, *, by: Principal, **tags: str) -> None:
        """Create an IAM user with an access key and these tags."""
        iam = by.client("iam")
        all_tags = {"email": f"{name}@{DOMAIN}"} | tags
        iam.create_user(
            UserName=name, Tags=[{"Key": key, "Value": value} for key, value in all_tags.items()]
        )
        self.create_access_key(name, by=by)

    def create_access_key(self, name: str, *, by: Principal) -> None:
        """Create an access key that the user calls with from now on."""
        key = by.client("iam").create_access_key(UserName=name)["AccessKey"]
        self.people[name] = Principal(
            name,
            key["AccessKeyId"],
            key["SecretAccessKey"],
            self.account.endpoint,
            SOURCE_IPS.get(name, "203.0.113.99"),
        )

    def grant_console_access(self, name: str, *, by: Principal) -> None:
        """Give a user a console password, to be changed at the first sign-in."""
        # With all classes of characters, whatever the random part contains.
        self.passwords[name] = f"{secrets.token_urlsafe(18)}-Aa1"
        by.client("iam").create_login_profile(
            UserName=name, Password=self.passwords[name], PasswordResetRequired=True
        )

    def change_password(self, name: str) -> None:
        """Let a user set their own password, as IAM demands at the first sign-in."""
        new = f"{secrets.token_urlsafe(18)}-Zz9"
        self[name].client("iam").change_password(OldPassword=self.passwords[name], NewPassword=new)
        self.passwords[name] = new

    def enrol(self, name: str, *, device: str) -> None:
        """Let a user register an authenticator app, with the codes that the app shows."""
        iam = self[name].client("iam")
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=device)["VirtualMFADevice"]
        seed = made["Base32StringSeed"].decode()
        now = time.time()
        iam.enable_mfa_device(
            UserName=name,
            SerialNumber=made["SerialNumber"],
            AuthenticationCode1=totp.code(seed, now, steps=-1),
            AuthenticationCode2=totp.code(seed, now),
        )
        self.seeds[made["SerialNumber"]] = seed

    def with_mfa(self, name: str) -> Principal:
        """Return a user's session with MFA."""
        serial = self.serial(f"{name}-phone")
        got = (
            self[name]
            .client("sts")
            .get_session_token(
                SerialNumber=serial, TokenCode=totp.code(self.seeds[serial], time.time())
            )
        )
        return self._session(name, got["Credentials"])

    def as_approver(self, name: str) -> Principal:
        """Return somebody's session of the approver role: with MFA, and under their own name."""
        role, serial = self.approver_role_arn, self.serial(f"{name}-phone")
        code = totp.code(self.seeds[serial], time.time())
        sts = self[name].client("sts")
        got = sts.assume_role(
            RoleArn=role, RoleSessionName=name, SerialNumber=serial, TokenCode=code
        )
        return self._session(name, got["Credentials"])

    def in_service_desk_role(self, name: str) -> Principal:
        """Return somebody's session in the service desk's role."""
        iam = self.account.root.client("iam")
        return self.in_role(name, iam.get_role(RoleName=SERVICE_DESK)["Role"]["Arn"])

    def in_role(self, name: str, role_arn: str) -> Principal:
        """Return somebody's session in a role, named after them."""
        got = self[name].client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)
        return self._session(name, got["Credentials"])

    def _session(self, name: str, keys: Json) -> Principal:
        return replace(
            self[name],
            access_key_id=keys["AccessKeyId"],
            secret_access_key=keys["SecretAccessKey"],
            session_token=keys["SessionToken"],
        )

    def attach_guard_policy(self, policy_arn: str) -> None:
        """Attach the guard policy to the group of all console users."""
        self["olivia"].client("iam").attach_group_policy(GroupName=GROUP, PolicyArn=policy_arn)

    def grant_api_access(self, requester_policy_arn: str, approver_role_arn: str) -> None:
        """Let users and the service desk file requests. The stack itself names the approvers."""
        iam = self["olivia"].client("iam")
        iam.attach_group_policy(GroupName=GROUP, PolicyArn=requester_policy_arn)
        iam.attach_role_policy(RoleName=SERVICE_DESK, PolicyArn=requester_policy_arn)
        self.approver_role_arn = approver_role_arn

    def serial(self, device: str) -> str:
        """Return the serial number of a virtual device."""
        return next(serial for serial in self.seeds if serial.endswith(f":mfa/{device}"))


def _policy(statement: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": [statement]}
