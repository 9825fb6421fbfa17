"""Carries requests out in a process that logs all it can, for a test that reads what it wrote.

The passwords go to the file named as the argument, everything else to standard output and error.
"""

import json
import logging
import sys
import traceback
from pathlib import Path
from random import Random

import boto3
import pytest

from mfa_watcher.domain.requests.passwords import Password, make_password
from mfa_watcher.usecases import fulfil as usecase
from tests.functions.approved import FIDO, PHONE, approved, fulfil, story
from tests.functions.product import Product
from tests.support.account import Account, Refusal, opened

MADE: list[str] = []


def noted(shortest: int, randomness: Random) -> Password:
    """Make a password, and note it for the test."""
    password = make_password(shortest, randomness)
    MADE.append(password.reveal())
    return password


def say(*things: object) -> None:
    """Write what the test is to read."""
    sys.stdout.writelines(f"{thing}\n" for thing in things)


def play(account: Account, product: Product) -> None:
    """Go every way that a password can go: not set, set and not told, told, told again."""
    request = approved(product, (PHONE, FIDO))
    for code in ("Throttling", "PasswordPolicyViolation", "AccessDenied"):
        account.calls.refused["iam:UpdateLoginProfile"] = Refusal(code)
        say(fulfil(product, request))
    account.calls.refused.clear()
    account.calls.unreachable.add("iam:UpdateLoginProfile")
    say(fulfil(product, request))
    account.calls.unreachable.clear()
    plain = len(account.calls.made)
    account.calls.meanwhile = (plain + 8, lambda: break_table(account))
    try:
        say(fulfil(product, request))
    except Exception:
        logging.getLogger("tests").exception("As the runtime would log it")
        traceback.print_exc()
    account.calls.refused.clear()
    for _ in range(2):
        status, answer = fulfil(product, request)
        assert (status, answer["password"]) == (200, MADE[-1])
    product.deliver()
    say(story(account, request))
    say(json.dumps(account.items(""), default=str))
    say(*account.alerts())
    others = zip(account.calls.made, account.calls.bodies, strict=True)
    say(*(body for call, body in others if call != "iam:UpdateLoginProfile"))


def break_table(account: Account) -> None:
    """Let the table refuse everything from now on."""
    account.calls.refused["dynamodb:TransactWriteItems"] = Refusal("ResourceNotFoundException")


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    boto3.set_stream_logger("", logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usecase, "make_password", noted)
        patch.setattr("botocore.endpoint.time.sleep", lambda _: None)
        with opened(patch) as opened_account:
            play(opened_account, Product(opened_account, patch))
    Path(sys.argv[1]).write_text(json.dumps(MADE))
