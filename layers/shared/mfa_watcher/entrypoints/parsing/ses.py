"""SES's reports about mails, as EventBridge brings them: the only code that knows their shape.

Source: SES developer guide, *Contents of event data that Amazon SES publishes*. As lenient as
``cloudtrail.py``: an unknown field passes, one of a type that we cannot use counts as absent.
"""

from hashlib import sha256

from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport
from mfa_watcher.domain.notifications.mail_tags import from_tag
from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError, parse_detail
from mfa_watcher.entrypoints.parsing.lenient import found, moment, objects, text, texts

INTENT_TAG = "intent"

_OUTCOMES = {
    "Send": MailOutcome.SENT,
    "DeliveryDelay": MailOutcome.DELAYED,
    "Delivery": MailOutcome.DELIVERED,
    "Reject": MailOutcome.REJECTED,
    "Bounce": MailOutcome.BOUNCED,
    "Complaint": MailOutcome.COMPLAINED,
}
_SUPPRESSED = "OnAccountSuppressionList"
"""What SES says of a mail that it took and did not send: the address had bounced before, or its
owner had complained."""

_LONGEST_DETAIL = 500


_KINDS = (
    "bounceType",
    "bounceSubType",
    "complaintSubType",
    "complaintFeedbackType",
    "delayType",
    "reason",
)
"""The fields that say of what kind a bounce, complaint, delay or rejection is."""

_RECIPIENTS = ("bouncedRecipients", "complainedRecipients", "delayedRecipients")
"""The fields that list recipients, with what their servers answered."""


def parse_report(body: str) -> MailReport:
    """Read SES's report from the body of a queue message.

    Raises DamagedEventError for what no retry can mend: no EventBridge event, one of a type that
    we did not ask for, or one that does not say of which mail, or when.
    """
    detail = parse_detail(body)
    kind = text(detail, "eventType") or ""
    if kind not in _OUTCOMES:
        raise DamagedEventError(f"no report about a mail that we asked for: eventType {kind!r:.60}")
    # What stands under the event type's own name: ``bounce``, ``complaint``, ``delivery``.
    about = found(detail, kind[0].lower() + kind[1:])
    at = moment(text(about, "timestamp")) or moment(text(detail, "mail.timestamp"))
    message_id = text(detail, "mail.messageId")
    if message_id is None or at is None:
        missing = "mail.messageId" if message_id is None else "timestamp"
        raise DamagedEventError(f"the report lacks a readable {missing}")
    tags = texts(detail, f"mail.tags.{INTENT_TAG}")
    destination = texts(detail, "mail.destination")
    named = [one for name in _RECIPIENTS for one in objects(about, name)]
    addresses = tuple(filter(None, (text(one, "emailAddress") for one in named)))
    recipients = texts(about, "recipients") or addresses or destination
    kinds = [text(about, name) for name in _KINDS]
    answers = [text(one, "diagnosticCode") or text(one, "status") for one in named]
    # Not the envelope's id: what SES publishes twice is told by what it says.
    digest = sha256(f"{at.isoformat()} {recipients}".encode()).hexdigest()[:16]
    return MailReport(
        id=f"ses-{message_id}-{kind}-{text(about, 'feedbackId') or digest}",
        at=at,
        message_id=message_id,
        intent_id=from_tag(tags[0]) if tags else None,
        outcome=_OUTCOMES[kind],
        to=destination[0] if destination else None,
        recipients=recipients,
        # SES calls a bounce permanent, transient or undetermined; it tried a transient one for
        # hours.
        unreachable=text(about, "bounceType") == "Permanent"
        or text(about, "complaintSubType") == _SUPPRESSED,
        detail=", ".join(filter(None, (*kinds, *answers)))[:_LONGEST_DETAIL],
    )
