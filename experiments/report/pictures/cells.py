"""Which runs belong to which panel and line, in the order of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.report.palette import LineStyle, line_styles
from experiments.report.records import Results, RunRecord

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
    """The runs of the comparison that took a step; planned rows and labels first, in their order.

    Rows and labels without a run are left out.
    """
    runs = [run for run in results.runs if run.stage == "comparison" and len(run.steps) > 0]
    rows = _in_order([cell.row for cell in results.planned], [run.row for run in runs])
    labels = _in_order([cell.label for cell in results.planned], [run.label for run in runs])
    grouped = {
        row: {
            label: [run for run in runs if run.row == row and run.label == label]
            for label in labels
        }
        for row in rows
    }
    return {
        row: {label: members for label, members in by_label.items() if members}
        for row, by_label in grouped.items()
    }


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


def _in_order(planned: Sequence[str], found: Sequence[str]) -> list[str]:
    present = set(found)
    return [name for name in dict.fromkeys([*planned, *found]) if name in present]
