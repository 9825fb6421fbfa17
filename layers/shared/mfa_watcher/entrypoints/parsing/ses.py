"""SES's reports about mails, as EventBridge brings them: the only code that knows their shape.

Source: SES developer guide, *Contents of event data that Amazon SES publishes*. As lenient as
``cloudtrail.py``: an unknown field passes, one of a type that we cannot use counts as absent.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport
from mfa_watcher.domain.notifications.mail_tags import from_tag
from mfa_watcher.entrypoints.parsing.cloudtrail import DamagedEventError, Text, parse_envelope

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


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _objects(value: object) -> tuple[object, ...]:
    return (
        tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()
    )


def _tags(value: object) -> dict[str, tuple[str, ...]]:
    return {name: _texts(values) for name, values in _mapping(value).items()}


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, frozen=True)


class _Recipient(_Lenient):
    email_address: Text = None
    status: Text = None
    diagnostic_code: Text = None


Recipients = Annotated[tuple[_Recipient, ...], BeforeValidator(_objects)]


class _Mail(_Lenient):
    message_id: Text = None
    timestamp: Text = None
    destination: Texts = ()
    tags: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_tags)] = {}


class _About(_Lenient):
    """What stands under the event type's own name: ``bounce``, ``complaint``, ``delivery``."""

    timestamp: Text = None
    feedback_id: Text = None
    bounce_type: Text = None
    bounce_sub_type: Text = None
    complaint_sub_type: Text = None
    complaint_feedback_type: Text = None
    delay_type: Text = None
    reason: Text = None
    recipients: Texts = ()
    bounced_recipients: Recipients = ()
    complained_recipients: Recipients = ()
    delayed_recipients: Recipients = ()

    @property
    def named(self) -> tuple[_Recipient, ...]:
        """The recipients with what their servers said."""
        return self.bounced_recipients or self.complained_recipients or self.delayed_recipients

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients' addresses."""
        found = self.recipients or tuple(one.email_address or "" for one in self.named)
        return tuple(address for address in found if address)

    @property
    def unreachable(self) -> bool:
        """Whether the address takes no mail, now or later.

        SES calls a bounce permanent, transient or undetermined; it tried a transient one for hours.
        """
        return self.bounce_type == "Permanent" or self.complaint_sub_type == _SUPPRESSED

    @property
    def detail(self) -> str:
        """Why, in SES's own terms and the receiving server's words."""
        kinds = (
            self.bounce_type,
            self.bounce_sub_type,
            self.complaint_sub_type,
            self.complaint_feedback_type,
            self.delay_type,
            self.reason,
        )
        said = (one.diagnostic_code or one.status for one in self.named)
        return ", ".join(part for part in (*kinds, *said) if part)[:_LONGEST_DETAIL]


class _Event(_Lenient):
    event_type: Text = None
    mail: Annotated[_Mail, BeforeValidator(_mapping)] = _Mail()


def parse_report(body: str) -> MailReport:
    """Read SES's report from the body of a queue message.

    Raises DamagedEventError for what no retry can mend: no EventBridge event, one of a type that
    we did not ask for, or one that does not say of which mail, or when.
    """
    detail = parse_envelope(body).detail
    event = _Event.model_validate(detail)
    kind, mail = event.event_type or "", event.mail
    if kind not in _OUTCOMES:
        raise DamagedEventError(f"no report about a mail that we asked for: eventType {kind!r:.60}")
    about = _About.model_validate(_mapping(detail.get(kind[0].lower() + kind[1:])))
    at = _moment(about.timestamp) or _moment(mail.timestamp)
    if mail.message_id is None or at is None:
        missing = "mail.messageId" if mail.message_id is None else "timestamp"
        raise DamagedEventError(f"the report lacks a readable {missing}")
    tags = mail.tags.get(INTENT_TAG, ())
    recipients = about.addresses or mail.destination
    # Not the envelope's id: what SES publishes twice is told by what it says.
    said = about.feedback_id or sha256(f"{at.isoformat()} {recipients}".encode()).hexdigest()[:16]
    return MailReport(
        id=f"ses-{mail.message_id}-{kind}-{said}",
        at=at,
        message_id=mail.message_id,
        intent_id=from_tag(tags[0]) if tags else None,
        outcome=_OUTCOMES[kind],
        to=mail.destination[0] if mail.destination else None,
        recipients=recipients,
        unreachable=about.unreachable,
        detail=about.detail,
    )


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
