"""The bar, the lines and the table on a console."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from experiments.config.compose import load
from experiments.files.run_folder import RunFolder
from experiments.training.loggers.base import RunInfo
from experiments.training.loggers.console import (
    LiveConsole,
    PlainConsole,
    console_logger,
    summary_table,
)

CONFIG = load(["task=glue/mrpc", "model=bert", "optimizer=alsals", "seed=3"], environ={})


def make_info(tmp_path, **changes):
    values = {
        "folder": RunFolder(tmp_path),
        "config": CONFIG,
        "lower_is_better": frozenset(("train_loss", "val_loss")),
        "total_steps": 100,
        "steps_per_epoch": 50,
        "first_step": 0,
    }
    return RunInfo(**(values | changes))


def step(number):
    return {
        "event": "step",
        "step": number,
        "epoch": number / 50,
        "loss": 0.12345,
        "step_size": 1e-3,
    }


EVALUATION = {
    "event": "evaluation",
    "step": 50,
    "epoch": 1.0,
    "seconds": 9.87,
    "forward_passes": 77,
    "backward_passes": 50,
    "train_loss": 0.5,
    "val_loss": float("nan"),
    "f1": 0.75,
}


def test_plain_lines_come_every_tenth_of_the_run(tmp_path, capsys):
    logger = PlainConsole(clock=lambda: 0.0)
    logger.start(make_info(tmp_path))
    capsys.readouterr()
    for number in range(1, 101):
        logger.step(step(number))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/100" for n in range(10, 101, 10)]
    assert "loss 0.1235" in lines[0]
    assert "step size 0.001" in lines[0]


def test_plain_lines_come_every_ten_seconds(tmp_path, capsys):
    now = 0.0
    logger = PlainConsole(clock=lambda: now)
    logger.start(make_info(tmp_path, total_steps=100_000))
    capsys.readouterr()
    for number in range(1, 31):
        now += 1.0
        logger.step(step(number))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["10/100000", "20/100000", "30/100000"]


def test_an_evaluation_is_one_line_of_losses_and_metrics(tmp_path, capsys):
    logger = PlainConsole()
    logger.start(make_info(tmp_path))
    capsys.readouterr()
    logger.evaluation(EVALUATION)
    line = capsys.readouterr().out
    assert line == ("evaluation  epoch 1.00  step 50  train loss 0.5  val loss nan  f1 0.75\n")


@pytest.mark.parametrize(("first_step", "resumed"), [(0, False), (40, True)])
def test_the_first_line_says_what_runs_and_whether_it_is_resumed(
    tmp_path, capsys, first_step, resumed
):
    PlainConsole().start(make_info(tmp_path, first_step=first_step))
    line = capsys.readouterr().out
    assert line.startswith("glue/mrpc · bert · alsals · seed 3: 100 steps")
    assert ("resumed after step 40" in line) is resumed


def test_without_a_terminal_there_are_plain_lines(capsys):
    assert isinstance(console_logger(), PlainConsole)


def test_the_bar_shows_epoch_loss_step_size_and_time_left(tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    logger = LiveConsole(console)
    logger.start(make_info(tmp_path))
    for number in range(1, 51):
        logger.step(step(number))
    logger.evaluation(EVALUATION)
    logger.finish({"status": "finished"})
    text = screen.getvalue()
    for part in ("epoch 1.00", "50/100", "loss 0.1235", "step size 0.001", ":", "left", "f1 0.75"):
        assert part in text, part


def test_the_cursor_comes_back_when_a_run_breaks(tmp_path):
    screen = io.StringIO()
    logger = LiveConsole(Console(file=screen, force_terminal=True, width=120))
    logger.start(make_info(tmp_path))
    logger.finish({"status": "interrupted"})
    assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("\x1b[?25l")


# ------------------------------------------------------------------------- the table at the end

SUMMARY = {
    "status": "finished",
    "steps": 200,
    "seconds_training": 12.34,
    "forward_passes": 500,
    "backward_passes": 200,
    "final": {"step": 200, "train_loss": 0.5, "val_loss": 0.6, "accuracy": 0.9},
    "best": {"step": 7, "train_loss": 1.25, "val_loss": 0.75, "accuracy": 0.95},
}


def test_the_table_has_final_and_best_under_their_names():
    header, final, best, _ = summary_table(SUMMARY).splitlines()
    assert header.split() == ["step", "train", "loss", "val", "loss", "accuracy"]
    assert final.split() == ["final", "200", "0.5000", "0.6000", "0.9000"]
    assert best.split() == ["best", "7", "1.2500", "0.7500", "0.9500"]


def test_the_columns_are_aligned():
    header, final, best, _ = summary_table(SUMMARY).splitlines()
    assert len(header) == len(final) == len(best)
    assert header.index("accuracy") + len("accuracy") == len(header)


def test_the_last_line_says_what_it_cost():
    last = summary_table(SUMMARY).splitlines()[-1]
    assert "200 steps in 12.3 s" in last
    assert "2.50 forward and 1.00 backward" in last


def test_a_number_that_was_not_finite_is_a_dash():
    diverged = {**SUMMARY, "final": {**SUMMARY["final"], "val_loss": None}}
    assert summary_table(diverged).splitlines()[1].split() == [
        "final",
        "200",
        "0.5000",
        "-",
        "0.9000",
    ]
