import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.header import decode_header, make_header

import pytest
from botocore.config import Config
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.adapters.ses import SesMailer, SesRate, encoded
from mfa_watcher.ports.errors import (
    BadAddressError,
    NotSentError,
    QuotaUsedUpError,
    RefusedError,
    SendingStoppedError,
    ThrottledError,
)
from mfa_watcher.ports.notifications import Message
from tests.support.account import Account, Refusal, client
from tests.support.builders import HOSTILE, SENDER

MESSAGE = Message(
    to="ana@example.com",
    subject="Bitte MFA für Ihr Konto einrichten",
    html=f"<p>{HOSTILE}</p>",
    text=HOSTILE,
    tags={"mail": "guide", "intent": "mail-guide-F-1", "user+=,.@": "ana+=,.@é/x" * 100},
)


@pytest.fixture
def stubbed(account: Account) -> Iterator[tuple[SesMailer, Stubber]]:
    """A client that says what moto cannot."""
    assert account.table
    ses = client("sesv2")
    with Stubber(ses) as stubber:
        yield SesMailer(ses, sender=SENDER, configuration_set=None), stubber


def test_a_sent_mail_returns_its_message_id(account: Account) -> None:
    mailer = SesMailer(client("sesv2"), sender=SENDER, configuration_set="own")
    assert mailer.send(MESSAGE)
    assert account.calls.sent == {"mail guide": 1}


def test_a_mail_is_sent_with_the_given_addresses_and_contents(account: Account) -> None:
    SesMailer(client("sesv2"), sender=SENDER, configuration_set="own").send(MESSAGE)
    SesMailer(client("sesv2"), sender=SENDER, configuration_set=None).send(MESSAGE)
    with_set, without = map(json.loads, account.calls.bodies)
    assert with_set["ConfigurationSetName"] == "own"
    assert "ConfigurationSetName" not in without
    assert with_set["FromEmailAddress"] == SENDER
    assert with_set["Destination"] == {"ToAddresses": ["ana@example.com"]}
    simple = with_set["Content"]["Simple"]
    assert simple["Subject"]["Data"].isascii()
    assert decoded(simple["Subject"]["Data"]) == MESSAGE.subject
    assert simple["Body"]["Html"] == {"Data": MESSAGE.html, "Charset": "UTF-8"}
    assert simple["Body"]["Text"] == {"Data": MESSAGE.text, "Charset": "UTF-8"}
    tags = {tag["Name"]: tag["Value"] for tag in with_set["EmailTags"]}
    assert tags["intent"] == "mail-guide-F-1"
    for text in (*tags, *tags.values()):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", text)


def test_headers_keep_automatic_replies_away_and_a_conversation_together(account: Account) -> None:
    mailer = SesMailer(client("sesv2"), sender=SENDER, configuration_set=None)
    mailer.send(replace(MESSAGE, thread=f"F-1/{HOSTILE}", cc="boss@example.com"))
    mailer.send(MESSAGE)
    threaded, alone = (json.loads(body) for body in account.calls.bodies)
    assert threaded["Destination"]["CcAddresses"] == ["boss@example.com"]
    headers = {h["Name"]: h["Value"] for h in threaded["Content"]["Simple"]["Headers"]}
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["X-Auto-Response-Suppress"] == "All"
    assert headers["In-Reply-To"] == headers["References"]
    assert re.fullmatch(r"<F-1__2f[A-Za-z0-9_-]+@example\.com>", headers["References"])
    # SES: at most 995 characters, printable ASCII (API reference: MessageHeader).
    assert all(v.isascii() and v.isprintable() and len(v) <= 995 for v in headers.values())
    names = [header["Name"] for header in alone["Content"]["Simple"]["Headers"]]
    assert names == ["Auto-Submitted", "X-Auto-Response-Suppress"]


@pytest.mark.parametrize(
    "subject",
    [
        "Please add an MFA device",
        "Bitte MFA f\u00fcr Ihr Konto einrichten",
        "\u00fc" * 200,
        "x" * 300 + "\u00e9",
        "\u9375 " * 40,
        "\U0001f511 needed",
        "=?utf-8?q?looks_encoded?=",
    ],
)
def test_a_subject_is_one_ascii_line_that_decodes_to_the_original(subject: str) -> None:
    written = encoded(subject)
    assert written.isascii()
    assert written.isprintable()
    assert decoded(written) == subject or subject.startswith("=?")
    assert subject.isascii() or all(len(word) <= 75 for word in written.split(" "))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_no_subject_contains_a_line_break(subject: str) -> None:
    assert encoded(subject).isprintable()
    assert encoded(subject).isascii()


# What SES says -----------------------------------------------------------------------------------

UNVERIFIED = "Email address is not verified. The following identities failed the check in region"

SAID = [
    ("TooManyRequestsException", "Maximum sending rate exceeded.", ThrottledError),
    ("TooManyRequestsException", "Too many requests", ThrottledError),
    ("ThrottlingException", "Maximum sending rate exceeded", ThrottledError),
    ("TooManyRequestsException", "Daily message quota exceeded.", QuotaUsedUpError),
    ("ThrottlingException", "Daily sending quota exceeded", QuotaUsedUpError),
    ("LimitExceededException", "no", QuotaUsedUpError),
    ("AccountSuspendedException", "Account is suspended", SendingStoppedError),
    ("SendingPausedException", "Sending is paused for this account", SendingStoppedError),
    ("MailFromDomainNotVerifiedException", "no", SendingStoppedError),
    ("NotFoundException", "Configuration set <own> does not exist.", SendingStoppedError),
    ("AccessDeniedException", "User is not authorized", SendingStoppedError),
    ("MessageRejected", f"{UNVERIFIED} US-EAST-1: {SENDER}", SendingStoppedError),
    ("MessageRejected", f"{UNVERIFIED} US-EAST-1: {SENDER.upper()}, a@b.c", SendingStoppedError),
    ("MessageRejected", f"{UNVERIFIED} US-EAST-1: example.com", SendingStoppedError),
    ("MessageRejected", f"{UNVERIFIED} US-EAST-1: ana@example.com", RefusedError),
    ("MessageRejected", "Email address is not verified: ana@example.com, A <a@b.c>", RefusedError),
    ("MessageRejected", "Sending suspended for this account.", SendingStoppedError),
    ("MessageRejected", "Email was rejected", RefusedError),
    ("BadRequestException", "Local address contains control or whitespace", BadAddressError),
    ("BadRequestException", "Local address contains dot-dot", BadAddressError),
    ("BadRequestException", "Domain starts with dot", BadAddressError),
    ("BadRequestException", "Domain contains illegal character", BadAddressError),
    ("BadRequestException", "Missing final '@domain'", BadAddressError),
    ("BadRequestException", "Illegal address", BadAddressError),
    ("BadRequestException", "Invalid email address<a..b@example.com>.", BadAddressError),
    ("BadRequestException", "Subject is too long", RefusedError),
    ("InternalFailure", "no", NotSentError),
    ("SomethingNewException", "Daily message quota exceeded", NotSentError),
]


@pytest.mark.parametrize(("code", "text", "meaning"), SAID)
def test_each_error_of_ses_is_classified_by_what_to_do_next(
    stubbed: tuple[SesMailer, Stubber], code: str, text: str, meaning: type[Exception]
) -> None:
    mailer, stubber = stubbed
    stubber.add_client_error("send_email", code, text, http_status_code=400)
    with pytest.raises((RefusedError, NotSentError), match=code) as raised:
        mailer.send(MESSAGE)
    assert raised.type is meaning
    assert "@" not in str(raised.value).replace("'@domain'", ""), "the reason goes to the logs"


def test_an_unverified_sender_stops_all_mail_and_does_not_fail_the_single_mail(
    account: Account,
) -> None:
    assert account.table
    mailer = SesMailer(client("sesv2"), sender="x@elsewhere.example", configuration_set=None)
    with pytest.raises(SendingStoppedError, match="MessageRejected"):
        mailer.send(MESSAGE)


def test_an_unreachable_ses_is_a_temporary_error(account: Account) -> None:
    account.calls.unreachable.add("ses:SendEmail")
    once = Config(retries={"total_max_attempts": 1})
    mailer = SesMailer(client("sesv2", once), sender=SENDER, configuration_set=None)
    with pytest.raises(NotSentError, match="ReadTimeoutError"):
        mailer.send(MESSAGE)


# The account's rate ------------------------------------------------------------------------------


def test_the_rate_is_asked_for_every_five_minutes(account: Account) -> None:
    rate = SesRate(client("sesv2"), clock=account.clock)
    account.calls.rate = 14.0
    assert [rate(), rate()] == [14.0, 14.0]
    account.calls.rate = 50.0
    account.clock.move(timedelta(minutes=4))
    assert rate() == 14.0
    account.clock.move(timedelta(minutes=1))
    assert rate() == 50.0
    assert account.calls.made == ["ses:GetAccount"] * 2


def test_without_an_answer_the_last_known_rate_holds(account: Account) -> None:
    rate = SesRate(client("sesv2"), clock=account.clock)
    account.calls.rate = 14.0
    assert rate() == 14.0
    account.calls.refused["ses:GetAccount"] = Refusal("TooManyRequestsException")
    account.clock.move(timedelta(minutes=5))
    assert rate() == 14.0


def test_without_any_answer_nothing_is_sent_now(account: Account) -> None:
    rate = SesRate(client("sesv2"), clock=account.clock)
    account.calls.refused["ses:GetAccount"] = Refusal("AccessDeniedException")
    with pytest.raises(NotSentError):
        rate()


def test_an_account_without_a_rate_gets_the_lowest_rate(account: Account) -> None:
    account.calls.rate = 0.0
    assert SesRate(client("sesv2"), clock=account.clock)() == 1.0


def decoded(subject: str) -> str:
    return str(make_header(decode_header(subject)))
