"""From a decided mail to subject, HTML and text.

Each mail's words stand once per language, in ``templates/words/<language>``. They are set twice,
with the macros of ``templates/html/kit.jinja`` and of ``templates/text/kit.jinja``: the same names
in both.
"""

import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mfa_watcher.domain.notifications.intents import Case, Mail
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.sign_in_page import sign_in_url
from mfa_watcher.mail.languages import (
    TEMPLATES,
    WORDS,
    Language,
    choose,
    known,
    moment,
    zone_named,
)
from mfa_watcher.ports.notifications import RenderedMail

TEXT_WIDTH = 72
LONGEST_VALUE = 256
"""Longer than any legal name; a role session's ARN may be longer, and is cut with an ellipsis."""
LONGEST_REASON = 2000
LONGEST_IN_SUBJECT = 64
"""As long as an IAM user's name may be."""
CASES_SHOWN = 100
"""Of a mail about many users; mail clients cut what is longer."""

_UNSEEN = "�"
_OFFERED = (DeviceKind.FIDO, DeviceKind.VIRTUAL, DeviceKind.HARDWARE_TOTP)
"""The kinds of device to enrol, the best first."""


@dataclass(frozen=True, slots=True)
class MailContext:
    """What is the same in all mails. ``security_contact`` may be empty.

    ``time_zone`` is an IANA name. ``address_tag`` is the tag that security is told to set on a
    user who cannot be reached.
    """

    partition: str
    security_contact: str
    product_name: str = "MFA Watcher"
    default_language: str = "en"
    time_zone: str = "UTC"
    address_tag: str = "email"


class JinjaMailRenderer:
    """Renders mails of all accounts. Templates are compiled once per process."""

    def __init__(self, context: MailContext) -> None:
        """Take what is the same in all. Raises LanguageError for a language or zone not there."""
        self._common = _common(context)
        self._partition = context.partition
        self._zone = zone_named(context.time_zone)
        self._default = known(context.default_language).code

    def render(
        self, mail: Mail, language: str | None = None, *, alias: str | None = None
    ) -> RenderedMail:
        """Give subject, HTML and text. Whatever a user can influence comes out harmless.

        ``language`` may be anything; what is no language of ours is the default. ``alias`` is what
        the mail's account is called.
        """
        words = choose(language, self._default)
        account = _account(mail.account_id, alias, self._partition)
        values = self._common | account | _values(mail, words, self._zone)
        text = _template("text", words.code, mail.kind)
        title = "".join(text.blocks["title"](text.new_context(values))).strip()
        return RenderedMail(
            subject=words.subject.format(account=account["account_short"], title=title),
            html=_template("html", words.code, mail.kind).render(values),
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
def _environment(part: str, language: str) -> Environment:
    html = part == "html"
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES / part, WORDS / language]),
        autoescape=html,  # noqa: S701 - the other part is plain text, where nothing is markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["fill"] = _fill
    return environment


def _template(part: str, language: str, name: str) -> Template:
    return _environment(part, language).get_template(f"{name}.jinja")


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
    contact = one_line(context.security_contact)
    return {
        "contact": contact or None,
        "contact_url": f"mailto:{quote(contact, safe='@')}",
        "product_name": one_line(context.product_name),
        "address_tag": one_line(context.address_tag),
    }


def _account(account_id: str, alias: str | None, partition: str) -> dict[str, Any]:
    number, called = one_line(account_id), one_line(alias) if alias else None
    return {
        "account": f"{called} ({number})" if called else number,
        "account_short": called or number,
        "sign_in_url": sign_in_url(account_id, alias, partition),
    }


def _values(mail: Mail, words: Language, zone: tzinfo) -> dict[str, Any]:
    device = Device(mail.serial) if mail.serial else None
    devices = [Device(serial) for serial in mail.devices]
    kinds = {device.kind for device in devices}
    reference = mail.request_id or mail.finding_id
    return {
        "language": words.code,
        "direction": words.direction,
        "kind": mail.kind.value,
        "to_security": mail.kind.to_security,
        "user_name": one_line(mail.user_name),
        "user_short": one_line(mail.user_name, LONGEST_IN_SUBJECT),
        "cause": mail.cause.value if mail.cause else None,
        "cause_said": words.causes[mail.cause] if mail.cause else None,
        "when": moment(mail.at, zone, words),
        "since": moment(mail.opened_at, zone, words) if mail.opened_at else None,
        "next": moment(mail.next_at, zone, words) if mail.next_at else None,
        "device": _device(device, words) if device else None,
        "device_name": one_line(device.name) if device else None,
        "device_kind": words.devices[device.kind] if device else None,
        "devices": [_device(device, words) for device in devices],
        "removed": [_device(Device(serial), words) for serial in mail.removed],
        "wanted": words.devices[mail.wanted] if mail.wanted else None,
        "has_fido": DeviceKind.FIDO in kinds or (device and device.kind is DeviceKind.FIDO),
        # The guide offers what the user wants or does not have yet; who has everything, everything.
        "offered": [kind.value for kind in _OFFERED if kind not in kinds or kind is mail.wanted]
        or list(_OFFERED),
        "actor": one_line(mail.actor) if mail.actor else None,
        "who": _who(mail.actor, words),
        "done_by_user": mail.done_by_user,
        "source_ip": one_line(mail.source_ip) if mail.source_ip else None,
        "request_id": one_line(mail.request_id) if mail.request_id else None,
        "reference": one_line(reference) if reference else None,
        "step": mail.step,
        "approved": mail.approved,
        "ending": mail.ending.value if mail.ending else None,
        "reason": one_line(mail.reason, LONGEST_REASON) if mail.reason else None,
        "cases": [_case(case, words, zone) for case in mail.cases[:CASES_SHOWN]],
        "case_count": len(mail.cases),
        "cases_left_out": len(mail.cases[CASES_SHOWN:]),
    }


def _case(case: Case, words: Language, zone: tzinfo) -> dict[str, Any]:
    """Give a row. A reason we know is said in words."""
    return {
        "user": one_line(case.user_name),
        "since": moment(case.since, zone, words),
        "note": words.notes.get(case.note) or one_line(case.note),
    }


def _device(device: Device, words: Language) -> str:
    return f"{one_line(device.name)} ({words.devices[device.kind]})"


def _who(arn: str | None, words: Language) -> str:
    """Say in words who acted (ARNs of identities: IAM user guide, *IAM identifiers*)."""
    said = words.actors
    match (arn or "").split(":", 5):
        case [_, _, "iam", _, _, "root"]:
            return said["root"]
        case [_, _, "iam", _, _, resource] if resource.startswith("user/"):
            return said["user"].format(name=one_line(resource.rsplit("/", 1)[-1]))
        case [_, _, "sts", _, _, resource] if resource.startswith("assumed-role/"):
            match resource.split("/", 2):
                case [_, role, session]:
                    return said["session"].format(name=one_line(role), session=one_line(session))
                case [_, role]:
                    return said["role"].format(name=one_line(role))
    return said["somebody"]
