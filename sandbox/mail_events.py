"""SES's reports about a mail, as SES puts them on EventBridge's default bus.

Source: SES developer guide, *Examples of event data that Amazon SES publishes*. The addresses of
SES's mailbox simulator make each report happen (*Using the mailbox simulator*).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from sandbox.records import Json

DETAIL_TYPES: Final = {
    "Send": "Email Sent",
    "Delivery": "Email Delivered",
    "DeliveryDelay": "Email Delivery Delayed",
    "Bounce": "Email Bounced",
    "Complaint": "Email Complaint Received",
    "Reject": "Email Rejected",
}
"""By the report's ``eventType``."""

SIMULATOR: Final = {
    "bounce": ("Send", "Bounce"),
    "suppressionlist": ("Send", "Bounce"),
    "complaint": ("Send", "Delivery", "Complaint"),
    "ooto": ("Send", "Delivery"),
    "success": ("Send", "Delivery"),
}
"""The reports about a mail to ``NAME@…``; on AWS, at simulator.amazonses.com."""


@dataclass(frozen=True)
class SentMail:
    """A mail that SES accepted."""

    message_id: str
    sender: str
    to: Sequence[str]
    at: datetime
    configuration_set: str
    tags: Mapping[str, str] = field(default_factory=dict)
    account_id: str = "111122223333"
    region: str = "us-east-1"
    subject: str = "Message sent from Amazon SES"

    @classmethod
    def of(cls, request: Json, message_id: str) -> Self:
        """Return the mail of a request to SendEmail (SES v2) that SES accepted."""
        destination = request["Destination"]
        return cls(
            message_id,
            request["FromEmailAddress"],
            [*destination["ToAddresses"], *destination.get("CcAddresses", [])],
            datetime.now(UTC),
            request.get("ConfigurationSetName", ""),
            {tag["Name"]: tag["Value"] for tag in request.get("EmailTags", [])},
        )

    @property
    def fate(self) -> tuple[str, ...]:
        """Return the kinds of reports that follow, by the name in the mail's address."""
        name = self.to[0].partition("@")[0].partition("+")[0]
        return SIMULATOR.get(name, SIMULATOR["success"])

    def report(self, kind: str, **about: Any) -> Json:  # noqa: ANN401 - any JSON
        """Return a report, the ``detail`` of its event; ``about`` replaces usual values."""
        name = kind[0].lower() + kind[1:]
        recipients = about.pop("recipients", self.to)
        at = _text(self.at + timedelta(seconds=2))
        kinds: dict[str, Json] = {
            "Send": {},
            "Delivery": {
                "timestamp": at,
                "processingTimeMillis": 1870,
                "recipients": list(recipients),
                "smtpResponse": "250 2.6.0 Message received",
                "reportingMTA": "mta.example.com",
            },
            "DeliveryDelay": {
                "timestamp": at,
                "delayType": "TransientCommunicationFailure",
                "expirationTime": _text(self.at + timedelta(hours=14)),
                "delayedRecipients": [
                    {
                        "emailAddress": address,
                        "status": "4.4.1",
                        "diagnosticCode": "smtp; 421 4.4.1 Unable to connect to remote host",
                    }
                    for address in recipients
                ],
            },
            "Bounce": {
                "feedbackId": f"{self.message_id}-bounce",
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [
                    {
                        "emailAddress": address,
                        "action": "failed",
                        "status": "5.1.1",
                        "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                    }
                    for address in recipients
                ],
                "timestamp": at,
                "reportingMTA": "dsn; mta.example.com",
            },
            "Complaint": {
                "feedbackId": f"{self.message_id}-complaint",
                "complaintSubType": None,
                "complainedRecipients": [{"emailAddress": address} for address in recipients],
                "timestamp": at,
                "userAgent": "Amazon SES Mailbox Simulator",
                "complaintFeedbackType": "abuse",
                "arrivalDate": at,
            },
            "Reject": {"reason": "Bad content"},
        }
        return {"eventType": kind, "mail": self._mail(), name: kinds[kind] | about}

    def envelope(self, kind: str, **about: Any) -> Json:  # noqa: ANN401 - any JSON
        """Return the event of a report."""
        arn = f"arn:aws:ses:{self.region}:{self.account_id}"
        return {
            "version": "0",
            "id": f"{kind.lower()}-of-{self.message_id}",
            "detail-type": DETAIL_TYPES[kind],
            "source": "aws.ses",
            "account": self.account_id,
            "time": f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            "region": self.region,
            "resources": [f"{arn}:configuration-set/{self.configuration_set}"],
            "detail": self.report(kind, **about),
        }

    def _mail(self) -> Json:
        return {
            "timestamp": _text(self.at),
            "source": self.sender,
            "sourceArn": f"arn:aws:ses:{self.region}:{self.account_id}:identity/{self.sender}",
            "sendingAccountId": self.account_id,
            "messageId": self.message_id,
            "destination": list(self.to),
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": self.sender},
                {"name": "To", "value": ", ".join(self.to)},
                {"name": "Subject", "value": self.subject},
            ],
            "commonHeaders": {
                "from": [self.sender],
                "to": list(self.to),
                "messageId": self.message_id,
                "subject": self.subject,
            },
            "tags": {
                "ses:source-tls-version": ["TLSv1.3"],
                "ses:configuration-set": [self.configuration_set],
                "ses:from-domain": [self.sender.rpartition("@")[2]],
                **{name: [value] for name, value in self.tags.items()},
            },
        }


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
