"""The slope of a search by finite difference, as the ALSALS paper has it, against the exact one.

    python benchmarks/slope.py [--steps 60] [--train-steps 200] [--seeds 2]

Along a run of Adam in float64 on a small GPT-2, the slope `p = ⟨g, d⟩` is found at the same points
in float32, float64 and bfloat16 (autocast), exactly and by `(f(w) − f(w − εd))/ε`; the truth is the
exact slope in float64. Then ALSALS trains with either slope in each precision. Writes
`benchmarks/slope.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from experiments.config.compose import load  # noqa: E402
from experiments.tasks.base import Task  # noqa: E402
from experiments.tasks.build import build_task  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402
from experiments.training.closure import BatchClosure, Passes, Precision  # noqa: E402
from sls import ALSALS  # noqa: E402
from sls.directions import finite_difference_slope  # noqa: E402

NETWORK = ["task=python_text", "model=gpt2_small", "model.layers=2", "model.width=32"]
PRECISIONS: dict[str, tuple[torch.dtype, Precision]] = {
    "float64": (torch.float64, "float32"),  # no autocast
    "float32": (torch.float32, "float32"),
    "bfloat16": (torch.float32, "bfloat16"),
}
CPU = torch.device("cpu")
BATCH = 8


def new_task(dtype: torch.dtype, seed: int = 0) -> Task:
    """The small GPT-2 on Python's help texts."""
    config = load(NETWORK)
    torch.manual_seed(seed)
    task: Task = build_task(config.task, config.model, data_root=None)
    task.model.to(dtype).train()
    return task


# --------------------------------------------------------------------------- the same points


def slopes(task: Task, batch: Any, direction: list[Tensor], precision: Precision) -> dict[str, Any]:
    """Both slopes at the task's parameters, and the forward passes of the finite difference."""
    weights = list(task.model.parameters())
    passes = Passes()
    closure = BatchClosure(task, batch, passes, device=CPU, precision=precision)
    loss = float(closure())
    exact = sum(
        float(torch.dot(w.grad.double().ravel(), d.double().ravel()))
        for w, d in zip(weights, direction, strict=True)
        if w.grad is not None
    )
    start = [w.detach().clone() for w in weights]

    @torch.no_grad()
    def loss_at(step: float) -> float:
        for w, first, d in zip(weights, start, direction, strict=True):
            w.copy_(first - step * d)
        return float(closure())

    before = passes.forward
    estimate = finite_difference_slope(loss, loss_at)
    loss_at(0.0)  # back at the start
    return {"exact": exact, "estimate": estimate, "passes": passes.forward - before - 1}


def along_adam(steps: int) -> dict[str, dict[str, float]]:
    """How far each precision's two slopes are from the truth, over the steps of one run."""
    task = new_task(torch.float64)
    twins = {name: copy.deepcopy(task) for name in PRECISIONS}
    for name, twin in twins.items():
        twin.model.to(PRECISIONS[name][0])
    adam = torch.optim.Adam(task.model.parameters(), lr=1e-3)
    weights = list(task.model.parameters())
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in PRECISIONS}
    batches = training_batches(task.train, seed=0, batch_size=BATCH)
    for batch in islice(batches, steps):
        BatchClosure(task, batch, Passes(), device=CPU)()
        before = [w.detach().clone() for w in weights]
        grads = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights]
        adam.step()
        direction = [(a - w.detach()) / 1e-3 for a, w in zip(before, weights, strict=True)]
        truth = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True))
        for name, (dtype, precision) in PRECISIONS.items():
            with torch.no_grad():
                for w, value in zip(twins[name].model.parameters(), before, strict=True):
                    w.copy_(value)
            own = [d.to(dtype) for d in direction]
            found[name].append(slopes(twins[name], batch, own, precision) | {"truth": truth})
    return {name: summed_up(points) for name, points in found.items()}


def summed_up(points: list[dict[str, Any]]) -> dict[str, float]:
    """Medians and shares over the points."""

    def error(point: dict[str, Any], which: str) -> float:
        return float(abs(point[which] - point["truth"]) / abs(point["truth"]))

    return {
        "median relative error, exact": statistics.median(error(p, "exact") for p in points),
        "median relative error, finite difference": statistics.median(
            error(p, "estimate") for p in points
        ),
        "share with the wrong sign or zero, finite difference": statistics.mean(
            p["estimate"] * p["truth"] <= 0 for p in points
        ),
        "share with a first difference of exactly zero": statistics.mean(
            p["passes"] > 1 for p in points
        ),
        "forward passes of the finite difference": statistics.mean(p["passes"] for p in points),
    }


# ----------------------------------------------------------------------------------- training


def trained(precision: str, slope: str, steps: int, seed: int) -> dict[str, float]:
    """The mean training loss of the last tenth, and the forward passes of a step."""
    dtype, cast = PRECISIONS[precision]
    task = new_task(dtype, seed)
    optimizer = ALSALS(task.model.parameters(), slope=slope)  # type: ignore[arg-type]
    passes, losses = Passes(), []
    for batch in islice(training_batches(task.train, seed=seed, batch_size=BATCH), steps):
        closure = BatchClosure(task, batch, passes, device=CPU, precision=cast)
        losses.append(float(optimizer.step(closure)))
    last = losses[-max(1, steps // 10) :]
    return {"loss": statistics.fmean(last), "passes": passes.forward / steps}


def main() -> None:
    """Measure, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--train-steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    points = along_adam(options.steps)
    for name, numbers in points.items():
        print(f"\n{name}")
        for what, number in numbers.items():
            print(f"  {what:54} {number:.3g}")
    training: dict[str, dict[str, list[dict[str, float]]]] = {}
    for name in PRECISIONS:
        for slope in ("exact", "finite_difference"):
            ends = [trained(name, slope, options.train_steps, s) for s in range(options.seeds)]
            training.setdefault(name, {})[slope] = ends
            print(name, slope, *(f"{end['loss']:.3f} ({end['passes']:.2f})" for end in ends))
    record = {
        "steps": options.steps,
        "train_steps": options.train_steps,
        "points": points,
        "training": training,
    }
    (ROOT / "benchmarks" / "slope.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
