"""STS on this machine, as far as proofs need it: it says who signed a presigned call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mfa_watcher.domain.requests.approvers import CALL_HEADER
from mfa_watcher.domain.users.people import Person

_ANSWER = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<GetCallerIdentityResult><Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass
class Sts:
    """Who has which session. The secret key and the token are the access key id."""

    people: dict[str, Person] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    canned: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    """Said instead, once each."""
    address: str = ""

    def key_of(self, person: Person) -> str:
        """Return the access key id of somebody's session; they have one from now on."""
        key = "ASIA" + person.arn.encode().hex().upper()[-100:]
        self.people[key] = person
        return key

    def proof(self, by: Person, bound_to: str, at: datetime, **more: Any) -> str:
        """Return a proof that somebody signs at a moment."""
        return presigned(self.address, self.key_of(by), bound_to, at, **more)

    def answer(self, target: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer as STS does."""
        self.asked.append(target)
        if self.canned:
            return self.canned.pop(0)
        query = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        key = query.get("X-Amz-Credential", "").partition("/")[0]
        if key not in self.people:
            return 403, {}, b"InvalidClientTokenId"
        at = datetime.strptime(query["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        genuine = presigned(self.address, key, headers.get(CALL_HEADER, ""), at)
        signature = dict(parse_qsl(genuine.partition("?")[2]))["X-Amz-Signature"]
        if signature != query.get("X-Amz-Signature"):
            return 403, {}, b"SignatureDoesNotMatch"
        person = self.people[key]
        text = _ANSWER.format(*map(escape, (person.arn, person.user_id, person.account_id)))
        return 200, {"Content-Type": "text/xml"}, text.encode()


def presigned(  # noqa: PLR0913 - each a part of the URL
    address: str,
    key: str,
    bound_to: str,
    at: datetime,
    *,
    region: str = "us-east-1",
    expires: int = 60,
    query: str = "Action=GetCallerIdentity&Version=2011-06-15",
) -> str:
    """Return a URL signed at a moment of the test's clock; botocore itself takes the real one."""
    request = AWSRequest("GET", f"{address}/?{query}", {CALL_HEADER: bound_to})
    request.headers["host"] = address.partition("://")[2]
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    auth: Any = SigV4QueryAuth(Credentials(key, key, key), "sts", region, expires=expires)
    auth._modify_request_before_signing(request)  # noqa: SLF001 - else the real time
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))  # noqa: SLF001
    return str(request.url)


@contextmanager
def running() -> Iterator[Sts]:
    """Run one at a free port of this machine."""
    sts = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, said = sts.answer(self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sts.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield sts
        finally:
            server.shutdown()
            thread.join()


_kept: list[Any] = []


@cache
def for_all() -> Sts:
    """Return the one that the functions of this process ask, until the process ends."""
    context = running()
    _kept.append(context)  # otherwise it would end with this call
    return context.__enter__()
