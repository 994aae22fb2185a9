"""The command lines of sweeps up to the start of the first run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.cli.sweep import sweep_images, sweep_text
from experiments.config.yaml_files import CONFIG_ROOT, available

Answer = Callable[[Sequence[str]], int]


@pytest.mark.parametrize("answer", [sweep_text, sweep_images])
def test_help_names_every_sweep(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["nonsense", "--help"]) == 0
    words = capsys.readouterr().out.split()
    assert not [name for name in available(CONFIG_ROOT, "sweep") if name not in words]


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "pandas"]
    code = (
        "import sys; from experiments.cli.sweep import sweep_text; sweep_text(['-h']); "
        f"sys.exit(len([name for name in {heavy} if name in sys.modules]))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=CONFIG_ROOT.parent, capture_output=True).returncode == 0


@pytest.mark.parametrize("script", ["run_multiple.py", "run_multiple_img.py"])
def test_the_scripts_list_the_smoke_sweep_without_torch(script: str, tmp_path: Any) -> None:
    words = [script, "--sweep", "smoke", "--dry-run", f"results_dir={tmp_path / 'none'}"]
    code = (
        f"import runpy, sys; sys.argv = {words}\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as end: sys.exit(end.code or 9 * ('torch' in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=CONFIG_ROOT.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("waiting  comparison  digits-resnet") == 4
    assert list(tmp_path.iterdir()) == []


def test_examples_of_the_help_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    sweep_text(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    examples = [shlex.split(line)[2:] for line in lines if line.startswith("python run_multiple")]
    assert len(examples) == 2
    for arguments in examples:
        assert sweep_text([*arguments, "--dry-run"]) == 0


@pytest.mark.parametrize("words", [["--sweep", "smoke"], ["--sweep=smoke"]])
def test_a_sweep_is_handed_to_the_conductor(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def conduct(sweep: Any, *, retry_failed: bool) -> int:
        calls.append((sweep.name, sweep.config.seeds, retry_failed))
        return 1

    monkeypatch.setitem(sys.modules, "experiments.sweep.conduct", SimpleNamespace(conduct=conduct))
    assert sweep_text([*words, "seeds=[4]"]) == 1
    assert sweep_images(["--retry-failed", *words]) == 1
    assert calls == [("smoke", (4,), False), ("smoke", (0, 1), True)]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--sweep"], "error: argument --sweep: expected one argument (command line)"),
        (["--sweep", "seeds=[0]"], "error: --sweep 'seeds=[0]' (command line): no such file"),
        (["--sweep", "a", "--sweep=b"], "error: argument --sweep: given twice (command line)"),
        (["--sweep", "smok"], "error: --sweep 'smok' (command line): no such file; did you mean"),
        (["--dry-rum"], "error: '--dry-rum' (command line): unknown flag; did you mean '--dry"),
        (["--sweep=smoke", "foo"], "error: 'foo' (command line): must be key=value"),
        (["--sweep=smoke", "trainer.epoch=1"],
         "error: trainer.epoch (command line): unknown key; did you mean 'epochs'?"),
        (["--sweep=smoke", "trainer.epochs=x"], "error: trainer.epochs (command line): must be a"),
        (["--sweep=smoke", "choices.task=1"], "error: choices (command line): unknown key"),
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_two_and_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_text(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1
