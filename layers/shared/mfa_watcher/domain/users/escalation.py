"""Decisions about a user who is due: the escalation schedule, and the end of exemptions.

Step 0 is the guide, which is mailed when the finding is opened. With the usual days 0, 1, 3, 7 and
14 the other steps are: a reminder, another reminder, the final warning with a copy to the manager,
and on the last day a reminder and a mail to the security team. After that there is a reminder every
week, and a quarantine if the security team wants it.
"""

from dataclasses import replace
from datetime import datetime

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications import finding_mails
from mfa_watcher.domain.notifications.alerts import quarantine_alert, quarantine_failed_alert
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.notifications.mails import Mail
from mfa_watcher.domain.policy import Quarantine
from mfa_watcher.domain.users import user_state
from mfa_watcher.domain.users.user import Finding, MailKind, MfaStatus, User
from mfa_watcher.domain.users.user_state import Draft, Situation

EVALUATED = "Evaluated on schedule"


def decide_user_due(situation: Situation) -> UserDecision:
    """Return the decision about a user who is due. ``situation.iam_state`` must be given.

    Steps are taken one at a time and in order, however late the schedule is, so that the first
    reminder of a user is never the final warning.
    """
    iam_state = situation.iam_state
    if iam_state is not None and not iam_state.exists:
        return user_state.finish(situation, user_state.mark_gone(situation), EVALUATED, None)
    draft = user_state.update_from_iam(situation)
    draft = _advise_second_device(situation, draft)
    draft = _warn_of_ending_exemption(situation, draft)
    draft = _take_next_step(situation, draft)
    return user_state.finish(situation, draft, EVALUATED, None)


def _advise_second_device(situation: Situation, draft: Draft) -> Draft:
    """Advise a user who enrolled a while ago and still has one device. This happens once."""
    user, now = draft.user, situation.at
    if user.evaluate_at is None or user.evaluate_at > now:
        return draft
    draft = draft.with_user(evaluate_at=None)
    has_one_device = user.mfa_status is MfaStatus.PROTECTED and len(user.devices) == 1
    if not (has_one_device and situation.policy.second_device_after):
        return draft
    return user_state.mail_once(
        situation, draft, MailKind.SECOND_DEVICE, serial=user.devices[0].serial
    )


def _take_next_step(situation: Situation, draft: Draft) -> Draft:
    """Take the next step, if it is due."""
    finding, policy, now = draft.user.open_finding, situation.policy, situation.at
    if finding is None or finding.due_at is None or finding.due_at > now:
        return draft
    step = finding.escalation_step + 1
    following = policy.step_due_at(finding.opened_at, step + 1)
    due_at = max(following, now + policy.reminder_gap) if following else None
    finding = replace(finding, escalation_step=step, due_at=due_at)
    draft = draft.with_user(finding=finding)
    if _quarantine_is_due(situation, finding):
        draft = _quarantine(situation, draft)
        if draft.quarantine_changed:  # its mail says more than the reminder; one a day is enough
            return draft
    for mail in _mails_of_step(situation, draft, finding, step):
        draft = draft.adding(mail, effect=f"mail: {mail.kind}, step {step}")
    return draft


def _quarantine_is_due(situation: Situation, finding: Finding) -> bool:
    """Return whether a user is quarantined: once, with the first step on or after the day."""
    policy = situation.policy
    return (
        policy.quarantine is not Quarantine.OFF
        and MailKind.QUARANTINED not in finding.mailed
        and situation.at >= finding.opened_at + policy.quarantine_after
    )


def _quarantine(situation: Situation, draft: Draft) -> Draft:
    """Quarantine the user and notify them; in a dry run, only alert security that it is due."""
    dry_run = situation.policy.quarantine is Quarantine.DRY_RUN
    notification = quarantine_alert(draft.user, situation.at, dry_run=dry_run)
    draft = draft.adding(notification, effect=f"alert: quarantined{', dry run' if dry_run else ''}")
    if dry_run and (finding := draft.user.finding):
        noted = replace(finding, mailed=finding.mailed | {MailKind.QUARANTINED})
        return draft.with_user(finding=noted)
    draft = user_state.mail_once(situation, draft, MailKind.QUARANTINED)
    return replace(draft.with_user(quarantined_at=situation.at), quarantine_changed=True)


def decide_quarantine_failed(user: User, at: datetime) -> UserDecision:
    """Return the decision about a user to whom the quarantine policy cannot be attached.

    The record then says that the user is not quarantined. This finding does not cause another try.
    """
    event_id = f"quarantine-failed-{user.key.user_id}-{user.version}"
    alert = quarantine_failed_alert(user)
    subject = f"{user.key.account_id}/{user.key.user_id}"
    effects = ("not quarantined", f"alert: {alert.kind}")
    status = user.mfa_status
    what = "IAM attaches no further policy to the user"
    entry = HistoryEntry(About.USER, subject, at, event_id, what, None, effects, status, status)
    return UserDecision(
        event_id,
        (entry,),
        (intent(event_id, at, alert),),
        user=replace(user, quarantined_at=None),
    )


def _mails_of_step(
    situation: Situation, draft: Draft, finding: Finding, step: int
) -> tuple[Mail, ...]:
    about = draft.user, finding, situation.at, draft.open_request_id
    last = len(situation.policy.escalation_schedule) - 1
    if step == last - 1:
        return (finding_mails.reminder(MailKind.FINAL_WARNING, *about, step=step),)
    number = step if step < last else max(1, step - 1)  # the final warning is not counted
    usual = finding_mails.reminder(MailKind.REMINDER, *about, step=number)
    return (usual, finding_mails.security_case(*about, step=step)) if step == last else (usual,)


def _warn_of_ending_exemption(situation: Situation, draft: Draft) -> Draft:
    exemption = draft.user.exemption
    if exemption is None or exemption.warn_at is None or situation.at < exemption.warn_at:
        return draft
    draft = draft.with_user(exemption=replace(exemption, warn_at=None))
    request_id = draft.open_request_id
    return draft.adding(
        finding_mails.exemption_ending(draft.user, exemption, situation.at, request_id)
    )
