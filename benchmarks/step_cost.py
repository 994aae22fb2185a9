"""What a step costs relative to Adam's: time, forward passes, memory, with the goals beside.

    python benchmarks/step_cost.py [--steps 400] [--long] [--models "small ResNet"] [--only SLS]
    python benchmarks/step_cost.py --device cuda

BERT, whose step is thirty times as long, takes a quarter of the steps with fewer optimizers. A GPU
has networks of the papers' sizes. `HOW` tells how it is measured. Writes
`benchmarks/results/step_cost.{json,md,png}`, or `step_cost_cuda.…`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SLS_DATA_ROOT", ROOT.parent / "shared" / "data"))
CACHE = ROOT / ".sls_cache"
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from result_files import RESULTS, machine, markdown_table, now, title_on, write  # noqa: E402

from experiments.config.compose import load  # noqa: E402
from experiments.tasks.base import Task  # noqa: E402
from experiments.tasks.build import build_task  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402
from experiments.training.closure import BatchClosure, Passes, Precision  # noqa: E402
from sls import ALSALS, PLASLS, SLS, AdamSLS, PeakSLS, SaLSA  # noqa: E402

HOW = """Every optimizer trains its own copy of a network on the same mini-batches; they take turns
step by step, so that whatever else the machine does falls on all of them. The time of an optimizer
is the sum over its run divided by that of Adam (torch's foreach kernels); the spread is that of the
ratios of a hundred steps. `limit` is the time of one forward pass more without any work of an
optimizer: what a search in every step costs at least. Memory is what stays between steps beyond
Adam's, in copies of the parameters (`tests/sls/test_cost.py` counts what a step makes)."""

Make = Callable[[list[torch.nn.Parameter], int], torch.optim.Optimizer]
Adapt = Callable[[BatchClosure], Callable[..., Any]]


def _as_it_is(closure: BatchClosure) -> Callable[..., Any]:
    return closure


def _with_backwards(closure: BatchClosure) -> Callable[..., Any]:
    def evaluate(backwards: bool = False) -> Any:
        with torch.set_grad_enabled(backwards):
            return closure()

    return evaluate


@dataclass(frozen=True)
class Maker:
    """How an optimizer is made from the parameters and the number of steps, and what it calls."""

    make: Make
    adapt: Adapt = _as_it_is


def _units(params: list[torch.nn.Parameter], _: int) -> PLASLS:
    third = max(1, len(params) // 3)
    units: Any = [params[:third], params[third : 2 * third], params[2 * third :]]
    return PLASLS(units)


OURS = {
    "Adam": Maker(lambda params, _: torch.optim.Adam(params, lr=1e-3, foreach=True)),
    "Adam, fused": Maker(lambda params, _: torch.optim.Adam(params, lr=1e-3, fused=True)),
    "PeakSLS": Maker(lambda params, steps: PeakSLS(params, total_steps=steps)),
    "PeakSLS, averaging": Maker(lambda params, _: PeakSLS(params, averaging=True)),
    "ALSALS": Maker(lambda params, _: ALSALS(params)),
    "ALSALS, adaptive": Maker(lambda params, _: ALSALS(params, search="adaptive")),
    "ALSALS, budget 5 %": Maker(
        lambda params, _: ALSALS(params, search="budget", max_extra_forwards=0.05)
    ),
    "ALSALS, interpolating": Maker(lambda params, _: ALSALS(params, interpolate=True)),
    "ALSALS.paper": Maker(lambda params, _: ALSALS.paper(params)),
    "Adam-SLS": Maker(lambda params, _: AdamSLS(params)),
    "SLS": Maker(lambda params, _: SLS(params, n_batches_per_epoch=50)),
    "SaLSa": Maker(lambda params, _: SaLSA(params)),
    "PLASLS, 3 units": Maker(_units),
}
FEW = (
    "Adam",
    "Adam, fused",
    "PeakSLS",
    "ALSALS",
    "ALSALS, adaptive",
    "SaLSa",
    "salsa-optimizer",
    "salsa-optimizer, every step",
)
LONG = ("Adam", "PeakSLS", "ALSALS, adaptive")
LONG_STEPS = 2_000
GOALS = {"PeakSLS": (1.08, 1.03), "ALSALS": (1.38, 1.38), "ALSALS, adaptive": (1.04, 1.04)}
"""The time wanted at most, in a run of 400 and of 2,000 steps."""
COLUMNS = (
    "optimizer",
    "time ÷ Adam's",
    "per 100 steps",
    "goal",
    "forward passes",
    "copies kept",
)


@dataclass(frozen=True)
class Network:
    """A network and its data: the run's arguments, who trains it, and for how long."""

    arguments: list[str]
    batch_size: int
    optimizers: tuple[str, ...] | None = None
    """Their names; None for all."""
    share_of_steps: float = 1.0
    long: bool = True
    """`--long` measures it once more, with fewer optimizers."""
    precision: Precision = "float32"


ON_CPU = {
    "small GPT": Network(
        ["task=python_text", "model=gpt2_small", "model.layers=2", "model.width=64"], 16
    ),
    "BERT, 2 layers": Network(
        ["experiment=cpu_mrpc_bert", "model.layers=2"],
        16,
        optimizers=FEW,
        share_of_steps=0.25,
        long=False,
    ),
    "small ResNet": Network(["task=digits", "model=resnet"], 32),
}
ON_GPU = {
    "GPT-2, 124 M": Network(
        ["task=lm/shakespeare", "task.tokenizer=gpt2_tokenizer", "task.block=512", "model=gpt2"],
        16,
        optimizers=FEW,
        share_of_steps=0.5,
        precision="bfloat16",
    ),
    "ResNet-34": Network(
        ["task=image_folder", "model=resnet34"],
        128,
        optimizers=FEW,
        share_of_steps=0.5,
    ),
}


def peers() -> dict[str, Maker]:
    """The optimizers of other packages that are installed."""
    found: dict[str, Maker] = {}
    try:
        from salsa.SaLSA import SaLSA as Theirs
    except ImportError:
        print("salsa-optimizer is not installed: left out", file=sys.stderr)
    else:
        found["salsa-optimizer"] = Maker(lambda params, _: Theirs(params), _with_backwards)
        found["salsa-optimizer, every step"] = Maker(
            lambda params, _: Theirs(params, speed_up=False), _with_backwards
        )
    try:
        from dadaptation import DAdaptAdam
        from momo import MomoAdam
        from prodigyopt import Prodigy
        from schedulefree import AdamWScheduleFree
    except ImportError:
        print("the peers are not installed (pip install '.[peers]'): left out", file=sys.stderr)
        return found
    found["Prodigy"] = Maker(lambda params, _: Prodigy(params))
    found["D-Adapt Adam"] = Maker(lambda params, _: DAdaptAdam(params))
    found["MoMo-Adam"] = Maker(lambda params, _: MomoAdam(params))
    found["Schedule-Free AdamW"] = Maker(lambda params, _: _in_training(AdamWScheduleFree(params)))
    return found


def _in_training(optimizer: Any) -> torch.optim.Optimizer:
    optimizer.train()
    return optimizer  # type: ignore[no-any-return]


class Contender:
    """One optimizer with its own copy of the network, and what it has cost."""

    def __init__(self, network: Network, maker: Maker, steps: int, device: torch.device):
        config = load(network.arguments)
        torch.manual_seed(0)
        self.task: Task = build_task(config.task, config.model, data_root=DATA, cache=CACHE)
        self.task.model.to(device).train()
        self.device, self.precision = device, network.precision
        self.params = [p for p in self.task.model.parameters() if p.requires_grad]
        self.optimizer = maker.make(self.params, steps)
        self.adapt = maker.adapt
        self.passes = Passes()
        self.seconds: list[float] = []
        self.phases: list[str] = []

    def step(self, batch: Any) -> None:
        """Take a step and remember how long it took."""
        closure = self._closure(batch, self.passes)
        self.phases.append(self._phase())
        start = now(self.device)
        self.optimizer.step(self.adapt(closure))
        self.seconds.append(now(self.device) - start)

    def _closure(self, batch: Any, passes: Passes) -> BatchClosure:
        batch = {name: values.to(self.device) for name, values in batch.items()}
        return BatchClosure(self.task, batch, passes, device=self.device, precision=self.precision)

    def _phase(self) -> str:
        state = self.optimizer.param_groups[0].get("search_state", {})
        return str(state["peak"]["phase"]) if "peak" in state else ""

    def forward_only(self, batch: Any) -> float:
        """Seconds of one forward pass, as in a trial."""
        closure = self._closure(batch, Passes())
        start = now(self.device)
        with torch.no_grad():
            closure()
        return now(self.device) - start

    @property
    def copies(self) -> float:
        """Numbers in the optimizer's state, as a multiple of those in the parameters."""
        states = [x for x in self.optimizer.state.values() if isinstance(x, dict)]
        tensors = (x for state in states for x in state.values())
        numbers = sum(x.numel() for x in tensors if isinstance(x, torch.Tensor) and x.numel() > 1)
        return numbers / sum(param.numel() for param in self.params)


def measure(
    network: Network, name: str, makers: dict[str, Maker], steps: int, device: torch.device
) -> dict[str, Any]:
    """The cost of every optimizer on one network."""
    contenders = {who: Contender(network, m, steps, device) for who, m in makers.items()}
    adam = contenders["Adam"]
    batches = training_batches(adam.task.train, seed=0, batch_size=network.batch_size)
    forwards = []
    for k in range(steps):
        batch = next(batches)
        for who in _turn(list(contenders), k):
            contenders[who].step(batch)
        forwards.append(adam.forward_only(batch))
        if k % 50 == 49:
            print(f"{name}: {k + 1} of {steps} steps", file=sys.stderr, flush=True)
    seconds = sum(adam.seconds[2:])
    rows = {who: _row(one, adam) for who, one in contenders.items()}
    return {
        "steps": steps,
        "parameters": sum(param.numel() for param in adam.params),
        "adam_ms": 1e3 * seconds / len(adam.seconds[2:]),
        "limit": 1 + sum(forwards[2:]) / seconds,
        "rows": rows,
    }


def _turn(names: list[str], k: int) -> list[str]:
    """Another one begins in every step, since the first pays for what the caches have lost."""
    start = k % len(names)
    return names[start:] + names[:start]


def _row(one: Contender, adam: Contender) -> dict[str, Any]:
    # The first steps pay for what torch sets up once.
    pairs = list(zip(one.seconds[2:], adam.seconds[2:], strict=True))
    parts = [pairs[i : i + 100] for i in range(0, len(pairs), 100)]
    by_phase: dict[str, list[float]] = defaultdict(list)
    for phase, (mine, theirs) in zip(one.phases[2:], pairs, strict=True):
        by_phase[phase].append(mine / theirs)
    ratios = [_ratio(part) for part in parts]
    return {
        "time": _ratio(pairs),
        "spread": [min(ratios), max(ratios)],
        "forward_passes": one.passes.forward / len(one.seconds),
        "copies_beyond_adam": one.copies - adam.copies,
        "median_by_phase": {p: statistics.median(some) for p, some in by_phase.items() if p},
    }


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return sum(mine for mine, _ in pairs) / sum(theirs for _, theirs in pairs)


# ------------------------------------------------------------------------------------- writing


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# What a step costs", "", HOW.replace("\n", " "), ""]
    for key, result in results.items():
        lines += [
            f"## {key}",
            "",
            f"{result['parameters']:,} parameters; Adam's step takes {result['adam_ms']:.1f} ms. "
            f"One forward pass more, the limit: {result['limit']:.2f}.",
            "",
        ]
        rows = []
        for name, row in sorted(result["rows"].items(), key=lambda item: item[1]["time"]):
            rows += _lines_of(name, row, is_long=result["steps"] > 1000)
        lines += [*markdown_table(COLUMNS, rows), ""]
    return "\n".join(lines)


def _lines_of(name: str, row: dict[str, Any], *, is_long: bool) -> list[tuple[str, ...]]:
    goal = f"≤ {GOALS[name][is_long]:.2f}" if name in GOALS else ""
    low, high = row["spread"]
    whole = (f"{row['time']:.2f}", f"{low:.2f} to {high:.2f}", goal)
    rest = (f"{row['forward_passes']:.2f}", f"{row['copies_beyond_adam']:+.1f}")
    lines: list[tuple[str, ...]] = [(name, *whole, *rest)]
    for phase, ratio in row["median_by_phase"].items():
        lines.append((f"– median of a step while {phase}", f"{ratio:.2f}", "", "", "", ""))
    return lines


def picture(results: dict[str, Any]) -> Figure:
    """Time and forward passes of every optimizer, a panel for each network."""
    figure = Figure(figsize=(4.2 * len(results), 5.2), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for panel, (key, result) in zip(axes, results.items(), strict=True):
        rows = sorted(result["rows"].items(), key=lambda item: -item[1]["time"])
        names = [name for name, _ in rows]
        panel.barh(names, [row["time"] for _, row in rows], color="#8fb1d9", label="time")
        panel.plot(
            [row["forward_passes"] for _, row in rows],
            names,
            "o",
            color="#c8443c",
            label="forward passes",
        )
        panel.axvline(result["limit"], color="#1b7f5c", linewidth=1, label="one forward pass more")
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_title(key, fontsize=10)
        panel.set_xlabel("÷ Adam's")
        panel.tick_params(labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside lower center")
    return figure


def main() -> None:
    """Measure, print, write the numbers, the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--long", action="store_true", help="PeakSLS and ALSALS, 2,000 steps, too")
    parser.add_argument("--models", nargs="+", choices=[*ON_CPU, *ON_GPU])
    parser.add_argument("--only", nargs="+", help="these, beside Adam; other rows stay", default=[])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    makers = {**OURS, **peers()}
    networks = ON_CPU if options.device.type == "cpu" else ON_GPU
    title = title_on(options.device, "step_cost")
    file = RESULTS / f"{title}.json"
    results = json.loads(file.read_text())["results"] if options.only else {}
    for name in options.models or networks:
        network = networks[name]
        steps = max(4, int(network.share_of_steps * options.steps))
        runs = {f"{name}, {steps} steps": (network.optimizers or tuple(makers), steps)}
        if options.long and network.long:
            runs[f"{name}, {LONG_STEPS:,} steps"] = (LONG, LONG_STEPS)
        for key, (wanted, count) in runs.items():
            some = [who for who in wanted if who in ("Adam", *options.only) or not options.only]
            made = {who: makers[who] for who in some if who in makers}
            found = measure(network, name, made, count, options.device)
            if options.only:
                anew = {who: row for who, row in found["rows"].items() if who in options.only}
                results[key]["rows"] |= anew
            else:
                results[key] = found
        record = machine(options.device) | {"results": results}
        write(title, record, table(results), picture(results))
    print(table(results))


if __name__ == "__main__":
    main()
