"""Proofs of who calls: presigned calls of ``sts:GetCallerIdentity``, which STS itself answers.

The same way as the tokens of Amazon EKS and the AWS login of HashiCorp Vault. A proof says nothing
but who signed it, it holds for a minute, and a signed header binds it to one call.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET  # STS answers in XML; what it says is bounded below

from urllib3.exceptions import HTTPError

from mfa_watcher.domain.requests.approvers import CALL_HEADER
from mfa_watcher.domain.users.people import Person
from mfa_watcher.ports.callers import UnprovenCallerError
from mfa_watcher.ports.errors import ExternalServiceError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

LIFETIME: Final = timedelta(seconds=60)
"""STS accepts such a URL for 15 minutes, whatever ``X-Amz-Expires`` says, so the age is checked."""

_CLOCK_SKEW: Final = timedelta(seconds=30)
_LARGEST_PROOF: Final = 8192
_LARGEST_ANSWER: Final = 4096
_OK: Final = 200
_SERVER_ERROR: Final = 500
_FORM: Final = re.compile(r"[\x21-\x7e]+")
_CREDENTIAL: Final = re.compile(
    r"[A-Z0-9]{4,128}/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]+)/sts/aws4_request"
)
_FIXED: Final = {
    "Action": "GetCallerIdentity",
    "Version": "2011-06-15",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-SignedHeaders": f"host;{CALL_HEADER}",
}
_OTHERS: Final = {
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
}


@dataclass(frozen=True, slots=True)
class StsCallerProofs:
    """Verifies proofs at one STS endpoint, that of the function's own region.

    ``endpoint`` is a URL without a path. It is ours, never the caller's: a proof for another host
    is refused before anything is sent.
    """

    http: "PoolManager"
    endpoint: str
    region: str
    clock: Callable[[], datetime]

    def person(self, proof: str, bound_to: str) -> Person:
        """Return who signed the URL. Nothing of it is logged or part of an error's text."""
        self._check(proof)
        response = self._send(proof, bound_to)
        try:
            status, body = response.status, response.read(_LARGEST_ANSWER + 1)
        finally:
            response.close()
        if status >= _SERVER_ERROR:
            raise ExternalServiceError("STS is temporarily unavailable")
        if status != _OK:
            raise UnprovenCallerError(
                "STS does not accept the proof of who calls: it is for another call, or its"
                " credentials are not valid any more"
            )
        return _parsed(body)

    def _send(self, proof: str, bound_to: str) -> "BaseHTTPResponse":
        try:
            return self.http.request(
                "GET",
                proof,
                headers={CALL_HEADER: bound_to},
                redirect=False,
                retries=False,
                timeout=3.0,
                preload_content=False,
            )
        except HTTPError:
            # The error's text would have the URL in it.
            raise ExternalServiceError("STS did not answer") from None

    def _check(self, proof: str) -> None:
        """Raise UnprovenCallerError unless the URL is exactly of the form that is expected."""
        address, _, query = proof.partition("?")
        if len(proof) > _LARGEST_PROOF or not _FORM.fullmatch(proof) or "#" in proof:
            raise _malformed("it is no URL of this form")
        if address != f"{self.endpoint}/":
            raise _malformed(f"it must be for {self.endpoint}/")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            raise _malformed("its query cannot be read") from None
        given = dict(pairs)
        # Names in another case, or twice, could mean one thing here and another at STS.
        if len(pairs) != len(given) or set(given) != {*_FIXED, *_OTHERS}:
            raise _malformed("it must have exactly the parameters of a session's presigned call")
        for name, value in _FIXED.items():
            if given[name] != value:
                raise _malformed(f"{name} must be {value}")
        credential = _CREDENTIAL.fullmatch(given["X-Amz-Credential"])
        if credential is None or credential["region"] != self.region:
            raise _malformed(f"it must be signed for sts in {self.region}")
        self._check_age(given["X-Amz-Date"], given["X-Amz-Expires"])

    def _check_age(self, signed_at: str, expires: str) -> None:
        if not (re.fullmatch(r"[0-9]{1,2}", expires) and 0 < int(expires) <= LIFETIME.seconds):
            raise _malformed(f"X-Amz-Expires must be at most {LIFETIME.seconds}")
        try:
            at = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise _malformed("X-Amz-Date cannot be read") from None
        age = self.clock() - at
        if not -_CLOCK_SKEW <= age <= timedelta(seconds=int(expires)):
            raise UnprovenCallerError(
                f"the proof of who calls is not of the last {expires} seconds; call again, and"
                " check this machine's clock"
            )


def _malformed(why: str) -> UnprovenCallerError:
    return UnprovenCallerError(f"the proof of who calls cannot be used: {why}")


def _parsed(body: bytes) -> Person:
    """Return the person whom STS names. Raises ExternalServiceError for anything else."""
    names = {"Arn", "UserId", "Account"}
    if len(body) > _LARGEST_ANSWER or b"<!" in body:
        raise ExternalServiceError("STS's answer cannot be read")
    try:
        # Without document types there are no entities to expand, and the answer is small.
        root = ET.fromstring(body)  # noqa: S314
        found = {
            name: element.text
            for element in root.iter()
            if (name := element.tag.rpartition("}")[2]) in names
        }
        arn, user_id, account = (found[name] or "" for name in ("Arn", "UserId", "Account"))
    except (ET.ParseError, KeyError):
        raise ExternalServiceError("STS's answer cannot be read") from None
    return Person(arn.strip(), user_id.strip(), account.strip())
