"""Walks through the change request: what users, administrators, desks, AWS and time may do next."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from tests.functions.product import FULFIL_ROLE
from tests.simulation.invariants import ACTIVE, Checker, Removal
from tests.simulation.request_world import Plan, Resident, World
from tests.support.account import Crash
from tests.support.builders import (
    ACCOUNT,
    Json,
    about,
    denied_removal,
    envelope,
    iam_call,
    iam_user,
)
from tests.support.builders import sign_in as sign_in_record

USERS = ("ana", "ben")
APPROVERS = ("bob", "carla", "ada", "sue", "ana", "ben")
REASON = {"reason": "Spoke on the phone"}
WANTED = ("fido", "virtual", "hardware_totp", "none")
WAITS = tuple(
    timedelta(minutes=minutes) for minutes in (0.5, 1.5, 3, 20, 61, 5 * 60, 25 * 60, 4 * 24 * 60)
)
MONTH = timedelta(days=33)
TWICE = 6
"""The stream brings a batch, and will bring it again."""


@dataclass(frozen=True)
class Act:
    """Something that somebody does. What the numbers pick depends on how things stand."""

    what: str
    user: int = 0
    who: int = 0
    pick: int = 0


@dataclass(frozen=True)
class Disruption:
    """What disrupts the run that an act starts: at which call, and what happens meanwhile."""

    what: str
    at: int
    act: Act | None = None


@dataclass
class Walk:
    """One random walk, in a world of its own."""

    world: World
    pending: list[Json] = field(default_factory=list)
    arrived: list[Json] = field(default_factory=list)
    stream: list[Json] = field(default_factory=list)
    """What the stream of the table has not brought yet."""
    sent_twice: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    """How often something came about, to see that the walks lead everywhere."""
    ids: dict[str, str] = field(default_factory=dict)
    records: int = 0
    back: set[str] = field(default_factory=set)
    """Virtual devices that were enrolled anew under an old one's name."""
    deleted: set[str] = field(default_factory=set)
    """Virtual devices that the product deleted."""
    anew: set[str] = field(default_factory=set)
    """Those of them that users enrolled again since."""

    def __post_init__(self) -> None:
        """Let two users be there, each with a device; and somebody to watch."""
        self.world.begin()
        self.checker = Checker(self.world)
        self.world.iam.changed = self._changed_by_product
        for name in USERS:
            resident = self.world.iam.create(name)
            resident.password = "old"  # noqa: S105 - of nobody
            self.world.iam.enrol(resident, f"arn:aws:iam::{ACCOUNT}:mfa/phone-{name}")
            self.ids[name] = resident.user_id

    # What happens ---------------------------------------------------------------------------------

    def take(self, act: Act, disruption: Disruption | None = None) -> None:
        """Take a step. What crashed is tried again as it would be in AWS."""
        plan = self._plan(disruption)
        try:
            getattr(self, act.what)(act, plan)
        except Crash:
            self.taken["crash"] += 1

    def _plan(self, disruption: Disruption | None) -> Plan | None:
        if disruption is None:
            return None
        other = disruption.act
        if other is None:
            return Plan(disruption.what, disruption.at)

        def meanwhile() -> None:
            self.taken["meanwhile"] += 1
            getattr(self, other.what)(other, None)

        return Plan("meanwhile", disruption.at, meanwhile)

    def _user(self, act: Act) -> Resident | None:
        return self.world.iam.with_id(self.ids[USERS[act.user]])

    # In IAM ---------------------------------------------------------------------------------------

    def deny(self, act: Act, _plan: Plan | None) -> None:
        """Somebody tries to remove a device, and the guard policy denies it."""
        if user := self._user(act):
            by, who = self._actor(act, user)
            seed = self._seed()
            record = denied_removal(who, user.name, seed)
            self._noted(record, by, user, "", denied=True)

    def remove(self, act: Act, _plan: Plan | None) -> None:
        """Somebody removes a device and succeeds."""
        user = self._user(act)
        if not (user and user.devices):
            return
        serial = user.devices[act.pick % len(user.devices)]
        by, who = self._actor(act, user)
        if act.pick == 7:
            by, who = "emergency", _session("Emergency", "eve")
        if act.pick in {5, 6}:
            by, who = "forger", _session(FULFIL_ROLE, "forger")
        user.devices.remove(serial)
        record = about("DeactivateMFADevice", user.name, who, self._seed(), serialNumber=serial)
        self._noted(record, by, user, serial)
        if ":mfa/" in serial and act.pick % 2:
            self.world.iam.virtual.discard(serial)
            asked = {"serialNumber": serial}
            call = "DeleteVirtualMFADevice"
            self._record(iam_call(call, who, self._seed(), requestParameters=asked))

    def enrol(self, act: Act, _plan: Plan | None) -> None:
        """Somebody gets a device: a new one, or a virtual one with the name of an old one."""
        user = self._user(act)
        if user is None or len(user.devices) >= 3:
            return
        serial = f"arn:aws:iam::{ACCOUNT}:mfa/phone-{USERS[act.user]}"
        if act.pick % 2 or self.world.iam.owner(serial):
            self.records += 1
            serial = f"arn:aws:iam::{ACCOUNT}:u2f/user/{user.name}/key-{self.records}"
        self.world.iam.enrol(user, serial)
        self.back.add(serial)
        self.anew |= {serial} & self.deleted
        who = self._actor(act, user)[1]
        self._record(about("EnableMFADevice", user.name, who, self._seed(), serialNumber=serial))

    def sign_in(self, act: Act, _plan: Plan | None) -> None:
        """A user signs in."""
        user = self._user(act)
        if user and user.password:
            mfa = "Yes" if user.devices else "No"
            self._record(sign_in_record(_himself(user), self._seed(), mfa=mfa))

    def password(self, act: Act, _plan: Plan | None) -> None:
        """Console access is taken or given."""
        if user := self._user(act):
            call = "CreateLoginProfile" if user.password is None else "DeleteLoginProfile"
            user.password = "given" if user.password is None else None
            self._record(about(call, user.name, seed=self._seed()))

    def rename(self, act: Act, _plan: Plan | None) -> None:
        """A user gets another name, or their old one back."""
        if user := self._user(act):
            old, base = user.name, USERS[act.user]
            new = f"{base}2" if old == base else base
            if new in self.world.iam.residents:
                return
            self.world.iam.residents[new] = self.world.iam.residents.pop(old)
            user.name = new
            self._record(about("UpdateUser", old, seed=self._seed(), newUserName=new))

    def off_board(self, act: Act, _plan: Plan | None) -> None:
        """A user leaves: the devices, the password, and the user, in one of two orders."""
        user = self._user(act)
        if user is None:
            return
        if act.pick % 2:
            self.password(act, None) if user.password else None
        while user.devices:
            self.remove(Act("remove", act.user, 1), None)
        if user.password:
            self.password(act, None)
        del self.world.iam.residents[user.name]
        self._record(about("DeleteUser", user.name, seed=self._seed()))

    def create(self, act: Act, _plan: Plan | None) -> None:
        """Another user gets the name of one who left."""
        name = USERS[act.user]
        if self._user(act) or name in self.world.iam.residents:
            return
        made = self.world.iam.create(name)
        self.ids[name] = made.user_id
        answer = {"user": {"userName": name, "userId": made.user_id}}
        asked = {"userName": name}
        record = about("CreateUser", name, seed=self._seed())
        self._record({**record, "requestParameters": asked, "responseElements": answer})
        self.password(act, None)
        if act.pick % 2:
            self.enrol(act, None)

    def _actor(self, act: Act, user: Resident) -> tuple[str, Json]:
        """Return who does it: the user, an administrator, or an approver."""
        match act.who % 3:
            case 0:
                return user.name, _himself(user)
            case 1:
                return "ada", iam_user("ada", "AIDAADMINISTRATOR00")
            case _:
                return "bob", _session("Security", "bob")

    def _changed_by_product(self, call: str, user: Resident | None, serial: str) -> None:
        self.checker.changed(call, user, serial)
        asked = {"userName": user.name} if user else {}
        asked |= {"serialNumber": serial} if serial else {}
        who = _session(FULFIL_ROLE, "mfa-watcher-Fulfil")
        record = iam_call(call, who, self._seed(), requestParameters=asked)
        if call == "DeleteVirtualMFADevice":
            self.deleted.add(serial)
            self.anew.discard(serial)
        if serial:
            self._noted(record, "fulfil", user, serial)
        else:
            self._record(record)

    def _seed(self) -> str:
        self.records += 1
        return f"record {self.records}"

    def _record(self, record: Json) -> None:
        """CloudTrail writes it; when it arrives is another matter."""
        self.pending.append({**record, "eventTime": f"{self.world.clock():%Y-%m-%dT%H:%M:%SZ}"})

    def _noted(
        self, record: Json, by: str, user: Resident | None, serial: str, *, denied: bool = False
    ) -> None:
        now, event_id = self.world.clock(), record["eventID"]
        whose = (user.user_id, user.name) if user else ("", "")
        self.checker.removals[event_id] = Removal(event_id, now, by, *whose, serial, denied=denied)
        self._record(record)

    # Records arrive -------------------------------------------------------------------------------

    def arrive(self, act: Act, plan: Plan | None) -> None:
        """A record arrives; one that cannot be acted on stays in its queue."""
        if self.pending:
            record = self.pending.pop(act.pick % len(self.pending))
            self._hand_over(record, plan)

    def again(self, act: Act, plan: Plan | None) -> None:
        """A record arrives once more."""
        if self.arrived:
            self._hand_over(self.arrived[act.pick % len(self.arrived)], plan)

    def arrive_all(self, act: Act, _plan: Plan | None) -> None:
        """All records arrive, the latest first or last."""
        if act.pick % 2:
            self.pending.reverse()
        for _ in range(200):
            if not self.pending:
                return
            self._hand_over(self.pending.pop(0), None)
        self.checker.must(holds=False, what=f"records are refused without end: {self.pending[:2]}")

    def _hand_over(self, record: Json, plan: Plan | None) -> None:
        function = "on_sign_in" if record["eventName"] == "ConsoleLogin" else "on_iam_change"
        failed = [""]
        try:
            failed = self.world.run(
                function, lambda: self.world.product.take(function, envelope(record)), plan
            )
        finally:
            (self.pending if failed else self.arrived).append(record)

    # At the desks ---------------------------------------------------------------------------------

    def file(self, act: Act, plan: Plan | None) -> None:
        """Somebody files a request for themselves, or the service desk for them."""
        if user := self._user(act):
            by = self._requester(act, user)
            body: Json = {} if by.is_iam_user else {"user_name": user.name}
            if act.pick % 2:
                body["details"] = self._details(act, user)
            said = self._said("change_desk", "/requests", by, body, plan)
            known = self.world.table.items.get((f"USER#{ACCOUNT}#{user.user_id}", "STATE"))
            active = [r for r in self.checker.requests() if r.subject.user_id == user.user_id
                      and r.state in ACTIVE]  # fmt: skip
            if said and said[0] != 201 and plan is None:
                self.checker.must(
                    active or not user.devices or said[0] == 422, f"{by.name}: {said}"
                )
            self.taken["filed"] += bool(said and said[0] == 201 and known)

    def details(self, act: Act, plan: Plan | None) -> None:
        """Somebody says what the user wants, and why."""
        request, user = self._request(act), self._user(act)
        if request and user:
            by, body = self._requester(act, user), self._details(act, user)
            self._said("change_desk", f"/requests/{request.id}/details", by, body, plan)

    def withdraw(self, act: Act, plan: Plan | None) -> None:
        """Somebody cancels."""
        request, user = self._request(act), self._user(act)
        if request is None:
            return
        by = self._requester(act, user) if user and act.pick % 2 else _approver(act)
        door = "change_desk" if user and act.pick % 2 else "approval_desk"
        self._said(door, f"/requests/{request.id}/cancel", by, REASON, plan)

    def approve(self, act: Act, plan: Plan | None) -> None:
        """An approver approves."""
        self._decide(act, plan, "approve")

    def reject(self, act: Act, plan: Plan | None) -> None:
        """An approver rejects."""
        self._decide(act, plan, "reject")

    def acknowledge(self, act: Act, plan: Plan | None) -> None:
        """The security team acknowledges a violation."""
        self._decide(act, plan, "acknowledge")

    def reopen(self, act: Act, plan: Plan | None) -> None:
        """An approver reopens."""
        self._decide(act, plan, "reopen")

    def fulfil(self, act: Act, plan: Plan | None) -> None:
        """An approver carries a request out; and again, if the call crashed."""
        if request := self._request(act):
            self._fulfil(request, act, plan)

    def advance(self, act: Act, plan: Plan | None) -> None:
        """Whatever the request waits for is done, by somebody who may."""
        request = self._request(act)
        state = request.state.value if request else None
        if request is None or state not in {*ACTIVE, "expired"}:
            self.file(Act("file", act.user, act.who, 1 + 2 * (act.pick % 4)), plan)
            return
        if state == "open" and not request.violation:
            self.details(act, plan)
            return
        free = [n for n, _ in enumerate(APPROVERS) if not self._involved(request, n)]
        by = Act(act.what, act.user, free[act.who % len(free)] if free else 0)
        if state == "approved":
            self._fulfil(request, by, plan)
        elif state == "fulfilled":
            self.enrol(act, plan)
        else:
            step = {"open": "acknowledge", "submitted": "approve", "expired": "reopen"}[state]
            self._decide(by, plan, step)

    def _decide(self, act: Act, plan: Plan | None, step: str) -> None:
        request = self._request(act)
        if request is None:
            return
        may = self._may(step, request, act)
        path = f"/requests/{request.id}/{step}"
        said = self._said("approval_desk", path, _approver(act), REASON, plan)
        if said and plan is None and not self._had_the_name(request, act):
            who = APPROVERS[act.who % len(APPROVERS)]
            self.checker.must((said[0] == 200) is may, f"{who}: {step} {request.state}: {said}")
            self.taken[step] += said[0] == 200

    def _fulfil(self, request: ChangeRequest, act: Act, plan: Plan | None) -> None:
        by = _approver(act)
        may = self._may("fulfil", request, act)
        path = f"/requests/{request.id}/fulfil"
        said = self._said("fulfil", path, by, None, plan)
        if said is None:  # it crashed: the same person calls again
            self.taken["fulfil again"] += 1
            may = self._may("fulfil", self.checker.request(request.id) or request, act)
            said, plan = self._said("fulfil", path, by, None, None), None
        if said and plan is None and not self._had_the_name(request, act):
            self.checker.must((said[0] == 200) is may, f"{by.name} fulfils {request.state}: {said}")
        if said and said[0] == 200:
            self._carried_out(self.checker.request(request.id) or request, said[1], plan)

    def _carried_out(self, request: ChangeRequest, said: Json, plan: Plan | None) -> None:
        """However it came there: the devices are gone, and the password is the user's, and new."""
        self.taken["fulfil"] += 1
        user = self.world.iam.with_id(request.subject.user_id)
        must, password = self.checker.must, said["password"]
        if plan is None or plan.meanwhile is None:
            must(user and user.password == password, "the password told is not the user's")
            taken = set(request.devices) - self.back
            must(user and not set(user.devices) & taken, "a device is left")
            # One that was enrolled after the removal is another device, under the same name.
            left = self.world.iam.virtual & set(request.devices) - self.anew
            must(all(self.world.iam.owner(one) for one in left), f"{left} is left over")
            must(request.state == "fulfilled", f"fulfilled, but {request.state}")
        # Users may also be deleted right after their new password was set.
        kept = user and not user.reset_required
        must(not kept, "they may keep the password that others know")
        told = [str(self.world.table.items), self.world.said, *self.world.post.texts]
        must(not any(password in text for text in told), "the password stands somewhere")

    def _said(
        self, function: str, path: str, by: Person, body: object, plan: Plan | None
    ) -> tuple[int, Json] | None:
        """Call, as a client does; None if the function crashed."""
        try:
            status, answer = self.world.call(function, path, by, body, plan)
        except Crash:
            self.taken["crash"] += 1
            return None
        known = {200, 201, 403, 404, 409, 422, 503}
        self.checker.must(status in known, f"{path} says {status}: {answer}")
        if plan is None:
            self.checker.must(status != 503, f"{path} says {status}: {answer}")
        return status, answer

    def _requester(self, act: Act, user: Resident) -> Person:
        if act.who % 2:
            return _member("sue", "ServiceDesk")
        return Person(f"arn:aws:iam::{ACCOUNT}:user/{user.name}", user.user_id, ACCOUNT)

    def _details(self, act: Act, user: Resident) -> Json:
        named = user.devices[:1] if act.pick in {1, 4} else []
        return {
            "reason": "My phone was stolen on Monday.",
            "wanted": WANTED[act.pick % 3 if len(user.devices) < 2 or not named else act.pick % 4],
            "devices": named,
        }

    def _request(self, act: Act) -> ChangeRequest | None:
        """Return the request about a user that was opened last; or now and then an older one."""
        found = [
            request
            for request in self.checker.requests()
            if request.subject_name.removesuffix("2") == USERS[act.user]
        ]
        if not found:
            return None
        if act.pick == 7:
            return found[0]
        return max(found, key=lambda request: (request.state in ACTIVE, request.opened_at))

    def _involved(self, request: ChangeRequest, number: int) -> bool:
        by = _approver(Act("", who=number))
        # Whoever deletes a virtual device after its removal tried, too.
        tried = {actor.rsplit("/", 1)[-1] for actor in request.actors}
        return by.name in tried or self.checker.is_involved(by.arn, request)

    def _had_the_name(self, request: ChangeRequest, act: Act) -> bool:
        """Return whether the product may know somebody for the subject who was once called so."""
        who = APPROVERS[act.who % len(APPROVERS)]
        return who == request.subject_name.removesuffix("2") != request.subject_name

    def _may(self, step: str, request: ChangeRequest, act: Act) -> bool:
        """Return whether a step is to be let through, if nothing goes wrong."""
        if self._involved(request, act.who):
            return False
        now, state = self.world.clock(), request.state.value
        user = self.world.iam.with_id(request.subject.user_id)
        record = self._record_of(request)
        known = {record.get("name", ""), request.subject_name}
        there = user is not None and user.name in known
        over = request.window_until is not None and now >= request.window_until
        match step:
            case "approve":
                return state == "submitted" and there and self._approvable(request, user)
            case "reject":
                unbegun = state == "submitted" or not request.fulfilment
                return state in {"submitted", "approved"} and unbegun
            case "acknowledge":
                return state == "open" and request.violation
            case "reopen":
                latest = record.get("request_id") == request.id
                waits = state == "expired" or (state == "fulfilled" and over)
                return waits and latest and there
            case _:
                held = request.fulfilment
                mine = not held or held.held_until <= now or held.by == _approver(act).arn
                ready = state in {"approved", "fulfilled"} and not over and mine
                return ready and there and self._fulfillable(request, user)

    def _approvable(self, request: ChangeRequest, user: Resident | None) -> bool:
        details = request.details
        has = user.devices if user else []
        named = details.devices if details else ()
        chosen = [serial for serial in has if not named or serial in named]
        keeps = len(has) > len(chosen) or (details is not None and details.wanted is not None)
        return bool(chosen) and keeps

    def _fulfillable(self, request: ChangeRequest, user: Resident | None) -> bool:
        if user is None or user.password is None:
            return False
        # With a new device that surely is one, it is about to close.
        return not request.new_device(tuple(user.devices), self.world.clock())

    def _record_of(self, request: ChangeRequest) -> dict[str, Any]:
        key = f"USER#{ACCOUNT}#{request.subject.user_id}"
        found = self.world.town.items(key, "STATE")
        return found[0] if found else {}

    # The clock ------------------------------------------------------------------------------------

    def wait(self, act: Act, _plan: Plan | None) -> None:
        """Time goes by. What was written a day ago has arrived."""
        by = WAITS[act.pick % len(WAITS)]
        if by >= timedelta(days=1):
            self.arrive_all(act, None)
        self.world.clock.move(by)

    def expire(self, _act: Act, plan: Plan | None) -> None:
        """The schedule looks at the requests that are due."""
        self._round("expire", plan)

    def remind(self, _act: Act, plan: Plan | None) -> None:
        """The schedule looks at the users who are due."""
        self._round("remind", plan)

    def _round(self, function: str, plan: Plan | None) -> None:
        try:
            self.world.run(function, {}, plan)
        except Exception:
            self.taken["round failed"] += 1
            if plan is None:
                raise
            return
        if plan is None and function == "expire":
            now = self.world.clock()
            late = [r.id for r in self.checker.requests() if r.due_at and r.due_at <= now]
            self.checker.must(not late, f"{late} are due and stay so")

    def deliver(self, act: Act, plan: Plan | None) -> None:
        """The stream brings what is new, or a part of it, now and then in another order or twice.

        What fails, the schedule brings later.
        """
        product = self.world.product
        self.stream += product.new_intents()
        if act.pick % 2:
            self.stream.reverse()
        most = 1 if act.pick in {2, 3} else len(self.stream)
        batch = self.stream[:most]
        if act.pick != TWICE:
            del self.stream[:most]
        self._post(lambda: product.deliver(batch), "deliver", plan)

    def redeliver(self, _act: Act, plan: Plan | None) -> None:
        """The schedule brings what is late."""
        self._post(self.world.product.redeliver, "redeliver", plan)

    def _post(self, run: Callable[[], object], function: str, plan: Plan | None) -> None:
        before = self.world.post.mails.copy()
        try:
            self.world.run(function, run, plan)
        except Exception:
            self.taken["round failed"] += 1
            if plan is None:
                raise
        finally:
            # What SES has accepted and nobody could note any more goes out once more.
            for intent_id in self.world.post.mails - before:
                [item] = self.world.town.items(f"INTENT#{intent_id}")
                self.sent_twice[intent_id] += item["status"] != "sent"

    def end(self) -> None:
        """Let all that is on its way arrive, and a month go by, as the schedule sees it."""
        self.arrive_all(Act(""), None)
        until = self.world.clock() + MONTH
        for _ in range(60):
            self._run_what_is_due()
            due = self._next_due()
            if due is None or due > until:
                break
            step = max(timedelta(hours=20), due - self.world.clock())
            self.world.clock.move(step)
        else:
            self.checker.must(holds=False, what="it never comes to rest")
        self.world.clock.time = max(until, self.world.clock.time)
        nothing = Act("")
        for run in (self.expire, self.remind, self.deliver, self.redeliver):
            run(nothing, None)
        self.world.clock.move(timedelta(minutes=5))
        self.redeliver(nothing, None)
        self.checker.settle_accounts(self.sent_twice)

    def _run_what_is_due(self) -> None:
        """Run each function that finds something: the others would only take time here."""
        nothing, now = Act(""), self.world.clock()
        if self.world.table.inserted or self.stream:
            self.deliver(nothing, None)
        for run, finds in ((self.redeliver, ("DUE#", "ALERT#")),
                           (self.expire, ("REQUEST#",)), (self.remind, ("USER#",))):  # fmt: skip
            due = self._next_due(*finds)
            if due is not None and due <= now:
                run(nothing, None)

    def _next_due(self, *shards: str) -> datetime | None:
        due = self.world.table.next_due(*(shards or ("REQUEST#", "USER#", "DUE#", "ALERT#")))
        return None if due is None else _moment(due)


def _approver(act: Act) -> Person:
    return _member(APPROVERS[act.who % len(APPROVERS)], "Security")


def _member(name: str, role: str) -> Person:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"
    return Person(arn, f"AROA{role.upper()}:{name}", ACCOUNT)


def _himself(user: Resident) -> Json:
    return iam_user(user.name, user.user_id)


def _session(role: str, name: str) -> Json:
    """Return the identity of a role's session, as records have it."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROA{role.upper()}:{name}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}"}
        },
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
