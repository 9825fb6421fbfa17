"""Errors as the API answers them: problem documents (RFC 9457)."""

from dataclasses import dataclass
from typing import Final

from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, Field

from mfa_watcher.domain.requests.approvers import NotAnApproverError
from mfa_watcher.domain.requests.change_request import SegregationOfDutiesError, WrongStepError
from mfa_watcher.entrypoints.api import body
from mfa_watcher.entrypoints.api.caller import UnknownCallerError
from mfa_watcher.ports import errors
from mfa_watcher.ports.callers import UnprovenCallerError

PROBLEM_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: str = Field(description="Which problem it is: the same text for the same problem.")
    title: str = Field(description="The problem in short.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened here, and what to do.")
    instance: str = Field(description="The id of this call; it is in the function's log too.")
    errors: list["Fault"] | None = Field(
        None, description="If the request does not match its schema: what is wrong where."
    )


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where it is, such as `body.reason`.")
    message: str = Field(description="What is wrong with it.")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its status, the last part of its type, and its title."""

    status: int
    slug: str
    title: str
    retry_after: int | None = None
    """Seconds."""


ProblemKinds = dict[type[Exception], ProblemKind]

_TRY_LATER: Final = ProblemKind(503, "try-later", "AWS is temporarily unavailable", 30)
PROBLEM_KINDS: Final[ProblemKinds] = {
    UnknownCallerError: ProblemKind(403, "unknown-caller", "The caller could not be identified"),
    NotAnApproverError: ProblemKind(403, "not-an-approver", "Only approvers are served here"),
    UnprovenCallerError: ProblemKind(403, "unproven-caller", "The caller is not proven"),
    SegregationOfDutiesError: ProblemKind(
        403, "segregation-of-duties", "Another person must do this"
    ),
    errors.NoSuchRequestError: ProblemKind(404, "no-such-request", "Request not found"),
    NotFoundError: ProblemKind(404, "no-such-route", "Route not found"),
    WrongStepError: ProblemKind(409, "wrong-step", "The request's state does not allow this step"),
    errors.LostRaceError: ProblemKind(
        409, "changed-meanwhile", "The request was changed meanwhile", 1
    ),
    body.UnreadableBodyError: ProblemKind(400, "unreadable", "The body cannot be read"),
    body.BodyTooLargeError: ProblemKind(413, "too-large", "The body is too large"),
    body.WrongMediaTypeError: ProblemKind(415, "not-json", "The body is not JSON"),
    RequestValidationError: ProblemKind(422, "invalid", "The request does not match its schema"),
    errors.IamReadError: _TRY_LATER,
    errors.ExternalServiceError: _TRY_LATER,
}
"""The problems that every API has. Each API adds those of its use case."""

PROBLEM_DETAILS: Final[dict[type[Exception], str]] = {
    NotFoundError: "GET /openapi.json describes the routes.",
    errors.LostRaceError: "The request or its user changed meanwhile. Read it, and try again.",
    errors.IamReadError: "IAM is temporarily unavailable. Call again in a minute: that is safe.",
    RequestValidationError: "Correct what `errors` names, and send it again.",
}
"""Used instead of the exception's own text, which is for our logs."""

_STATUS_MEANINGS: Final[dict[int, str]] = {
    400: "The body is not a JSON object.",
    403: "This caller may not do this: the detail says why, and who may.",
    404: "There is no such request, or none that the caller may see.",
    409: "The request's state does not allow this, or somebody else changed it meanwhile.",
    413: f"The body is larger than {body.LARGEST_BODY} bytes.",
    415: "The body has another type than JSON.",
    422: "The request does not match its schema: `errors` says what is wrong where.",
    503: "AWS is temporarily unavailable; calling again is safe.",
}


def documented_responses(
    description: str, model: type[BaseModel], *, status: int = 200
) -> dict[int, OpenAPIResponse]:
    """Return a route's responses for its description: the model, or a problem."""
    success: OpenAPIResponse = {
        "description": description,
        "content": {"application/json": {"model": model}},
    }
    problems: dict[int, OpenAPIResponse] = {
        code: {"description": meaning, "content": {PROBLEM_TYPE: {"model": Problem}}}
        for code, meaning in _STATUS_MEANINGS.items()
    }
    return {status: success, **problems}


def faults_of(error: RequestValidationError) -> list[Fault]:
    """Return what is wrong where, without what the caller wrote."""
    return [
        Fault(field=".".join(str(part) for part in fault["loc"]), message=str(fault["msg"]))
        for fault in error.errors()
    ]
