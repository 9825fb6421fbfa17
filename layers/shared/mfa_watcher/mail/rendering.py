"""Rendering: from a decided mail to subject, HTML and text.

The text of each mail is written once per language, in ``templates/words/<language>``. It is
rendered twice, with the macros of ``templates/html/kit.jinja`` and of ``templates/text/kit.jinja``,
which have the same names.
"""

import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mfa_watcher.domain.notifications import mails
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.sign_in_page import sign_in_url
from mfa_watcher.mail import languages
from mfa_watcher.ports.notifications import RenderedMail

TEXT_WIDTH = 72
LONGEST_VALUE = 256
"""Longer than any valid name; a role session's ARN may be longer and is cut with an ellipsis."""
LONGEST_REASON = 2000
LONGEST_IN_SUBJECT = 64
"""The longest name that an IAM user may have."""
USERS_SHOWN = 100
"""In a mail about many users; mail clients cut longer mails."""

_UNSEEN = "�"
_OFFERED = (DeviceKind.FIDO, DeviceKind.VIRTUAL, DeviceKind.HARDWARE_TOTP)
"""The kinds of device to enrol, the best first."""


@dataclass(frozen=True, slots=True)
class MailContext:
    """What is the same in all mails. ``security_contact`` may be empty.

    ``time_zone`` is an IANA name. ``address_tag`` is the tag that security can set on a user who
    cannot be reached.
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
        """Take what is the same in all mails. Raises LanguageError: unknown language or zone."""
        self._common = _common(context)
        self._partition = context.partition
        self._zone = languages.zone_named(context.time_zone)
        self._default = languages.known(context.default_language).code

    def render(
        self, mail: mails.Mail, language: str | None = None, *, alias: str | None = None
    ) -> RenderedMail:
        """Return subject, HTML and text. Whatever a user can influence is made harmless.

        ``language`` may be anything; the default is used for an unknown one. ``alias`` is the alias
        of the mail's account.
        """
        words = languages.choose(language, self._default)
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
    """Return a value that fits into a sentence: one line, nothing invisible, of limited length.

    Line breaks, control characters, and marks that change the direction of writing (Unicode
    categories C and Zl, Zp) become a visible character, so that an attempt is seen.
    """
    shown = "".join(
        _UNSEEN if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char
        for char in value
    )
    line = " ".join(shown.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


@cache
def _environment(part: str, language: str) -> Environment:
    folders = languages.TEMPLATES / part, languages.WORDS / language
    environment = template_environment(*folders, html=part == "html")
    environment.filters["fill"] = _fill
    return environment


def template_environment(*folders: Path, html: bool) -> Environment:
    """Return an environment of templates in which a name that is not known is an error."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=html,  # noqa: S701 - the other part is plain text, where nothing is markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _template(part: str, language: str, name: str) -> Template:
    return _environment(part, language).get_template(f"{name}.jinja")


def _fill(text: str, first: str = "", rest: str | None = None) -> str:
    """Return a paragraph broken into lines; a long word (a link, an ARN) stays whole."""
    return textwrap.fill(
        text,
        TEXT_WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tidy(text: str) -> str:
    """Return the text with one empty line between paragraphs, whatever the templates left."""
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


def _values(mail: mails.Mail, words: languages.Language, zone: tzinfo) -> dict[str, Any]:
    """Return the values of one mail: some of every mail, and some for each field of its kind."""
    values = {
        "language": words.code,
        "direction": words.direction,
        "kind": mail.kind.value,
        "to_security": mail.kind.to_security,
        "when": languages.moment(mail.at, zone, words),
        "reference": _line(mail.reference),
        "offered": _offered(mail),
    }
    for field in fields(mail):
        if show := _SHOWN.get(field.name):
            values |= show(getattr(mail, field.name), words, zone)
    return values


def _offered(mail: mails.Mail) -> list[str]:
    """Return the kinds of device that the guide offers, the best first.

    It offers what the user wants or does not have yet; who has everything, everything.
    """
    owned = (
        mail.devices
        if isinstance(mail, mails.SecondDeviceMail | mails.RequestFulfilledMail)
        else ()
    )
    wanted = mail.wanted if isinstance(mail, mails.RequestFulfilledMail) else None
    kinds = {Device(serial).kind for serial in owned}
    offered = [kind.value for kind in _OFFERED if kind not in kinds or kind is wanted]
    return offered or [kind.value for kind in _OFFERED]


_SHOWN: dict[str, Callable[[Any, languages.Language, tzinfo], dict[str, Any]]] = {
    "user_name": lambda name, *_: {
        "user_name": one_line(name),
        "user_short": one_line(name, LONGEST_IN_SUBJECT),
    },
    "cause": lambda cause, words, _: {"cause": cause.value, "cause_said": words.causes[cause]},
    "opened_at": lambda at, words, zone: {"since": languages.moment(at, zone, words)},
    "next_at": lambda at, words, zone: {"next": languages.moment(at, zone, words) if at else None},
    "serial": lambda serial, words, _: _show_serial(serial, words),
    "devices": lambda serials, words, _: {
        "devices": [_device(Device(serial), words) for serial in serials],
        "has_fido": any(Device(serial).kind is DeviceKind.FIDO for serial in serials),
    },
    "removed": lambda serials, words, _: {
        "removed": [_device(Device(serial), words) for serial in serials]
    },
    "wanted": lambda kind, words, _: {"wanted": words.devices[kind] if kind else None},
    "actor": lambda arn, words, _: {"actor": _line(arn), "who": _who(arn, words)},
    "done_by_user": lambda done, *_: {"done_by_user": done},
    "source_ip": lambda address, *_: {"source_ip": _line(address)},
    "request_id": lambda request_id, *_: {"request_id": _line(request_id)},
    "step": lambda step, *_: {"step": step},
    "approved": lambda approved, *_: {"approved": approved},
    "ending": lambda ending, *_: {"ending": ending.value},
    "reason": lambda reason, *_: {"reason": _line(reason, LONGEST_REASON)},
    "users": lambda users, words, zone: {
        "users": [_unreachable(user, words, zone) for user in users[:USERS_SHOWN]],
        "user_count": len(users),
        "users_left_out": len(users[USERS_SHOWN:]),
    },
}
"""By the name of a mail's field: what the templates see of it."""


def _line(value: str | None, limit: int = LONGEST_VALUE) -> str | None:
    return one_line(value, limit) if value else None


def _show_serial(serial: str | None, words: languages.Language) -> dict[str, Any]:
    if not serial:
        return dict.fromkeys(("device", "device_name", "device_kind"))
    device = Device(serial)
    return {
        "device": _device(device, words),
        "device_name": one_line(device.name),
        "device_kind": words.devices[device.kind],
    }


def _unreachable(
    user: mails.UnreachableUser, words: languages.Language, zone: tzinfo
) -> dict[str, Any]:
    """Return a row. A reason we know is said in words."""
    return {
        "user": one_line(user.user_name),
        "since": languages.moment(user.since, zone, words),
        "note": words.notes.get(user.note) or one_line(user.note),
    }


def _device(device: Device, words: languages.Language) -> str:
    return f"{one_line(device.name)} ({words.devices[device.kind]})"


def _who(arn: str | None, words: languages.Language) -> str:
    """Return in words who acted (ARNs of identities: IAM user guide, *IAM identifiers*)."""
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
