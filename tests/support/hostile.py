"""What a user may try to put into a mail."""

import re
from dataclasses import fields, replace
from typing import Any

from mfa_watcher.cli.samples import ACCOUNT
from mfa_watcher.domain.notifications.mails import Mail

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert(1)>'",
    "closing": "</bdi></p></td></table><h1>Your account is closed</h1>",
    "entity": "&lt;b&gt;&amp;&#x202e;",
    "comment": "<!-- ",
    "expression": "{{7*7}}",
    "statement": "{% raw %}{{ self }}{% endblock %}{# ",
    "format": "%s %(x)s {0} ${x} $x",
    "header injection": "alice\r\nBcc: everybody@acme.example\r\n\r\nHello",
    "line separators": "alice\u2028Bcc: x\u2029y\x85z\x0b\x0c\x1c",
    "right to left": "alice\u202egnp.exe\u2066\u2069\u200f\u061c",
    "unseen": "al\u200bi\u00adce\ufeff\x00\x1b[31m\x07\x7f",
    "half a pair": "alice\ud800",
    "longest name": "x" * 128,
    "endless": "y" * 5000,
    "words": "a " * 3000,
    "empty": "",
    "spaces": " \t ",
}
UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
"""What no part of a mail may hold: controls, and marks that hide or turn what is written."""


def with_hostile(mail: Mail, value: str) -> Mail:
    """Return the mail with a value wherever one from outside can stand."""
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/{value}"

    def serials(known: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(serial for _ in known)

    changed: dict[str, Any] = {
        "user_name": value,
        "serial": serial,
        "actor": f"arn:aws:sts::{ACCOUNT}:assumed-role/{value}/{value}",
        "source_ip": value or None,
        "reason": value or None,
        "done_by_user": False,
    }
    for field in fields(mail):
        known = getattr(mail, field.name)
        if field.name in {"devices", "removed"}:
            changed[field.name] = serials(known)
        elif field.name == "users":
            changed["users"] = tuple(replace(one, user_name=value, note=value) for one in known)
    present = {field.name for field in fields(mail)}
    return replace(mail, **{name: new for name, new in changed.items() if name in present})
