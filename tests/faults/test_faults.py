"""The list of deliberate faults fits the code as it is. `make faults` puts them in, one by one."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.run_faults import ROOT, Fault, FaultError, Outcome, read_faults, try_fault

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.id for fault in FAULTS])
def test_text_of_each_fault_occurs_exactly_once_in_its_file(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.text) == 1
    assert fault.becomes != fault.text


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.id for fault in FAULTS])
def test_each_fault_names_tests_that_exist_and_are_not_these(fault: Fault) -> None:
    """These fail with any fault, whatever it breaks."""
    files = [argument.partition("::")[0] for argument in fault.tests if "/" in argument]
    assert files
    for file in files:
        assert (ROOT / file).exists()
        assert not Path(__file__).is_relative_to(ROOT / file)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one line, and a test of it."""
    package = tmp_path / "layers" / "shared" / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("LIMIT = 3\nUNTESTED = 1\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tiny.py").write_text(
        "from tiny import LIMIT\n\ndef test_limit_is_three() -> None:\n    assert LIMIT == 3\n"
    )
    return tmp_path


FILE, TESTS = "layers/shared/tiny/__init__.py", ("tests/test_tiny.py",)
CAUGHT = Fault("limit_is_off", "the limit", FILE, "LIMIT = 3", "LIMIT = 4", TESTS)


def test_a_fault_is_tried_in_a_copy_and_named_with_the_test_that_notices_it(tree: Path) -> None:
    report = try_fault(CAUGHT, tree)
    assert (report.outcome, report.test) == (
        Outcome.CAUGHT,
        "tests/test_tiny.py::test_limit_is_three",
    )
    assert "LIMIT = 3" in (tree / FILE).read_text()


def test_a_fault_that_no_test_notices_is_missed_unless_that_is_known(tree: Path) -> None:
    missed = replace(CAUGHT, text="UNTESTED = 1", becomes="UNTESTED = 2")
    assert try_fault(missed, tree).outcome is Outcome.MISSED
    known = replace(missed, known_missed="nothing reads it")
    assert try_fault(known, tree).outcome is Outcome.KNOWN_MISSED
    assert try_fault(replace(CAUGHT, known_missed="?"), tree).outcome is Outcome.CAUGHT_BY_NOW


@pytest.mark.parametrize(
    ("becomes", "tests"),
    [("LIMIT =", TESTS), ("LIMIT = 4", ("tests/test_gone.py",))],
    ids=["a fault that is no code", "tests that are not there"],
)
def test_tests_that_cannot_be_run_catch_nothing(
    tree: Path, becomes: str, tests: tuple[str, ...]
) -> None:
    report = try_fault(replace(CAUGHT, becomes=becomes, tests=tests), tree)
    assert report.outcome is Outcome.NOT_RUN


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (replace(CAUGHT, text="LIMIT = 5"), "limit_is_off: its text occurs 0 times"),
        (replace(CAUGHT, text=" = "), "limit_is_off: its text occurs 2 times"),
        (replace(CAUGHT, file="layers/gone.py"), "limit_is_off: there is no file layers/gone.py"),
    ],
    ids=["no such text", "a text that is there twice", "no such file"],
)
def test_a_fault_that_does_not_fit_is_named(tree: Path, fault: Fault, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        fault.put_into(tree)
    assert try_fault(fault, tree).outcome is Outcome.NOT_PUT_IN
