"""What the harness costs beside a bare loop, and how long a run takes to start.

    python benchmarks/harness_cost.py [--steps 120] [--starts 9]

`STEPS` and `STARTS` tell what is counted. Writes `benchmarks/results/harness_cost.{json,md}`.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SLS_DATA_ROOT", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from result_files import markdown_table, write  # noqa: E402

from experiments.config.compose import load, run_path  # noqa: E402
from experiments.config.schema import RunConfig  # noqa: E402
from experiments.data.base import Source  # noqa: E402
from experiments.files.run_folder import RunFolder  # noqa: E402
from experiments.optimizers.build import build_optimizer  # noqa: E402
from experiments.run import assemble, build_task_of, run_info  # noqa: E402
from experiments.training.batches import epoch_order, lengths_of  # noqa: E402
from experiments.training.closure import BatchClosure  # noqa: E402
from experiments.training.loggers.base import JsonlLogger, Loggers  # noqa: E402
from experiments.training.loggers.console import console_logger  # noqa: E402
from experiments.training.loop import TrainingPlan  # noqa: E402

STEPS = """The harness trains as `main.py` does with its defaults: a row in `metrics.jsonl` for
every step, the console's lines, checkpoints every 100 steps, evaluations. The bare loop beside it
has the same model, optimizer, order of the data and number of steps, and no more than a loop needs:
batches picked by indices, zero_grad, loss, backward, step; where the harness evaluates, so does it.
The two take turns, step by step, in one process. *A step* is the median, which no evaluation or
checkpoint concerns; *all* is the whole run; *without evaluations* leaves them out on both sides;
*bare, not evaluating* divides all of the harness' time by that of the bare steps alone."""
STARTS = """A process that imports torch alone, and one that starts `main.py`, until the run has its
data, model, optimizer and folder and takes its first step (it writes a checkpoint just before it).
They take turns; numbers are medians."""
GOALS = {"steps": 1.03, "start": 1.5}
RUNS = {
    "digits": ["task=digits"],
    "BERT, 2 layers": ["experiment=cpu_mrpc_bert", "model.layers=2"],
}
"""PeakSLS and Adam are timed on each."""
OPTIMIZERS = {"PeakSLS": ["optimizer=peak_sls"], "Adam": ["optimizer=adam", "optimizer.lr=1e-4"]}


# --------------------------------------------------------------------------------------- steps


class BareLoop:
    """A loop as somebody would write it, with the parts of a run."""

    def __init__(self, config: RunConfig, plan: TrainingPlan):
        self.task = build_task_of(config, torch.device("cpu"))
        self.task.model.train()
        self.params = [p for p in self.task.model.parameters() if p.requires_grad]
        self.optimizer, self.scheduler = build_optimizer(
            config.optimizer,
            config.optimizer.trained(self.task.model),
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
        )
        self.batches = indices_of(self.task.train, plan)
        self.eval_batch_size = plan.eval_batch_size

    def step(self) -> None:
        """Take a step on the next batch."""
        batch = self.task.train.batch(next(self.batches), None)

        def closure() -> torch.Tensor:
            if torch.is_grad_enabled():
                self.optimizer.zero_grad()
            loss = self.task.loss(batch)
            if torch.is_grad_enabled():
                torch.autograd.backward(loss)
            return loss.detach()

        float(self.optimizer.step(closure))  # type: ignore[arg-type]
        if self.scheduler is not None:
            self.scheduler.step()

    def evaluate(self) -> None:
        """The metrics of the validation split."""
        self.task.model.eval()
        outputs, labels = [], []
        everything = torch.arange(len(self.task.validation))
        for indices in torch.split(everything, self.eval_batch_size):
            prediction = self.task.predict(self.task.validation.batch(indices, None))
            float(prediction.loss)
            outputs.append(prediction.outputs)
            labels.append(prediction.labels)
        self.task.metrics(torch.cat(outputs), torch.cat(labels))
        self.task.model.train()


def indices_of(source: Source, plan: TrainingPlan) -> Iterator[torch.Tensor]:
    """The examples of each batch of a run, known before it begins."""
    lengths = lengths_of(source, plan.group_by_length)
    size, window = plan.batch_size, plan.group_by_length or 1
    batches: list[torch.Tensor] = []
    for epoch in range(-(-plan.total_steps // plan.steps_per_epoch)):
        order = epoch_order(
            len(source),
            seed=plan.seed,
            epoch=epoch,
            lengths=lengths,
            batch_size=size,
            window=window,
        )
        batches += torch.split(order, size)
    return iter(batches)


@dataclass
class Turns:
    """A `take_step` of the harness that first lets the bare loop take the same step."""

    bare: BareLoop
    evaluate_every: int
    bare_steps: list[float] = field(default_factory=list)
    bare_evaluations: float = 0.0
    ends: list[float] = field(default_factory=list)
    """When each of the bare loop's turns was over."""
    turns: list[float] = field(default_factory=list)
    """How long each of them took."""

    def __call__(self, optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
        """Both steps; the loss of the harness'."""
        start = time.perf_counter()
        number = len(self.bare_steps)
        if number > 0 and number % self.evaluate_every == 0:
            self.evaluate()
        began = time.perf_counter()
        self.bare.step()
        self.bare_steps.append(time.perf_counter() - began)
        self.ends.append(time.perf_counter())
        self.turns.append(self.ends[-1] - start)
        return float(optimizer.step(closure))  # type: ignore[arg-type]

    def evaluate(self) -> None:
        """One evaluation of the bare loop."""
        start = time.perf_counter()
        self.bare.evaluate()
        self.bare_evaluations += time.perf_counter() - start

    def harness_steps(self) -> list[float]:
        """From the end of a bare turn to the beginning of the next, all that is not the bare's."""
        pairs = zip(self.ends[1:], self.ends, self.turns[1:], strict=False)
        return [end - before - turn for end, before, turn in pairs]


def beside_a_bare_loop(arguments: list[str], place: Path) -> dict[str, Any]:
    """One run, and a bare loop that takes the same steps in turn."""
    config = load([*arguments, f"data_root={DATA}", f"results_dir={place}"])
    folder = RunFolder(run_path(config))
    training = assemble(config, folder)
    plan = training.plan
    turns = Turns(BareLoop(config, plan), plan.eval_every_steps or plan.steps_per_epoch)
    training.take_step = turns
    folder.create()
    with folder.lock(), redirect_stdout(io.StringIO()):
        training.resume()
        loggers = Loggers(JsonlLogger(folder), [console_logger()])
        loggers.start(run_info(config, training))
        start = time.perf_counter()
        training.run(loggers)
        harness = time.perf_counter() - start - sum(turns.turns)
    turns.evaluate()
    bare = sum(turns.bare_steps)
    pairs = zip(turns.harness_steps(), turns.bare_steps[:-1], strict=True)
    return {
        "steps": plan.total_steps,
        "bare_step_ms": 1e3 * statistics.median(turns.bare_steps),
        "step": statistics.median(mine / theirs for mine, theirs in pairs),
        "all": harness / (bare + turns.bare_evaluations),
        "without_evaluations": (harness - training.progress.seconds_evaluation) / bare,
        "bare_not_evaluating": harness / bare,
    }


# -------------------------------------------------------------------------------------- starts


def seconds_of_torch() -> float:
    """How long a process takes to import torch."""
    start = time.perf_counter()
    command = [sys.executable, "-c", "import torch; print(flush=True)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - start


def seconds_of_start(arguments: list[str], place: Path) -> float:
    """How long a run takes until its first step."""
    words = [*arguments, f"results_dir={place}"]
    begun = RunFolder(run_path(load(words))).checkpoint_file
    start = time.perf_counter()
    command = [sys.executable, "main.py", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not begun.exists():
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended before its first step")
            time.sleep(0.002)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def starts(times: int) -> dict[str, Any]:
    """Starts of runs on digits, in turns with imports of torch."""
    imports: list[float] = []
    runs: dict[str, list[float]] = {name: [] for name in OPTIMIZERS}
    for _ in range(times):
        imports.append(seconds_of_torch())
        for name, words in OPTIMIZERS.items():
            with tempfile.TemporaryDirectory() as place:
                runs[name].append(seconds_of_start(["task=digits", *words], Path(place)))
    torch_alone = statistics.median(imports)
    return {
        "import_torch_seconds": torch_alone,
        "ratio": {name: statistics.median(some) / torch_alone for name, some in runs.items()},
    }


# ------------------------------------------------------------------------------------- writing


def table(record: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    steps = [
        (
            f"{name}, {result['steps']} steps",
            f"{result['bare_step_ms']:.1f}",
            f"{result['step']:.3f}",
            f"{result['without_evaluations']:.3f}",
            f"{result['all']:.3f}",
            f"≤ {GOALS['steps']}",
            f"{result['bare_not_evaluating']:.3f}",
        )
        for name, result in record["steps"].items()
    ]
    columns = ("run", "bare step, ms", "a step", "without evaluations", "all", "goal")
    begun = record["starts"]
    ratios = [(name, f"{r:.2f}", f"≤ {GOALS['start']}") for name, r in begun["ratio"].items()]
    lines = [
        "# What the harness costs",
        "",
        "## A run ÷ a bare loop",
        "",
        STEPS.replace("\n", " "),
        "",
        *markdown_table((*columns, "bare, not evaluating"), steps),
        "",
        "## The start of a run ÷ importing torch",
        "",
        f"{STARTS} Importing torch took {begun['import_torch_seconds']:.1f} s.".replace("\n", " "),
        "",
        *markdown_table(("digits", "÷ importing torch", "goal"), ratios),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write the numbers and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="of a run at most; default: its own number")
    parser.add_argument("--starts", type=int, default=9)
    options = parser.parse_args()
    fewer = [] if options.steps is None else [f"trainer.max_steps={options.steps}"]
    record: dict[str, Any] = {"threads": torch.get_num_threads(), "steps": {}}
    for task, arguments in RUNS.items():
        for optimizer, words in OPTIMIZERS.items():
            with tempfile.TemporaryDirectory() as place:
                one = beside_a_bare_loop([*arguments, *words, *fewer], Path(place))
            record["steps"][f"{task}, {optimizer}"] = one
            print(f"{task}, {optimizer}: {one}", file=sys.stderr, flush=True)
    record["starts"] = starts(options.starts)
    write("harness_cost", record, table(record))
    print(table(record))


if __name__ == "__main__":
    main()
