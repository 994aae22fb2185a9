"""The figure of a run."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import image

from experiments.files.run_folder import RunFolder
from experiments.report.figures.run_figure import draw_curves

BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


def step(number, **changes):
    row = {"event": "step", "step": number, "loss": 2.0 / number, "step_size": 0.1 + 0.01 * number}
    return row | changes


def evaluation(number, val_loss=1.0):
    return {"event": "evaluation", "step": number, "val_loss": val_loss}


def draw(tmp_path, rows):
    """The figure as height × width × 3 integers."""
    folder = RunFolder(tmp_path)
    for row in rows:
        folder.append_row(row)
    draw_curves(folder)
    return (image.imread(folder.curves_file)[:, :, :3] * 255).round().astype(int)


def count(picture, colour, panel="both"):
    rows = {"both": slice(None), "upper": slice(0, 370), "lower": slice(370, None)}[panel]
    return int((np.abs(picture[rows] - np.array(colour)).max(axis=-1) <= 2).sum())


def test_the_figure_is_900_pixels_wide_with_every_curve(tmp_path):
    rows = [step(n) for n in range(1, 60)] + [evaluation(30), evaluation(59)]
    picture = draw(tmp_path, rows)
    assert picture.shape[1] == 900
    assert count(picture, BLUE, "upper") > 500
    assert count(picture, ORANGE, "upper") > 60
    assert count(picture, GREEN, "lower") > 300


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({"status": "exhausted", "searched": True}, ORANGE),
        ({"status": "repeated", "searched": False}, (110, 110, 110)),
    ],
)
def test_steps_that_failed_or_were_not_searched_are_marked(tmp_path, changes, colour):
    plain = [step(n, status="accepted", searched=True, factor=1.0) for n in range(1, 60)]
    marked = [row | changes if row["step"] % 5 == 0 else row for row in plain]
    (tmp_path / "plain").mkdir()
    (tmp_path / "marked").mkdir()
    without = count(draw(tmp_path / "plain", plain), colour, "lower")
    assert count(draw(tmp_path / "marked", marked), colour, "lower") > without + 20


def test_a_step_that_moved_is_not_marked_whatever_its_status(tmp_path):
    for status in ("accepted", "lowered"):
        (tmp_path / status).mkdir()
    accepted, lowered = (
        draw(tmp_path / status, [step(n, status=status) for n in range(1, 60)])
        for status in ("accepted", "lowered")
    )
    assert count(accepted, ORANGE, "lower") == count(lowered, ORANGE, "lower")


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [step(1)],
        [step(n, loss=None) for n in range(1, 30)] + [evaluation(29, None)],
        [step(n, step_size=0.0) for n in range(1, 30)],
        [step(n, loss=-1.0) for n in range(1, 30)],
        [step(n, factor=max(0, 1 - n / 29)) for n in range(1, 30)],
    ],
    ids=["nothing", "one step", "never finite", "no step", "negative loss", "annealed to zero"],
)
def test_odd_runs_can_be_drawn(tmp_path, rows):
    assert draw(tmp_path, rows).shape[1] == 900
