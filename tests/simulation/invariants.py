"""What must hold of change requests whatever happens, watched at each transaction and each change.

It knows of the product what the conventions promise, and of the world what really happened; it asks
none of the product's own code who may do what.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from mfa_watcher.adapters import items
from mfa_watcher.domain.requests.change_request import ChangeRequest
from tests.simulation.request_world import Resident, World
from tests.support.builders import Json

EVENTS = frozenset({"on_sign_in", "on_iam_change"})
CLOCK = frozenset({"expire", "remind"})
LOOKS = EVENTS | CLOCK
ASKS, DECIDES, FULFILS = ({name} for name in ("change_desk", "approval_desk", "fulfil"))
ACTIVE = frozenset({"open", "submitted", "approved", "fulfilled"})

STEPS: dict[tuple[str | None, str], set[str] | frozenset[str]] = {
    (None, "open"): EVENTS | ASKS,
    (None, "submitted"): ASKS,
    (None, "cancelled"): EVENTS,
    ("open", "open"): EVENTS | ASKS | {"expire"},
    ("open", "submitted"): ASKS,
    ("open", "cancelled"): LOOKS | ASKS | DECIDES,
    ("open", "closed"): DECIDES,
    ("submitted", "submitted"): EVENTS | ASKS | {"expire"},
    ("submitted", "open"): EVENTS,
    ("submitted", "approved"): DECIDES,
    ("submitted", "rejected"): DECIDES,
    ("submitted", "cancelled"): LOOKS | ASKS | DECIDES,
    ("approved", "approved"): EVENTS | FULFILS | {"expire"},
    ("approved", "open"): EVENTS,
    ("approved", "rejected"): DECIDES,
    ("approved", "cancelled"): LOOKS | ASKS | DECIDES,
    ("approved", "expired"): {"expire"},
    ("approved", "fulfilled"): FULFILS,
    ("expired", "approved"): DECIDES,
    ("fulfilled", "fulfilled"): EVENTS | DECIDES | FULFILS | {"expire"},
    ("fulfilled", "open"): EVENTS,
    ("fulfilled", "closed"): LOOKS,
    ("fulfilled", "cancelled"): LOOKS,
    # Whoever files finds a user who seemed gone, as events and the schedule do.
    ("cancelled", "open"): LOOKS | ASKS,
    ("cancelled", "submitted"): LOOKS | ASKS,
    ("cancelled", "approved"): LOOKS | ASKS,
    ("cancelled", "fulfilled"): LOOKS | ASKS,
    ("cancelled", "closed"): LOOKS | ASKS,
    ("cancelled", "cancelled"): EVENTS,
}
"""Which functions may take a request from one state to another."""

LEASE = timedelta(minutes=2)
SLACK = timedelta(minutes=2)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Removal:
    """A removal that was really made, or tried: whose record may come now, later, or twice."""

    event_id: str
    at: datetime
    by: str
    """The name of a person; ``emergency``, ``fulfil`` or ``forger``."""
    user_id: str
    user_name: str
    serial: str
    denied: bool = False


@dataclass
class Checker:
    """Compares what the product does with what it promises, and notes what is wrong."""

    world: World
    wrong: list[str] = field(default_factory=list)
    removals: dict[str, Removal] = field(default_factory=dict)
    edges: Counter[tuple[str, str | None, str, str]] = field(default_factory=Counter)
    """How often a request went from one state to another, in which function."""
    carried_out: Counter[str] = field(default_factory=Counter)
    joined: dict[str, set[str]] = field(default_factory=dict)
    """Who tried what a request is about, as far as its records have come."""
    leases: list[tuple[datetime, str, tuple[str, ...]]] = field(default_factory=list)
    """When a fulfilment began, of which user, and which devices it removes."""

    def __post_init__(self) -> None:
        """Begin to look on."""
        self.world.table.committing = self.committing

    def must(self, holds: object, what: str) -> None:
        """Note it if something does not hold."""
        if not holds:
            run = self.world.now_running
            where = f" (in {run.function})" if run else ""
            self.wrong.append(f"{what}{where}")

    # At each transaction --------------------------------------------------------------------------

    def committing(self, written: list[Json]) -> None:
        """Look at a transaction that goes in; the table is as it was before."""
        run = self.world.now_running
        function = run.function if run else ""
        table = self.world.table.items
        requests = []
        for item in written:
            key = (item["pk"], item["sk"])
            if item["sk"].startswith("HISTORY#"):
                self.must(key not in table, f"history was written over: {key}")
            if item["pk"].startswith("REQUEST#") and item["sk"] == "STATE":
                request = items.REQUEST.validate_python(item)
                before = self.request(request.id)
                requests.append(request)
                self._step(function, before, request, written)
        event_ids = [i["pk"].removeprefix("EVENT#") for i in written if i["pk"][:6] == "EVENT#"]
        for event_id in event_ids:
            if removal := self.removals.get(event_id):
                self._judged(removal, requests, written)

    def _step(
        self, function: str, before: ChangeRequest | None, after: ChangeRequest, written: list[Json]
    ) -> None:
        state = before.state.value if before else None
        edge = (state, after.state.value)
        name = f"{after.id} {state} → {after.state}"
        # Whoever only seems gone is not mailed about that, and their request may end once more.
        gone = after.ended_because == "the user was deleted"
        self.edges[after.id, *edge, "seems gone" if gone else function] += 1
        self.must(function in STEPS.get(edge, ()), f"{name} is no step of this function")
        noted = [
            (item.get("before"), item["after"])
            for item in written
            if item["pk"] == f"REQUEST#{after.id}" and "after" in item and item["sk"] != "STATE"
        ]
        self.must(noted == [edge], f"{name}: the history says {noted}")
        if after.state in ACTIVE and state not in ACTIVE:
            others = [
                other.id
                for other in self.requests()
                if other.subject == after.subject and other.id != after.id
                and other.state in ACTIVE
            ]  # fmt: skip
            self.must(not others, f"{name}, but {others} is active")
        overdue = after.state == "fulfilled" and after.reminders
        waits = after.state in ACTIVE and not overdue
        self.must(bool(after.due_at) is waits, f"{name} is due at {after.due_at}")
        if before and before.violation:
            self.must(after.violation, f"{name}: the violation is forgotten")
            self.must(after.state != "cancelled" or gone, f"{name}, although it is a violation")
        if after.violation:
            ends = after.state in {"open", "closed", "cancelled"}
            self.must(ends, f"{name}, although it is a violation")
        if edge == ("open", "closed"):
            self.must(before and before.violation, f"{name} without a violation")
        if edge in {("approved", "approved"), ("approved", "fulfilled")} and before:
            frozen = (before.devices, before.kept, before.verdict)
            same = (after.devices, after.kept, after.verdict) == frozen
            self.must(same, f"{name}: what was approved is another thing now")
        self._four_eyes(name, edge, before, after)
        self._begun(function, before, after, written)

    def _four_eyes(
        self,
        name: str,
        edge: tuple[str | None, str],
        before: ChangeRequest | None,
        after: ChangeRequest,
    ) -> None:
        run = self.world.now_running
        decides = run and run.function in {"approval_desk", "fulfil"} and edge[1] != "cancelled"
        if not (run and run.by and before and decides):
            return
        if run.function == "fulfil" and run.hurt:
            return  # what comes in the midst of a carrying out does not stop it
        self.must(not self.is_involved(run.by.arn, before), f"{name} by {run.by.name}")
        if run.function == "approval_desk" and after.verdict and edge[1] != "closed":
            self.must(after.verdict.by == run.by.arn, f"{name} in the name of {after.verdict.by}")

    def is_involved(self, arn: str, request: ChangeRequest) -> bool:
        """Return whether somebody may not decide: the subject, whoever tried, whoever asked."""
        asked = (request.opened_by, request.details.given_by if request.details else None)
        involved = {request.subject_name.casefold(), *(_name(one) for one in asked if one)}
        return _name(arn) in involved | self.joined.get(request.id, set())

    def _begun(
        self,
        function: str,
        before: ChangeRequest | None,
        after: ChangeRequest,
        written: list[Json],
    ) -> None:
        if function != "fulfil" or not after.fulfilment:
            return
        if before and (before.fulfilment is None or before.fulfilment.run != after.fulfilment.run):
            now = self.world.clock()
            held = before.fulfilment
            free = held is None or held.held_until <= now or held.by == after.fulfilment.by
            self.must(free, f"{after.id} was taken out of the hands of {held.by if held else ''}")
            until = before.window_until
            self.must(until and now < until, f"{after.id} is carried out after its window")
            self.leases.append((now, after.subject.user_id, after.devices))
        if any(item.get("what") == "Request fulfilled" for item in written):
            self.carried_out[after.id] += 1

    def _judged(self, removal: Removal, requests: list[ChangeRequest], written: list[Json]) -> None:
        """See that a removal is taken for what it was, if its user is still there."""
        joins = [
            request
            for request in requests
            if any(attempt.event_id == removal.event_id for attempt in request.attempts)
        ]
        for request in joins:
            self.joined.setdefault(request.id, set()).add(removal.by)
        what = f"the removal of {removal.serial} by {removal.by} at {removal.at:%d %H:%M:%S}"
        intents = {item["pk"] for item in written if item["pk"].startswith("INTENT#")}
        if removal.by == "fulfil":
            self.must(not joins, f"{what} is taken for an attempt")
            return
        user = self.world.iam.with_id(removal.user_id)
        run = self.world.now_running
        if user is None or (run and run.hurt) or self._may_be_carrying_out(removal):
            return
        if user.name != removal.user_name and (removal.denied or removal.by == "emergency"):
            return  # IAM is asked by name: a user renamed before the record came is not found
        if removal.by == "emergency":
            self.must(not joins, f"{what} is taken for an attempt")
            told = any(pk.startswith("INTENT#alert-removal_break_glass") for pk in intents)
            self.must(told or not can_sign_in(user), f"{what} is not told")
        elif removal.denied:
            self.must(joins, f"{what}, which was denied, is in no request")
        elif can_sign_in(user):
            violation = [request for request in joins if request.violation]
            told = f"INTENT#alert-removal_unapproved-{removal.event_id}" in intents
            nobody = told and user.name != removal.user_name
            self.must(violation or nobody, f"{what} is in no violation")

    def _may_be_carrying_out(self, removal: Removal) -> bool:
        """Return whether a session of the fulfilling role is not to be told from the real one.

        A record has no id of the user: a device of the same name may be that of an earlier user.
        """
        times = [
            at
            for at, user_id, devices in self.leases
            if user_id == removal.user_id or removal.serial in devices
        ]
        return removal.by == "forger" and bool(times) and (
            min(times) - SLACK <= removal.at <= max(times) + LEASE + SLACK
        )  # fmt: skip

    # At each change in IAM ------------------------------------------------------------------------

    def changed(self, call: str, user: Resident | None, serial: str) -> None:
        """See that whoever changes IAM may do exactly that, now."""
        now = self.world.clock()
        run = self.world.now_running
        self.must(run and run.function == "fulfil", f"{call} by another function")
        behind = [
            request
            for request in self.requests()
            if (user is None or request.subject.user_id == user.user_id)
            and (not serial or serial in request.devices)
            # What others do right before this call comes too late to stop it.
            and ((run and run.hurt) or self._is_in_hand(request, now))
        ]
        self.must(behind, f"{call} {serial} of {user.name if user else '?'} without an approval")

    def _is_in_hand(self, request: ChangeRequest, now: datetime) -> bool:
        """Return whether whoever calls now has the carrying out of an approved request in hand."""
        run, held, verdict = self.world.now_running, request.fulfilment, request.verdict
        approved = request.state in {"approved", "fulfilled"} and verdict and verdict.approved
        mine = held and run and run.by and held.by == run.by.arn and held.held_until > now
        return bool(approved and mine)

    # At the end of each step, and of all ----------------------------------------------------------

    def request(self, request_id: str) -> ChangeRequest | None:
        """Return a request as the table has it."""
        found = self.world.table.items.get((f"REQUEST#{request_id}", "STATE"))
        return items.REQUEST.validate_python(items.from_wire(found)) if found else None

    def requests(self) -> list[ChangeRequest]:
        """Return all requests."""
        return [
            items.REQUEST.validate_python(item)
            for item in self.world.town.items("REQUEST#", "STATE")
        ]

    def intents(self) -> Iterator[Json]:
        """Return all mails and alerts that were ever decided."""
        return iter(self.world.town.items("INTENT#"))

    def settle_accounts(self, sent_twice: Counter[str]) -> None:
        """Check at the end that everybody was notified of what they must be, once."""
        self.must(not self.world.parked, f"set aside: {self.world.parked}")
        for intent_id, times in self.world.post.mails.items():
            self.must(times <= 1 + sent_twice[intent_id], f"{intent_id} was sent {times} times")
        told: dict[str, list[Json]] = {}
        for item in self.intents():
            self.must(item["status"] in {"sent", "skipped"}, f"{item['pk']} is {item['status']}")
            act = item["act"]
            if request_id := act.get("request_id"):
                told.setdefault(request_id, []).append(act)
        for request in self.requests():
            self._told(request, told.get(request.id, []))
            self._ended(request)

    def _told(self, request: ChangeRequest, mails: list[Json]) -> None:
        """Hold the mails about a request to the steps that it took."""
        got = Counter(mail["kind"] for mail in mails)
        took = self._steps_of(request.id)
        by_clock = took("open", "cancelled", "expire") if (
            request.ended_because or ""
        ).startswith("nobody") else 0  # fmt: skip
        due = {
            "request_opened": 1 if request.opened_by else 0,
            "request_decided": took("submitted", "approved") + took(None, "rejected", None)
            + took("expired", "approved"),
            "request_fulfilled": self.carried_out[request.id],
            "request_ended": took("approved", "expired") + by_clock
            + sum(took(None, "cancelled", desk) for desk in ("change_desk", "approval_desk")),
        }  # fmt: skip
        for kind, number in due.items():
            self.must(got[kind] == number, f"{request.id}: {got[kind]} of {number} mails {kind}")
        times = sorted(m["at"] for m in mails if m["kind"] == "removal_denied")
        gaps = [datetime.fromisoformat(b) - datetime.fromisoformat(a) for a, b in pairwise(times)]
        self.must(all(gap >= DAY for gap in gaps), f"{request.id}: denied mails at {times}")
        denied = [a for a in request.attempts if a.outcome == "denied"]
        if request.attempt_count == 1 and denied:
            self.must(times, f"{request.id}: nobody was told of the attempt")
        steps = sorted(int(m["step"]) for m in mails if m["kind"] == "request_needs_details")
        self.must(steps == list(range(1, len(steps) + 1)), f"{request.id}: reminders {steps}")

    def _steps_of(self, request_id: str) -> Any:
        def took(before: str | None, after: str, function: str | None = None) -> int:
            return sum(
                times
                for (one, a, b, where), times in self.edges.items()
                if one == request_id and b == after
                and (before is None or a == before) and (function is None or where == function)
            )  # fmt: skip

        return took

    def _ended(self, request: ChangeRequest) -> None:
        """Nothing waits for ever: somebody is reminded of whatever is not at its end."""
        now, state = self.world.clock(), request.state.value
        user = self.world.iam.with_id(request.subject.user_id)
        if request.ended_because == "the user was deleted":
            replaced = not request.violation and any(
                other.subject == request.subject and other.opened_at >= request.opened_at
                for other in self.requests() if other.id != request.id
            )  # fmt: skip
            self.must(user is None or replaced, f"{request.id} is cancelled, but the user is there")
        if state not in ACTIVE:
            return
        reminded = request.reminders > 0 and (request.due_at is None or request.due_at > now)
        if state == "open" and request.violation:
            self.must(reminded, f"the violation {request.id} waits, and nobody is reminded")
        elif state == "submitted":
            self.must(reminded, f"{request.id} waits for a decision, and nobody is reminded")
        elif state == "fulfilled":
            alone = user and not user.devices
            self.must(alone and reminded, f"{request.id} waits for a device that is there")
        else:
            self.must(not user, f"{request.id} is {state} for ever")


def can_sign_in(user: Resident) -> bool:
    """Return whether a removal from a user counts: they have access, or other devices."""
    return bool(user.devices or user.password)


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1].casefold()
