"""The report's pictures, by the section that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.report.figures.profiles import profile_pictures
from experiments.report.figures.step_size import step_size_pictures
from experiments.report.figures.training_loss import training_pictures
from experiments.report.figures.tuning_grid import tuning_pictures
from experiments.report.figures.validation import validation_pictures

# As `profiles` it would be lost: the submodule of that name takes its place.
from experiments.report.numbers.cost import profiles as shares_within
from experiments.report.numbers.tuning_grid import sensitivity
from experiments.report.read.records import Results
from experiments.report.write.document import Picture

DRAWING: Mapping[str, Callable[[Results], tuple[Picture, ...]]] = {
    "training": training_pictures,
    "validation": validation_pictures,
    "step_size": step_size_pictures,
    "tuning": lambda results: tuning_pictures(results, sensitivity(results)),
    "profiles": lambda results: profile_pictures(results, shares_within(results)),
}


def pictures(results: Results) -> dict[str, tuple[Picture, ...]]:
    """All pictures under `training`, `validation`, `step_size`, `tuning` and `profiles`.

    Where there is nothing to draw the tuple is empty. The first three show the runs of the
    comparison only. The same results give the same bytes.
    """
    return {key: draw(results) for key, draw in DRAWING.items()}
