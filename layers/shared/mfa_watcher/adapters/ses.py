"""Sends mails with SES v2."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.header import Header
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.domain.notifications.mail_tags import to_tag
from mfa_watcher.ports import errors
from mfa_watcher.ports.notifications import Message

if TYPE_CHECKING:
    from types_boto3_sesv2 import SESV2Client
    from types_boto3_sesv2.type_defs import MessageHeaderTypeDef, SendEmailRequestTypeDef

SendError = type[errors.RefusedError] | type[errors.NotSentError]

_BY_CODE: dict[str, SendError] = {
    "TooManyRequestsException": errors.ThrottledError,
    "ThrottlingException": errors.ThrottledError,
    "Throttling": errors.ThrottledError,
    "LimitExceededException": errors.QuotaUsedUpError,
    "AccountSuspendedException": errors.SendingStoppedError,
    "SendingPausedException": errors.SendingStoppedError,
    "MailFromDomainNotVerifiedException": errors.SendingStoppedError,
    # The configuration set does not exist, or a policy of the role or the identity denies sending.
    "NotFoundException": errors.SendingStoppedError,
    "AccessDeniedException": errors.SendingStoppedError,
    "MessageRejected": errors.RefusedError,
    "BadRequestException": errors.RefusedError,
}
"""The meaning of SES's codes (API reference: ``SendEmail``). Other codes are temporary."""

_ADDRESS_FAULTS = (
    r"(missing|empty|illegal|invalid) (final '@domain'|local name|local part|domain|address|email)"
    r"|(local address|domain) (contains|starts|ends)"
)

_BY_TEXT: tuple[tuple[frozenset[str], str, SendError], ...] = (
    (
        frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"}),
        r"daily (message|sending) quota",
        errors.QuotaUsedUpError,
    ),
    (frozenset({"MessageRejected"}), r"sending (suspended|paused) for", errors.SendingStoppedError),
    (
        frozenset({"BadRequestException", "MessageRejected"}),
        _ADDRESS_FAULTS,
        errors.BadAddressError,
    ),
)
"""Errors that only the text identifies (developer guide: *Errors related to the sending quotas*;
the texts about addresses are JavaMail's, which SES passes on)."""

_NOT_VERIFIED = re.compile(
    r"address(es)? (is|are) not verified|address not verified", re.IGNORECASE
)

_ADDRESS = re.compile(r"[^\s<>,;:]+@[^\s<>,;:]+")

LOWEST_RATE = 1.0
"""Mails per second that SES allows a new account."""

_RATE_KEPT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SesMailer:
    """Sends from one address, optionally through a configuration set."""

    client: "SESV2Client"
    sender: str
    configuration_set: str | None

    def send(self, message: Message) -> str:
        """Call SendEmail, with the copy as Cc; return SES's message id."""
        request: SendEmailRequestTypeDef = {
            "FromEmailAddress": self.sender,
            "Destination": {"ToAddresses": [message.to]},
            "Content": {
                "Simple": {
                    # Already encoded in ASCII: SES sends the subject unchanged.
                    "Subject": {"Data": encoded(message.subject)},
                    "Body": {
                        "Html": {"Data": message.html, "Charset": "UTF-8"},
                        "Text": {"Data": message.text, "Charset": "UTF-8"},
                    },
                    "Headers": self._headers(message),
                }
            },
            "EmailTags": [
                {"Name": to_tag(name), "Value": to_tag(value)}
                for name, value in message.tags.items()
            ],
        }
        if message.cc:
            request["Destination"]["CcAddresses"] = [message.cc]
        if self.configuration_set:
            request["ConfigurationSetName"] = self.configuration_set
        try:
            return self.client.send_email(**request)["MessageId"]
        except ClientError as error:
            raise self._error_for(error) from error
        except BotoCoreError as error:
            raise errors.NotSentError(f"SES: {type(error).__name__}") from error

    def _headers(self, message: Message) -> "list[MessageHeaderTypeDef]":
        # Both prevent out-of-office replies: RFC 3834, and Exchange's own header.
        headers: list[MessageHeaderTypeDef] = [
            {"Name": "Auto-Submitted", "Value": "auto-generated"},
            {"Name": "X-Auto-Response-Suppress", "Value": "All"},
        ]
        if message.thread:
            # No mail has this id, because SES assigns its own. But mail clients group mails that
            # answer the same mail (RFC 5322, 3.6.4), even if they have never seen that mail.
            thread = f"<{to_tag(message.thread)}@{self.sender.rsplit('@', 1)[-1]}>"
            headers += [
                {"Name": "In-Reply-To", "Value": thread},
                {"Name": "References", "Value": thread},
            ]
        return headers

    def _error_for(self, error: ClientError) -> errors.RefusedError | errors.NotSentError:
        code = error.response["Error"]["Code"]
        said = error.response["Error"].get("Message", "")
        # SES names addresses in its errors, and the text goes to the logs.
        text = f"SES: {code}: {_ADDRESS.sub('(address)', said)}"
        return error_type(code, said, self.sender)(text)


def error_type(code: str, text: str, sender: str) -> SendError:
    """Return the type of an SES error, from its code, and from its text where that says more."""
    if code == "MessageRejected" and _NOT_VERIFIED.search(text):
        # Either the sender is not verified, and no mail can be sent. Or the account is in the
        # sandbox, where each recipient must be verified too, and this one is not.
        domain = sender.rsplit("@", 1)[-1].casefold()
        named = {found.rstrip(".").casefold() for found in re.findall(r"[^\s,<>:]+", text)}
        sender_named = named & {sender.casefold(), domain}
        return errors.SendingStoppedError if sender_named else errors.RefusedError
    for codes, pattern, error in _BY_TEXT:
        if code in codes and re.search(pattern, text, re.IGNORECASE):
            return error
    return _BY_CODE.get(code, errors.NotSentError)


def encoded(subject: str) -> str:
    """Return a subject in ASCII on one line: unchanged, or in encoded words (RFC 2047)."""
    if subject.isascii() and subject.isprintable():
        return subject
    line = "".join(char if char.isprintable() else " " for char in subject)
    # An encoded word has at most 75 characters (RFC 2047, 2), but Python would make it 77.
    return Header(line, "utf-8", maxlinelen=75, header_name="Subject").encode(linesep="")


@dataclass(slots=True)
class SesRate:
    """How many mails per second the account may send, read again every few minutes."""

    client: "SESV2Client"
    clock: Callable[[], datetime]
    _known: float | None = field(default=None, init=False)
    _read_at: datetime | None = field(default=None, init=False)

    def __call__(self) -> float:
        """Return the rate. Raises NotSentError if it could never be read."""
        now = self.clock()
        if self._known is None or self._read_at is None or now - self._read_at >= _RATE_KEPT:
            self._known = self._read() or self._known
            self._read_at = now
        if self._known is None:
            raise errors.NotSentError(
                "SES did not answer how many mails per second the account may send"
            )
        return self._known

    def _read(self) -> float | None:
        try:
            quota = self.client.get_account().get("SendQuota", {})
        except (BotoCoreError, ClientError):
            return None
        return max(quota.get("MaxSendRate", LOWEST_RATE), LOWEST_RATE)
