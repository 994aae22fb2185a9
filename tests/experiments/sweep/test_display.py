"""The table of a sweep's states, and single lines."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from experiments.sweep.display import PlainLines, change, duration, loss_text, overview, table
from experiments.sweep.run_state import RunState
from experiments.sweep.status import Entry


def entry(state, row="row", label="adam", seed=0, stage="comparison"):
    return Entry(stage, row, label, seed, state=state)


def done(seconds, **names):
    return entry(RunState("finished", step=100, total_steps=100, seconds=seconds), **names)


WAITING = RunState("waiting")
# 40 of 100 steps in 20 s: 50 s are the whole, 30 s are left.
RUNNING = RunState("running", step=40, total_steps=100, loss=0.51234, seconds=50.0)


def text_of(entries, workers=1, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(table(entries, workers))
    return console.file.getvalue()


def test_the_overview_counts_every_state_and_leaves_out_rare_ones_that_are_none():
    states = ["finished", "finished", "running", "failed", "diverged"]
    line = overview([entry(RunState(kind)) for kind in states], workers=1)
    assert line.startswith("2 finished, 1 running, 0 waiting, 1 failed, 1 diverged")
    assert "stopped" not in line


def test_a_running_run_has_a_line_with_step_loss_and_time_left():
    lines = text_of([entry(RUNNING, row="cpu_mrpc", label="alsals", seed=2)]).splitlines()
    [line] = [line for line in lines if "cpu_mrpc" in line]
    assert line.split() == ["cpu_mrpc", "alsals", "2", "40", "100", "0.5123", "30", "s"]


def test_a_failed_run_has_a_line_with_attempts_and_reason():
    state = RunState("failed", attempts=2, reason="no such data")
    text = text_of([entry(state, row="cpu_mrpc", seed=1), entry(WAITING, row="other")])
    [line] = [line for line in text.splitlines() if "cpu_mrpc" in line]
    assert line.split() == ["cpu_mrpc", "adam", "1", "2", "failed:", "no", "such", "data"]
    assert "other" not in text, "what waits is only counted"


def test_square_brackets_are_shown_as_they_are():
    text = text_of([entry(RUNNING, label="alsals [bold]c=0.5[/x]")])
    assert "alsals [bold]c=0.5[/x]" in text


def test_a_tuning_run_is_told_from_the_one_that_is_compared():
    assert "row (tuning)" in text_of([entry(RUNNING, stage="tuning")])


@pytest.mark.parametrize(
    ("entries", "workers", "expected"),
    [
        ([], 1, (0.0, True)),
        ([entry(WAITING)], 1, (0.0, False)),
        # Two more like the finished one, one after the other or at once.
        ([done(50.0), entry(WAITING, seed=1), entry(WAITING, seed=2)], 1, (100.0, True)),
        ([done(50.0), entry(WAITING, seed=1), entry(WAITING, seed=2)], 2, (50.0, True)),
        # One run cannot be shared among workers.
        ([done(50.0), entry(WAITING, seed=1)], 8, (50.0, True)),
        # 60 of the 100 steps of one that takes 80 s are left.
        ([done(80.0), entry(RUNNING, seed=1)], 1, (48.0, True)),
        # The same optimizer's finished run counts, not another's of the row.
        ([done(50.0), done(10.0, label="sgd"), entry(WAITING, seed=1)], 1, (50.0, True)),
        # Else the row's: (50 + 10) / 2.
        ([done(50.0), done(10.0, label="sgd"), entry(WAITING, label="sls")], 1, (30.0, True)),
        # A running one by its own pace, and one like it as long as its whole: 30 + 50.
        ([entry(RUNNING), entry(WAITING, seed=1)], 1, (80.0, True)),
        # Another row says nothing, and what it takes is left out.
        ([done(50.0), entry(WAITING, row="other")], 1, (0.0, False)),
        ([done(50.0), entry(WAITING, seed=1), entry(WAITING, row="other")], 1, (50.0, False)),
        # What failed is not waited for.
        ([done(50.0), entry(RunState("failed"), seed=1)], 1, (0.0, True)),
        # Without a number of workers, as many as are running.
        (
            [done(50.0), *(entry(RUNNING, seed=s) for s in (1, 2)), entry(WAITING, seed=3)],
            None,
            (55, True),
        ),
    ],
)
def test_the_time_left_of_a_sweep(entries, workers, expected):
    seconds, of_all = expected
    text = overview(entries, workers)
    if seconds:
        about = "about" if of_all else "more than"
        assert text.endswith(f", {about} {duration(seconds)} left")
    else:
        assert text.endswith("time left not known yet") is not of_all


def test_the_overview_says_how_sure_the_time_left_is():
    like_it, unlike = entry(WAITING, seed=1), entry(WAITING, row="other")
    assert overview([done(50.0), like_it], 1).endswith(", about 50 s left")
    assert overview([done(50.0), like_it, unlike], 1).endswith(", more than 50 s left")
    assert overview([unlike], 1).endswith(", time left not known yet")
    assert overview([done(50.0)], 1).endswith("0 waiting")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (11_100, "3 h 05 min"),
        (2 * 86_400 + 3_600, "2 d 1 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_losses():
    assert [loss_text(x) for x in (None, math.nan, 0.0, 1.23456)] == [
        "-",
        "not finite",
        "0",
        "1.235",
    ]


def test_a_line_for_each_change_worth_one():
    finished = RunState("finished", step=100, total_steps=100, loss=0.25, seconds=50.0)
    failed = RunState("failed", reason="no such data")
    stopped = RunState("stopped", step=40)
    resumed = RunState("running", step=40)
    assert change(WAITING, entry(RunState("running"))) == "started: row adam seed 0"
    assert change(stopped, entry(resumed)) == "goes on: row adam seed 0"
    expected = "finished: row adam seed 0, 100 steps in 50 s, training loss 0.25"
    assert change(RUNNING, entry(finished)) == expected
    assert change(RUNNING, entry(failed)) == "failed: row adam seed 0: no such data"
    assert change(RUNNING, entry(stopped)) == "stopped: row adam seed 0 at step 40"
    assert change(RUNNING, entry(RUNNING)) is None


def test_plain_lines_tell_changes_once_and_a_heartbeat_after_a_quiet_minute(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("experiments.sweep.display.time.monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=20)
    lines = PlainLines(console, workers=1)
    lines.show([entry(WAITING)])
    lines.show([entry(RUNNING)])
    now[0] += 59
    lines.show([entry(RUNNING)])
    now[0] += 2
    lines.show([entry(RUNNING)])
    assert console.file.getvalue().splitlines() == [
        "started: row adam seed 0",
        "0 finished, 1 running, 0 waiting, about 30 s left",
    ]
