"""What `python -m sandbox invoke` gives to SAM, and how it judges what comes back."""

import json
import sys
from pathlib import Path

import pytest

from sandbox import local
from sandbox.account import Account
from sandbox.emulator import EmulatorError
from sandbox.guard.sitecustomize import OTHERS_VARIABLE

BUILT = {
    "Resources": {
        "Remind": {
            "Type": "AWS::Serverless::Function",
            "Properties": {"Handler": "app.handler", "Layers": [{"Ref": "SharedLayer"}]},
        }
    }
}


def test_function_asks_the_sandbox_and_is_guarded() -> None:
    template = local.local_template(BUILT, "Remind", {"TABLE_NAME": "users"}, "http://host:4566")
    properties = template["Resources"]["Remind"]["Properties"]
    variables = properties["Environment"]["Variables"]
    assert variables["TABLE_NAME"] == "users"
    assert variables["AWS_ENDPOINT_URL"] == "http://host:4566"
    assert variables[OTHERS_VARIABLE] == local.HOST
    assert properties["Handler"] == "app.handler"
    assert [layer["Ref"] for layer in properties["Layers"]] == ["SharedLayer", "SandboxGuard"]
    guard = Path(template["Resources"]["SandboxGuard"]["Properties"]["ContentUri"])
    # Its content is in /opt in the container, from where Python starts it.
    assert variables["PYTHONPATH"] == "/opt"
    assert (guard / "sitecustomize.py").is_file()


def test_function_that_was_not_built_is_an_error() -> None:
    with pytest.raises(EmulatorError, match="has no function Watch: run `make build` again"):
        local.local_template(BUILT, "Watch", {}, "http://host:4566")


SAM = """#!{python}
import os, sys
named = sys.argv[sys.argv.index("--env-vars") + 1]
print(open(named).read(), os.environ["AWS_ENDPOINT_URL"], file=sys.stderr)
print({log!r}, file=sys.stderr)
print({answer!r}, end="")
sys.exit({code})
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Run":
    monkeypatch.setattr(local, "BUILT", tmp_path)
    return Run(tmp_path, monkeypatch)


class Run:
    """Runs a function with a program in place of SAM, which answers what a test wants."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def __call__(self, answer: str, *, log: str = "", code: int = 0) -> None:
        """Run the function."""
        program = self.folder / "sam"
        program.write_text(SAM.format(python=sys.executable, answer=answer, log=log, code=code))
        program.chmod(0o755)
        self.monkeypatch.setenv("SANDBOX_SAM", str(program))
        template = local.local_template(BUILT, "Remind", {}, "http://host:4566")
        local.run(Account("http://127.0.0.1:4566"), template, "Remind", Path("event.json"))


GOOD = {
    "nothing": "null",
    "an object": "{}",
    "a batch without failures": '{"batchItemFailures": []}',
    "an answer": '{"statusCode": 200, "body": "{}"}',
    "a refusal": '{"statusCode": 404, "body": "{}"}',
}
BAD = {
    "an error": ('{"errorMessage": "no table", "errorType": "OSError"}', "OSError: no table"),
    "a failed message": (
        '{"batchItemFailures": [{"itemIdentifier": "one"}]}',
        "it could not process one",
    ),
    "a failed call": ('{"statusCode": 500, "body": "broken"}', "status 500: broken"),
    "no answer": ("", "it gave no answer"),
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_function_that_answers_has_not_failed(
    run: Run, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(answer)
    assert capsys.readouterr().out == f"{answer}\n"


@pytest.mark.parametrize(("answer", "said"), BAD.values(), ids=BAD)
def test_function_that_fails_is_an_error_that_says_how(run: Run, answer: str, said: str) -> None:
    with pytest.raises(local.InvocationError, match="Remind failed: ") as failed:
        run(answer)
    assert said in str(failed.value)


def test_sam_that_fails_is_an_error(run: Run) -> None:
    with pytest.raises(local.InvocationError, match="Remind: sam local invoke ended with 3"):
        run("{}", code=3)


def test_refused_address_is_an_error_even_if_the_function_goes_on(run: Run) -> None:
    text = "refused by the sandbox, which reaches no address off this machine: example.com"
    with pytest.raises(local.InvocationError, match="Remind failed: refused by the sandbox"):
        run("{}", log=text)


def test_sam_itself_asks_the_sandbox_and_passes_on_all_variables(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("{}")
    log = capsys.readouterr().err
    passed, _, rest = log.partition("{")[2].rpartition("}")
    assert json.loads("{" + passed + "}")["Remind"]["AWS_ENDPOINT_URL"] == "http://host:4566"
    assert "http://127.0.0.1:4566" in rest
