"""The emulated account as its users see it, each with their own access key."""

import json
import urllib.request
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from sandbox.emulator import ACCOUNT_ID, REGION, ROOT_KEY, ROOT_SECRET
from sandbox.records import Json

_CONFIG: Final = Config(retries={"total_max_attempts": 2})
# One session for all clients: it reads the description of each service once.
_SESSION: Final = boto3.Session()
_LOCK: Final = Lock()


@dataclass(frozen=True)
class Principal:
    """A user or role session with an access key and a source address."""

    name: str
    access_key_id: str
    secret_access_key: str
    endpoint: str
    source_ip: str = "127.0.0.1"
    session_token: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that configure an AWS client in another process."""
        token = {"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {}
        return token | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, region: str = REGION) -> Any:  # noqa: ANN401 - the type depends on the service's name
        """Return a boto3 client that signs as this principal."""
        return _client(self, service, region)


@cache
def _client(principal: Principal, service: str, region: str) -> Any:  # noqa: ANN401 - as above
    with _LOCK:
        return _new_client(principal, service, region)


def _new_client(principal: Principal, service: str, region: str) -> Any:  # noqa: ANN401 - as above
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

    def add_source_address(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's own
        # All clients run on one machine. The bridge reads the record's source address from here.
        request.headers["X-Forwarded-For"] = principal.source_ip

    client.meta.events.register("before-send", add_source_address)
    return client


@dataclass(frozen=True)
class Account:
    """An emulated account at an endpoint."""

    endpoint: str
    number: str = ACCOUNT_ID

    @property
    def root(self) -> Principal:
        """Return the root user. In the other accounts, the account number is their access key."""
        key = ROOT_KEY if self.number == ACCOUNT_ID else self.number
        return Principal("root", key, ROOT_SECRET, self.endpoint)

    def records(self, after: int = 0) -> list[Json]:
        """Return the CloudTrail records after a number, each with the rules that it matched."""
        entries: list[Json] = self._ask(f"/_sandbox/records?after={after}")
        return entries

    def items(self, table: str) -> list[Json]:
        """Return the items of a table in DynamoDB's JSON.

        Signed by hand: parsing what a client scans would take most of the demo's processor time.
        """
        credentials = Credentials(self.root.access_key_id, self.root.secret_access_key)
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.Scan",
        }
        asked: Json = {"TableName": table}
        items: list[Json] = []
        while True:
            body = json.dumps(asked).encode()
            signed = AWSRequest("POST", f"{self.endpoint}/", headers, body)
            SigV4Auth(credentials, "dynamodb", REGION).add_auth(signed)
            answer = self._fetch("/", body, dict(signed.headers))
            items += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return items
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def decisions(self) -> list[Json]:
        """Return each distinct decision of the policy evaluation, with its count."""
        answers: list[Json] = self._ask("/_sandbox/decisions")
        return answers

    def sign_in(self, user: str = "", **details: object) -> Json:
        """Sign in to the console as `user`, or as root, and return the record's entry."""
        asked = {"user": user, "account": self.number, **details}
        entry: Json = self._ask("/_sandbox/sign-in", asked)
        return entry

    def deliver_again(self, event_ids: list[str]) -> None:
        """Deliver records once more, as EventBridge may."""
        self._ask("/_sandbox/deliver", event_ids)

    def lose_events(self, one_in: int) -> None:
        """Lose one in so many of the events that a rule asks for; 0 loses none."""
        self._ask("/_sandbox/lose", one_in)

    def mails(self, after: int = 0) -> list[Json]:
        """Return the mails that SES accepted after the first so many, the oldest first."""
        mails: list[Json] = self._ask(f"/_sandbox/mails?after={after}")
        return mails

    def _ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        return self._fetch(path, None if body is None else json.dumps(body).encode(), {})

    def _fetch(self, path: str, body: bytes | None, headers: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
        request = urllib.request.Request(self.endpoint + path, body, headers)  # noqa: S310 - our own loopback address
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)
