"""The runs of a sweep, its plan's file, and what the shipped sweeps hold."""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.cli.main import main
from experiments.config.compose import load
from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.errors import UserError
from experiments.files.plan_file import write_plan
from experiments.sweep.plan import PlannedRun, Sweep, load_sweep
from tests.experiments.sweep.sweeps import DIGITS, copy_config, end, make_sweep

TUNED = {
    "optimizers": {"adam": {"times": [0.3, 1, 3]}},
    "reference": ["alsals"],
    "seeds": [7],
    "hold_out": 0.2,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_config(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A config folder whose sweeps' results no other test sees."""
    return copy_config(tmp_path)


def all_runs(sweep: Sweep) -> list[PlannedRun]:
    return [*sweep.tuning_runs(), *sweep.comparison_runs()]


def written_plan(sweep: Sweep) -> Any:
    path = write_plan(sweep.plan(), sweep.results_dir)
    assert path == sweep.results_dir / "plans" / f"{sweep.name}.json"
    return json.loads(path.read_text())


def complaint(root: Path, *arguments: str, **values: Any) -> str:
    with pytest.raises(UserError) as caught:
        make_sweep(root, *arguments, **values)
    return str(caught.value)


# ------------------------------------------------------------------------- the shipped sweeps


@pytest.mark.parametrize("name", available(CONFIG_ROOT, "sweep"))
def test_every_shipped_sweep_composes(name: str) -> None:
    # One seed of each is enough, and the largest has hundreds of runs.
    sweep = load_sweep(name, "text", ["results_dir=/nowhere", "seeds=[0]"], environ={})
    runs = all_runs(sweep)
    folders = [run.folder.path for run in runs]
    assert len(set(folders)) == len(folders) > 0
    waiting = len(sweep.untuned()) * len(sweep.config.seeds)
    cells = len(sweep.config.rows) * len(sweep.config.columns)
    compared = [run for run in runs if run.stage == "comparison"]
    assert len(compared) + waiting == cells * len(sweep.config.seeds)


@pytest.mark.slow  # hundreds of configs
def test_the_largest_shipped_sweep_composes_in_seconds() -> None:
    start = time.process_time()
    all_runs(load_sweep("text", "text", ["results_dir=/nowhere"], environ={}))
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("name", "family", "file"),
    [(None, "text", "text"), (None, "images", "images"), ("cpu", "text", "text_cpu"),
     ("cpu", "images", "images_cpu"), ("smoke", "images", "smoke")],
)  # fmt: skip
def test_names_lead_to_files(name: str | None, family: str, file: str) -> None:
    arguments = ["seeds=[0]", "optimizers=[adam]", "tuning=null"]
    assert load_sweep(name, family, arguments, environ={}).name == file


def test_an_unknown_sweep_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'smok' \(command line\): .* did you mean 'smoke'"):
        load_sweep("smok", "text", [])


# ----------------------------------------------------------------------------------- stages


def test_runs_stand_in_the_order_of_the_file(root: Path) -> None:
    sweep = make_sweep(root, experiments=["smoke"])
    runs = [(run.row, run.label, run.config.seed) for run in sweep.comparison_runs()]
    assert runs == list(product(("smoke", "digits-resnet"), ("alsals", "adam"), (0, 1)))
    assert sweep.tuning_runs() == ()


def test_settings_of_optimizers_win_over_those_of_tasks_and_these_over_the_sweeps(
    root: Path,
) -> None:
    sweep = make_sweep(
        root,
        tasks=[{**DIGITS, "settings": {"trainer.epochs": 3, "optimizer.c": 0.2}}],
        optimizers=["alsals", {"name": "alsals", "label": "c=0.5", "settings": {"c": 0.5}}],
        settings={"trainer.epochs": 4, "trainer.batch_size": 32, "logger.wandb_entity": "1e-3"},
        seeds=[0],
    )
    plain, other = (run.config for run in sweep.comparison_runs())
    assert (plain.trainer.epochs, plain.trainer.batch_size) == (3, 32)
    assert plain.logger.wandb_entity == "1e-3"
    assert plain.model_dump()["optimizer"]["c"] == 0.2
    assert other.model_dump()["optimizer"]["c"] == 0.5
    assert sweep.config.columns == ("alsals", "c=0.5")


def test_tuning_runs_hold_examples_out_in_a_folder_of_their_own(root: Path) -> None:
    sweep = make_sweep(root, tuning=TUNED)
    runs = sweep.tuning_runs()
    assert [run.label for run in runs] == ["alsals", "adam", "adam", "adam"]
    rates = [run.config.model_dump()["optimizer"].get("lr") for run in runs]
    assert rates == [None, 3e-4, 1e-3, 3e-3]
    for run in runs:
        assert (run.config.trainer.hold_out, run.config.seed) == (0.2, 7)
        assert run.folder.path.is_relative_to(sweep.results_dir / "tuning" / "default")
    assert all(run.config.trainer.hold_out is None for run in sweep.comparison_runs())


def test_a_tuned_cell_waits_and_then_takes_the_best_rate(fresh: Path) -> None:
    sweep = make_sweep(fresh, tuning=TUNED)
    assert {run.label for run in sweep.comparison_runs()} == {"alsals"}
    reason = "3 of 3 tuning runs have not ended"
    assert sweep.untuned() == [("digits-resnet", "adam", reason)]
    for run, score in zip(sweep.tuning_runs()[1:], (0.7, 0.8, 0.9), strict=True):
        end(run, score=score)
    assert sweep.untuned() == []
    adams = [run for run in sweep.comparison_runs() if run.label == "adam"]
    assert [run.config.model_dump()["optimizer"]["lr"] for run in adams] == [3e-3, 3e-3]
    assert [run.config.seed for run in adams] == [0, 1]
    for run in adams:
        assert load(run.arguments, fresh, environ={}) == run.config


def test_without_hold_out_the_rates_are_tried_on_the_validation_split(root: Path) -> None:
    sweep = make_sweep(root, tuning={**TUNED, "hold_out": None})
    for run in sweep.tuning_runs():
        assert run.config.trainer.hold_out is None
        assert run.folder.path.is_relative_to(sweep.results_dir / "tuning" / "default")


def test_by_val_loss_a_tuned_cell_takes_the_rate_with_the_lowest_one(fresh: Path) -> None:
    sweep = make_sweep(fresh, tuning={**TUNED, "score": "val_loss"})
    losses = (0.3, 0.2, 0.4)
    for run, loss in zip(sweep.tuning_runs()[1:], losses, strict=True):
        end(run, score=loss, final={"val_loss": loss, "accuracy": loss})
    adams = [run for run in sweep.comparison_runs() if run.label == "adam"]
    assert [run.config.model_dump()["optimizer"]["lr"] for run in adams] == [1e-3, 1e-3]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"score": "score", "hold_out": 0.2}),
        ({"score": "val_loss", "hold_out": None}, {"score": "val_loss", "hold_out": None}),
    ],
)
def test_the_plan_says_by_what_and_on_what_rates_are_chosen(
    fresh: Path, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    plan = written_plan(make_sweep(fresh, tuning={**TUNED, **changes}))
    assert plan["tuned_by"] == expected


def test_a_tuning_run_with_a_broken_summary_has_not_ended(fresh: Path) -> None:
    sweep = make_sweep(fresh, tuning=TUNED)
    for run in sweep.tuning_runs():
        end(run, score=0.7)
    sweep.tuning_runs()[1].folder.summary_file.write_text("{")
    assert [reason for _, _, reason in sweep.untuned()] == ["1 of 3 tuning runs have not ended"]
    sweep.plan()


def test_where_every_rate_diverged_the_cell_stays_out_with_a_reason(fresh: Path) -> None:
    sweep = make_sweep(fresh, tuning=TUNED)
    for run in sweep.tuning_runs():
        end(run, score=0.1, status="diverged")
    assert [reason for _, _, reason in sweep.untuned()] == [
        "all 3 tuning runs diverged or were stuck; try other rates"
    ]


def test_rows_that_are_not_tuned_take_the_recommended_rate(root: Path) -> None:
    tuning = {**TUNED, "rows": ["smoke"]}
    sweep = make_sweep(root, experiments=["smoke"], tuning=tuning)
    assert {run.row for run in sweep.tuning_runs()} == {"smoke"}
    digits = [run for run in sweep.comparison_runs() if run.row == "digits-resnet"]
    assert [run.label for run in digits] == ["alsals", "alsals", "adam", "adam"]


def test_main_py_leaves_a_planned_run_in_its_folder_and_tuning_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLS_DATA_ROOT", raising=False)
    arguments = [f"results_dir={tmp_path}", "optimizers=[adam]", "seeds=[0]", "model.width=4"]
    arguments += ["trainer.max_steps=2", "logger.console=false"]
    arguments.append("tuning={optimizers: {adam: {lr: [1e-2, 1e-3]}}}")
    sweep = load_sweep("smoke", "text", arguments)
    runs = sweep.tuning_runs()
    for run in runs:
        assert run.folder.summary() is None
        assert main(run.arguments) == 0
        assert run.folder.config() == run.config.model_dump(mode="json")
    assert sweep.untuned() == []
    summaries = [run.folder.summary() for run in runs]
    scores = [summary["final"]["accuracy"] for summary in summaries if summary is not None]
    (winner,) = written_plan(sweep)["winners"]
    assert (winner["score"], winner["runs"], winner["steps"]) == (max(scores), 2, 4)


# ------------------------------------------------------------------------------- plan's file


def test_the_plan_says_what_is_known(fresh: Path) -> None:
    sweep = make_sweep(fresh, experiments=["smoke"], tasks=[], tuning=TUNED)
    plan = written_plan(sweep)
    alsals, adam = plan["cells"]
    assert alsals.pop("folders") == [
        run.folder.path.relative_to(sweep.results_dir).as_posix() for run in sweep.comparison_runs()
    ]
    assert alsals == {
        "row": "smoke", "label": "alsals", "optimizer": "alsals", "task": "digits",
        "model": "resnet", "experiment": "smoke", "seeds": [0, 1], "tuned": False,
    }  # fmt: skip
    assert (adam["folders"], adam["tuned"]) == ([None, None], True)
    assert plan["winners"] == []
    assert [(entry["label"], entry["lr"], entry["reference"]) for entry in plan["tuning"]] == [
        ("alsals", None, True), ("adam", 3e-4, False), ("adam", 1e-3, False), ("adam", 3e-3, False)
    ]  # fmt: skip
    assert plan["tuning"][0]["folder"].startswith("tuning/smoke/digits-resnet/alsals/s7-")

    for run in sweep.tuning_runs():
        end(run, score=0.5)
    plan = written_plan(sweep)
    assert plan["winners"] == [
        {"row": "smoke", "label": "adam", "lr": 3e-4, "score": 0.5, "score_name": "accuracy",
         "runs": 3, "steps": 138}
    ]  # fmt: skip
    assert all((sweep.results_dir / folder).name for folder in plan["cells"][1]["folders"])
    assert [path.name for path in (sweep.results_dir / "plans").iterdir()] == ["mine.json"]


def test_the_plan_has_the_targets_of_its_rows(fresh: Path) -> None:
    assert written_plan(make_sweep(fresh))["targets"] == {}
    plan = written_plan(make_sweep(fresh, targets={"digits-resnet": 0.9}))
    assert plan["targets"] == {"digits-resnet": 0.9}


def test_a_row_without_an_experiment_has_none_in_the_plan(fresh: Path) -> None:
    plan = written_plan(make_sweep(fresh))
    assert {(cell["row"], cell["experiment"]) for cell in plan["cells"]} == {
        ("digits-resnet", None)
    }


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"sedes": [0]}, "sedes (config/sweep/mine.yaml): unknown key; did you mean 'seeds'?"),
        ({"seeds": []}, "seeds (config/sweep/mine.yaml): "),
        ({"seeds": [1, 1]}, "seeds (config/sweep/mine.yaml): contains 1 twice"),
        ({"tasks": []}, "has neither experiments nor tasks"),
        ({"tasks": [DIGITS, {**DIGITS, "settings": {}}]}, "2 rows called 'digits-"),
        ({"tasks": [{**DIGITS, "task": "digit"}]}, "'digit' is unknown; did you mean 'digits'?"),
        ({"tasks": [{**DIGITS, "modl": "vit"}]}, "tasks.0.modl (config/sweep/mine.yaml): unknown"),
        ({"optimizers": ["adm"]}, "'adm' is unknown; did you mean 'adam'?"),
        ({"optimizers": ["adam", "adam"]}, "has 2 columns called 'adam'"),
        ({"optimizers": [{"name": "adam", "settings": {"c": 1}}]},
         "config/sweep/mine.yaml, digits-resnet with adam: optimizer.c: unknown key"),
        ({"settings": {"trainer.epoch": 1}},
         "config/sweep/mine.yaml, digits-resnet with alsals: trainer.epoch: unknown key; did you"),
        ({"settings": {"seed": 1}}, "settings.seed (config/sweep/mine.yaml): is set by the sweep"),
        ({"targets": {"digits-resnt": 1}}, "'digits-resnt' is unknown; did you mean 'digits-res"),
        ({"tuning": {"optimizers": {"adm": {"lr": [1]}}}}, "tuning (config/sweep/mine.yaml): 'ad"),
        ({"tuning": {"optimizers": {"adam": {"lr": [1], "times": [1]}}}}, "either times or lr"),
        ({"tuning": {"optimizers": {"adam": {"tims": [1]}}}}, "did you mean 'times'?"),
        ({"tuning": {"optimizers": {"alsals": {"lr": [1]}}}}, "has no rate to tune"),
        ({"tuning": {**TUNED, "reference": ["adam"]}}, "'adam' both tuned and as a reference"),
        ({"tuning": {**TUNED, "score": "accuracy"}}, "tuning.score (config/sweep/mine.yaml): "),
        ({"launcher": {"kind": "gpus"}}, "(config/sweep/mine.yaml): launcher=local does"),
        ({"launcher": {"kind": "slurm", "tim": 5}}, "launcher.tim (config/sweep/mine.yaml): unk"),
        ({"launcher": {"kind": "slurm", "time": "90"}}, "neither minutes nor H:MM:SS: '90'"),
        ({"optimizers": ["adam", {"name": "adam", "label": "again", "settings": {"lr": 1e-3}}]},
         "digits-resnet: the runs of 'adam' and of 'again' are the same"),
        ({"optimizers": ["adam", {"name": "adam", "label": "b", "settings": {"lr": 3e-3}}],
          "tuning": {"optimizers": {"adam": {"times": [1, 3]}}}},
         "digits-resnet: the runs of 'adam' and of 'b' are the same"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_reported_in_one_line(
    root: Path, values: dict[str, Any], text: str
) -> None:
    message = complaint(root, **values)
    assert text in message
    assert "\n" not in message


# -------------------------------------------------------------------------------- properties


OPTIMIZERS = st.lists(
    st.sampled_from(["alsals", "adam", "sgd", "sls"]), min_size=1, max_size=3, unique=True
)
SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True)
STEPS = st.one_of(st.none(), st.integers(1, 9))


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    optimizers=OPTIMIZERS, seeds=SEEDS, steps=STEPS, data_root=st.sampled_from(["a b", "1e3", "x"])
)
def test_any_sweep_has_distinct_folders_and_arguments_that_give_its_configs(
    root: Path, optimizers: list[str], seeds: list[int], steps: int | None, data_root: str
) -> None:
    arguments = [] if steps is None else [f"trainer.max_steps={steps}"]
    arguments += [f"seeds={seeds}", f"optimizers=[{','.join(optimizers)}]"]
    values = {
        "settings": {"data_root": data_root},
        "experiments": ["smoke"],
        "optimizers": ["sgd", "adam", "alsals"],
        "tuning": {"optimizers": {"sgd": {"times": [0.3, 1]}}, "reference": ["adam"]},
    }
    sweep, again = (make_sweep(root, *arguments, **values) for _ in range(2))
    runs = all_runs(sweep)
    assert runs == all_runs(again)
    assert sweep.untuned() == again.untuned()
    folders = [run.folder.path for run in runs]
    assert len(set(folders)) == len(folders)
    assert sweep.config.columns == tuple(optimizers)
    for run in runs:
        assert load(run.arguments, root, environ={}) == run.config
        assert run.config.data_root == data_root
        if steps is not None:
            assert run.config.trainer.max_steps == steps
