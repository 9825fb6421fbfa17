"""Spares what moto and botocore would work out again for each account and each call.

None of it changes what they answer. Together it is a fifth of the time of a test of a function.
"""

from functools import cache

from botocore.useragent import UserAgentString
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from moto.core import models, responses
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.sns.models import Subscription


@cache
def speed_up() -> None:
    """Let moto and botocore remember, for as long as the process lives."""
    # The names of a class's methods, and a call's name in Python's way: asked at each call.
    for function in (method_names_from_class, camelcase_to_underscores):
        setattr(responses, function.__name__, cache(function))
    # Put together twice for each request, from thirty parts; nothing reads it.
    UserAgentString.to_string = lambda _: "tests"  # type: ignore[method-assign, assignment]
    # 1,400 patterns by which moto would answer `requests`; the product calls AWS by boto3 alone.
    models.RESPONSES_METHODS.clear()
    # What alerts are signed with: made anew for each subscription, in 50 ms.
    Subscription.private_key = lambda _: _signing_key()  # type: ignore[method-assign, assignment]


@cache
def _signing_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)
