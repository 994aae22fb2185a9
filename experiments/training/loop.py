"""The training loop: step, log, evaluate, save a checkpoint, until the steps are done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch.optim.lr_scheduler import LRScheduler

from experiments.config.schema import Trainer
from experiments.data.base import Batch
from experiments.files.run_folder import RunFolder
from experiments.stopping import Stopped
from experiments.tasks.base import Task
from experiments.training import checkpoint
from experiments.training.batches import evaluation_batches, number_of_batches, training_batches
from experiments.training.checkpoint import Interrupt
from experiments.training.checkpoint_schema import Progress
from experiments.training.closure import BatchClosure, Passes, SharedBatchClosure
from experiments.training.evaluation import BATCHES, evaluate, statistics_of, to_device
from experiments.training.loggers.base import Logger, Row
from experiments.training.processes import ALONE, Processes, SharedLoss

# A run whose loss was not finite for this many steps in a row has diverged and ends.
DIVERGED_AFTER = 20

# A line search's record of its last step; the rest of the record is in every optimizer's row.
RECORD_FIELDS = ("slope", "trials", "loss_next", "searched", "status", "factor")
# More of it, from an optimizer that judges its last step.
JUDGE_FIELDS = ("gain", "slope_near", "slope_far", "curvature", "target", "persistence")

TakeStep = Callable[[torch.optim.Optimizer, BatchClosure], float]
"""Lets the optimizer take one step on one batch; returns the loss before it."""


def take_step(optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
    # torch's types know only closures that return a float; its optimizers take any scalar.
    return float(optimizer.step(closure))  # type: ignore[arg-type]


def step_size_of(optimizer: torch.optim.Optimizer) -> float:
    """The rate of the last step: the attribute `rate` of an optimizer that adapts it, else `lr`."""
    return float(getattr(optimizer, "rate", optimizer.param_groups[0]["lr"]))


class _Weight(NamedTuple):
    """The weight of a process's part of a batch, and of the whole batch."""

    own: float
    whole: float


class TrainingPlan(Trainer):
    """The trainer's settings for a data set. An epoch's last batch may be smaller, and is kept."""

    examples: int
    seed: int
    # Quirks of the authors' harness; see `docs/replication.md`.
    evaluation_mode: bool = False
    fixed_order: bool = False
    metrics_of_one_batch: bool = False

    @property
    def steps_per_epoch(self) -> int:
        return number_of_batches(self.examples, self.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run: all epochs, or `max_steps` if that is fewer."""
        steps = self.epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def examples_of(self, step: int) -> int:
        """The number of examples in the batch of a step, from 0 on."""
        before = step % self.steps_per_epoch * self.batch_size
        return min(self.batch_size, self.examples - before)


@dataclass(eq=False)
class Training:
    """One run of a task: `resume()` loads the folder's checkpoint, `run()` trains to the end.

    `progress` counts steps, passes and seconds. Several `processes` do each in step with the
    others, and have the same `progress`, but for the seconds; the first one writes the files.
    `take_step` may be replaced by a function that
    watches the step, as long as it leaves everything as the plain one would.
    """

    task: Task
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    _: KW_ONLY
    plan: TrainingPlan
    folder: RunFolder
    device: torch.device
    take_step: TakeStep = take_step
    processes: Processes = ALONE
    progress: Progress = field(default_factory=Progress)
    _shared_loss: SharedLoss | None = field(default=None, init=False)

    @property
    def diverged(self) -> bool:
        """True once the loss was not finite for too long, or the last evaluation's is not."""
        final = self.progress.final
        bad_end = final is not None and self._at_end() and not math.isfinite(final["val_loss"])
        return self.progress.non_finite_steps >= DIVERGED_AFTER or bad_end

    @property
    def status(self) -> str:
        """How the run ended: "finished", "diverged", or "stuck" if no step moved a parameter."""
        if self.diverged:
            return "diverged"
        return "stuck" if 0 < self.progress.step == self.progress.steps_refused else "finished"

    def resume(self) -> None:
        """Continue from the folder's checkpoint, if there is one; raises `UserError` if broken."""
        self.processes.draw_apart(self.plan.seed)
        self.progress = checkpoint.load_checkpoint(
            self.folder,
            self._parts(),
            total_steps=self.plan.total_steps,
            processes=self.processes,
        )

    def run(self, log: Logger) -> None:
        """Train to the end, or raise KeyboardInterrupt after a checkpoint."""
        progress = self.progress
        self.task.model.train(not self.plan.evaluation_mode)
        self._shared_loss = self.processes.shared_loss(self.task)
        batches = self._batches(first_step=progress.step)
        with checkpoint.deferred_interrupt(self.processes) as interrupt, closing(batches):
            try:
                while True:
                    # Evaluating comes first: a run may resume between a step and its evaluation.
                    if self._evaluation_due():
                        self._evaluate(log, interrupt)
                        self._save()
                    elif progress.step % self.plan.checkpoint_every_steps == 0:
                        self._save()
                    interrupt.check()
                    if self._at_end():
                        return
                    self._step(batches, log)
            except checkpoint.InterruptedBetweenSteps:
                self._save()
                raise
            except RuntimeError as error:
                if interrupt.number is None:
                    raise
                raise Stopped(interrupt.number) from error

    def _at_end(self) -> bool:
        progress = self.progress
        return progress.step >= self.plan.total_steps or progress.non_finite_steps >= DIVERGED_AFTER

    def _evaluation_due(self) -> bool:
        step = self.progress.step
        every = self.plan.eval_every_steps or self.plan.steps_per_epoch
        on_schedule = step > 0 and step % every == 0
        return step != self.progress.evaluated_step and (on_schedule or self._at_end())

    def _step(self, batches: Iterator[Batch], log: Logger) -> None:
        progress = self.progress
        start = time.perf_counter()
        batch = to_device(next(batches), self.device)
        weight = self._weight(batch, progress.step)
        self.processes.share_buffers(self.task.model)
        loss = self.take_step(self.optimizer, self._closure(batch, progress.passes, weight))
        step_size = step_size_of(self.optimizer)
        if self.scheduler is not None:
            self.scheduler.step()
        progress.seconds += time.perf_counter() - start

        progress.step += 1
        progress.loss_sum += weight.whole * loss
        progress.weight_sum += weight.whole
        progress.non_finite_steps = 0 if math.isfinite(loss) else progress.non_finite_steps + 1
        row: Row = {"loss": loss, "step_size": step_size}
        record = getattr(self.optimizer, "last_step", None)
        if record is not None:
            row |= {name: getattr(record, name) for name in RECORD_FIELDS}
            row |= {name: getattr(record, name) for name in JUDGE_FIELDS if hasattr(record, name)}
        # A line search says whether its step moved; a plain optimizer moves in every step.
        progress.steps_refused += not getattr(row.get("status"), "moved", True)
        log.step({**self._place("step"), **row})

    def _evaluate(self, log: Logger, interrupt: Interrupt) -> None:
        progress, model = self.progress, self.task.model
        start = time.perf_counter()
        with ExitStack() as stack:
            if getattr(self.optimizer, "averages", False):
                # The average of the weights is evaluated and kept; training goes on without it.
                stack.enter_context(self.optimizer.averaged())  # type: ignore[attr-defined]
                stack.enter_context(statistics_of(model, self._first_passes(interrupt)))
            self.processes.share_buffers(model)
            self.processes.require_equal(model)
            results = self._results(interrupt)
            progress.seconds_evaluation += time.perf_counter() - start
            log.evaluation({**self._place("evaluation"), **results})
            progress.final = {"step": progress.step, **results}
            if self._is_best(results):
                progress.best = progress.final
                if self.processes.is_first:
                    checkpoint.save_best(self.folder, model)
        progress.evaluated_step = progress.step
        progress.loss_sum, progress.weight_sum = 0.0, 0.0

    def _results(self, interrupt: Interrupt) -> Row:
        plan, progress = self.plan, self.progress
        results: Row = {"train_loss": progress.loss_sum / progress.weight_sum}
        for suffix, source in {"": self.task.validation, **self.task.also_validation}.items():
            numbers = evaluate(
                self.task,
                evaluation_batches(
                    source,
                    batch_size=plan.eval_batch_size,
                    workers=plan.workers,
                    part=self.processes.part,
                ),
                device=self.device,
                precision=plan.precision,
                between_batches=interrupt.check,
                metrics_of_one_batch=plan.metrics_of_one_batch,
                processes=self.processes,
            )
            end = f"_{suffix}" if suffix else ""
            results |= {f"{name}{end}": number for name, number in numbers.items()}
        return results

    def _first_passes(self, interrupt: Interrupt) -> Iterator[BatchClosure]:
        """The run's first batches, as steps see them, not counted in the run's passes."""
        with closing(self._batches(first_step=0)) as batches:
            first = islice(batches, min(BATCHES, self.plan.steps_per_epoch))
            for step, batch in enumerate(first):
                interrupt.check()
                batch = to_device(batch, self.device)
                yield self._closure(batch, Passes(), self._weight(batch, step))

    def _is_best(self, results: Row) -> bool:
        """True for the first evaluation, and for one strictly better than the best so far."""
        if self.progress.best is None:
            return True
        sign = -1.0 if self.task.score_is_loss else 1.0
        new, old = (sign * row[self.task.score] for row in (results, self.progress.best))
        return bool(new > old or (math.isnan(old) and not math.isnan(new)))

    def _batches(self, first_step: int) -> Generator[Batch]:
        return training_batches(
            self.task.train,
            seed=self.plan.seed,
            batch_size=self.plan.batch_size,
            first_step=first_step,
            workers=self.plan.workers,
            group_by_length=self.plan.group_by_length,
            fixed_order=self.plan.fixed_order,
            part=self.processes.part,
        )

    def _weight(self, batch: Batch, step: int) -> _Weight:
        """The weight of this process's part of a step's batch, and that of the whole batch."""
        empty = self.processes.part.is_empty(self.plan.examples_of(step))
        own = 0.0 if empty else float(self.task.weight(batch))
        return _Weight(own, self.processes.total(own))

    def _closure(self, batch: Batch, passes: Passes, weight: _Weight) -> BatchClosure:
        how: dict[str, Any] = {
            "device": self.device,
            "precision": self.plan.precision,
            "micro_batches": self.plan.micro_batches,
        }
        if self._shared_loss is None:
            return BatchClosure(self.task, batch, passes, **how)
        share = self._shared_loss.count * weight.own / weight.whole
        return SharedBatchClosure(
            self.task, batch, passes, loss=self._shared_loss, share=share, **how
        )

    def _place(self, event: str) -> Row:
        progress = self.progress
        return {
            "event": event,
            "step": progress.step,
            "epoch": progress.step / self.plan.steps_per_epoch,
            "seconds": progress.seconds,
            "forward_passes": progress.passes.forward,
            "backward_passes": progress.passes.backward,
        }

    def _parts(self) -> checkpoint.Parts:
        return checkpoint.Parts(self.task.model, self.optimizer, self.scheduler, self.device)

    def _save(self) -> None:
        checkpoint.save_checkpoint(self.folder, self._parts(), self.progress, self.processes)
