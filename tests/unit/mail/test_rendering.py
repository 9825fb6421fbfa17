"""The mails: what they say, and that nothing from outside gets into them as markup."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from mfa_watcher.domain.intents import Mail
from mfa_watcher.domain.users import Cause, MailKind, UserKey
from mfa_watcher.mail.rendering import (
    LONGEST_VALUE,
    TEXT_WIDTH,
    JinjaMailRenderer,
    MailContext,
    one_line,
)
from mfa_watcher.ports import RenderedMail

ACCOUNT = "111122223333"
CONTEXT = MailContext(ACCOUNT, "acme-prod", "aws", "security@acme.example")
VIRTUAL = f"arn:aws:iam::{ACCOUNT}:mfa/alice-phone"
FIDO = f"arn:aws:iam::{ACCOUNT}:u2f/user/alice/blue-key-GZXQ4T2VKYAEXAMPLE"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/staff/alice"
CAROL = f"arn:aws:sts::{ACCOUNT}:assumed-role/Administrator/carol"
REQUEST = "PR-20261124-ABCDEFGH"

PLAIN = Mail(
    kind=MailKind.GUIDE,
    user=UserKey(ACCOUNT, "AIDAEXAMPLEALICE00001"),
    user_name="alice",
    at=datetime(2026, 11, 24, 8, 5, tzinfo=UTC),
    finding_id="F-7f6e0d1c",
    cause=Cause.SIGNED_IN_WITHOUT_MFA,
    actor=ALICE,
    own_doing=True,
    source_ip="203.0.113.17",
)
DENIED = replace(PLAIN, kind=MailKind.REMOVAL_DENIED, request_id=REQUEST, serial=None)


def by_carol(mail: Mail) -> Mail:
    return replace(mail, actor=CAROL, own_doing=False)


EVERY_MAIL = {
    **{f"guide, {cause}": replace(PLAIN, cause=cause) for cause in (*Cause, None)},
    **{f"welcome, {cause}": replace(PLAIN, kind=MailKind.WELCOME, cause=cause) for cause in Cause},
    **{
        f"enrolled, {serial}": replace(PLAIN, kind=MailKind.ENROLLED, serial=serial)
        for serial in (VIRTUAL, FIDO, "GAKT12345678", f"arn:aws:iam::{ACCOUNT}:sms-mfa/a", None)
    },
    "guide, removed by somebody": by_carol(replace(PLAIN, cause=Cause.DEVICE_REMOVED)),
    "denied, own doing": DENIED,
    "denied, own doing, device known": replace(DENIED, serial=VIRTUAL),
    "denied, by somebody": by_carol(DENIED),
    "denied, by root": replace(DENIED, actor=f"arn:aws:iam::{ACCOUNT}:root", own_doing=False),
    "denied, nothing known": replace(
        DENIED, actor=None, own_doing=False, source_ip=None, request_id=None, finding_id=None
    ),
}

every_mail = pytest.mark.parametrize("mail", EVERY_MAIL.values(), ids=EVERY_MAIL.keys())


def rendered(mail: Mail, context: MailContext = CONTEXT) -> RenderedMail:
    return JinjaMailRenderer(context).render(mail)


class Page(HTMLParser):
    """What a mail client makes of the HTML: its words, its tags, its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Hold tags to their order."""
        assert self._open.pop() == tag, f"{tag} closes out of turn"

    def handle_data(self, data: str) -> None:
        """Collect what a reader sees."""
        if "style" not in self._open and "title" not in self._open:
            self._words.append(data)

    @property
    def words(self) -> str:
        """The words a reader sees."""
        return " ".join("".join(self._words).split())

    @property
    def links(self) -> set[str | None]:
        """Where the links lead."""
        return {value for name, value in self.attributes if name == "href"}

    @property
    def is_whole(self) -> bool:
        """Whether every tag was closed."""
        return not self._open


def words_of(text: str) -> str:
    """Give a text part's words, without what sets it."""
    return " ".join(text.split())


# Each mail --------------------------------------------------------------------------------------


@every_mail
def test_every_mail_comes_in_both_parts(mail: Mail) -> None:
    result = rendered(mail)

    assert result.html.startswith("<!DOCTYPE html>")
    assert Page(result.html).is_whole
    assert result.text.startswith(result.subject)


@every_mail
def test_both_parts_greet_the_user_and_name_the_account(mail: Mail) -> None:
    result = rendered(mail)

    for words in (Page(result.html).words, words_of(result.text)):
        assert "Hello alice," in words
        assert "acme-prod (111122223333)" in words
        assert "security@acme.example" in words


@every_mail
def test_both_parts_are_of_the_same_words(mail: Mail) -> None:
    """But for the button, which the text has no use for, and what sets headings and lists."""
    result = rendered(mail)
    html = Page(result.html).words.replace("Sign in to AWS", "")

    def bare(words: str) -> list[str]:
        without_marks = re.sub(r"(?m)^(=+|-+)$|^(- |! |\d\. |  )", "", words)
        return re.findall(r"\w+", without_marks)

    assert bare(html) == bare(result.text)


@every_mail
def test_subject_is_one_line_of_ascii_without_anything_from_outside(mail: Mail) -> None:
    subject = rendered(mail).subject

    assert subject.isascii()
    assert subject.isprintable()
    assert 0 < len(subject) <= TEXT_WIDTH
    assert subject == rendered(replace(mail, user_name="x", serial="y", actor="z")).subject


@every_mail
def test_html_brings_all_it_needs_along(mail: Mail) -> None:
    page = Page(rendered(mail).html)

    assert not {"img", "script", "link", "iframe", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert ("lang", "en") in page.attributes
    assert ("name", "color-scheme") in page.attributes
    assert "url(" not in rendered(mail).html


@every_mail
def test_links_lead_to_the_accounts_sign_in_and_to_security_only(mail: Mail) -> None:
    links = Page(rendered(mail).html).links

    assert links <= {
        "https://acme-prod.signin.aws.amazon.com/console",
        "mailto:security@acme.example",
    }


@every_mail
def test_text_has_lines_that_any_client_shows(mail: Mail) -> None:
    text = rendered(mail).text

    assert max(map(len, text.splitlines())) <= TEXT_WIDTH
    assert "\n\n\n" not in text
    assert text.endswith("\n")


@every_mail
def test_no_mail_promises_what_the_product_does_not_do_yet(mail: Mail) -> None:
    words = words_of(rendered(mail).text).casefold()

    assert not re.search(r"remind|change desk|quarantin|you will get|answer this", words)


@every_mail
def test_a_mail_without_a_contact_sends_people_to_their_security_team(mail: Mail) -> None:
    result = rendered(mail, replace(CONTEXT, security_contact=""))

    assert "your security team" in words_of(result.text)
    assert "mailto:" not in result.html


@every_mail
def test_a_mail_says_what_to_refer_to(mail: Mail) -> None:
    reference = mail.request_id or mail.finding_id

    assert (f"Reference: {reference}" if reference else "") in rendered(mail).text


# What each says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "opening"),
    [
        (
            Cause.SIGNED_IN_WITHOUT_MFA,
            (
                "On 24 November 2026, 08:05 UTC you signed in to the AWS account acme-prod"
                " (111122223333) with a password alone, from the address 203.0.113.17."
            ),
        ),
        (Cause.CONSOLE_ACCESS_GRANTED, "you signed in to the AWS account"),
        (
            Cause.DEVICE_REMOVED,
            (
                "Your last MFA device in the AWS account acme-prod (111122223333) was removed by"
                " you on 24 November 2026, 08:05 UTC."
            ),
        ),
        (Cause.FOUND_UNPROTECTED, "but you have no MFA device there"),
    ],
)
def test_guide_opens_with_what_happened(cause: Cause, opening: str) -> None:
    result = rendered(replace(PLAIN, cause=cause))

    assert opening in words_of(result.text)
    assert opening in Page(result.html).words


@pytest.mark.parametrize(
    "mail",
    [mail for name, mail in EVERY_MAIL.items() if name.startswith(("guide", "welcome"))],
)
def test_guide_leads_from_the_choice_of_a_device_to_the_last_step(mail: Mail) -> None:
    words = words_of(rendered(mail).text)
    in_order = [
        "Passkey or security key (FIDO): take this one if you can.",
        "phishing",
        "Authenticator app (virtual device)",
        "Hardware TOTP token",
        "Sign in at https://acme-prod.signin.aws.amazon.com/console as alice",
        "Security recommendations, choose Add MFA",
        "Name the device",
        "Choose the type and follow the instructions",
        "AWS asks for MFA at every sign-in",
        "up to 8",
        "Password Reset change request",
    ]

    places = [words.find(part) for part in in_order]

    assert -1 not in places
    assert all(earlier < later for earlier, later in pairwise(places))


def test_only_the_welcome_speaks_of_credentials_and_a_new_password() -> None:
    welcome = words_of(rendered(replace(PLAIN, kind=MailKind.WELCOME)).text)
    guide = words_of(rendered(PLAIN).text)

    assert "with the credentials that you received" in welcome
    assert "set a strong one" in welcome
    assert "credentials that you received" not in guide
    assert "strong one" not in guide


@pytest.mark.parametrize(
    ("serial", "named"),
    [
        (VIRTUAL, "alice-phone (authenticator app)"),
        (FIDO, "blue-key-GZXQ4T2VKYAEXAMPLE (passkey or security key)"),
        ("GAKT12345678", "GAKT12345678 (hardware TOTP token)"),
    ],
)
def test_thank_you_names_the_device_and_its_kind_and_suggests_a_second(
    serial: str, named: str
) -> None:
    mail = replace(PLAIN, kind=MailKind.ENROLLED, serial=serial)

    for words in (words_of(rendered(mail).text), Page(rendered(mail).html).words):
        assert named in words
        assert "add a second device" in words


def test_denied_removal_says_what_was_tried_when_from_where_and_which_request_is_open() -> None:
    for words in (words_of(rendered(DENIED).text), Page(rendered(DENIED).html).words):
        assert "you tried to remove an MFA device" in words
        assert "24 November 2026, 08:05 UTC" in words
        assert "203.0.113.17" in words
        assert f"The request {REQUEST} is open for you now." in words
        assert "Nothing was changed" in words
        assert "Password Reset change request" in words


def test_denied_removal_has_other_words_for_somebody_elses_doing() -> None:
    own = words_of(rendered(DENIED).text)
    other = words_of(rendered(by_carol(DENIED)).text)

    assert "That was not you? Then somebody else uses your access" in own
    assert (
        "somebody in the role Administrator (session carol) tried to remove an MFA device of yours"
        in other
    )
    assert "You did not ask for this?" in other
    assert CAROL in other


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/admins/bob", "the user bob tried"),
        (f"arn:aws-cn:iam::{ACCOUNT}:user/bob", "the user bob tried"),
        (f"arn:aws:iam::{ACCOUNT}:root", "the account's root user tried"),
        (CAROL, "somebody in the role Administrator (session carol) tried"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin", "somebody in the role Admin tried"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/eve", "somebody tried"),
        ("nonsense", "somebody tried"),
        (None, "somebody tried"),
    ],
)
def test_denied_removal_says_in_words_who_tried(actor: str | None, said: str) -> None:
    mail = replace(DENIED, actor=actor, own_doing=False)

    assert f"UTC {said} to remove" in words_of(rendered(mail).text)


def test_times_are_in_utc_whatever_the_zone_they_come_in() -> None:
    tokyo = timezone(timedelta(hours=9))
    mail = replace(DENIED, at=datetime(2026, 11, 24, 2, 30, tzinfo=tokyo))

    assert "23 November 2026, 17:30 UTC" in rendered(mail).text


@pytest.mark.parametrize(
    ("partition", "alias", "url"),
    [
        ("aws", None, "https://111122223333.signin.aws.amazon.com/console"),
        ("aws", "acme-prod", "https://acme-prod.signin.aws.amazon.com/console"),
        ("aws-us-gov", None, "https://111122223333.signin.amazonaws-us-gov.com/console"),
        ("aws-cn", "acme-cn", "https://acme-cn.signin.amazonaws.cn/console"),
    ],
)
def test_sign_in_link_is_the_accounts_own_in_its_partition(
    partition: str, alias: str | None, url: str
) -> None:
    context = MailContext(ACCOUNT, alias, partition, "security@acme.example")
    result = rendered(PLAIN, context)

    assert url in Page(result.html).links
    assert url in result.text


def test_an_account_without_an_alias_is_named_by_its_number() -> None:
    text = rendered(PLAIN, replace(CONTEXT, account_alias=None)).text

    assert "AWS account 111122223333 with a password alone" in words_of(text)


# Hostile values ---------------------------------------------------------------------------------

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
hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())


def with_hostile(mail: Mail, value: str) -> Mail:
    """Put a value wherever one from outside can stand."""
    return replace(
        mail,
        user_name=value,
        serial=f"arn:aws:iam::{ACCOUNT}:mfa/{value}",
        actor=f"arn:aws:sts::{ACCOUNT}:assumed-role/{value}/{value}",
        source_ip=value or None,
        own_doing=False,
    )


@every_mail
@hostile
def test_hostile_values_come_out_as_words(mail: Mail, value: str) -> None:
    result = rendered(with_hostile(mail, value))
    harmless = rendered(with_hostile(mail, "harmless" if value else ""))
    page, as_it_should_be = Page(result.html), Page(harmless.html)

    assert page.is_whole
    assert page.tags == as_it_should_be.tags
    assert page.attributes == as_it_should_be.attributes
    assert f"Hello {one_line(value)}," in page.words
    assert result.subject == harmless.subject
    for part in (result.text, result.html):
        assert not UNSEEN.search(part)
        assert part.encode()
        assert "49" not in part


@every_mail
@hostile
def test_hostile_values_add_no_line_of_their_own_to_the_text(mail: Mail, value: str) -> None:
    text = rendered(with_hostile(mail, value)).text

    assert "\r" not in text
    assert not re.search(r"(?m)^Bcc:", text)


@pytest.mark.parametrize("value", ["ali\nce", "a\u202eb", "a\x00b", "a\u200bb"])
def test_what_is_unseen_becomes_visible(value: str) -> None:
    assert "�" in one_line(value)


@given(st.text())
def test_any_value_fits_a_sentence(value: str) -> None:
    line = one_line(value)

    assert len(line) <= LONGEST_VALUE
    assert "\n" not in line
    assert not UNSEEN.search(line)
    assert line == one_line(line)


@given(st.from_regex(r"[\w+=,.@-]{1,64}", fullmatch=True).filter(str.isascii))
def test_a_legal_user_name_comes_out_as_it_is(name: str) -> None:
    result = rendered(replace(PLAIN, user_name=name))

    assert f"Hello {name}," in Page(result.html).words
    assert f" as {name}." in words_of(result.text)


# Cost -------------------------------------------------------------------------------------------


def test_templates_are_compiled_once_however_many_mails_are_rendered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for mail in EVERY_MAIL.values():
        rendered(mail)

    def compile_again(*_: object, **__: object) -> None:
        raise AssertionError("a template was compiled again")

    monkeypatch.setattr(Environment, "compile", compile_again)
    for mail in EVERY_MAIL.values():
        rendered(mail)
