"""The doors of a deployed change desk, as a signed caller goes through them.

A Function URL of AuthType AWS_IAM takes requests signed (SigV4) for the service ``lambda``. What
the desk itself refuses comes as problem details (RFC 9457), what IAM refuses does not.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from mfa_watcher.cli.aws import AccountError, add_account_options, stack_outputs
from mfa_watcher.cli.terminal import plain

if TYPE_CHECKING:
    import boto3
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

Json = dict[str, Any]
Send = Callable[["AWSPreparedRequest"], "AWSResponse"]

SECONDS_TO_ANSWER = 75
"""Longer than any function behind a door may take."""


class DeskEndpoint(Enum):
    """One Function URL: what it is called here, in the stack's outputs and in the environment."""

    CHANGE = ("change desk", "ChangeDeskUrl", "MFA_WATCHER_CHANGE_DESK_URL")
    APPROVAL = ("approval desk", "ApprovalDeskUrl", "MFA_WATCHER_APPROVAL_DESK_URL")
    FULFIL = ("fulfilment", "FulfilUrl", "MFA_WATCHER_FULFIL_URL")

    def __init__(self, title: str, output: str, variable: str) -> None:
        """Take the names of the door."""
        self.title = title
        self.output = output
        self.variable = variable


class DeskCallError(Exception):
    """The desk did not do as asked; the text says why and what to do."""


class AccessDeniedError(DeskCallError):
    """IAM does not let the caller through this door."""


def add_desk_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which desk is meant."""
    add_account_options(parser, members=False)
    for door in DeskEndpoint:
        parser.add_argument(
            f"--{_option(door).replace('_', '-')}",
            metavar="URL",
            help=f"the {door.title}'s URL, if not from ${door.variable} or the stack's outputs",
        )


@dataclass(slots=True)
class DeskClient:
    """Asks a deployed desk with the caller's own credentials.

    ``known`` are the URLs that the caller named. Any other is read from the stack, once.
    """

    session: "boto3.Session"
    stack: str
    region: str
    known: Mapping[DeskEndpoint, str]
    send: Send
    _found: Mapping[str, str] | None = field(default=None, init=False)
    _entered: DeskEndpoint | None = field(default=None, init=False)

    def ask(
        self,
        door: DeskEndpoint,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
    ) -> Json:
        """Ask at one door; gives the answer.

        Raises AccountError if there is no way to it, AccessDeniedError, or DeskCallError.
        """
        url = self._url(door).rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        return _answer(door, method, self._send(door, method, url, body))

    def ask_either(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
    ) -> Json:
        """Ask the approval desk, which sees all, or else the change desk. Raises as ``ask``."""
        if self._entered:
            return self.ask(self._entered, method, path, query=query, body=body)
        try:
            answer = self.ask(DeskEndpoint.APPROVAL, method, path, query=query, body=body)
        except (AccountError, AccessDeniedError) as shut:
            try:
                answer = self.ask(DeskEndpoint.CHANGE, method, path, query=query, body=body)
            except AccessDeniedError as error:
                raise AccessDeniedError(f"{shut}\n{error}") from error
            self._entered = DeskEndpoint.CHANGE
        else:
            self._entered = DeskEndpoint.APPROVAL
        return answer

    def _send(self, door: DeskEndpoint, method: str, url: str, body: Json | None) -> "AWSResponse":
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        data = b"" if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = AWSRequest(method, url, headers, data)
        SigV4Auth(self._keys(), "lambda", _region_of(url) or self.region).add_auth(request)
        try:
            return self.send(request.prepare())
        except BotoCoreError as error:
            raise DeskCallError(
                f"the {door.title} did not answer ({plain(str(error))}){_doubt(method)}"
            ) from error

    def _keys(self) -> Any:  # noqa: ANN401 - botocore's signer wants more than it uses
        """Give the caller's credentials of this moment. Raises AccountError."""
        from botocore.exceptions import BotoCoreError

        try:
            credentials = self.session.get_credentials()
            if credentials is None:
                raise AccountError("there are no AWS credentials: name a --profile, or sign in")
            return credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise AccountError(f"{error}") from error

    def _url(self, door: DeskEndpoint) -> str:
        url = self.known.get(door) or self._outputs(door).get(door.output)
        if not url:
            raise AccountError(
                f"the stack {self.stack!r} has no output {door.output}: is it the watcher's?"
            )
        if not _is_safe(url):
            raise AccountError(f"the {door.title}'s URL is not https: {url}")
        return url

    def _outputs(self, door: DeskEndpoint) -> Mapping[str, str]:
        if self._found is None:
            self._keys()  # without any, the reason is not the stack
            try:
                self._found = stack_outputs(self.session, self.stack)
            except AccountError as error:
                raise AccountError(
                    f"the {door.title}'s URL could not be read from the stack {self.stack!r}"
                    f" ({error}). Whoever deployed it can tell it to you: name it with"
                    f" --{_option(door).replace('_', '-')}, or in {door.variable}"
                ) from error
        return self._found


def desk_client(options: argparse.Namespace) -> DeskClient:
    """Give the desk that the options name. Raises AccountError."""
    import boto3
    from botocore.exceptions import BotoCoreError
    from botocore.httpsession import URLLib3Session

    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
    except BotoCoreError as error:
        raise AccountError(f"{error}") from error
    known = {
        door: url
        for door in DeskEndpoint
        if (url := getattr(options, _option(door)) or os.environ.get(door.variable))
    }
    transport = URLLib3Session(timeout=SECONDS_TO_ANSWER)
    return DeskClient(session, options.stack, options.region, known, transport.send)


def _option(door: DeskEndpoint) -> str:
    return door.variable.removeprefix("MFA_WATCHER_").lower()


def _region_of(url: str) -> str | None:
    """Give the region that a Function URL names: ``ID.lambda-url.REGION.on.aws``."""
    _, is_function_url, rest = (urlsplit(url).hostname or "").partition(".lambda-url.")
    return rest.split(".", 1)[0] if is_function_url else None


def _is_safe(url: str) -> bool:
    """Tell whether nobody on the way can read along: a password may come back."""
    parts = urlsplit(url)
    try:
        this_machine = ip_address(parts.hostname or "").is_loopback
    except ValueError:
        this_machine = parts.hostname == "localhost"
    return parts.scheme == "https" or (parts.scheme == "http" and this_machine)


def _doubt(method: str) -> str:
    return "" if method == "GET" else ". Whether it was done, `requests show` tells"


def _answer(door: DeskEndpoint, method: str, response: "AWSResponse") -> Json:
    """Read an answer. Raises AccessDeniedError or DeskCallError."""
    try:
        said = json.loads(response.content)
    except ValueError:
        said = None
    status = response.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and isinstance(said, dict):
        return said
    answer: Json = said if isinstance(said, dict) else {}
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        raise DeskCallError(_problem(answer))
    message = plain(str(answer.get("Message") or answer.get("message") or "")).rstrip(".")
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            needs = (
                "" if door is DeskEndpoint.CHANGE else "; it takes the approver's policy and MFA"
            )
            raise AccessDeniedError(
                f"IAM does not let you use the {door.title}{needs}."
                + (f" It says: {message}." if message else "")
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            raise DeskCallError(f"the {door.title} is busy: try again in a moment")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DeskCallError(
                f"the {door.title} failed ({status}), its log says why{_doubt(method)}"
            )
        case _:
            raise DeskCallError(
                f"the {door.title} answered {status}"
                + (f": {message}" if message else ", and nothing that it should: is the URL right?")
            )


def _problem(answer: Json) -> str:
    """Put problem details into sentences."""
    said = plain(str(answer.get("detail") or answer.get("title") or "it was refused, without why"))
    wrong = [one for one in answer.get("errors") or () if isinstance(one, dict)]
    lines = [
        f"  {plain(str(one.get('field') or 'body'))}: {plain(str(one.get('message') or 'wrong'))}"
        for one in wrong
    ]
    return "\n".join([said, *lines])
