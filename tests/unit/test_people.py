import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_watcher.domain.policy import Policy
from mfa_watcher.domain.requests.change_request import SegregationOfDutiesError
from mfa_watcher.domain.users.people import Person, may_be_same_person, principal_name
from tests.support.builders import ACCOUNT, HOSTILE, a_request, an_attempt

IAM = f"arn:aws:iam::{ACCOUNT}"
STS = f"arn:aws:sts::{ACCOUNT}"
BOB = f"{IAM}:user/bob"

SAME = [
    BOB,
    f"{IAM}:user/BOB",
    f"{IAM}:user/staff/emea/bob",
    f"{STS}:assumed-role/Security/bob",
    f"{STS}:assumed-role/Security/Bob",
    f"{STS}:assumed-role/AWSReservedSSO_Admins_0123456789abcdef/bob@example.com",
    f"{STS}:assumed-role/AWSReservedSSO_Admins_0123456789abcdef/Bob@EXAMPLE.ORG",
    f"{STS}:federated-user/bob",
    "arn:aws:iam::999999999999:user/bob",
    "arn:aws:sts::999999999999:assumed-role/Other/bob",
    "arn:aws-us-gov:iam::999999999999:user/bob",
    "arn:aws-cn:sts::999999999999:assumed-role/Other/bob@example.com",
]
OTHERS = [
    f"{IAM}:user/bobby",
    f"{IAM}:user/bob/alice",
    f"{IAM}:user/bob.smith",
    f"{STS}:assumed-role/bob/alice",
    f"{STS}:assumed-role/Security/alice@bob",
    f"{STS}:assumed-role/Security/",
    f"{IAM}:user/",
    f"{IAM}:role/bob",
    f"{IAM}:group/bob",
    f"{IAM}:root",
    f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:user/bob",
    "cloudformation.amazonaws.com",
    "AWSService",
    "unknown",
    "bob",
    "user/bob",
    "",
    "arn:",
    HOSTILE,
]


@pytest.mark.parametrize("arn", SAME)
@pytest.mark.parametrize("other", SAME)
def test_one_person_is_recognised_as_user_and_session_whatever_case_domain_role_or_account(
    arn: str, other: str
) -> None:
    assert may_be_same_person(arn, other)


@pytest.mark.parametrize("arn", OTHERS)
def test_different_people_are_not_taken_for_one(arn: str) -> None:
    assert not may_be_same_person(BOB, arn)
    assert not may_be_same_person(arn, BOB)


@pytest.mark.parametrize("arn", [*SAME, *OTHERS])
def test_everybody_may_be_themselves(arn: str) -> None:
    assert may_be_same_person(arn, arn)


@given(st.text(), st.text())
def test_any_two_texts_are_compared_without_an_error_and_in_either_order(
    one: str, other: str
) -> None:
    assert may_be_same_person(one, other) == may_be_same_person(other, one)


@given(
    st.from_regex(r"[A-Za-z0-9_+=,.@-]{2,64}", fullmatch=True),
    st.sampled_from(["Security", "Admins"]),
    st.sampled_from(["Developers", "bob"]),
)
def test_a_person_is_recognised_in_another_role(name: str, role: str, other: str) -> None:
    sessions = (f"{STS}:assumed-role/{role}/{name}", f"{STS}:assumed-role/{other}/{name.upper()}")
    assert may_be_same_person(*sessions)
    assert may_be_same_person(sessions[0], f"{IAM}:user/{name}")


@pytest.mark.parametrize(
    ("arn", "name", "role"),
    [
        (BOB, "bob", None),
        (f"{IAM}:user/staff/bob", "bob", None),
        (f"{STS}:assumed-role/Security/bob@example.com", "bob@example.com", "Security"),
        (f"{IAM}:root", f"{IAM}:root", None),
    ],
)
def test_name_and_role_of_a_caller(arn: str, name: str, role: str | None) -> None:
    person = Person(arn, "AIDAX", ACCOUNT)
    assert (person.name, person.role_name) == (name, role)
    assert person.is_iam_user == (role is None and "user" in arn)


def test_only_users_and_sessions_have_a_name() -> None:
    assert [principal_name(arn) for arn in (BOB, f"{IAM}:root", f"{IAM}:role/x", "x", "")] == [
        "bob",
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("arn", SAME)
def test_whoever_tried_is_refused_under_each_of_their_identities(arn: str) -> None:
    request = a_request(an_attempt(actor=BOB))
    with pytest.raises(SegregationOfDutiesError, match="tried to remove"):
        request.refuse_involved_person(Person(arn, "AROAX:bob", ACCOUNT), "approve")


@pytest.mark.parametrize(
    ("role", "is_one"),
    [
        ("ServiceDesk", True),
        ("AWSReservedSSO_Helpdesk_0123456789abcdef", True),
        ("servicedesk", False),
        ("ServiceDesk2", False),
        ("XAWSReservedSSO_Helpdesk_1", False),
        ("", False),
        (None, False),
    ],
)
def test_sessions_of_the_named_roles_are_the_service_desk(
    role: str | None, *, is_one: bool
) -> None:
    policy = Policy(service_desk_roles=frozenset({"ServiceDesk", "AWSReservedSSO_Helpdesk_*"}))
    assert policy.is_service_desk(role) is is_one
    assert not Policy().is_service_desk(role)
