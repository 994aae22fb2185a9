"""The loss along the directions of a run's steps: the run is repeated and looked at on its way.

A run is a function of its config, so that it can be repeated from `config.yaml`, in a temporary
folder. The run's own folder gets the results and is otherwise only read.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from experiments.assembly import assemble
from experiments.config.compose import config_hash
from experiments.files.atomic import atomic_file
from experiments.files.run_folder import RunFolder, json_text
from experiments.landscape.figure import (
    Landscape,
    draw_landscape,
    largest_difference,
    summary_lines,
)
from experiments.landscape.look import Looker
from experiments.landscape.request import Request
from experiments.training.evaluation import losses_of
from experiments.training.loggers.base import RunInfo
from experiments.training.loggers.console import console_logger, say
from experiments.training.loop import Row, Training


def landscape(request: Request) -> Landscape:
    """Repeat the run up to the last chosen step; write `landscape.png` and `landscape.json`.

    Raises:
        UserError: if the data or the model of the run are not there any more.
    """
    looker = Looker(request.steps, points=request.points, reach=request.reach)
    with tempfile.TemporaryDirectory(prefix="landscape-") as temporary:
        losses = _repeat(request, looker, RunFolder(Path(temporary)))
    result = Landscape(
        run=request.folder.path.name,
        **request.config.choices.model_dump(exclude={"experiment"}),
        seed=request.config.seed,
        reach=request.reach,
        largest_difference=largest_difference(losses, request.recorded),
        looks=tuple(looker.looks),
    )
    with atomic_file(request.folder.landscape_picture) as file:
        file.write(draw_landscape(result))
    with atomic_file(request.folder.landscape_file) as file:
        file.write((json_text(result.as_json(), indent=2) + "\n").encode())
    say("\n".join(summary_lines(result)))
    say(f"picture: {request.folder.landscape_picture}\nnumbers: {request.folder.landscape_file}")
    return result


class _SeenEnough(Exception):  # noqa: N818 - not an error
    """The last chosen step is taken."""


class _Watching:
    """Shows progress, keeps the losses, and ends the training after the last chosen step."""

    def __init__(self, info: RunInfo) -> None:
        self.losses: list[float] = []
        self._last_step = info.total_steps
        self._console = console_logger()
        self._console.start(info)

    def step(self, row: Row) -> None:
        """Keep the loss; raises `_SeenEnough` after the last step."""
        self.losses.append(row["loss"])
        self._console.step(row)
        if row["step"] == self._last_step:
            raise _SeenEnough

    def evaluation(self, row: Row) -> None:
        """Nothing: evaluations change nothing of the training and are put off beyond its end."""

    def finish(self) -> None:
        """Give the terminal back."""
        self._console.finish({})


def _repeat(request: Request, looker: Looker, folder: RunFolder) -> list[float]:
    """Train as the run did, up to the last chosen step; returns the losses of all steps."""
    parts = assemble(request.config)
    end = parts.plan.total_steps
    training = Training(
        parts.task,
        parts.optimizer,
        parts.scheduler,
        plan=replace(parts.plan, eval_every_steps=end, checkpoint_every_steps=end),
        folder=folder,
        device=parts.device,
        step=looker,
    )
    watching = _Watching(_info(request, training))
    try:
        training.run(watching)
    except _SeenEnough:
        return watching.losses
    finally:
        watching.finish()
    # Another machine's rounding can make a run diverge, and so end, before it did.
    return watching.losses


def _info(request: Request, training: Training) -> RunInfo:
    return RunInfo(
        folder=training.folder,
        identifier=request.folder.path.name,
        **request.config.choices.model_dump(),
        seed=request.config.seed,
        config=request.config.model_dump(),
        config_hash=config_hash(request.config),
        hold_out=request.config.trainer.hold_out,
        lower_is_better=losses_of(training.task),
        total_steps=request.steps[-1],
        steps_per_epoch=training.plan.steps_per_epoch,
        first_step=0,
    )
