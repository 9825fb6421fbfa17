"""`mfa-watcher requests`, from the command line over HTTP to the real functions and back."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mfa_watcher.cli import main
from mfa_watcher.cli.desk import Door
from mfa_watcher.cli.request_export import cell
from tests.builders import HOSTILE, Json
from tests.functions.doors import FORBIDDEN, Doors, opened, problem
from tests.functions.product import Product

FUNCTIONS = {Door.CHANGE: "change_desk", Door.APPROVAL: "approval_desk", Door.FULFIL: "fulfil"}
CAROL, PETRA = "AKIACAROL", "ASIAPETRA"
ID = "PR-20260302-ABCDEFGH"


@dataclass(frozen=True)
class Said:
    """How a command ended."""

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
    """Somebody at a keyboard, or a script that nobody watches."""

    lines: list[str]
    there: bool

    def isatty(self) -> bool:
        """Tell whether somebody is there."""
        return self.there

    def readline(self) -> str:
        """Give what he types."""
        return self.lines.pop(0) + "\n" if self.lines else ""


Run = Callable[..., Said]


@pytest.fixture
def doors(product: Product) -> Iterator[Doors]:
    with opened(product) as doors:
        yield doors


@pytest.fixture
def run(doors: Doors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as somebody; ``typed`` is what he types, if he is at a terminal."""
    for door, function in FUNCTIONS.items():
        monkeypatch.setenv(door.variable, doors.url(function))
    monkeypatch.setenv("COLUMNS", "200")

    def as_somebody(who: str, *arguments: str, typed: list[str] | None = None) -> Said:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", who)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", who)
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


def test_whom_iam_lets_through_no_door_is_told_what_it_takes(run: Run, doors: Doors) -> None:
    doors.canned = [FORBIDDEN] * 2
    said = run(PETRA, "list")
    assert said.code == 1
    assert "does not let you use the approval desk; it takes the approver's policy" in said.err
    assert "does not let you use the change desk. It says: Forbidden." in said.err


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((502, "application/json", b'{"message":"Internal Server Error"}'), "failed (502)"),
        ((429, "application/json", b'{"Message":"Rate Exceeded."}'), "try again in a moment"),
        ((404, "text/html", b"<html>"), "answered 404, and nothing that it should"),
        ((200, "text/html", b"<html>"), "answered 200, and nothing that it should"),
        (problem(409, title="Overtaken"), "Overtaken"),
        (problem(409), "refused, without why"),
    ],
)
def test_whatever_comes_back_is_a_sentence_and_no_traceback(
    run: Run, doors: Doors, answer: tuple[int, str, bytes], sentence: str
) -> None:
    doors.canned = [answer]
    said = run(PETRA, "approve", ID, "--reason", "true")
    assert (said.code, said.out) == (1, "")
    assert sentence in said.err


def test_failure_midway_leaves_open_whether_it_was_done(run: Run, doors: Doors) -> None:
    doors.canned = [(502, "application/json", b"{}")] * 2
    assert "`requests show` tells" in run(PETRA, "fulfil", ID, "--yes").err
    assert "`requests show` tells" not in run(PETRA, "show", ID).err


def test_problem_names_each_field_that_is_wrong(run: Run, doors: Doors) -> None:
    wrong = [{"where": "body.reason", "what": "too short"}]
    doors.canned = [problem(422, detail="Mend what is named.", errors=wrong)]
    said = run(PETRA, "approve", ID, "--reason", "x")
    assert said.err == "mfa-watcher requests: Mend what is named.\n  body.reason: too short\n"


def test_nothing_that_comes_back_drives_the_terminal(run: Run, doors: Doors) -> None:
    bad = "\x1b]0;owned\x07\x9b31m" + HOSTILE
    doors.canned = [
        problem(409, detail=bad, errors=[{"where": bad, "what": bad}]),
        (403, "application/json", json.dumps({"Message": bad}).encode()),
    ]
    for _ in range(2):
        said = run(PETRA, "approve", ID, "--reason", "x")
        assert "owned" in said.err
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x00", "\r"} & set(said.err)


def test_desk_that_cannot_be_reached_is_named(run: Run, doors: Doors) -> None:
    said = run(PETRA, "approve", ID, "--reason", "x", "--approval-desk-url", "http://127.0.0.1:1")
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
def test_script_that_does_not_say_yes_undoes_nothing(
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
        ("details", ID),
        ("details", ID, "--reason", "lost it in the sea"),
    ],
)
def test_wrong_call_asks_nobody(run: Run, doors: Doors, arguments: tuple[str, ...]) -> None:
    assert run(PETRA, *arguments).code == 2
    assert not doors.asked


@pytest.mark.parametrize("url", ["http://desk.example.com/", "ftp://127.0.0.1/", "desk"])
def test_password_does_not_come_over_an_open_line(run: Run, doors: Doors, url: str) -> None:
    said = run(PETRA, "fulfil", ID, "--yes", "--fulfil-url", url)
    assert said.code == 1
    assert "is not https" in said.err
    assert not doors.asked


def test_who_may_not_read_the_stack_is_told_how_to_name_the_desk(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(Door.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    doors.canned = [(403, "text/xml", f"{denied}</ErrorResponse>".encode())]
    said = run(PETRA, "fulfil", ID, "--yes")
    assert said.code == 1
    assert "--fulfil-url, or in MFA_WATCHER_FULFIL_URL" in said.err


def test_desk_is_found_in_the_stacks_outputs(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(Door.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    outputs = {"TableName": "t", Door.FULFIL.output: doors.url("fulfil")}
    doors.canned = [_stack(outputs), problem(409, detail="it was reached")]
    assert "it was reached" in run(PETRA, "fulfil", ID, "--yes").err
    assert doors.asked == ["POST cloudformation/", f"POST fulfil/requests/{ID}/fulfil"]


def test_another_stack_is_not_taken_for_the_watchers(
    run: Run, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(Door.FULFIL.variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", doors.url("cloudformation"))
    doors.canned = [_stack({"BucketName": "b"})]
    assert "has no output FulfilUrl" in run(PETRA, "fulfil", ID, "--yes").err


def _stack(outputs: dict[str, str]) -> tuple[int, str, bytes]:
    """Give what CloudFormation says of a stack."""
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


# Spreadsheets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n@x"])
def test_no_cell_is_a_formula(formula: str) -> None:
    shown = cell(formula)
    assert shown[0] not in "=+-@\t\r\n"
    assert shown.lstrip(" \t\r\n")[0] not in "=+-@"


@pytest.mark.parametrize("text", ["", "lost it", "5 = 2 + 3", "arn:aws:iam::1:user/a@b"])
def test_other_cells_are_as_they_are(text: str) -> None:
    assert cell(text) == text
