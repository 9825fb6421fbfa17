from dataclasses import replace

import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.adapters.sns import SnsAlerter, body_of, body_of_digest, subject_of
from mfa_watcher.domain.notifications.digests import MAX_IN_DIGEST, by_severity
from mfa_watcher.domain.notifications.intents import Alert, AlertKind, Intent, Severity
from mfa_watcher.ports.errors import NotSentError, RefusedError
from tests.support.account import Account, Refusal, client
from tests.support.builders import ACCOUNT, HOSTILE, NOW

FACTS = (("User", HOSTILE), ("What", "ana\nUser: bob"), ("With", "x" * 5000), ("Empty", ""))
ALERT = Alert(AlertKind.REMOVAL_DENIED, Severity.HIGH, "It happened", FACTS, ACCOUNT)


@pytest.fixture
def alerter(account: Account) -> SnsAlerter:
    once = Config(retries={"total_max_attempts": 1})
    return SnsAlerter(client("sns", once), topic_arn=account.topic_arn)


def test_an_alert_reaches_the_subscribers(alerter: SnsAlerter, account: Account) -> None:
    message_id = alerter.send(ALERT, intent_id="alert-1")
    [received] = account.alerts()
    assert received["MessageId"] == message_id
    assert received["Subject"] == "[MFA Watcher] HIGH: It happened"
    assert received["Message"] == body_of(ALERT, "alert-1")
    attributes = {name: value["Value"] for name, value in received["MessageAttributes"].items()}
    assert attributes == {"kind": "removal_denied", "severity": "high"}


def test_each_fact_is_on_one_line_whatever_its_value() -> None:
    lines = body_of(ALERT, "alert-1").splitlines()
    assert lines[0] == "It happened"
    assert lines[-1] == "Alert id: alert-1"
    assert [line.split(":")[0] for line in lines[2:-2]] == ["User", "What", "With", "Empty"]


@given(st.text())
def test_no_value_breaks_its_line_or_reverses_the_writing_direction(value: str) -> None:
    alert = replace(ALERT, facts=(("User", value),))
    body = body_of(alert, "id")
    assert len(body.splitlines()) == 5
    assert body.replace("\n", "").isprintable()


@given(st.sampled_from(Severity), st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_a_subject_is_one_line_of_ascii_of_less_than_100_characters(
    severity: Severity, title: str
) -> None:
    subject = subject_of(replace(ALERT, severity=severity, title=title))
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) < 100
    assert subject.startswith(f"[MFA Watcher] {severity.upper()}: ")


@pytest.mark.parametrize("code", ["InvalidParameter", "ParameterValueInvalid"])
def test_an_error_about_the_message_is_final(
    alerter: SnsAlerter, account: Account, code: str
) -> None:
    account.calls.refused["sns:Publish"] = Refusal(code, "Invalid parameter: Subject")
    with pytest.raises(RefusedError, match=code):
        alerter.send(ALERT, intent_id="alert-1")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Throttled", 429),
        ("NotFound", 404),
        ("AuthorizationError", 403),
        ("KMSAccessDenied", 400),
        ("InternalError", 500),
    ],
)
def test_any_other_error_of_sns_is_temporary(
    alerter: SnsAlerter, account: Account, code: str, status: int
) -> None:
    account.calls.refused["sns:Publish"] = Refusal(code, "no", status)
    with pytest.raises(NotSentError, match=code):
        alerter.send(ALERT, intent_id="alert-1")


def test_an_unreachable_sns_is_a_temporary_error(alerter: SnsAlerter, account: Account) -> None:
    account.calls.unreachable.add("sns:Publish")
    with pytest.raises(NotSentError, match="ReadTimeoutError"):
        alerter.send(ALERT, intent_id="alert-1")


# Together ----------------------------------------------------------------------------------------


def several(count: int, facts: tuple[tuple[str, str], ...] = FACTS) -> list[Intent]:
    severities = [Severity.MEDIUM, Severity.HIGH]
    return [
        Intent(
            f"alert-{n}",
            "e1",
            NOW,
            replace(ALERT, severity=severities[n % 7 == 3], title=f"Kind {n % 2}", facts=facts),
        )
        for n in range(count)
    ]


def test_a_digest_reaches_the_subscribers_as_one_message(
    alerter: SnsAlerter, account: Account
) -> None:
    message_id = alerter.send_digest(several(5))
    [received] = account.alerts()
    assert received["MessageId"] == message_id
    assert received["Subject"] == "[MFA Watcher] 5 alerts, the most severe is HIGH"
    attributes = {name: value["Value"] for name, value in received["MessageAttributes"].items()}
    assert attributes == {"kind": "digest", "severity": "high"}


def test_a_digest_has_a_line_for_each_alert_the_most_severe_first() -> None:
    body = body_of_digest(by_severity(several(5)))
    head, counts, lines = body.split("\n\n")
    assert head.startswith("5 alerts")
    assert [line.strip() for line in counts.splitlines()] == [
        "1 x HIGH: Kind 1",
        "3 x MEDIUM: Kind 0",
        "1 x MEDIUM: Kind 1",
    ]
    assert [line.rpartition(" | ")[2] for line in lines.splitlines()] == [
        "alert-3",
        "alert-0",
        "alert-1",
        "alert-2",
        "alert-4",
    ]


def test_a_line_of_a_digest_names_user_request_actor_and_time() -> None:
    others = (("Change request", "PR-1"), ("Actor", "a"), ("User", "u"))
    facts = (("Summary", "w"), ("Time", "t"), *others)
    last = body_of_digest(several(1, facts)).splitlines()[-1]
    assert last.endswith(" | User: u | Change request: PR-1 | Actor: a | Time: t | alert-0")


def test_the_largest_digest_fits_into_a_message_whatever_the_users_are_called() -> None:
    facts = (("User", "\U0001f511" * 128), ("Actor", HOSTILE * 20), ("Time", "x" * 5000))
    body = body_of_digest(several(MAX_IN_DIGEST, facts))
    assert len(body.encode()) < 256 * 1024
    assert len(body.splitlines()) == MAX_IN_DIGEST + 7
    assert body.replace("\n", "").isprintable()
