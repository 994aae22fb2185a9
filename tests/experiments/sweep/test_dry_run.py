"""The states and times of `--dry-run`, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.sweep.dry_run import listing
from tests.experiments.sweep.sweeps import copy_config, end, make_sweep

NO_ESTIMATE = "no comparable run has finished, so their time is unknown"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copy_config(tmp_path)


def test_without_finished_runs_there_is_no_estimate(root: Path) -> None:
    sweep = make_sweep(root)
    text = listing(sweep, retry_failed=False)
    assert "4 runs: 4 waiting" in text
    assert "to do: 4 runs; no comparable run has finished" in text
    assert not sweep.results_dir.exists()


def test_times_come_from_the_same_column_then_from_the_same_row(root: Path) -> None:
    sweep = make_sweep(root, experiments=["smoke"])
    smoke_alsals, _, _, _, *digits = sweep.comparison_runs()
    end(smoke_alsals, score=0.5, seconds=20.0)
    end(digits[0], score=0.5, seconds=10.0, seconds_total=30.0)
    end(digits[2], score=0.5, status="diverged", seconds=1.0)
    _, *lines = listing(sweep, retry_failed=False).splitlines()
    columns = [line.split(maxsplit=6)[:6] for line in lines[:8]]
    assert [(state, label, time) for state, _, _, label, _, time in [
        [*line[:5], " ".join(line[5:])] for line in columns
    ]] == [
        ("finished", "alsals", "-"), ("waiting", "alsals", "20"),
        ("waiting", "adam", "20"), ("waiting", "adam", "20"),
        ("finished", "alsals", "-"), ("waiting", "alsals", "30"),
        ("diverged", "adam", "-"), ("waiting", "adam", "30"),
    ]  # fmt: skip
    assert lines[-2] == "8 runs: 1 diverged, 2 finished, 5 waiting"
    assert lines[-1] == "to do: 5 runs; about 2 min one after another"


def test_cells_that_wait_for_tuning_are_counted(root: Path) -> None:
    tuning = {"optimizers": {"adam": {"times": [1, 3]}}}
    text = listing(make_sweep(root, tuning=tuning), retry_failed=False)
    assert "digits-resnet with adam: its runs are known after tuning (2 of 2" in text
    assert "to do: 4 runs and 2 after tuning" in text


def test_arguments_are_ready_for_a_shell(root: Path) -> None:
    text = listing(
        make_sweep(root, "data_root=a b", optimizers=["adam"], seeds=[3]), retry_failed=False
    )
    place = root.parent / "results"
    words = "task=digits model=resnet optimizer=adam trainer.epochs=2"
    assert f"{words} 'data_root=a b' results_dir={place} seed=3\n" in text


@pytest.mark.parametrize(
    ("retry_failed", "last"),
    [
        (True, [f"to do: 4 runs; {NO_ESTIMATE}"]),
        (False, [f"to do: 2 runs; {NO_ESTIMATE}",
                 "2 runs that failed would be left alone; see --retry-failed"]),
    ],
)  # fmt: skip
def test_failed_runs_are_told_with_their_reason_and_counted_if_they_are_tried_again(
    root: Path, retry_failed: bool, last: list[str]
) -> None:
    sweep = make_sweep(root)
    broken, failed, *_ = (run.folder for run in sweep.comparison_runs())
    for folder in (broken, failed):
        folder.create()
    broken.summary_file.write_text("{")
    failed.write_failure({"exit_code": 2, "attempts": 1, "reason": "no data", "output": []})
    lines = listing(sweep, retry_failed=retry_failed).splitlines()
    assert lines[6].startswith(f"failed: {broken.path}: {broken.summary_file} is not valid JSON")
    assert lines[7:] == [f"failed: {failed.path}: no data", "4 runs: 2 failed, 2 waiting", *last]


def test_a_sweep_that_has_ended_has_nothing_to_do(root: Path) -> None:
    sweep = make_sweep(root, optimizers=["adam"], seeds=[0])
    end(*sweep.comparison_runs(), score=0.5)
    assert listing(sweep, retry_failed=False).endswith("\n1 run: 1 finished\nnothing to do\n")
