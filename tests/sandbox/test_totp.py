import base64

import pytest

from sandbox import totp

# RFC 6238, appendix B, SHA-1, cut to the six digits that authenticator apps show.
SEED = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at", "shown"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_code_is_that_of_the_rfc(at: int, shown: str) -> None:
    assert totp.code(SEED, at) == shown


def test_two_codes_in_a_row_are_accepted_and_the_same_twice_is_not() -> None:
    earlier, now = totp.code(SEED, 1000, steps=-1), totp.code(SEED, 1000)
    assert totp.consecutive(SEED, earlier, now, 1000)
    assert not totp.consecutive(SEED, now, now, 1000)
    assert not totp.consecutive(SEED, earlier, now, 1000 + 4 * totp.STEP_SECONDS)
