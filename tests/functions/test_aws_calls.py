"""How many AWS calls each signal and each mail costs, measured, and as docs/aws-calls.md says."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import pytest

from mfa_watcher.adapters.items import DUE_SHARDS
from mfa_watcher.domain.requests.change_request import ChangeRequest
from sandbox.mail_events import DETAIL_TYPES, SentMail
from tests.functions.approved import FIDO, approved, fulfil
from tests.functions.product import Product
from tests.support.account import Account, opened
from tests.support.builders import (
    ACCOUNT,
    ADMIN,
    ROOT,
    SENDER,
    Json,
    about,
    access_granted,
    denied_removal,
    event_id,
    iam_call,
    iam_user,
    later,
    sign_in,
    user_created,
)
from tests.template.cloudformation import ROOT as REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "aws-calls.md"
SERIAL = "arn:aws:iam::123456789012:mfa/phone"
FEDERATED = {"type": "AssumedRole", "arn": "arn:aws:sts::123456789012:assumed-role/a/b"}


def somebody(product: Product, *, known: bool, device: bool = False, finding: bool = False) -> Json:
    """Make a console user, and let the watcher know them or not."""
    ana = iam_user("ana", product.account.new_user("ana"))
    if known:
        product.observe(sign_in(ana) if finding else user_created("ana", ana["principalId"]))
    if device:
        product.account.enrol("ana")
    return ana


def case(
    record: Callable[[Json], Json], *, known: bool, device: bool = False, finding: bool = False
) -> Callable[[Product], Json]:
    return lambda product: record(somebody(product, known=known, device=device, finding=finding))


def removal(_: Json) -> Json:
    return about("DeactivateMFADevice", "ana", serialNumber=SERIAL)


def failed_removal(_: Json) -> Json:
    return {**removal(_), "errorCode": "NoSuchEntityException"}


def deletion(_: Json) -> Json:
    return iam_call("DeleteVirtualMFADevice", ADMIN, requestParameters={"serialNumber": SERIAL})


def with_mfa(who: Json) -> Json:
    return sign_in(who, "with", mfa="Yes", at=later(5))


def without_mfa(who: Json) -> Json:
    return sign_in(who, "without", at=later(5))


def failed(who: Json) -> Json:
    return {
        **sign_in(who),
        "responseElements": {"ConsoleLogin": "Failure"},
        "errorMessage": "Failed authentication",
    }


def calling(name: str) -> Callable[[Json], Json]:
    return lambda _: about(name, "ana")


def renaming(product: Product, *, known: bool) -> Json:
    somebody(product, known=known)
    product.account.iam.update_user(UserName="ana", NewUserName="anna")
    return about("UpdateUser", "ana", newUserName="anna")


def taken_name(product: Product, *, late: bool) -> Json:
    somebody(product, known=True)
    if late:
        return user_created("ana", "AIDAPREDECESSOR", "first")
    product.account.iam.delete_login_profile(UserName="ana")
    product.account.iam.delete_user(UserName="ana")
    return user_created("ana", product.account.new_user("ana"), "again")


SIGNALS: dict[tuple[str, str], Callable[[Product], Json]] = {
    ("sign_in_without_mfa", "known, no device"): case(without_mfa, known=True),
    ("sign_in_without_mfa", "known, has a device"): case(without_mfa, known=True, device=True),
    ("sign_in_without_mfa", "unknown, no device"): case(without_mfa, known=False),
    ("sign_in_with_mfa", "known, no finding"): case(with_mfa, known=True, device=True),
    ("sign_in_with_mfa", "known, finding open"): case(
        with_mfa, known=True, device=True, finding=True
    ),
    ("sign_in_with_mfa", "unknown"): case(with_mfa, known=False, device=True),
    ("sign_in_not_judged", "-"): lambda _: sign_in(FEDERATED),
    ("sign_in_failed", "any"): case(failed, known=True),
    ("any sign-in", "root"): lambda _: sign_in(ROOT),
    ("device_removal, denied", "known"): case(lambda who: denied_removal(who, "ana"), known=True),
    ("device_removal, denied", "unknown, tried it themselves"): case(
        lambda who: denied_removal(who, "ana"), known=False
    ),
    ("device_removal, denied", "unknown, another tried it"): case(
        lambda _: denied_removal(ADMIN, "ana"), known=False
    ),
    ("device_removal, succeeded", "known, device left"): case(removal, known=True, device=True),
    ("device_removal, succeeded", "known, none left"): case(removal, known=True),
    ("device_removal, succeeded", "unknown, none left"): case(removal, known=False),
    ("device_removal, succeeded", "only deletes the virtual device"): case(deletion, known=True),
    ("device_removal, failed", "known"): case(failed_removal, known=True),
    ("device_removal, failed", "unknown"): case(failed_removal, known=False),
    ("device_enabled", "known"): case(calling("EnableMFADevice"), known=True, device=True),
    ("device_enabled", "unknown"): case(calling("EnableMFADevice"), known=False, device=True),
    ("device_resynced", "known"): case(calling("ResyncMFADevice"), known=True),
    ("device_resynced", "unknown"): case(calling("ResyncMFADevice"), known=False),
    ("console_access_granted", "known"): case(lambda _: access_granted("ana"), known=True),
    ("console_access_granted", "unknown"): case(lambda _: access_granted("ana"), known=False),
    ("console_access_removed", "known"): case(calling("DeleteLoginProfile"), known=True),
    ("console_access_removed", "unknown"): case(calling("DeleteLoginProfile"), known=False),
    ("password_changed", "known"): case(calling("ChangePassword"), known=True),
    ("password_changed", "unknown"): case(calling("UpdateLoginProfile"), known=False),
    ("user_created", "new"): lambda _: user_created("ana", "AIDAANA"),
    ("user_created", "had its name from a known one"): partial(taken_name, late=False),
    ("user_created", "gave its name to a known one"): partial(taken_name, late=True),
    ("user_deleted", "known"): case(calling("DeleteUser"), known=True),
    ("user_deleted", "unknown"): case(calling("DeleteUser"), known=False),
    ("user_renamed", "known"): partial(renaming, known=True),
    ("user_renamed", "unknown"): partial(renaming, known=False),
    ("user_tagged", "known"): case(calling("TagUser"), known=True),
    ("user_tagged", "unknown"): case(calling("TagUser"), known=False),
    ("root_credentials", "root"): lambda _: iam_call("CreateAccessKey", ROOT),
    ("password_policy_changed", "-"): lambda _: iam_call("UpdateAccountPasswordPolicy", ADMIN),
    ("watcher_disturbed", "-"): lambda _: {
        **iam_call("StopLogging", ADMIN, requestParameters={"name": "trail"}),
        "eventSource": "cloudtrail.amazonaws.com",
    },
    ("ignored", "-"): lambda _: iam_call("CreateGroup", ADMIN),
}


SENDING: dict[str, Callable[[Product], Json]] = {
    "guide": case(without_mfa, known=True),
    "welcome": case(lambda _: access_granted("ana"), known=True),
    "enrolled": case(calling("EnableMFADevice"), known=True, device=True, finding=True),
    "removal_denied": case(lambda who: denied_removal(who, "ana"), known=True),
    "an alert": lambda _: iam_call("UpdateAccountPasswordPolicy", ADMIN),
}


def test_the_first_event_of_an_hour_costs_an_update_more_and_watch_a_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch, regions="us-east-1")
        product.feel(sign_in(ADMIN))
        assert account.calls.made == ["dynamodb:UpdateItem"]
        account.calls.reset()
        product.watch()
        assert account.calls.made == ["dynamodb:Query", *["dynamodb:UpdateItem"] * 2]
        account.calls.reset()
        product.watch()
        assert account.calls.made == ["dynamodb:Query"]
    assert "one `Query` for all heartbeats" in " ".join(DOCUMENT.read_text().split())


def test_each_signal_costs_the_calls_that_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []
    for (signal, who), arrange in SIGNALS.items():
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            record = arrange(product)
            product.feel(record)
            account.calls.reset()
            assert product.observe(record) == []
            table = account.calls.tally("dynamodb")
            counts = (str(table["GetItem"]), str(table["TransactWriteItems"]))
            measured.append((signal, who, made(account, "iam:"), *counts))
            assert table.total() == table["GetItem"] + table["TransactWriteItems"]
    assert documented("Deciding") == measured, difference("Deciding", measured)


def test_each_mail_and_alert_costs_the_calls_that_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []
    for act, arrange in SENDING.items():
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch, digest_seconds=60)
            product.observe(arrange(product))
            wanted = [
                record
                for record in product.new_intents()
                if record["eventID"].startswith(
                    "INTENT#alert" if act == "an alert" else f"INTENT#mail-{act}"
                )
            ]
            account.calls.reset()
            assert product.deliver(wanted) == []
            sends = made(account, "ses:Send", "sns:")
            measured.append((act, made(account, "iam:"), made(account, "dynamodb:"), sends))
    assert documented("Sending") == measured, difference("Sending", measured)


def test_each_report_about_a_mail_costs_the_calls_that_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []
    for kind in DETAIL_TYPES:
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            product.observe(sign_in(somebody(product, known=True)))
            product.deliver()
            tags = {"intent": f"mail-guide-{ACCOUNT}-F-{event_id('sign-in')}"}
            mail = SentMail(
                "m-1", SENDER, ["ana@example.com"], account.clock(), "set", tags, ACCOUNT
            )
            account.calls.reset()
            assert product.report(mail.envelope(kind)) == []
            measured.append((kind, made(account, "dynamodb:")))
            assert account.calls.tally("dynamodb").total() == len(account.calls.made)
    assert documented("Reading") == measured, difference("Reading", measured)


CARRYING_OUT: dict[str, Callable[[Product], ChangeRequest]] = {
    "a virtual device": approved,
    "a FIDO or hardware device": lambda product: approved(product, (FIDO,)),
    "a device that is gone already": lambda product: gone(product, approved(product, (FIDO,))),
    "once more, for another password": lambda product: done(product, approved(product)),
    "of a user without a password": lambda product: approved(product, password=False),
}


def gone(product: Product, request: ChangeRequest) -> ChangeRequest:
    product.account.iam.deactivate_mfa_device(UserName="ana", SerialNumber=request.devices[0])
    return request


def done(product: Product, request: ChangeRequest) -> ChangeRequest:
    assert fulfil(product, request)[0] == 200
    return request


def test_each_fulfilment_costs_the_calls_that_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = []
    for case_, arrange in CARRYING_OUT.items():
        with opened(monkeypatch) as account:
            product = Product(account, monkeypatch)
            request = arrange(product)
            account.calls.reset()
            fulfil(product, request)
            table = account.calls.tally("dynamodb")
            counts = (str(table["GetItem"]), str(table["TransactWriteItems"]))
            measured.append((case_, made(account, "iam:"), *counts))
            assert table.total() == table["GetItem"] + table["TransactWriteItems"]
    assert documented("Fulfilling") == measured, difference("Fulfilling", measured)


def test_a_duplicate_costs_what_the_event_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the document says. To look first would cost each event a read more."""
    with opened(monkeypatch) as account:
        product = Product(account, monkeypatch)
        record = without_mfa(somebody(product, known=True))
        product.feel(record)
        costs = []
        for _ in range(2):
            account.calls.reset()
            product.observe(record)
            costs.append(account.calls.tally("iam") + account.calls.tally("dynamodb"))
        assert costs[0] == costs[1]


def test_a_run_of_redeliver_with_nothing_due_costs_a_query_per_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch, shards=DUE_SHARDS) as account:
        Product(account, monkeypatch).redeliver()
        assert account.calls.made == ["dynamodb:Query"] * DUE_SHARDS * 2
    assert f"{DUE_SHARDS * 2} `Query` calls" in DOCUMENT.read_text()


def test_a_run_of_expire_costs_a_query_per_shard_and_each_request_what_the_document_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch, shards=DUE_SHARDS) as account:
        product = Product(account, monkeypatch)
        ana = somebody(product, known=True)
        product.observe(denied_removal(ana, "ana"))
        account.calls.reset()
        account.clock.move(timedelta(days=2))
        assert product.expire() == {"decided": 1}
        measured = [call for call in account.calls.made if call != "dynamodb:Query"]
        assert account.calls.tally("dynamodb")["Query"] == DUE_SHARDS
    cells = (
        ", ".join(call.split(":")[1] for call in measured if call.startswith(service))
        for service in ("iam:", "dynamodb:")
    )
    row = ("a request that is due", *cells)
    assert documented("Evaluating") == [row], difference("Evaluating", [row])
    assert f"{DUE_SHARDS} `Query` calls" in DOCUMENT.read_text()


def documented(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the table under a heading, without its head."""
    parts = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    [text] = [part for part in parts if part.startswith(heading)]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def difference(heading: str, measured: Sequence[tuple[str, ...]]) -> str:
    """Say which rows the document lacks, and which it has but should not have."""
    rows = documented(heading)
    lines = [f"docs/aws-calls.md, {heading} …, has these rows in another order than this test"]
    for what, which in (
        ("lacks", [row for row in measured if row not in rows]),
        ("is wrong about", [row for row in rows if row not in measured]),
    ):
        if which:
            lines[0] = ""
            lines += [f"docs/aws-calls.md, {heading} …, {what}:"]
            lines += [f"| {' | '.join(row)} |" for row in which]
    return "\n".join(lines)


def made(account: Account, *prefixes: str) -> str:
    """List the calls whose names begin so, as a cell of the table."""
    calls = [call.split(":")[1] for call in account.calls.made if call.startswith(prefixes)]
    return ", ".join(calls) or "-"
