"""What somebody may do so that the watcher says nothing, and what it says all the same."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from mfa_watcher.domain.requests.change_request import ACTORS_KEPT
from sandbox.mail_events import SentMail
from tests.functions.product import FULFIL_ROLE, OPERATOR, Output, Product
from tests.functions.test_members import MEMBER, there
from tests.functions.test_watch import STOPPED, beats, canary, done, role
from tests.support.account import Account
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    NOW,
    ROOT,
    SENDER,
    Json,
    about,
    access_granted,
    denied_removal,
    envelope,
    event_id,
    iam_call,
    iam_user,
    sign_in,
    user_created,
)

Reading = Callable[[], Output]
DAY = timedelta(days=1)


@pytest.fixture
def ana(account: Account) -> Json:
    """A console user with a device."""
    return iam_user("ana", account.new_user("ana", device=True))


@pytest.fixture
def member(account: Account, product: Product) -> Account:
    product.organization, product.members = "o-abcdefghij", MEMBER
    return account.member(MEMBER)


def told(product: Product) -> list[str]:
    """Return the subjects of the alerts that went out since last asked."""
    assert product.deliver() == []
    return [alert["Subject"] for alert in product.account.alerts()]


def sent_by(record: Json, account_id: str) -> str:
    """Return a record as another account would send it to the hub's bus."""
    return json.dumps({**json.loads(envelope(record)), "account": account_id})


# Times to come -----------------------------------------------------------------------------------


def test_a_time_to_come_does_not_hide_that_no_more_events_arrive(
    product: Product, account: Account, output: Reading
) -> None:
    record = canary("us-east-1", NOW + 3000 * DAY)
    assert product.take("on_sign_in", envelope(record)) == []
    [beat] = beats(account).values()
    assert beat["seen_at"].startswith(f"{NOW:%Y-%m-%dT%H:%M}")
    [line] = [line for line in output().lines if "future" in line["message"]]
    assert (line["level"], line["account_id"]) == ("WARNING", ACCOUNT)
    product.regions = "us-east-1"
    account.clock.move(DAY)
    assert product.watch()["silent"] >= 1


def test_a_time_to_come_extends_no_grace(product: Product, account: Account) -> None:
    who = iam_user("bo", account.new_user("bo"))
    product.observe({**access_granted("bo"), "eventTime": "2034-01-01T00:00:00Z"})
    account.clock.move(2 * DAY)
    product.observe(sign_in(who, at=account.clock()))
    assert any("Console sign-in without MFA" in subject for subject in told(product))


# Other accounts ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("member")
def test_an_account_cannot_speak_for_another(product: Product, account: Account, ana: Json) -> None:
    record = denied_removal(ana, "ana")
    assert product.take("on_iam_change", sent_by(record, MEMBER)) == []
    [(_, attributes)] = account.parked("IamChangeDeadLetters")
    assert f"of account {ACCOUNT}, but account {MEMBER} sent it" in attributes["reason"]
    assert account.items("") == []


def test_a_members_record_with_the_id_of_another_accounts_swallows_nothing(
    product: Product, account: Account, member: Account, ana: Json
) -> None:
    product.observe(there(done(STOPPED, seed="same")))
    product.observe(done(STOPPED, seed="same"))
    assert len(told(product)) == 2
    mia = there(iam_user("mia", member.new_user("mia")))
    bo = iam_user("bo", account.new_user("bo"))
    product.observe(there(sign_in(mia, "one id")), sign_in(bo, "one id"))
    product.deliver()
    assert account.calls.sent["mail guide"] == 2
    assert account.calls.sent["alert sign_in_without_mfa"] == 2
    assert ana


@pytest.mark.usefixtures("member")
def test_reports_about_mails_count_from_the_watchers_own_account_only(
    product: Product, account: Account
) -> None:
    product.observe(sign_in(iam_user("bo", account.new_user("bo"))))
    [guide] = [item["id"] for item in account.items("INTENT#mail-guide")]
    mail = SentMail("m-1", SENDER, ["bo@example.com"], NOW, "set", {"intent": guide}, MEMBER)
    assert product.report(mail.envelope("Send"), mail.envelope("Bounce")) == []
    for _, attributes in account.parked("MailFeedbackDeadLetters"):
        assert f"account {MEMBER} sent it" in attributes["reason"]
    assert account.items("USER#", "STATE")[0]["bad_addresses"] == []
    product.deliver()
    assert account.calls.sent["mail guide"] == 1


# Storms ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("member")
def test_a_critical_alert_does_not_wait_behind_a_members_storm(product: Product) -> None:
    product.digest_seconds = 300
    for number in range(12):
        product.observe(there(done(STOPPED, seed=f"storm {number}")))
    told(product)
    product.observe(sign_in(ROOT))
    assert any("CRITICAL: Root user signed in without MFA" in subject for subject in told(product))


# Password off, device off, password on ------------------------------------------------------------


def without_password(product: Product, ana: Json, who: Json = ADMIN) -> None:
    """Take a user's password and then their only device, as the one who acts."""
    account = product.account
    account.iam.delete_login_profile(UserName="ana")
    product.observe(about("DeleteLoginProfile", "ana", who))
    account.clock.move(timedelta(minutes=10))
    [device] = account.iam.list_mfa_devices(UserName="ana")["MFADevices"]
    serial = device["SerialNumber"]
    account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=serial)
    removal = about("DeactivateMFADevice", "ana", who, serialNumber=serial)
    assert product.observe({**removal, "eventTime": f"{account.clock():%Y-%m-%dT%H:%M:%SZ}"}) == []
    assert ana


def password_again(product: Product, ana: Json) -> None:
    """Give the password back, and sign in with it within the grace of a first sign-in."""
    account = product.account
    account.clock.move(timedelta(minutes=10))
    account.iam.create_login_profile(UserName="ana", Password="Correct-horse-2")  # noqa: S106
    granted = {**access_granted("ana"), "eventTime": f"{account.clock():%Y-%m-%dT%H:%M:%SZ}"}
    assert product.observe(granted, sign_in(ana, at=account.clock())) == []


@pytest.mark.parametrize("by", ["admin", "fulfil role"])
def test_a_removal_without_a_password_is_a_violation_once_there_is_one_again(
    product: Product, account: Account, ana: Json, by: str
) -> None:
    product.observe(sign_in(ana, "before", mfa="Yes"))
    without_password(product, ana, ADMIN if by == "admin" else role(FULFIL_ROLE))
    assert told(product) == []  # usual in an off-boarding
    password_again(product, ana)
    subjects = told(product)
    assert any("MFA device removed without approval" in subject for subject in subjects)
    assert any("Console sign-in without MFA" in subject for subject in subjects)
    [request] = account.items("REQUEST#", "STATE")
    assert (request["violation"], request["state"]) == (True, "open")
    assert account.items("USER#", "STATE")[0]["finding"]["cause"] == "device_removed"


def test_a_break_glass_role_is_alerted_without_a_password_too_and_leaves_no_grace(
    product: Product, account: Account, ana: Json
) -> None:
    without_password(product, ana, role("Emergency"))
    assert any("removed by a break-glass role" in subject for subject in told(product))
    password_again(product, ana)
    assert any("Console sign-in without MFA" in subject for subject in told(product))
    assert account.items("REQUEST#", "STATE") == []


def test_a_break_glass_role_is_alerted_if_the_user_seems_deleted_too(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(denied_removal(ana, "ana"))
    told(product)
    [device] = account.iam.list_mfa_devices(UserName="ana")["MFADevices"]
    account.iam.update_user(UserName="ana", NewUserName="anna")
    removal = about(
        "DeactivateMFADevice", "ana", role("Emergency"), serialNumber=device["SerialNumber"]
    )
    product.observe(removal)
    assert any("removed by a break-glass role" in subject for subject in told(product))


# Names of roles -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("member")
def test_a_members_role_with_the_name_of_an_operator_is_not_one(product: Product) -> None:
    product.observe(there(done(STOPPED, role(OPERATOR))))
    assert len(told(product)) == 1


@pytest.mark.usefixtures("member")
def test_a_members_role_is_an_operator_if_it_is_named_with_its_account(product: Product) -> None:
    product.operators = f"{MEMBER}/{OPERATOR}"
    product.observe(there(done(STOPPED, role(OPERATOR))))
    assert told(product) == []
    product.observe(done(STOPPED, role(OPERATOR), "in the hub"))
    assert len(told(product)) == 1


def test_a_members_role_with_the_name_of_a_break_glass_role_commits_a_violation(
    product: Product, account: Account, member: Account
) -> None:
    mia = there(iam_user("mia", member.new_user("mia")))
    gone = about("DeactivateMFADevice", "mia", role("Emergency"), serialNumber="GAKT1")
    product.observe(there(gone))
    [request] = account.items("REQUEST#", "STATE")
    assert request["violation"]
    assert mia


# Many who try -------------------------------------------------------------------------------------


def session(name: str) -> Json:
    who = role("Support")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Support/{name}"
    return {**who, "arn": arn, "principalId": f"AROAEXAMPLE:{name}"}


def test_the_sessions_of_a_role_are_one_source_and_hide_no_violation(
    product: Product, account: Account, ana: Json
) -> None:
    for number in range(ACTORS_KEPT + 20):
        product.observe(denied_removal(session(f"s{number}"), "ana", f"denied {number}"))
    assert told(product) == [
        "[MFA Watcher] MEDIUM: Attempt to remove an MFA device was denied",
    ]
    gone = about("DeactivateMFADevice", "ana", session("last"), serialNumber="GAKT1")
    assert product.observe(gone) == []
    assert account.parked("IamChangeDeadLetters") == []
    [subject] = told(product)
    assert "MFA device removed without approval" in subject
    assert account.calls.sent["mail removal_denied"] == 1
    assert ana


def test_two_devices_removed_by_one_hand_within_minutes_are_two_alerts(
    product: Product, ana: Json
) -> None:
    for serial in ("GAKT1", "GAKT2"):
        gone = about("DeactivateMFADevice", "ana", ADMIN, serial, serialNumber=serial)
        product.observe(gone)
    assert sum("removed without approval" in subject for subject in told(product)) == 2
    assert ana


def test_the_user_is_told_of_each_who_tries_to_remove_their_device(
    product: Product, account: Account, ana: Json
) -> None:
    for number in range(10):
        other = iam_user(f"other-{number}", f"AIDAOTHER{number}")
        product.observe(denied_removal(other, "ana", f"by {number}"))
        product.observe(denied_removal(other, "ana", f"by {number} again"))
    assert product.deliver() == []
    assert account.calls.sent == {"mail removal_denied": 5, "alert removal_denied": 10}
    assert ana


# Consoles for access keys -------------------------------------------------------------------------


def own_session(user: Json, *, mfa: str | None) -> Json:
    """Return the identity of a session that a user got for their access keys."""
    attributes = {} if mfa is None else {"mfaAuthenticated": mfa}
    return {
        "type": "FederatedUser",
        "principalId": f"{ACCOUNT}:anybody",
        "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/anybody",
        "accountId": ACCOUNT,
        "sessionContext": {
            "attributes": attributes,
            "sessionIssuer": {**user, "type": "IAMUser"},
        },
    }


@pytest.mark.parametrize("mfa", ["false", None])
def test_a_console_for_access_keys_without_mfa_is_alerted_once_a_day_as_the_users(
    product: Product, account: Account, ana: Json, output: Reading, mfa: str | None
) -> None:
    for number in range(3):
        product.observe(sign_in(own_session(ana, mfa=mfa), f"console {number}", mfa="No"))
    assert told(product) == ["[MFA Watcher] MEDIUM: Console sign-in without MFA"]
    [user] = account.items("USER#", "STATE")
    assert (user["key"]["user_id"], user["mfa_status"]) == (ana["principalId"], "protected")
    whys = {line["why"] for line in output().lines if line["message"] == "Event observed"}
    [why] = whys
    assert why.startswith("ana opened the console with a session for their own access keys, which")
    account.clock.move(DAY)
    product.observe(sign_in(own_session(ana, mfa=mfa), "tomorrow", at=account.clock()))
    assert any("Console sign-in without MFA" in subject for subject in told(product))


def test_a_console_for_access_keys_with_mfa_is_no_alert(product: Product, ana: Json) -> None:
    product.observe(sign_in(own_session(ana, mfa="true")))
    assert told(product) == []


def test_who_tries_in_such_a_session_is_the_user_and_not_the_name_they_chose(
    product: Product, account: Account, ana: Json
) -> None:
    bo = iam_user("bo", account.new_user("bo"))
    denied = denied_removal(own_session(bo, mfa="true"), "ana")
    product.observe(denied)
    [request] = account.items("REQUEST#", "STATE")
    assert request["actors"] == [bo["arn"]]
    assert request["subject_name"] == "ana"
    assert ana


# Root ---------------------------------------------------------------------------------------------


def from_service(service: str, name: str, who: Json, **parameters: str) -> Json:
    call = iam_call(name, who, requestParameters=parameters or None)
    return {**call, "eventSource": f"{service}.amazonaws.com"}


@pytest.mark.parametrize(
    ("record", "subject"),
    [
        (iam_call("CreateAccessKey", ROOT), "CRITICAL: Root user created an access key"),
        (
            from_service("sts", "AssumeRoot", ADMIN, targetPrincipal=MEMBER),
            "HIGH: A session of a member account's root user was opened",
        ),
        (
            from_service("signin", "PasswordRecoveryRequested", ROOT),
            "HIGH: A new root password was asked for",
        ),
        (
            from_service("signin", "PasswordRecoveryCompleted", ROOT),
            "CRITICAL: The root password was set anew by mail",
        ),
        (from_service("signin", "PasswordUpdated", ROOT), "HIGH: The root password was changed"),
        (
            from_service("sts", "AssumeRoot", ADMIN) | {"errorCode": "AccessDenied"},
            "MEDIUM: Attempt was denied: A session of a member account's root user was opened",
        ),
    ],
    ids=lambda value: value["eventName"] if isinstance(value, dict) else None,
)
def test_whoever_may_act_as_root_from_now_on_is_alerted(
    product: Product, record: Json, subject: str
) -> None:
    assert product.observe(record) == []
    assert told(product) == [f"[MFA Watcher] {subject}"]


def test_a_key_that_root_did_not_create_is_no_alert(product: Product) -> None:
    assert product.observe(about("CreateAccessKey", "ana")) == []
    assert told(product) == []


# Whose device it is -------------------------------------------------------------------------------


def test_a_try_to_delete_somebody_elses_virtual_device_is_about_its_owner(
    product: Product, account: Account, ana: Json
) -> None:
    product.sweep()  # which reads who has which virtual device
    other = iam_user("bo", account.new_user("bo", device=True))
    [device] = account.iam.list_mfa_devices(UserName="ana")["MFADevices"]
    serial = device["SerialNumber"]
    refused = denied_removal(other, "ana", call="DeleteVirtualMFADevice")
    refused["errorMessage"] = (
        f"User: {other['arn']} is not authorized to perform: iam:DeleteVirtualMFADevice on"
        f" resource: {serial} with an explicit deny in an identity-based policy"
    )
    product.observe(refused)
    [request] = account.items("REQUEST#", "STATE")
    assert (request["subject"]["user_id"], request["subject_name"]) == (ana["principalId"], "ana")
    assert request["actors"] == [other["arn"]]
    assert product.deliver() == []
    alert = account.alerts()[-1]["Message"]
    assert "An MFA device of ana was to be removed" in alert
    assert account.calls.sent["mail removal_denied"] == 1


# Passwords and devices by another hand ------------------------------------------------------------


def test_a_password_that_another_sets_is_mailed_to_the_user_each_time_and_alerted(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(sign_in(ana, mfa="Yes"))
    for number in range(2):
        product.observe(about("EnableMFADevice", "ana", ana, f"own {number}", serialNumber="G"))
        product.observe(about("UpdateLoginProfile", "ana", ADMIN, f"set {number}"))
    assert (
        told(product) == ["[MFA Watcher] LOW: Console password set for a user by somebody else"] * 2
    )
    assert account.calls.sent["mail credential_set"] == 2


def test_a_password_for_a_user_with_keys_only_is_alerted_and_the_first_of_a_new_user_is_not(
    product: Product, account: Account
) -> None:
    account.new_user("keys", password=False)
    product.sweep()
    account.iam.create_login_profile(UserName="keys", Password="Correct-horse-2")  # noqa: S106
    product.observe(access_granted("keys"))
    assert any("LOW: Console password set" in subject for subject in told(product))
    assert account.calls.sent["mail welcome"] == 1
    product.observe(user_created("new", account.new_user("new")))
    granted = {**access_granted("new"), "eventID": event_id("granted to new")}
    product.observe(granted)
    assert not any("Console password set" in subject for subject in told(product))


def test_password_and_device_by_the_same_other_hand_are_a_high_alert(
    product: Product, account: Account, ana: Json
) -> None:
    product.observe(about("EnableMFADevice", "ana", ana, "own", serialNumber="G1"))
    product.observe(about("UpdateLoginProfile", "ana", ADMIN))
    account.clock.move(DAY)
    added = about("EnableMFADevice", "ana", ADMIN, "by other", serialNumber="G2")
    product.observe({**added, "eventTime": f"{account.clock():%Y-%m-%dT%H:%M:%SZ}"})
    assert any("HIGH: Password and MFA device of a user set by" in one for one in told(product))
    assert account.calls.sent["mail credential_set"] == 2
