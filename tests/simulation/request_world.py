"""The change request as it runs: the real functions, called by events, people and the schedule.

Made up is what is not ours: the table, IAM, SES and SNS. Each run of a function can be hurt at any
call that it makes to AWS: see ``Plan``.
"""

import io
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import boto3
import pytest
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from mfa_watcher import bootstrap
from mfa_watcher.adapters import items
from mfa_watcher.adapters.items import from_wire
from mfa_watcher.domain.users.people import Person
from tests.functions import product as functions
from tests.functions.product import Product
from tests.support.account import CALLS, TABLE, Account, Clock, Crash
from tests.support.builders import ACCOUNT, NOW, Json
from tests.support.dynamodb import MemoryDynamo
from tests.template.cloudformation import STACK

# Powertools reads these when the functions' modules are imported, once per process.
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", STACK)
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "MfaWatcher")
os.environ.setdefault("POWERTOOLS_LOG_LEVEL", "INFO")

DOORS = ("change_desk", "approval_desk", "fulfil")
CHANGES = frozenset({"deactivate_mfa_device", "delete_virtual_mfa_device", "update_login_profile"})


@dataclass(frozen=True)
class Plan:
    """What happens to a run at its call of a number: see docs/simulation.md."""

    what: str = ""
    at: int = 0
    meanwhile: Callable[[], object] | None = field(default=None, compare=False)


@dataclass
class Run:
    """A run of a function: who called it, what is planned for it, how many calls it made."""

    function: str
    by: Person | None
    plan: Plan
    made: int = 0
    hurt: bool = False


@dataclass
class Resident:
    """An IAM user as IAM has them."""

    user_id: str
    name: str
    devices: list[str] = field(default_factory=list)
    password: str | None = None
    reset_required: bool = False


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


class Iam:
    """IAM's answers, exactly as far as the product asks. ``changed`` hears what the product did."""

    def __init__(self) -> None:
        """Make an empty account."""
        self.residents: dict[str, Resident] = {}
        self.virtual: set[str] = set()
        self.changed: Callable[[str, Resident | None, str], None] = lambda *_: None
        self._users = 0

    def create(self, name: str) -> Resident:
        """Make a user."""
        self._users += 1
        made = Resident(f"AIDA{name.upper()}{self._users:04}", name)
        self.residents[name.casefold()] = made
        return made

    def with_id(self, user_id: str) -> Resident | None:
        """Return the user with an id, whatever the name is now."""
        return next((one for one in self.residents.values() if one.user_id == user_id), None)

    def enrol(self, resident: Resident, serial: str) -> None:
        """Assign a device to a user."""
        resident.devices.append(serial)
        if ":mfa/" in serial:
            self.virtual.add(serial)

    def owner(self, serial: str) -> Resident | None:
        """Return who has a device."""
        return next((one for one in self.residents.values() if serial in one.devices), None)

    def _named(self, name: str) -> Resident:
        if (found := self.residents.get(name.casefold())) is None:
            raise _refused("NoSuchEntity")
        return found

    def get_user(self, **call: Any) -> Json:
        """Answer GetUser."""
        found = self._named(call["UserName"])
        arn = f"arn:aws:iam::{ACCOUNT}:user/{found.name}"
        return {"User": {"UserId": found.user_id, "UserName": found.name, "Arn": arn, "Tags": []}}

    def list_mfa_devices(self, **call: Any) -> Json:
        """Answer ListMFADevices."""
        found = self._named(call["UserName"])
        return {"MFADevices": [{"SerialNumber": serial} for serial in found.devices]}

    def get_login_profile(self, **call: Any) -> Json:
        """Answer GetLoginProfile."""
        found = self._named(call["UserName"])
        if found.password is None:
            raise _refused("NoSuchEntity")
        return {"LoginProfile": {"UserName": found.name}}

    def get_account_password_policy(self) -> Json:
        """Answer GetAccountPasswordPolicy."""
        raise _refused("NoSuchEntity")

    def deactivate_mfa_device(self, **call: Any) -> Json:
        """Do DeactivateMFADevice."""
        found, serial = self._named(call["UserName"]), call["SerialNumber"]
        if serial not in found.devices:
            raise _refused("NoSuchEntity")
        found.devices.remove(serial)
        self.changed("DeactivateMFADevice", found, serial)
        return {}

    def delete_virtual_mfa_device(self, **call: Any) -> Json:
        """Do DeleteVirtualMFADevice."""
        serial = call["SerialNumber"]
        if self.owner(serial):
            raise _refused("DeleteConflict")
        if serial not in self.virtual:
            raise _refused("NoSuchEntity")
        self.virtual.remove(serial)
        self.changed("DeleteVirtualMFADevice", None, serial)
        return {}

    def update_login_profile(self, **call: Any) -> Json:
        """Do UpdateLoginProfile."""
        found = self._named(call["UserName"])
        if found.password is None:
            raise _refused("NoSuchEntity")
        found.password = call["Password"]
        found.reset_required = call["PasswordResetRequired"]
        self.changed("UpdateLoginProfile", found, "")
        return {}


class Post:
    """SES and SNS: takes whatever is sent."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.mails: Counter[str] = Counter()
        self.texts: list[str] = []
        self.alerts: list[str] = []

    def send_email(self, **call: Any) -> Json:
        """Take a mail, by the id of its intent."""
        tags = {tag["Name"]: tag["Value"] for tag in call["EmailTags"]}
        self.mails[tags["intent"]] += 1
        self.texts.append(json.dumps(call["Content"], default=str))
        return {"MessageId": f"ses-{len(self.texts)}"}

    def get_account(self) -> Json:
        """Return how many mails a second may go."""
        return {"SendQuota": {"MaxSendRate": 1000.0}}

    def publish(self, **call: Any) -> Json:
        """Take an alert, or several in one message."""
        self.alerts.append(call["Message"])
        return {"MessageId": f"sns-{len(self.alerts)}"}


class Table(MemoryDynamo):
    """The table. ``committing`` sees each transaction that goes in, right before it does."""

    committing: Callable[[list[Json]], None] = staticmethod(lambda _items: None)

    def transact_write_items(self, **call: Any) -> Json:
        """Write all or nothing, and show it."""
        written = [write["Put"]["Item"] for write in call["TransactItems"] if "Put" in write]
        before = dict(self.items)
        answer: Json = super().transact_write_items(**call)
        after, self.items = self.items, before
        try:
            self.committing([from_wire(item) for item in written])
        finally:
            self.items = after
        return answer


@dataclass
class WarmProduct(Product):
    """The functions as they stay warm: their parts are built once, and not at each change."""

    started: set[str] = field(default_factory=set)

    def _start(self, function: str) -> None:
        if function not in self.started:
            for name, value in functions._environment(function, self).items():  # noqa: SLF001
                self.monkeypatch.setenv(name, value)
            self.started.add(function)


class World:
    """An account with all functions of the product; ``begin`` empties it for the next walk."""

    iam: Iam
    post: Post
    table: Table
    numbers: Iterator[int]

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace the functions' clients by ones that call this object."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setattr(boto3, "client", self._client)
        monkeypatch.setattr(bootstrap, "uuid4", lambda: UUID(int=next(self.numbers)))
        # Two users need no more, and every look at what is due is a look at each of them.
        for name in [one for one in vars(items) if one.endswith("_SHARDS")]:
            monkeypatch.setattr(items, name, 1)
        self._forget_parts()
        self.clock = Clock()
        self.town = Account(
            self.clock, CALLS, "arn:aws:sns:us-east-1:1:t", _NoQueues(), Table(), TABLE
        )
        self.product = WarmProduct(self.town, monkeypatch)
        # Thousands of runs log what nobody reads; what they may log is held elsewhere. Only this
        # function also empties the loggers' caches, so that the tests that follow do log.
        logging.disable(logging.CRITICAL)
        self.running: list[Run] = []
        self.said = ""
        self.begin()

    def begin(self) -> None:
        """Empty the account."""
        self.clock.time = NOW
        self.iam, self.post = Iam(), Post()
        self.table = self.town.stored = Table()
        self.parked: list[str] = []
        self.numbers = count(1)

    def close(self) -> None:
        """Leave nothing behind for other tests."""
        logging.disable(logging.NOTSET)
        self._forget_parts()

    @staticmethod
    def _forget_parts() -> None:
        for part in vars(bootstrap).values():
            if callable(forget := getattr(part, "cache_clear", None)):
                forget()

    # Runs -----------------------------------------------------------------------------------------

    @property
    def now_running(self) -> Run | None:
        """Return the run that makes the calls now."""
        return self.running[-1] if self.running else None

    def run(
        self,
        function: str,
        event: Json | Callable[[], object],
        plan: Plan | None = None,
        by: Person | None = None,
    ) -> Any:
        """Run a function; raises Crash if that was planned. Gives its answer."""
        out = io.StringIO()
        run = Run(function, by, plan or Plan())
        self.running.append(run)
        try:
            with _resolvers_kept(), redirect_stdout(out):
                return event() if callable(event) else self.product.invoke(function, event)
        except (BotoCoreError, ClientError) as error:
            if run.hurt:  # an error that the function leaves to Lambda, which tries again or not
                raise Crash from error
            raise
        finally:
            self.running.pop()
            self.said = out.getvalue()

    def call(
        self, function: str, path: str, by: Person, body: object = None, plan: Plan | None = None
    ) -> tuple[int, Json]:
        """Call a function's URL; return status and answer."""
        answer = self.run(
            function, self.product.url_event(function, "POST", path, by, body), plan, by
        )
        return answer["statusCode"], json.loads(answer["body"])

    def _client(self, service: str, **_: object) -> Any:
        clients: dict[str, Any] = {
            "dynamodb": _Client(self, "dynamodb", lambda: self.table),
            "iam": _Client(self, "iam", lambda: self.iam),
            "sesv2": _Client(self, "ses", lambda: self.post),
            "sns": _Client(self, "sns", lambda: self.post),
            "sqs": SimpleNamespace(send_message=lambda **call: self.parked.append(str(call))),
        }
        return clients[service]

    def called(self, service: str, call: Callable[[], Any]) -> Any:
        """Make a call, with what is planned for it."""
        run = self.now_running
        if run is None:
            return call()
        run.made += 1
        plan = run.plan if run.made == run.plan.at else Plan()
        if plan.what == "crash before":
            raise Crash
        if plan.what == "throttled":
            run.hurt = True
            raise _refused("Throttling" if service == "iam" else "ThrottlingException")
        if plan.what == "meanwhile" and plan.meanwhile:
            run.hurt = True
            plan.meanwhile()
        answer = call()
        if plan.what == "lost":
            run.hurt = True
            if service == "iam":
                raise _refused("ServiceFailure")
            raise ReadTimeoutError(endpoint_url=service)
        if plan.what == "crash after":
            raise Crash
        return answer


class _NoQueues(dict[str, str]):
    """Any queue is the same here."""

    def __missing__(self, name: str) -> str:
        return name


@dataclass
class _Client:
    """A boto3 client whose calls go through the world."""

    world: World
    service: str
    behind: Callable[[], Any]

    def __getattr__(self, name: str) -> Any:
        target = getattr(self.behind(), name)
        if name == "exceptions":
            return target
        if name == "get_paginator":
            return lambda operation: SimpleNamespace(
                paginate=lambda **call: self._pages(target(operation).paginate(**call))
            )
        return lambda **call: self.world.called(self.service, lambda: target(**call))

    def _pages(self, pages: Iterator[Json]) -> Iterator[Json]:
        for page in pages:
            yield self.world.called(self.service, partial(dict, page))


@contextmanager
def _resolvers_kept() -> Iterator[None]:
    """Let a run in the midst of another leave the other's event alone: Lambda never mixes them."""
    kept = {name: getattr(BaseRouter, name, None) for name in ("current_event", "lambda_context")}
    doors = [getattr(bootstrap, door) for door in DOORS]
    contexts = [(door, dict(door().context)) for door in doors if door.cache_info().currsize]
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(BaseRouter, name, value)
        for door, context in contexts:
            door().context.clear()
            door().context.update(context)
