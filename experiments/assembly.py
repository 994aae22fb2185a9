"""A config becomes the parts of a training: task, optimizer, scheduler, plan, device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LRScheduler

from experiments.config.schema import RunConfig
from experiments.optimizers.build import build_optimizer
from experiments.tasks.base import Task
from experiments.tasks.build import build_task, hold_out
from experiments.tasks.glue import GlueTask
from experiments.tasks.images import ImageTask
from experiments.tasks.places import roots_of
from experiments.training.batches import Grouping, require_full_batch
from experiments.training.loop import Plan
from experiments.training.machine import pick_device

# What `quirks.one_seed` seeds everything with.
THE_ONE_SEED = 42


@dataclass(frozen=True)
class Assembly:
    """What `Training` needs, before its first step; nothing is on the disk yet."""

    task: Task
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    plan: Plan
    device: torch.device


def assemble(config: RunConfig) -> Assembly:
    """Seed torch and build all parts; the same config gives the same parts, bit for bit.

    Raises:
        UserError: if the config asks for what is not there or what does not fit together.
    """
    device = pick_device(config.device)
    task = build_task_of(config, device)
    plan = make_plan(config, examples=len(task.train))
    optimizer, scheduler = build_optimizer(
        config.optimizer,
        [parameter for parameter in task.model.parameters() if parameter.requires_grad],
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
    )
    require_full_batch(len(task.train), plan.batch_size)
    Grouping.of(task.train, batch_size=plan.batch_size, window=plan.group_by_length)
    return Assembly(task, optimizer, scheduler, plan, device)


def make_plan(config: RunConfig, *, examples: int) -> Plan:
    """The trainer's plan, with the quirks that concern this task."""
    quirks = config.quirks
    return Plan(
        examples=examples,
        seed=_seed(config),
        **config.trainer.model_dump(exclude={"hold_out"}),
        evaluation_mode=quirks.evaluation_mode and isinstance(config.task, GlueTask),
        fixed_order=quirks.fixed_order,
        metrics_of_one_batch=quirks.accuracy_of_one_batch and isinstance(config.task, ImageTask),
    )


def _seed(config: RunConfig) -> int:
    return THE_ONE_SEED if config.quirks.one_seed else config.seed


def build_task_of(config: RunConfig, device: torch.device) -> Task:
    """Seed torch and build the task, its data and its model.

    Raises:
        UserError: if the data or the model are not there or broken.
    """
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
