"""The functions' URLs on this machine: real requests over HTTP, signed, to the real functions.

What Lambda and IAM do in front of a function is done here: the signature is checked, and whoever is
not let in is refused. All else is the function's.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mfa_watcher.domain.requests.approvers import PROOF_HEADER
from mfa_watcher.domain.users.people import Person
from tests.functions.product import Product, url_event
from tests.support import sts

if TYPE_CHECKING:
    from tests.support.builders import Json

Answer = tuple[int, str, bytes]

FORBIDDEN: Answer = (403, "application/json", b'{"Message":"Forbidden"}')


@dataclass
class Doors:
    """Serves functions at ``/<function>`` of one address, to people with access keys."""

    product: Product
    people: dict[str, Person] = field(default_factory=dict)
    """By access key id, which is the secret key, too."""
    shut: set[tuple[str, str]] = field(default_factory=set)
    """Who is let in by no policy (by key), and where."""
    canned: list[Answer] = field(default_factory=list)
    """Said instead, once each: what AWS says when no function answers."""
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def url(self, function: str) -> str:
        """Return a function's URL."""
        return f"{self.address}/{function}/"

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request as AWS does."""
        function, _, rest = target.removeprefix("/").partition("/")
        path, _, query = rest.partition("?")
        self.asked.append(f"{method} {function}/{path}")
        if self.canned:
            return self.canned.pop(0)
        who = self._signer(method, target, headers, body)
        if who is None or (who, function) in self.shut:
            return FORBIDDEN
        event = url_event(method, f"/{path}", self.people[who])
        sts.for_all().people[who] = self.people[who]
        if proof := headers.get(PROOF_HEADER):
            event["headers"][PROOF_HEADER] = proof
        event |= {
            "rawQueryString": query,
            "queryStringParameters": {k: ",".join(v) for k, v in parse_qs(query).items()},
            "body": body.decode() or None,
        }
        with redirect_stdout(io.StringIO()):  # the function's log is no word of the command's
            said: Json = self.product.invoke(function, event)
        kind = said["headers"].get("Content-Type", "application/json")
        return said["statusCode"], kind, said["body"].encode()

    def _signer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> str | None:
        """Return the access key whose holder signed exactly this; None if nobody did."""
        given = headers.get("authorization", "")
        parts = dict(
            part.split("=", 1) for part in given.partition(" ")[2].split(", ") if "=" in part
        )
        key, _, region, service, _ = (parts.get("Credential", "") + "////").split("/")[:5]
        if service != "lambda" or key not in self.people:
            return None
        signed = {name: headers[name] for name in parts["SignedHeaders"].split(";")}
        request = AWSRequest(method, self.address + target, signed, body)
        request.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(Credentials(key, key), service, region)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return key if auth.signature(text, request) == parts["Signature"] else None


@contextmanager
def opened(product: Product) -> Iterator[Doors]:
    """Open the doors at a free port of this machine."""
    doors = Doors(product)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, said = doors.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        doors.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield doors
        finally:
            server.shutdown()
            thread.join()


def problem(status: int, **fields: object) -> Answer:
    """Return problem details, as a desk words them."""
    return status, "application/problem+json", json.dumps({"status": status} | fields).encode()
