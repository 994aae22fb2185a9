"""The comparison of a folder's runs: its rows, its labels, and a measure's mean in each cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.report.read.metrics import number
from experiments.report.read.records import Results, Stage
from experiments.report.titles import counted

DASH = "–"

# The measures: columns of the table of runs. A score is the metric that decides in its row.
FINAL_SCORE, BEST_SCORE = "final.score", "best.score"
FINAL_ACCURACY, BEST_ACCURACY = "final.accuracy", "best.accuracy"
FINAL_TRAIN_LOSS, FINAL_VAL_LOSS = "final.train_loss", "final.val_loss"
PERPLEXITY = "final.perplexity"
_SCORES = (FINAL_SCORE, BEST_SCORE)
_ACCURACIES = (FINAL_ACCURACY, BEST_ACCURACY)
_MEASURES = (*_SCORES, *_ACCURACIES, FINAL_TRAIN_LOSS, FINAL_VAL_LOSS, PERPLEXITY)
_COSTS = ("steps", "seconds_training", "forward_passes", "backward_passes")
_LAST = ("last.step", "last.seconds")
_IDENTITY = ["row", "label", "optimizer", "seed", "status", "score", "score_is_loss"]


class Sample(NamedTuple):
    """A measure in one cell: over the finished runs that have it, and how many do not count."""

    n: int
    mean: float
    """NaN for no value."""
    deviation: float
    """The sample standard deviation, ÷ (n - 1); NaN for fewer than two values."""
    planned: int
    diverged: int
    stuck: int

    @property
    def lost(self) -> int:
        """The number of runs that ended without a result."""
        return self.diverged + self.stuck

    @property
    def instead(self) -> str:
        """The text where there is no mean."""
        return "diverged" if self.diverged else "stuck" if self.stuck else "missing"

    def notes(self, usual: int) -> str:
        """How many seeds the mean is over, unless they are `usual`, and how many runs are lost."""
        notes = []
        if 0 < self.n < self.planned:
            notes.append(f"{self.n} of {self.planned} seeds")
        elif 0 < self.n != usual:
            notes.append(counted(self.n, "seed"))
        notes += [f"{self.diverged} diverged"] if self.diverged else []
        notes += [f"{self.stuck} stuck"] if self.stuck else []
        return ", ".join(notes)


class Comparison:
    """The runs of the comparison by row and label, and the tuning runs, as tables.

    `runs` and `tuning` have one line per run, by seed: what the run is, the `RunRecord` (`run`),
    its rate (`lr`; NaN where it has none to tune) and its numbers, NaN where a run has none.
    `rows` and `labels` are in the order of the tables: the plan's, then others by name. `scores`
    has for each row the name of its score, and whether lower is better; `baselines` the label to
    compare with: `adam`, else the best of Adam's labels; no entry without a finished Adam.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.runs, self.tuning = _numbers(results, "comparison"), _numbers(results, "tuning")
        self._cells = dict(iter(self.runs.groupby(["row", "label"])))
        finished = self.runs[self.runs["status"] == "finished"]
        # As lists: tables ask for a cell's numbers thousands of times.
        self._finished = {
            place: runs[["seed", *_MEASURES]].to_dict("list")
            for place, runs in finished.groupby(["row", "label"])
        }
        self._planned = {(cell.row, cell.label): cell for cell in results.planned}
        # Labels of one optimizer are ordered by their rate, as a number.
        rates = zip(self.runs["label"], self.runs["lr"].fillna(0.0), strict=True)
        named = sorted({(label.partition(" ")[0], rate, label) for label, rate in rates})
        self.rows = in_order((row for row, _ in self._planned), sorted(self.runs["row"]))
        self.labels = in_order((label for _, label in self._planned), (name[2] for name in named))
        cells = product(self.rows, self.labels)
        self.usual_seeds = max((self.seeds(*place) for place in cells), default=0)
        self.scores = dict.fromkeys(self.rows, ("", True))
        for run in self.runs.drop_duplicates("row")["run"]:
            self.scores[run.row] = (run.score, run.score_is_loss)
        adams = finished[finished["optimizer"] == "adam"]
        self.baselines: dict[str, str] = {}
        for row in self.rows:
            known = set(adams.loc[adams["row"] == row, "label"])
            labels = [label for label in self.labels if label in known]
            best = "adam" if "adam" in labels else self.best_label(row, FINAL_SCORE, labels)
            if best is not None:
                self.baselines[row] = best

    def cell(self, row: str, label: str) -> pd.DataFrame:
        """All runs of a cell by seed, whatever their status."""
        return self._cells.get((row, label), self.runs[:0])

    def seeds(self, row: str, label: str) -> int:
        """How many runs the cell should have; where nothing was planned, how many it has."""
        planned = self._planned.get((row, label))
        return len(self.cell(row, label)) if planned is None else len(planned.seeds)

    def values(self, row: str, label: str, measure: str) -> list[tuple[int, float]]:
        """Seed and number of the finished runs of a cell that have the measure."""
        cell = self._finished.get((row, label), {"seed": [], measure: []})
        values = zip(cell["seed"], cell[measure], strict=True)
        return [(seed, value) for seed, value in values if math.isfinite(value)]

    def sample(self, row: str, label: str, measure: str) -> Sample:
        """The measure in one cell."""
        values = [value for _, value in self.values(row, label, measure)]
        ends = self.cell(row, label)["status"].tolist()
        return Sample(
            len(values),
            mean(values),
            statistics.stdev(values) if len(values) > 1 else math.nan,
            planned=self.seeds(row, label),
            diverged=ends.count("diverged"),
            stuck=ends.count("stuck"),
        )

    def means(self, measure: str) -> pd.DataFrame:
        """The means of the cells, rows × labels; NaN where there is none."""
        means = [
            [mean(value for _, value in self.values(row, label, measure)) for label in self.labels]
            for row in self.rows
        ]
        return pd.DataFrame(means, self.rows, self.labels, dtype=float)

    def pairs(
        self, row: str, label: str, baseline: str, measure: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The measure of the label and of the baseline, of finished runs with the same seed."""
        ours, theirs = (dict(self.values(row, name, measure)) for name in (label, baseline))
        seeds = sorted(ours.keys() & theirs.keys())
        return np.array([ours[s] for s in seeds]), np.array([theirs[s] for s in seeds])

    def lower_is_better(self, row: str, measure: str) -> bool:
        """Whether the row's best mean is the lowest."""
        return self.scores[row][1] if measure in _SCORES else measure not in _ACCURACIES

    def best_label(self, row: str, measure: str, labels: Iterable[str]) -> str | None:
        """The first of the labels with the best mean; None if none has a mean."""
        known = self.means(measure).loc[row, list(labels)].dropna()
        best = known.idxmin if self.lower_is_better(row, measure) else known.idxmax
        return None if known.empty else str(best())

    def mean_text(self, row: str, measure: str, sample: Sample) -> str:
        """`mean ± deviation`; the mean alone where there is but one value."""
        text = score_text(sample.mean, is_loss=self.lower_is_better(row, measure))
        return f"{text} ± {spread_text(text, sample.deviation)}" if sample.n > 1 else text


def in_order(planned: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Each name once: planned ones in the plan's order, then the others in theirs."""
    return tuple(dict.fromkeys([*planned, *others]))


def _numbers(results: Results, stage: Stage) -> pd.DataFrame:
    """The runs of a stage by seed, with their numbers as such."""
    table = results.table[results.table["stage"] == stage]
    # Sorted here: pandas sorts no names of files with bytes that are not text.
    order = sorted(table.index, key=lambda i: (results.runs[i].seed, results.runs[i].hash))
    table, runs = table.loc[order], [results.runs[i] for i in order]
    numbers = table.reindex(columns=[*_MEASURES, *_COSTS, *_LAST]).map(number).astype(float)
    for which in ("final", "best"):
        numbers[f"{which}.score"] = [
            math.nan if run.summary is None else number(run.summary[which].get(run.score))
            for run in runs
        ]
    rates = [None if run.reference else run.config["optimizer"].get("lr") for run in runs]
    numbers["lr"] = pd.array(rates, dtype="Float64").to_numpy(float, na_value=math.nan)
    identity = table[_IDENTITY].assign(run=pd.Series(runs, table.index, dtype=object))
    return identity.join(numbers)


def mean(values: Iterable[float]) -> float:
    """Correctly rounded, so that equal values have themselves as mean; NaN for no value."""
    known = list(values)
    return math.fsum(known) / len(known) if known else math.nan


# ---------------------------------------------------------------------------------- as is shown


def loss_text(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def score_text(value: float, *, is_loss: bool) -> str:
    """Four decimals for a score between 0 and 1, four digits for a loss."""
    return loss_text(value) if is_loss else f"{value:.4f}"


def spread_text(mean: str, deviation: float) -> str:
    """The deviation with two digits, or the mean's decimals where these are fewer and not zero."""
    decimals = mean.partition(".")[2]
    if deviation == 0:
        return "0"
    if not decimals.isdigit():
        return f"{deviation:.2g}"
    two_digits = max(0, 1 - math.floor(math.log10(deviation)))
    fewer = f"{deviation:.{min(two_digits, len(decimals))}f}"
    return fewer if float(fewer) > 0 else f"{deviation:.2g}"
