"""The report's pictures, by the section that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# As `profiles` it would be lost: the submodule of that name takes its place.
from experiments.report.cost import profiles as shares_within
from experiments.report.document import Picture
from experiments.report.pictures.profiles import profile_pictures
from experiments.report.pictures.step_size import step_size_pictures
from experiments.report.pictures.training import training_pictures
from experiments.report.pictures.tuning import tuning_pictures
from experiments.report.pictures.validation import validation_pictures
from experiments.report.records import Results
from experiments.report.tuning import sensitivity

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
