"""What follows from each report about a mail."""

from dataclasses import replace

import pytest

from mfa_watcher.cli.samples import SAMPLES
from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent
from mfa_watcher.domain.notifications.mail_feedback import MailOutcome, MailReport, decide_feedback
from mfa_watcher.domain.users.user import User
from tests.support.builders import ACCOUNT, ALICE, a_mail, an_alert, later

TO = "alice@example.com"
MANAGER = "manager@example.com"
MAIL = a_mail()


def a_report(outcome: MailOutcome = MailOutcome.BOUNCED, **fields: object) -> MailReport:
    values = {
        "id": "ses-1",
        "at": later(1),
        "message_id": "m-1",
        "intent_id": MAIL.id,
        "to": TO,
        "recipients": (TO,),
        "unreachable": outcome is MailOutcome.BOUNCED,
    }
    return MailReport(outcome=outcome, **{**values, **fields})  # type: ignore[arg-type]


def decided(
    report: MailReport, user: User | None = ALICE, intent: Intent = MAIL
) -> tuple[set[str], list[str], str]:
    """Return the bad addresses, the new intents and the history that follow."""
    decision = decide_feedback(report, intent, user)
    assert decision is not None
    assert decision.event_id == report.id
    [entry] = decision.history
    bad = set(decision.user.bad_addresses) if isinstance(decision, UserDecision) else set()
    return bad, [one.id for one in decision.intents], entry.what


AGAIN = f"{MAIL.id}-again-2"
TOLD = "alert-mail_undeliverable-AIDAALICE"


@pytest.mark.parametrize(
    ("report", "bad", "intents"),
    [
        pytest.param(a_report(), {TO}, [AGAIN, TOLD], id="a hard bounce"),
        pytest.param(a_report(to=TO.upper()), {TO}, [AGAIN, TOLD], id="whatever the case"),
        pytest.param(a_report(unreachable=False), set(), [], id="a bounce for now"),
        pytest.param(a_report(MailOutcome.DELAYED), set(), [], id="a delay"),
        pytest.param(a_report(MailOutcome.DELIVERED), set(), [], id="a delivery"),
        pytest.param(a_report(MailOutcome.REJECTED), set(), [], id="a rejection"),
        pytest.param(
            a_report(MailOutcome.COMPLAINED), {TO}, [TOLD], id="a complaint: it was received"
        ),
        pytest.param(
            a_report(MailOutcome.COMPLAINED, unreachable=True),
            {TO},
            [AGAIN, TOLD],
            id="a complaint of earlier, by which SES sent nothing",
        ),
        pytest.param(
            a_report(recipients=(MANAGER,)), {MANAGER}, [TOLD], id="the copy alone bounced"
        ),
        pytest.param(
            a_report(recipients=(TO, MANAGER)), {TO, MANAGER}, [AGAIN, TOLD], id="both bounced"
        ),
        pytest.param(a_report(recipients=()), set(), [], id="a bounce from nobody named"),
    ],
)
def test_report_has_its_consequences(report: MailReport, bad: set[str], intents: list[str]) -> None:
    assert decided(report)[:2] == (bad, intents)


def test_that_ses_took_a_mail_is_no_news() -> None:
    assert decide_feedback(a_report(MailOutcome.SENT), MAIL, ALICE) is None


def test_the_same_mail_goes_out_again_with_the_same_words() -> None:
    decision = decide_feedback(a_report(), MAIL, ALICE)
    assert decision
    again = decision.intents[0]
    assert (again.act, again.event_id, again.created_at) == (MAIL.act, MAIL.event_id, later(1))


@pytest.mark.parametrize(("number", "follows"), [(2, True), (9, True), (10, False)])
def test_each_bounce_counts_and_there_is_an_end(number: int, follows: bool) -> None:  # noqa: FBT001
    sent = replace(MAIL, id=f"{MAIL.id}-again-{number}")
    user = replace(ALICE, bad_addresses=frozenset({"first@example.com"}))
    _, intents, _ = decided(a_report(), user, sent)
    assert intents == ([f"{MAIL.id}-again-{number + 1}"] if follows else [])


def test_security_gets_one_alert_about_a_user() -> None:
    user = replace(ALICE, bad_addresses=frozenset({"first@example.com"}))
    bad, intents, _ = decided(a_report(), user)
    assert bad == {"first@example.com", TO}
    assert intents == [AGAIN]


def test_an_address_that_is_known_to_be_bad_is_history_only() -> None:
    decision = decide_feedback(a_report(), MAIL, replace(ALICE, bad_addresses=frozenset({TO})))
    assert decision
    assert not isinstance(decision, UserDecision)
    assert decision.intents == ()


def test_a_mail_that_is_still_in_hand_is_not_sent_anew() -> None:
    decision = decide_feedback(
        a_report(MailOutcome.REJECTED, unreachable=True), MAIL, ALICE, in_hand=True
    )
    assert isinstance(decision, UserDecision)
    assert decision.user.bad_addresses == {TO}
    assert [one.id for one in decision.intents] == [TOLD]


def test_effects_name_no_address_since_they_are_logged() -> None:
    decision = decide_feedback(a_report(), MAIL, ALICE)
    assert decision
    assert decision.effects == (
        "address not used any more",
        "mail: guide again",
        "alert: mail_undeliverable",
    )


@pytest.mark.parametrize("name", ["exemption-ending", "security-case", "unreachable"])
def test_a_mail_to_security_that_bounces_is_a_high_alert_and_marks_nobody(name: str) -> None:
    mail = SAMPLES[name]
    assert mail.kind.to_security
    sent = a_mail("mail-1", mail)
    decision = decide_feedback(a_report(), sent, ALICE)
    assert decision
    assert not isinstance(decision, UserDecision)
    [told] = decision.intents
    assert isinstance(told.act, Alert)
    assert told.act.severity == "high"
    assert decision.history[0].about is About.ACCOUNT
    assert decision.history[0].subject_id == mail.account_id


def test_a_user_we_do_not_know_any_more_is_history_of_the_account() -> None:
    bad, intents, what = decided(a_report(MailOutcome.DELIVERED), None)
    assert (bad, intents) == (set(), [])
    assert what == f"mail guide delivered to {TO}"


def test_a_report_about_an_alert_is_none_of_ours() -> None:
    assert decide_feedback(a_report(), an_alert(), None) is None


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (MailOutcome.DELIVERED, f"mail guide delivered to {TO}: why"),
        (MailOutcome.DELAYED, f"mail guide delayed on its way to {TO}: why"),
        (MailOutcome.BOUNCED, f"mail guide bounced from {TO}: why"),
        (MailOutcome.COMPLAINED, f"mail guide reported as spam by {TO}: why"),
        (MailOutcome.REJECTED, f"mail guide refused by SES for {TO}: why"),
    ],
)
def test_history_says_what_became_of_the_mail(outcome: MailOutcome, what: str) -> None:
    assert decided(a_report(outcome, detail="why"))[2] == what


def test_the_alert_says_whose_mail_and_why() -> None:
    decision = decide_feedback(a_report(detail="550 unknown"), MAIL, ALICE)
    assert decision
    act = decision.intents[-1].act
    assert isinstance(act, Alert)
    assert (act.kind, act.severity) == (AlertKind.MAIL_UNDELIVERABLE, "low")
    facts = dict(act.facts)
    assert (facts["User"], facts["Address"], facts["Reason"]) == ("alice", TO, "550 unknown")
    assert facts["Account"] == ACCOUNT


def test_outcomes_rank_so_that_late_reports_take_nothing_back() -> None:
    ranks = [outcome.rank for outcome in MailOutcome]
    assert ranks == sorted(ranks)
    assert MailOutcome.SENT.rank < MailOutcome.DELAYED.rank < MailOutcome.DELIVERED.rank
    assert MailOutcome.DELIVERED.rank < MailOutcome.BOUNCED.rank < MailOutcome.COMPLAINED.rank
