"""Results made by hand, and tables of sensitivity and profiles as the report computes them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import image

from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import PlannedCell, Results, RunRecord

OPTIMIZERS = {"adam": "adam", "sgd": "sgd", "alsals": "alsals", "mine": "alsals"}


def steps(number=60, loss=None, searching=False, seconds_a_step=0.5):
    """A smoothly falling loss (or the one given), and constant step sizes."""
    n = np.arange(1, number + 1)
    return pd.DataFrame(
        {
            "step": n,
            "epoch": n / 20,
            "seconds": n * seconds_a_step,
            "forward_passes": n,
            "backward_passes": n,
            "loss": 2.0 / n if loss is None else np.asarray(loss, dtype=float),
            "step_size": np.full(number, 0.01),
            "factor": np.full(number, 0.5 if searching else np.nan),
            "trials": np.full(number, 2.0 if searching else np.nan),
        }
    )


def evaluations(number=3, score="accuracy", offset=0.0):
    n = np.arange(1, number + 1)
    values = {"step": 20 * n, "epoch": 1.0 * n, "seconds": 10.0 * n, "forward_passes": 20 * n}
    losses = {"train_loss": 1.0 / n, "val_loss": 1.2 / n}
    return pd.DataFrame({**values, **losses, score: 0.5 + 0.1 * n + offset})


def run(row="cpu_mrpc_bert", label="adam", seed=0, **changes):
    optimizer = OPTIMIZERS.get(label, label)
    values = {
        "folder": Path("results") / row / label / f"s{seed}",
        "stage": "comparison",
        "row": row,
        "label": label,
        "optimizer": optimizer,
        "seed": seed,
        "hash": "01234567",
        "status": "finished",
        "config": {"optimizer": {"kind": optimizer, **changes.pop("settings", {})}},
        "env": {},
        "summary": None,
        "score": "accuracy",
        "score_is_loss": False,
        "steps": steps(searching=optimizer == "alsals"),
        "evaluations": evaluations(offset=0.01 * seed),
    }
    return RunRecord(**(values | changes))


def compared(*runs, planned=()):
    cells = [PlannedCell(row, label, OPTIMIZERS.get(label, label), (0,)) for row, label in planned]
    return Comparison(Results(Path("results"), tuple(runs), tuple(cells), ()))


def sensitivity(*lines):
    """Lines of row, label, lr, number, winner; the number is an accuracy on held-out examples."""
    columns = ["row", "label", "lr", "number", "winner"]
    table = pd.DataFrame(lines, columns=columns).astype({"lr": float, "number": float})
    table["diverged"] = table["number"].isna()
    return table.assign(number_name="accuracy", lower_is_better=False, hold_out=0.1)


def profiles(*lines, rows=2):
    """Lines of label, tau, share; all of so many rows."""
    return pd.DataFrame(lines, columns=["label", "tau", "share"]).assign(rows=rows)


def pixels(png):
    """A PNG as height × width × 3 integers."""
    return (image.imread(io.BytesIO(png))[:, :, :3] * 255).round().astype(int)


def count(picture, colour, tolerance=6):
    """How many pixels of a picture have a colour, given as #RRGGBB."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels(picture.png) - wanted).max(axis=-1) <= tolerance).sum())
