"""Console passwords, which MiniStack 1.5 discards: kept, checked, and held to the account's policy.

So a sign-in with a password shows whether it is the password that was set.
"""

import hashlib
import secrets
import string
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

from ministack.core import iam_evaluator
from ministack.services import iam

_KEPT: Final = "PasswordHash"
_SHORTEST: Final = 8
# What IAM counts as symbols: API reference, UpdateAccountPasswordPolicy.
_SYMBOLS: Final = "!@#$%^&*()_+-=[]{}|'"
_CLASSES: Final = {
    "RequireUppercaseCharacters": string.ascii_uppercase,
    "RequireLowercaseCharacters": string.ascii_lowercase,
    "RequireNumbers": string.digits,
    "RequireSymbols": _SYMBOLS,
}


def install() -> None:
    """Patch the MiniStack of this process."""
    for name in ("CreateLoginProfile", "UpdateLoginProfile"):
        iam._IAM_HANDLERS[name] = _keeping(iam._IAM_HANDLERS[name])
    iam._IAM_HANDLERS["ChangePassword"] = _change_password


def is_right(user: str, password: str) -> bool:
    """Return whether this is the user's console password."""
    kept = (iam._login_profiles.get(user) or {}).get(_KEPT, "")
    return bool(kept) and secrets.compare_digest(kept, _hashed(password))


def _keeping(handle: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    @wraps(handle)
    def kept(form: dict[str, Any]) -> Any:
        user, password = _first(form, "UserName"), _first(form, "Password")
        if password and not _is_allowed(password):
            return _violation()
        answer = handle(form)
        if password and answer[0] == HTTPStatus.OK:
            iam._login_profiles[user][_KEPT] = _hashed(password)
        return answer

    return kept


def _change_password(form: dict[str, Any]) -> Any:
    arn = str(iam_evaluator.caller_arn())
    user = arn.rpartition("/")[2] if ":user/" in arn else ""
    if user not in iam._login_profiles:
        return iam._error(404, "NoSuchEntity", f"Login Profile for User {user} cannot be found.")
    if not is_right(user, _first(form, "OldPassword")):
        return iam._error(403, "AccessDenied", "The old password was incorrect.")
    new = _first(form, "NewPassword")
    if not _is_allowed(new):
        return _violation()
    iam._login_profiles[user] |= {"PasswordResetRequired": False, _KEPT: _hashed(new)}
    return iam._xml(200, "ChangePasswordResponse", "")


def _is_allowed(password: str) -> bool:
    policy = iam._account_password_policy.get("policy") or {}
    return len(password) >= int(policy.get("MinimumPasswordLength") or _SHORTEST) and all(
        set(password) & set(characters) for rule, characters in _CLASSES.items() if policy.get(rule)
    )


def _violation() -> Any:
    said = "Password does not conform to the account password policy."
    return iam._error(400, "PasswordPolicyViolation", said)


def _hashed(password: str) -> str:
    # Kept in an emulator's memory only, so without salt and rounds.
    return hashlib.sha256(password.encode()).hexdigest()


def _first(form: dict[str, Any], name: str) -> str:
    value = form.get(name, "")
    return str(value[0] if isinstance(value, list) else value)
