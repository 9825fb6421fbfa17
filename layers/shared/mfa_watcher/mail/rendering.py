"""From a decided mail to subject, HTML and text.

Each mail's words stand once, in ``templates/words``. They are set twice, with the macros of
``templates/html/kit.jinja`` and of ``templates/text/kit.jinja``: the same names in both.
"""

import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mfa_watcher.domain.devices import Device, DeviceKind
from mfa_watcher.domain.intents import Mail
from mfa_watcher.ports import RenderedMail

TEMPLATES = Path(__file__).parent / "templates"
TEXT_WIDTH = 72
LONGEST_VALUE = 256
"""Longer than any legal name; a role session's ARN may be longer, and is cut with an ellipsis."""

_UNSEEN = "�"
_SIGN_IN_DOMAINS = {
    "aws": "signin.aws.amazon.com",
    "aws-us-gov": "signin.amazonaws-us-gov.com",
    "aws-cn": "signin.amazonaws.cn",
}
_KINDS = {
    DeviceKind.FIDO: "passkey or security key",
    DeviceKind.VIRTUAL: "authenticator app",
    DeviceKind.HARDWARE_TOTP: "hardware TOTP token",
    DeviceKind.SMS: "text messages (SMS)",
}


@dataclass(frozen=True, slots=True)
class MailContext:
    """What is the same in all mails of an account. ``security_contact`` may be empty."""

    account_id: str
    account_alias: str | None
    partition: str
    security_contact: str
    product_name: str = "MFA Watcher"

    @property
    def sign_in_url(self) -> str:
        """Give the account's own sign-in page (IAM user guide, *Sign-in URL for IAM users*)."""
        domain = _SIGN_IN_DOMAINS.get(self.partition, _SIGN_IN_DOMAINS["aws"])
        account = quote(self.account_alias or self.account_id, safe="")
        return f"https://{account}.{domain}/console"


class JinjaMailRenderer:
    """Renders mails of one account. Templates are compiled once per process."""

    def __init__(self, context: MailContext) -> None:
        self._common = _common(context)

    def render(self, mail: Mail) -> RenderedMail:
        """Give subject, HTML and text. Whatever a user can influence comes out harmless."""
        values = self._common | _values(mail)
        text = _template("text", mail.kind)
        return RenderedMail(
            subject=_subject(text, values),
            html=_template("html", mail.kind).render(values),
            text=_tidy(text.render(values)),
        )


def one_line(value: str, limit: int = LONGEST_VALUE) -> str:
    """Make a value fit to stand in a sentence: one line, nothing unseen, not endless.

    Line breaks, control characters, and marks that turn the direction of writing (Unicode
    categories C and Zl, Zp) become a visible character; an attempt should be seen.
    """
    shown = "".join(
        _UNSEEN if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char
        for char in value
    )
    line = " ".join(shown.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


@cache
def _environment(part: str) -> Environment:
    html = part == "html"
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES / part, TEMPLATES / "words"]),
        autoescape=html,  # noqa: S701 - the other part is plain text, where nothing is markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["fill"] = _fill
    return environment


def _template(part: str, name: str) -> Template:
    return _environment(part).get_template(f"{name}.jinja")


def _subject(template: Template, values: dict[str, Any]) -> str:
    return "".join(template.blocks["subject"](template.new_context(values))).strip()


def _fill(text: str, first: str = "", rest: str | None = None) -> str:
    """Break a paragraph of plain text into lines; a long word (a link, an ARN) stays whole."""
    return textwrap.fill(
        text,
        TEXT_WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tidy(text: str) -> str:
    """Leave one empty line between paragraphs, however the templates were broken into lines."""
    paragraphs = (part.strip("\n") for part in text.split("\n\n"))
    return "\n\n".join(part for part in paragraphs if part.strip()) + "\n"


# What the templates see: nothing but these values, each fit for a sentence -------------------


def _common(context: MailContext) -> dict[str, Any]:
    number = one_line(context.account_id)
    alias = one_line(context.account_alias) if context.account_alias else None
    contact = one_line(context.security_contact)
    return {
        "account": f"{alias} ({number})" if alias else number,
        "sign_in_url": context.sign_in_url,
        "contact": contact or None,
        "contact_url": f"mailto:{quote(contact, safe='@')}",
        "product_name": one_line(context.product_name),
    }


def _values(mail: Mail) -> dict[str, Any]:
    device = Device(mail.serial) if mail.serial else None
    reference = mail.request_id or mail.finding_id
    return {
        "user_name": one_line(mail.user_name),
        "cause": mail.cause.value if mail.cause else None,
        "when": _moment(mail.at),
        "device_name": one_line(device.name) if device else None,
        "device_kind": _KINDS[device.kind] if device else None,
        "device_is_fido": device is not None and device.kind is DeviceKind.FIDO,
        "actor": one_line(mail.actor) if mail.actor else None,
        "who": _who(mail.actor),
        "own_doing": mail.own_doing,
        "source_ip": one_line(mail.source_ip) if mail.source_ip else None,
        "request_id": one_line(mail.request_id) if mail.request_id else None,
        "reference": one_line(reference) if reference else None,
    }


def _moment(at: datetime) -> str:
    moment = at.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _who(arn: str | None) -> str:
    """Say in words who acted (ARNs of identities: IAM user guide, *IAM identifiers*)."""
    match (arn or "").split(":", 5):
        case [_, _, "iam", _, _, "root"]:
            return "the account's root user"
        case [_, _, "iam", _, _, resource] if resource.startswith("user/"):
            return f"the user {one_line(resource.rsplit('/', 1)[-1])}"
        case [_, _, "sts", _, _, resource] if resource.startswith("assumed-role/"):
            _, role, *session = resource.split("/", 2)
            by = f" (session {one_line(session[0])})" if session else ""
            return f"somebody in the role {one_line(role)}{by}"
        case _:
            return "somebody"
