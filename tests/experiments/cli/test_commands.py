"""The command line of `python -m experiments`: its overview, and each command's help."""

from __future__ import annotations

import subprocess
import sys

import pytest

from experiments.cli.commands import command
from experiments.config.yaml_files import CONFIG_ROOT

COMMANDS = ["prefetch", "landscape", "report", "status", "pack", "unpack"]


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["-h"]) == 0
    words = capsys.readouterr().out.split()
    assert not [name for name in COMMANDS if name not in words]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_usage_example_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([name, "nonsense", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m experiments {name} [-h]")
    assert f"  python -m experiments {name} " in text
    assert "exit codes: 0 done, 2 " in text


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "pandas", "matplotlib", "rich"]
    code = (
        "import sys; from experiments.cli.commands import command; command(['report', '-h']); "
        f"sys.exit(len([name for name in {heavy} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CONFIG_ROOT.parent, capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--watch", "status", "a"], "'--watch' (command line): unknown flag"),
        (["statsu", "a"], "'statsu' (command line): unknown command; did you mean 'status'?"),
        (["report", ""], "argument FOLDER: needs a folder (command line); see python -m"),
        (["landscape", "a", "step=[1]"], "step (command line): unknown key; did you mean 'steps'?"),
        (["landscape", "a", "steps=[]"], "steps (command line): "),
        (["landscape", "a", "reach=far"], "reach (command line): must be a number, not 'far'"),
    ],
)
def test_wrong_arguments_are_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {line}")
    assert (printed.out, printed.err.count("\n")) == ("", 1)
