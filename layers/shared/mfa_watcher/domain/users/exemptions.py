"""Exemptions from MFA, which only the security team grants, with a reason and an end date."""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.users.user import Closure, Exemption, MfaStatus, User


class ExemptionError(Exception):
    """The exemption cannot be granted or revoked as asked; the text names the reason."""


def grant(user: User, exemption: Exemption, policy: Policy, *, event_id: str) -> UserDecision:
    """Exempt a user until a day. This replaces an exemption that the user has."""
    now = exemption.granted_at
    if not exemption.reason.strip():
        raise ExemptionError("an exemption needs a reason")
    if exemption.until <= now:
        raise ExemptionError(f"the end, {exemption.until:%Y-%m-%d}, is not in the future")
    warn_at = max(exemption.until - policy.exemption_warning, now)
    finding = user.open_finding
    if finding:
        finding = replace(finding, closed_at=now, closure=Closure.EXEMPTED, due_at=None)
    unprotected = user.mfa_status is MfaStatus.UNPROTECTED
    exempted = replace(
        user,
        exemption=replace(exemption, warn_at=warn_at),
        finding=finding or user.finding,
        mfa_status=MfaStatus.EXEMPT if unprotected else user.mfa_status,
    )
    what = f"exempted until {exemption.until:%Y-%m-%d}: {exemption.reason}"
    entry = _entry(user, now, event_id, what, exemption.granted_by)
    return _decision(user, exempted, event_id, entry)


def revoke(user: User, by: str, now: datetime, *, event_id: str) -> UserDecision:
    """Revoke an exemption. The user is due at once."""
    if user.exemption is None:
        raise ExemptionError(f"{user.name} has no exemption")
    revoked = replace(user, exemption=None, evaluate_at=now)
    return _decision(user, revoked, event_id, _entry(user, now, event_id, "exemption revoked", by))


def _decision(before: User, after: User, event_id: str, entry: HistoryEntry) -> UserDecision:
    return UserDecision(event_id, (entry,), user=after, renamed=before.version == 0)


def _entry(user: User, now: datetime, event_id: str, what: str, by: str) -> HistoryEntry:
    subject = f"{user.key.account_id}/{user.key.user_id}"
    return HistoryEntry(About.USER, subject, now, event_id, what, by)
