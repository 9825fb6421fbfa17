"""Set up the sandbox: an account with people in it, and the watcher deployed into it."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from sandbox import command_line
from sandbox.account import Account
from sandbox.actors import Actors
from sandbox.deploy import Stack, build, deploy
from sandbox.emulator import Emulator
from sandbox.multi_account import OtherAccounts
from sandbox.observations import Observations
from sandbox.records import Json

FIRST_ALERT_WITHIN_SECONDS: Final = 30
OBSERVE_EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Sandbox:
    """An account with people and the deployed watcher, and what is observed of the watcher."""

    emulator: Emulator
    account: Account
    actors: Actors
    observations: Observations
    other_accounts: OtherAccounts

    @property
    def stack(self) -> Stack:
        """Return the deployed stack."""
        return self.observations.stack

    def run(self, function: str) -> Json:
        """Run a deployed function, named by its logical id, as its schedule does."""
        answer = self.account.root.client("lambda").invoke(
            FunctionName=self.stack[function], Payload=b"{}"
        )
        payload: Json = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"{function}: {payload}")
        return payload

    @classmethod
    @contextmanager
    def running(
        cls, emulator: Emulator, say: Callable[[str], None] = lambda _: None
    ) -> Iterator[Self]:
        """Start an emulator, and build and deploy the real template into it; stop it at the end.

        `say` is called with a line about each step that is done.
        """
        began = time.monotonic()

        def done(what: str) -> None:
            say(f"{time.monotonic() - began:4.1f} s  {what}")

        # What does not depend on each other runs at the same time.
        with ThreadPoolExecutor() as pool:
            building = pool.submit(build, emulator.home)
            command_line.WARM.launch()
            with emulator:
                done("emulator started")
                account = Account(emulator.endpoint)
                actors = Actors(account)
                actors.create()
                other_accounts = OtherAccounts.create(emulator.endpoint)
                done(f"people in the account: {', '.join(actors.people)}")
                done(f"people in a second one: {', '.join(other_accounts.actors.people)}")
                building.result()
                done("sam build: functions and layers for this machine")
                forwarding = pool.submit(other_accounts.deploy_forwarders, account)
                stack = deploy(account, emulator.home)
                done("sam deploy: the real template.yaml")
                forwarding.result()
                done("forwarder.yaml: a second account, and another region of this one")
                actors.attach_guard_policy(stack["GuardPolicyArn"])
                actors.grant_api_access(stack["RequesterPolicyArn"], stack["ApproverRoleArn"])
                observations = Observations.of(account, stack)
                _wait_for_first_alert(observations)
                done("guard policy attached to all console users, change desk opened to them")
                yield cls(emulator, account, actors, observations, other_accounts)


def _wait_for_first_alert(observations: Observations) -> None:
    """Wait for the alert about our own subscription to the alerts, which is not of the story."""
    deadline = time.monotonic() + FIRST_ALERT_WITHIN_SECONDS
    observations.update()
    while not observations.alerts and time.monotonic() < deadline:
        time.sleep(OBSERVE_EVERY_SECONDS)
        observations.update()
