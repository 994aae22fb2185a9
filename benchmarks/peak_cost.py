"""What a run with PeakSLS costs relative to one with Adam: time, forward passes, memory.

    python benchmarks/peak_cost.py [--steps 400 2000]

Both train their own copy of a network on the same mini-batches and take turns of a few steps, so
that whatever else the machine does falls on both. The time is the sum over the run divided by
Adam's, and the median over turns for each phase of the rule. Memory is what the optimizers keep
between steps beyond Adam's, in copies of the parameters. Writes `benchmarks/peak_cost.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from experiments.config.compose import load  # noqa: E402
from experiments.tasks.build import build_task  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402
from experiments.training.closure import BatchClosure, Passes  # noqa: E402
from sls import PeakSLS  # noqa: E402

NETWORKS = {
    "ResNet-8 on digits": (["task=digits", "model=resnet"], 32),
    "small GPT-2 on text": (
        ["task=python_text", "model=gpt2_small", "model.layers=2", "model.width=64"],
        16,
    ),
}
TURN = 4


class Run:
    """One optimizer with its own copy of the network, and what it has cost."""

    def __init__(self, arguments: list[str], batch_size: int, total_steps: int | None):
        config = load(arguments)
        torch.manual_seed(0)
        self.task = build_task(config.task, config.model, data_root=None)
        self.task.model.train()
        params = list(self.task.model.parameters())
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(params, lr=1e-3)
            if total_steps is None
            else PeakSLS(params, total_steps=total_steps)
        )
        self.batches = training_batches(self.task.train, seed=0, batch_size=batch_size)
        self.passes = Passes()
        self.seconds: list[float] = []

    def turn(self) -> None:
        """Take some steps and remember how long they took."""
        batches = [next(self.batches) for _ in range(TURN)]
        start = time.perf_counter()
        for batch in batches:
            closure = BatchClosure(self.task, batch, self.passes, device=torch.device("cpu"))
            self.optimizer.step(closure)  # type: ignore[arg-type]
        self.seconds.append(time.perf_counter() - start)

    @property
    def phase(self) -> str:
        """What PeakSLS is at: rising, settling or held."""
        return str(self.optimizer.param_groups[0]["search_state"]["peak"]["phase"])

    @property
    def copies(self) -> float:
        """Numbers in the optimizer's state, as a multiple of those in the parameters."""
        tensors = (x for state in self.optimizer.state.values() for x in state.values())
        numbers = sum(x.numel() for x in tensors if isinstance(x, torch.Tensor) and x.numel() > 1)
        return numbers / sum(param.numel() for param in self.task.model.parameters())


def measure(arguments: list[str], batch_size: int, steps: int) -> dict[str, object]:
    """Cost of a run of PeakSLS relative to Adam's."""
    adam, peak = Run(arguments, batch_size, None), Run(arguments, batch_size, steps)
    ratios: dict[str, list[float]] = defaultdict(list)
    copies: dict[str, float] = {}
    for _ in range(steps // TURN):
        phase = peak.phase
        adam.turn()
        peak.turn()
        if phase == peak.phase:
            ratios[phase].append(peak.seconds[-1] / adam.seconds[-1])
            copies[phase] = peak.copies - adam.copies
    return {
        # The first turns pay for what torch sets up once.
        "time": sum(peak.seconds[2:]) / sum(adam.seconds[2:]),
        "forward_passes": peak.passes.forward / steps,
        "time_by_phase": {phase: statistics.median(some) for phase, some in ratios.items()},
        "steps_by_phase": {phase: TURN * len(some) for phase, some in ratios.items()},
        "copies_beyond_adam": copies,
    }


def main() -> None:
    """Measure, print, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[400, 2000])
    options = parser.parse_args()
    results = {}
    for network, (arguments, batch_size) in NETWORKS.items():
        for steps in options.steps:
            cost = results[f"{network}, {steps} steps"] = measure(arguments, batch_size, steps)
            print(f"{network}, {steps} steps: {json.dumps(cost)}", flush=True)
    record = {"threads": torch.get_num_threads(), "results": results}
    (ROOT / "benchmarks" / "peak_cost.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
