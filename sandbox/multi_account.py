"""The second account of the organization, and the forwarders there and in other regions."""

import json
from dataclasses import dataclass
from typing import Final, Self

from sandbox.account import Account
from sandbox.actors import ADMINISTRATOR_POLICY, SELF_SERVICE, Actors
from sandbox.deploy import STACK
from sandbox.emulator import ACCOUNT_ID, MEMBER_ID, ORGANIZATION_ID, OUTSIDER_ID, REGION, ROOT

FORWARDER: Final = f"{STACK}-forwarder"
ALIAS: Final = "sandbox-lab"
EUROPE: Final = "eu-north-1"
PACIFIC: Final = "ap-southeast-2"


@dataclass(frozen=True)
class OtherAccounts:
    """The second account with its people, and an account that is none of ours."""

    actors: Actors
    outsider: Account

    @property
    def account(self) -> Account:
        """The second account."""
        return self.actors.account

    @classmethod
    def create(cls, endpoint: str) -> Self:
        """Make the accounts as they are before anybody installs a watcher."""
        actors = Actors(Account(endpoint, MEMBER_ID))
        root = actors.account.root
        root.client("iam").create_account_alias(AccountAlias=ALIAS)
        for name in ("mia", "lars"):
            actors.create_user(name, by=root)
            actors.grant_console_access(name, by=root)
        root.client("iam").attach_user_policy(UserName="lars", PolicyArn=ADMINISTRATOR_POLICY)
        actors.enrol("lars", device="lars-phone")
        _let_users_enrol(actors)
        return cls(actors, Account(endpoint, OUTSIDER_ID))

    def deploy_forwarders(self, hub: Account) -> None:
        """Deploy forwarder.yaml as the operator of each account does, or a StackSet for him."""
        for region in (REGION, EUROPE):
            deploy_forwarder(self.account, region)
        deploy_forwarder(hub, PACIFIC)
        deploy_forwarder(self.outsider, REGION)
        self.account.root.client("iam").attach_user_policy(
            UserName="mia", PolicyArn=f"arn:aws:iam::{MEMBER_ID}:policy/{STACK}-requester"
        )


def deploy_forwarder(account: Account, region: str) -> None:
    """Deploy forwarder.yaml into an account and a region."""
    cloudformation = account.root.client("cloudformation", region)
    parameters = {
        "HubAccountId": ACCOUNT_ID,
        "HubStackName": STACK,
        "OrganizationId": ORGANIZATION_ID,
        "FulfilRole": "yes",
    }
    cloudformation.create_stack(
        StackName=FORWARDER,
        TemplateBody=(ROOT / "forwarder.yaml").read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=FORWARDER, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def _let_users_enrol(actors: Actors) -> None:
    """Let mia do about herself what AWS's documentation lets users do."""
    actors.account.root.client("iam").put_user_policy(
        UserName="mia", PolicyName="self-service", PolicyDocument=json.dumps(SELF_SERVICE)
    )
