"""What the use cases need of the world, and the errors it may answer with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from mfa_watcher.domain.casework import Decision
from mfa_watcher.domain.census import AssignedDevice, CredentialReport, ListedUser, ReportState
from mfa_watcher.domain.change_requests import ChangeRequest, RequestState
from mfa_watcher.domain.checkup import (
    Blocked,
    EventSource,
    Function,
    Guard,
    MailAccount,
    PasswordPolicy,
    Root,
    Rule,
    Subscriptions,
    Trail,
)
from mfa_watcher.domain.devices import Device
from mfa_watcher.domain.feedback import MailOutcome
from mfa_watcher.domain.heartbeats import Heartbeat, Pulse
from mfa_watcher.domain.history import HistoryEntry
from mfa_watcher.domain.intents import Alert, Case, Intent, Mail
from mfa_watcher.domain.passwords import Password
from mfa_watcher.domain.roster import Entry, Swept
from mfa_watcher.domain.sweep import SweepOrder
from mfa_watcher.domain.users import User, UserKey


class WorldError(Exception):
    """Something outside did not do as asked; trying again later may help."""


class IamReadError(WorldError):
    """IAM could not be read: throttled, denied or out of reach."""


class AccountOutOfReachError(IamReadError):
    """Nothing in the account can be read: the text names it, and what to put right there."""


class NotReadError(WorldError):
    """Something of a live account could not be read. The text names the call, and why."""


class NotAllowedError(NotReadError):
    """The caller may not read it: the text names the call, as permissions name it."""


class IamWriteError(WorldError):
    """IAM could not be changed: throttled, denied or out of reach."""


class IamDeniedError(IamWriteError):
    """A policy forbids that change of IAM, so it surely was not made."""


class HeldUpError(WorldError):
    """A request is carried out in part. The text says what held it up, and what to do."""


class LostRaceError(WorldError):
    """Somebody else changed the user or the request first: read again and decide again."""


class AlreadyDecidedError(Exception):
    """The event was decided before: a duplicate, and nothing to do."""


class NoSuchRequestError(Exception):
    """There is no change request of that id, or none that the caller may know of."""


class UnactionableError(Exception):
    """An event that is well-formed but must not be acted on; the text says why."""


class RefusedError(Exception):
    """The receiving side will never take this message. The text says why."""


class BadAddressError(RefusedError):
    """The address is none that a mail can go to."""


class NotSentError(WorldError):
    """The message could not be sent now."""


class ThrottledError(NotSentError):
    """Too much at once. It may go soon."""


class QuotaUsedUpError(NotSentError):
    """The day's quota is used up. It becomes free bit by bit, as what was sent grows a day old."""


class SendingStoppedError(NotSentError):
    """The account may not send at all until a person has seen to it."""


@dataclass(frozen=True, slots=True)
class IamUser:
    """What ``GetUser`` says."""

    user_id: str
    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


class IamReader(Protocol):
    """Reads one account's IAM. Each method is one call and raises IamReadError."""

    def user(self, name: str) -> IamUser | None:
        """Give the user of that name; None if there is none (``GetUser``)."""
        ...

    def devices(self, name: str) -> tuple[Device, ...] | None:
        """Give a user's devices; None if there is no such user (``ListMFADevices``)."""
        ...

    def has_console_access(self, name: str) -> bool:
        """Tell whether there is a console password (``GetLoginProfile``); False if no such user."""
        ...


IamOf: TypeAlias = Callable[[str], IamReader]
"""Gives the reader of an account by its id. What it cannot reach, it says at the first read."""


class Accounts(Protocol):
    """The accounts that are watched: the watcher's own, and the members of its organization."""

    def ids(self) -> tuple[str, ...]:
        """Give the ids of all, our own first. Raises WorldError if they cannot be listed."""
        ...

    def include(self, account_id: str) -> bool:
        """Tell whether an account is one of them. Raises WorldError as ``ids`` does."""
        ...


class AccountAliases(Protocol):
    """What accounts are called."""

    def alias(self, account_id: str) -> str | None:
        """Give an account's alias; None if it has none. Raises IamReadError."""
        ...


class CensusTaker(Protocol):
    """Lists all users of one account, in few calls. Each method raises IamReadError."""

    @property
    def calls(self) -> int:
        """How many calls were made so far."""
        ...

    def report(self) -> CredentialReport | ReportState:
        """Give the credential report, or say why there is none (``GetCredentialReport``)."""
        ...

    def order_report(self) -> ReportState:
        """Have a report made, if the last is too old (``GenerateCredentialReport``)."""
        ...

    def users(self) -> tuple[ListedUser, ...]:
        """Give all users, a thousand a call (``ListUsers``)."""
        ...

    def assigned_devices(self) -> tuple[AssignedDevice, ...]:
        """Give all users' virtual devices, a thousand a call (``ListVirtualMFADevices``)."""
        ...

    def devices_in_use(self) -> int:
        """Count the devices of all kinds that somebody has (``GetAccountSummary``)."""
        ...


class SweepQueue(Protocol):
    """Keeps the accounts to be swept."""

    def send(self, order: SweepOrder, *, delay: timedelta = timedelta()) -> None:
        """Put an account into the queue, to be taken out after the delay, 15 minutes at most."""
        ...


class IamReset(Protocol):
    """Takes devices off users and gives them new passwords.

    Each method is one call, can be repeated, and raises IamWriteError, whose text says what to do.
    """

    def shortest_password(self) -> int:
        """Give how long a password must be at least (``GetAccountPasswordPolicy``).

        Raises IamReadError.
        """
        ...

    def deactivate(self, name: str, serial: str) -> bool:
        """Take a device off a user (``DeactivateMFADevice``); False if it is not his."""
        ...

    def delete(self, serial: str) -> bool:
        """Delete a virtual device, if there is one (``DeleteVirtualMFADevice``).

        False if it is some user's: such a device stays.
        """
        ...

    def set_password(self, name: str, password: Password) -> bool:
        """Give a password that is to be changed at the next sign-in (``UpdateLoginProfile``).

        False if the user has no password, or is not there.
        """
        ...


class IamWarden(Protocol):
    """Shuts users in and lets them out, in one account.

    Each method is one call, can be repeated, and raises IamWriteError.
    """

    def shut_in(self, name: str) -> None:
        """Leave the user nothing but enrolling a device (``AttachUserPolicy``)."""
        ...

    def let_out(self, name: str) -> None:
        """Take that back, if it is so (``DetachUserPolicy``)."""
        ...


WardenOf: TypeAlias = Callable[[str], IamWarden]
"""Gives the warden of an account by its id."""


@dataclass(frozen=True, slots=True)
class RequestSearch:
    """Which change requests are wanted. Nothing given: all."""

    states: tuple[RequestState, ...] = ()
    subject: UserKey | None = None
    subject_name: str | None = None
    """The subject's name when the request was opened, whatever its case. With ``subject``, too:
    those of either."""
    opened_from: datetime | None = None
    opened_before: datetime | None = None
    limit: int = 25
    after: str | None = None
    """Where the page before ended."""


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Some of the requests searched for, the newest first."""

    requests: tuple[ChangeRequest, ...]
    after: str | None = None
    """Where the page ends, if there are more."""


class Store(Protocol):
    """The state that decisions read and commit."""

    def user(self, key: UserKey) -> User | None:
        """Give the user's record."""
        ...

    def user_id_named(self, account_id: str, name: str) -> str | None:
        """Give the id of the user last known under a name, whatever its case."""
        ...

    def user_id_of_removed_device(self, account_id: str, serial: str) -> str | None:
        """Give the id of the user from whom a device was lately removed, or tried to be."""
        ...

    def request(self, request_id: str) -> ChangeRequest | None:
        """Give a change request."""
        ...

    def requests(self, search: RequestSearch) -> RequestPage:
        """Give a page of the change requests that are searched for, the newest first."""
        ...

    def request_history(self, request_id: str) -> list[HistoryEntry]:
        """Give all that is recorded of a change request, the oldest first."""
        ...

    def due_users(self, *, now: datetime) -> Iterator[UserKey]:
        """Give the users whom the schedule is to look at, page by page."""
        ...

    def due_requests(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of the requests that the schedule is to look at, page by page."""
        ...

    def unreachable(self, *, now: datetime) -> list[tuple[UserKey, Case]]:
        """Give users out of reach whom security has not been told of, as many as fit one mail."""
        ...

    def due_quarantines(self, *, now: datetime) -> Iterator[UserKey]:
        """Give the users who are to be shut in or let out, as their records say."""
        ...

    def quarantine_done(self, key: UserKey, *, decided_at: datetime) -> None:
        """Take a user off that list, unless there was a decision after the given moment."""
        ...

    def roster(self, account_id: str) -> Iterator[Entry]:
        """Give all users of an account who are not gone. It may be a moment behind."""
        ...

    def note(self, users: Sequence[User]) -> tuple[User, ...]:
        """Write records of users nobody knew; gives those who are known after all, left as found.

        For users about whom nothing is decided: no history, no intents.
        """
        ...

    def last_sweep(self, account_id: str) -> Swept | None:
        """Give what is kept of an account's last sweep."""
        ...

    def beat(self, pulse: Pulse, at: datetime) -> None:
        """Note when an event happened that came by a path, unless a later one is noted."""
        ...

    def expect(self, pulse: Pulse, now: datetime) -> None:
        """Note since when events are expected by a path, unless that is noted."""
        ...

    def heartbeats(self) -> Iterator[Heartbeat]:
        """Give all heartbeats, of whatever was ever seen or expected."""
        ...

    def exempted(self) -> Iterator[User]:
        """Give all users with an exemption. Reads the whole table: for a person, not a function."""
        ...

    def commit(self, decision: Decision, *, now: datetime) -> None:
        """Write a decision in one transaction: all of it or nothing.

        Raises AlreadyDecidedError if its event was committed before, LostRaceError if the user or
        the request changed since it was read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """An intent that is ours to deliver until the claim runs out. ``attempts`` counts this one."""

    intent: Intent
    attempts: int
    waits: int = 0
    """How many of the attempts only found that it was not the intent's turn."""

    lapses: int = 0
    """How many earlier attempts came to no end at all: the function died in them."""

    @property
    def tries(self) -> int:
        """Count the attempts that something went wrong with, and this one."""
        return self.attempts - self.waits


@dataclass(frozen=True, slots=True)
class SentIntent:
    """An intent, and to whom it went, if it did."""

    intent: Intent
    to: str | None = None
    unmarked: Claim | None = None
    """Its last attempt, if it was tried and has not ended: it may have gone out."""


class Outbox(Protocol):
    """The intents on their way out."""

    def claim(self, intent_id: str, *, now: datetime) -> Claim | None:
        """Take an intent for ourselves; None if it is done, or in somebody else's hands now."""
        ...

    def mark_sent(self, claim: Claim, *, receipt: str, to: str, now: datetime) -> None:
        """Record that it went out: to whom, under which message id.

        This and the other ends raise LostRaceError if the intent is not in these hands any more.
        """
        ...

    def mark_skipped(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Record that it is not wanted any more."""
        ...

    def mark_failed(self, claim: Claim, *, reason: str, now: datetime) -> None:
        """Give it up, but keep it with the reason."""
        ...

    def put_back(
        self, claim: Claim, *, reason: str, due_at: datetime, waited: bool = False
    ) -> None:
        """Leave it for later. ``waited``: it was not its turn, and that is no failed try."""
        ...

    def note_unreachable(self, mail: Mail, *, why: str, now: datetime) -> None:
        """Put a user on the list of those whom no address leads to, unless he is on it."""
        ...

    def reopen(self, intent_id: str, *, now: datetime) -> bool:
        """Make a failed intent due again, its attempts forgotten; False if it has not failed."""
        ...

    def due(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of mails whose time has come and which nobody holds."""
        ...

    def due_alerts(self, *, now: datetime) -> Iterator[str]:
        """Give the ids of such alerts."""
        ...

    def look_up(self, intent_id: str) -> SentIntent | None:
        """Give an intent, whatever has become of it."""
        ...

    def record_outcome(self, intent_id: str, outcome: MailOutcome, *, at: datetime) -> bool:
        """Note how a sent mail ended; False if as much or more is known."""
        ...


class Pace(Protocol):
    """Keeps all who send at one time under the rate that the account may send at."""

    def wait_for_turn(self, recipients: int) -> None:
        """Come back when a mail may go. Raises ThrottledError if that is not soon."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """An alert's place among those of its time."""

    number: int
    """Which alert of its urgency it is, from 1 on."""
    until: datetime
    """When those that wait are told together."""


class AlertWindow(Protocol):
    """Counts the alerts of one time: a window opens with the first and closes a while later."""

    def count(self, *, urgent: bool, now: datetime) -> Turn:
        """Count one more alert."""
        ...


class Mailer(Protocol):
    """Sends mails."""

    def send(self, message: "Message") -> str:
        """Send, and give the message id. Raises RefusedError or NotSentError, or one of theirs."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A mail ready to go. ``tags`` go to the mail service, which reports outcomes by them."""

    to: str
    subject: str
    html: str
    text: str
    cc: str | None = None
    thread: str | None = None
    """What the mail belongs to: mail clients keep together what has the same thread."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Alerter(Protocol):
    """Tells the security team."""

    def send(self, alert: Alert, *, intent_id: str) -> str:
        """Publish, and give the message id. Raises RefusedError or NotSentError."""
        ...

    def send_digest(self, intents: Sequence[Intent]) -> str:
        """Publish several alerts as one message, and give its id. Raises as ``send`` does."""
        ...


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail's words."""

    subject: str
    html: str
    text: str


class MailRenderer(Protocol):
    """Puts a mail into words."""

    def render(self, mail: Mail, language: str | None, *, alias: str | None) -> RenderedMail:
        """Give subject, HTML and text, in a language if it is there, else in the account's.

        ``alias`` is what the mail's account is called beside its number.
        """
        ...


class Inspector(Protocol):
    """Reads a live account for the checkup: None if a thing is not there.

    All raise NotAllowedError or NotReadError.
    """

    def trails(self, region: str) -> list[Trail]:
        """Give the trails that take a region's events."""
        ...

    def rule(self, name: str, region: str | None = None) -> Rule | None:
        """Give a rule of the default bus; without a region, in the stack's own."""
        ...

    def bus_lets_in(self) -> set[str]:
        """Give the organizations whose events the hub's bus takes; ``*``, everybody's."""
        ...

    def forwarded_dead_letters(self, queue: str, region: str) -> int | None:
        """Count what a forwarder could not send."""
        ...

    def function(self, name: str) -> Function | None:
        """Give a function."""
        ...

    def event_source(self, uuid: str) -> EventSource | None:
        """Give an event source mapping."""
        ...

    def schedule_enabled(self, name: str) -> bool | None:
        """Tell whether a schedule is enabled."""
        ...

    def messages(self, queue_url: str) -> int | None:
        """Count a queue's messages."""
        ...

    def mail_account(self) -> MailAccount:
        """Give what SES allows the account."""
        ...

    def identity_verified(self, identity: str) -> bool | None:
        """Tell whether SES sends for an address or a domain."""
        ...

    def subscriptions(self, topic_arn: str) -> Subscriptions | None:
        """Count a topic's subscriptions."""
        ...

    def guard(self, policy_arn: str) -> Guard | None:
        """Give the guard policy and whom it is attached to."""
        ...

    def scp_targets(self, policy_id: str) -> list[str]:
        """Give what a service control policy is attached to: roots, units, accounts."""
        ...

    def root(self) -> Root:
        """Give what is known of root's credentials."""
        ...

    def password_policy(self) -> PasswordPolicy | None:
        """Give the account's password policy."""
        ...

    def blocked(self, user: str, *, users_change: bool) -> list[Blocked] | None:
        """Give the calls for a first password that a user without MFA is refused.

        ``users_change``: the account lets everybody change his own password.
        """
        ...


class TableReader(Protocol):
    """Reads for the checkup what the watcher keeps. Raises as the Inspector does."""

    def last_sweep(self, account_id: str) -> Swept | None:
        """Give what is kept of an account's last sweep."""
        ...

    def roster(self, account_id: str) -> list[Entry]:
        """Give whom the watcher knows in an account."""
        ...

    def heartbeats(self) -> "list[Heartbeat]":
        """Give all heartbeats, of whatever was ever seen or expected."""
        ...


class DeadLetters(Protocol):
    """Keeps what no retry can mend."""

    def park(self, body: str, *, reason: str, source_queue: str) -> None:
        """Keep a message as it came, with the reason and where it came from."""
        ...
