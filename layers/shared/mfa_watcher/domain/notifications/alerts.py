"""The alerts: their titles, severities and facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from mfa_watcher.domain.events.signals import Outcome, Signal, SignalKind
from mfa_watcher.domain.events.tampering import Tampering
from mfa_watcher.domain.health.heartbeats import Heartbeat
from mfa_watcher.domain.notifications.intents import ACCOUNT, Alert, AlertKind, Severity
from mfa_watcher.domain.requests.attempts import Attempt
from mfa_watcher.domain.requests.change_request import ChangeRequest
from mfa_watcher.domain.users.people import Person
from mfa_watcher.domain.users.user import User


def alert(
    kind: AlertKind,
    account_id: str,
    *facts: tuple[str, str],
    case: tuple[Severity, str] | None = None,
) -> Alert:
    """Return an alert with its facts and, as the last one, its account.

    ``case`` is a severity and a title other than the usual ones.
    """
    severity, title = case or kind.usual
    return Alert(kind, severity, title, (*facts, (ACCOUNT, account_id)), account_id)


def signal_alert(
    signal: Signal,
    kind: AlertKind,
    *facts: tuple[str, str],
    case: tuple[Severity, str] | None = None,
) -> Alert:
    """Return an alert about a signal: facts of its own, and those that every record gives."""
    record, (severity, title) = signal.record, case or kind.usual
    common = (
        ("Summary", signal.why),
        ("Actor", record.identity.arn or record.identity.type or "unknown"),
        ("Time", record.event_time or "unknown"),
        ("Source address", record.source_ip or "unknown"),
        ("User agent", record.user_agent or "unknown"),
        (ACCOUNT, record.account_id or "unknown"),
        ("CloudTrail event", record.event_id or "unknown"),
    )
    return Alert(kind, severity, title, (*facts, *common), record.account_id or "")


def device_of(signal: Signal | Attempt) -> tuple[str, str]:
    """Return the fact about the device."""
    return "Device", signal.serial or "not named in the record"


# Devices and change requests ----------------------------------------------------------------------


def late_removal_alert(
    request: ChangeRequest,
    user: User,
    attempt: Attempt,
    *,
    title: str = "MFA device removed without approval from a user who seemed deleted but is not",
) -> Alert:
    """Return the alert for a removal that became a violation later, as the title says.

    Who, when and what are those of the attempt.
    """
    return Alert(
        AlertKind.REMOVAL_UNAPPROVED,
        Severity.HIGH,
        title,
        (
            ("User", user.name),
            device_of(attempt),
            ("Change request", request.id),
            ("Summary", attempt.call),
            ("Actor", attempt.actor),
            ("Time", _shown(attempt.at)),
            ("Source address", attempt.source_ip or "unknown"),
            ("User agent", attempt.user_agent or "unknown"),
            (ACCOUNT, user.key.account_id),
            ("CloudTrail event", attempt.event_id),
        ),
        user.key.account_id,
        attempt_id=attempt.event_id,
    )


def request_alert(
    kind: AlertKind,
    request: ChangeRequest,
    user: User,
    at: datetime,
    *facts: tuple[str, str],
    case: tuple[Severity, str] | None = None,
) -> Alert:
    """Return an alert about a request that waits, or is due."""
    return alert(
        kind,
        request.subject.account_id,
        ("User", user.name),
        ("Change request", request.id),
        *facts,
        ("Open since", f"{request.opened_at:%Y-%m-%d}"),
        ("Time", _shown(at)),
        case=case,
    )


def fulfilled_alert(
    request: ChangeRequest, user: User, by: Person, at: datetime, *, again: bool
) -> Alert:
    """Return the alert for a fulfilled request: somebody has a user's new password."""
    until = f"{request.window_until:%Y-%m-%d %H:%M} UTC" if request.window_until else "any time"
    return alert(
        AlertKind.REQUEST_FULFILLED,
        user.key.account_id,
        ("User", user.name),
        ("Change request", request.id),
        ("Summary", "A new password was given to who fulfilled it, to be changed at sign-in"),
        ("Steps done", ", ".join(request.fulfilment.done if request.fulfilment else ())),
        ("Devices kept", ", ".join(request.kept) or "none"),
        ("Approved by", request.verdict.by if request.verdict else "nobody"),
        ("Actor", by.arn),
        ("Time", _shown(at)),
        ("Deadline for the new device", until),
        case=(Severity.LOW, "A change request was fulfilled again") if again else None,
    )


def quarantine_alert(user: User, at: datetime, *, dry_run: bool) -> Alert:
    """Return the alert for a user who is quarantined, or would be without the dry run."""
    since = user.finding.opened_at if user.finding else at
    dry = (Severity.LOW, "A user without MFA would be quarantined (dry run)")
    return alert(
        AlertKind.QUARANTINED,
        user.key.account_id,
        ("User", user.name),
        ("Without MFA since", f"{since:%Y-%m-%d}"),
        ("End", "automatically, when the user has enrolled a device"),
        case=dry if dry_run else None,
    )


def quarantine_failed_alert(user: User) -> Alert:
    """Return the alert for a user who has too many managed policies for one more."""
    return alert(
        AlertKind.QUARANTINE_FAILED,
        user.key.account_id,
        ("User", user.name),
        ("Reason", "IAM attaches no further managed policy to the user (10 by default)"),
        ("Meaning", "The user can still do everything without MFA, and is not tried again"),
        ("Next step", "Detach a policy from the user, and attach the quarantine policy yourself"),
    )


# Whether events arrive ----------------------------------------------------------------------------

_MOST_NAMED = 20
_AFTER_LOSS = "Check that the trail logs, the rules are enabled and the queues are empty"
_AFTER_SILENCE = (
    "Check that forwarder.yaml is deployed there, the trail logs, the rules and the canary's"
    " schedule are enabled, and the dead-letter queues are empty; python -m mfa_watcher doctor"
    " checks all of this"
)


def events_lost_alert(
    account_id: str, at: datetime, since: datetime | None, lost: Mapping[str, tuple[str, ...]]
) -> Alert:
    """Return the alert for events that did not arrive; ``lost`` has the calls, by user name."""
    calls = sum(len(missed) for missed in lost.values())
    named = [f"{name}: {', '.join(missed)}" for name, missed in sorted(lost.items())]
    more = f"; and {len(named) - _MOST_NAMED} more users" if len(named) > _MOST_NAMED else ""
    return alert(
        AlertKind.EVENTS_LOST,
        account_id,
        ("Summary", "The sweep found changes in IAM for which no event arrived"),
        ("Users", "; ".join(named[:_MOST_NAMED]) + more),
        ("Since", f"{since:%Y-%m-%d %H:%M} UTC" if since else "the watcher was deployed"),
        ("Time", _shown(at)),
        ("Next step", _AFTER_LOSS),
        case=(Severity.HIGH, f"{calls} events about users did not reach the watcher"),
    )


def silent_alert(account_id: str, silent: list[Heartbeat], now: datetime) -> Alert:
    """Return the alert for event paths on which nothing arrives, not even the canary."""
    return alert(
        AlertKind.WATCH_SILENT,
        account_id,
        ("Meaning", "Changes there are not noticed until the next sweep"),
        ("Silent paths", "; ".join(map(_last_seen, silent))),
        ("Next step", _AFTER_SILENCE),
        ("Time", _shown(now)),
    )


def recovered_alert(account_id: str, back: list[Heartbeat], now: datetime) -> Alert:
    """Return the alert for event paths on which events arrive again."""
    return alert(
        AlertKind.WATCH_BACK,
        account_id,
        ("Recovered paths", "; ".join(map(_last_seen, back))),
        ("Next step", "Invoke sweep, which finds the changes that were missed"),
        ("Time", _shown(now)),
    )


def _last_seen(beat: Heartbeat) -> str:
    seen = f"last seen {beat.seen_at:%Y-%m-%d %H:%M} UTC" if beat.seen_at else "never seen"
    return f"{beat.source.region}, {beat.source.path.label}: {seen}"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


# Root, the watcher, and users who are not known ---------------------------------------------------

_ROOT_CASES: Final = {
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


def root_alert(signal: Signal) -> Alert:
    """Return the alert for an act of the root user."""
    case = None
    if signal.subject_is_root:
        other = Severity.HIGH, "Root user acted on itself"
        case = _ROOT_CASES.get((signal.kind, signal.outcome), other)
    facts = (("User", signal.subject),) if signal.subject else ()
    return signal_alert(signal, AlertKind.ROOT_ACTIVITY, *facts, case=case)


_ROOT_CREDENTIALS: Final = {
    "CreateAccessKey": (Severity.CRITICAL, "Root user created an access key"),
    "AssumeRoot": (Severity.HIGH, "A session of a member account's root user was opened"),
    "PasswordRecoveryRequested": (Severity.HIGH, "A new root password was asked for"),
    "PasswordRecoveryCompleted": (Severity.CRITICAL, "The root password was set anew by mail"),
    "PasswordUpdated": (Severity.HIGH, "The root password was changed"),
}


def root_credentials_alert(signal: Signal) -> Alert:
    """Return the alert for a key, a session or a password with which somebody may act as root."""
    severity, title = _ROOT_CREDENTIALS[signal.record.event_name or ""]
    if signal.record.denied:
        severity, title = Severity.MEDIUM, f"Attempt was denied: {title}"
    target = signal.record.target_principal
    facts = (("Target", target),) if target else ()
    return signal_alert(signal, AlertKind.ROOT_ACTIVITY, *facts, case=(severity, title))


def tampering_alert(signal: Signal, found: Tampering) -> Alert:
    """Return the alert for tampering with the watcher: its meaning, and the next step."""
    severity, title = AlertKind.WATCHER_DISTURBED.usual
    if signal.root:
        severity, title = Severity.CRITICAL, "The root user tampered with the watcher"
    if found.denied:
        severity, title = Severity.MEDIUM, "Attempt to tamper with the watcher was denied"
    meaning, remedy = found.advice
    facts = (("Meaning", meaning), ("Next step", remedy))
    case = severity, f"{title}: {found.part}"
    return signal_alert(signal, AlertKind.WATCHER_DISTURBED, *facts, case=case)


def account_alert(signal: Signal) -> Alert | None:  # noqa: PLR0911 - a table
    """Return the alert for a signal that concerns no user we know; None: evidence is enough."""
    if signal.tampering:
        return tampering_alert(signal, signal.tampering)
    if signal.kind is SignalKind.ROOT_CREDENTIALS:
        return root_credentials_alert(signal)
    if signal.root or signal.subject_is_root:
        return root_alert(signal)
    if signal.kind is SignalKind.PASSWORD_POLICY_CHANGED:
        return signal_alert(signal, AlertKind.PASSWORD_POLICY_CHANGED)
    facts = (("User", signal.subject or "not named in the record"), device_of(signal))
    if signal.kind is SignalKind.DEVICE_REMOVAL and signal.outcome is Outcome.DENIED:
        title = "Attempt to remove an MFA device of an unknown user was denied"
        return signal_alert(signal, AlertKind.REMOVAL_DENIED, *facts, case=(Severity.MEDIUM, title))
    if not signal.removes_device:
        return None
    if signal.subject is None:
        case = Severity.HIGH, "MFA device removed, and the record names no user"
        return signal_alert(signal, AlertKind.REMOVAL_UNAPPROVED, device_of(signal), case=case)
    # Most users who are not found were off-boarded, hence no high alert. But one who was renamed
    # gets no finding and no request from this, hence an alert.
    case = Severity.MEDIUM, "MFA device removed from an unknown user, deleted or renamed since"
    return signal_alert(signal, AlertKind.REMOVAL_UNAPPROVED, *facts, case=case)
