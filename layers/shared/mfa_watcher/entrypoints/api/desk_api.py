"""A function URL that identifies its caller, answers errors as problems, and describes itself."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestValidationError,
    ResponseValidationError,
)
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from mfa_watcher import __version__
from mfa_watcher.domain.requests.approvers import PROOF_HEADER, NotAnApproverError, call_text
from mfa_watcher.domain.users.people import Person
from mfa_watcher.entrypoints.api import problems
from mfa_watcher.entrypoints.api.body import UnreadableBodyError, readable_body
from mfa_watcher.entrypoints.api.caller import UnknownCallerError, caller, within
from mfa_watcher.ports.callers import UnprovenCallerError
from mfa_watcher.ports.errors import ExternalServiceError
from mfa_watcher.usecases.admit_approver import AdmitApprover

logger = Logger()
metrics = Metrics()

_REFUSALS: Final = (
    UnknownCallerError,
    UnreadableBodyError,
    NotAnApproverError,
    UnprovenCallerError,
    ExternalServiceError,
)


class DeskApi(LambdaFunctionUrlResolver):
    """The API of one desk. An error without a kind of problem surfaces as the function's error."""

    def __init__(  # noqa: PLR0913 - what the desks differ in
        self,
        title: str,
        description: str,
        account_id: str,
        problem_kinds: problems.ProblemKinds,
        *,
        is_member: Callable[[str], bool] | None = None,
        admission: AdmitApprover | None = None,
    ) -> None:
        """Take the OpenAPI title and description, and which callers are served.

        With an ``admission``, only approvers are, who prove who they are.
        ``problem_kinds`` says as which problem a use case's error is answered; the error's text is
        the detail.
        """
        # debug=False: otherwise an environment variable could print each event and answer.
        super().__init__(
            debug=False, enable_validation=True, response_validation_error_http_code=500
        )
        self._account_id = account_id
        self._is_member = is_member
        self._admission = admission
        self._problem_kinds = {**problems.PROBLEM_KINDS, **problem_kinds}
        self.exception_handler(list(self._problem_kinds))(self._answer_problem)
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
        """The person who makes the call that is being answered."""
        person: Person = self.context["caller"]
        return person

    def resolve(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer a call. The caller and the body are checked before everything else."""
        answer: dict[str, Any]
        try:
            person = caller(event, self._account_id, self._is_member)
            logger.append_keys(caller=person.arn)
            proof = _proof(event)
            event = _without_headers(event)
            if self._admission:
                self._admission.admit(person, proof, signed_call(event))
        except _REFUSALS as error:
            answer = _as_lambda_response(self._problem(error, context))
        else:
            self.context["caller"] = person
            answer = super().resolve(event, context)
        # Requests are about people, and an answer may hold a password: nothing may keep them.
        answer["headers"] |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        _log_answer(event, answer["statusCode"])
        return answer

    def _describe(self) -> Response[str]:
        return Response(200, "application/json", json.dumps(self.description()))

    def description(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        described: dict[str, Any] = json.loads(self.get_openapi_json_schema())
        for path in described["paths"].values():
            for operation in path.values():
                # The resolver's own text for mistakes of ours, which are not part of the contract.
                operation["responses"].pop("500", None)
        for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
            described["components"]["schemas"].pop(unused, None)
        return described

    def _answer_problem(self, error: Exception) -> Response[str]:
        return self._problem(error, self.lambda_context)

    def _problem(self, error: Exception, context: LambdaContext) -> Response[str]:
        error_type = next(one for one in type(error).__mro__ if one in self._problem_kinds)
        kind = self._problem_kinds[error_type]
        problem = problems.Problem(
            type=f"urn:mfa-watcher:problem:{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=problems.PROBLEM_DETAILS.get(error_type) or f"{error}.",
            instance=f"urn:uuid:{context.aws_request_id}",
            errors=problems.faults_of(error) if isinstance(error, RequestValidationError) else None,
        )
        # What people write does not belong in logs, so of a body only the places are logged.
        why = [fault.field for fault in problem.errors or ()] or str(error)
        logger.info("Refused", problem=kind.slug, why=why)
        headers = {"Retry-After": str(kind.retry_after)} if kind.retry_after else {}
        body = problem.model_dump_json(exclude_none=True)
        return Response(kind.status, problems.PROBLEM_TYPE, body, headers)


def _as_lambda_response(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": int(response.status_code),
        "headers": response.headers,
        "body": response.body,
        "isBase64Encoded": False,
        "cookies": [],
    }


def _reraise(error: Exception) -> Response[str]:
    """Raise the error: an answer that does not match its schema is our mistake."""
    raise error


def _log_answer(event: Mapping[str, Any], status: int) -> None:
    http = within(event, "requestContext", "http")
    logger.info(
        "Answered", method=http.get("method"), path=str(event.get("rawPath"))[:200], status=status
    )
    logger.remove_keys(["caller"])
    metrics.add_metric(f"Answers_{status // 100}xx", MetricUnit.Count, 1)


def _proof(event: Mapping[str, Any]) -> str | None:
    headers = within(event, "headers")
    found = next((v for k, v in headers.items() if k.casefold() == PROOF_HEADER), None)
    return found if isinstance(found, str) else None


def signed_call(event: Mapping[str, Any]) -> str:
    """Return what a proof is for: method, path and body, as the caller signs them."""
    method, path = within(event, "requestContext", "http").get("method"), event.get("rawPath")
    return call_text(str(method), str(path), str(event.get("body") or ""))


def _without_headers(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event without headers and cookies, which nothing here may depend on."""
    return {
        **event,
        "headers": {"content-type": "application/json"},
        "cookies": [],
        "body": readable_body(event),
        "isBase64Encoded": False,
    }
