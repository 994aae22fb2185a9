"""How near `sls.suggest_lr` and the learning-rate range test come to the best of a grid of rates.

    python benchmarks/suggest_lr.py data_root=… [--rows quick_gpt …]

The rows and Adam's losses at six rates are those of docs/no_settings.md, in results/no_settings.
For every seed, which gives the model's weights and the order of the data, it asks `suggest_lr`; for
the first one also Lightning's `lr_find`, with its 100 steps and with as many steps as the probes
took. Rows already in `benchmarks/suggest_lr.json` are kept; those named are measured anew, but for
range tests that are not asked for.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy  # noqa: E402
import torch  # noqa: E402

from experiments.config.compose import load  # noqa: E402
from experiments.data.base import Batch  # noqa: E402
from experiments.run import build_task_of  # noqa: E402
from experiments.tasks.base import Task  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402
from sls import suggest_lr  # noqa: E402

CHOOSING = (
    "quick_gpt",
    "quick_resnet",
    "quick_vit",
    "quick_digits_mlp",
    "quick_sst2",
    "quick_mrpc",
)
CONFIRMING = ("quick_gpt_tokens", "quick_resnet_wide", "quick_python_text", "quick_cola")
RUNS = ROOT / "results" / "no_settings" / "report" / "runs.csv"
RECORD = ROOT / "benchmarks" / "suggest_lr.json"
DEFAULT_STEPS = 100
"""The number of steps of Lightning's `lr_find` if none is given."""
SKIPPED = 10
"""The number of losses at the beginning that Lightning's suggestion leaves out."""


# ------------------------------------------------------------------------------ the best of a grid


def grid_of(row: str) -> dict[float, float]:
    """Adam's rates and the validation losses at the end, seed 0."""
    with RUNS.open() as file:
        runs = [x for x in csv.DictReader(file) if (x["row"], x["optimizer"]) == (row, "adam")]
    pairs = [
        (json.loads(x["settings"])["lr"], float(x["final.val_loss"]))
        for x in runs
        if x["stage"] == "tuning"
    ]
    return dict(sorted(pairs))


def best_between(grid: dict[float, float]) -> float | None:
    """The vertex of the parabola through the best rate and its neighbours, over log lr.

    None where the best rate is the first or the last of the grid.
    """
    rates = list(grid)
    at = rates.index(min(grid, key=grid.__getitem__))
    if at in (0, len(rates) - 1):
        return None
    near = rates[at - 1 : at + 2]
    a, b, c = map(math.log, near)
    u, v, w = (grid[rate] for rate in near)
    left, right = (v - u) / (b - a), (w - v) / (c - b)
    return math.exp((a + b) / 2 - left * (c - a) / (2 * (right - left)))


def loss_at(rate: float, grid: dict[str, float]) -> float:
    """The validation loss at this rate, between those of the grid by a line over log lr."""
    points = [math.log(float(text)) for text in grid]
    return float(numpy.interp(math.log(rate), points, list(grid.values())))


# ----------------------------------------------------------------------------------- the two ways


class Loader:
    """The training batches of a run; without end."""

    def __init__(self, task: Task, config: Any):
        self.task, self.config = task, config

    def __iter__(self) -> Iterator[Batch]:
        trainer = self.config.trainer
        return training_batches(
            self.task.train,
            seed=self.config.seed,
            batch_size=trainer.batch_size,
            group_by_length=trainer.group_by_length,
        )


def suggested(task: Task, config: Any) -> dict[str, Any]:
    """What `suggest_lr` says, and what it costs."""
    start = time.perf_counter()
    suggestion = suggest_lr(task.model, Loader(task, config), lambda _, batch: task.loss(batch))
    return {
        "lr": suggestion.lr,
        "probes": [probe.step_size for probe in suggestion.probes],
        "cut_short": [probe.cut_short for probe in suggestion.probes],
        "steps": suggestion.steps,
        "forward_passes": suggestion.forwards,
        "seconds": time.perf_counter() - start,
    }


def range_test(task: Task, config: Any, steps: int) -> dict[str, float | None]:
    """Lightning's suggestion after so many steps, and a tenth of the rate of the least loss."""
    import lightning.pytorch as lightning
    from lightning.pytorch.tuner import Tuner

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lr = 1e-3
            self.model = task.model

        def training_step(self, batch: Batch) -> torch.Tensor:
            return task.loss(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=self.lr)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            max_steps=steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        task.model.train()
        finder = Tuner(trainer).lr_find(
            Module(), train_dataloaders=Loader(task, config), num_training=steps, update_attr=False
        )
    assert finder is not None
    rates, losses = finder.results["lr"], finder.results["loss"]
    # The first smoothed losses are too low, which is why Lightning's suggestion skips them too.
    finite = [k for k, loss in enumerate(losses) if math.isfinite(loss) and k >= SKIPPED]
    least = min(finite, key=losses.__getitem__)
    return {"lightning": finder.suggestion(), "tenth_of_least": rates[least] / 10}


# ------------------------------------------------------------------------------------------- a row


def measure(
    row: str, seeds: list[int], range_tests: list[str], arguments: list[str], before: dict[str, Any]
) -> dict[str, Any]:
    """Everything about one row; range tests that are not asked for stay as before."""
    grid = grid_of(row)
    results: dict[str, Any] = {
        **before,
        "kind": "choosing" if row in CHOOSING else "confirming",
        "grid": {f"{rate:g}": loss for rate, loss in grid.items()},
        "best_of_grid": min(grid, key=grid.__getitem__),
        "best_between": best_between(grid),
        "seeds": seeds,
        "suggest_lr": [],
        **{f"lr_find_{test}": [] for test in range_tests},
    }
    for seed in seeds:
        config = load([f"experiment={row}", f"seed={seed}", *arguments])
        ours = suggested(build_task_of(config, torch.device("cpu")), config)
        results["suggest_lr"].append(ours)
        for test in range_tests if seed == seeds[0] else ():
            task = build_task_of(config, torch.device("cpu"))
            steps = DEFAULT_STEPS if test == "100" else ours["steps"]
            results[f"lr_find_{test}"].append(range_test(task, config, steps))
    return results


def middle(rates: list[float | None]) -> float:
    """The geometric mean; NaN of nothing."""
    there = [rate for rate in rates if rate]
    return statistics.geometric_mean(there) if there else math.nan


def rates_of(result: dict[str, Any]) -> dict[str, list[float | None]]:
    """The suggestions of each way, one for each seed."""
    return {
        "suggest_lr": [x["lr"] for x in result["suggest_lr"]],
        "lr_find, 100 steps": [x["lightning"] for x in result.get("lr_find_100", [])],
        "lr_find, same steps": [x["lightning"] for x in result.get("lr_find_same", [])],
        "tenth of least": [x["tenth_of_least"] for x in result.get("lr_find_same", [])],
    }


HEAD = """\
| | best of the grid | best between its rates | `suggest_lr` | ÷ best between | ÷ best of the grid \
| loss there ÷ best of the grid | `lr_find`, 100 steps, ÷ best between | as many steps \
| a tenth of the least | steps | passes |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |"""


def table(results: dict[str, Any]) -> str:
    """The rates and their ratios to the best one, as Markdown; confirming rows with *."""
    rows = [row for row in (*CHOOSING, *CONFIRMING) if row in results]
    return "\n".join([HEAD, *(line(row, results[row]) for row in rows)])


def line(row: str, result: dict[str, Any]) -> str:
    """The line of a row; where the best rate ends the grid, it counts as the best between."""
    best = result["best_between"] or result["best_of_grid"]
    between = f"{best:.1e}" if result["best_between"] else "ends the grid"
    ours, *others = rates_of(result).values()
    cells = [
        row if row in CHOOSING else f"{row} *",
        f"{result['best_of_grid']:.0e}",
        between,
        f"{middle(ours):.1e}",
        over(ours, best),
        over(ours, result["best_of_grid"]),
        f"{loss_at(middle(ours), result['grid']) / min(result['grid'].values()):.3f}",
        *(over(rates, best) for rates in others),
        f"{statistics.fmean(x['steps'] for x in result['suggest_lr']):.0f}",
        f"{statistics.fmean(x['forward_passes'] for x in result['suggest_lr']):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def over(rates: list[float | None], best: float) -> str:
    """The geometric mean of the rates over the best, and from where to where they range."""
    ratios = [rate / best for rate in rates if rate]
    if not ratios:
        return ""
    mean = f"{middle(rates) / best:.2g}"
    return mean if len(ratios) == 1 else f"{mean} ({min(ratios):.2g} to {max(ratios):.2g})"


def main() -> None:
    """Measure the rows, write the numbers after each, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", default=[*CHOOSING, *CONFIRMING])
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument(
        "--range-tests", nargs="*", choices=["100", "same"], default=["100", "same"]
    )
    options, arguments = parser.parse_known_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for row in options.rows:
        results = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        before = results.get(row, {})
        results[row] = measure(row, options.seeds, options.range_tests, arguments, before)
        RECORD.write_text(json.dumps(results, indent=1) + "\n")
        print(table({row: results[row]}), flush=True)
    print(table(json.loads(RECORD.read_text())))


if __name__ == "__main__":
    main()
