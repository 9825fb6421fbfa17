"""Sessions with MFA, which MiniStack 1.5 does not know.

With `SerialNumber` and `TokenCode`, `GetSessionToken` and `AssumeRole` check the code of the
caller's own device, and the session's requests carry `aws:MultiFactorAuthPresent` as true.
"""

import json
import time
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.services import iam, sts

from sandbox import totp

WITH_MFA: Final = "WithMfa"
"""Marks a session with MFA in MiniStack's store of sessions."""

_PRESENT: Final = "aws:multifactorauthpresent"

_proven: ContextVar[bool] = ContextVar("whether the request has a device's code", default=False)


def install() -> None:
    """Patch the MiniStack of this process."""
    sts.handle_request = _with_code_checked(sts.handle_request)
    sts.register_session = _marked(sts.register_session)
    iam_evaluator.evaluate_trust_policy = _with_user_name(iam_evaluator.evaluate_trust_policy)
    # Both modules have their own reference to it.
    iam_evaluator._principal_keys = sts._principal_keys = _with_mfa(iam_evaluator._principal_keys)


def _with_code_checked(handle: Any) -> Any:
    @wraps(handle)
    async def checked(
        method: str, path: str, headers: Any, body: bytes, query: dict[str, list[str]]
    ) -> Any:
        form = query | parse_qs(body.decode(errors="replace"))
        serial, code = (form.get(name, [""])[0] for name in ("SerialNumber", "TokenCode"))
        if (serial or code) and not _is_of_caller(serial, code):
            refused = "MultiFactorAuthentication failed with invalid MFA one time pass code."
            return sts._error(403, "AccessDenied", refused, ns="sts")
        token = _proven.set(bool(serial))
        try:
            return await handle(method, path, headers, body, query)
        finally:
            _proven.reset(token)

    return checked


def _with_user_name(evaluate: Any) -> Any:
    @wraps(evaluate)
    def evaluated(trust: Any, caller_arn: str, *more: Any) -> bool:
        """Put the caller's name into a trust policy, as AWS does for `${aws:username}`."""
        text = trust if isinstance(trust, str) else json.dumps(trust)
        if ":user/" in caller_arn:
            text = text.replace("${aws:username}", caller_arn.rpartition("/")[2])
        return bool(evaluate(text, caller_arn, *more))

    return evaluated


def _is_of_caller(serial: str, code: str) -> bool:
    device = iam._mfa_devices.get(serial) or {}
    arn = str(iam_evaluator.caller_arn())
    if ":user/" not in arn or device.get("User") != arn.rpartition("/")[2]:
        return False
    seed, now = device["Base32StringSeed"], time.time()
    return code in {totp.code(seed, now, steps=steps) for steps in (-1, 0, 1)}


def _marked(register: Any) -> Any:
    @wraps(register)
    def registered(access_key: str, session: dict[str, Any]) -> None:
        register(access_key, session | {WITH_MFA: _proven.get()})

    return registered


def _with_mfa(principal_keys: Any) -> Any:
    @wraps(principal_keys)
    def known(credential: Any) -> dict[str, Any]:
        keys: dict[str, Any] = principal_keys(credential)
        session = sts._sessions.get(credential.access_key_id) or {}
        present = session.get(WITH_MFA) or _proven.get()
        return keys | ({_PRESENT: "true"} if present else {})

    return known
