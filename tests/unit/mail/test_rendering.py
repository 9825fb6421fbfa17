"""The mails: what they say, and that nothing from outside gets into them as markup."""

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from mfa_watcher.cli.samples import ACCOUNT, CAROL, FIDO, GUIDE, REQUEST, SAMPLES, TOKEN, VIRTUAL
from mfa_watcher.domain.notifications.mails import Mail, RequestNeedsDetailsMail, UnreachableUser
from mfa_watcher.domain.users.devices import DeviceKind
from mfa_watcher.domain.users.user import Cause, MailKind, UserKey
from mfa_watcher.mail.languages import WORDS, LanguageError, languages, moment
from mfa_watcher.mail.rendering import (
    LONGEST_VALUE,
    TEXT_WIDTH,
    USERS_SHOWN,
    JinjaMailRenderer,
    MailContext,
    _environment,
    one_line,
)
from mfa_watcher.ports.notifications import RenderedMail
from tests.support.hostile import HOSTILE, UNSEEN, with_hostile
from tests.support.languages import every_language

CONTEXT = MailContext("aws", "security@acme.example")
ALIAS = "acme-prod"
LONGEST_TITLE = 60
"""What a mailbox shows of a subject on a desktop, less the account."""

DENIED = SAMPLES["removal-denied"]
LONGEST_SUBJECT = 160
"""With a user's name and an account's alias, each as long as they may be."""


def sample(name: str, **changes: Any) -> Mail:
    return replace(SAMPLES[name], **changes)


def with_least_known(mail: Mail) -> Mail:
    """Return the mail without all that a mail of its kind may lack."""
    least: dict[str, Any] = {"devices": (), "removed": (), "users": (), "done_by_user": False}
    least |= {field.name: None for field in fields(mail) if field.default is None}
    changes: dict[str, Any] = {
        one.name: least[one.name] for one in fields(mail) if one.name in least
    }
    return replace(mail, **changes)


EVERY_MAIL = {
    **SAMPLES,
    **{f"guide, {cause}": replace(GUIDE, cause=cause) for cause in Cause},
    **{
        f"enrolled, {serial}": sample("enrolled", serial=serial)
        for serial in ("GAKT12345678", f"arn:aws:iam::{ACCOUNT}:sms-mfa/a")
    },
    "denied, by root": sample(
        "removal-denied", actor=f"arn:aws:iam::{ACCOUNT}:root", done_by_user=False
    ),
    **{f"{mail.kind}, least known": with_least_known(mail) for mail in SAMPLES.values()},
}

TO_USERS = {name: mail for name, mail in EVERY_MAIL.items() if not mail.kind.to_security}
WITH_SOMETHING_TO_FOLLOW = {
    name: mail for name, mail in EVERY_MAIL.items() if getattr(mail, "next_at", None)
}

every_mail = pytest.mark.parametrize("mail", EVERY_MAIL.values(), ids=EVERY_MAIL.keys())
every_mail_to_a_user = pytest.mark.parametrize("mail", TO_USERS.values(), ids=TO_USERS.keys())


@cache
def rendered(
    mail: Mail, language: str = "en", context: MailContext = CONTEXT, alias: str | None = ALIAS
) -> RenderedMail:
    return JinjaMailRenderer(context).render(mail, language, alias=alias)


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
        if tag == "br":
            self._words.append(" ")

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


@cache
def page_of(html: str) -> Page:
    return Page(html)


def words_of(text: str) -> str:
    """Return a text part's words without its layout."""
    return " ".join(text.split())


# Each mail --------------------------------------------------------------------------------------


def test_there_is_a_sample_of_each_kind_of_mail() -> None:
    missing = sorted(set(MailKind) - {mail.kind for mail in SAMPLES.values()})
    assert not missing, f"cli/samples.py: SAMPLES has no {missing}"


@every_mail
@every_language
def test_every_mail_comes_in_both_parts(mail: Mail, language: str) -> None:
    result = rendered(mail, language)

    assert result.html.startswith("<!DOCTYPE html>")
    assert page_of(result.html).is_whole
    assert result.subject.endswith(result.text.splitlines()[0])


@every_mail
@every_language
def test_both_parts_name_the_user_and_the_account(mail: Mail, language: str) -> None:
    result = rendered(mail, language)

    for words in (page_of(result.html).words, words_of(result.text)):
        assert getattr(mail, "user_name", "") in words
        assert "acme-prod (111122223333)" in words


@every_mail
@every_language
def test_both_parts_are_of_the_same_words(mail: Mail, language: str) -> None:
    """But for the button, which the text has no use for, and what sets headings and lists."""
    result = rendered(mail, language)
    html = page_of(result.html).words
    for button in buttons(language):
        html = html.replace(button, "")

    def bare(words: str) -> list[str]:
        without_marks = re.sub(r"(?m)^(=+|-+)$|^(- |! |\d\. |  )", "", words)
        return re.findall(r"\w+", without_marks)

    assert bare(html) == bare(result.text)


def buttons(language: str) -> list[str]:
    """Return the labels of a language's buttons."""
    words = "".join(path.read_text("utf-8") for path in (WORDS / language).glob("*.jinja"))
    labels = re.findall(r'kit\.button\(\w+, "([^"]+)"\)', words)
    assert labels
    return labels


@every_mail
def test_a_mail_says_the_same_in_every_language(mail: Mail) -> None:
    """As far as its build can tell: headings, points, facts, notes, buttons and links."""

    def build(language: str) -> list[str]:
        page = page_of(rendered(mail, language).html)
        return [tag for tag in page.tags if tag in {"h1", "h2", "li", "dt", "td", "a", "p"}]

    for language in languages():
        assert build(language) == build("en")


@every_mail
@every_language
def test_subject_is_one_short_line_that_names_the_account(mail: Mail, language: str) -> None:
    subject = rendered(mail, language).subject
    prefix, title = subject.split("] ", 1)

    assert subject.isprintable()
    assert prefix == "[AWS acme-prod"
    assert 0 < len(title) <= LONGEST_TITLE
    assert (language != "en") or subject.isascii()


@every_mail_to_a_user
@every_language
def test_nothing_from_outside_is_in_a_subject_to_a_user(mail: Mail, language: str) -> None:
    changes: dict[str, Any] = (
        {"done_by_user": mail.done_by_user} if hasattr(mail, "done_by_user") else {}
    )
    other = replace(with_hostile(mail, "x"), **changes)

    assert rendered(mail, language).subject == rendered(other, language).subject


@every_mail
@every_language
def test_html_brings_all_it_needs_along(mail: Mail, language: str) -> None:
    page = page_of(rendered(mail, language).html)

    assert not {"img", "script", "link", "iframe", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert ("lang", language) in page.attributes
    assert ("name", "color-scheme") in page.attributes
    assert "url(" not in rendered(mail, language).html


@every_mail
@every_language
def test_links_lead_to_the_accounts_sign_in_and_to_security_only(mail: Mail, language: str) -> None:
    links = page_of(rendered(mail, language).html).links

    assert links <= {
        "https://acme-prod.signin.aws.amazon.com/console",
        "mailto:security@acme.example",
    }


@every_mail
@every_language
def test_text_has_lines_that_any_client_shows(mail: Mail, language: str) -> None:
    text = rendered(mail, language).text

    assert max(map(len, text.splitlines())) <= TEXT_WIDTH
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert not re.search(r"[^\S\n]$| [.,;:!?]", text, re.MULTILINE)
    assert not re.search(r"\w[.,;:][A-ZÄÖÜ][a-zäöü]", text)


@every_mail
@every_language
def test_no_mail_promises_what_the_product_does_not_do_yet(mail: Mail, language: str) -> None:
    words = words_of(rendered(mail, language).text).casefold()

    assert not re.search(r"change desk|answer this|auf diese mail", words)


@every_mail_to_a_user
@every_language
def test_a_mail_to_a_user_says_whom_to_ask(mail: Mail, language: str) -> None:
    result = rendered(mail, language)
    without = rendered(mail, language, replace(CONTEXT, security_contact=""))

    for words in (page_of(result.html).words, words_of(result.text)):
        assert "security@acme.example" in words
    assert nobody_named(language) in words_of(without.text)
    assert "mailto:" not in without.html


def nobody_named(language: str) -> str:
    """Return how a language names the security team if no address of it is known."""
    template = _environment("text", language).get_template("contact.jinja")
    macro: Any = template.make_module({"contact": ""})
    return words_of(str(macro.contact_point())).strip()


@pytest.mark.parametrize(
    "mail", WITH_SOMETHING_TO_FOLLOW.values(), ids=WITH_SOMETHING_TO_FOLLOW.keys()
)
@every_language
def test_a_mail_that_asks_for_something_says_by_when(
    mail: RequestNeedsDetailsMail, language: str
) -> None:
    result = rendered(mail, language)
    following = moment(mail.next_at, UTC, languages()[language])

    for words in (page_of(result.html).words, words_of(result.text)):
        assert following.date in words


@every_mail
def test_a_mail_says_what_to_refer_to(mail: Mail) -> None:
    reference = getattr(mail, "request_id", None) or getattr(mail, "finding_id", None)

    assert (f"Reference: {reference}" if reference else "") in rendered(mail).text


@every_mail
@every_language
def test_no_mail_blames(mail: Mail, language: str) -> None:
    words = words_of(rendered(mail, language).text).casefold()

    assert not re.search(
        r"\b(fail|fault|violat|neglect|ignor|refus(?!ed)|must\b|unverzüglich|missacht|versäum"
        r"|verstoß|schuld|müssen sie sofort)",
        words,
    )


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
    result = rendered(replace(GUIDE, cause=cause))

    assert opening in words_of(result.text)
    assert opening in page_of(result.html).words


@pytest.mark.parametrize(
    "name",
    ["welcome", "guide", "guide-no-device", "device-lost", "reminder-1", "request-fulfilled"],
)
def test_guide_leads_from_the_choice_of_a_device_to_the_last_step(name: str) -> None:
    words = words_of(rendered(SAMPLES[name]).text)
    in_order = [
        "Passkey or security key (FIDO): take this one if you can.",
        "phishing",
        "Authenticator app (virtual device)",
        "Hardware TOTP token",
        "Sign in at https://acme-prod.signin.aws.amazon.com/console as alice",
        "Security recommendations, choose Add MFA",
        "Give the device a name",
        "Choose the type and follow the instructions",
        "AWS asks for MFA at every sign-in",
        "up to 8",
        "goes through a Password Reset change request",
    ]

    places = [words.find(part) for part in in_order]

    assert -1 not in places
    assert all(earlier < later for earlier, later in pairwise(places))


def test_only_users_with_a_new_password_are_asked_to_change_it() -> None:
    welcome = words_of(rendered(SAMPLES["welcome"]).text)
    fulfilled = words_of(rendered(SAMPLES["request-fulfilled"]).text)
    guide = words_of(rendered(GUIDE).text)

    assert "with the credentials that you received" in welcome
    assert "with the password that you got from the security team" in fulfilled
    assert "set a strong one" in welcome
    assert "set a strong one" in fulfilled
    assert "credentials that you received" not in guide
    assert "strong one" not in guide


@pytest.mark.parametrize(
    ("serial", "named"),
    [
        (VIRTUAL, "alice-phone (authenticator app)"),
        (FIDO, "blue-key-GZXQ4T2VKYAEXAMPLE (passkey or security key)"),
        (TOKEN, "GAKT12345678 (hardware TOTP token)"),
    ],
)
def test_thank_you_names_the_device_and_its_kind_and_suggests_a_second(
    serial: str, named: str
) -> None:
    mail = sample("enrolled", serial=serial)

    for words in (words_of(rendered(mail).text), page_of(rendered(mail).html).words):
        assert named in words
        assert "add a second device" in words


def test_denied_removal_says_what_was_tried_when_from_where_and_which_request_is_open() -> None:
    for words in (words_of(rendered(DENIED).text), page_of(rendered(DENIED).html).words):
        assert "you tried to remove an MFA device" in words
        assert "24 November 2026, 08:05 UTC" in words
        assert "203.0.113.17" in words
        assert f"The request {REQUEST} is open for you now." in words
        assert "Nothing was changed" in words
        assert "Password Reset change request" in words


def test_denied_removal_has_other_words_for_somebody_elses_doing() -> None:
    own = words_of(rendered(DENIED).text)
    other = words_of(rendered(sample("removal-denied", actor=CAROL, done_by_user=False)).text)

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
    mail = sample("removal-denied", actor=actor, done_by_user=False)

    assert f"UTC {said} to remove" in words_of(rendered(mail).text)


def test_who_has_two_devices_is_thanked_and_asked_for_nothing() -> None:
    words = words_of(rendered(SAMPLES["enrolled-two"]).text)

    assert "Thank you" in words
    assert "second device" not in words


@pytest.mark.parametrize(
    ("step", "subject", "said"),
    [
        (1, "Reminder: please add MFA", "Otherwise you get a second reminder that day."),
        (
            2,
            "Second reminder:",
            "the final warning follows that day, and your manager, if known to us, gets",
        ),
        (3, "The security team is now involved", "the security team has your case now"),
        (4, "Still open:", "the next reminder comes on Friday, 27 November 2026"),
        (17, "Still open:", "the next reminder comes on Friday, 27 November 2026"),
    ],
)
def test_each_reminder_has_words_of_its_own(step: int, subject: str, said: str) -> None:
    result = rendered(sample("reminder-1", step=step))

    assert subject in result.subject
    assert said in words_of(result.text)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (Cause.CONSOLE_ACCESS_GRANTED, "lacks one last step: an MFA device"),
        (Cause.DEVICE_REMOVED, "was removed on 24 November 2026, and no new one has been added"),
        (
            Cause.REQUEST_FULFILLED,
            "was removed, as your change request asked, on 24 November 2026. The new one has not",
        ),
        (Cause.FOUND_UNPROTECTED, "without MFA. This has been open since 24 November 2026."),
    ],
)
def test_reminder_has_words_for_a_new_user_and_for_one_who_lost_their_device(
    cause: Cause, said: str
) -> None:
    assert said in words_of(rendered(sample("reminder-1", cause=cause)).text)


def test_later_reminders_are_shorter() -> None:
    lengths = [len(rendered(SAMPLES[f"reminder-{step}"]).text) for step in (1, 2)]

    assert lengths[1] < lengths[0] * 0.7


def test_final_warning_says_what_happens_when() -> None:
    result = rendered(SAMPLES["final-warning"])

    assert result.subject.endswith("Final warning: please add MFA before 8 December")
    words = words_of(result.text)
    assert "What happens on Tuesday, 8 December 2026: the security team gets your case" in words
    assert "Your manager, if known to us, gets a copy of this mail." in words


def test_quarantined_user_reads_how_to_end_the_quarantine() -> None:
    words = words_of(rendered(SAMPLES["quarantined"]).text)

    assert "Everything else is denied until then, also for your access keys." in words
    assert "the limit is removed automatically within minutes" in words
    assert "Security recommendations" not in words  # that page reads more than is allowed now
    assert "choose Assign MFA device" in words


@pytest.mark.parametrize(
    ("devices", "offered"),
    [
        ((), "FVH"),
        ((VIRTUAL,), "FH"),
        ((FIDO,), "VH"),
        ((TOKEN, VIRTUAL), "F"),
        ((FIDO, VIRTUAL, TOKEN), "FVH"),
    ],
)
def test_second_device_is_to_be_of_a_kind_that_the_user_lacks(
    devices: tuple[str, ...], offered: str
) -> None:
    words = words_of(rendered(sample("second-device", devices=devices)).text)
    points = {
        "F": "- Passkey or security key (FIDO)",
        "V": "- Authenticator app (virtual device)",
        "H": "- Hardware TOTP token.",
    }

    assert "".join(kind for kind, point in points.items() if point in words) == offered


@pytest.mark.parametrize(
    "name",
    ["removal-denied", "request-opened", *(f"request-needs-details-{step}" for step in (1, 2, 3))],
)
def test_who_is_asked_for_details_reads_which_how_until_when_and_what_follows(name: str) -> None:
    result = rendered(SAMPLES[name])

    for words in (words_of(result.text), page_of(result.html).words):
        assert (
            f"name {REQUEST}, and say in one sentence why, which device is to be removed" in words
        )
        assert f"mfa-watcher requests details {REQUEST}" in words
        assert "Never send a password or a code. There is no web page for this" in words
        assert "A member of the security team, never you, approves or rejects the request" in words
        assert (
            "Please answer before Thursday, 24 December 2026. Otherwise the request is closed"
            in words
        )


def test_who_has_several_devices_reads_which_when_asked_for_the_one_to_go() -> None:
    one = words_of(rendered(SAMPLES["request-needs-details-1"]).text)
    two = words_of(rendered(SAMPLES["request-needs-details-2"]).text)

    assert "Your devices are" not in one
    assert "Your devices are alice-phone (authenticator app), blue-key-" in two


def test_later_pleas_for_details_say_in_the_subject_that_they_are_later() -> None:
    first, second, third = (
        rendered(SAMPLES[f"request-needs-details-{step}"]).subject for step in (1, 2, 3)
    )

    assert "Still open" not in first
    assert second == third
    assert "Still open: your change request needs a few details" in second


def test_a_user_who_tries_again_while_security_has_the_request_is_asked_for_nothing() -> None:
    words = words_of(rendered(SAMPLES["removal-denied-again"]).text)

    assert f"Yours, {REQUEST}, is with the security team already." in words
    assert "There is nothing more that you have to do" in words
    assert "What to do now" not in words
    assert "requests details" not in words


def test_a_request_filed_by_another_says_whose_doing_it_is_before_anything_is_changed() -> None:
    own = rendered(sample("request-opened", next_at=None))
    other = rendered(SAMPLES["request-opened-by-service-desk"])

    assert own.subject.endswith("Your change request is filed")
    assert "On 24 November 2026, 08:05 UTC you filed" in words_of(own.text)
    assert other.subject.endswith("A change request was filed for you")
    for words in (words_of(other.text), page_of(other.html).words):
        assert "somebody in the role ServiceDesk (session dora@acme.example) filed" in words
        assert "Nothing was changed yet" in words
        assert "To be removed: alice-phone" in words or "To be removed alice-phone" in words
        assert "Phone stolen on the train" in words
        assert "at once, before anything is changed" in words
        assert "There is nothing that you have to do." in words


@pytest.mark.parametrize(
    ("name", "subject", "said"),
    [
        (
            "unanswered",
            "Your change request was closed",
            "because nobody had said since 24 November 2026 what you need and why. Nothing was",
        ),
        ("withdrawn", "Your change request was closed", "08:05 UTC, as you wished."),
        (
            "withdrawn-by-other",
            "Your change request was closed",
            "by somebody in the role ServiceDesk (session dora@acme.example).",
        ),
        (
            "expired",
            "The approval of your change request has ended",
            "They can approve the same request again.",
        ),
        (
            "interrupted",
            "Your change request was fulfilled in part",
            "You cannot sign in, or a device is missing: talk to the security team",
        ),
    ],
)
def test_an_ended_request_says_why_and_what_it_leaves_to_do(
    name: str, subject: str, said: str
) -> None:
    result = rendered(SAMPLES[f"request-ended-{name}"])
    words = words_of(result.text)

    assert result.subject.endswith(subject)
    assert said in words
    assert ("Nothing was changed:" in words) is (name != "interrupted")
    assert ("Some of it may be done:" in words) is (name == "interrupted")
    assert "there is nothing" in words.casefold()


def test_the_mail_about_a_decision_has_its_reason_and_what_follows() -> None:
    approved = rendered(SAMPLES["request-approved"])
    rejected = rendered(SAMPLES["request-rejected"])

    assert approved.subject.endswith("Your change request was approved")
    assert "in another way than by mail" in words_of(approved.text)
    assert "valid until 26 November 2026, 08:05 UTC" in words_of(approved.text)
    assert "Reason given: Phone replaced, confirmed by phone" in words_of(approved.text)
    assert rejected.subject.endswith("Your change request was not approved")
    assert "Nothing was changed" in words_of(rejected.text)
    assert "Reason given: Please add the new key first" in words_of(rejected.text)


def test_fulfilled_request_sends_no_password_and_says_where_it_comes_from() -> None:
    words = words_of(rendered(SAMPLES["request-fulfilled"]).text)

    assert "It is not in this mail. You get it from the security team" in words
    assert "Removed: alice-phone (authenticator app)" in words
    assert "today, by 29 November 2026, 08:05 UTC at the latest" in words
    assert "a password alone protects your access, and you get reminders" in words


def test_who_keeps_a_device_and_wants_no_other_has_only_a_password_to_set() -> None:
    result = rendered(SAMPLES["request-fulfilled-one-stays"])
    words = words_of(result.text)

    assert result.subject.endswith("Done: sign in with your new password")
    assert "Kept: blue-key-GZXQ4T2VKYAEXAMPLE" in words
    assert "that password and the device that stays" in words
    assert "Then there is nothing more to do." in words
    assert "Add MFA" not in words
    assert "password alone" not in words


def test_a_user_who_wants_another_device_of_the_kind_they_keep_is_offered_that_kind() -> None:
    mail = sample("request-fulfilled-two", wanted=DeviceKind.FIDO)

    assert "Passkey or security key (FIDO): take this one" in words_of(rendered(mail).text)


def test_who_keeps_a_device_and_wants_another_is_not_called_unprotected() -> None:
    words = words_of(rendered(SAMPLES["request-fulfilled-two"]).text)

    assert "the devices are removed" in words
    assert "the device that stays protects your access" in words
    assert "Security recommendations, choose Add MFA" in words
    assert "password alone" not in words


def test_ending_exemption_says_whose_since_when_why_and_how_to_prolong_it() -> None:
    words = words_of(rendered(SAMPLES["exemption-ending"]).text)

    assert "build-monitor may sign in without MFA" in words
    assert "until Tuesday, 1 December 2026" in words
    assert "Wall display in the control room" in words
    assert CAROL in words
    assert "mfa-watcher exemptions grant --help" in words


def test_security_case_says_since_when_which_mails_went_out_and_what_can_be_done() -> None:
    result = rendered(SAMPLES["security-case"])
    words = words_of(result.text)

    assert result.subject.endswith("MFA case: alice has no device since 24 November")
    assert "Mails so far: guide, 2 reminders, final warning" in words
    for part in ("Talk to the user", "Grant an exemption", "Remove the console access"):
        assert part in words


def test_unreachable_users_are_listed_with_the_reason_and_the_cure() -> None:
    german = words_of(rendered(SAMPLES["unreachable"], "de").text)
    words = words_of(rendered(SAMPLES["unreachable"]).text)

    assert "deploy.console: no address in an allowed mail domain (24 November 2026)" in words
    assert "deploy.console: keine Adresse in einer erlaubten Domain (24. November 2026)" in german
    assert "With a tag on the IAM user, with the key email" in words
    assert "With an override in the watcher's own table" in words


def test_one_unreachable_user_is_one() -> None:
    mail = sample("unreachable", users=(UnreachableUser("mia", GUIDE.at, "no_address"),))

    assert rendered(mail).subject.endswith("1 user cannot be reached by mail")


def test_a_list_of_users_ends_before_a_mail_client_cuts_it() -> None:
    users = tuple(UnreachableUser(f"user-{n}", GUIDE.at, "no_address") for n in range(5000))
    result = rendered(sample("unreachable", users=users))

    assert result.subject.endswith("5000 users cannot be reached by mail")
    assert f"And {5000 - USERS_SHOWN} more" in words_of(result.text)
    assert len(result.html.encode()) < 102_000  # Gmail shows no more


def test_times_are_in_the_accounts_zone_whatever_the_zone_they_come_in() -> None:
    tokyo = timezone(timedelta(hours=9))
    mail = sample("removal-denied", at=datetime(2026, 11, 24, 2, 30, tzinfo=tokyo))
    in_berlin = replace(CONTEXT, time_zone="Europe/Berlin")

    assert "23 November 2026, 17:30 UTC" in words_of(rendered(mail).text)
    assert "23 November 2026, 18:30 CET" in words_of(rendered(mail, "en", in_berlin).text)
    assert "23. November 2026 um 18:30 Uhr (MEZ)" in words_of(rendered(mail, "de", in_berlin).text)


@pytest.mark.parametrize(
    ("wanted", "default", "greeting"),
    [
        ("de", "en", "Guten Tag alice,"),
        ("DE", "en", "Guten Tag alice,"),
        ("de-AT", "en", "Guten Tag alice,"),
        ("de_CH.UTF-8", "en", "Guten Tag alice,"),
        (" de ", "en", "Guten Tag alice,"),
        ("en", "de", "Hello alice,"),
        ("tlh", "en", "Hello alice,"),
        ("tlh", "de", "Guten Tag alice,"),
        ("", "de", "Guten Tag alice,"),
        (None, "de", "Guten Tag alice,"),
        ("../../../etc", "en", "Hello alice,"),
        ("de/../en", "en", "Hello alice,"),
        ("{{7*7}}", "en", "Hello alice,"),
        ("\x00", "en", "Hello alice,"),
    ],
)
def test_language_is_the_wanted_one_or_else_the_accounts(
    wanted: str | None, default: str, greeting: str
) -> None:
    renderer = JinjaMailRenderer(replace(CONTEXT, default_language=default))

    assert greeting in renderer.render(GUIDE, wanted).text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"default_language": "tlh"}, "no mails in the language 'tlh': there are de, en"),
        ({"time_zone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"time_zone": "../etc/passwd"}, "no time zone '../etc/passwd'"),
    ],
)
def test_an_account_with_a_language_or_zone_that_is_not_there_is_an_error_at_once(
    change: dict[str, str], said: str
) -> None:
    context = MailContext("aws", "", **change)

    with pytest.raises(LanguageError, match=re.escape(said)):
        JinjaMailRenderer(context)


@pytest.mark.parametrize(
    ("partition", "alias", "url"),
    [
        ("aws", None, "https://111122223333.signin.aws.amazon.com/console"),
        ("aws", "acme-prod", "https://acme-prod.signin.aws.amazon.com/console"),
        ("aws-us-gov", None, "https://111122223333.signin.amazonaws-us-gov.com/console"),
    ],
)
def test_sign_in_link_is_the_accounts_own_in_its_partition(
    partition: str, alias: str | None, url: str
) -> None:
    context = MailContext(partition, "security@acme.example")
    result = rendered(GUIDE, "en", context, alias)

    assert url in page_of(result.html).links
    assert url in result.text


def test_a_mail_is_about_the_account_of_its_user_and_of_no_other() -> None:
    mail = replace(GUIDE, account_id="444455556666", user=UserKey("444455556666", "AIDAMEMBER"))
    result = rendered(mail, "en", alias="acme-lab")

    assert result.subject.startswith("[AWS acme-lab] ")
    assert "acme-lab (444455556666)" in words_of(result.text)
    assert "https://acme-lab.signin.aws.amazon.com/console" in page_of(result.html).links
    assert ACCOUNT not in result.html + result.text


def test_an_account_without_an_alias_is_named_by_its_number() -> None:
    text = rendered(GUIDE, "en", alias=None).text

    assert "AWS account 111122223333 with a password alone" in words_of(text)


# Hostile values ---------------------------------------------------------------------------------

hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())


@every_mail
@every_language
def test_hostile_values_come_out_as_words(mail: Mail, language: str) -> None:
    expected = {
        empty: page_of(rendered(with_hostile(mail, "" if empty else "harmless"), language).html)
        for empty in (True, False)
    }
    for name, value in HOSTILE.items():
        result = rendered(with_hostile(mail, value), language)
        page, as_it_should_be = page_of(result.html), expected[not value]

        assert page.is_whole, name
        assert page.tags == as_it_should_be.tags, name
        assert page.attributes == as_it_should_be.attributes, name
        for part in (result.subject, result.text, result.html):
            assert not UNSEEN.search(part), name
            assert part.encode(), name
            assert "49" not in part, name
        # Nor do they add a line of their own.
        assert "\r" not in result.text, name
        assert not re.search(r"(?m)^\W*Bcc:", result.text), name
        assert "\n" not in result.subject, name
        assert len(result.subject) <= LONGEST_SUBJECT, name


@hostile
def test_a_hostile_name_is_shown_as_it_is(value: str) -> None:
    assert f"Hello {one_line(value)}," in page_of(rendered(with_hostile(GUIDE, value)).html).words


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


@given(st.from_regex(r"[A-Za-z0-9_+=,.@-]{1,64}", fullmatch=True))
def test_a_legal_user_name_comes_out_as_it_is(name: str) -> None:
    result = rendered(replace(GUIDE, user_name=name))

    assert f"Hello {name}," in page_of(result.html).words
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
