"""The only module that reads error messages: who or what a denied call was about.

When IAM denies a call, CloudTrail drops ``requestParameters``. Then only ``errorMessage`` names the
user whose device was to be removed. Its texts are::

    User: ARN is not authorized to perform: iam:DeactivateMFADevice on resource: user NAME
        because no identity-based policy allows the iam:DeactivateMFADevice action
    … on resource: arn:aws:iam::ACCOUNT:user/PATH/NAME with an explicit deny in a service
        control policy: arn:aws:organizations::…
    … on resource: user  because …       (without a name, the call is about its caller)
    … on resource: *  with …             (names nobody)
    … is not authorized to perform: iam:DeactivateMFADevice with an explicit deny in …
    To complete this action, please ensure that you are authenticated with an MFA device …

CloudTrail cuts the text at 1 KB (record contents reference), so a name at the very end of a text
of that length may be half a name.
"""

import re
from dataclasses import dataclass

from mfa_watcher.domain.users.devices import owner_in

_CUT_FROM = 1000
"""From this length on, a text that ends inside its resource clause counts as cut."""

_MFA_SESSION = "authenticated with an MFA device"
_DENIAL = re.compile(r" is not authorized to perform: \S+(?P<rest>.*)", re.DOTALL)
_CLAUSE = " on resource:"
_USER_ARN = re.compile(r"^arn:[^:]+:iam::[^:]*:user/(?:.*/)?(?P<name>[^/]+)$")

_REASONS = ("because", "with")
"""The words that begin the reason after the resource. Both may be names of IAM users."""


@dataclass(frozen=True, slots=True)
class Target:
    """The user or device that a denial is about.

    ``user`` is the name in the text; ``caller``: the call was about its caller. Neither: the text
    does not name the user, or was cut before the name.
    """

    user: str | None = None
    serial: str | None = None
    caller: bool = False


UNKNOWN = Target()
CALLER = Target(caller=True)


def target_of(message: str) -> Target:
    """Return what a denial's text says about the call's target. Never raises."""
    cut = len(message.encode(errors="replace")) >= _CUT_FROM
    denial = _DENIAL.search(message)
    if denial is None:
        return UNKNOWN if cut and _MFA_SESSION not in message else CALLER
    rest = denial["rest"]
    if not rest.startswith(_CLAUSE):
        return UNKNOWN if cut and _CLAUSE.startswith(rest) else CALLER
    return _read_clause(rest.removeprefix(_CLAUSE), cut=cut)


def resource_of(message: str) -> str | None:
    """Return the ARN of the resource that a denial's text names, or None."""
    denial = _DENIAL.search(message)
    if denial is None or not denial["rest"].startswith(_CLAUSE):
        return None
    first = next(iter(denial["rest"].removeprefix(_CLAUSE).split()), "")
    return first if first.startswith("arn:") else None


def is_explicit(message: str) -> bool:
    """Return whether a policy denied the call explicitly."""
    return "explicit deny" in message


def _read_clause(clause: str, *, cut: bool) -> Target:
    """Read what comes after ``on resource:``, up to the end of the text."""
    words = clause.split()
    ends_inside_word = cut and not clause[-1:].isspace()
    match words:
        case ["user", name] if cut and name in _REASONS:
            return UNKNOWN  # a user of that name, or an empty name and the reason's first word
        case ["user", name, *tail] if _ends_name(name, tail):
            whole = tail or not ends_inside_word
            return Target(user=name.rsplit("/", 1)[-1]) if whole else UNKNOWN
        case [arn, *tail] if arn.startswith("arn:"):
            return _read_arn(arn) if tail or not ends_inside_word else UNKNOWN
        case ["user" | "*", *tail] if tail or not cut:
            return CALLER
        case [reason, *_] if reason in _REASONS:
            return CALLER
        case _:
            return UNKNOWN if cut else CALLER


def _ends_name(name: str, tail: list[str]) -> bool:
    """Return False for an empty name, where the reason follows: a user may be named "because"."""
    # The reason's first word may be cut, too; its second ("no", "an") begins no reason.
    return name not in _REASONS or not tail or any(word.startswith(tail[0]) for word in _REASONS)


def _read_arn(arn: str) -> Target:
    if user := _USER_ARN.match(arn):
        return Target(user=user["name"])
    # A device: a security key's serial names its owner, any other only the device.
    owner = owner_in(arn)
    return Target(user=owner, serial=arn, caller=owner is None)
