"""The landscape of a run: the loss along the directions of some of its steps.

A run is a function of its config, so it can be repeated from its `config.yaml`, in a temporary
folder. The run's own folder gets the results and is otherwise only read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from experiments.files.atomic import atomic_file
from experiments.files.run_folder import RunFolder, json_text
from experiments.landscape.figure import draw_landscape
from experiments.landscape.look import Looker, repeat_run
from experiments.landscape.record import Landscape, largest_difference, summary_lines
from experiments.landscape.request import Request
from experiments.training.loggers.console import say


def landscape(request: Request) -> Landscape:
    """Repeat the run up to the last chosen step; write `landscape.png` and `landscape.json`.

    Raises:
        UserError: if the run's data or model are missing.
    """
    looker = Looker(request.steps, points=request.points, reach=request.reach)
    with tempfile.TemporaryDirectory(prefix="landscape-") as temporary:
        folder = RunFolder(Path(temporary))
        losses = repeat_run(request.config, looker, request.steps[-1], folder)
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
    say(f"figure: {request.folder.landscape_picture}\nnumbers: {request.folder.landscape_file}")
    return result
