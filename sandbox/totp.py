"""Six-digit codes of an authenticator app (RFC 6238), as IAM's virtual devices use them."""

import base64
import hashlib
import hmac
import secrets
import struct

STEP_SECONDS = 30


def new_seed() -> str:
    """Return a new shared secret in base 32, as in a QR code."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code(seed: str, at: float, *, steps: int = 0) -> str:
    """Return the code that an app with `seed` shows at `at` (a Unix time), `steps` steps away."""
    counter = struct.pack(">Q", int(at) // STEP_SECONDS + steps)
    digest = hmac.new(base64.b32decode(seed), counter, hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def consecutive(seed: str, first: str, second: str, at: float) -> bool:
    """Return whether two codes follow each other and are at most two steps old, as IAM demands."""
    return any(
        code(seed, at, steps=steps) == first and code(seed, at, steps=steps + 1) == second
        for steps in (-2, -1, 0)
    )
