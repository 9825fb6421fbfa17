"""The way in of a person: a function URL's event, who calls, and problems as RFC 9457 has them.

Nothing but ``requestContext.authorizer.iam`` says who calls: IAM has put it there after it checked
the signature. No header and no body is asked.
"""

import json
import re
from base64 import b64decode
from binascii import Error as BadBase64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestValidationError,
    ResponseValidationError,
)
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from mfa_watcher import __version__
from mfa_watcher.domain.requests.change_request import SegregationOfDutiesError, WrongStepError
from mfa_watcher.domain.users.people import Person, principal_name
from mfa_watcher.ports.errors import (
    ExternalServiceError,
    IamReadError,
    LostRaceError,
    NoSuchRequestError,
)

logger = Logger()
metrics = Metrics()

LARGEST_BODY: Final = 16 * 1024
"""Bytes. A reason of a thousand characters and all devices that a user can have fit in a third."""

PROBLEM_TYPE: Final = "application/problem+json"

_ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>iam|sts)::(?P<account>[0-9]{12}):(?P<resource>\S+)")

_UNIQUE_ID = re.compile(r"[A-Za-z0-9]+")


class UnknownCallerError(Exception):
    """The event does not say who calls, or not in a way that IAM would; the text says why."""


class UnreadableBodyError(Exception):
    """The body is not what the desk takes; the text says why."""


class BodyTooLargeError(UnreadableBodyError):
    """The body is larger than anything the desk takes."""


class WrongMediaTypeError(UnreadableBodyError):
    """The body is no JSON, and says so."""


def no_member_accounts(account_id: str) -> bool:  # noqa: ARG001 - as whoever knows members is asked
    """Serve nobody of another account."""
    return False


def caller(
    event: Mapping[str, Any], account_id: str, is_member: Callable[[str], bool] = no_member_accounts
) -> Person:
    """Give the person whom IAM authenticated. Raises UnknownCallerError, and what is_member does.

    Whoever may invoke the function past its URL writes the event himself, so what does not fit
    together is refused. It must be a user or a role's session of the given account, or of a member
    that the door serves; the account's root user is refused, because nobody can tell who that is.
    """
    stated = _within(event, "requestContext", "authorizer", "iam")
    arn, user_id, account = (stated.get(name) for name in ("userArn", "userId", "accountId"))
    if not (isinstance(arn, str) and isinstance(user_id, str) and isinstance(account, str)):
        raise UnknownCallerError("the event names no caller; call the function by its URL, signed")
    parsed = _ARN.fullmatch(arn)
    if parsed is None:
        raise UnknownCallerError("the caller's ARN cannot be read")
    if parsed["account"] != account:
        raise UnknownCallerError("the caller's ARN and account do not fit together")
    if account != account_id and not is_member(account):
        members = (
            "" if is_member is no_member_accounts else ", and of the accounts that it watches,"
        )
        raise UnknownCallerError(f"only callers of account {account_id}{members} are served here")
    if not _is_consistent(parsed["service"], parsed["resource"], user_id):
        raise UnknownCallerError(
            "only IAM users and sessions of roles are served, not the root user or federated users"
        )
    return Person(arn, user_id, account)


def _is_consistent(service: str, resource: str, user_id: str) -> bool:
    """Tell whether it is a user with a user's id, or a role's session with that session's id."""
    kind, _, rest = resource.partition("/")
    if (service, kind) == ("iam", "user"):
        return bool(_UNIQUE_ID.fullmatch(user_id)) and bool(rest)
    if (service, kind) == ("sts", "assumed-role"):
        role_id, _, session = user_id.partition(":")
        named = principal_name(f"arn:aws:sts::0:{resource}")
        whole = rest.count("/") == 1 and all(rest.split("/"))
        return whole and bool(_UNIQUE_ID.fullmatch(role_id)) and session == named
    return False


def _within(event: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: object = event
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


# --- problems ---


class Problem(BaseModel):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: str = Field(description="Which problem it is: the same text for the same problem.")
    title: str = Field(description="The problem in short.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened here, and what to do.")
    instance: str = Field(description="This one call; the function's log has the same id.")
    errors: list["Fault"] | None = Field(
        None, description="Of a request that is not as described: what is wrong where."
    )


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where it is, such as `body.reason`.")
    message: str = Field(description="What is wrong with it.")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem."""

    status: HTTPStatus
    slug: str
    title: str
    retry_after: int | None = None
    """Seconds."""


_PROBLEM_KINDS: Final[dict[type[Exception], ProblemKind]] = {
    UnknownCallerError: ProblemKind(
        HTTPStatus.FORBIDDEN, "unknown-caller", "Nobody knows who calls"
    ),
    SegregationOfDutiesError: ProblemKind(
        HTTPStatus.FORBIDDEN, "four-eyes", "Somebody else must do this"
    ),
    NoSuchRequestError: ProblemKind(
        HTTPStatus.NOT_FOUND, "no-such-request", "There is no such request"
    ),
    NotFoundError: ProblemKind(HTTPStatus.NOT_FOUND, "no-such-page", "There is nothing here"),
    WrongStepError: ProblemKind(
        HTTPStatus.CONFLICT, "wrong-step", "The request does not allow this now"
    ),
    LostRaceError: ProblemKind(HTTPStatus.CONFLICT, "overtaken", "Somebody else was faster", 1),
    UnreadableBodyError: ProblemKind(
        HTTPStatus.BAD_REQUEST, "unreadable", "The body cannot be read"
    ),
    BodyTooLargeError: ProblemKind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too large"
    ),
    WrongMediaTypeError: ProblemKind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no-json", "The body is no JSON"
    ),
    RequestValidationError: ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "not-as-described", "The request is not as described"
    ),
    IamReadError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "try-later", "AWS does not answer now", 30
    ),
    ExternalServiceError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "try-later", "AWS does not answer now", 30
    ),
}

_DETAILS: Final[dict[type[Exception], str]] = {
    NotFoundError: "GET /openapi.json says what there is.",
    LostRaceError: "The request or its user changed meanwhile. Look at it, and try again.",
    IamReadError: "IAM does not answer now. Call again in a minute: that is safe.",
    RequestValidationError: "Mend what `errors` names, and send it again.",
}
"""Said instead of the exception's own text, which is for our logs."""


_STATUS_MEANINGS: Final[dict[int, str]] = {
    400: "The body is no JSON object.",
    403: "This caller may not do this: the detail says why, and who may.",
    404: "There is no such request, or none that the caller may know of.",
    409: "The request's state does not allow this, or somebody else was faster.",
    413: f"The body is larger than {LARGEST_BODY} bytes.",
    415: "The body is of another type than JSON.",
    422: "The request is not as described here: `errors` says what is wrong where.",
    503: "AWS does not answer now; calling again is safe.",
}


class DeskApi(LambdaFunctionUrlResolver):
    """A function URL that knows who calls, and says what is wrong.

    An error that it has no words for surfaces as the function's.
    """

    def __init__(
        self, title: str, description: str, account_id: str, is_member: Callable[[str], bool]
    ) -> None:
        """Take what the OpenAPI description says of the whole, and which accounts are served."""
        # debug=False: an environment variable could else have each event and answer printed.
        super().__init__(
            debug=False, enable_validation=True, response_validation_error_http_code=500
        )
        self._account_id = account_id
        self._is_member = is_member
        self._kinds = dict(_PROBLEM_KINDS)
        self.exception_handler(list(_PROBLEM_KINDS))(self._answer_problem)
        self.exception_handler(ResponseValidationError)(_reraise)
        self.configure_openapi(
            title=title,
            version=__version__,
            description=description,
            security_schemes={
                "sigv4": APIKey(
                    name="Authorization",
                    in_=APIKeyIn.header,
                    description="AWS Signature Version 4, of the service `lambda`.",
                )
            },
            security=[{"sigv4": []}],
        )
        self.get("/openapi.json", include_in_schema=False, enable_validation=False)(self._describe)

    @property
    def caller(self) -> Person:
        """Give the person who calls, while he is served."""
        person: Person = self.context["caller"]
        return person

    def knows(self, error: type[Exception], kind: ProblemKind) -> None:
        """Give an error of a use case its place among the problems; its text is the detail."""
        self._kinds[error] = kind
        self.exception_handler(error)(self._answer_problem)

    def resolve(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer a call. Who calls, and whether the body can be read, is asked before all else."""
        answer: dict[str, Any]
        try:
            person = caller(event, self._account_id, self._is_member)
            logger.append_keys(caller=person.arn)
            event = _without_headers(event)
        except (UnknownCallerError, UnreadableBodyError, ExternalServiceError) as error:
            answer = _as_lambda_response(self._problem(error, context))
        else:
            self.context["caller"] = person
            answer = super().resolve(event, context)
        # Requests tell of persons, and an answer may hold a password: nothing is to keep them.
        answer["headers"] |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        _log_answer(event, answer["statusCode"])
        return answer

    def _describe(self) -> Response[str]:
        return Response(200, "application/json", json.dumps(self.description()))

    def description(self) -> dict[str, Any]:
        """Describe the desk as OpenAPI does."""
        described: dict[str, Any] = json.loads(self.get_openapi_json_schema())
        for path in described["paths"].values():
            for operation in path.values():
                # The resolver's own words for mistakes of ours, which are no part of the contract.
                operation["responses"].pop("500", None)
        for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
            described["components"]["schemas"].pop(unused, None)
        return described

    def _answer_problem(self, error: Exception) -> Response[str]:
        return self._problem(error, self.lambda_context)

    def _problem(self, error: Exception, context: LambdaContext) -> Response[str]:
        of = next(type_ for type_ in type(error).__mro__ if type_ in self._kinds)
        kind = self._kinds[of]
        problem = Problem(
            type=f"urn:mfa-watcher:problem:{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=_DETAILS.get(of) or f"{error}.",
            instance=f"urn:uuid:{context.aws_request_id}",
            errors=_faults(error) if isinstance(error, RequestValidationError) else None,
        )
        # What a person wrote is no matter for logs, so of a body it is only said where it is wrong.
        why = [fault.field for fault in problem.errors or ()] or str(error)
        logger.info("Refused", problem=kind.slug, why=why)
        headers = {"Retry-After": str(kind.retry_after)} if kind.retry_after else {}
        body = problem.model_dump_json(exclude_none=True)
        return Response(kind.status, PROBLEM_TYPE, body, headers)


def documented_responses(
    description: str, model: Any, *, status: int = 200
) -> dict[int, OpenAPIResponse]:  # noqa: ANN401 - any type
    """Give what a route may answer, for the description: this, or a problem."""
    wanted: OpenAPIResponse = {
        "description": description,
        "content": {"application/json": {"model": model}},
    }
    problems: dict[int, OpenAPIResponse] = {
        problem: {"description": means, "content": {PROBLEM_TYPE: {"model": Problem}}}
        for problem, means in _STATUS_MEANINGS.items()
    }
    return {status: wanted, **problems}


def make_desk_api(
    title: str,
    description: str,
    account_id: str,
    is_member: Callable[[str], bool] = no_member_accounts,
) -> DeskApi:
    """Give a resolver that knows the caller, answers in problems, and describes itself."""
    return DeskApi(title, description, account_id, is_member)


def _as_lambda_response(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": int(response.status_code),
        "headers": response.headers,
        "body": response.body,
        "isBase64Encoded": False,
        "cookies": [],
    }


def _reraise(error: Exception) -> Response[str]:
    """An answer that is not as described is our mistake, and nobody else's business."""
    raise error


def _log_answer(event: Mapping[str, Any], status: int) -> None:
    http = _within(event, "requestContext", "http")
    logger.info(
        "Answered", method=http.get("method"), path=str(event.get("rawPath"))[:200], status=status
    )
    logger.remove_keys(["caller"])
    metrics.add_metric(f"Answers_{status // 100}xx", MetricUnit.Count, 1)


def _without_headers(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give the event without what nothing here may rest on: headers and cookies."""
    return {
        **event,
        "headers": {"content-type": "application/json"},
        "cookies": [],
        "body": _body(event),
        "isBase64Encoded": False,
    }


def _body(event: Mapping[str, Any]) -> str | None:
    """Give the body as text that is JSON. Raises UnreadableBodyError.

    It is parsed once more by the resolver: what that cannot do without an error of its own (nesting
    without end, bytes that are no text) ends here.
    """
    body = event.get("body")
    if not body:
        return None
    if not isinstance(body, str):
        raise UnreadableBodyError("the body is no text")
    if len(body) > LARGEST_BODY * 4 // 3 + 4:
        raise BodyTooLargeError(f"send at most {LARGEST_BODY} bytes")
    headers = _within(event, "headers")
    media = next((v for k, v in headers.items() if k.casefold() == "content-type"), None)
    if media and str(media).split(";")[0].strip().casefold() != "application/json":
        raise WrongMediaTypeError("send it with Content-Type: application/json")
    try:
        text = b64decode(body, validate=True).decode() if event.get("isBase64Encoded") else body
        if len(text.encode()) > LARGEST_BODY:
            raise BodyTooLargeError(f"send at most {LARGEST_BODY} bytes")
        parsed = json.loads(text)
    except (BadBase64Error, ValueError, RecursionError) as error:
        raise UnreadableBodyError("send a JSON object") from error
    if not isinstance(parsed, dict):
        raise UnreadableBodyError("send a JSON object")
    return text


def _faults(error: RequestValidationError) -> list[Fault]:
    return [
        Fault(field=".".join(str(part) for part in fault["loc"]), message=str(fault["msg"]))
        for fault in error.errors()
    ]
