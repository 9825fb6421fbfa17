"""The desk at which approved requests are carried out. Its answer holds a password, once."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.metrics import MetricUnit
from pydantic import BaseModel, ConfigDict, Field

from mfa_watcher.entrypoints.api.desk_api import (
    DeskApi,
    ProblemKind,
    documented_responses,
    make_desk_api,
)
from mfa_watcher.ports.errors import FulfilmentInterruptedError
from mfa_watcher.usecases.fulfil import FulfilRequest

logger = Logger()
metrics = Metrics()

_DESCRIPTION = (
    "Carries an approved change request out: takes the approved devices off the user, and gives him"
    " a new password, which this answer alone says. Called again, it goes on where it ended, or"
    " gives another password; only the last one is valid."
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
        description="The user's new password. It is kept nowhere: hand it over in a safe way."
    )
    password_reset_required: bool = Field(
        description="Whether the user has to set a password of his own at the next sign-in."
    )
    new_device_until: datetime | None = Field(
        description="Until when the user is to add the new device."
    )
    steps: list[str] = Field(description="What was done, in this call or an earlier one.")


def fulfil_api(fulfiller: FulfilRequest, account_id: str) -> DeskApi:
    """Give the desk of one account."""
    desk = make_desk_api("MFA Watcher: fulfil", _DESCRIPTION, account_id)
    desk.knows(
        FulfilmentInterruptedError,
        ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "held-up", "IAM did not do it now", 30),
    )

    @desk.post(
        "/requests/<request_id>/fulfil",
        summary="Carry an approved request out",
        description=_DESCRIPTION,
        responses=documented_responses("It is carried out", FulfilmentResponse),
        operation_id="fulfil",
    )
    def fulfil(request_id: RequestId) -> FulfilmentResponse:
        done = fulfiller.fulfil(request_id, desk.caller)
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

    return desk
