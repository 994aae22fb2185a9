"""One run: a config becomes the folder of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from experiments.config.compose import run_path, to_yaml
from experiments.config.schema import RunConfig
from experiments.errors import UserError, reason_of
from experiments.files.run_folder import RunFolder
from experiments.optimizers.build import build_optimizer
from experiments.tasks.base import Task
from experiments.tasks.build import build_task, hold_out
from experiments.tasks.glue import GlueTask
from experiments.tasks.images import ImageTask
from experiments.tasks.places import roots_of
from experiments.training import origin
from experiments.training.batches import lengths_of
from experiments.training.evaluation import losses_of
from experiments.training.loggers.base import (
    JsonlLogger,
    Logger,
    Loggers,
    Row,
    RunInfo,
    attempt,
    warn,
)
from experiments.training.loggers.console import console_logger, say, summary_table
from experiments.training.loggers.wandb import WandbLogger
from experiments.training.loop import Training, TrainingPlan
from experiments.training.machine import describe
from experiments.training.no_compiler import no_compiler
from experiments.training.processes import ALONE, Processes, joined

# The seed of everything under `quirks.one_seed`.
THE_ONE_SEED = 42


def run(config: RunConfig) -> bool:
    """Run `config` to its end, from the start or from where an earlier process was stopped.

    False if it diverged, or no step of it moved anything. Raises `UserError` if the config does
    not fit its data or this machine, or the folder is in use or broken.
    """
    with joined() as processes, no_compiler():
        return run_among(processes, config)


def run_among(processes: Processes, config: RunConfig) -> bool:
    """Do one process's share of the run; all of `processes` call it and get the same answer."""
    folder = RunFolder(run_path(config))

    def tell(text: str) -> None:
        if config.logger.console and processes.is_first:
            attempt("the console", lambda: say(text))

    summary = processes.from_first(folder.summary)
    if summary is not None:
        return _already_run(config, folder, summary, tell, processes)
    if processes.is_first:
        folder.refuse_if_locked()
    before = processes.from_first(lambda: origin.plan_to_resume(folder))
    origin.refuse_other_processes(before, processes.part.count, folder)
    origin.keep_threads(before, tell)
    # All that can be refused is refused before the folder is made, and leaves no trace.
    training = assemble(config, folder, processes)
    data = origin.data_fingerprint(training.task)
    origin.refuse_parted_data(processes.gather(data))
    with _own_folder(folder) if processes.is_first else nullcontext():
        # Another process may have finished the run while this one was getting ready.
        summary = processes.from_first(folder.summary)
        if summary is not None:
            return _already_run(config, folder, summary, tell, processes)
        if processes.is_first:
            _write_or_compare(config, training, data, tell)
        training.resume()
        if not processes.is_first:
            training.run(Logger())
            return training.status == "finished"
        summary = _train(config, training)
        attempt("curves.png", lambda: _draw_curves(folder))
        tell(summary_table(summary))
        tell(f"folder: {folder.path}\ncurves: {folder.curves_file}")
    return bool(summary["status"] == "finished")


@contextmanager
def _own_folder(folder: RunFolder) -> Iterator[None]:
    """Make the folder, and keep other processes out of it."""
    folder.create()
    with folder.lock():
        yield


# ------------------------------------------------------------------------ config to training


def assemble(config: RunConfig, folder: RunFolder, processes: Processes = ALONE) -> Training:
    """Seed torch and build all parts; the same config gives the same parts, bit for bit.

    Nothing in the folder is read or written. Raises `UserError` if the data or the model are
    missing or broken, or the config does not fit them.
    """
    device = processes.device(config.device)
    with processes.one_after_the_first():
        task = build_task_of(config, device)
    examples = len(task.train)
    plan = make_plan(config, examples=examples)
    optimizer, scheduler = build_optimizer(
        config.optimizer,
        config.optimizer.trained(task.model),
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
    )
    if examples < plan.batch_size:
        raise UserError(
            f"trainer.batch_size is {plan.batch_size}, but there are only {examples} training "
            f"examples; at most {examples} fit"
        )
    lengths_of(task.train, plan.group_by_length)
    return Training(
        task,
        optimizer,
        scheduler,
        plan=plan,
        folder=folder,
        device=device,
        processes=processes,
    )


def make_plan(config: RunConfig, *, examples: int) -> TrainingPlan:
    """The trainer's settings, with the quirks that concern this task."""
    quirks = config.quirks
    return TrainingPlan(
        examples=examples,
        seed=_seed(config),
        **config.trainer.model_dump(),
        evaluation_mode=quirks.evaluation_mode and isinstance(config.task, GlueTask),
        fixed_order=quirks.fixed_order,
        metrics_of_one_batch=quirks.accuracy_of_one_batch and isinstance(config.task, ImageTask),
    )


def build_task_of(config: RunConfig, device: torch.device) -> Task:
    """Seed torch and build the task, its data and its model; raises `UserError` as `assemble`."""
    torch.manual_seed(_seed(config))
    # cuDNN's fastest kernels add in an order that changes from run to run.
    torch.backends.cudnn.deterministic = True
    data_root, cache = roots_of(config.data_root, config.cache_dir)
    task = build_task(
        config.task,
        config.model,
        data_root=data_root,
        cache=cache,
        bytes_as_text=config.quirks.bytes_as_text,
    )
    if config.trainer.hold_out is not None:
        hold_out(task, config.trainer.hold_out)
    task.model.to(device)
    return task


def _seed(config: RunConfig) -> int:
    return THE_ONE_SEED if config.quirks.one_seed else config.seed


# ------------------------------------------------------------------------ training to folder


def _write_or_compare(
    config: RunConfig, training: Training, data: dict[str, Any], tell: origin.Say
) -> None:
    """Write the files that a run writes once, or compare them with those of its beginning."""
    folder = training.folder
    env = describe(training.device) | {"processes": training.processes.part.count}
    plan: dict[str, Any] = {
        "total_steps": training.plan.total_steps,
        "steps_per_epoch": training.plan.steps_per_epoch,
        "data": data,
        "machine": origin.machine_of(env),
        "processes": env["processes"],
    }
    before = origin.plan_to_resume(folder)
    origin.refuse_other_data(before, plan, folder)
    origin.tell_other_machine(before, plan["machine"], tell)
    for warning in (folder.write_config(to_yaml(config)), folder.write_env(env)):
        if warning:
            warn(warning)
    if before is None or "data" not in before:
        folder.write_plan(**plan)


def _train(config: RunConfig, training: Training) -> Row:
    """Train to the end and write the summary, before anything is shown; returns it."""
    others: list[Logger] = [console_logger()] if config.logger.console else []
    if config.logger.wandb != "disabled":
        others.append(WandbLogger(config.logger))
    loggers = Loggers(JsonlLogger(training.folder), others)
    summary: Row = {"status": "interrupted"}
    loggers.start(run_info(config, training))
    try:
        training.run(loggers)
        done = _summary(config, training)
        training.folder.write_summary(done)
        summary = done
    finally:
        loggers.finish(summary)
    return summary


def run_info(config: RunConfig, training: Training) -> RunInfo:
    """The run as its loggers see it."""
    return RunInfo(
        folder=training.folder,
        config=config,
        lower_is_better=losses_of(training.task),
        total_steps=training.plan.total_steps,
        steps_per_epoch=training.plan.steps_per_epoch,
        first_step=training.progress.step,
    )


def _summary(config: RunConfig, training: Training) -> Row:
    progress = training.progress
    return {
        "status": training.status,
        **config.choices.model_dump(),
        "seed": config.seed,
        "steps": progress.step,
        "steps_refused": progress.steps_refused,
        "epochs": progress.step / training.plan.steps_per_epoch,
        "seconds_training": progress.seconds,
        "seconds_total": progress.seconds + progress.seconds_evaluation,
        "forward_passes": progress.passes.forward,
        "backward_passes": progress.passes.backward,
        "diverged": training.diverged,
        "parameters": sum(parameter.numel() for parameter in training.task.model.parameters()),
        "score": training.task.score,
        "score_is_loss": training.task.score_is_loss,
        "final": progress.final,
        "best": progress.best,
    }


def _draw_curves(folder: RunFolder) -> None:
    # Late: a matplotlib that does not work is no reason not to train.
    from experiments.report.figures.run_figure import draw_curves

    broken = draw_curves(folder)
    if broken:
        lines = "1 line" if len(broken) == 1 else f"{len(broken)} lines"
        warn(f"{folder.metrics_file}:{broken[0]}: {lines} cannot be read; curves.png omits them")


def _already_run(
    config: RunConfig,
    folder: RunFolder,
    summary: dict[str, Any],
    tell: origin.Say,
    processes: Processes,
) -> bool:
    """Compare the data of a finished run, as far as they can be read, and show its summary."""
    if not processes.is_first:
        return bool(summary["status"] == "finished")
    plan, data = {}, {}
    try:
        plan = folder.plan() or {}
        if "data" in plan:
            data = origin.data_fingerprint(build_task_of(config, torch.device("cpu")))
    except Exception as error:
        # A finished run stays finished where its data are gone, whatever a reader of data raises.
        tell(f"the data were not compared: {reason_of(error)}")
    else:
        origin.refuse_other_data(plan, {"data": data}, folder)
    tell(f"already run, nothing to do: {folder.path}")
    tell(summary_table(summary))
    return bool(summary["status"] == "finished")
