"""Removals that are alerted late: their user seemed gone, and still exists."""

from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Severity
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import Attempt, ChangeRequest
from mfa_watcher.domain.users.user import User


def unreported_attempts(request: ChangeRequest, policy: Policy) -> tuple[Attempt, ...]:
    """Return the attempts not notified yet; of those that count as one, only the first."""
    seen: list[Attempt] = []
    unreported: list[Attempt] = []
    for attempt in request.attempts:
        if any(attempt.repeats(earlier, policy) for earlier in seen):
            continue
        seen.append(attempt)
        if not attempt.notified:
            unreported.append(attempt)
    return tuple(unreported)


def late_removal_alert(request: ChangeRequest, user: User, attempt: Attempt) -> Alert:
    """Return the alert for one of them. Who, when and what are those of the attempt."""
    return Alert(
        AlertKind.REMOVAL_UNAPPROVED,
        Severity.HIGH,
        "MFA device removed without approval from a user who seemed deleted but is not",
        (
            ("User", user.name),
            ("Device", attempt.serial or "not named in the record"),
            ("Change request", request.id),
            ("Summary", attempt.call),
            ("Actor", attempt.actor),
            ("Time", f"{attempt.at:%Y-%m-%dT%H:%M:%SZ}"),
            ("Source address", attempt.source_ip or "unknown"),
            ("User agent", attempt.user_agent or "unknown"),
            ("Account", user.key.account_id),
            ("CloudTrail event", attempt.event_id),
        ),
        user.key.account_id,
        attempt_id=attempt.event_id,
    )
