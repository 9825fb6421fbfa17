"""What the desks take and give, as JSON: the request forms, and how a change request is shown."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mfa_watcher.domain.events.signals import Outcome
from mfa_watcher.domain.requests.change_request import RequestState
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.usecases.desk import RequestWithHistory, WantedChange

MAX_HISTORY_ENTRIES = 2000
"""Entries. An answer may have 6 MB, and who is denied without end leaves an entry each time."""

_YEARS = range(2000, 9999)
"""What is nearer to the ends of the calendar has no place in another time zone."""

_POSITION = re.compile(r"[0-9T:.+-]{20,40}#PR-[0-9]{8}-[A-Z2-7]{8}")


class InvalidCursorError(Exception):
    """The cursor is none that a page gave; the text says what to do."""


class InvalidTimeError(Exception):
    """No request can have been opened then; the text says what to do."""


class _RequestBody(BaseModel):
    """A body. What it does not know is refused: a misspelt field would else be left out."""

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
        " `none`, if the user keeps another device that he has.",
    )
    devices: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] = Field(
        default_factory=list,
        max_length=8,
        description="Serial numbers of the devices to remove, as IAM lists them. Empty: all.",
    )

    def as_wanted(self) -> WantedChange:
        """Give it as the desk takes it."""
        kind = None if self.wanted == "none" else DeviceKind(self.wanted)
        return WantedChange(self.reason, kind, tuple(dict.fromkeys(self.devices)))


class DetailsBody(WantedChangeBody):
    """The details of a request."""

    version: int | None = Field(
        None, ge=1, description="The version that was read: if it has changed since, a 409."
    )


class NewRequestBody(_RequestBody):
    """A request to file."""

    user_name: str | None = Field(
        None,
        pattern=r"^[\w+=,.@-]{1,64}$",
        description="The IAM user whom it is for. Left out: the caller. Only the service desk"
        " files for others.",
    )
    account_id: str | None = Field(
        None,
        pattern=r"^[0-9]{12}$",
        description="The account that the user is of, for the service desk. Left out: its own.",
    )
    details: WantedChangeBody | None = Field(
        None, description="Left out, the user is asked for them by mail."
    )


class StepReason(_RequestBody):
    """The word on a request, and what it rests on."""

    reason: str = Field(
        min_length=3,
        max_length=500,
        description="Why. It goes into the history, and to the user.",
        examples=["Spoke to her on the phone; the theft is reported."],
    )
    version: int | None = Field(
        None,
        ge=1,
        description="The version that was read: if the request has changed since, a 409, and"
        " nothing is done.",
    )


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class SubjectView(_View):
    """The IAM user whom a request is about."""

    account_id: str
    user_id: str = Field(description="The unique id, which stays when the name changes.")


class AttemptView(_View):
    """A try at removing a device. All texts are as CloudTrail has them."""

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
        None, description="The kind of the new device; null: he keeps another and wants none."
    )
    devices: list[str] = Field(description="Serial numbers of those to remove; empty: all.")


class VerdictView(_View):
    """The decision."""

    by: str
    at: datetime
    reason: str
    approved: bool


class FulfilmentView(_View):
    """How far the carrying out is."""

    by: str
    started_at: datetime
    held_until: datetime = Field(description="Until then nobody else may carry it out.")
    done: list[str] = Field(description="The steps that are done.")


class RequestView(_View):
    """A change request."""

    id: str = Field(examples=["PR-20261124-ABCDEFGH"])
    version: int = Field(description="Rises with each change of the request.")
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
    actors: list[str] = Field(description="The ARNs of all who ever tried; none of them decides.")
    details: DetailsView | None = None
    verdict: VerdictView | None = None
    devices: list[str] = Field(description="Serial numbers whose removal is approved.")
    kept: list[str] = Field(description="Serial numbers of the devices that the user keeps.")
    window_until: datetime | None = Field(
        None,
        description="Until when an approved request can be fulfilled, or the new device of a"
        " fulfilled one is awaited.",
    )
    fulfilment: FulfilmentView | None = None
    reminders: int
    due_at: datetime | None = Field(None, description="When the watcher looks at it next.")
    ended_because: str | None = None
    previous: str | None = Field(None, description="The id of the user's request before this one.")


class HistoryEntryView(_View):
    """One line of a request's history, which nobody can change."""

    at: datetime
    actor: str | None = Field(None, description="The ARN of whoever did it; null: the watcher.")
    what: str
    event_id: str = Field(description="CloudTrail's event, or the desk's, or the schedule's.")
    before: str | None = Field(None, description="The state before.")
    after: str | None = Field(None, description="The state after.")
    effects: list[str] = Field(description="What followed from it: mails and alerts, too.")


class RequestResponse(BaseModel):
    """A request as it is now."""

    request: RequestView


class RequestWithHistoryResponse(RequestResponse):
    """A request with its history, the oldest entry first."""

    history: list[HistoryEntryView]
    history_left_out: int = Field(description="How many of the oldest entries are not shown here.")

    @classmethod
    def of(cls, shown: RequestWithHistory) -> "RequestWithHistoryResponse":
        """Give a request that the desk shows."""
        entries = [
            HistoryEntryView.model_validate(one) for one in shown.history[-MAX_HISTORY_ENTRIES:]
        ]
        left_out = len(shown.history) - len(entries)
        request = RequestView.model_validate(shown.request)
        return cls(request=request, history=entries, history_left_out=left_out)


class RequestListResponse(BaseModel):
    """A page of requests, the newest first."""

    requests: list[RequestView]
    cursor: str | None = Field(None, description="Asks for the next page; null: this was the last.")


def cursor_of(place: str | None) -> str | None:
    """Give the cursor for the place where a page ends."""
    return urlsafe_b64encode(place.encode()).decode().rstrip("=") if place else None


def position_of(cursor: str | None) -> str | None:
    """Give the place that a cursor names. Raises InvalidCursorError for one that we did not give."""
    if cursor is None:
        return None
    try:
        place = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        place = ""
    if not _POSITION.fullmatch(place):
        raise InvalidCursorError("the cursor is none that this desk gave; begin at the first page")
    return place


def in_utc(moment: datetime | None) -> datetime | None:
    """Read a moment without a zone, or a day, as UTC. Raises InvalidTimeError."""
    if moment is None:
        return None
    if moment.year not in _YEARS:
        raise InvalidTimeError(f"there are no requests of {moment.year}; write it as 2026-11-24")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
