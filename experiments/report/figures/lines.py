"""Which runs belong to which panel and line, in the order of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.report.figures.palette import LineStyle, line_styles
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import Results, RunRecord

# Row → label → the runs of its seeds.
Cells = dict[str, dict[str, list[RunRecord]]]


def styles_of(results: Results) -> dict[str, LineStyle]:
    """One line style a label, the same in every picture: all runs count, also those of tuning."""
    members: Sequence[tuple[str, str]] = [(cell.label, cell.optimizer) for cell in results.planned]
    members = [*members, *((run.label, run.optimizer) for run in results.runs)]
    optimizers: dict[str, str] = {}
    for label, optimizer in members:
        optimizers.setdefault(label, optimizer)
    return line_styles(optimizers)


def comparison_cells(results: Results) -> Cells:
    """The runs of the comparison that took a step; rows and labels in the order of the tables.

    Those without a run are left out.
    """
    comparison = Comparison(results)
    grouped = {
        row: {
            label: [run for run in comparison.runs(row, label) if len(run.steps) > 0]
            for label in comparison.labels
        }
        for row in comparison.rows
    }
    return without_empty(grouped)


def without_empty(cells: Cells) -> Cells:
    """The cells without labels that have no run, and rows that have no label."""
    kept = {
        row: {label: runs for label, runs in by_label.items() if runs}
        for row, by_label in cells.items()
    }
    return {row: by_label for row, by_label in kept.items() if by_label}


def several_seeds(cells: Cells) -> bool:
    """True if any line stands for more than one run, so that there is a band to explain."""
    return any(len(runs) > 1 for by_label in cells.values() for runs in by_label.values())


def any_diverged(cells: Cells) -> bool:
    """True if any run of the cells diverged."""
    return any(
        run.status == "diverged"
        for by_label in cells.values()
        for runs in by_label.values()
        for run in runs
    )


def labels_of(cells: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The labels that occur, each once."""
    return list(dict.fromkeys(label for by_label in cells.values() for label in by_label))
