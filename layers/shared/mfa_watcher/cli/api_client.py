"""A client of the deployed change desk API, which signs its calls.

A Function URL of AuthType AWS_IAM takes calls signed (SigV4) for the service ``lambda``. What the
API refuses is answered with problem details (RFC 9457), what IAM refuses is not.
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

from mfa_watcher.cli.approver import assumed, proof_of
from mfa_watcher.cli.aws import (
    AccountError,
    account_errors,
    add_stack_options,
    session_of,
    stack_outputs,
)
from mfa_watcher.cli.terminal import CommandError, plain
from mfa_watcher.domain.requests.approvers import PROOF_HEADER, call_text

if TYPE_CHECKING:
    import boto3
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

Json = dict[str, Any]
Send = Callable[["AWSPreparedRequest"], "AWSResponse"]

ROLE_VARIABLE = "MFA_WATCHER_APPROVER_ROLE"
STACKS_OWN = "the stack's"
_ROLE_OUTPUT = "ApproverRoleArn"

SECONDS_TO_ANSWER = 75
"""Longer than the timeout of any function behind a URL."""


class DeskEndpoint(Enum):
    """One Function URL: its title, its name in the stack's outputs and its environment variable."""

    CHANGE = ("change desk", "ChangeDeskUrl", "MFA_WATCHER_CHANGE_DESK_URL", None)
    APPROVAL = (
        "approval desk",
        "ApprovalDeskUrl",
        "MFA_WATCHER_APPROVAL_DESK_URL",
        "approval_desk",
    )
    FULFIL = ("fulfilment", "FulfilUrl", "MFA_WATCHER_FULFIL_URL", "fulfil")

    def __init__(self, title: str, output: str, variable: str, proven_to: str | None) -> None:
        """Store the names; ``proven_to``: the function that wants a proof of who calls."""
        self.title = title
        self.output = output
        self.variable = variable
        self.proven_to = proven_to


class DeskCallError(CommandError):
    """The API refused or failed. The text says why and what to do."""


class AccessDeniedError(DeskCallError):
    """IAM does not allow the caller to use this URL."""


def add_desk_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the URLs."""
    add_stack_options(parser)
    for endpoint in DeskEndpoint:
        parser.add_argument(
            f"--{_option(endpoint).replace('_', '-')}",
            metavar="URL",
            help=f"URL of the {endpoint.title} (default: ${endpoint.variable}, else the stack's)",
        )

    parser.add_argument(
        "--approver-role",
        nargs="?",
        const=STACKS_OWN,
        metavar="ARN",
        default=os.environ.get(ROLE_VARIABLE),
        help="assume the approver role first, with the code of your MFA device (without ARN: the"
        f" stack's; default: ${ROLE_VARIABLE})",
    )


@dataclass(slots=True)
class DeskClient:
    """Calls a deployed API with the caller's own credentials.

    ``known`` has the URLs that the caller named. The others are read from the stack, once.
    """

    session: "boto3.Session"
    stack: str
    region: str
    known: Mapping[DeskEndpoint, str]
    send: Send
    approver_role: str | None = None
    """The role to assume before the first call that only approvers may make."""
    _found: Mapping[str, str] | None = field(default=None, init=False)
    _chosen: DeskEndpoint | None = field(default=None, init=False)

    def ask(
        self,
        endpoint: DeskEndpoint,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
    ) -> Json:
        """Call one URL and return the answer.

        Raises AccountError if the URL or credentials are not known, AccessDeniedError, or
        DeskCallError.
        """
        url = self._url(endpoint).rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        return _answer(endpoint, method, self._send(endpoint, method, url, body))

    def ask_either(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
    ) -> Json:
        """Call the approval desk, which sees everything, or else the change desk.

        Raises the errors of ``ask``.
        """
        if self._chosen:
            return self.ask(self._chosen, method, path, query=query, body=body)
        try:
            answer = self.ask(DeskEndpoint.APPROVAL, method, path, query=query, body=body)
        except (AccountError, AccessDeniedError) as denied:
            try:
                answer = self.ask(DeskEndpoint.CHANGE, method, path, query=query, body=body)
            except AccessDeniedError as error:
                raise AccessDeniedError(f"{denied}\n{error}") from error
            self._chosen = DeskEndpoint.CHANGE
        else:
            self._chosen = DeskEndpoint.APPROVAL
        return answer

    def _send(
        self, endpoint: DeskEndpoint, method: str, url: str, body: Json | None
    ) -> "AWSResponse":
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        if endpoint.proven_to:
            self._assume_approver_role(endpoint)
        region = _region_of(url) or self.region
        keys = self._keys()
        data = b"" if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if endpoint.proven_to:
            call = call_text(method, self._path(endpoint, url), data.decode())
            bound_to = f"{region}/{self.stack}/{endpoint.proven_to} {call}"
            headers[PROOF_HEADER] = proof_of(self.session, keys, region, bound_to)
        request = AWSRequest(method, url, headers, data)
        SigV4Auth(keys, "lambda", region).add_auth(request)
        try:
            return self.send(request.prepare())
        except BotoCoreError as error:
            raise DeskCallError(
                f"the {endpoint.title} did not answer ({plain(str(error))}){_uncertainty(method)}"
            ) from error

    def _path(self, endpoint: DeskEndpoint, url: str) -> str:
        """Return the path as the function sees it."""
        return url.removeprefix(self._url(endpoint).rstrip("/")).partition("?")[0]

    def _assume_approver_role(self, endpoint: DeskEndpoint) -> None:
        """Go on as the approver role, if that is asked for. Raises AccountError."""
        if self.approver_role is None:
            return
        role = self.approver_role
        if role == STACKS_OWN:
            role = self._outputs(endpoint).get(_ROLE_OUTPUT, "")
            if not role:
                raise AccountError(
                    f"the stack {self.stack!r} has no approver role: its parameter Approvers is"
                    " empty"
                )
        self.session, self.approver_role = assumed(self.session, role), None

    def _keys(self) -> Any:  # noqa: ANN401 - botocore's signer wants more than it uses
        """Return the caller's current credentials. Raises AccountError."""
        with account_errors():
            credentials = self.session.get_credentials()
            if credentials is None:
                raise AccountError("there are no AWS credentials: use --profile, or sign in")
            return credentials.get_frozen_credentials()

    def _url(self, endpoint: DeskEndpoint) -> str:
        url = self.known.get(endpoint) or self._outputs(endpoint).get(endpoint.output)
        if not url:
            raise AccountError(
                f"the stack {self.stack!r} has no output {endpoint.output}:"
                " is it a stack of MFA Watcher?"
            )
        if not _is_safe(url):
            raise AccountError(f"the {endpoint.title}'s URL is not https: {url}")
        return url

    def _outputs(self, endpoint: DeskEndpoint) -> Mapping[str, str]:
        if self._found is None:
            self._keys()  # without credentials, the stack is not the reason
            try:
                self._found = stack_outputs(self.session, self.stack)
            except AccountError as error:
                raise AccountError(
                    f"the {endpoint.title}'s URL could not be read from the stack {self.stack!r}"
                    f" ({error}). Ask whoever deployed the stack for the URL, and give it with"
                    f" --{_option(endpoint).replace('_', '-')}, or in {endpoint.variable}"
                ) from error
        return self._found


def desk_client(options: argparse.Namespace) -> DeskClient:
    """Return a client for what the options name. Raises AccountError."""
    from botocore.httpsession import URLLib3Session

    known = {
        endpoint: url
        for endpoint in DeskEndpoint
        if (url := getattr(options, _option(endpoint)) or os.environ.get(endpoint.variable))
    }
    transport = URLLib3Session(timeout=SECONDS_TO_ANSWER)
    return DeskClient(
        session_of(options),
        options.stack,
        options.region,
        known,
        transport.send,
        options.approver_role,
    )


def _option(endpoint: DeskEndpoint) -> str:
    return endpoint.variable.removeprefix("MFA_WATCHER_").lower()


def _region_of(url: str) -> str | None:
    """Return the region that a Function URL names: ``ID.lambda-url.REGION.on.aws``."""
    _, is_function_url, rest = (urlsplit(url).hostname or "").partition(".lambda-url.")
    return rest.split(".", 1)[0] if is_function_url else None


def _is_safe(url: str) -> bool:
    """Return whether nobody in between can read the answer, which may contain a password."""
    parts = urlsplit(url)
    try:
        this_machine = ip_address(parts.hostname or "").is_loopback
    except ValueError:
        this_machine = parts.hostname == "localhost"
    return parts.scheme == "https" or (parts.scheme == "http" and this_machine)


def _uncertainty(method: str) -> str:
    return "" if method == "GET" else ". `requests show` tells whether it was done"


def _answer(endpoint: DeskEndpoint, method: str, response: "AWSResponse") -> Json:
    """Return the JSON of an answer. Raises AccessDeniedError or DeskCallError."""
    try:
        said = json.loads(response.content)
    except ValueError:
        said = None
    status = response.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and isinstance(said, dict):
        return said
    answer: Json = said if isinstance(said, dict) else {}
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        if str(answer.get("type")).endswith(":not-an-approver"):
            raise AccessDeniedError(_problem(answer))
        raise DeskCallError(_problem(answer))
    message = plain(str(answer.get("Message") or answer.get("message") or "")).rstrip(".")
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            needs = (
                ""
                if endpoint is DeskEndpoint.CHANGE
                else "; it needs the approver role (--approver-role)"
            )
            raise AccessDeniedError(
                f"IAM does not allow you to use the {endpoint.title}{needs}."
                + (f" Its message: {message}." if message else "")
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            raise DeskCallError(f"the {endpoint.title} is busy: try again in a moment")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DeskCallError(
                f"the {endpoint.title} failed ({status}); its log says why{_uncertainty(method)}"
            )
        case _:
            raise DeskCallError(
                f"the {endpoint.title} answered {status}"
                + (
                    f": {message}"
                    if message
                    else ", which is no answer of the API: is the URL right?"
                )
            )


def _problem(answer: Json) -> str:
    """Return problem details as sentences."""
    said = plain(
        str(answer.get("detail") or answer.get("title") or "it was refused without a reason")
    )
    wrong = [one for one in answer.get("errors") or () if isinstance(one, dict)]
    lines = [
        f"  {plain(str(one.get('field') or 'body'))}: {plain(str(one.get('message') or 'wrong'))}"
        for one in wrong
    ]
    return "\n".join([said, *lines])
