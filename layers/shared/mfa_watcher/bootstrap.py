"""The only place that builds clients and puts the parts together."""

import time
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import boto3
from botocore.config import Config

from mfa_watcher.adapters.dead_letters import SqsDeadLetters
from mfa_watcher.adapters.iam import BotoIamReader
from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.domain.policy import Policy
from mfa_watcher.settings import (
    ApprovalDeskSettings,
    ChangeDeskSettings,
    DeliverSettings,
    ExpireSettings,
    FeedbackSettings,
    FulfilSettings,
    ObserveSettings,
    QuarantineSettings,
    RemindSettings,
    TableSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfa_watcher.dispatch import Dispatch
    from mfa_watcher.function_url import Desk
    from mfa_watcher.intake import Intake
    from mfa_watcher.rounds import RequestRounds, Rounds, WardRounds

# Short enough that retries fit into a function's 30 seconds, and the queue or the schedule can
# try again later.
_CONFIG = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
)
# What sends is asked once: after a lost answer a second try would send again. The outbox tries
# again later, and knows how often it did.
_ONCE = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


class _OnFirstUse:
    """A boto3 client that is built when it is first used: each costs a cold start 12 to 90 ms."""

    def __init__(self, service: str, config: Config) -> None:
        self._service = service
        self._config = config

    @cached_property
    def _client(self) -> object:
        # boto3's types know each service by a literal name.
        build: Callable[..., object] = boto3.client
        return build(self._service, config=self._config)

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


@cache
def _client(service: str, config: Config = _CONFIG) -> Any:  # noqa: ANN401 - any service's client
    return cast("Any", _OnFirstUse(service, config))


def now() -> datetime:
    """The clock of the deployed product."""
    return datetime.now(UTC)


def sleep(seconds: float) -> None:
    """Wait, in the deployed product."""
    time.sleep(seconds)


def _store(settings: TableSettings) -> DynamoStore:
    return DynamoStore(
        _client("dynamodb"),
        table_name=settings.table_name,
        remember_events=Policy().remember_events,
        keep_evidence=settings.keep_evidence,
    )


def _outbox(settings: TableSettings) -> DynamoOutbox:
    return DynamoOutbox(
        _client("dynamodb"), table_name=settings.table_name, keep_evidence=settings.keep_evidence
    )


@cache
def intake() -> "Intake":
    """The parts of on_sign_in and on_iam_change. Raises SettingsError."""
    from mfa_watcher.intake import Intake, observing
    from mfa_watcher.usecases.observe import Observer

    settings = ObserveSettings.from_environment()
    observer = Observer(
        account_id=settings.account_id,
        watcher_name=settings.watcher_name,
        store=_store(settings),
        iam=BotoIamReader(_client("iam")),
        policy=settings.policy,
        clock=now,
    )
    dead_letters = SqsDeadLetters(_client("sqs"), queue_url=settings.dead_letter_queue_url)
    return Intake(observing(observer), dead_letters, max_receives=settings.max_receive_count)


@cache
def mail_intake() -> "Intake":
    """The parts of on_mail_feedback. Raises SettingsError."""
    from mfa_watcher.intake import Intake, reading
    from mfa_watcher.usecases.feedback import Postmaster

    settings = FeedbackSettings.from_environment()
    postmaster = Postmaster(_store(settings), _outbox(settings), Policy(), now)
    dead_letters = SqsDeadLetters(_client("sqs"), queue_url=settings.dead_letter_queue_url)
    return Intake(reading(postmaster), dead_letters, max_receives=settings.max_receive_count)


@cache
def rounds() -> "Rounds":
    """The parts of remind. Raises SettingsError."""
    from mfa_watcher.rounds import Rounds
    from mfa_watcher.usecases.remind import Reminder

    settings = RemindSettings.from_environment()
    iam = BotoIamReader(_client("iam"))
    reminder = Reminder(settings.account_id, _store(settings), iam, settings.policy, now)
    return Rounds(reminder)


@cache
def request_rounds() -> "RequestRounds":
    """The parts of expire. Raises SettingsError."""
    from mfa_watcher.rounds import RequestRounds
    from mfa_watcher.usecases.expire import Registrar

    settings = ExpireSettings.from_environment()
    iam = BotoIamReader(_client("iam"))
    return RequestRounds(Registrar(_store(settings), lambda _account: iam, settings.policy, now))


@cache
def ward_rounds() -> "WardRounds":
    """The parts of quarantine. Raises SettingsError."""
    from mfa_watcher.adapters.iam import BotoIamWarden
    from mfa_watcher.rounds import WardRounds
    from mfa_watcher.usecases.quarantine import Warden

    settings = QuarantineSettings.from_environment()
    iam = _client("iam")
    warden = BotoIamWarden(iam, policy_arn=settings.quarantine_policy_arn)
    return WardRounds(Warden(_store(settings), BotoIamReader(iam), warden, now))


@cache
def change_desk() -> "Desk":
    """The parts of change_desk. Raises SettingsError."""
    from mfa_watcher.doors import change_door
    from mfa_watcher.usecases.desk import ChangeDesk

    settings = ChangeDeskSettings.from_environment()
    iam = BotoIamReader(_client("iam"))
    desk = ChangeDesk(
        account_id=settings.account_id,
        store=_store(settings),
        iam_of=lambda _account_id: iam,
        policy=settings.policy,
        clock=now,
        new_id=lambda: f"desk-{uuid4()}",
    )
    return change_door(desk)


@cache
def approval_desk() -> "Desk":
    """The parts of approval_desk. Raises SettingsError."""
    from mfa_watcher.doors import approval_door
    from mfa_watcher.usecases.desk import ApprovalDesk

    settings = ApprovalDeskSettings.from_environment()
    iam = BotoIamReader(_client("iam"))
    desk = ApprovalDesk(
        account_id=settings.account_id,
        store=_store(settings),
        iam_of=lambda _account_id: iam,
        policy=settings.policy,
        clock=now,
        new_id=lambda: f"desk-{uuid4()}",
    )
    return approval_door(desk)


@cache
def fulfil_desk() -> "Desk":
    """The parts of fulfil. Raises SettingsError."""
    import secrets

    from mfa_watcher.adapters.iam import BotoIamReset
    from mfa_watcher.fulfil_desk import fulfil_desk
    from mfa_watcher.usecases.fulfil import Fulfiller

    settings = FulfilSettings.from_environment()
    iam = _client("iam")
    fulfiller = Fulfiller(
        store=_store(settings),
        iam_of=lambda _account_id: BotoIamReader(iam),
        reset_of=lambda _account_id: BotoIamReset(iam),
        policy=settings.policy,
        account_alias=settings.account_alias,
        randomness=secrets.SystemRandom(),
        clock=now,
        new_id=lambda: f"desk-{uuid4()}",
    )
    return fulfil_desk(fulfiller, settings.account_id)


@cache
def dispatch() -> "Dispatch":
    """The parts of deliver and redeliver. Raises SettingsError."""
    from mfa_watcher.adapters.pace import DynamoAlertWindow, DynamoPace
    from mfa_watcher.adapters.ses import SesMailer, SesRate
    from mfa_watcher.adapters.sns import SnsAlerter
    from mfa_watcher.dispatch import Dispatch
    from mfa_watcher.mail.rendering import JinjaMailRenderer, MailContext
    from mfa_watcher.usecases.deliver import Deliverer

    settings = DeliverSettings.from_environment()
    dynamodb = _client("dynamodb")
    outbox = _outbox(settings)
    renderer = JinjaMailRenderer(
        MailContext(
            account_id=settings.account_id,
            account_alias=settings.account_alias,
            partition=settings.partition,
            security_contact=settings.security_contact,
            default_language=settings.default_language,
            time_zone=settings.time_zone.key,
            address_tag=settings.address_tags[0],
        )
    )
    deliverer = Deliverer(
        outbox=outbox,
        store=_store(settings),
        iam=BotoIamReader(_client("iam")),
        mailer=SesMailer(
            _client("sesv2", _ONCE),
            sender=settings.sender_address,
            configuration_set=settings.configuration_set,
        ),
        alerter=SnsAlerter(_client("sns", _ONCE), topic_arn=settings.alert_topic_arn),
        renderer=renderer,
        addresses=settings.addresses,
        security_address=settings.security_contact,
        mail_hours=settings.hours,
        pace=DynamoPace(
            dynamodb,
            table_name=settings.table_name,
            rate=SesRate(_client("sesv2"), clock=now),
            clock=now,
            sleep=sleep,
        ),
        window=DynamoAlertWindow(
            dynamodb, table_name=settings.table_name, length=settings.alert_digest
        ),
        clock=now,
    )
    return Dispatch(deliverer, outbox, clock=now)
