"""`mfa-watcher requests`, from the command line over HTTP to the real functions and back."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mfa_watcher.cli import api_client, approver, main
from mfa_watcher.cli.api_client import DeskEndpoint
from mfa_watcher.cli.request_export import COLUMNS, cell
from mfa_watcher.cli.request_views import in_order
from mfa_watcher.domain.users.people import Person
from tests.functions.desk_calls import FORBIDDEN, Doors, opened, problem
from tests.functions.product import Product
from tests.support import sts
from tests.support.account import Account
from tests.support.builders import ACCOUNT, HOSTILE, Json
from tests.template.cloudformation import Template

FUNCTIONS = {
    DeskEndpoint.CHANGE: "change_desk",
    DeskEndpoint.APPROVAL: "approval_desk",
    DeskEndpoint.FULFIL: "fulfil",
}
CAROL, PETRA, LENA = "AKIACAROL", "ASIAPETRA", "ASIALENA"
ID = "PR-20260302-ABCDEFGH"
MEMBER = "444455556666"


@dataclass(frozen=True)
class Said:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        """What it wrote, as JSON."""
        found: Json = json.loads(self.out)
        return found


@dataclass
class Terminal:
    """Standard input of a person at a terminal, or of a script."""

    lines: list[str]
    there: bool

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self.there

    def readline(self) -> str:
        """Return the next line that was typed."""
        return self.lines.pop(0) + "\n" if self.lines else ""


Run = Callable[..., Said]


@pytest.fixture
def doors(product: Product) -> Iterator[Doors]:
    with opened(product) as doors:
        yield doors


@pytest.fixture
def run(doors: Doors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as somebody; ``typed`` is what they type, if they are at a terminal."""
    for door, function in FUNCTIONS.items():
        monkeypatch.setenv(door.variable, doors.url(function))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def proof_of(*arguments: Any) -> str:
        """Sign for this machine's STS: the functions, in the same process, have another."""
        with monkeypatch.context() as here:
            here.setenv("AWS_ENDPOINT_URL_STS", sts.for_all().address)
            return approver.proof_of(*arguments)

    monkeypatch.setattr(api_client, "proof_of", proof_of)
    # The functions' clock stands still, and proofs are signed with botocore's.
    clock = doors.product.account.clock
    monkeypatch.setattr("botocore.auth.get_current_datetime", clock)

    def as_somebody(who: str, *arguments: str, typed: list[str] | None = None) -> Said:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", who)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", who)
        if who.startswith("ASIA"):
            monkeypatch.setenv("AWS_SESSION_TOKEN", who)
        else:
            monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        monkeypatch.setattr("sys.stdin", Terminal(list(typed or ()), typed is not None))
        capsys.readouterr()
        try:
            code = main(["requests", *arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        written = capsys.readouterr()
        return Said(code, written.out, written.err)

    return as_somebody


# What AWS answers before any function ------------------------------------------------------------


def test_caller_whom_iam_denies_both_desks_is_told_what_they_need(run: Run, doors: Doors) -> None:
    doors.canned = [FORBIDDEN] * 2
    said = run(PETRA, "list")
    assert said.code == 1
    assert "does not allow you to use the approval desk; it needs the approver role" in said.err
    assert "does not allow you to use the change desk. Its message: Forbidden." in said.err


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((502, "application/json", b'{"message":"Internal Server Error"}'), "failed (502)"),
        ((429, "application/json", b'{"Message":"Rate Exceeded."}'), "try again in a moment"),
        ((404, "text/html", b"<html>"), "answered 404, which is no answer of the API"),
        ((200, "text/html", b"<html>"), "answered 200, which is no answer of the API"),
        (problem(409, title="Overtaken"), "Overtaken"),
        (problem(409), "refused without a reason"),
    ],
)
def test_any_answer_is_shown_as_a_sentence_and_not_as_a_traceback(
    run: Run, doors: Doors, answer: tuple[int, str, bytes], sentence: str
) -> None:
    doors.canned = [answer]
    said = run(PETRA, "approve", ID, "--seen", "1", "--reason", "true")
    assert (said.code, said.out) == (1, "")
    assert sentence in said.err


def test_failure_during_a_change_names_the_command_that_shows_whether_it_was_done(
    run: Run, doors: Doors
) -> None:
    doors.canned = [(502, "application/json", b"{}")] * 2
    assert "`requests show` tells" in run(PETRA, "fulfil", ID, "--yes").err
    assert "`requests show` tells" not in run(PETRA, "show", ID).err


def test_problem_names_each_field_that_is_wrong(run: Run, doors: Doors) -> None:
    wrong = [{"field": "body.reason", "message": "too short"}]
    doors.canned = [problem(422, detail="Mend what is named.", errors=wrong)]
    said = run(PETRA, "approve", ID, "--seen", "1", "--reason", "x")
    assert said.err == "mfa-watcher requests: Mend what is named.\n  body.reason: too short\n"


def test_no_answer_can_control_the_terminal(run: Run, doors: Doors) -> None:
    bad = "\x1b]0;owned\x07\x9b31m" + HOSTILE
    doors.canned = [
        problem(409, detail=bad, errors=[{"field": bad, "message": bad}]),
        (403, "application/json", json.dumps({"Message": bad}).encode()),
    ]
    for _ in range(2):
        said = run(PETRA, "approve", ID, "--seen", "1", "--reason", "x")
        assert "owned" in said.err
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x00", "\r"} & set(said.err)


def test_desk_that_cannot_be_reached_is_named(run: Run, doors: Doors) -> None:
    said = run(
        PETRA,
        "approve",
        ID,
        "--seen",
        "1",
        "--reason",
        "x",
        "--approval-desk-url",
        "http://127.0.0.1:1",
    )
    assert said.code == 1
    assert "the approval desk did not answer" in said.err
    assert not doors.asked


# How it is called --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("fulfil", ID),
        ("reject", ID, "--reason", "no"),
        ("cancel", ID, "--reason", "no"),
        ("acknowledge", ID, "--reason", "no"),
    ],
)
def test_script_without_yes_changes_nothing_that_cannot_be_undone(
    run: Run, doors: Doors, arguments: tuple[str, ...]
) -> None:
    said = run(PETRA, *arguments)
    assert said.code == 2
    assert "--yes" in said.err
    assert not doors.asked


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("approve", ID),
        ("approve", "--reason", "no"),
        ("list", "--state", "lost"),
        ("list", "--older-than", "0"),
        ("export", "--from", "2026-02-30", "--to", "2026-03-01"),
        ("open", "--wanted", "fido"),
        ("open", "--reason", "lost it in the sea"),
        ("open", "--device", "GAHT12345678"),
        ("open", "--account", "444455556666"),
        ("open", "--user", "mia", "--account", "acme-lab"),
        ("details", ID),
        ("details", ID, "--reason", "lost it in the sea"),
    ],
)
def test_wrong_call_sends_no_request(run: Run, doors: Doors, arguments: tuple[str, ...]) -> None:
    assert run(PETRA, *arguments).code == 2
    assert not doors.asked


@pytest.mark.parametrize("url", ["http://desk.example.com/", "ftp://127.0.0.1/", "desk"])
def test_url_without_https_is_refused_since_a_password_may_be_in_the_answer(
    run: Run, doors: Doors, url: str
) -> None:
    said = run(PETRA, "fulfil", ID, "--yes", "--fulfil-url", url)
    assert said.code == 1
    assert "is not https" in said.err
    assert not doors.asked


def test_caller_who_may_not_read_the_stack_is_told_how_to_give_the_url(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DeskEndpoint.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    doors.canned = [(403, "text/xml", f"{denied}</ErrorResponse>".encode())]
    said = run(PETRA, "fulfil", ID, "--yes")
    assert said.code == 1
    assert "--fulfil-url, or in MFA_WATCHER_FULFIL_URL" in said.err


def test_caller_without_credentials_is_told_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DeskEndpoint.FULFIL.variable)
    monkeypatch.setattr("boto3.Session.get_credentials", lambda _session: None)
    for command in (("fulfil", ID, "--yes"), ("approve", ID, "--seen", "1", "--reason", "true")):
        said = run(PETRA, *command)
        assert said.code == 1
        assert "there are no AWS credentials" in said.err


def test_desk_is_found_in_the_stacks_outputs(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DeskEndpoint.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    outputs = {"TableName": "t", DeskEndpoint.FULFIL.output: doors.url("fulfil")}
    doors.canned = [_stack(outputs), problem(409, detail="it was reached")]
    assert "it was reached" in run(PETRA, "fulfil", ID, "--yes").err
    assert doors.asked == ["POST cloudformation/", f"POST fulfil/requests/{ID}/fulfil"]


def test_another_stack_is_not_taken_for_the_watchers(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DeskEndpoint.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    doors.canned = [_stack({"BucketName": "b"})]
    assert "has no output FulfilUrl" in run(PETRA, "fulfil", ID, "--yes").err


def _stack(outputs: dict[str, str]) -> tuple[int, str, bytes]:
    """Return CloudFormation's description of a stack."""
    members = "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for name, value in outputs.items()
    )
    said = (
        '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
        "<DescribeStacksResult><Stacks><member><StackName>mfa-watcher</StackName>"
        f"<Outputs>{members}</Outputs></member></Stacks></DescribeStacksResult>"
        "</DescribeStacksResponse>"
    )
    return 200, "text/xml", said.encode()


# From the denied attempt to the new device -------------------------------------------------------


@pytest.fixture
def carol(doors: Doors, account: Account) -> Person:
    """A user with a virtual device, whom IAM denies the approvers' URLs."""
    person = _user(account, "carol")
    doors.people[CAROL] = person
    doors.shut |= {(CAROL, "approval_desk"), (CAROL, "fulfil")}
    return person


@pytest.fixture
def petra(doors: Doors) -> Person:
    """An approver."""
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Security/petra"
    doors.people[PETRA] = Person(arn, "AROASECURITY:petra", ACCOUNT)
    return doors.people[PETRA]


@pytest.fixture
def lena(doors: Doors) -> Person:
    """Somebody at the service desk."""
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/ServiceDesk/lena"
    doors.people[LENA] = Person(arn, "AROASERVICEDESK:lena", ACCOUNT)
    doors.shut |= {(LENA, "approval_desk"), (LENA, "fulfil")}
    return doors.people[LENA]


def _user(account: Account, name: str) -> Person:
    user_id = account.new_user(name, device=True)
    return Person(f"arn:aws:iam::{ACCOUNT}:user/{name}", user_id, ACCOUNT)


def filed(run: Run, *, who: str = CAROL, **details: str) -> str:
    """File a request with details and return its id."""
    said = {"reason": "my phone fell into the sea", "wanted": "fido"} | details
    options = [text for name, value in said.items() for text in (f"--{name}", value)]
    answer = run(who, "open", *options, "--json")
    assert answer.code == 0, answer.err
    return str(answer.json["request"]["id"])


@pytest.mark.usefixtures("carol", "petra")
def test_request_is_filed_approved_and_fulfilled_and_its_history_shows_it(
    run: Run, product: Product, account: Account
) -> None:
    id_ = filed(run)
    product.deliver()
    waiting = run(PETRA, "list", "--active", "--user", "carol")
    assert id_ in waiting.out
    assert "a decision" in waiting.out

    approved = run(PETRA, "approve", id_, "--seen", "1", "--reason", "called her back")
    assert approved.out.startswith(f"{id_} about carol is approved and waits for fulfilment")
    done = run(PETRA, "fulfil", id_, typed=["y"])
    assert done.code == 0
    assert "This cannot be undone" in done.err
    password = done.out.split("is not stored:")[1].split()[0]
    assert len(password) >= 20
    assert account.iam.list_mfa_devices(UserName="carol")["MFADevices"] == []

    shown = run(CAROL, "show", id_, "--history")
    assert "waits for" in shown.out
    assert password not in shown.out
    story = [line.strip() for line in shown.out.splitlines()]
    moves = [line for line in story if line.startswith("→") or "→ " in line]
    assert moves == ["→ submitted", "submitted → approved", "approved → fulfilled"]
    assert "by petra (role Security)" in story
    assert any(line.endswith("Approved: called her back") for line in story)


@pytest.mark.usefixtures("carol", "petra")
def test_password_is_shown_once_in_json_too(run: Run) -> None:
    id_ = filed(run)
    run(PETRA, "approve", id_, "--seen", "1", "--reason", "called her back")
    done = run(PETRA, "fulfil", id_, "--yes", "--json")
    assert done.json["user_name"] == "carol"
    again = run(PETRA, "fulfil", id_, "--yes", "--json")
    assert again.json["password"] != done.json["password"]
    assert done.json["password"] not in run(PETRA, "show", id_, "--history", "--json").out


@pytest.mark.usefixtures("carol")
def test_user_is_refused_the_steps_of_approvers_and_told_why(run: Run, doors: Doors) -> None:
    id_ = filed(run)
    doors.shut -= {(CAROL, "approval_desk"), (CAROL, "fulfil")}
    refused = run(CAROL, "approve", id_, "--seen", "1", "--reason", "I am sure")
    assert refused.code == 1
    assert "only approvers are served here" in refused.err
    for command in (
        ("fulfil", id_, "--yes"),
        ("acknowledge", id_, "--seen", "1", "--yes", "--reason", "fine"),
    ):
        assert run(CAROL, *command).code == 1


@pytest.mark.usefixtures("carol", "petra")
def test_second_request_names_the_first(run: Run) -> None:
    id_ = filed(run)
    second = run(CAROL, "open")
    assert second.code == 1
    assert id_ in second.err


@pytest.mark.usefixtures("carol", "lena")
def test_service_desk_files_for_a_user_and_sees_all(run: Run) -> None:
    details = ("--reason", "carol called in person", "--wanted", "virtual")
    opened_ = run(LENA, "open", "--user", "carol", *details)
    assert "about carol is submitted" in opened_.out
    assert "carol" in run(LENA, "list").out
    assert "name the user in `user_name`" in run(LENA, "open").err


@pytest.mark.usefixtures("carol")
def test_details_are_asked_for_at_a_terminal(run: Run) -> None:
    id_ = run(CAROL, "open", "--json").json["request"]["id"]
    given = run(CAROL, "details", id_, typed=["my phone fell into the sea", "1"])
    assert given.code == 0
    assert "a security key or passkey" in given.err
    shown = run(CAROL, "show", id_, "--json").json["request"]
    assert shown["details"]["wanted"] == "fido"
    assert shown["details"]["reason"] == "my phone fell into the sea"
    assert run(CAROL, "details", id_, "--reason", "another reason", typed=["9"]).code == 1


@pytest.mark.usefixtures("carol", "petra")
def test_answering_no_changes_nothing(run: Run) -> None:
    id_ = filed(run)
    for answer in ("n", "", "yes please"):
        said = run(PETRA, "reject", id_, "--reason", "not known here", typed=[answer])
        assert (said.code, said.out) == (1, "")
        assert "my phone fell into the sea" in said.err
    assert run(PETRA, "show", id_, "--json").json["request"]["state"] == "submitted"
    yes = run(PETRA, "reject", id_, "--reason", "not known here", typed=["YES"])
    assert yes.out == f"{id_} about carol is rejected: not known here.\n"


@pytest.mark.usefixtures("carol", "petra")
def test_request_that_changed_during_the_confirmation_is_not_changed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = filed(run)
    read = Terminal.readline

    def meanwhile(terminal: Terminal) -> str:
        monkeypatch.setattr(Terminal, "readline", read)
        keyboard = sys.stdin
        details = ("--reason", "a wholly different reason", "--wanted", "virtual")
        assert run(CAROL, "details", id_, *details).code == 0
        monkeypatch.setattr("sys.stdin", keyboard)
        return read(terminal)

    monkeypatch.setattr(Terminal, "readline", meanwhile)
    said = run(PETRA, "reject", id_, "--reason", "not known here", typed=["y"])
    assert said.code == 1
    assert "changed meanwhile" in said.err


@pytest.mark.usefixtures("carol", "petra")
def test_approval_applies_only_to_the_version_that_was_read(run: Run) -> None:
    id_ = filed(run)
    read = run(PETRA, "show", id_, "--json").json["request"]["version"]
    assert f"(version {read})" in run(PETRA, "show", id_).out
    run(CAROL, "details", id_, "--reason", "a wholly different reason", "--wanted", "virtual")
    late = run(
        PETRA, "approve", id_, "--seen", "1", "--reason", "called her back", "--seen", str(read)
    )
    assert late.code == 1
    assert "changed meanwhile" in late.err
    again = run(
        PETRA, "approve", id_, "--seen", "1", "--reason", "called her back", "--seen", str(read + 1)
    )
    assert again.code == 0


@pytest.mark.usefixtures("carol", "petra")
def test_user_cancels_their_own_request(run: Run) -> None:
    id_ = filed(run)
    cancelled = run(CAROL, "cancel", id_, "--reason", "found it again", "--yes")
    assert cancelled.out == f"{id_} about carol is cancelled: found it again.\n"


def test_service_desk_files_in_another_account_and_lists_then_show_the_account(
    run: Run, product: Product, doors: Doors, account: Account
) -> None:
    product.organization, product.members = "o-abcdefghij", MEMBER
    doors.people[LENA] = Person(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/ServiceDesk/lena", "AROADESK:lena", ACCOUNT
    )
    for where in (account, account.member(MEMBER)):
        where.new_user("mia", device=True)
    doors.shut.add((LENA, "approval_desk"))
    details = ("--reason", "mia called: her phone is lost", "--wanted", "fido")
    there = run(LENA, "open", "--user", "mia", "--account", MEMBER, *details, "--json")
    assert there.json["request"]["subject"]["account_id"] == MEMBER
    assert MEMBER not in run(LENA, "list").out
    account.clock.move(timedelta(minutes=1))
    here = run(LENA, "open", "--user", "mia", *details, "--json")
    assert here.json["request"]["subject"]["account_id"] == ACCOUNT
    rows = [line for line in run(LENA, "list").out.splitlines() if "mia" in line]
    assert [number in row for number, row in zip((ACCOUNT, MEMBER), rows, strict=True)] == [
        True
    ] * 2


@pytest.mark.usefixtures("carol")
def test_invalid_details_are_reported_field_by_field(run: Run) -> None:
    said = run(CAROL, "open", "--reason", "lost", "--wanted", "fido")
    assert said.code == 1
    assert "body.details.reason: " in said.err
    assert "at least 10 characters" in said.err


@pytest.mark.usefixtures("petra")
def test_list_is_read_page_by_page_and_as_json_lines(
    run: Run, doors: Doors, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfa_watcher.cli.requests._PAGE", 2)
    for name in ("ana", "ben", "cleo", "dora", "emil"):
        doors.people[name.upper()] = _user(account, name)
        doors.shut.add((name.upper(), "approval_desk"))
        filed(run, who=name.upper())
        account.clock.move(timedelta(days=1))
    names = ["emil", "dora", "cleo", "ben", "ana"]

    def listed(*options: str) -> list[str]:
        said = run(PETRA, "list", "--json", *options)
        return [json.loads(line)["subject_name"] for line in said.out.splitlines()]

    assert listed() == names
    assert listed("--limit", "3") == names[:3]
    assert "Use --limit" in run(PETRA, "list", "--limit", "3").err
    assert listed("--user", "cleo") == ["cleo"]
    assert listed("--state", "open") == []
    assert listed("--state", "open", "--state", "submitted") == names
    assert listed("--older-than", "3") == ["ben", "ana"]
    assert listed("--from", "2026-03-03", "--to", "2026-03-04") == ["cleo", "ben"]
    assert "No matching requests" in run(PETRA, "list", "--state", "closed").out


@pytest.mark.usefixtures("carol", "petra")
def test_export_has_each_request_with_its_whole_history(
    run: Run, product: Product, tmp_path: Path
) -> None:
    formula = '=HYPERLINK("http://x")'
    id_ = filed(run, reason=formula)
    product.account.clock.move(timedelta(minutes=1))  # a history is in the order of its moments
    run(PETRA, "approve", id_, "--seen", "1", "--reason", "called her back")
    period = ("--from", "2026-03-02", "--to", "2026-03-02")
    shown = run(PETRA, "show", id_, "--history", "--json").json

    found = run(PETRA, "export", *period, "--format", "json").json
    assert found["requests"] == [shown]

    file = tmp_path / "requests.csv"
    said = run(PETRA, "export", *period, "--output", str(file))
    assert (said.code, said.out) == (0, "")
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert tuple(lines[0]) == COLUMNS
    assert [line["event_id"] for line in lines] == [one["event_id"] for one in shown["history"]]
    assert [line["after"] for line in lines] == ["submitted", "approved"]
    assert {line["request"] for line in lines} == {id_}
    assert {line["reason"] for line in lines} == {f"'{formula}"}
    assert {line["decided_by"] for line in lines} == {shown["request"]["verdict"]["by"]}

    none = run(PETRA, "export", "--from", "2026-03-03", "--to", "2026-03-04", "--format", "json")
    assert none.json["requests"] == []
    nowhere = run(PETRA, "export", *period, "--output", str(tmp_path / "no" / "such.csv"))
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err


@pytest.mark.usefixtures("carol", "petra")
def test_text_of_users_is_shown_as_plain_text(run: Run) -> None:
    bad = "\x1b[31mred\x07 [bold]not bold[/] \u202e lost it"
    id_ = filed(run, reason=bad)
    for said in (
        run(PETRA, "show", id_, "--history"),
        run(PETRA, "list"),
        run(PETRA, "reject", id_, "--seen", "1", "--reason", f"no {bad}", "--yes"),
    ):
        assert said.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(said.out)
    assert "[bold]not bold[/]" in run(PETRA, "show", id_).out


@pytest.mark.usefixtures("carol")
def test_request_of_somebody_else_is_not_found(run: Run, doors: Doors, account: Account) -> None:
    id_ = filed(run)
    doors.people["BEN"] = _user(account, "ben")
    doors.shut.add(("BEN", "approval_desk"))
    said = run("BEN", "show", id_)
    assert said.code == 1
    assert f"here is no request {id_}" in said.err


def test_command_waits_longer_than_any_function_may_take() -> None:
    template = Template.read()
    functions = template.of_type("AWS::Serverless::Function").values()
    others = template.body["Globals"]["Function"]["Timeout"]
    timeouts = [
        one["Properties"].get("Timeout", others)
        for one in functions
        if "FunctionUrlConfig" in one["Properties"]
    ]
    assert len(timeouts) == len(DeskEndpoint)
    assert max(timeouts) < api_client.SECONDS_TO_ANSWER


# What CloudTrail's whole seconds do to the order -------------------------------------------------


def test_history_is_shown_in_the_order_of_the_states() -> None:
    def entry(at: str, what: str, before: str | None = None, after: str | None = None) -> Json:
        return {"at": f"2026-03-02T12:00:{at}Z", "what": what, "before": before, "after": after}

    history = [
        entry("00", "joined", "open", "open"),
        entry("00", "opened", None, "open"),
        entry("00.400", "details", "open", "submitted"),
        entry("01", "evidence of the removal"),
        entry("01.100", "begun", "approved", "approved"),
        entry("01.700", "carried out", "approved", "fulfilled"),
    ]
    assert [one["what"] for one in in_order(history)] == [
        "opened", "joined", "details", "begun", "carried out", "evidence of the removal",
    ]  # fmt: skip


# Spreadsheets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n@x"])
def test_no_cell_is_a_formula(formula: str) -> None:
    shown = cell(formula)
    assert shown[0] not in "=+-@\t\r\n"
    assert shown.lstrip(" \t\r\n")[0] not in "=+-@"


@pytest.mark.parametrize("text", ["", "lost it", "5 = 2 + 3", "arn:aws:iam::1:user/a@b"])
def test_other_cells_are_as_they_are(text: str) -> None:
    assert cell(text) == text
