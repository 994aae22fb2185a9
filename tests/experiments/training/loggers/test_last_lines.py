"""The short table at the end."""

from __future__ import annotations

from experiments.training.loggers.last_lines import summary_table

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
