"""The emulated account as its users see it, each with keys of his own."""

import json
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config

from sandbox.emulator import ACCOUNT_ID, REGION, ROOT_KEY, ROOT_SECRET
from sandbox.records import Json

_CONFIG: Final = Config(retries={"total_max_attempts": 2})
# One for all: it reads the description of a service once.
_SESSION: Final = boto3.Session()


@dataclass(frozen=True)
class Principal:
    """Somebody with an access key, calling from somewhere."""

    name: str
    access_key_id: str
    secret_access_key: str
    endpoint: str
    source_ip: str = "127.0.0.1"
    session_token: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What tells an AWS client in another process who calls, and where."""
        token = {"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {}
        return token | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, region: str = REGION) -> Any:  # noqa: ANN401 - the type depends on the service's name
        """A boto3 client that signs as this principal."""
        return _client(self, service, region)


@cache
def _client(principal: Principal, service: str, region: str) -> Any:  # noqa: ANN401 - as above
    name: Any = service  # the stubs want a literal
    client: Any = _SESSION.client(
        name,
        region,
        endpoint_url=principal.endpoint,
        config=_CONFIG,
        aws_access_key_id=principal.access_key_id,
        aws_secret_access_key=principal.secret_access_key,
        aws_session_token=principal.session_token,
    )

    def say_where_from(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's own
        # All clients share one machine; the bridge takes the record's address from here.
        request.headers["X-Forwarded-For"] = principal.source_ip

    client.meta.events.register("before-send", say_where_from)
    return client


@dataclass(frozen=True)
class Account:
    """An emulated account at an endpoint."""

    endpoint: str
    number: str = ACCOUNT_ID

    @property
    def root(self) -> Principal:
        """The account's root user. In other accounts than the first, the number is his key."""
        key = ROOT_KEY if self.number == ACCOUNT_ID else self.number
        return Principal("root", key, ROOT_SECRET, self.endpoint)

    def records(self, after: int = 0) -> list[Json]:
        """What CloudTrail has recorded, each with its number and the rules it matched."""
        entries: list[Json] = self._ask(f"/_sandbox/records?after={after}")
        return entries

    def decisions(self) -> list[Json]:
        """Each distinct answer of the policy evaluation, with how often it was given."""
        answers: list[Json] = self._ask("/_sandbox/decisions")
        return answers

    def sign_in(self, user: str = "", **details: object) -> Json:
        """Sign in to the console as `user`, or as root; return the record's entry."""
        asked = {"user": user, "account": self.number, **details}
        entry: Json = self._ask("/_sandbox/sign-in", asked)
        return entry

    def deliver_again(self, event_ids: list[str]) -> None:
        """Deliver records once more, as EventBridge may."""
        self._ask("/_sandbox/deliver", event_ids)

    def lose_events(self, one_in: int) -> None:
        """Let so many of the events that rules run_requests for never come; 0: let all come again."""
        self._ask("/_sandbox/lose", one_in)

    def inbox(self) -> list[Json]:
        """The mails that SES has accepted, oldest first."""
        mails = self._ask("/_ministack/ses/messages")["messages"]
        return sorted(
            (mail for box in mails.values() for mail in box),
            key=lambda mail: float(mail["Timestamp"]),
        )

    def _ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoint + path, data=data)  # noqa: S310 - our own loopback address
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)
