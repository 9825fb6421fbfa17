"""The probe: sends harmless signs through a deployed watcher, and waits until each arrives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from mfa_watcher.domain.health.activity_checks import check_heartbeats
from mfa_watcher.domain.health.event_checks import forwarder_dead_letters
from mfa_watcher.domain.health.heartbeats import (
    EventPath,
    Heartbeat,
    HeartbeatSource,
    expected_sources,
)
from mfa_watcher.domain.health.probe import (
    ALLOWED,
    DENIED,
    RULES,
    UNUSED_KEY,
    USER_TAG,
    IntentRecord,
    ProbeResult,
    Seen,
    Sign,
    check_guard,
    check_names,
    check_patterns,
    check_transactions,
    sample,
)
from mfa_watcher.domain.health.readings import Stack
from mfa_watcher.domain.health.results import Level
from mfa_watcher.domain.notifications.intents import AlertKind, IntentStatus, intent_id
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome
from mfa_watcher.domain.requests.change_request import RequestState
from mfa_watcher.domain.users.user import MailKind
from mfa_watcher.ports.errors import ExternalServiceError, MissingPermissionError
from mfa_watcher.ports.probe import (
    DeskRefusedError,
    ProbedAccount,
    ProbedDesks,
    ProbedTable,
    ProbeUser,
)

LOOK_EVERY = (0.5, 5.0)
"""Seconds between two looks: at first, and at the most. They grow with the time that was waited."""

_WAITING = frozenset({MailOutcome.SENT, MailOutcome.DELAYED, ""})
"""What SES reports of a mail, or not yet, while it is on its way."""

Look: TypeAlias = Callable[[], Seen | None]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A sign that was sent and is waited for."""

    sign: Sign
    about: str
    since: datetime
    look: Look
    then: Callable[[], object]

    @property
    def title(self) -> str:
        """Return what is waited for."""
        return f"{self.sign.title} {self.about}".strip()


@dataclass(slots=True)
class Probe:
    """Probes a deployed watcher. It changes nothing but a user of its own, whom it deletes."""

    stack: Stack
    account: ProbedAccount
    table: ProbedTable
    desks: ProbedDesks
    accounts: Callable[[], tuple[str, ...]]
    regions: tuple[str, ...]
    user_name: str
    address_tags: dict[str, str]
    time_limit: timedelta
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    show: Callable[[ProbeResult], object]
    """Called with each result, as soon as it is known."""
    waits: Callable[[Sequence[str], float], object]
    """Called again and again with what is waited for, and for how many seconds."""
    _awaited: list[Awaited] = field(default_factory=list, init=False)
    _shown: set[Sign] = field(default_factory=set, init=False)
    _may_exist: bool = field(default=False, init=False)

    def run(self) -> None:
        """Ask, send all signs, wait for them, and remove what was made, whatever happens."""
        self._ask()
        try:
            self._remove_left_overs()
            self._call_canaries()
            self._send_user()
            self._wait()
            self._show_members()
            for sign in Sign:
                if sign not in self._shown and sign is not Sign.REMOVED:
                    self._show(
                        sign, Seen(Level.UNKNOWN, "not tried: what comes first was not seen")
                    )
        finally:
            if self._may_exist:
                self._remove(self.user_name)

    # Questions --------------------------------------------------------------------------------

    def _ask(self) -> None:
        account, stack = self.account, self.stack
        resources = stack.resources

        def patterns() -> Seen:
            return check_patterns(
                {
                    rule: rule in resources
                    and account.matches(resources[rule][1], sample(rule, stack))
                    for rule in RULES
                }
            )

        def transactions() -> Seen:
            table, unused, other = stack.outputs["TableName"], UNUSED_KEY, "USER#probe"
            return check_transactions(
                unused=account.may_update(table, unused),
                other=account.may_update(table, other),
                both=account.may_update(table, unused, other),
            )

        def guard() -> Seen:
            arn = f"arn:{stack.partition}:iam::{stack.account_id}:user/{self.user_name}"
            return check_guard(
                account.simulated(stack.outputs["GuardPolicyArn"], arn, (DENIED, ALLOWED))
            )

        for sign, ask in {
            Sign.NAMES: lambda: check_names(stack.name, resources.values()),
            Sign.PATTERNS: patterns,
            Sign.TRANSACTIONS: transactions,
            Sign.GUARD: guard,
        }.items():
            try:
                seen = ask()
            except ExternalServiceError as error:
                seen = _refused(error)
            self._show(sign, seen)

    # Events -----------------------------------------------------------------------------------

    def _call_canaries(self) -> None:
        """Make the canary's call in each region of this account, and wait for it on each path."""
        own = self.stack.region
        queue = self.stack.resources["SignInQueue"][1]
        before: dict[HeartbeatSource, datetime | None] = {}
        if refused := _tried(
            lambda: before.update({one.source: one.seen_at for one in self.table.heartbeats()})
        ):
            self._show(Sign.CANARY, refused)
            return
        for region in dict.fromkeys((own, *self.regions)):
            at = queue if region == own else forwarder_dead_letters(self.stack.name)
            called: list[bool] = []
            refused = _tried(lambda: called.append(self.account.tag_queue(at, region)))  # noqa: B023 - called here
            paths = tuple(EventPath) if region == self.stack.iam_region else (EventPath.SIGN_INS,)
            for path in paths:
                about = f"{region} ({path.label})"
                if refused or called != [True]:
                    nothing = Seen(Level.FAIL, "there is no forwarder")
                    self._show(Sign.CANARY, refused or nothing, about)
                    continue
                source = HeartbeatSource(self.stack.account_id, region, path)
                self._await(Sign.CANARY, self._heartbeat_after(source, before.get(source)), about)

    def _heartbeat_after(self, source: HeartbeatSource, before: datetime | None) -> Look:
        def look() -> Seen | None:
            at = next(
                (one.seen_at for one in self.table.heartbeats() if one.source == source), None
            )
            return Seen(Level.OK, "its event is in the table") if at and at != before else None

        return look

    def _show_members(self) -> None:
        """Show when events last came from where the probe cannot make any: the members."""
        own = self.stack.account_id
        members: list[str] = []
        recorded: dict[HeartbeatSource, Heartbeat] = {}
        if refused := _tried(lambda: members.extend(self.accounts())) or _tried(
            lambda: recorded.update({one.source: one for one in self.table.heartbeats()})
        ):
            self._show(Sign.HEARTBEAT, refused)
            return
        members.remove(own)
        if not members:
            self._show(Sign.HEARTBEAT, Seen(Level.OK, "no other account is watched"))
            return
        sources = expected_sources(members, self.regions, self.stack.iam_region)
        for result in check_heartbeats(
            [recorded.get(source) or Heartbeat(source) for source in sources],
            now=self.clock(),
            silence_threshold=self.stack.silence_threshold,
        ):
            self._show(Sign.HEARTBEAT, Seen(result.level, result.seen), "member accounts")

    # The user and their request ---------------------------------------------------------------

    def _send_user(self) -> None:
        """Create the user, whom the watcher welcomes, and let them try to remove a device."""
        made: list[ProbeUser] = []
        self._may_exist = True
        tags = {**self.address_tags, USER_TAG: self.stack.name}
        refused = _tried(
            lambda: made.append(
                self.account.create_user(
                    self.user_name, tags, self.stack.outputs["RequesterPolicyArn"]
                )
            )
        )
        self._show(
            Sign.USER, refused or Seen(Level.OK, "made, with a console password"), self.user_name
        )
        if not made:
            return
        [user] = made
        self._await_mail(user, MailKind.WELCOME)
        self._await(Sign.ATTEMPT, lambda: self._attempt(user), then=lambda: self._follow(user))

    def _attempt(self, user: ProbeUser) -> Seen | None:
        match self.account.removal_is_denied(user):
            case None:
                return None
            case True:
                return Seen(Level.OK, "IAM denied the user the removal of a device")
            case False:
                return Seen(Level.FAIL, "IAM allowed a user without permissions the removal")

    def _follow(self, user: ProbeUser) -> None:
        """Wait for what follows from the denied attempt."""
        opened: list[str] = []

        def look() -> Seen | None:
            known = self.table.user(user.key)
            if known is None or known.request_id is None:
                return None
            opened[:] = [known.request_id]
            return Seen(Level.OK, f"{known.request_id}, by the denied attempt")

        self._await(Sign.REQUEST_OPENED, look, then=lambda: self._give_details(user, opened[0]))
        self._await_mail(user, MailKind.REMOVAL_DENIED)
        self._await_alert(user, AlertKind.REMOVAL_DENIED)

    def _give_details(self, user: ProbeUser, request_id: str) -> None:
        def look() -> Seen | None:
            state = self.desks.give_details(user, request_id)
            return (
                None
                if state is None
                else _in(state, RequestState.SUBMITTED, "by the user, at the change desk")
            )

        def then() -> None:
            self._await_alert(user, AlertKind.REQUEST_WAITING)
            self._await(Sign.DECISION, lambda: self._reject(request_id))

        self._await(Sign.DETAILS, look, then=then)

    def _reject(self, request_id: str) -> Seen:
        try:
            state = self.desks.reject(request_id)
        except DeskRefusedError as error:
            return Seen(Level.UNKNOWN, f"{error} The user's deletion will end the request")
        return _in(state, RequestState.REJECTED, "by you, at the approval desk")

    # Mails and alerts -------------------------------------------------------------------------

    def _await_mail(self, user: ProbeUser, kind: MailKind) -> None:
        def sent() -> Seen | None:
            found = self._intent(user, kind)
            return None if found is None else _sent(found, f"SES took it for {found.to}")

        def delivered() -> Seen | None:
            found = self._intent(user, kind)
            if found is None or found.outcome in _WAITING:
                return None
            level = Level.OK if found.outcome == MailOutcome.DELIVERED else Level.FAIL
            return Seen(level, f"SES reported it as {found.outcome}")

        self._await(Sign.MAIL_SENT, sent, kind)
        self._await(Sign.MAIL_DELIVERED, delivered, kind)

    def _await_alert(self, user: ProbeUser, kind: AlertKind) -> None:
        def sent() -> Seen | None:
            found = self._intent(user, kind)
            how = f"the topic took it as {found and found.receipt}; its mailbox shows the rest"
            return None if found is None else _sent(found, how)

        self._await(Sign.ALERT, sent, kind)

    def _intent(self, user: ProbeUser, kind: MailKind | AlertKind) -> IntentRecord | None:
        """Return the intent of a kind, which is named after what it is sent once for."""
        known = self.table.user(user.key)
        if known is None:
            return None
        history = self.table.user_history(user.key)
        names = [known.finding.id] if known.finding else []
        names += [known.request_id] if known.request_id else []
        for once_per in dict.fromkeys((*names, *(one.event_id for one in history))):
            if found := self.table.intent(intent_id(kind, once_per)):
                return found
        return None

    # Waiting ----------------------------------------------------------------------------------

    def _await(
        self, sign: Sign, look: Look, about: str = "", then: Callable[[], object] = lambda: None
    ) -> None:
        self._awaited.append(Awaited(sign, about, self.clock(), look, then))

    def _wait(self) -> None:
        """Look for all that is awaited, until each is seen or its time is over."""
        changed = self.clock()
        while self._awaited:
            for one in tuple(self._awaited):
                if seen := self._look(one):
                    changed = self.clock()
                    self._awaited.remove(one)
                    self._show(one.sign, seen, one.about, (changed - one.since).total_seconds())
                    if seen.level is Level.OK:
                        one.then()
            if self._awaited:
                now = self.clock()
                oldest = min(one.since for one in self._awaited)
                self.waits([one.title for one in self._awaited], (now - oldest).total_seconds())
                first, most = LOOK_EVERY
                self.sleep(min(most, max(first, (now - changed).total_seconds() / 10)))

    def _look(self, one: Awaited) -> Seen | None:
        """Return what is seen of a sign. A service that fails is asked again."""
        why = ""
        try:
            if seen := one.look():
                return seen
        except (MissingPermissionError, DeskRefusedError) as error:
            return _refused(error)
        except ExternalServiceError as error:
            why = f": {error}"
        if self.clock() - one.since < self.time_limit:
            return None
        return Seen(Level.FAIL, f"not seen within {self.time_limit.total_seconds():.0f} s{why}")

    def _show(self, sign: Sign, seen: Seen, about: str = "", seconds: float | None = None) -> None:
        self._shown.add(sign)
        self.show(ProbeResult(sign, seen.level, seen.what, about, seconds))

    # Afterwards -------------------------------------------------------------------------------

    def _remove_left_overs(self) -> None:
        found: list[str] = []
        tag = (USER_TAG, self.stack.name)
        if refused := _tried(lambda: found.extend(self.account.left_overs(tag))):
            self._show(Sign.REMOVED, refused, "left-overs of earlier probes")
        for name in found:
            self._remove(name, "left over of an earlier probe")

    def _remove(self, name: str, why: str = "with password, key and policy") -> None:
        if refused := _tried(lambda: self.account.delete_user(name)):
            self._show(Sign.REMOVED, Seen(Level.FAIL, f"NOT removed: {refused.what}"), name)
        else:
            self._show(Sign.REMOVED, Seen(Level.OK, why), name)


def _tried(call: Callable[[], object]) -> Seen | None:
    """Return what is wrong with a call; None if it was made."""
    try:
        call()
    except ExternalServiceError as error:
        return _refused(error)
    return None


def _refused(error: ExternalServiceError) -> Seen:
    if isinstance(error, MissingPermissionError):
        return Seen(Level.UNKNOWN, f"{error} is denied to you")
    return Seen(Level.FAIL, str(error))


def _in(state: str, wanted: RequestState, how: str) -> Seen:
    return Seen(Level.OK if state == wanted else Level.FAIL, f"{state}, {how}")


def _sent(found: IntentRecord, how: str) -> Seen | None:
    match found.status:
        case IntentStatus.PENDING | IntentStatus.CLAIMED:
            return None
        case IntentStatus.SENT:
            return Seen(Level.OK, how)
        case status:
            return Seen(Level.FAIL, f"{status}: {found.reason}")
