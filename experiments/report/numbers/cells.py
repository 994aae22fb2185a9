"""The cells of the tables: which runs are in one, and what they say together."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from experiments.report.read.records import Results, RunRecord
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import Cell

DASH = "–"


@dataclass(frozen=True)
class Measure:
    """A number of a finished run. `higher_is_better` is asked of a run, as it differs by task."""

    title: str
    value: Callable[[RunRecord], float]
    higher_is_better: Callable[[RunRecord], bool]
    text: Callable[[RunRecord, float], str]
    """A mean as it is shown."""


def final(run: RunRecord, name: str) -> float:
    """A number of the run's last evaluation; NaN where it has none."""
    return _entry(run, "final", name)


def best(run: RunRecord, name: str) -> float:
    """A number of the run's best evaluation; NaN where it has none."""
    return _entry(run, "best", name)


def _entry(run: RunRecord, which: str, name: str) -> float:
    entries: Mapping[str, Any] = {} if run.summary is None else run.summary[which]
    value = entries.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def loss_text(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def score_text(run: RunRecord, value: float) -> str:
    """Four decimals for what lies between 0 and 1, four digits for a loss."""
    return loss_text(value) if run.score_is_loss else f"{value:.4f}"


FINAL_SCORE = Measure(
    "final score",
    lambda run: final(run, run.score),
    lambda run: not run.score_is_loss,
    score_text,
)
BEST_SCORE = Measure(
    "best score",
    lambda run: best(run, run.score),
    lambda run: not run.score_is_loss,
    score_text,
)
FINAL_TRAIN_LOSS = Measure(
    "final training loss",
    lambda run: final(run, "train_loss"),
    lambda run: False,
    lambda run, value: loss_text(value),
)
FINAL_VAL_LOSS = Measure(
    "final validation loss",
    lambda run: final(run, "val_loss"),
    lambda run: False,
    lambda run, value: loss_text(value),
)
PERPLEXITY = Measure(
    "final perplexity",
    lambda run: final(run, "perplexity"),
    lambda run: False,
    lambda run, value: loss_text(value),
)


@dataclass(frozen=True)
class Sample:
    """The values of a measure in one cell, one for each finished run that has it."""

    values: tuple[float, ...]
    planned: int
    diverged: int
    stuck: int = 0

    @property
    def n(self) -> int:
        """How many runs the mean is of."""
        return len(self.values)

    @property
    def lost(self) -> int:
        """How many runs came to an end without a result."""
        return self.diverged + self.stuck

    @property
    def instead(self) -> str:
        """What to write where there is no mean."""
        if self.diverged:
            return "diverged"
        return "stuck" if self.stuck else "missing"

    @property
    def mean(self) -> float:
        """NaN for no value."""
        return math.fsum(self.values) / self.n if self.n else math.nan

    @property
    def deviation(self) -> float:
        """The sample standard deviation, ÷ (n - 1); NaN for fewer than two values."""
        return statistics.stdev(self.values) if self.n > 1 else math.nan


class Comparison:
    """The runs of the comparison by row and label, in the order of the tables."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._runs: dict[tuple[str, str], list[RunRecord]] = {}
        for run in results.runs:
            if run.stage == "comparison":
                self._runs.setdefault((run.row, run.label), []).append(run)
        for runs in self._runs.values():
            runs.sort(key=lambda run: (run.seed, run.hash))

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """Planned ones in the plan's order, then others by name."""
        planned = [cell.row for cell in self.results.planned]
        return tuple(dict.fromkeys([*planned, *sorted(row for row, _ in self._runs)]))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Planned ones in the plan's order, then others by name."""
        planned = [cell.label for cell in self.results.planned]
        found = sorted(self._runs.items(), key=lambda item: _label_key(item[0][1], item[1][0]))
        return tuple(dict.fromkeys([*planned, *(label for (_, label), _ in found)]))

    def runs(self, row: str, label: str) -> list[RunRecord]:
        """All runs of a cell by seed, whatever became of them."""
        return self._runs.get((row, label), [])

    def finished(self, row: str, label: str) -> list[RunRecord]:
        """Those that came to their end with a result."""
        return [run for run in self.runs(row, label) if run.status == "finished"]

    def of_row(self, row: str) -> list[RunRecord]:
        """All runs of a row, in the order of labels and seeds."""
        return [run for label in self.labels for run in self.runs(row, label)]

    def planned(self, row: str, label: str) -> int:
        """How many runs the cell should have; where nothing was planned, how many it has."""
        for cell in self.results.planned:
            if (cell.row, cell.label) == (row, label):
                return len(cell.seeds)
        return len(self.runs(row, label))

    def sample(self, row: str, label: str, measure: Measure) -> Sample:
        """The measure's values by seed."""
        values = [measure.value(run) for run in self.finished(row, label)]
        ends = Counter(run.status for run in self.runs(row, label))
        finite = tuple(value for value in values if math.isfinite(value))
        return Sample(finite, self.planned(row, label), ends["diverged"], ends["stuck"])

    def is_wanted(self, row: str, label: str) -> bool:
        """True if the cell was planned, or has runs."""
        return self.planned(row, label) > 0

    def baseline(self, row: str) -> str | None:
        """The label to compare a row's others with: `adam`, else the best of Adam's labels.

        None where Adam has no finished run.
        """
        kinds = {run.label for run in self.of_row(row) if run.optimizer == "adam"}
        candidates = [
            label for label in self.labels if label in kinds and self.finished(row, label)
        ]
        if "adam" in candidates:
            return "adam"
        return self.best_label(row, candidates, FINAL_SCORE)

    def tuned_baseline(self, row: str) -> str | None:
        """The first label of the sweep whose rate was to be tuned in the row; None: none was."""
        planned = self.results.planned
        return next((cell.label for cell in planned if cell.row == row and cell.tuned), None)

    def best_label(self, row: str, labels: list[str], measure: Measure) -> str | None:
        """The first of the labels with the best mean; None if none has a mean."""
        means = {label: self.sample(row, label, measure).mean for label in labels}
        means = {label: mean for label, mean in means.items() if math.isfinite(mean)}
        if not means:
            return None
        better = max if self.higher_is_better(row, measure) else min
        return better(means, key=lambda label: means[label])

    def higher_is_better(self, row: str, measure: Measure) -> bool:
        """Whether the row's best mean is the highest."""
        runs = self.of_row(row)
        return bool(runs) and measure.higher_is_better(runs[0])


def _label_key(label: str, run: RunRecord) -> tuple[str, float, str]:
    """Labels of one optimizer by their rate, as a number."""
    rate = run.config["optimizer"].get("lr")
    return label.partition(" ")[0], 0.0 if rate is None else float(rate), label


# ---------------------------------------------------------------------------------- as is shown


def row_cell(row: str, note: str = "") -> Cell:
    """The name of a row of results, as it is written for people."""
    return Cell(row_title(row), note=note)


def label_cell(label: str) -> Cell:
    """The name of an optimizer, as it is written for people."""
    return Cell(label_title(label))


def shown(
    comparison: Comparison, row: str, label: str, measure: Measure, *, bold: bool, usual: int
) -> Cell:
    """`mean ± deviation`, and beside it what a reader must know of it.

    `usual` is the number of seeds that the table's caption speaks of.
    """
    if not comparison.is_wanted(row, label):
        return Cell(DASH)
    sample = comparison.sample(row, label, measure)
    told = notes(sample, usual)
    if sample.n == 0:
        return Cell(sample.instead, note=told)
    run = comparison.runs(row, label)[0]
    return Cell(mean_text(measure, run, sample), bold=bold, note=told)


def mean_text(measure: Measure, run: RunRecord, sample: Sample) -> str:
    """`mean ± deviation`; the mean alone where there is but one value. `run` is any of the cell."""
    text = measure.text(run, sample.mean)
    return f"{text} ± {spread_text(text, sample.deviation)}" if sample.n > 1 else text


def without_repeats(rows: Sequence[tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """The rows of a long table, the first cell empty where it is the same as the one above."""
    names = [None, *(row[0] for row in rows)]
    return tuple(
        (Cell(""), *row[1:]) if row[0] == above else row
        for above, row in zip(names, rows, strict=False)
    )


def spread_text(mean: str, deviation: float) -> str:
    """The deviation with two digits, or with the mean's decimals where these are fewer.

    What would be rounded to nothing keeps its two digits.
    """
    decimals = mean.partition(".")[2]
    if deviation == 0:
        return "0"
    if not decimals.isdigit():
        return f"{deviation:.2g}"
    two_digits = max(0, 1 - math.floor(math.log10(deviation)))
    fewer = f"{deviation:.{min(two_digits, len(decimals))}f}"
    return fewer if float(fewer) > 0 else f"{deviation:.2g}"


def notes(sample: Sample, usual: int) -> str:
    """Of how many seeds a cell's mean is, where they are not `usual`, and how many have none."""
    told = []
    if 0 < sample.n < sample.planned:
        told.append(f"{sample.n} of {sample.planned} seeds")
    elif 0 < sample.n != usual:
        told.append("1 seed" if sample.n == 1 else f"{sample.n} seeds")
    if sample.diverged:
        told.append(f"{sample.diverged} diverged")
    if sample.stuck:
        told.append(f"{sample.stuck} stuck")
    return ", ".join(told)


def usual_seeds(comparison: Comparison) -> int:
    """The largest number of seeds that a cell should have."""
    cells = product(comparison.rows, comparison.labels)
    return max((comparison.planned(row, label) for row, label in cells), default=0)
