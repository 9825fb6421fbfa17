"""Rendering: from a decided mail to subject, HTML and text.

The text of each mail is written once per language, in ``templates/words/<language>``. It is
rendered twice, with the macros of ``templates/html/kit.jinja`` and of ``templates/text/kit.jinja``,
which have the same names.
"""

import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mfa_watcher.domain.notifications.mails import (
    Ending,
    Mail,
    RequestFulfilledMail,
    SecondDeviceMail,
    UnreachableUser,
)
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.sign_in_page import sign_in_url
from mfa_watcher.domain.users.user import Cause
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
        self._zone = zone_named(context.time_zone)
        self._default = known(context.default_language).code

    def render(
        self, mail: Mail, language: str | None = None, *, alias: str | None = None
    ) -> RenderedMail:
        """Return subject, HTML and text. Whatever a user can influence is made harmless.

        ``language`` may be anything; the default is used for an unknown one. ``alias`` is the alias
        of the mail's account.
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


def _values(mail: Mail, words: Language, zone: tzinfo) -> dict[str, Any]:
    """Return the values of one mail: some of every mail, and some for each field of its kind."""
    values = {
        "language": words.code,
        "direction": words.direction,
        "kind": mail.kind.value,
        "to_security": mail.kind.to_security,
        "when": moment(mail.at, zone, words),
        "reference": one_line(mail.reference) if mail.reference else None,
        "offered": _offered(mail),
    }
    for field in fields(mail):
        if show := _SHOWN.get(field.name):
            values |= show(getattr(mail, field.name), words, zone)
    return values


def _offered(mail: Mail) -> list[str]:
    """Return the kinds of device that the guide offers, the best first.

    It offers what the user wants or does not have yet; who has everything, everything.
    """
    known = mail.devices if isinstance(mail, SecondDeviceMail | RequestFulfilledMail) else ()
    wanted = mail.wanted if isinstance(mail, RequestFulfilledMail) else None
    kinds = {Device(serial).kind for serial in known}
    offered = [kind.value for kind in _OFFERED if kind not in kinds or kind is wanted]
    return offered or [kind.value for kind in _OFFERED]


def _show_user_name(name: str, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"user_name": one_line(name), "user_short": one_line(name, LONGEST_IN_SUBJECT)}


def _show_cause(cause: Cause, words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"cause": cause.value, "cause_said": words.causes[cause]}


def _show_opened_at(at: datetime, words: Language, zone: tzinfo) -> dict[str, Any]:
    return {"since": moment(at, zone, words)}


def _show_next_at(at: datetime | None, words: Language, zone: tzinfo) -> dict[str, Any]:
    return {"next": moment(at, zone, words) if at else None}


def _show_serial(serial: str | None, words: Language, _zone: tzinfo) -> dict[str, Any]:
    if not serial:
        return dict.fromkeys(("device", "device_name", "device_kind"))
    device = Device(serial)
    return {
        "device": _device(device, words),
        "device_name": one_line(device.name),
        "device_kind": words.devices[device.kind],
    }


def _show_devices(serials: tuple[str, ...], words: Language, _zone: tzinfo) -> dict[str, Any]:
    devices = [Device(serial) for serial in serials]
    return {
        "devices": [_device(device, words) for device in devices],
        "has_fido": any(device.kind is DeviceKind.FIDO for device in devices),
    }


def _show_removed(serials: tuple[str, ...], words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"removed": [_device(Device(serial), words) for serial in serials]}


def _show_wanted(wanted: DeviceKind | None, words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"wanted": words.devices[wanted] if wanted else None}


def _show_actor(arn: str | None, words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"actor": one_line(arn) if arn else None, "who": _who(arn, words)}


def _show_done_by_user(done: bool, _words: Language, _zone: tzinfo) -> dict[str, Any]:  # noqa: FBT001 - a field's value
    return {"done_by_user": done}


def _show_source_ip(address: str | None, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"source_ip": one_line(address) if address else None}


def _show_request_id(request_id: str | None, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"request_id": one_line(request_id) if request_id else None}


def _show_step(step: int, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"step": step}


def _show_approved(approved: bool, _words: Language, _zone: tzinfo) -> dict[str, Any]:  # noqa: FBT001 - a field's value
    return {"approved": approved}


def _show_ending(ending: Ending, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"ending": ending.value}


def _show_reason(reason: str | None, _words: Language, _zone: tzinfo) -> dict[str, Any]:
    return {"reason": one_line(reason, LONGEST_REASON) if reason else None}


def _show_users(
    users: tuple[UnreachableUser, ...], words: Language, zone: tzinfo
) -> dict[str, Any]:
    return {
        "users": [_unreachable(user, words, zone) for user in users[:USERS_SHOWN]],
        "user_count": len(users),
        "users_left_out": len(users[USERS_SHOWN:]),
    }


_SHOWN: dict[str, Callable[[Any, Language, tzinfo], dict[str, Any]]] = {
    "user_name": _show_user_name,
    "cause": _show_cause,
    "opened_at": _show_opened_at,
    "next_at": _show_next_at,
    "serial": _show_serial,
    "devices": _show_devices,
    "removed": _show_removed,
    "wanted": _show_wanted,
    "actor": _show_actor,
    "done_by_user": _show_done_by_user,
    "source_ip": _show_source_ip,
    "request_id": _show_request_id,
    "step": _show_step,
    "approved": _show_approved,
    "ending": _show_ending,
    "reason": _show_reason,
    "users": _show_users,
}
"""By the name of a mail's field: what the templates see of it."""


def _unreachable(user: UnreachableUser, words: Language, zone: tzinfo) -> dict[str, Any]:
    """Return a row. A reason we know is said in words."""
    return {
        "user": one_line(user.user_name),
        "since": moment(user.since, zone, words),
        "note": words.notes.get(user.note) or one_line(user.note),
    }


def _device(device: Device, words: Language) -> str:
    return f"{one_line(device.name)} ({words.devices[device.kind]})"


def _who(arn: str | None, words: Language) -> str:
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
