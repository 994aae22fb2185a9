"""The optimizer's own work in a step, from 1 M to 110 M parameters, and the cost over batch sizes.

    python benchmarks/own_cost.py [--steps 24] [--device cuda]

*Own work*: the closure only hands over ready gradients, and its time is left out; what remains is
divided by that of Adam's step (torch's foreach kernels). The lists of parameters are GPT-2's, of
four sizes. *Batch sizes*: whole steps of a small GPT-2 by PeakSLS at its peak and by ALSALS,
divided by Adam's. Optimizers take turns step by step; numbers are medians of the ratios, after the
first steps. Writes `benchmarks/results/own_cost.{json,md,png}`, or `own_cost_cuda.…`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from result_files import machine, markdown_table, now, title_on, write  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402

from sls import ALSALS, AdamSLS, PeakSLS  # noqa: E402

Params = list[torch.nn.Parameter]
SIZES = {"1 M": (128, 4, 2_000), "6 M": (256, 6, 4_000), "23 M": (512, 6, 8_000)}
LARGEST = {"110 M": (768, 12, 32_000)}
"""Width, layers, vocabulary."""
BATCH_SIZES = (4, 16, 64)
TINY: dict[str, Any] = {"init_step": 1e-6, "c": 0.01}
"""So that the first trial is accepted."""
MAKERS: dict[str, Callable[[Params], torch.optim.Optimizer]] = {
    "Adam": lambda params: torch.optim.Adam(params, lr=1e-6, foreach=True),
    "Adam, fused": lambda params: torch.optim.Adam(params, lr=1e-6, fused=True),
    "ALSALS, one trial": lambda params: ALSALS(params, **TINY),
    "Adam-SLS, one trial": lambda params: AdamSLS(params, **TINY),
    "ALSALS, no search": lambda params: ALSALS(params, search="adaptive", growth=1.0, **TINY),
    "PeakSLS, held": lambda params: PeakSLS(params, total_steps=20),
}
GOALS = {"ALSALS, one trial": 2.0, "Adam-SLS, one trial": 2.0} | dict.fromkeys(
    ("ALSALS, no search", "PeakSLS, held"), 1.05
)


class Ready:
    """An optimizer whose closure hands over ready gradients and a falling loss."""

    def __init__(
        self,
        make: Callable[[Params], torch.optim.Optimizer],
        size: tuple[int, int, int],
        device: torch.device,
    ):
        self.device = device
        values = [0.02 * torch.randn(shape, device=device) for shape in shapes(*size)]
        self.params = [torch.nn.Parameter(value) for value in values]
        self.gradients = [1e-3 * torch.randn_like(param) for param in self.params]
        self.optimizer = make(self.params)
        self.seconds: list[float] = []
        self._inside = 0.0
        self._calls = 0

    def closure(self) -> torch.Tensor:
        """The loss, with gradients where they are enabled."""
        start = now(self.device)
        if torch.is_grad_enabled():
            for param, gradient in zip(self.params, self.gradients, strict=True):
                param.grad = gradient.clone()
        self._calls += 1
        loss = torch.tensor(1.0 - 1e-3 * self._calls, device=self.device)
        self._inside += now(self.device) - start
        return loss

    def step(self) -> None:
        """Take a step; remember how long it took, without the closure."""
        self._inside, start = 0.0, now(self.device)
        self.optimizer.step(self.closure)  # type: ignore[arg-type]
        self.seconds.append(now(self.device) - start - self._inside)


def shapes(width: int, layers: int, vocabulary: int) -> list[tuple[int, ...]]:
    """The shapes of a GPT-2's parameters."""
    block: list[tuple[int, ...]] = [(width,)] * 6
    block += [(3 * width,), (4 * width,), (3 * width, width), (width, width)]
    block += [(4 * width, width), (width, 4 * width)]
    return [(vocabulary, width), (512, width), *(block * layers)]


def own_work(size: tuple[int, int, int], steps: int, device: torch.device) -> dict[str, Any]:
    """The own work of every optimizer on one size."""
    runs = {name: Ready(make, size, device) for name, make in MAKERS.items()}
    for _ in range(steps):
        for run in runs.values():
            run.step()
    adam = runs["Adam"]
    return {
        "parameters": sum(math.prod(shape) for shape in shapes(*size)),
        "adam_ms": 1e3 * statistics.median(adam.seconds[steps // 2 :]),
        "own_work": {name: _median_ratio(run, adam, steps // 2) for name, run in runs.items()},
    }


def _median_ratio(run: Any, adam: Any, first: int) -> float:
    pairs = zip(run.seconds[first:], adam.seconds[first:], strict=True)
    return float(statistics.median(mine / theirs for mine, theirs in pairs))


class Whole:
    """An optimizer that trains a small GPT-2 on random tokens."""

    def __init__(
        self,
        make: Callable[[Params], torch.optim.Optimizer],
        batch_size: int,
        device: torch.device,
    ):
        torch.manual_seed(0)
        config = GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=256, n_positions=64)
        self.model = GPT2LMHeadModel(config).to(device)
        self.device = device
        self.optimizer = make(list(self.model.parameters()))
        self.batch_size = batch_size
        self.seconds: list[float] = []

    def step(self) -> None:
        """Take a step on new tokens."""
        tokens = torch.randint(0, 256, (self.batch_size, 64), device=self.device)

        def closure() -> torch.Tensor:
            if torch.is_grad_enabled():
                self.optimizer.zero_grad()
            loss: torch.Tensor = self.model(tokens, labels=tokens).loss
            if torch.is_grad_enabled():
                torch.autograd.backward(loss)
            return loss

        start = now(self.device)
        self.optimizer.step(closure)  # type: ignore[arg-type]
        self.seconds.append(now(self.device) - start)


def over_batch_sizes(batch_size: int, steps: int, device: torch.device) -> dict[str, float]:
    """Whole steps at one batch size."""
    names = ("Adam", "PeakSLS, held", "ALSALS, one trial")
    runs = {name: Whole(MAKERS[name], batch_size, device) for name in names}
    for _ in range(steps):
        for run in runs.values():
            run.step()
    return {name: _median_ratio(run, runs["Adam"], steps // 2) for name, run in runs.items()}


# ------------------------------------------------------------------------------------- writing


def table(record: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    sizes = record["own_work"]
    rows = []
    for name in MAKERS:
        ratios = [f"{result['own_work'][name]:.2f}" for result in sizes.values()]
        rows.append([name, *ratios, f"≤ {GOALS[name]}" if name in GOALS else ""])
    milliseconds = [f"{result['adam_ms']:.1f}" for result in sizes.values()]
    rows.append(["*Adam, ms*", *milliseconds, ""])
    names = ("PeakSLS, held", "ALSALS, one trial")
    whole = [
        [size, *(f"{ratios[name]:.2f}" for name in names)]
        for size, ratios in record["batch_sizes"].items()
    ]
    lines = [
        "# The optimizers' own work",
        "",
        "Time ÷ that of Adam's step, closure left out.",
        "",
        *markdown_table(("optimizer", *sizes, "goal at 23 M and 110 M"), rows),
        "",
        "Whole steps of a small GPT-2 ÷ Adam's:",
        "",
        *markdown_table(("batch size", "PeakSLS, held", "ALSALS"), whole),
    ]
    return "\n".join(lines) + "\n"


def picture(record: dict[str, Any]) -> Figure:
    """Own work over parameters, whole steps over batch sizes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = record["own_work"].values()
    for name in MAKERS:
        ratios = [result["own_work"][name] for result in sizes]
        left.plot([result["parameters"] for result in sizes], ratios, "o-", label=name)
    left.set(xscale="log", xlabel="parameters", ylabel="own work ÷ Adam's")
    left.set_ylim(0, 1.4 * left.get_ylim()[1])  # room for the legend
    left.legend(fontsize=7, ncols=2)
    for name in ("PeakSLS, held", "ALSALS, one trial"):
        ratios = [ratios_at[name] for ratios_at in record["batch_sizes"].values()]
        right.plot(list(record["batch_sizes"]), ratios, "o-", label=name)
    right.set(xlabel="batch size", ylabel="whole step ÷ Adam's", ylim=(0, None))
    right.legend(fontsize=7)
    return figure


def main() -> None:
    """Measure, print, write the numbers, the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    steps, device = options.steps, options.device
    warnings.filterwarnings("ignore", message=".*total_steps.*")
    # The losses of `Ready` fall from call to call, which is what lets one trial be enough.
    warnings.filterwarnings("ignore", message=".*the loss does not repeat")
    sizes = SIZES | LARGEST
    record = machine(device) | {
        "own_work": {name: own_work(size, steps, device) for name, size in sizes.items()},
        "batch_sizes": {str(n): over_batch_sizes(n, 4 * steps, device) for n in BATCH_SIZES},
    }
    write(title_on(device, "own_cost"), record, table(record), picture(record))
    print(table(record))


if __name__ == "__main__":
    main()
