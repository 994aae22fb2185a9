"""What a step costs relative to Adam's: time, forward passes, synchronisations.

    python benchmarks/step_cost.py [--rounds 15] [--steps 4]

Every optimizer trains its own copy of a network on the same mini-batches; the optimizers take
turns, a few steps each, so that whatever else the machine does falls on all of them. The time is
the median over rounds of the ratio to Adam's turn in the same round; passes are means over all
steps after the first round. Writes `benchmarks/step_cost.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from experiments.config.compose import load  # noqa: E402
from experiments.tasks.base import Task  # noqa: E402
from experiments.tasks.build import build_task  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402
from experiments.training.closure import BatchClosure, Passes  # noqa: E402
from sls import ALSALS, SLS, AdamSLS, SaLSA  # noqa: E402

NETWORKS = {
    "ResNet-8 on digits": ["task=digits", "model=resnet"],
    "small GPT-2 on text": ["task=python_text", "model=gpt2_small"],
}
MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda params: torch.optim.Adam(params, lr=1e-3),
    "sls": lambda params: SLS(params, n_batches_per_epoch=50),
    "adam_sls": AdamSLS,
    "alsals": ALSALS,
    "alsals adaptive": lambda params: ALSALS(params, search="adaptive"),
    "alsals paper": ALSALS.paper,
    "salsa": SaLSA,
}


class Contender:
    """One optimizer with its own copy of the network, and what it has cost."""

    def __init__(self, arguments: list[str], make: Callable[..., torch.optim.Optimizer]):
        config = load(arguments)
        torch.manual_seed(0)
        self.task: Task = build_task(config.task, config.model, data_root=None)
        self.task.model.train()
        self.optimizer = make(self.task.model.parameters())
        self.batches = training_batches(self.task.train, seed=0, batch_size=32)
        self.passes = Passes()
        self.seconds: list[float] = []
        self.steps = 0

    def turn(self, steps: int) -> None:
        """Take some steps and remember how long they took."""
        batches = [next(self.batches) for _ in range(steps)]
        start = time.perf_counter()
        for batch in batches:
            closure = BatchClosure(self.task, batch, self.passes, device=torch.device("cpu"))
            self.optimizer.step(closure)  # type: ignore[arg-type]
        self.seconds.append(time.perf_counter() - start)
        self.steps += steps


def measure(arguments: list[str], rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Cost of every optimizer on one network, relative to Adam's."""
    contenders = {name: Contender(arguments, make) for name, make in MAKERS.items()}
    for contender in contenders.values():  # warm-up, not counted
        contender.turn(steps)
        contender.passes, contender.seconds, contender.steps = Passes(), [], 0
    for _ in range(rounds):
        for contender in contenders.values():
            contender.turn(steps)
    adam = contenders["adam"].seconds
    return {
        name: {
            "time": statistics.median(t / a for t, a in zip(one.seconds, adam, strict=True)),
            "forward_passes": one.passes.forward / one.steps,
            "backward_passes": one.passes.backward / one.steps,
        }
        for name, one in contenders.items()
    }


def main() -> None:
    """Measure, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    results = {}
    for network, arguments in NETWORKS.items():
        results[network] = measure(arguments, options.rounds, options.steps)
        print(f"\n{network}: a step relative to Adam's")
        print(f"{'optimizer':16} {'time':>6} {'forward':>8} {'backward':>9}")
        for name, cost in results[network].items():
            print(
                f"{name:16} {cost['time']:6.2f} {cost['forward_passes']:8.2f} "
                f"{cost['backward_passes']:9.2f}"
            )
    record = {"rounds": options.rounds, "steps_a_turn": options.steps, "results": results}
    (ROOT / "benchmarks" / "step_cost.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
