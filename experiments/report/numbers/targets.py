"""The targets that sweeps fixed for their rows: which runs reach them, and how soon."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import DASH, Comparison, loss_text
from experiments.report.numbers.cost import NOISY, arrivals, medians
from experiments.report.titles import counted, label_title, row_title
from experiments.report.write.document import Cell, Table, filled, without_repeats

SELF_TUNING, TUNED, BY_ROW = "self-tuning", "tuned", "set by row"
COSTS = ("step", "forward_passes", "seconds")


def targets(comparison: Comparison) -> dict[str, float]:
    """The target of each row that has one, in the order of the tables."""
    fixed = {x.row: x.target for x in comparison.results.planned if x.target is not None}
    return {row: fixed[row] for row in comparison.rows if row in fixed}


def rules(comparison: Comparison) -> dict[str, str]:
    """The rule that each optimizer competes under, for the labels of sweeps with targets.

    Tuned: a grid chose its rate. Self-tuning: the same settings in every row, and no grid. Set by
    row: its settings differ between rows, so that somebody chose them.
    """
    judged = [cell for cell in comparison.results.planned if cell.target is not None]
    tuned = {cell.label for cell in judged if cell.tuned}
    settings = {cell.label: list[object]() for cell in judged}
    for run in comparison.runs["run"]:
        # Without those left out: runs of an earlier version do not have all that there are now.
        set_by_hand = {k: v for k, v in run.config["optimizer"].items() if v is not None}
        settings.setdefault(run.label, []).append(set_by_hand)

    def rule(label: str) -> str:
        if label in tuned:
            return TUNED
        own = settings[label]
        return SELF_TUNING if all(one == own[0] for one in own) else BY_ROW

    return {cell.label: rule(cell.label) for cell in judged}


def arrived(comparison: Comparison) -> pd.DataFrame:
    """One line per ended run of the sweeps with targets: row, label, seed and `COSTS`, inf for
    never.
    """
    judged = {(x.row, x.label) for x in comparison.results.planned if x.target is not None}
    times = arrivals(comparison, targets(comparison))
    runs = comparison.runs.loc[times.index, ["row", "label", "seed"]]
    counts = [place in judged for place in zip(runs["row"], runs["label"], strict=True)]
    return runs.join(times[list(COSTS)])[np.array(counts, dtype=bool)]


def common_rows(comparison: Comparison) -> list[str]:
    """The rows with a target in which every optimizer that has a rule has an ended run."""
    ended = arrived(comparison).groupby("row")["label"].agg(set)
    labels = set(rules(comparison))
    return [row for row in targets(comparison) if row in ended.index and labels <= ended[row]]


def decision(comparison: Comparison) -> tuple[str, ...]:
    """Who reaches the targets most often under each rule, in a sentence each; none without rows."""
    rows = common_rows(comparison)
    found = arrived(comparison)
    found = found[found["row"].isin(rows)]
    sentences = []
    for rule, words in ((SELF_TUNING, "With nothing set"), (TUNED, "Tuned by a grid")):
        labels = [label for label, own in rules(comparison).items() if own == rule]
        ends = {label: np.isfinite(found.loc[found["label"] == label, "step"]) for label in labels}
        shares = {label: float(reached.mean()) for label, reached in ends.items() if len(reached)}
        if shares and max(shares.values()) > 0:
            best = [label for label, share in shares.items() if share == max(shares.values())]
            names = " and ".join(map(label_title, best))
            runs = ends[best[0]]
            budget = f" ({_grid(comparison, best[0], rows)})" if rule == TUNED else ""
            sentences.append(
                f"{words}{budget}, {names} most often {'reaches' if len(best) == 1 else 'reach'} "
                f"the target of a row: in {runs.sum()} of {counted(len(runs), 'run')} over "
                f"{counted(len(rows), 'row')}."
            )
    return tuple(sentences)


# ---------------------------------------------------------------------------------------- tables


def decision_table(comparison: Comparison) -> Table:
    """One line per optimizer: its rule, how often it reaches the targets, and at which cost."""
    rows, by_rule = common_rows(comparison), rules(comparison)
    found = arrived(comparison)
    found = found[found["row"].isin(rows)]
    reached = np.isfinite(found["step"])
    best = reached.groupby(found["label"]).mean().max()
    times = medians(found, COSTS)
    tuned = [label for label in by_rule if by_rule[label] == TUNED]
    order = [x for rule in (SELF_TUNING, BY_ROW, TUNED) for x in by_rule if by_rule[x] == rule]
    lines: list[tuple[Cell | str, ...]] = []
    for label in order if rows else ():
        own = reached[found["label"] == label]
        share = own.groupby(found["row"]).mean()[rows]
        worst = Cell(f"{share.min():.0%}", note=row_title(str(share.idxmin())))
        is_best = bool(own.mean() == best)
        costs = [Cell(DASH)] * 4
        if tuned:
            cost, base = (times.xs(name, level="label") for name in (label, tuned[0]))
            grid = _tuning_runs(comparison, label).groupby("row")["forward_passes"].sum()
            spent = cost["forward_passes"].add(grid, fill_value=0.0)
            costs = [_relative(cost[unit], base[unit], rows) for unit in COSTS]
            costs.append(_relative(spent, base["forward_passes"], rows))
        share_of_all = Cell(f"{own.sum()} of {len(own)}", is_best)
        name, grid_size = label_title(label), _grid(comparison, label, rows)
        lines.append((name, by_rule[label], grid_size, share_of_all, worst, *costs))
    over = f"Over {counted(len(rows), 'row')}: {', '.join(map(row_title, rows))}."
    return Table(
        key="decision",
        title="Who reaches the targets, and at which cost",
        caption="Each row's target and number of steps were fixed before the comparison. × are "
        f"multiples of {label_title(tuned[0]) if tuned else 'a tuned baseline'}'s cost up to the "
        "target, of medians over seeds, as geometric means over the rows in which both get there "
        "in more than half of their runs. With tuning: the forward passes of an optimizer's grid "
        f"are added to its own. {over} {NOISY}",
        columns=(
            *("optimizer", "rule", "grid", "target reached", "worst row", "× steps"),
            *("× forward passes", "× seconds", "× forward passes, with tuning"),
        ),
        rows=filled(lines),
    )


def targets_table(comparison: Comparison) -> Table:
    """Every row with a target: the share of runs that reach it, and the time to it."""
    found, by_rule = arrived(comparison), rules(comparison)
    times = medians(found, COSTS)
    lines: list[tuple[Cell | str, ...]] = []
    for row, target in targets(comparison).items():
        is_loss = comparison.scores[row][1]
        note = f"target {'at most' if is_loss else 'at least'} {loss_text(target)}"
        for label in by_rule:
            if (row, label) not in times.index:
                continue
            time = times.loc[(row, label)]
            texts = ["not reached", DASH, DASH]
            if math.isfinite(time["step"]):
                texts = [f"{time['step']:.0f}", f"{time['forward_passes']:.0f}"]
                texts.append(f"{time['seconds']:.1f}")
            reached = f"{time['reached']:.0f} of {time['runs']:.0f}"
            name = Cell(row_title(row), note=note)
            lines.append((name, label_title(label), by_rule[label], reached, *texts))
    return Table(
        key="targets",
        title="Time to the target of each row",
        caption="Counted up to the first evaluation that is at least as good as the target, "
        f"medians over seeds; a run that never gets there counts as infinitely long. {NOISY}",
        columns=("row", "optimizer", "rule", "reached by", "steps", "forward passes", "seconds"),
        rows=without_repeats(lines),
    )


def _relative(own: pd.Series[float], base: pd.Series[float], rows: Sequence[str]) -> Cell:
    """The geometric mean over rows of a cost as a multiple of the other, and over how many rows."""
    ratios = own.reindex(rows) / base.reindex(rows)
    known = ratios[np.isfinite(own.reindex(rows)) & np.isfinite(base.reindex(rows)) & (ratios > 0)]
    if known.empty:
        return Cell(DASH)
    note = "" if len(known) == len(rows) else f"{len(known)} of {counted(len(rows), 'row')}"
    return Cell(f"{math.exp(np.log(known).mean()):.2f}", note=note)


def _tuning_runs(comparison: Comparison, label: str) -> pd.DataFrame:
    """The runs that tried a rate of the optimizer."""
    runs = comparison.tuning
    return runs[(runs["label"] == label) & (runs["lr"] > 0)]


def _grid(comparison: Comparison, label: str, rows: Sequence[str]) -> str:
    """How many runs chose the rate of a row, `5 runs a row`: the mean, where rows differ."""
    runs = _tuning_runs(comparison, label)["row"].isin(rows).sum()
    return f"{runs / len(rows):.3g} runs a row" if runs else "none"


# ---------------------------------------------------------------------------------------- figure


def progress(comparison: Comparison) -> pd.DataFrame:
    """For each unit and label, the share of runs that have reached their row's target by then.

    Columns unit (`steps`, `forward passes`), label, spent, share: the corners of a step function
    that begins at (0, 0). `spent` is relative to the number of steps of the row; runs are those
    over `common_rows`.
    """
    found = arrived(comparison)
    found = found[found["row"].isin(common_rows(comparison))]
    steps = comparison.runs.groupby("row")["last.step"].max()
    corners = []
    for unit, cost in (("steps", "step"), ("forward passes", "forward_passes")):
        spent = found[cost] / found["row"].map(steps).astype(float)
        for label in rules(comparison):
            own = spent[found["label"] == label].sort_values().to_numpy()
            corners += [(unit, label, 0.0, 0.0)] if len(own) else []
            corners += [
                (unit, label, float(x), (i + 1) / len(own))
                for i, x in enumerate(own)
                if math.isfinite(x)
            ]
    frame = pd.DataFrame(corners, columns=["unit", "label", "spent", "share"])
    return frame.astype({"spent": float, "share": float})
