"""The training loop: step, log, evaluate, checkpoint, until the steps are done."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from torch.optim.lr_scheduler import LRScheduler

from experiments.data.base import Batch, Source
from experiments.files.run_folder import RunFolder
from experiments.stopping import Stopped
from experiments.tasks.base import Task
from experiments.training.averaging import averaging_of
from experiments.training.batch_statistics import BATCHES, statistics_of
from experiments.training.batches import evaluation_batches, number_of_batches, training_batches
from experiments.training.checkpoint import (
    Parts,
    Progress,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from experiments.training.closure import BatchClosure, Passes, Precision
from experiments.training.evaluation import evaluate, to_device
from experiments.training.interrupt import (
    Interrupt,
    InterruptedBetweenSteps,
    deferred_interrupt,
)

Row = dict[str, Any]

# A run whose loss was not finite for this many steps running has diverged and is ended.
DIVERGED_AFTER = 20

# What a line search says of its last step; the rest of the record is in every optimizer's row.
RECORD_FIELDS = ("slope", "trials", "loss_next", "searched", "status", "factor")
# What an optimizer that judges its last step says of it, besides.
JUDGE_FIELDS = ("gain", "slope_near", "slope_far", "curvature", "target", "persistence")


class Log(Protocol):
    """Where the rows go; every logger is one."""

    def step(self, row: Row) -> None:
        """Take the row of a training step."""

    def evaluation(self, row: Row) -> None:
        """Take the row of an evaluation."""


class TakeStep(Protocol):
    """Lets the optimizer take one step on one batch; returns the loss before it."""

    def __call__(self, optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
        """Take the step."""


def take_step(optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
    """The step itself, and nothing else."""
    # torch's types know only closures that return a float; its optimizers take any scalar.
    return float(optimizer.step(closure))  # type: ignore[arg-type]


def step_size_of(optimizer: torch.optim.Optimizer) -> float:
    """The rate of the step that was taken last.

    It is the first group's `lr`, unless the optimizer adapts what it was given and says so by its
    attribute `rate`.
    """
    return float(getattr(optimizer, "rate", optimizer.param_groups[0]["lr"]))


@dataclass(frozen=True)
class Plan:
    """How long, how large, how often. The last batch of an epoch may be smaller, and is kept.

    The last three are quirks of the authors' harness; see `docs/replication.md`.
    """

    examples: int
    seed: int
    epochs: int
    max_steps: int | None
    batch_size: int
    eval_batch_size: int
    eval_every_steps: int | None
    checkpoint_every_steps: int
    precision: Precision = "float32"
    workers: int = 0
    micro_batches: int = 1
    group_by_length: int | None = None
    evaluation_mode: bool = False
    fixed_order: bool = False
    metrics_of_one_batch: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return number_of_batches(self.examples, self.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run: all epochs, or `max_steps` if that is fewer."""
        steps = self.epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def steps_between_evaluations(self) -> int:
        """`eval_every_steps`, or an epoch."""
        return self.steps_per_epoch if self.eval_every_steps is None else self.eval_every_steps


class Training:
    """One run of `task` under `plan`; made from the folder's checkpoint if there is one.

    `run()` trains to the end, or raises KeyboardInterrupt after a checkpoint. `progress` says how
    far the run has come, before and after. Whoever wants to look at steps while they are taken
    gives a `step` of its own, which must leave everything as `take_step` would.
    """

    def __init__(
        self,
        task: Task,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler | None,
        *,
        plan: Plan,
        folder: RunFolder,
        device: torch.device,
        step: TakeStep = take_step,
    ) -> None:
        self.task = task
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.plan = plan
        self.folder = folder
        self.device = device
        self.take_step = step
        self.parts = Parts(task.model, optimizer, scheduler, device)
        self.progress: Progress = load_checkpoint(folder, self.parts, total_steps=plan.total_steps)

    @property
    def diverged(self) -> bool:
        """True once the loss was not finite for too long, or the last evaluation's is not."""
        final = self.progress.final
        bad_end = final is not None and self._at_end() and not math.isfinite(final["val_loss"])
        return self.progress.non_finite_steps >= DIVERGED_AFTER or bad_end

    @property
    def stuck(self) -> bool:
        """True once there were steps, and none of them has moved a parameter."""
        return 0 < self.progress.step == self.progress.steps_refused

    def run(self, log: Log) -> Progress:
        """Train to the end, from wherever the run is."""
        self.task.model.train(not self.plan.evaluation_mode)
        batches = self._batches(first_step=self.progress.step)
        with deferred_interrupt() as interrupt, closing(batches):
            try:
                self._loop(batches, log, interrupt)
            except InterruptedBetweenSteps:
                self._save()
                raise
            except RuntimeError as error:
                if interrupt.number is None:
                    raise
                raise Stopped(interrupt.number) from error
        return self.progress

    def _loop(self, batches: Iterator[Batch], log: Log, interrupt: Interrupt) -> None:
        while True:
            # Evaluating comes first, for a run that resumes between a step and its evaluation.
            if self._evaluation_due():
                self._evaluate(log, interrupt)
                self._save()
            elif self.progress.step % self.plan.checkpoint_every_steps == 0:
                self._save()
            interrupt.check()
            if self._at_end():
                return
            self._step(batches, log)

    def _at_end(self) -> bool:
        progress = self.progress
        return progress.step >= self.plan.total_steps or progress.non_finite_steps >= DIVERGED_AFTER

    def _evaluation_due(self) -> bool:
        step = self.progress.step
        on_schedule = step > 0 and step % self.plan.steps_between_evaluations == 0
        return step != self.progress.evaluated_step and (on_schedule or self._at_end())

    def _step(self, batches: Iterator[Batch], log: Log) -> None:
        progress = self.progress
        start = time.perf_counter()
        batch = to_device(next(batches), self.device)
        loss = self.take_step(self.optimizer, self._closure(batch, progress.passes))
        step_size = step_size_of(self.optimizer)
        if self.scheduler is not None:
            self.scheduler.step()
        progress.seconds += time.perf_counter() - start

        weight = float(self.task.weight(batch))
        progress.step += 1
        progress.loss_sum += weight * loss
        progress.weight_sum += weight
        progress.non_finite_steps = 0 if math.isfinite(loss) else progress.non_finite_steps + 1
        row = {"loss": loss, "step_size": step_size, **_record(self.optimizer)}
        # The record's own word; a plain optimizer moves in every step.
        progress.steps_refused += not getattr(row.get("status"), "moved", True)
        log.step({**self._where("step"), **row})

    def _batches(self, first_step: int) -> Generator[Batch]:
        return training_batches(
            self.task.train,
            seed=self.plan.seed,
            batch_size=self.plan.batch_size,
            first_step=first_step,
            workers=self.plan.workers,
            group_by_length=self.plan.group_by_length,
            fixed_order=self.plan.fixed_order,
        )

    def _closure(self, batch: Batch, passes: Passes) -> BatchClosure:
        return BatchClosure(
            self.task,
            batch,
            passes,
            device=self.device,
            precision=self.plan.precision,
            micro_batches=self.plan.micro_batches,
        )

    def _evaluate(self, log: Log, interrupt: Interrupt) -> None:
        progress = self.progress
        start = time.perf_counter()
        with self._judged_model(interrupt):
            results = self._results(interrupt)
            progress.seconds_evaluation += time.perf_counter() - start
            log.evaluation({**self._where("evaluation"), **results})
            progress.final = {"step": progress.step, **results}
            if self._is_best(results):
                progress.best = progress.final
                save_best(self.folder, self.task.model)
        progress.evaluated_step = progress.step
        progress.loss_sum, progress.weight_sum = 0.0, 0.0

    @contextmanager
    def _judged_model(self, interrupt: Interrupt) -> Iterator[None]:
        """Within, the model is the one to judge and to keep; afterwards the one in training."""
        averaging = averaging_of(self.optimizer)
        if averaging is None:
            yield
            return
        with averaging.averaged(), statistics_of(self.task.model, self._first_passes(interrupt)):
            yield

    def _first_passes(self, interrupt: Interrupt) -> Iterator[BatchClosure]:
        """The run's first batches, as steps see them; their passes are nobody's."""
        with closing(self._batches(first_step=0)) as batches:
            for batch in islice(batches, min(BATCHES, self.plan.steps_per_epoch)):
                interrupt.check()
                yield self._closure(to_device(batch, self.device), Passes())

    def _results(self, interrupt: Interrupt) -> Row:
        progress = self.progress
        results: Row = {
            "train_loss": progress.loss_sum / progress.weight_sum,
            **self._judge(self.task.validation, interrupt),
        }
        for suffix, source in self.task.also_validation.items():
            numbers = self._judge(source, interrupt)
            results |= {f"{name}_{suffix}": number for name, number in numbers.items()}
        return results

    def _judge(self, source: Source, interrupt: Interrupt) -> dict[str, float]:
        batches = evaluation_batches(
            source, batch_size=self.plan.eval_batch_size, workers=self.plan.workers
        )
        return evaluate(
            self.task,
            batches,
            device=self.device,
            precision=self.plan.precision,
            between_batches=interrupt.check,
            metrics_of_one_batch=self.plan.metrics_of_one_batch,
        )

    def _is_best(self, results: Row) -> bool:
        """True for the first evaluation, and for one strictly better than the best so far."""
        if self.progress.best is None:
            return True
        new = float(results[self.task.score])
        old = float(self.progress.best[self.task.score])
        if math.isnan(new) or math.isnan(old):
            return math.isnan(old) and not math.isnan(new)
        return new < old if self.task.score_is_loss else new > old

    def _where(self, event: str) -> Row:
        progress = self.progress
        return {
            "event": event,
            "step": progress.step,
            "epoch": progress.step / self.plan.steps_per_epoch,
            "seconds": progress.seconds,
            "forward_passes": progress.passes.forward,
            "backward_passes": progress.passes.backward,
        }

    def _save(self) -> None:
        save_checkpoint(self.folder, self.parts, self.progress)


def _record(optimizer: torch.optim.Optimizer) -> Row:
    """What an optimizer that keeps a record says of its last step; nothing for the others."""
    record = getattr(optimizer, "last_step", None)
    if record is None:
        return {}
    judged = [name for name in JUDGE_FIELDS if hasattr(record, name)]
    return {name: getattr(record, name) for name in (*RECORD_FIELDS, *judged)}
