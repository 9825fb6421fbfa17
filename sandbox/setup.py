"""Setting the sandbox: people in the account, and the watcher deployed into it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from sandbox.account import Account
from sandbox.actors import Actors
from sandbox.deploy import build, deploy
from sandbox.emulator import Emulator
from sandbox.multi_account import OtherAccounts
from sandbox.observations import Observations
from sandbox.records import Json

LONGEST_WAIT_SECONDS = 30
LOOK_EVERY_SECONDS = 0.3


@dataclass(frozen=True)
class Sandbox:
    """An account with people and a watcher in it, and an eye on what the watcher does."""

    account: Account
    actors: Actors
    observations: Observations
    other_accounts: OtherAccounts

    def run(self, function: str) -> Json:
        """Run a deployed function, named by its logical id, as its schedule does."""
        answer = self.account.root.client("lambda").invoke(
            FunctionName=self.observations.stack[function], Payload=b"{}"
        )
        payload: Json = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"{function}: {payload}")
        return payload

    @classmethod
    def set_up(cls, emulator: Emulator, say: Callable[[str], None] = lambda _: None) -> Self:
        """Build and deploy the real template into a running emulator; `say` hears how far it is."""
        account = Account(emulator.endpoint)
        actors = Actors(account)
        began = time.monotonic()

        def done(what: str) -> None:
            say(f"{time.monotonic() - began:4.1f} s  {what}")

        build(emulator.home)
        done("sam build: functions and layers for this machine")
        actors.create()
        other_accounts = OtherAccounts.create(emulator.endpoint)
        done(f"people in the account: {', '.join(actors.people)}")
        done(f"people in a second one: {', '.join(other_accounts.actors.people)}")
        stack = deploy(account, emulator.home)
        done("sam deploy: the real template.yaml")
        other_accounts.deploy_forwarders(account)
        done("forwarder.yaml: a second account, and another region of this one")
        actors.guard(stack["GuardPolicyArn"])
        actors.grant_api_access(stack["RequesterPolicyArn"], stack["ApproverPolicyArn"])
        observations = Observations.of(account, stack)
        observations.update()
        # That root subscribed our reader to the alerts is an alert, too: before the story.
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while not observations.alerts and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_SECONDS)
            observations.update()
        done("guard policy attached to all console users, and the change desk opened to them")
        return cls(account, actors, observations, other_accounts)
