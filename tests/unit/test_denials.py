"""Whom a denied call was about, read from the texts that IAM writes into ``errorMessage``."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.events.denials import CALLER, UNKNOWN, Target, target_of

ACCOUNT = "111122223333"
MESSAGE_LIMIT = 1024
"""Bytes after which CloudTrail cuts ``errorMessage``."""
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ADMIN_SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/carol"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"

GUARD = f"arn:aws:iam::{ACCOUNT}:policy/mfa-watcher-guard"
SCP = f"arn:aws:organizations::{ACCOUNT}:policy/o-a1b2c3d4e5/service_control_policy/p-a1b2c3d4"

MFA_SESSION = (
    "To complete this action, please ensure that you are authenticated with an MFA device that is"
    " enabled for this user."
)

REASONS = (
    "",
    " because no identity-based policy allows the iam:DeactivateMFADevice action",
    " because no permissions boundary allows the iam:DeactivateMFADevice action",
    " because no session policy allows the iam:DeactivateMFADevice action",
    " because no service control policy allows the iam:DeactivateMFADevice action",
    " because no resource-based policy allows the iam:DeactivateMFADevice action",
    " with an explicit deny in an identity-based policy",
    f" with an explicit deny in an identity-based policy: {GUARD}",
    " with an explicit deny in a service control policy",
    f" with an explicit deny in a service control policy: {SCP}",
    " with an explicit deny in a permissions boundary",
    f" with an explicit deny in a permissions boundary: {GUARD}",
    " with an explicit deny in a session policy",
    " with an explicit deny in a resource control policy",
)
"""What may stand behind the resource. Nothing at all, too (texts of 2019)."""

WORDS_OF_THE_SENTENCE = (
    "User",
    "user",
    "is",
    "not",
    "authorized",
    "to",
    "perform",
    "on",
    "resource",
    "because",
    "with",
    "no",
    "an",
    "explicit",
    "deny",
    "in",
    "a",
    "policy",
    "arn",
    "root",
)
"""All of these are legal names of an IAM user."""


def denial(
    clause: str,
    reason: str = "",
    *,
    caller: str = ALICE,
    action: str = "iam:DeactivateMFADevice",
) -> str:
    return f"User: {caller} is not authorized to perform: {action}{clause}{reason}"


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("name", ["bob", "Bob.Smith", "bob+=,.@_-", "b", "b" * 64, "1"])
def test_user_clause_names_the_user_whatever_the_reason(name: str, reason: str) -> None:
    assert target_of(denial(f" on resource: user {name}", reason)) == Target(user=name)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("name", WORDS_OF_THE_SENTENCE)
def test_a_user_may_be_named_like_any_word_of_the_sentence(name: str, reason: str) -> None:
    message = denial(f" on resource: user {name}", reason, caller=ADMIN_SESSION)

    assert target_of(message) == Target(user=name)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize(
    "partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b"]
)
@pytest.mark.parametrize(
    "path", ["", "staff/", "division_abc/subdivision_xyz/", "user/", "because/"]
)
def test_user_arn_names_the_user_in_every_partition_and_path(
    partition: str, path: str, reason: str
) -> None:
    arn = f"arn:{partition}:iam::{ACCOUNT}:user/{path}bob"

    assert target_of(denial(f" on resource: {arn}", reason)) == Target(user="bob")


@pytest.mark.parametrize("reason", REASONS)
def test_the_arn_of_the_policy_that_denied_is_never_taken_for_the_resource(reason: str) -> None:
    target = target_of(denial(" on resource: user bob", reason))

    assert target.serial is None
    assert target.user == "bob"


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason])
@pytest.mark.parametrize(
    "clause",
    [
        "",
        " on resource: user ",
        " on resource: *",
        " on resource: ",
    ],
    ids=["no clause", "empty user", "asterisk", "empty clause"],
)
@pytest.mark.parametrize("caller", [ALICE, ADMIN_SESSION, ROOT])
def test_a_text_that_names_nobody_is_about_the_caller(
    caller: str, clause: str, reason: str
) -> None:
    assert target_of(denial(clause, reason, caller=caller)) == CALLER


@pytest.mark.parametrize(
    "message",
    [
        denial(" on resource: *"),
        denial(" on resource: user "),
        denial(" on resource: user"),
        denial(" on resource: "),
        denial(" on resource:"),
        denial(""),
        denial(" on the specified resource", action="iam:DeleteVirtualMFADevice"),
        MFA_SESSION,
        "",
    ],
)
def test_a_short_text_without_a_name_is_about_the_caller(message: str) -> None:
    assert target_of(message) == CALLER


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
@pytest.mark.parametrize("path", ["", "staff/phones/"])
def test_a_virtual_device_is_named_but_its_name_is_no_user(
    partition: str, path: str, reason: str
) -> None:
    """A virtual device's name is free text: called "bob", it may be anybody's."""
    serial = f"arn:{partition}:iam::{ACCOUNT}:mfa/{path}bob"
    message = denial(f" on resource: {serial}", reason, action="iam:DeleteVirtualMFADevice")

    assert target_of(message) == Target(serial=serial, caller=True)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_security_key_names_its_owner(partition: str, reason: str) -> None:
    serial = f"arn:{partition}:iam::{ACCOUNT}:u2f/user/bob/blue-key-GXXXXXXXXXXXXXXXXX"

    target = target_of(denial(f" on resource: {serial}", reason))

    assert target == Target(user="bob", serial=serial)


@pytest.mark.parametrize("reason", REASONS)
def test_the_root_users_virtual_device_names_the_root_user(reason: str) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"
    message = denial(f" on resource: {serial}", reason, action="iam:DeleteVirtualMFADevice")

    assert target_of(message) == Target(user="root", serial=serial)


@pytest.mark.parametrize(
    "clause",
    [
        " on resource: role bob",
        " on resource: group bob",
        " on resource: instance profile bob",
        f" on resource: policy {GUARD}",
        f" on resource: arn:aws:iam::{ACCOUNT}:role/bob",
    ],
)
def test_a_resource_that_is_no_user_names_no_user(clause: str) -> None:
    assert target_of(denial(clause, REASONS[1])).user is None


def test_a_callers_name_is_never_taken_for_the_subjects() -> None:
    message = denial(" on resource: user bob", REASONS[1], caller=ALICE)

    assert target_of(message) == Target(user="bob")


def test_a_caller_named_like_a_part_of_the_sentence_does_not_mislead() -> None:
    caller = f"arn:aws:iam::{ACCOUNT}:user/on/resource/user/carol"

    assert target_of(denial(" on resource: user bob", REASONS[1], caller=caller)).user == "bob"


def test_ec2s_sentence_before_the_denial_does_not_hide_it() -> None:
    message = (
        f"You are not authorized to perform this operation. {denial(' on resource: user bob')}"
    )

    assert target_of(message) == Target(user="bob")


# Cut texts ---------------------------------------------------------------------------------------

CLAUSES = (
    (" on resource: user bobby", "bobby"),
    (f" on resource: arn:aws:iam::{ACCOUNT}:user/staff/bobby", "bobby"),
    (f" on resource: arn:aws:iam::{ACCOUNT}:u2f/user/bobby/blue-key-GXXXXXXXXXX", "bobby"),
    (f" on resource: arn:aws:iam::{ACCOUNT}:mfa/bobby", None),
    *((f" on resource: user {name}", name) for name in ("because", "with", "user", "on")),
)


def cut_at(position: int, full: str, caller: str) -> str:
    """Return the text with so long a caller's path that CloudTrail's limit is at a position."""
    missing = MESSAGE_LIMIT - position
    path = "x" * missing
    padded = full.replace(caller, caller.replace(":user/", f":user/{path}"))
    return padded.encode()[:MESSAGE_LIMIT].decode()


@pytest.mark.parametrize("reason", [REASONS[1], REASONS[7], ""], ids=["allow", "deny", "none"])
@pytest.mark.parametrize(("clause", "name"), CLAUSES, ids=[clause for clause, _ in CLAUSES])
def test_wherever_a_text_is_cut_it_never_yields_a_wrong_name(
    clause: str, name: str | None, reason: str
) -> None:
    full = denial(clause, reason, caller=ALICE)
    until = len(f"User: {ALICE}")
    wrong = {}
    for position in range(until, len(full)):
        target = target_of(cut_at(position, full, ALICE))
        about_the_caller = target.caller and name is not None
        if target.user not in {name, None} or about_the_caller:
            wrong[full[:position]] = target

    assert not wrong


@pytest.mark.parametrize(("clause", "name"), CLAUSES, ids=[clause for clause, _ in CLAUSES])
def test_a_cut_after_the_resource_still_yields_the_name(clause: str, name: str | None) -> None:
    full = denial(clause, REASONS[7], caller=ALICE)
    behind = len(denial(clause, caller=ALICE)) + len(" with an")

    assert target_of(cut_at(behind, full, ALICE)).user == name


@pytest.mark.parametrize("reason", [REASONS[1], REASONS[7]], ids=["allow", "deny"])
@pytest.mark.parametrize("clause", ["", " on resource: user ", " on resource: *"])
def test_a_cut_text_that_names_nobody_never_yields_a_name(clause: str, reason: str) -> None:
    full = denial(clause, reason, caller=ALICE)
    until = len(f"User: {ALICE}")
    named = {
        full[:position]: target
        for position in range(until, len(full))
        if (target := target_of(cut_at(position, full, ALICE))).user or target.serial
    }

    assert not named


def test_a_text_cut_before_the_resource_has_no_target() -> None:
    assert target_of(f"User: arn:aws:iam::{ACCOUNT}:user/{'x' * MESSAGE_LIMIT}") == UNKNOWN


# Properties --------------------------------------------------------------------------------------

NAMES = st.from_regex(re.compile(r"[\w+=,.@-]{1,64}", re.ASCII), fullmatch=True)
PATHS = st.lists(st.from_regex(re.compile(r"[A-Za-z0-9_-]{1,20}"), fullmatch=True), max_size=3)
PARTITIONS = st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-eusc"])


@st.composite
def clauses_with_names(draw: st.DrawFn) -> tuple[str, str]:
    name, partition = draw(NAMES), draw(PARTITIONS)
    path = "".join(f"{part}/" for part in draw(PATHS))
    key = f"arn:{partition}:iam::{ACCOUNT}:u2f/user/{name}/key-GXXXXXXXXXX"
    form = draw(
        st.sampled_from(
            [f"user {name}", f"arn:{partition}:iam::{ACCOUNT}:user/{path}{name}", key],
        )
    )
    return f" on resource: {form}", name


CALLERS = st.one_of(
    NAMES.map(lambda name: f"arn:aws:iam::{ACCOUNT}:user/{name}"),
    NAMES.map(lambda name: f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/{name}"),
    st.just(ROOT),
)


@given(clauses_with_names(), st.sampled_from(REASONS), CALLERS)
def test_any_legal_name_is_found_in_any_form(
    clause_with_name: tuple[str, str], reason: str, caller: str
) -> None:
    clause, name = clause_with_name

    assert target_of(denial(clause, reason, caller=caller)).user == name


@given(clauses_with_names(), st.sampled_from(REASONS), st.integers(0, 400))
def test_any_cut_of_any_form_yields_the_right_name_or_none(
    clause_with_name: tuple[str, str], reason: str, back: int
) -> None:
    clause, name = clause_with_name
    full = denial(clause, reason, caller=ALICE)
    position = max(len(full) - back, len(f"User: {ALICE}"))
    cut = cut_at(position, full, ALICE) if position < len(full) else full

    target = target_of(cut)

    assert target.user in {name, None}
    assert not target.caller


@given(st.text())
def test_no_text_makes_it_raise(message: str) -> None:
    target_of(message)


@given(
    st.lists(
        st.sampled_from(
            [
                " is not authorized to perform: ",
                " on resource:",
                " user ",
                "arn:aws:iam::",
                ":u2f/user/",
                "because",
                "with",
                "*",
                "/",
                ":",
                " ",
                "\n",
                "\ud800",
                "é",
                MFA_SESSION,
                "x" * 990,
            ]
        )
    ).map("".join)
)
def test_no_text_of_familiar_pieces_makes_it_raise(message: str) -> None:
    target_of(message)


def test_names_that_are_words_of_the_sentence_are_distinguished_from_reasons_for_each_pair() -> (
    None
):
    """An empty name before "because …" and a user called "because" read almost alike."""
    targets = {
        (name, reason): target_of(denial(f" on resource: user {name}", reason))
        for name, reason in product(("because", "with", ""), REASONS[1:])
    }

    assert targets == {
        (name, reason): Target(user=name) if name else CALLER for name, reason in targets
    }
