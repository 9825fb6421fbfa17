"""The routes of the two desks: what may be asked at which door, and in which words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from mfa_watcher.domain.requests.change_request import ChangeRequest, RequestState
from mfa_watcher.domain.requests.steps import InvalidDetailsError
from mfa_watcher.domain.users.people import Person
from mfa_watcher.entrypoints.api.desk_api import (
    DeskApi,
    ProblemKind,
    documented_responses,
    make_desk_api,
    no_member_accounts,
)
from mfa_watcher.entrypoints.api.schemas import (
    DetailsBody,
    InvalidCursorError,
    InvalidTimeError,
    NewRequestBody,
    RequestListResponse,
    RequestResponse,
    RequestView,
    RequestWithHistoryResponse,
    StepReason,
    cursor_of,
    in_utc,
    position_of,
)
from mfa_watcher.ports.store import RequestPage, RequestSearch
from mfa_watcher.usecases.administer import NoSuchUserError
from mfa_watcher.usecases.approval_desk import ApprovalDesk
from mfa_watcher.usecases.change_desk import ChangeDesk
from mfa_watcher.usecases.desk import ActiveRequestError, NotAllowedError, RequestWithHistory

_PROBLEM_KINDS = {
    NotAllowedError: ProblemKind(HTTPStatus.FORBIDDEN, "not-allowed", "You may not do this here"),
    NoSuchUserError: ProblemKind(HTTPStatus.NOT_FOUND, "no-such-user", "There is no such user"),
    ActiveRequestError: ProblemKind(
        HTTPStatus.CONFLICT, "active-request", "There is a request already"
    ),
    InvalidDetailsError: ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "unfit-details", "The details do not fit"
    ),
    InvalidTimeError: ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "bad-moment", "There is no such time"
    ),
    InvalidCursorError: ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "bad-cursor", "There is no such page"
    ),
}

RequestId = Annotated[str, Path(description="The request's id.", examples=["PR-20261124-ABCDEFGH"])]
State = Annotated[
    list[RequestState] | None,
    Query(description="Only requests in this state; may be given more than once."),
]
Subject = Annotated[
    str | None,
    Query(description="Only requests about the IAM user of that name, then or now.", max_length=64),
]
OlderThan = Annotated[
    int | None, Query(description="Only requests opened that many days ago or more.", ge=0, le=9999)
]
OpenedFrom = Annotated[
    datetime | None, Query(description="Only requests opened then or later. A day begins in UTC.")
]
OpenedBefore = Annotated[
    datetime | None, Query(description="Only requests opened before that. A day begins in UTC.")
]
Limit = Annotated[int, Query(description="How many to give at most.", ge=1, le=100)]
Cursor = Annotated[
    str | None,
    Query(description="Where to go on: the `cursor` of the page before.", max_length=200),
]


def change_desk_api(desk: ChangeDesk) -> DeskApi:
    """Open the requesters' door."""
    door = _desk_api(
        "MFA Watcher: change desk",
        "Where IAM users ask for a change of their MFA devices, and the service desk for them."
        " A user sees and files his own requests.",
        desk.account_id,
        desk.accounts.include,
    )
    _ReadRoutes(
        lambda search: desk.list(door.caller, search),
        lambda request_id: desk.show(door.caller, request_id),
        desk.clock,
    ).add_to(door)

    @door.post(
        "/requests",
        summary="File a request",
        description="Opens a change request, for the caller or, at the service desk, for a user."
        " The user is told by mail. A user has one active request at most.",
        responses=documented_responses("It is filed.", RequestResponse, status=201),
        status_code=201,
        operation_id="file_request",
    )
    def file(new: NewRequestBody) -> RequestResponse:
        wanted = new.details.as_wanted() if new.details else None
        source_ip = door.current_event.request_context.http.source_ip
        request = desk.file(
            door.caller, new.user_name, wanted, account_id=new.account_id, source_ip=source_ip
        )
        return _response(request)

    @door.post(
        "/requests/<request_id>/details",
        summary="Give the details",
        description="Says what the user needs and why, which an approver then decides about."
        " They can be given anew until that is done.",
        responses=documented_responses("They are taken.", RequestResponse),
        operation_id="give_details",
    )
    def give_details(request_id: RequestId, details: DetailsBody) -> RequestResponse:
        wanted, seen = details.as_wanted(), details.version
        return _response(desk.give_details(door.caller, request_id, wanted, seen))

    _add_step_route(
        door,
        "cancel",
        "Withdraw a request",
        "Ends it, as long as nothing is carried out.",
        desk.cancel,
    )
    return door


def approval_desk_api(desk: ApprovalDesk) -> DeskApi:
    """Open the approvers' door."""
    door = _desk_api(
        "MFA Watcher: approval desk",
        "Where change requests are decided. IAM lets approvers in, with MFA only. Whoever a request"
        " is about, tried the removal or asked for it may not decide.",
        desk.account_id,
    )
    _ReadRoutes(desk.list, desk.show, desk.clock).add_to(door)
    _add_step_route(
        door,
        "approve",
        "Approve a request",
        "Approves the removal of the devices that the details name, or of all that the user has"
        " now, and opens the window in which it can be fulfilled.",
        desk.approve,
    )
    _add_step_route(
        door,
        "reject",
        "Reject a request",
        "Turns it down, or takes an approval back that nobody has begun to carry out.",
        desk.reject,
    )
    _add_step_route(
        door,
        "acknowledge",
        "Acknowledge a violation",
        "Closes the request of a removal that nobody approved. Nothing else does.",
        desk.acknowledge,
    )
    _add_step_route(
        door,
        "reopen",
        "Reopen the window of a request",
        "Approves once more what expired, or what was fulfilled without a new device in time.",
        desk.reopen,
    )
    _add_step_route(
        door,
        "cancel",
        "Cancel a request",
        "Ends it in the user's place, as long as nothing is carried out. He is told.",
        desk.cancel,
    )
    return door


def _desk_api(
    title: str,
    description: str,
    account_id: str,
    is_member: Callable[[str], bool] = no_member_accounts,
) -> DeskApi:
    door = make_desk_api(title, description, account_id, is_member)
    for error, kind in _PROBLEM_KINDS.items():
        door.knows(error, kind)
    return door


@dataclass(frozen=True, slots=True)
class _ReadRoutes:
    """What both doors show, each of what it may."""

    search: Callable[[RequestSearch], RequestPage]
    show: Callable[[str], RequestWithHistory]
    clock: Callable[[], datetime]

    def add_to(self, door: DeskApi) -> None:
        """Add the two routes."""

        @door.get(
            "/requests",
            summary="List requests",
            description="Gives requests, the newest first, page by page. A change shows in the list"
            " within moments.",
            responses=documented_responses("A page of requests.", RequestListResponse),
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
        ) -> RequestListResponse:
            ends = [end for end in (in_utc(opened_before),) if end]
            if older_than_days is not None:
                ends.append(self.clock() - timedelta(days=older_than_days))
            search = RequestSearch(
                states=tuple(dict.fromkeys(state or ())),
                subject_name=subject or None,
                opened_from=in_utc(opened_from),
                opened_before=min(ends, default=None),
                limit=limit,
                after=position_of(cursor),
            )
            page = self.search(search)
            requests = [RequestView.model_validate(request) for request in page.requests]
            return RequestListResponse(requests=requests, cursor=cursor_of(page.after))

        @door.get(
            "/requests/<request_id>",
            summary="Show a request",
            description="Gives a request with its history, which is the evidence for an auditor.",
            responses=documented_responses(
                "The request, and its history.", RequestWithHistoryResponse
            ),
            operation_id="show_request",
        )
        def show_request(request_id: RequestId) -> RequestWithHistoryResponse:
            return RequestWithHistoryResponse.of(self.show(request_id))


def _add_step_route(
    door: DeskApi,
    step: str,
    summary: str,
    description: str,
    take: Callable[[Person, str, str, int | None], ChangeRequest],
) -> None:
    """Add a step that takes somebody's word on a request."""

    @door.post(
        f"/requests/<request_id>/{step}",
        summary=summary,
        description=description,
        responses=documented_responses("It is done.", RequestResponse),
        operation_id=f"{step}_request",
    )
    def take_step(request_id: RequestId, word: StepReason) -> RequestResponse:
        return _response(take(door.caller, request_id, word.reason, word.version))


def _response(request: ChangeRequest) -> RequestResponse:
    return RequestResponse(request=RequestView.model_validate(request))
