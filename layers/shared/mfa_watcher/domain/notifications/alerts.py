"""The alerts: their titles, severities and facts."""

from collections.abc import Mapping
from datetime import datetime

from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.events.tampering import Tampering
from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User
from mfa_watcher.domain.users.user_state import Draft, Situation


def alert(
    signal: Signal,
    kind: AlertKind,
    severity: Severity,
    title: str,
    *facts: tuple[str, str],
) -> Alert:
    """Return an alert: a title, its facts, and the facts that every alert gives of its record."""
    record = signal.record
    common = (
        ("Summary", signal.why),
        ("Actor", record.identity.arn or record.identity.type or "unknown"),
        ("Time", record.event_time or "unknown"),
        ("Source address", record.source_ip or "unknown"),
        ("User agent", record.user_agent or "unknown"),
        ("Account", record.account_id or "unknown"),
        ("CloudTrail event", record.event_id or "unknown"),
    )
    return Alert(kind, severity, title, (*facts, *common), record.account_id or "")


def removal_alert(situation: Situation, signal: Signal, draft: Draft, kind: AlertKind) -> Alert:
    """Return the alert for a removal, or for an attempt at one."""
    severity, title = {
        AlertKind.REMOVAL_DENIED: (Severity.MEDIUM, "Attempt to remove an MFA device was denied"),
        AlertKind.REMOVAL_UNAPPROVED: (Severity.HIGH, "MFA device removed without approval"),
        AlertKind.REMOVAL_BREAK_GLASS: (Severity.HIGH, "MFA device removed by a break-glass role"),
    }[kind]
    user = draft.user
    left = (
        len(user.devices)
        if situation.iam_state and situation.iam_state.devices is not None
        else None
    )
    return alert(
        signal,
        kind,
        severity,
        title,
        ("User", user.name),
        ("Device", signal.serial or "not named in the record"),
        ("Devices left", "not asked" if left is None else str(left)),
        ("Change request", draft.open_request.id if draft.open_request else "none"),
    )


def fulfilment_denied_alert(signal: Signal, draft: Draft, request: ChangeRequest) -> Alert:
    """Return the alert for a fulfilment that IAM denied: a policy is too strict."""
    return alert(
        signal,
        AlertKind.REMOVAL_DENIED,
        Severity.MEDIUM,
        "The fulfilment of a change request was denied",
        ("User", draft.user.name),
        ("Device", signal.serial or "not named in the record"),
        ("Change request", request.id),
    )


def request_alert(  # noqa: PLR0913 - which request, when, and what of it
    request: ChangeRequest,
    user: User,
    at: datetime,
    *facts: tuple[str, str],
    kind: AlertKind,
    severity: Severity,
    title: str,
) -> Alert:
    """Return an alert about a request that is due: a title, and its facts."""
    return Alert(
        kind,
        severity,
        title,
        (
            ("User", user.name),
            ("Change request", request.id),
            *facts,
            ("Open since", f"{request.opened_at:%Y-%m-%d}"),
            ("Time", f"{at:%Y-%m-%dT%H:%M:%SZ}"),
            ("Account", request.subject.account_id),
        ),
        request.subject.account_id,
    )


def quarantine_alert(draft: Draft, at: datetime, *, dry_run: bool) -> Alert:
    """Return the alert for a user who is quarantined, or would be without the dry run."""
    user = draft.user
    since = user.finding.opened_at if user.finding else at
    would = "would be" if dry_run else "was"
    return Alert(
        AlertKind.QUARANTINED,
        Severity.LOW if dry_run else Severity.MEDIUM,
        f"A user without MFA {would} quarantined{' (dry run)' if dry_run else ''}",
        (
            ("User", user.name),
            ("Without MFA since", f"{since:%Y-%m-%d}"),
            ("End", "automatically, when the user has enrolled a device"),
            ("Account", user.key.account_id),
        ),
        user.key.account_id,
    )


def events_lost_alert(
    account_id: str, at: datetime, since: datetime | None, lost: Mapping[str, tuple[str, ...]]
) -> Alert:
    """Return the alert for events that did not arrive; ``lost`` has the calls, by user name."""
    calls = sum(len(missed) for missed in lost.values())
    named = [f"{name}: {', '.join(missed)}" for name, missed in sorted(lost.items())]
    more = f"; and {len(named) - _MOST_NAMED} more users" if len(named) > _MOST_NAMED else ""
    return Alert(
        AlertKind.EVENTS_LOST,
        Severity.HIGH,
        f"{calls} events about users did not reach the watcher",
        (
            ("Summary", "The sweep found changes in IAM for which no event arrived"),
            ("Users", "; ".join(named[:_MOST_NAMED]) + more),
            ("Since", f"{since:%Y-%m-%d %H:%M} UTC" if since else "the watcher was deployed"),
            ("Time", f"{at:%Y-%m-%dT%H:%M:%SZ}"),
            ("Next step", _AFTER_LOSS),
            ("Account", account_id),
        ),
        account_id,
    )


_MOST_NAMED = 20
_AFTER_LOSS = "Check that the trail logs, the rules are enabled and the queues are empty"


def silent_alert(account_id: str, silent: list[Heartbeat], now: datetime) -> Alert:
    """Return the alert for event paths on which nothing arrives, not even the canary."""
    return Alert(
        AlertKind.WATCH_SILENT,
        Severity.HIGH,
        "No events arrive, not even the watcher's own canary",
        (
            ("Meaning", "Changes there are not noticed until the next sweep"),
            ("Silent paths", "; ".join(_last_seen(one) for one in silent)),
            ("Next step", _AFTER_SILENCE),
            *_of_account(account_id, now),
        ),
        account_id,
    )


_AFTER_SILENCE = (
    "Check that forwarder.yaml is deployed there, the trail logs, the rules and the canary's"
    " schedule are enabled, and the dead-letter queues are empty; python -m mfa_watcher doctor"
    " checks all of this"
)


def recovered_alert(account_id: str, back: list[Heartbeat], now: datetime) -> Alert:
    """Return the alert for event paths on which events arrive again."""
    return Alert(
        AlertKind.WATCH_BACK,
        Severity.LOW,
        "Events arrive again",
        (
            ("Recovered paths", "; ".join(_last_seen(one) for one in back)),
            ("Next step", "Invoke sweep, which finds the changes that were missed"),
            *_of_account(account_id, now),
        ),
        account_id,
    )


def _last_seen(beat: Heartbeat) -> str:
    seen = f"last seen {beat.seen_at:%Y-%m-%d %H:%M} UTC" if beat.seen_at else "never seen"
    return f"{beat.source.region}, {beat.source.path.label}: {seen}"


def _of_account(account_id: str, now: datetime) -> tuple[tuple[str, str], ...]:
    return ("Time", f"{now:%Y-%m-%dT%H:%M:%SZ}"), ("Account", account_id)


def fulfilled_alert(
    request: ChangeRequest, user: User, by: Person, at: datetime, *, again: bool
) -> Alert:
    """Return the alert for a fulfilled request: somebody has a user's new password."""
    until = f"{request.window_until:%Y-%m-%d %H:%M} UTC" if request.window_until else "any time"
    return Alert(
        AlertKind.REQUEST_FULFILLED,
        Severity.LOW,
        "A change request was fulfilled" + (" again" if again else ""),
        (
            ("User", user.name),
            ("Change request", request.id),
            ("Summary", "A new password was given to who fulfilled it, to be changed at sign-in"),
            ("Steps done", ", ".join(request.fulfilment.done if request.fulfilment else ())),
            ("Devices kept", ", ".join(request.kept) or "none"),
            ("Approved by", request.verdict.by if request.verdict else "nobody"),
            ("Actor", by.arn),
            ("Time", f"{at:%Y-%m-%dT%H:%M:%SZ}"),
            ("Deadline for the new device", until),
            ("Account", user.key.account_id),
        ),
        user.key.account_id,
    )


def root_alert(signal: Signal) -> Alert:
    """Return the alert for an act of the root user."""
    if not signal.subject_is_root:
        severity, title = Severity.HIGH, "Root user acted on an IAM user or the account"
    else:
        severity, title = _ROOT_ALERTS.get(
            (signal.kind, signal.outcome), (Severity.HIGH, "Root user acted on itself")
        )
    facts = (("User", signal.subject),) if signal.subject else ()
    return alert(signal, AlertKind.ROOT_ACTIVITY, severity, title, *facts)


_ROOT_ALERTS = {
    (SignalKind.SIGN_IN_WITHOUT_MFA, None): (
        Severity.CRITICAL,
        "Root user signed in without MFA",
    ),
    (SignalKind.SIGN_IN_WITH_MFA, None): (Severity.MEDIUM, "Root user signed in"),
    (SignalKind.DEVICE_ENABLED, None): (Severity.MEDIUM, "Root user's MFA device enabled"),
    (SignalKind.DEVICE_REMOVAL, Outcome.SUCCEEDED): (
        Severity.CRITICAL,
        "Root user's MFA device removed",
    ),
    (SignalKind.DEVICE_REMOVAL, Outcome.DENIED): (
        Severity.HIGH,
        "Attempt to remove the root user's MFA device was denied",
    ),
    (SignalKind.DEVICE_REMOVAL, Outcome.FAILED): (
        Severity.HIGH,
        "Attempt to remove the root user's MFA device failed",
    ),
}


def tampering_alert(signal: Signal, found: Tampering) -> Alert:
    """Return the alert for tampering with the watcher: its meaning, and the next step."""
    severity, title = Severity.HIGH, "The watcher was tampered with"
    if signal.root:
        severity, title = Severity.CRITICAL, "The root user tampered with the watcher"
    if found.denied:
        severity, title = Severity.MEDIUM, "Attempt to tamper with the watcher was denied"
    facts = (("Meaning", found.meaning), ("Next step", found.remedy))
    title = f"{title}: {found.part}"
    return alert(signal, AlertKind.WATCHER_DISTURBED, severity, title, *facts)


def account_alert(signal: Signal) -> Alert | None:  # noqa: PLR0911 - a table
    """Return the alert for a signal that concerns no user we know; None: evidence is enough."""
    if signal.tampering:
        return tampering_alert(signal, signal.tampering)
    if signal.root or signal.subject_is_root:
        return root_alert(signal)
    match signal.kind:
        case SignalKind.PASSWORD_POLICY_CHANGED:
            return alert(
                signal,
                AlertKind.PASSWORD_POLICY_CHANGED,
                Severity.MEDIUM,
                "The account's password policy changed",
            )
        case SignalKind.DEVICE_REMOVAL if signal.outcome is Outcome.DENIED:
            return alert(
                signal,
                AlertKind.REMOVAL_DENIED,
                Severity.MEDIUM,
                "Attempt to remove an MFA device of an unknown user was denied",
                ("User", signal.subject or "not named in the record"),
                ("Device", signal.serial or "not named in the record"),
            )
        case SignalKind.DEVICE_REMOVAL if signal.removes_device and signal.subject is None:
            return alert(
                signal,
                AlertKind.REMOVAL_UNAPPROVED,
                Severity.HIGH,
                "MFA device removed, and the record names no user",
                ("Device", signal.serial or "not named in the record"),
            )
        case SignalKind.DEVICE_REMOVAL if signal.removes_device:
            # Most users who are not found were off-boarded, hence no high alert. But one who was
            # renamed gets no finding and no request from this, hence an alert.
            return alert(
                signal,
                AlertKind.REMOVAL_UNAPPROVED,
                Severity.MEDIUM,
                "MFA device removed from an unknown user, deleted or renamed since",
                ("User", signal.subject or "not named in the record"),
                ("Device", signal.serial or "not named in the record"),
            )
        case _:
            return None
