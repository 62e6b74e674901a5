"""Promises of the command as a whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.cli import run
from tests.console.conftest import Coilflow
from tests.flows.given import grey_row, three, write_grey, write_tables

COMMANDS = {
    "assess",
    "audit",
    "bridge",
    "console",
    "deadletters",
    "demo",
    "doctor",
    "evaluate",
    "experiment",
    "explain",
    "feedback",
    "keys",
    "labels",
    "models",
    "nifi",
    "normalize",
    "scheduler",
    "simulate",
    "train",
    "users",
    "worker",
}


def test_help_lists_the_commands_that_there_are(coilflow: Coilflow) -> None:
    ran = coilflow("--help")
    assert (ran.code, ran.err) == (0, "")
    assert set(re.findall(r"^  ([a-z]+)  ", ran.out, re.MULTILINE)) == COMMANDS
    for command in sorted(COMMANDS):
        assert coilflow(command, "--help").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluat",),
        ("assess",),
        ("assess", "here", "--jso"),
        ("assess", "here", "there"),
        ("--verbose",),
        ("demo", "--coils", "many"),
        ("demo", "--coils", "0"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_sentence_and_an_exit_code_of_2(coilflow: Coilflow, arguments: tuple[str, ...]) -> None:
    ran = coilflow(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.sentence().startswith("error: ")
    assert "; see `coilflow --help`" in ran.sentence()


def test_no_arguments_show_the_help(coilflow: Coilflow) -> None:
    ran = coilflow()
    assert ran.code == 2
    assert "Usage: coilflow" in ran.out + ran.err


def test_a_fault_of_ours_is_one_sentence_and_its_trace_is_shown_when_asked(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of [cheese]")

    monkeypatch.setattr("console.commands.assess.serving_ensemble", fail)
    source = str(write_tables(three(), place / "line"))
    ran = coilflow("assess", source)
    assert ran.code == 1
    assert "unexpected RuntimeError: out of [cheese]; set COILFLOW_DEBUG=1" in ran.sentence()
    monkeypatch.setenv("COILFLOW_DEBUG", "1")
    with pytest.raises(RuntimeError, match="cheese"):
        run(["assess", source])
    assert coilflow("assess").code == 2


def test_a_disk_that_fails_is_one_sentence(coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "tiles.csv")

    monkeypatch.setattr("console.commands.assess.assess_source", fail)
    ran = coilflow("assess", write_tables(three(), place / "line"))
    assert ran.code == 1
    assert "tiles.csv: Permission denied; " in ran.sentence()


def test_the_command_loads_no_training_libraries() -> None:
    program = "import sys, console.cli; print(sorted({'torch', 'ultralytics', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_interrupted_run_says_that_it_may_be_repeated(coilflow: Coilflow, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("console.commands.assess.serving_ensemble", interrupt)
    ran = coilflow("assess", write_grey(Path("coils.parquet"), [grey_row("1")]))
    assert ran.code == 130
    assert "run it again" in ran.sentence()
