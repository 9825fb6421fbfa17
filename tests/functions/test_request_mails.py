"""Mails about change requests on their way out: the request is read again before each leaves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mfa_watcher.domain.decision import UserDecision
from mfa_watcher.domain.history import About, HistoryEntry
from mfa_watcher.domain.notifications.intents import intent
from mfa_watcher.domain.notifications.mails import Ending, Mail
from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import ChangeRequest, Details, file_request
from mfa_watcher.domain.requests.mails import decided, ended, fulfilled, needs_details, opened
from mfa_watcher.domain.users.devices import Device, DeviceKind
from mfa_watcher.domain.users.user import MfaStatus, User, UserKey
from tests.functions.approved import BOB, CARLA, PHONE, SUE, store
from tests.functions.product import Product
from tests.support.account import Account, Refusal
from tests.support.builders import ACCOUNT

pytestmark = pytest.mark.moto

POLICY = Policy()
HOUR = timedelta(hours=1)
PAUSED = Refusal("SendingPausedException")


class Desk:
    """Moves ana's request as the desk and the clock do, with a mail for each move."""

    def __init__(self, product: Product) -> None:
        """Make ana, with a phone, and the request that the service desk filed for her."""
        self.product, self.account = product, product.account
        self.user = User(
            UserKey(ACCOUNT, self.account.new_user("ana", device=True)),
            "ana",
            MfaStatus.PROTECTED,
            (Device(PHONE),),
        )
        self.request = file_request(
            self.user, SUE, self.account.clock(), POLICY, event_id="desk-filed"
        )
        self._steps = 0
        self.user = replace(self.user, request_id=self.request.id)

    def commit(self, request: ChangeRequest, *mails: Mail) -> None:
        """Commit a step, with its mails."""
        now, self._steps = self.account.clock(), self._steps + 1
        event_id = f"desk-{self._steps}"
        entry = HistoryEntry(About.REQUEST, request.id, now, event_id, "A step")
        intents = tuple(intent(event_id, now, mail) for mail in mails)
        decision = UserDecision(
            event_id, (entry,), intents, user=self.user, request=request, renamed=self._steps == 1
        )
        store(self.account).commit(decision, now=now)
        self.user = replace(self.user, version=self.user.version + 1)
        self.request = replace(request, version=request.version + 1)

    def sent(self) -> dict[str, int]:
        """Return what went out since last asked, by stream and schedule."""
        assert self.product.deliver() == []
        self.product.redeliver()
        counts = dict(self.account.calls.sent)
        self.account.calls.sent.clear()
        return counts

    def hold_up(self) -> None:
        """Let SES take nothing, so that what is decided now waits."""
        self.account.calls.refused["ses:SendEmail"] = PAUSED
        self.sent()
        self.account.calls.refused.clear()
        self.account.clock.move(HOUR)

    def skipped(self) -> list[str]:
        """Return why mails did not leave."""
        items = self.account.items("INTENT#")
        return [item["reason"] for item in items if item["status"] == "skipped"]

    def bodies(self) -> str:
        """Return what SES was given."""
        calls = zip(self.account.calls.made, self.account.calls.bodies, strict=True)
        return "\n".join(body for call, body in calls if call == "ses:SendEmail")

    def submitted(self) -> ChangeRequest:
        """Return the request with details."""
        details = Details("stolen", SUE.arn, self.account.clock(), DeviceKind.FIDO)
        return self.request.submitted(details, POLICY)

    def approved(self) -> ChangeRequest:
        """Return the request with bob's word on it."""
        now = self.account.clock()
        return self.submitted().approved(BOB, "seen", now, POLICY, devices=(PHONE,), kept=())


@pytest.fixture
def desk(product: Product) -> Desk:
    return Desk(product)


def reminder(desk: Desk) -> tuple[ChangeRequest, Mail]:
    now = desk.account.clock()
    reminded = desk.request.reminded(now, POLICY)
    return reminded, needs_details(reminded, desk.user, now, POLICY)


def test_a_user_is_mailed_at_once_about_a_request_that_is_filed_for_them(desk: Desk) -> None:
    desk.commit(desk.request, opened(desk.request, desk.user, SUE, POLICY))

    assert desk.sent() == {"mail request_opened": 1}
    assert f"mfa-watcher requests details {desk.request.id}" in desk.bodies()


def test_a_user_who_gave_the_details_meanwhile_is_not_asked_for_them(desk: Desk) -> None:
    desk.commit(desk.request, opened(desk.request, desk.user, SUE, POLICY))
    desk.hold_up()
    desk.account.calls.reset()
    desk.commit(desk.submitted())

    assert desk.sent() == {"mail request_opened": 1}
    assert desk.request.id in desk.bodies()
    assert "requests details" not in desk.bodies()


def test_a_reminder_for_details_is_not_sent_once_they_are_given(desk: Desk) -> None:
    desk.commit(*reminder(desk))
    desk.hold_up()
    desk.commit(desk.submitted())

    assert desk.sent() == {}
    assert desk.skipped() == ["the request waits for no details any more"]


def test_of_several_delayed_reminders_only_the_latest_is_sent(desk: Desk) -> None:
    for _ in range(3):
        desk.commit(*reminder(desk))
        desk.hold_up()

    assert desk.sent() == {"mail request_needs_details": 1}
    assert desk.skipped() == ["overtaken by a later reminder"] * 2


def test_an_approval_that_is_fulfilled_already_is_not_announced_any_more(desk: Desk) -> None:
    approved = desk.approved()
    desk.commit(approved, decided(approved, desk.user))
    desk.hold_up()
    now = desk.account.clock()
    done = desk.request.fulfilment_started(CARLA, now, POLICY).fulfilled(now, POLICY)
    desk.commit(done, fulfilled(done, desk.user, now))

    assert desk.sent() == {"mail request_fulfilled": 1}
    assert desk.skipped() == ["the request is fulfilled by now"]


def test_a_user_who_has_the_new_device_already_is_not_asked_to_add_it(desk: Desk) -> None:
    desk.commit(desk.approved())
    now = desk.account.clock()
    done = desk.request.fulfilment_started(CARLA, now, POLICY).fulfilled(now, POLICY)
    desk.commit(done, fulfilled(done, desk.user, now))
    desk.hold_up()
    desk.account.enrol("ana", "tablet")

    assert desk.sent() == {}
    assert desk.skipped() == ["the new device is there already"]


def test_a_mail_about_a_request_that_timed_out_waits_for_the_mail_hours(desk: Desk) -> None:
    desk.product.mail_hours = "0-1"
    now = desk.account.clock()
    cancelled = desk.request.cancelled("no details came")
    desk.commit(cancelled, ended(cancelled, desk.user, now, Ending.UNANSWERED))
    assert desk.sent() == {}

    desk.account.clock.move(timedelta(hours=24 - now.hour))
    assert desk.sent() == {"mail request_ended": 1}


def test_a_mail_about_an_interrupted_fulfilment_is_sent_at_once(desk: Desk) -> None:
    desk.product.mail_hours = "0-1"
    desk.commit(desk.approved())
    expired = desk.request.fulfilment_started(CARLA, desk.account.clock(), POLICY).expired()
    mail = ended(expired, desk.user, desk.account.clock(), Ending.INTERRUPTED)
    desk.commit(expired, mail)

    assert desk.sent() == {"mail request_ended": 1}


def test_a_user_who_is_gone_gets_no_mail_about_their_request(desk: Desk, account: Account) -> None:
    desk.commit(desk.request, opened(desk.request, desk.user, SUE, POLICY))
    account.iam.delete_login_profile(UserName="ana")
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=PHONE)
    account.iam.delete_user(UserName="ana")

    assert desk.sent() == {}
    assert desk.skipped() == ["the user is gone"]
