"""Sending mails with SES v2."""

import re
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mfa_watcher.ports import Message, NotSentError, RefusedError

if TYPE_CHECKING:
    from types_boto3_sesv2 import SESV2Client
    from types_boto3_sesv2.type_defs import SendEmailRequestTypeDef

_REFUSALS = frozenset({"MessageRejected", "BadRequestException"})
"""What SES says of the message itself; all else is about the account or the moment."""

_ADDRESS = re.compile(r"[^\s<>,;:]+@[^\s<>,;:]+")
_ILLEGAL_IN_TAG = re.compile(r"[^A-Za-z0-9_-]")
_TAG_LENGTH = 256


class SesMailer:
    """Sends from one address, optionally through a configuration set."""

    def __init__(
        self, client: "SESV2Client", *, sender: str, configuration_set: str | None
    ) -> None:
        """Take an SES v2 client, the sender's address and the configuration set's name."""
        self._client = client
        self._sender = sender
        self._configuration_set = configuration_set

    def send(self, message: Message) -> str:
        """Send one mail to one address; gives SES's message id."""
        request: SendEmailRequestTypeDef = {
            "FromEmailAddress": self._sender,
            "Destination": {"ToAddresses": [message.to]},
            "Content": {
                "Simple": {
                    "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                    "Body": {
                        "Html": {"Data": message.html, "Charset": "UTF-8"},
                        "Text": {"Data": message.text, "Charset": "UTF-8"},
                    },
                    # RFC 3834: keeps out-of-office replies from answering.
                    "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
                }
            },
            "EmailTags": [
                {"Name": _legal(name), "Value": _legal(value)}
                for name, value in message.tags.items()
            ],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        try:
            return self._client.send_email(**request)["MessageId"]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            # SES names addresses in its refusals, and the reason goes to the logs.
            said = _ADDRESS.sub("(address)", error.response["Error"].get("Message", ""))
            text = f"SES: {code}: {said}"
            if code in _REFUSALS:
                raise RefusedError(text) from error
            raise NotSentError(text) from error
        except BotoCoreError as error:
            raise NotSentError(f"SES: {type(error).__name__}") from error


def _legal(text: str) -> str:
    """SES allows letters, digits, ``_`` and ``-`` in a tag (API reference: ``MessageTag``)."""
    return _ILLEGAL_IN_TAG.sub("_", text)[:_TAG_LENGTH]
