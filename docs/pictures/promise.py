r"""The README's picture, docs/promise.png, from files of this repository.

    python docs/pictures/promise.py                      # draws it
    python docs/pictures/promise.py --from results/mine  # first copies the right panel's losses

Left: results/no_settings/report/runs.csv, tuning runs (Adam at six rates, one seed) and comparison
runs (PeakSLS, five seeds) of ten rows. Right: docs/pictures/promise.csv, validation losses of ten
runs that need no data, seeds 0 to 4 of

    python main.py experiment=quick_python_text optimizer=peak_sls seed=0 \
      trainer.eval_every_steps=20 results_dir=results/mine

and of the same with optimizer=adam optimizer.lr=1e-3, Adam's best rate of six on this row.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = ROOT / "results/no_settings/report/runs.csv"
CURVES = Path(__file__).with_suffix(".csv")
PICTURE = ROOT / "docs/promise.png"

PEAK, ADAM, GREY = "#D81B60", "#222222", "#B8B8B8"
TIMES = (0.1, 0.3, 1, 3, 10, 30)
"""Adam's six rates, as multiples of 1e-3, or of 1e-4 for pretrained models."""
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": "#888888",
    "axes.titlelocation": "left",
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "font.size": 12.5,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


def relative_losses() -> tuple[pd.DataFrame, float]:
    """Final validation loss over that of Adam's best rate: Adam by row and rate, and PeakSLS.

    Rates are tried with seed 0 and divided by the best of them; PeakSLS is the mean of five seeds
    over the mean of Adam's five at that rate, as a geometric mean over the rows.
    """
    runs = pd.read_csv(RUNS)
    runs["lr"] = [json.loads(settings).get("lr") for settings in runs["settings"]]
    tried = runs[(runs["stage"] == "tuning") & (runs["label"] == "adam")]
    losses = tried.pivot(index="row", columns="lr", values="final.val_loss")
    rows = {row: found.dropna().to_numpy() for row, found in losses.iterrows()}
    adam = pd.DataFrame(rows, index=TIMES).T
    final = runs[runs["stage"] == "comparison"].groupby(["row", "label"])["final.val_loss"].mean()
    ratios = final.unstack()["peak_sls"] / final.unstack()["adam"]
    return adam.div(adam.min(axis=1), axis=0), float(np.exp(np.log(ratios).mean()))


def draw_rates(axes: Axes) -> None:
    """Adam's loss over its peak rate, ten rows and their mean; PeakSLS as a line across."""
    adam, peak = relative_losses()
    axes.plot(TIMES, adam.T.to_numpy(), color=GREY, linewidth=1)
    mean = np.exp(np.log(adam).mean())
    axes.plot(TIMES, mean, color=ADAM, linewidth=2.6, marker="o", markersize=5)
    axes.axhline(peak, color=PEAK, linewidth=3)
    axes.set(xscale="log", yscale="log", ylim=(0.93, 2.05))
    axes.set_xticks(TIMES, [f"{times:g}×" for times in TIMES])
    axes.set_yticks([1, 1.2, 1.5, 2], ["1", "1.2", "1.5", "2"])
    axes.minorticks_off()
    axes.set_title("No rate to find: ten small tasks")
    axes.set_xlabel("Adam's peak learning rate (1× is 1e-3, pretrained 1e-4)")
    axes.set_ylabel("final validation loss ÷ Adam's best rate")
    axes.text(
        0.11, peak - 0.01, f"PeakSLS, nothing set: {peak:.3f}", color=PEAK, weight="bold", va="top"
    )
    axes.text(0.24, 1.7, "Adam: mean", color=ADAM, weight="bold")
    axes.text(2.1, 1.88, "grey: each task", color="#777777")


def draw_run(axes: Axes) -> None:
    """Validation loss along a run: median over the seeds, band from the lowest to the highest."""
    curves = pd.read_csv(CURVES)
    for optimizer, colour in (("adam", ADAM), ("peak_sls", PEAK)):
        losses = curves[curves["optimizer"] == optimizer].groupby("step")["val_loss"]
        low, middle, high = losses.min(), losses.median(), losses.max()
        axes.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(middle.index, middle, color=colour, linewidth=2.6)
    axes.set(ylim=(1.95, 4.75))
    axes.set_title("Where it gains most: a small GPT-2")
    axes.set_xlabel("step (five seeds: median, lowest to highest)")
    axes.set_ylabel("validation loss")
    axes.text(128, 2.68, "Adam at the best of six rates", color=ADAM, weight="bold")
    axes.text(128, 2.08, "PeakSLS, nothing set", color=PEAK, weight="bold")


def read_curves(results: Path) -> None:
    """Write promise.csv from the runs below `results`."""
    rows = []
    for metrics in sorted(results.glob("quick_python_text/*/*/*/metrics.jsonl")):
        for line in map(json.loads, metrics.read_text().splitlines()):
            if line["event"] == "evaluation":
                seed = metrics.parent.name.split("-")[0].removeprefix("s")
                rows.append(
                    [metrics.parents[1].name, seed, line["step"], round(line["val_loss"], 4)]
                )
    pd.DataFrame(rows, columns=["optimizer", "seed", "step", "val_loss"]).to_csv(
        CURVES, index=False
    )


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--from", dest="results", type=Path, help="read the right panel's runs here"
    )
    results = parser.parse_args().results
    if results is not None:
        read_curves(results)
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=(11.2, 4.8), facecolor="white", layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.05, 1])
        draw_rates(left)
        draw_run(right)
        figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
