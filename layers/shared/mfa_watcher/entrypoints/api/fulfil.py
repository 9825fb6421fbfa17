"""The API that fulfils approved requests. Its answer holds the new password, once."""

from datetime import datetime
from typing import Annotated

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.metrics import MetricUnit
from pydantic import BaseModel, ConfigDict, Field

from mfa_watcher.entrypoints.api.desk_api import DeskApi
from mfa_watcher.entrypoints.api.problems import ProblemKind, ProblemKinds, documented_responses
from mfa_watcher.ports.errors import FulfilmentInterruptedError
from mfa_watcher.usecases.admit_approver import AdmitApprover
from mfa_watcher.usecases.fulfil import FulfilRequest

logger = Logger()
metrics = Metrics()

_DESCRIPTION = (
    "Fulfils an approved change request: removes the approved devices from the user and sets a new"
    " password, which only this answer contains. Called again, it continues where it ended, or"
    " sets another password; only the last one is valid."
)

RequestId = Annotated[
    str, Path(description="The request's id.", examples=["PR-20261124-ABCDEFGH"], max_length=64)
]


class FulfilmentResponse(BaseModel):
    """What was done, and the password to hand over."""

    model_config = ConfigDict(hide_input_in_errors=True)

    request_id: str
    user_name: str
    account: str = Field(description="The account's number.")
    sign_in_url: str = Field(description="Where the user signs in.")
    password: str = Field(
        description="The user's new password. It is stored nowhere: hand it over in a safe way."
    )
    password_reset_required: bool = Field(
        description="Whether the user must set a password of their own at the next sign-in."
    )
    new_device_until: datetime | None = Field(
        description="Until when the user should add the new device."
    )
    steps: list[str] = Field(description="What is done, by this call or an earlier one.")


def fulfil_api(use_case: FulfilRequest, account_id: str, admission: AdmitApprover) -> DeskApi:
    """Return the API of one account."""
    interrupted = ProblemKind(503, "interrupted", "IAM is temporarily unavailable", 30)
    problem_kinds: ProblemKinds = {FulfilmentInterruptedError: interrupted}
    api = DeskApi(
        "MFA Watcher: fulfil", _DESCRIPTION, account_id, problem_kinds, admission=admission
    )

    @api.post(
        "/requests/<request_id>/fulfil",
        summary="Fulfil an approved request",
        description=_DESCRIPTION,
        responses=documented_responses("The request is fulfilled.", FulfilmentResponse),
        operation_id="fulfil",
    )
    def fulfil(request_id: RequestId) -> FulfilmentResponse:
        done = use_case.fulfil(request_id, api.caller)
        request = done.request
        logger.info("Fulfilled", request_id=request.id, user_id=request.subject.user_id)
        metrics.add_metric("RequestsFulfilled", MetricUnit.Count, 1)
        return FulfilmentResponse(
            request_id=request.id,
            user_name=done.user_name,
            account=request.subject.account_id,
            sign_in_url=done.sign_in_url,
            password=done.password.reveal(),
            password_reset_required=True,
            new_device_until=request.window_until,
            steps=list(request.fulfilment.done if request.fulfilment else ()),
        )

    return api
