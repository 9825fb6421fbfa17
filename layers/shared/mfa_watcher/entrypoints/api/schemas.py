"""The JSON that the API accepts and returns: bodies, and views of change requests."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.requests.change_request import RequestState
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.usecases.desk import RequestWithHistory, WantedChange

MAX_HISTORY_ENTRIES = 1000
"""Entries. An answer may have 6 MB, and each denied attempt leaves an entry of up to 5 KB."""

_YEARS = range(2000, 9999)
"""Times nearer to the ends of the calendar cannot be converted to other time zones."""

_POSITION = re.compile(r"[0-9T:.+-]{20,40}#PR-[0-9]{8}-[A-Z2-7]{8}")


class InvalidCursorError(Exception):
    """The cursor does not come from a page; the text says what to do."""


class InvalidTimeError(Exception):
    """No request can have been opened at that time; the text says what to do."""


Version = Annotated[
    int | None,
    Field(
        ge=1,
        description="The version that was read. If the request changed since, the answer is a 409,"
        " and nothing is done.",
    ),
]


class _RequestBody(BaseModel):
    """A body. Unknown fields are refused: otherwise a misspelt field would be ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class WantedChangeBody(_RequestBody):
    """What the user needs, and why."""

    reason: str = Field(
        min_length=10,
        max_length=1000,
        description="Why the device has to be changed. The approvers read it.",
        examples=["My phone was stolen on Monday; I have a new one."],
    )
    wanted: Literal["fido", "virtual", "hardware_totp", "none"] = Field(
        description="The kind of the new device: a passkey or security key (`fido`), an"
        " authenticator app (`virtual`), a hardware token that shows codes (`hardware_totp`); or"
        " `none`, if the user keeps another device that they have.",
    )
    devices: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] = Field(
        default_factory=list,
        max_length=8,
        description="Serial numbers of the devices to remove, as IAM lists them. Empty: all.",
    )

    def to_wanted_change(self) -> WantedChange:
        """Return it as the use case takes it."""
        kind = None if self.wanted == "none" else DeviceKind(self.wanted)
        return WantedChange(self.reason, kind, tuple(dict.fromkeys(self.devices)))


class DetailsBody(WantedChangeBody):
    """The details of a request."""

    version: Version = None


class NewRequestBody(_RequestBody):
    """A request to file."""

    user_name: str | None = Field(
        None,
        pattern=r"^[\w+=,.@-]{1,64}$",
        description="The IAM user that the request is for. Left out: the caller. Only the service"
        " desk files requests for others.",
    )
    account_id: str | None = Field(
        None,
        pattern=r"^[0-9]{12}$",
        description="The user's account, for the service desk. Left out: its own account.",
    )
    details: WantedChangeBody | None = Field(
        None, description="Left out, the user is asked for them by mail."
    )


class StepReason(_RequestBody):
    """The reason of a step, and the version of the request that was read."""

    reason: str = Field(
        min_length=3,
        max_length=500,
        description="Why. It is shown in the history, and to the user.",
        examples=["Spoke to her on the phone; the theft is reported."],
    )
    version: Version = None


class Decision(StepReason):
    """The reason of a decision, and the version of the request that was read: it is required."""

    version: int = Field(
        ge=1,
        description="The version that was read. If the request changed since, the answer is a 409,"
        " and nothing is done: nobody decides about something else than they were shown.",
    )


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class SubjectView(_View):
    """The IAM user that a request is about."""

    account_id: str
    user_id: str = Field(description="The unique id, which stays when the name changes.")


class AttemptView(_View):
    """An attempt to remove a device. All texts are as CloudTrail has them."""

    event_id: str = Field(description="CloudTrail's id of the event.")
    at: datetime
    call: str
    outcome: Outcome
    actor: str = Field(description="The ARN of whoever tried.")
    serial: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None


class DetailsView(_View):
    """What the user wants, and why."""

    reason: str
    given_by: str = Field(description="The ARN of whoever said so: the user, or the service desk.")
    given_at: datetime
    wanted: DeviceKind | None = Field(
        None, description="The kind of the new device; null: the user keeps another one."
    )
    devices: list[str] = Field(description="Serial numbers of the devices to remove; empty: all.")


class VerdictView(_View):
    """The decision."""

    by: str
    at: datetime
    reason: str
    approved: bool


class FulfilmentView(_View):
    """How far the fulfilment is."""

    by: str
    started_at: datetime
    held_until: datetime = Field(description="Until then nobody else may fulfil the request.")
    done: list[str] = Field(description="The steps that are done.")


class RequestView(_View):
    """A change request."""

    id: str = Field(examples=["PR-20261124-ABCDEFGH"])
    version: int = Field(description="Increases with each change of the request.")
    state: RequestState
    violation: bool = Field(
        description="A device was removed without approval: only an acknowledgement closes it."
    )
    subject: SubjectView
    subject_name: str
    opened_at: datetime
    opened_by: str | None = Field(None, description="Who filed it; null: an attempt opened it.")
    attempts: list[AttemptView] = Field(description="The latest of them.")
    attempt_count: int
    actors: list[str] = Field(
        description="The ARNs of everybody who ever tried; none of them may decide."
    )
    details: DetailsView | None = None
    verdict: VerdictView | None = None
    devices: list[str] = Field(description="Serial numbers whose removal is approved.")
    kept: list[str] = Field(description="Serial numbers of the devices that the user keeps.")
    window_until: datetime | None = Field(
        None,
        description="Until when an approved request can be fulfilled, or the new device of a"
        " fulfilled one should be added.",
    )
    fulfilment: FulfilmentView | None = None
    reminders: int
    due_at: datetime | None = Field(
        None, description="When the watcher evaluates the request next."
    )
    ended_because: str | None = None
    previous: str | None = Field(None, description="The id of the user's request before this one.")


class HistoryEntryView(_View):
    """One line of a request's history, which nobody can change."""

    at: datetime
    actor: str | None = Field(
        None, description="The ARN of the person who did it; null: the watcher."
    )
    what: str
    event_id: str = Field(
        description="The id of CloudTrail's event, the API call or the scheduled run."
    )
    before: str | None = Field(None, description="The state before.")
    after: str | None = Field(None, description="The state after.")
    effects: list[str] = Field(description="What followed: state changes, mails, alerts.")


class RequestResponse(BaseModel):
    """A request as it is now."""

    request: RequestView


class RequestWithHistoryResponse(RequestResponse):
    """A request with its history, the oldest entry first."""

    history: list[HistoryEntryView]
    history_left_out: int = Field(description="How many of the oldest entries are not shown here.")

    @classmethod
    def of(cls, shown: RequestWithHistory) -> "RequestWithHistoryResponse":
        """Return the response for a request with its history."""
        entries = [
            HistoryEntryView.model_validate(one) for one in shown.history[-MAX_HISTORY_ENTRIES:]
        ]
        left_out = len(shown.history) - len(entries)
        request = RequestView.model_validate(shown.request)
        return cls(request=request, history=entries, history_left_out=left_out)


class RequestListResponse(BaseModel):
    """A page of requests, the newest first."""

    requests: list[RequestView]
    cursor: str | None = Field(
        None, description="The `cursor` of the next page; null: this is the last one."
    )


def cursor_of(position: str | None) -> str | None:
    """Return the cursor for the position at which a page ends."""
    return urlsafe_b64encode(position.encode()).decode().rstrip("=") if position else None


def position_of(cursor: str | None) -> str | None:
    """Return the position that a cursor names. Raises InvalidCursorError."""
    if cursor is None:
        return None
    try:
        position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        position = ""
    if not _POSITION.fullmatch(position):
        raise InvalidCursorError("the cursor does not come from this API; start at the first page")
    return position


def in_utc(moment: datetime | None) -> datetime | None:
    """Return the time in UTC; without a zone it is in UTC. Raises InvalidTimeError."""
    if moment is None:
        return None
    if moment.year not in _YEARS:
        raise InvalidTimeError(
            f"there are no requests of {moment.year}; write a day such as 2026-11-24"
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
