"""The report's figures, by the section that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.report.figures.profiles import profile_figures
from experiments.report.figures.step_size import step_size_figures
from experiments.report.figures.training_loss import training_figures
from experiments.report.figures.tuning_grid import tuning_figures
from experiments.report.figures.validation import validation_figures
from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.cost import performance_profiles
from experiments.report.numbers.tuning_grid import tuning_points
from experiments.report.write.document import Figure

# Each is empty where there is nothing to draw. The first three show runs of the comparison only.
DRAWING: Mapping[str, Callable[[Comparison], tuple[Figure, ...]]] = {
    "training": training_figures,
    "validation": validation_figures,
    "step_size": step_size_figures,
    "tuning": lambda compared: tuning_figures(compared, tuning_points(compared)),
    "profiles": lambda compared: profile_figures(compared, performance_profiles(compared)),
}
