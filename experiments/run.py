"""The composition root: a config becomes the folder of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from experiments.assembly import Assembly, assemble, build_task_of
from experiments.config.compose import config_hash, run_path, to_yaml
from experiments.config.schema import RunConfig
from experiments.files.run_folder import RunFolder
from experiments.training.evaluation import losses_of
from experiments.training.fingerprint import Fingerprint, data_fingerprint
from experiments.training.loggers.base import Logger, Loggers, RunInfo
from experiments.training.loggers.console import console_logger, say
from experiments.training.loggers.jsonl import JsonlLogger
from experiments.training.loggers.last_lines import summary_table
from experiments.training.loggers.shown import Shown, shown, warn
from experiments.training.loggers.wandb import WandbLogger
from experiments.training.loop import Training
from experiments.training.machine import describe
from experiments.training.origin import (
    keep_threads,
    machine_of,
    plan_to_resume,
    refuse_other_data,
    tell_other_machine,
)

Say = Callable[[str], None]


def run(config: RunConfig) -> bool:
    """Run `config` to its end, from the start or from where an earlier process was stopped.

    Returns:
        True if the run is finished, by this call or an earlier one; False if it diverged, or no
        step of it moved anything.

    Raises:
        UserError: if the config asks for what is not there, or the folder is in use or broken.
    """
    folder = RunFolder(run_path(config))
    tell = _tell if config.logger.console else _silence
    summary = folder.summary()
    if summary is not None:
        return _already_run(config, folder, summary, tell)
    folder.refuse_if_locked()
    keep_threads(plan_to_resume(folder), tell)
    # All that can be refused is refused before the folder is made, and leaves no trace.
    parts = assemble(config)
    data = data_fingerprint(parts.task)
    folder.create()
    with folder.lock():
        # Another process may have finished the run while this one was getting ready.
        summary = folder.summary()
        if summary is not None:
            return _already_run(config, folder, summary, tell)
        _begin_or_resume(config, folder, parts, data, tell)
        training = Training(
            parts.task,
            parts.optimizer,
            parts.scheduler,
            plan=parts.plan,
            folder=folder,
            device=parts.device,
        )
        summary = _train(config, training)
        shown("curves.png", lambda: _draw(folder))
        tell(summary_table(summary))
        tell(f"folder: {folder.path}\ncurves: {folder.curves_file}")
    return _is_finished(summary)


def _begin_or_resume(
    config: RunConfig, folder: RunFolder, parts: Assembly, data: Fingerprint, tell: Say
) -> None:
    """Write what a run writes once, or see that it goes on with what it began with."""
    env = describe(parts.device)
    plan: dict[str, Any] = {
        "total_steps": parts.plan.total_steps,
        "steps_per_epoch": parts.plan.steps_per_epoch,
        "data": data,
        "machine": machine_of(env),
    }
    before = plan_to_resume(folder)
    refuse_other_data(before, plan, folder)
    tell_other_machine(before, plan["machine"], tell)
    for warning in (folder.write_config(to_yaml(config)), folder.write_env(env)):
        if warning:
            warn(warning)
    if before is None or "data" not in before:
        folder.write_plan(**plan)


def _already_run(config: RunConfig, folder: RunFolder, summary: dict[str, Any], tell: Say) -> bool:
    now = _data_now(config, folder, tell)
    if now is not None:
        refuse_other_data(folder.plan(), {"data": now}, folder)
    tell(f"already run, nothing to do: {folder.path}")
    tell(summary_table(summary))
    return _is_finished(summary)


def _data_now(config: RunConfig, folder: RunFolder, tell: Say) -> Fingerprint | None:
    """The fingerprint of the data of a run that is done; None where there is none to compare with.

    A run that is done stays so where its data are gone, whatever a reader of data raises then.
    """
    try:
        plan = folder.plan()
        if plan is None or "data" not in plan:
            return None
        return data_fingerprint(build_task_of(config, torch.device("cpu")))
    except Exception as error:
        tell(f"not compared with the data: {' '.join(str(error).split())}")
        return None


def _draw(folder: RunFolder) -> None:
    # Late: a matplotlib that does not work is no reason not to train.
    from experiments.report.figures.run_figure import draw_curves

    broken = draw_curves(folder)
    if broken:
        lines = "1 line" if len(broken) == 1 else f"{len(broken)} lines"
        warn(f"{folder.metrics_file}:{broken[0]}: {lines} cannot be read; curves.png is without")


def _train(config: RunConfig, training: Training) -> dict[str, Any]:
    """Train to the end and write the summary, before anything is shown; returns it."""
    loggers = _loggers(config, training.folder)
    summary: dict[str, Any] = {"status": "interrupted"}
    loggers.start(_info(config, training))
    try:
        training.run(loggers)
        done = _summary(config, training)
        training.folder.write_summary(done)
        summary = done
    finally:
        loggers.finish(summary)
    return summary


def _loggers(config: RunConfig, folder: RunFolder) -> Loggers:
    """The loggers that the config asks for; the record comes first."""
    settings = config.logger
    loggers: list[Logger] = [JsonlLogger(folder)]
    if settings.console:
        loggers.append(Shown("the console", console_logger()))
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
        config_hash=config_hash(config),
        hold_out=config.trainer.hold_out,
        lower_is_better=losses_of(training.task),
        total_steps=training.plan.total_steps,
        steps_per_epoch=training.plan.steps_per_epoch,
        first_step=training.progress.step,
    )


def _summary(config: RunConfig, training: Training) -> dict[str, Any]:
    progress = training.progress
    return {
        "status": _end(training),
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


def _end(training: Training) -> str:
    if training.diverged:
        return "diverged"
    return "stuck" if training.stuck else "finished"


def _is_finished(summary: dict[str, Any]) -> bool:
    return bool(summary["status"] == "finished")


def _tell(text: str) -> None:
    shown("the console", lambda: say(text))


def _silence(_text: str) -> None:
    """Say nothing."""
