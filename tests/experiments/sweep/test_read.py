"""What the command line makes of a sweep's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.config.arguments import argument_of, value_of
from experiments.errors import UserError
from experiments.sweep.read import ReadSweep, read_sweep
from experiments.sweep.schema import LocalSettings, RaySettings, SlurmSettings
from tests.experiments.sweep.sweeps import copy_config

FILE = """\
# A sweep.
results_dir: results
experiments: [smoke, mrpc_bert]
tasks: [{task: digits, model: vit, settings: {trainer.epochs: 2}}]
optimizers:
  - alsals
  - {name: alsals, label: half, settings: {c: 0.5}}
  - {name: adam, settings: {lr: 0.5}}
seeds: [0, 1]
tuning:
  optimizers: {adam: {lr: [1, 2]}}
  reference: [alsals, half]
  rows: [smoke]
targets: {smoke: 0.9, mrpc_bert: 0.8}
launcher: {kind: local, workers: 2}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_config(tmp_path_factory.mktemp("overrides"))
    (root / "sweep" / "mine.yaml").write_text(FILE)
    return root


def read(root: Path, *arguments: str) -> ReadSweep:
    return read_sweep("mine", "text", arguments, root)


def test_seeds_and_results_dir_are_replaced(root: Path) -> None:
    config = read(root, "seeds=[5]", "results_dir=else where").config
    assert (config.seeds, config.results_dir) == ((5,), "else where")


def test_optimizers_of_the_file_keep_their_settings(root: Path) -> None:
    config = read(root, "optimizers=[sgd, adam, half]").config
    assert config.columns == ("sgd", "adam", "half")
    assert [entry.settings for entry in config.optimizers] == [{}, {"lr": 0.5}, {"c": 0.5}]
    # A label comes before the name of a file, which here stands for two columns.
    assert read(root, "optimizers=[alsals]").config.columns == ("alsals",)


def test_a_column_may_be_written_out(root: Path) -> None:
    written = "optimizers=[{name: sls, label: mine, settings: {c: 0.2}}]"
    (entry,) = read(root, written).config.optimizers
    assert (entry.name, entry.column, entry.settings) == ("sls", "mine", {"c": 0.2})


def test_rows_of_the_file_keep_their_settings(root: Path) -> None:
    config = read(root, "experiments=[sst2_bert, digits-vit, smoke]").config
    assert config.rows == ("sst2_bert", "smoke", "digits-vit")
    assert config.tasks[0].settings == {"trainer.epochs": 2}


def test_tuning_shrinks_with_rows_and_columns(root: Path) -> None:
    tuning = read(root, "optimizers=[adam,half]").config.tuning
    assert tuning is not None
    assert (list(tuning.optimizers), tuning.reference) == (["adam"], ("half",))
    assert read(root, "optimizers=[alsals]").config.tuning is None
    assert read(root, "experiments=[mrpc_bert]").config.tuning is None
    assert read(root, "tuning=null").config.tuning is None


def test_targets_shrink_with_rows(root: Path) -> None:
    assert read(root, "seeds=[5]").config.targets == {"smoke": 0.9, "mrpc_bert": 0.8}
    assert read(root, "experiments=[smoke]").config.targets == {"smoke": 0.9}


def test_targets_on_the_command_line_replace_the_files(root: Path) -> None:
    assert read(root, "targets={smoke: 0.5}").config.targets == {"smoke": 0.5}


def test_keys_of_runs_are_kept_as_they_were_written(root: Path) -> None:
    arguments = ["trainer.max_steps=3", "logger.wandb=offline", "quirks.one_seed=true"]
    said = read(root, *arguments).run_arguments
    assert list(said.values()) == arguments
    assert list(said) == ["trainer.max_steps", "logger.wandb", "quirks.one_seed"]


@pytest.mark.parametrize(
    ("arguments", "launcher"),
    [
        ([], LocalSettings(workers=2)),
        (["workers=4"], LocalSettings(workers=4)),
        (["launcher=local"], LocalSettings(workers=2)),
        (["launcher=ray", "address=10.0.0.1:6379"], RaySettings(address="10.0.0.1:6379")),
        (["workers=3", "launcher=ray", "retries=0"], RaySettings(workers=3, retries=0)),
        (["launcher=slurm", "time=2:00:00"], SlurmSettings(time="2:00:00")),
        (["launcher={kind: slurm, cpus: 9}", "gpus=0"], SlurmSettings(cpus=9, gpus=0)),
    ],
)
def test_the_launcher_and_its_fields(root: Path, arguments: list[str], launcher: Any) -> None:
    assert read(root, *arguments).config.launcher == launcher


@pytest.mark.parametrize(
    ("time", "minutes"), [(90, 90), ("0:01:00", 1), ("2:00:01", 121), ("100:30:00", 6030)]
)
def test_the_time_of_a_job_in_minutes(time: int | str, minutes: int) -> None:
    assert SlurmSettings(time=time).minutes == minutes


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("sedes=[0]", "sedes (command line): unknown key; did you mean 'seeds'?"),
        ("seeds=0", "seeds (command line): must be a list"),
        ("seeds=[-1]", "seeds.0 (command line): must be greater than or equal to 0"),
        ("seeds=[", "seeds (command line): '[' is not YAML"),
        ("seed=3", "seed (command line): a sweep takes a list: seeds=[0,1]"),
        ("optimizer=adam", "optimizer (command line): a sweep takes a list: optimizers=[...]"),
        ("optimizers=[]", "optimizers (command line): "),
        ("optimizers=[adm]", "optimizers (command line): 'adm' is unknown; did you mean 'adam'?"),
        ("experiments=[mrpc_brt]", "experiments (command line): 'mrpc_brt' is unknown; did you"),
        ("launcher=slrm", "launcher.kind (command line): 'slrm' is unknown; did you mean 'slurm'?"),
        (
            "launcher=gpus",
            "launcher.kind (command line): launcher=local does this now",
        ),
        ("launcher={kind: ray, address: x}", "launcher.address (command line): "),
        ("partition=a", "partition (command line): launcher=local has only: workers"),
        ("workers=0", "launcher.workers (command line): must be greater than 0"),
        ("tuning={}", "tuning.optimizers (command line): missing"),
        ("results_dir=", "results_dir (command line): must be text"),
        ("targets={smok: 0.9}", "targets (command line): 'smok' is unknown; did you mean 'smoke'?"),
        ("targets={smoke: .nan}", "targets.smoke (command line): must be a finite number"),
        ("seeds=[010]", "seeds (command line): 010 begins with a zero"),
        ("seeds=[0] # one", "seeds (command line): '[0] # one' has a comment"),
    ],
)
def test_a_wrong_argument_names_the_key_and_the_nearest(
    root: Path, argument: str, text: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(root, argument)
    assert str(caught.value).startswith(text)


def test_an_argument_given_twice_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"workers \(command line\): given twice"):
        read(root, "workers=1", "workers=2")


def test_text_of_a_sweep_is_what_was_typed(root: Path) -> None:
    config = read(root, "results_dir=run #007", "launcher=slurm", "partition=007").config
    assert config.results_dir == "run #007"
    assert config.launcher == SlurmSettings(partition="007")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["trainer={epochs: 1}", "trainer.epochs=2"], "trainer.epochs"),
        (["launcher={kind: slurm, cpus: 9}", "cpus=3"], "cpus"),
    ],
)
def test_a_block_and_a_key_inside_it_are_refused(
    root: Path, arguments: list[str], key: str
) -> None:
    with pytest.raises(UserError, match=rf"^{key} \(command line\): given twice, by itself and"):
        read(root, *arguments)


def test_a_block_of_the_runs_is_the_last_word_on_its_own_keys_alone(root: Path) -> None:
    said = read(root, "trainer={epochs: 3, precision: bfloat16}").run_arguments
    assert dict(said) == {
        "trainer.epochs": "trainer.epochs=3",
        "trainer.precision": "trainer.precision=bfloat16",
    }


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["results_dir", "task.folder", "model.name", "logger.wandb_project"]),
    st.text(max_size=10) | st.sampled_from(["null", "~", "'a'", '"', "[", "010", "a #b", " a "]),
)
@example("results_dir", "[\x7f")
@example("results_dir", "[\x85\ufeff")
@example("results_dir", "[\U0001000c")
def test_what_is_written_for_a_run_is_read_back(key: str, text: str) -> None:
    assert argument_of(key, text).partition("=")[0] == key
    assert value_of(key, argument_of(key, text).partition("=")[2]) == text
