"""A sweep started in parts: its plan keeps what an earlier part has planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.files.plan_file import PlanCell, SweepPlan, plan_file, read_plan, write_plan
from experiments.sweep.plan import Sweep
from tests.experiments.sweep.sweeps import copy_config, end, make_sweep

SMOKE_AND_DIGITS: dict[str, Any] = {
    "experiments": ["smoke"],
    "targets": {"smoke": 0.5, "digits-resnet": 0.9},
    "tuning": {"optimizers": {"adam": {"times": [0.3, 1]}}, "reference": ["alsals"], "seeds": [7]},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copy_config(tmp_path)


def started(root: Path, *arguments: str, **values: Any) -> Sweep:
    """The sweep, once its plan is written."""
    sweep = make_sweep(root, *arguments, **(SMOKE_AND_DIGITS | values))
    write_plan(sweep.with_earlier(sweep.plan()), sweep.results_dir)
    return sweep


def kept(sweep: Sweep) -> SweepPlan:
    plan = read_plan(plan_file(sweep.results_dir, sweep.name))
    assert plan is not None
    return plan


def places(plan: SweepPlan) -> list[tuple[str, str]]:
    return [(cell.row, cell.label) for cell in plan.cells]


def cell(plan: SweepPlan, row: str, label: str) -> PlanCell:
    (found,) = (cell for cell in plan.cells if (cell.row, cell.label) == (row, label))
    return found


@pytest.mark.parametrize(
    "part",
    ["experiments=[smoke]", "experiments=[digits-resnet]", "optimizers=[adam]",
     "optimizers=[alsals]", "seeds=[1]"],
)  # fmt: skip
def test_a_part_leaves_the_plan_of_the_whole_as_it_was(root: Path, part: str) -> None:
    whole = kept(started(root))
    again = kept(started(root, part))
    assert again.cells == whole.cells
    assert again.targets == whole.targets
    assert again.tuned_by == whole.tuned_by
    assert {run.folder for run in again.tuning} == {run.folder for run in whole.tuning}
    assert len(again.tuning) == len(whole.tuning)


def test_parts_add_up_to_the_whole(root: Path) -> None:
    for row in ("smoke", "digits-resnet"):
        started(root, f"experiments=[{row}]", "seeds=[1]")
        parts = kept(started(root, f"experiments=[{row}]", "seeds=[0]"))
    whole = make_sweep(root, **SMOKE_AND_DIGITS).plan()
    assert parts == whole


def test_the_whole_sweep_replaces_the_plan(root: Path) -> None:
    started(root)
    plan = kept(started(root, experiments=[], targets={}))
    assert {row for row, _ in places(plan)} == {"digits-resnet"}
    assert {run.row for run in plan.tuning} == {"digits-resnet"}


def test_seeds_of_other_settings_do_not_stay(root: Path) -> None:
    started(root)
    plan = kept(started(root, "seeds=[1]", "experiments=[smoke]", "trainer.batch_size=32"))
    assert cell(plan, "smoke", "alsals").seeds == [1]
    assert cell(plan, "digits-resnet", "alsals").seeds == [0, 1]


def test_what_tuning_has_found_stays(root: Path) -> None:
    for run in started(root).tuning_runs():
        end(run, score=0.5)
    whole = kept(started(root))
    assert len(whole.winners) == 2
    plan = kept(started(root, "experiments=[smoke]", "seeds=[0]"))
    assert cell(plan, "smoke", "adam") == cell(whole, "smoke", "adam")
    assert sorted(plan.winners, key=str) == sorted(whole.winners, key=str)


def test_a_column_that_is_tuned_no_more_loses_its_tuning_runs_in_these_rows(root: Path) -> None:
    started(root)
    plan = kept(started(root, "experiments=[smoke]", "tuning=null"))
    assert not cell(plan, "smoke", "adam").tuned
    tried = {(run.row, run.label) for run in plan.tuning}
    assert tried == {("smoke", "alsals"), ("digits-resnet", "alsals"), ("digits-resnet", "adam")}


def test_another_rule_of_tuning_replaces_the_plan(root: Path) -> None:
    started(root)
    tuning = "{score: val_loss, optimizers: {adam: {times: [1]}}}"
    plan = kept(started(root, "experiments=[smoke]", f"tuning={tuning}"))
    assert places(plan) == [("smoke", "alsals"), ("smoke", "adam")]


def test_a_new_column_comes_last(root: Path) -> None:
    started(root)
    plan = kept(started(root, "optimizers=[sls]", "experiments=[smoke]"))
    assert places(plan)[-1] == ("smoke", "sls")
    assert len(plan.cells) == 5


def test_a_broken_plan_is_written_anew(root: Path) -> None:
    sweep = started(root)
    plan_file(sweep.results_dir, sweep.name).write_text("{")
    assert len(kept(started(root, "experiments=[smoke]")).cells) == 2
