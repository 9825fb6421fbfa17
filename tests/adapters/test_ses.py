import json
import re
from collections.abc import Iterator

import pytest
from botocore.config import Config
from botocore.stub import Stubber

from mfa_watcher.adapters.ses import SesMailer
from mfa_watcher.ports import Message, NotSentError, RefusedError
from tests.account import Account, client
from tests.builders import HOSTILE, SENDER

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


def test_a_mail_is_sent_and_its_id_given(account: Account) -> None:
    mailer = SesMailer(client("sesv2"), sender=SENDER, configuration_set="own")
    assert mailer.send(MESSAGE)
    assert account.calls.sent == {"mail guide": 1}


def test_a_mail_goes_out_as_asked(account: Account) -> None:
    SesMailer(client("sesv2"), sender=SENDER, configuration_set="own").send(MESSAGE)
    SesMailer(client("sesv2"), sender=SENDER, configuration_set=None).send(MESSAGE)
    with_set, without = map(json.loads, account.calls.bodies)
    assert with_set["ConfigurationSetName"] == "own"
    assert "ConfigurationSetName" not in without
    assert with_set["FromEmailAddress"] == SENDER
    assert with_set["Destination"] == {"ToAddresses": ["ana@example.com"]}
    simple = with_set["Content"]["Simple"]
    assert simple["Subject"] == {"Data": MESSAGE.subject, "Charset": "UTF-8"}
    assert simple["Body"]["Html"] == {"Data": MESSAGE.html, "Charset": "UTF-8"}
    assert simple["Body"]["Text"] == {"Data": MESSAGE.text, "Charset": "UTF-8"}
    tags = {tag["Name"]: tag["Value"] for tag in with_set["EmailTags"]}
    assert tags["intent"] == "mail-guide-F-1"
    for text in (*tags, *tags.values()):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", text)


def test_a_sender_that_moto_does_not_know_is_refused(account: Account) -> None:
    assert account.table
    mailer = SesMailer(client("sesv2"), sender="x@elsewhere.example", configuration_set=None)
    with pytest.raises(RefusedError, match="MessageRejected"):
        mailer.send(MESSAGE)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "MessageRejected",
            "Email address is not verified: ana@example.com, Ana <ana@x.example>",
        ),
        ("BadRequestException", "Local address contains control or whitespace: <a b@example.com>"),
    ],
)
def test_what_ses_says_of_the_message_is_final_and_told_without_addresses(
    stubbed: tuple[SesMailer, Stubber], code: str, text: str
) -> None:
    mailer, stubber = stubbed
    stubber.add_client_error("send_email", code, text, http_status_code=400)
    with pytest.raises(RefusedError, match=code) as refused:
        mailer.send(MESSAGE)
    assert text[:15] in str(refused.value)
    assert "@" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("TooManyRequestsException", 429),
        ("LimitExceededException", 400),
        ("SendingPausedException", 400),
        ("AccountSuspendedException", 400),
        ("MailFromDomainNotVerifiedException", 400),
        ("NotFoundException", 404),
        ("AccessDeniedException", 403),
        ("InternalFailure", 500),
    ],
)
def test_what_ses_says_of_the_account_or_the_moment_may_pass(
    stubbed: tuple[SesMailer, Stubber], code: str, status: int
) -> None:
    mailer, stubber = stubbed
    stubber.add_client_error("send_email", code, "no", http_status_code=status)
    with pytest.raises(NotSentError, match=code):
        mailer.send(MESSAGE)


def test_ses_out_of_reach_may_pass(account: Account) -> None:
    account.calls.unreachable.add("ses:SendEmail")
    once = Config(retries={"total_max_attempts": 1})
    mailer = SesMailer(client("sesv2", once), sender=SENDER, configuration_set=None)
    with pytest.raises(NotSentError, match="ReadTimeoutError"):
        mailer.send(MESSAGE)
