"""The only place that builds clients, and that connects the parts of each function."""

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import boto3
from botocore.config import Config

from mfa_watcher import settings
from mfa_watcher.adapters.accounts import (
    IamAliases,
    MemberSessions,
    NamedAccounts,
    OrganizationAccounts,
)
from mfa_watcher.adapters.dead_letters import SqsDeadLetters
from mfa_watcher.adapters.iam import BotoIamReader
from mfa_watcher.adapters.outbox import DynamoOutbox
from mfa_watcher.adapters.store import DynamoStore
from mfa_watcher.adapters.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_iam import IAMClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

    from mfa_watcher.entrypoints.api.desk_api import DeskApi
    from mfa_watcher.entrypoints.outbox import Deliver, Redeliver
    from mfa_watcher.entrypoints.queue import MailFeedback, Observe, Sweep, UnusableMessages
    from mfa_watcher.entrypoints.schedule import Expire, Quarantine, Remind, Watch
    from mfa_watcher.ports.accounts import Accounts
    from mfa_watcher.ports.iam import IamReaderFactory
    from mfa_watcher.usecases.admit_approver import AdmitApprover
    from mfa_watcher.usecases.deliver import DeliverIntents

# Short enough that retries fit into a function's 30 seconds. The queue or the schedule can try
# again later.
_CONFIG = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
)
SESSION_NAME = "mfa-watcher"
"""The session name under which a member's own CloudTrail records the watcher."""

# Sending is not retried here: after a lost answer a second call would send again. The outbox
# retries later, and counts how often.
_NO_RETRY = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))

# The sweep has minutes, and reads many users at a time: it slows down when IAM throttles.
_SLOW = _CONFIG.merge(
    Config(
        read_timeout=20,
        retries={"mode": "adaptive", "total_max_attempts": 8},
        max_pool_connections=16,
    )
)


class _Deferred:
    """A boto3 client that is built or looked up only when it is used."""

    def __init__(self, client: "Callable[[], object]") -> None:
        self._client = client

    def __getattr__(self, name: str) -> object:
        return getattr(self._client(), name)


@cache
def _client(service: str, config: Config = _CONFIG) -> Any:  # noqa: ANN401 - any service's client
    """Return a client that is built on first use: each adds 12 to 90 ms to a cold start."""

    @cache
    def built() -> object:
        # boto3's types know each service by a literal name.
        build: Callable[..., object] = boto3.client
        return build(service, config=config)

    return _Deferred(built)


def now() -> datetime:
    """The clock of the deployed product."""
    return datetime.now(UTC)


def sleep(seconds: float) -> None:
    """Wait, in the deployed product (tests replace this)."""
    time.sleep(seconds)


def _iam_client_factory(
    env: settings.TableSettings, *, role: str = "", config: Config = _CONFIG
) -> "Callable[[str], IAMClient]":
    """Return a factory of accounts' IAM clients: our own, or a member's by a role of the watcher.

    A member's role is assumed only when its client is used; that may fail. The role is the one
    that reads, unless another is named.
    """

    def build(credentials: "CredentialsTypeDef") -> "IAMClient":
        return boto3.client(
            "iam",
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            config=config,
        )

    sessions = MemberSessions(
        _client("sts"),
        own=env.account_id,
        partition=env.partition,
        role_name=role or env.reader_role,
        session_name=SESSION_NAME,
        build=build,
        clock=now,
    )

    def client_of(account_id: str) -> "IAMClient":
        if account_id == env.account_id:
            return cast("IAMClient", _client("iam", config))
        return cast("IAMClient", _Deferred(lambda: sessions.of(account_id)))

    return client_of


def _iam_reader_factory(env: settings.TableSettings) -> "IamReaderFactory":
    """Return a factory of accounts' IAM readers."""
    return _reader_factory(_iam_client_factory(env))


def _reader_factory(client_of: "Callable[[str], IAMClient]") -> "Callable[[str], BotoIamReader]":
    return lambda account_id: BotoIamReader(client_of(account_id))


def _accounts(env: settings.TableSettings) -> "Accounts":
    if env.asks_organization:
        return OrganizationAccounts(_client("organizations"), own=env.account_id, clock=now)
    return NamedAccounts(env.account_id, env.member_accounts)


def _table(env: settings.TableSettings, config: Config = _CONFIG) -> Table:
    return Table(_client("dynamodb", config), env.table_name)


def _store(env: settings.PolicySettings, config: Config = _CONFIG) -> DynamoStore:
    return DynamoStore(
        _table(env, config),
        remember_events=env.policy.remember_events,
        keep_evidence=env.keep_evidence,
    )


def _outbox(env: settings.TableSettings) -> DynamoOutbox:
    return DynamoOutbox(_table(env), keep_evidence=env.keep_evidence)


def _unusable_messages(env: settings.QueueSettings, metric: str) -> "UnusableMessages":
    from mfa_watcher.entrypoints.queue import UnusableMessages

    dead_letters = SqsDeadLetters(_client("sqs"), queue_url=env.dead_letter_queue_url)
    return UnusableMessages(dead_letters, env.max_receive_count, metric)


@cache
def observe() -> "Observe":
    """Return the parts of on_sign_in and on_iam_change. Raises SettingsError."""
    from mfa_watcher.entrypoints.queue import Observe
    from mfa_watcher.usecases.observe import ObserveEvents
    from mfa_watcher.usecases.record_heartbeat import RecordHeartbeat

    env = settings.ObserveSettings.from_environment()
    accounts, store = _accounts(env), _store(env)
    events = ObserveEvents(
        accounts=accounts,
        watcher=env.watcher,
        store=store,
        iam_of=_iam_reader_factory(env),
        policy=env.policy,
        clock=now,
    )
    heartbeats = RecordHeartbeat(accounts, store, env.path)
    return Observe(events, heartbeats, _unusable_messages(env, "Events"), now)


@cache
def mail_feedback() -> "MailFeedback":
    """Return the parts of on_mail_feedback. Raises SettingsError."""
    from mfa_watcher.entrypoints.queue import MailFeedback
    from mfa_watcher.usecases.mail_feedback import RecordMailFeedback

    env = settings.QueueSettings.from_environment()
    feedback = RecordMailFeedback(_store(env), _outbox(env), env.policy, now)
    return MailFeedback(feedback, _unusable_messages(env, "Events"), env.account_id)


@cache
def sweep() -> "Sweep":
    """Return the parts of sweep. Raises SettingsError."""
    from mfa_watcher.adapters.account_lists import BotoAccountListReader
    from mfa_watcher.adapters.sweep_queue import SqsSweepQueue
    from mfa_watcher.entrypoints.queue import Sweep
    from mfa_watcher.usecases.sweep import SweepAccounts

    env = settings.SweepSettings.from_environment()
    client_of = _iam_client_factory(env, config=_SLOW)
    queue = SqsSweepQueue(_client("sqs"), queue_url=env.sweep_queue_url)
    accounts = SweepAccounts(
        accounts=_accounts(env).ids,
        store=_store(env, config=_SLOW),
        iam_of=_reader_factory(client_of),
        list_reader_of=lambda account_id: BotoAccountListReader(client_of(account_id)),
        queue=queue,
        policy=env.policy,
        clock=now,
    )
    return Sweep(accounts, queue, _unusable_messages(env, "Sweeps"))


@cache
def remind() -> "Remind":
    """Return the parts of remind. Raises SettingsError."""
    from mfa_watcher.entrypoints.schedule import Remind
    from mfa_watcher.usecases.remind import RemindUsers

    env = settings.RemindSettings.from_environment()
    return Remind(
        RemindUsers(
            _store(env),
            _iam_reader_factory(env),
            env.policy,
            now,
            env.account_id,
            quarantines_members=env.quarantines_members,
        )
    )


@cache
def expire() -> "Expire":
    """Return the parts of expire. Raises SettingsError."""
    from mfa_watcher.entrypoints.schedule import Expire
    from mfa_watcher.usecases.expire import ExpireRequests

    env = settings.PolicySettings.from_environment()
    iam_of = _iam_reader_factory(env)
    return Expire(ExpireRequests(_store(env), iam_of, env.policy, now))


@cache
def quarantine() -> "Quarantine":
    """Return the parts of quarantine. Raises SettingsError."""
    from mfa_watcher.adapters.iam import BotoIamQuarantine
    from mfa_watcher.entrypoints.schedule import Quarantine
    from mfa_watcher.usecases.quarantine import QuarantineUsers

    env = settings.QuarantineSettings.from_environment()
    client_of = _iam_client_factory(env, role=env.quarantine_role)

    def quarantine_of(account_id: str) -> BotoIamQuarantine:
        policy_arn = env.policy_arn_in(account_id)
        return BotoIamQuarantine(client_of(account_id), policy_arn=policy_arn)

    iam_of = _iam_reader_factory(env)
    return Quarantine(QuarantineUsers(_store(env), iam_of, quarantine_of, now))


@cache
def watch() -> "Watch":
    """Return the parts of watch. Raises SettingsError."""
    from mfa_watcher.entrypoints.schedule import Watch
    from mfa_watcher.usecases.watch import WatchHeartbeats

    env = settings.WatchSettings.from_environment()
    return Watch(
        WatchHeartbeats(
            accounts=_accounts(env).ids,
            regions=tuple(env.regions),
            iam_region=env.iam_region,
            store=_store(env),
            silence_threshold=env.silence_threshold,
            clock=now,
        )
    )


@cache
def change_desk() -> "DeskApi":
    """Return the API of change_desk. Raises SettingsError."""
    from mfa_watcher.entrypoints.api.routes import change_desk_api
    from mfa_watcher.usecases.change_desk import ChangeDesk

    env = settings.PolicySettings.from_environment()
    iam_of, accounts = _iam_reader_factory(env), _accounts(env)
    return change_desk_api(
        ChangeDesk(env.account_id, _store(env), iam_of, env.policy, now, _new_call_id, accounts)
    )


@cache
def approval_desk() -> "DeskApi":
    """Return the API of approval_desk. Raises SettingsError."""
    from mfa_watcher.entrypoints.api.routes import approval_desk_api
    from mfa_watcher.usecases.approval_desk import ApprovalDesk

    env = settings.ApproverSettings.from_environment()
    iam_of = _iam_reader_factory(env)
    desk = ApprovalDesk(env.account_id, _store(env), iam_of, env.policy, now, _new_call_id)
    return approval_desk_api(desk, _admission(env))


@cache
def fulfil() -> "DeskApi":
    """Return the API of fulfil. Raises SettingsError."""
    import secrets

    from mfa_watcher.adapters.iam import BotoIamReset
    from mfa_watcher.entrypoints.api.fulfil import fulfil_api
    from mfa_watcher.usecases.fulfil import FulfilRequest

    env = settings.FulfilSettings.from_environment()
    client_of = _iam_client_factory(env, role=env.member_fulfil_role)
    own_alias = {env.account_id: env.account_alias}
    use_case = FulfilRequest(
        store=_store(env),
        iam_of=_reader_factory(client_of),
        reset_of=lambda account_id: BotoIamReset(client_of(account_id)),
        policy=env.policy,
        aliases=IamAliases(client_of, clock=now, set_by_hand=own_alias),
        randomness=secrets.SystemRandom(),
        clock=now,
        new_id=_new_call_id,
    )
    return fulfil_api(use_case, env.account_id, _admission(env))


def _admission(env: settings.ApproverSettings) -> "AdmitApprover":
    """Return what admits approvers, and nobody else."""
    from urllib3 import PoolManager

    from mfa_watcher.adapters.caller_proofs import StsCallerProofs
    from mfa_watcher.usecases.admit_approver import AdmitApprover

    proofs = StsCallerProofs(
        PoolManager(cert_reqs="CERT_REQUIRED"),
        # The SDKs' own setting for all services. Who sets a function's variables decides anyway.
        os.environ.get("AWS_ENDPOINT_URL") or env.sts_endpoint,
        env.sts_region,
        now,
    )
    roles = BotoIamReader(_client("iam"))
    return AdmitApprover(env.approvers, proofs, roles, env.proof_function)


def _new_call_id() -> str:
    return f"desk-{uuid4()}"


@cache
def deliver() -> "Deliver":
    """Return the parts of deliver. Raises SettingsError."""
    from mfa_watcher.entrypoints.outbox import Deliver

    return Deliver(_deliver_intents())


@cache
def redeliver() -> "Redeliver":
    """Return the parts of redeliver. Raises SettingsError."""
    from mfa_watcher.entrypoints.outbox import Redeliver

    intents = _deliver_intents()
    return Redeliver(intents, intents.outbox, now)


def _deliver_intents() -> "DeliverIntents":
    from mfa_watcher.adapters.sending_rate import DynamoAlertCounter, DynamoSendingRate
    from mfa_watcher.adapters.ses import SesMailer, SesRate
    from mfa_watcher.adapters.sns import SnsAlerter
    from mfa_watcher.mail.rendering import JinjaMailRenderer, MailContext
    from mfa_watcher.usecases.deliver import DeliverIntents

    env = settings.DeliverSettings.from_environment()
    table, client_of = _table(env), _iam_client_factory(env)
    own_alias = {env.account_id: env.account_alias}
    renderer = JinjaMailRenderer(
        MailContext(
            partition=env.partition,
            security_contact=env.security_contact,
            default_language=env.default_language,
            time_zone=env.time_zone.key,
            address_tag=env.address_tags[0],
        )
    )
    return DeliverIntents(
        outbox=_outbox(env),
        store=_store(env),
        iam_of=_reader_factory(client_of),
        aliases=IamAliases(client_of, clock=now, set_by_hand=own_alias),
        mailer=SesMailer(
            _client("sesv2", _NO_RETRY),
            sender=env.sender_address,
            configuration_set=env.configuration_set,
        ),
        alerter=SnsAlerter(_client("sns", _NO_RETRY), topic_arn=env.alert_topic_arn),
        renderer=renderer,
        addresses=env.addresses,
        security_address=env.security_contact,
        mail_hours=env.policy.mail_hours,
        sending_rate=DynamoSendingRate(table, SesRate(_client("sesv2"), now), now, sleep),
        window=DynamoAlertCounter(table, length=env.alert_digest),
        clock=now,
    )
