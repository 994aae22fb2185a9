"""The command line up to the start of a run: flags, help, printed configs, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from experiments.cli.main import main
from experiments.config.compose import load
from experiments.config.schema import RunConfig
from experiments.config.yaml_files import CONFIG_ROOT, GROUPS, available
from experiments.errors import UserError

REPOSITORY = CONFIG_ROOT.parent


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "matplotlib", "wandb", "numpy", "pandas"]
    code = (
        "import sys; from experiments.cli.main import main; code = main(['--help']); "
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = run_python("-c", code)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"


def test_help_lists_every_choice_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    words = capsys.readouterr().out.split()
    names = [name for group in GROUPS for name in available(CONFIG_ROOT, group)]
    assert not [word for word in [*names, "0", "1", "2", "130"] if word not in words]


def test_help_lists_every_key_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    config = load([], environ={})
    for section in ("trainer", "logger", "quirks"):
        for key in config.model_dump()[section]:
            assert f" {section}.{key}=" in text
    assert "trainer.max_steps=null stop after n steps; null: all epochs (whole number or" in text
    assert "logger.wandb=disabled (online, offline, disabled)" in text
    assert "optimizer.* (sgd): lr= warmup=0.1" in text


def test_help_wins_over_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense", "--flag", "-h"]) == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_examples_of_the_help_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    examples = [words[2:] for words in lines if words[:2] == ["python", "main.py"]]
    assert len(examples) == 2
    for arguments in examples:
        assert main([*arguments, "--print-config"]) == 0


def test_print_config_prints_the_config_alone(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["task=glue/mrpc", "optimizer.anneal=0.25", "seed=3", "data_root=/data"]
    assert main([*arguments, "--print-config"]) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out) == load(arguments).model_dump(mode="json")
    assert printed.err == ""


def test_flags_and_keys_mix(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for words in (["--print-config", "seed=1", "model.width=4"],
                  ["seed=1", "--print-config", "model.width=4"],
                  ["seed=1", "model.width=4", "--print-config"]):  # fmt: skip
        assert main(words) == 0
        printed.append(capsys.readouterr().out)
    assert yaml.safe_load(printed[0])["model"]["width"] == 4
    assert printed[0] == printed[1] == printed[2]


def test_main_py_prints_a_config() -> None:
    done = run_python("main.py", "seed=9", "--print-config")
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["seed"] == 9


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--flag", "error: '--flag' (command line): unknown flag"),
        ("--print-confg", "error: '--print-confg' (command line): unknown flag; did you mean"),
        ("seed=abc", "error: seed (command line): must be a whole number"),
        ("model=brt", "error: model='brt' (command line): no such file"),
        ("optimizer.cc=0.5", "error: optimizer.cc (command line): unknown key"),
        ("--print-config=yes", "error: argument --print-config: ignored explicit argument 'yes'"),
        ("foo\nbar", "error: 'foo\\nbar' (command line): must be key=value"),
    ],
)
def test_wrong_arguments_end_with_two_and_one_line(
    argument: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1


def test_wrong_argument_leaves_no_folder(tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = run_python("main.py", f"results_dir={results}", "trainer.epoch=1")
    assert done.returncode == 2
    assert done.stderr == (
        "error: trainer.epoch (command line): unknown key; did you mean 'epochs'?\n"
    )
    assert not results.exists()


def test_wrong_argument_is_told_before_torch_is_imported() -> None:
    code = (
        "import sys; from experiments.cli.main import main; code = main(['seed=abc']); "
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    assert run_python("-c", code).returncode == 2


# What a run may do to the command line, without a run: its module is replaced by one function.


@pytest.fixture
def replace_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[RunConfig], bool]], None]:
    def replace(run: Callable[[RunConfig], bool]) -> None:
        monkeypatch.setitem(sys.modules, "experiments.run", SimpleNamespace(run=run))

    return replace


@pytest.mark.parametrize(("finished_well", "code"), [(True, 0), (False, 1)])
def test_exit_code_tells_how_the_run_ended(
    replace_run: Callable[..., None], finished_well: bool, code: int
) -> None:
    seeds = []

    def run(config: RunConfig) -> bool:
        seeds.append(config.seed)
        return finished_well

    replace_run(run)
    assert main(["seed=4"]) == code
    assert seeds == [4]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (UserError("no folder\n  'x'"), 2, "error: no folder 'x'\n"),
    ],
)
def test_ends_that_a_user_causes_are_told_in_one_line(
    replace_run: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def run(config: RunConfig) -> bool:
        raise error

    replace_run(run)
    assert main([]) == code
    assert capsys.readouterr().err == line


def test_bugs_are_not_hidden(replace_run: Callable[..., None]) -> None:
    def run(config: RunConfig) -> bool:
        raise ZeroDivisionError

    replace_run(run)
    with pytest.raises(ZeroDivisionError):
        main([])
