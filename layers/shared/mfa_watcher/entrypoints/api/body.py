"""Reading a call's body."""

import json
from base64 import b64decode
from binascii import Error as BadBase64Error
from collections.abc import Mapping
from typing import Any, Final

from mfa_watcher.entrypoints.api.caller import within

LARGEST_BODY: Final = 16 * 1024
"""Bytes. A reason of a thousand characters and all devices of a user need a third of it."""


class UnreadableBodyError(Exception):
    """The body cannot be read; the text says why."""


class BodyTooLargeError(UnreadableBodyError):
    """The body is larger than anything that the API accepts."""


class WrongMediaTypeError(UnreadableBodyError):
    """The body's media type is not JSON."""


def readable_body(event: Mapping[str, Any]) -> str | None:
    """Return the body as text that is a JSON object. Raises UnreadableBodyError.

    The resolver parses the body again. What would make it fail with an error of its own (endless
    nesting, bytes that are not text) is refused here.
    """
    body = event.get("body")
    if not body:
        return None
    if not isinstance(body, str):
        raise UnreadableBodyError("the body is not text")
    if len(body) > LARGEST_BODY * 4 // 3 + 4:
        raise BodyTooLargeError(f"send at most {LARGEST_BODY} bytes")
    headers = within(event, "headers")
    media = next((v for k, v in headers.items() if k.casefold() == "content-type"), None)
    if media and str(media).split(";")[0].strip().casefold() != "application/json":
        raise WrongMediaTypeError("send it with Content-Type: application/json")
    try:
        text = b64decode(body, validate=True).decode() if event.get("isBase64Encoded") else body
        if len(text.encode()) > LARGEST_BODY:
            raise BodyTooLargeError(f"send at most {LARGEST_BODY} bytes")
        parsed = json.loads(text)
    except (BadBase64Error, ValueError, RecursionError) as error:
        raise UnreadableBodyError("send a JSON object") from error
    if not isinstance(parsed, dict):
        raise UnreadableBodyError("send a JSON object")
    return text
