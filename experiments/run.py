"""The composition root: a config becomes the folder of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from experiments.config import run_path, to_yaml
from experiments.loggers.base import Logger, Loggers, RunInfo
from experiments.loggers.console import console_logger, say
from experiments.loggers.jsonl import JsonlLogger
from experiments.loggers.wandb import WandbLogger
from experiments.machine import describe, pick_device
from experiments.optimizers import build_optimizer
from experiments.report.curves import draw_curves
from experiments.report.table import summary_table
from experiments.run_folder import RunFolder
from experiments.schema import DigitsTask, GlueTask, ImageFolderTask, RunConfig, TorchvisionTask
from experiments.tasks.base import Task
from experiments.tasks.build import build_task
from experiments.tasks.hold_out import hold_out
from experiments.tasks.places import roots_of
from experiments.training.batches import Grouping, require_full_batch
from experiments.training.loop import Plan, Training

Say = Callable[[str], None]

# What `quirks.one_seed` seeds everything with.
THE_ONE_SEED = 42


def run(config: RunConfig) -> bool:
    """Run `config` to its end, from the start or from where an earlier process was stopped.

    Returns:
        True if the run is finished, by this call or an earlier one; False if it diverged.

    Raises:
        UserError: if the config asks for what is not there, or the folder is in use or broken.
    """
    folder = RunFolder(run_path(config))
    tell = say if config.logger.console else _silence
    summary = folder.summary()
    if summary is not None:
        return _already_run(folder, summary, tell)
    folder.refuse_if_locked()
    # All that can be refused is refused before the folder is made, and leaves no trace.
    device = pick_device(config.device)
    task = _build_task(config, device)
    plan = _plan(config, examples=len(task.train))
    optimizer, scheduler = build_optimizer(
        config.optimizer,
        [parameter for parameter in task.model.parameters() if parameter.requires_grad],
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
    )
    require_full_batch(len(task.train), plan.batch_size)
    Grouping.of(task.train, batch_size=plan.batch_size, window=plan.group_by_length)
    folder.create()
    with folder.lock():
        # Another process may have finished the run while this one was getting ready.
        summary = folder.summary()
        if summary is not None:
            return _already_run(folder, summary, tell)
        folder.write_config(to_yaml(config))
        folder.write_env(describe(device))
        folder.write_plan(total_steps=plan.total_steps, steps_per_epoch=plan.steps_per_epoch)
        training = Training(task, optimizer, scheduler, plan=plan, folder=folder, device=device)
        summary = _train(config, training)
        draw_curves(folder)
        tell(summary_table(summary))
        tell(f"folder: {folder.path}\ncurves: {folder.curves_file}")
        folder.write_summary(summary)
    return _is_finished(summary)


def _already_run(folder: RunFolder, summary: dict[str, Any], tell: Say) -> bool:
    tell(f"already run, nothing to do: {folder.path}")
    tell(summary_table(summary))
    return _is_finished(summary)


def _seed(config: RunConfig) -> int:
    return THE_ONE_SEED if config.quirks.one_seed else config.seed


def _plan(config: RunConfig, *, examples: int) -> Plan:
    """The trainer's plan, with the quirks that concern this task."""
    quirks = config.quirks
    pictures = isinstance(config.task, DigitsTask | ImageFolderTask | TorchvisionTask)
    return Plan(
        examples=examples,
        seed=_seed(config),
        **config.trainer.model_dump(exclude={"hold_out"}),
        evaluation_mode=quirks.evaluation_mode and isinstance(config.task, GlueTask),
        fixed_order=quirks.fixed_order,
        metrics_of_one_batch=quirks.accuracy_of_one_batch and pictures,
    )


def _build_task(config: RunConfig, device: torch.device) -> Task:
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


def _train(config: RunConfig, training: Training) -> dict[str, Any]:
    """Train to the end; returns the summary, which is not written yet."""
    loggers = _loggers(config, training.folder)
    summary: dict[str, Any] = {"status": "interrupted"}
    loggers.start(_info(config, training))
    try:
        training.run(loggers)
        summary = _summary(config, training)
    finally:
        loggers.finish(summary)
    return summary


def _loggers(config: RunConfig, folder: RunFolder) -> Loggers:
    """The loggers that the config asks for; the record comes first."""
    settings = config.logger
    loggers: list[Logger] = [JsonlLogger(folder)]
    if settings.console:
        loggers.append(console_logger())
    if settings.wandb != "disabled":
        loggers.append(
            WandbLogger(
                settings.wandb, project=settings.wandb_project, entity=settings.wandb_entity
            )
        )
    return Loggers(loggers)


def _info(config: RunConfig, training: Training) -> RunInfo:
    folder = training.folder
    return RunInfo(
        folder=folder,
        # The folder's own path: the same run again is the same wandb run.
        identifier="-".join(folder.path.parts[-4:]),
        **config.choices.model_dump(),
        seed=config.seed,
        config=config.model_dump(),
        total_steps=training.plan.total_steps,
        steps_per_epoch=training.plan.steps_per_epoch,
        first_step=training.progress.step,
    )


def _summary(config: RunConfig, training: Training) -> dict[str, Any]:
    progress = training.progress
    return {
        "status": "diverged" if training.diverged else "finished",
        **config.choices.model_dump(),
        "seed": config.seed,
        "steps": progress.step,
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


def _is_finished(summary: dict[str, Any]) -> bool:
    return bool(summary["status"] == "finished")


def _silence(_text: str) -> None:
    """Say nothing."""
