"""The routes of the change desk's and the approval desk's APIs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.requests.steps import InvalidDetailsError
from mfa_watcher.domain.users.people import Person
from mfa_watcher.entrypoints.api import schemas
from mfa_watcher.entrypoints.api.desk_api import DeskApi
from mfa_watcher.entrypoints.api.problems import ProblemKind, ProblemKinds, documented_responses
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.administer import NoSuchUserError
from mfa_watcher.usecases.admit_approver import AdmitApprover
from mfa_watcher.usecases.approval_desk import ApprovalDesk
from mfa_watcher.usecases.change_desk import ChangeDesk
from mfa_watcher.usecases.desk import (
    ActiveRequestError,
    AskedStep,
    NotAllowedError,
    RequestWithHistory,
)

_PROBLEM_KINDS: ProblemKinds = {
    NotAllowedError: ProblemKind(403, "not-allowed", "You may not do this here"),
    NoSuchUserError: ProblemKind(404, "no-such-user", "User not found"),
    ActiveRequestError: ProblemKind(
        409, "active-request", "The user already has an active request"
    ),
    InvalidDetailsError: ProblemKind(
        422, "invalid-details", "The details do not match the user's devices"
    ),
    schemas.InvalidTimeError: ProblemKind(422, "invalid-time", "The time is out of range"),
    schemas.InvalidCursorError: ProblemKind(422, "invalid-cursor", "The cursor is invalid"),
}

RequestId = Annotated[str, Path(description="The request's id.", examples=["PR-20261124-ABCDEFGH"])]
State = Annotated[
    list[RequestState] | None,
    Query(description="Only requests in this state; may be given more than once."),
]
Subject = Annotated[
    str | None,
    Query(
        description="Only requests about the IAM user with this name, when it was opened or now.",
        max_length=64,
    ),
]
OlderThan = Annotated[
    int | None, Query(description="Only requests opened at least so many days ago.", ge=0, le=9999)
]
OpenedFrom = Annotated[
    datetime | None,
    Query(description="Only requests opened at this time or later. Days begin in UTC."),
]
OpenedBefore = Annotated[
    datetime | None, Query(description="Only requests opened before this time. Days begin in UTC.")
]
Limit = Annotated[int, Query(description="How many to return at most.", ge=1, le=100)]
Cursor = Annotated[
    str | None,
    Query(description="Where the page starts: the `cursor` of the page before.", max_length=200),
]


def change_desk_api(desk: ChangeDesk) -> DeskApi:
    """Return the API of the change desk."""
    api = DeskApi(
        "MFA Watcher: change desk",
        "Where IAM users, or the service desk for them, ask for a change of their MFA devices."
        " A user sees and files their own requests.",
        desk.account_id,
        _PROBLEM_KINDS,
        is_member=desk.accounts.include,
    )
    _add_read_routes(
        api,
        lambda search: desk.list(api.caller, search),
        desk.show,
        desk.clock,
    )

    @api.post(
        "/requests",
        summary="File a request",
        description="Opens a change request, for the caller or, by the service desk, for a user."
        " The user is notified by mail. A user has one active request at most.",
        responses=documented_responses(
            "The request is filed.", schemas.RequestResponse, status=201
        ),
        status_code=201,
        operation_id="file_request",
    )
    def file(new: schemas.NewRequestBody) -> schemas.RequestResponse:
        wanted = new.details.to_wanted_change() if new.details else None
        source_ip = api.current_event.request_context.http.source_ip
        request = desk.file(
            api.caller, new.user_name, wanted, account_id=new.account_id, source_ip=source_ip
        )
        return _response(request)

    @api.post(
        "/requests/<request_id>/details",
        summary="Give details",
        description="Records what the user needs and why. An approver then decides about it."
        " Details can be changed until then.",
        responses=documented_responses("The details are recorded.", schemas.RequestResponse),
        operation_id="give_details",
    )
    def give_details(
        request_id: RequestId, details: schemas.DetailsBody
    ) -> schemas.RequestResponse:
        asked = AskedStep(api.caller, request_id, version=details.version)
        return _response(desk.give_details(asked, details.to_wanted_change()))

    _add_step_route(
        api,
        "cancel",
        "Cancel a request",
        "Ends the request, unless its fulfilment has started.",
        desk.cancel,
    )
    return api


def approval_desk_api(desk: ApprovalDesk, admission: AdmitApprover) -> DeskApi:
    """Return the API of the approval desk."""
    api = DeskApi(
        "MFA Watcher: approval desk",
        "Where change requests are decided, by sessions of the stack's approver role or of a named"
        " permission set, which prove who they are. Segregation of duties: the subject of a"
        " request, and whoever tried the removal or asked for it, may not decide.",
        desk.account_id,
        _PROBLEM_KINDS,
        admission=admission,
    )
    _add_read_routes(api, desk.list, desk.show, desk.clock)
    _add_decision_route(
        api,
        "approve",
        "Approve a request",
        "Approves the removal of the devices that the details name, or of all that the user has"
        " now, and opens the window in which it can be fulfilled.",
        desk.approve,
    )
    _add_decision_route(
        api,
        "reject",
        "Reject a request",
        "Rejects the request, or withdraws an approval whose fulfilment has not started.",
        desk.reject,
    )
    _add_decision_route(
        api,
        "acknowledge",
        "Acknowledge a violation",
        "Closes the request of a removal that nobody approved. Nothing else closes it.",
        desk.acknowledge,
    )
    _add_decision_route(
        api,
        "reopen",
        "Reopen the window of a request",
        "Approves again a request that expired, or whose new device was not added in time.",
        desk.reopen,
    )
    _add_decision_route(
        api,
        "cancel",
        "Cancel a request",
        "Ends the request on behalf of the user, unless its fulfilment has started. The user is"
        " notified.",
        desk.cancel,
    )
    return api


def _add_read_routes(
    api: DeskApi,
    search: Callable[[RequestSearch], RequestPage],
    show: Callable[[Person, str], RequestWithHistory],
    clock: Callable[[], datetime],
) -> None:
    """Add the routes that read requests. Each desk shows what its caller may see."""

    @api.get(
        "/requests",
        summary="List requests",
        description="Returns requests, the newest first, page by page. A change appears in the"
        " list within seconds.",
        responses=documented_responses("A page of requests.", schemas.RequestListResponse),
        operation_id="list_requests",
    )
    def list_requests(  # noqa: PLR0913, PLR0917 - each a query parameter
        state: State = None,
        subject: Subject = None,
        older_than_days: OlderThan = None,
        opened_from: OpenedFrom = None,
        opened_before: OpenedBefore = None,
        limit: Limit = 25,
        cursor: Cursor = None,
    ) -> schemas.RequestListResponse:
        ends = [end for end in (schemas.in_utc(opened_before),) if end]
        if older_than_days is not None:
            ends.append(clock() - timedelta(days=older_than_days))
        wanted = RequestSearch(
            states=tuple(dict.fromkeys(state or ())),
            subject_name=subject or None,
            opened_from=schemas.in_utc(opened_from),
            opened_before=min(ends, default=None),
            limit=limit,
            after=schemas.position_of(cursor),
        )
        page = search(wanted)
        requests = [schemas.RequestView.model_validate(request) for request in page.requests]
        return schemas.RequestListResponse(requests=requests, cursor=schemas.cursor_of(page.after))

    @api.get(
        "/requests/<request_id>",
        summary="Show a request",
        description="Returns a request with its history, which is the evidence for an auditor.",
        responses=documented_responses(
            "The request, and its history.", schemas.RequestWithHistoryResponse
        ),
        operation_id="show_request",
    )
    def show_request(request_id: RequestId) -> schemas.RequestWithHistoryResponse:
        return schemas.RequestWithHistoryResponse.of(show(api.caller, request_id))


def _add_step_route(
    api: DeskApi,
    step: str,
    summary: str,
    description: str,
    take: Callable[[AskedStep], ChangeRequest],
) -> None:
    """Add the route of a step that needs a reason."""

    @api.post(
        f"/requests/<request_id>/{step}",
        summary=summary,
        description=description,
        responses=documented_responses("The step is done.", schemas.RequestResponse),
        operation_id=f"{step}_request",
    )
    def take_step(
        request_id: RequestId, step_reason: schemas.StepReason
    ) -> schemas.RequestResponse:
        reason, seen = step_reason.reason, step_reason.version
        return _response(take(AskedStep(api.caller, request_id, reason, seen)))


def _add_decision_route(
    api: DeskApi,
    step: str,
    summary: str,
    description: str,
    take: Callable[[AskedStep], ChangeRequest],
) -> None:
    """Add the route of a step that an approver takes, about the version that they have read."""

    @api.post(
        f"/requests/<request_id>/{step}",
        summary=summary,
        description=description,
        responses=documented_responses("The step is done.", schemas.RequestResponse),
        operation_id=f"{step}_request",
    )
    def take_step(request_id: RequestId, decision: schemas.Decision) -> schemas.RequestResponse:
        return _response(take(AskedStep(api.caller, request_id, decision.reason, decision.version)))


def _response(request: ChangeRequest) -> schemas.RequestResponse:
    return schemas.RequestResponse(request=schemas.RequestView.model_validate(request))
