"""`Results` → `Document`: what comes where."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from experiments.report.figures import DRAWING
from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.cost import profiles, step_cost_table, time_to_target_table
from experiments.report.numbers.outcomes import (
    counts,
    not_finished_table,
    not_started,
    versions_table,
)
from experiments.report.numbers.published import over_rows_table as published_over_rows_table
from experiments.report.numbers.published import published_tables
from experiments.report.numbers.relative import relative_tables
from experiments.report.numbers.scores import loss_table, score_tables
from experiments.report.numbers.significance import over_rows_table, paired_tables, too_few
from experiments.report.numbers.summary import summary
from experiments.report.numbers.tuning_tables import budget, grid_table
from experiments.report.read.records import Results, RunRecord
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import Cell, Document, Picture, Section, Table

Part = TypeVar("Part")
Drawn = Mapping[str, tuple[Picture, ...]]

# The repository's own sweeps; any other is started by its name.
_SWEEPS = {
    "text": "run_multiple.py",
    "text_cpu": "run_multiple.py --sweep cpu",
    "images": "run_multiple_img.py",
    "images_cpu": "run_multiple_img.py --sweep cpu",
}


def compose(results: Results) -> Document:
    """The report of a folder: the summary first, then pictures, tables, and how to get there.

    A part that cannot be made of these results is left out with a warning.
    """
    comparison = Comparison(results)
    parts = _Parts()
    no_pictures: tuple[Picture, ...] = ()
    no_sentences: tuple[str, ...] = ()
    drawn: Drawn = {
        key: parts.made(f"the pictures {key}", partial(draw, results), no_pictures)
        for key, draw in DRAWING.items()
    }
    sections = {
        "Training at a glance": lambda: _curves(drawn),
        "Results": lambda: _tables(comparison),
        "How sure is it?": lambda: _statistics(comparison),
        "Cost": lambda: _cost(comparison, drawn),
        "Tuning": lambda: _tuning(results, drawn),
        "Beside the published numbers": lambda: _published(comparison),
        "Runs and versions": lambda: _runs(comparison),
        "How to get these numbers": lambda: _reproduce(comparison),
    }
    made = [parts.made(f"“{title}”", make, None) for title, make in sections.items()]
    first = parts.made("the summary", lambda: summary(comparison), no_sentences)
    return Document(
        title=f"Report on {_name(results.folder)}",
        summary=first,
        warnings=(*results.warnings, *parts.warnings),
        sections=tuple(section for section in made if section is not None),
    )


class _Parts:
    """Makes parts of the report, none of which takes the others with it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def made(self, name: str, make: Callable[[], Part], otherwise: Part) -> Part:
        """The part, or `otherwise` and a warning."""
        try:
            return make()
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.warnings.append(f"{name} cannot be made and is left out ({reason}).")
            return otherwise


def _name(folder: Path) -> str:
    return folder.resolve().name


def _curves(drawn: Drawn) -> Section:
    shown = tuple(p for key in ("training", "validation", "step_size") for p in drawn.get(key, ()))
    nothing = () if shown else ("No run of the comparison has steps to draw yet.",)
    return Section("curves", "Training at a glance", nothing, shown)


def _tables(comparison: Comparison) -> Section:
    return Section(
        "results",
        "Results",
        ("Rows are experiments, columns are optimizers.",),
        tables=(
            *score_tables(comparison),
            loss_table(comparison),
            *relative_tables(comparison),
        ),
    )


def _statistics(comparison: Comparison) -> Section:
    tables = (*paired_tables(comparison), over_rows_table(comparison))
    tested = sum(len(table.rows) for table in tables)
    if tested == 0:
        told: tuple[str, ...] = (
            "Adam has no finished run, or nothing has one beside it: no test.",
        )
    else:
        told = (
            "Every optimizer is compared with Adam, its pairs are the runs with the same seed: the "
            "same first weights and the same order of the data.",
            f"{tested} comparisons are made here; if there were no differences at all, one in "
            "twenty of those that can decide would still show one.",
            *too_few(comparison),
        )
    return Section("statistics", "How sure is it?", told, tables=_filled(tables))


def _cost(comparison: Comparison, drawn: Drawn) -> Section:
    told = []
    if not len(profiles(comparison.results)):
        told.append("There is no time to Adam's result: Adam has no finished run.")
    tables = (step_cost_table(comparison), time_to_target_table(comparison))
    return Section("cost", "Cost", tuple(told), drawn.get("profiles", ()), _filled(tables))


def _tuning(results: Results, drawn: Drawn) -> Section:
    tables = _filled((grid_table(results),))
    return Section("tuning", "Tuning", budget(results), drawn.get("tuning", ()), tables)


def _published(comparison: Comparison) -> Section:
    tables = published_tables(comparison)
    if not tables:
        told = "No row here has published numbers, nor is the small twin of one that has."
        return Section("published", "Beside the published numbers", (told,))
    told = (
        "The ALSALS paper's own tables could not be had; these are the numbers of the SaLSa and "
        "PLASLS papers, from tables, or read off plots with the uncertainty given."
    )
    return Section(
        "published",
        "Beside the published numbers",
        (told,),
        tables=(*tables, published_over_rows_table()),
    )


def _runs(comparison: Comparison) -> Section:
    results = comparison.results
    told = f"{counts(results.runs, not_started(comparison))}. All of them, with all their numbers, "
    told += "are in runs.csv."
    tables = (not_finished_table(results), versions_table(results))
    return Section(
        "runs", "Runs and versions", (told,), tables=tuple(t for t in tables if t is not None)
    )


def _reproduce(comparison: Comparison) -> Section:
    results = comparison.results
    sweeps = sorted(path.stem for path in (results.folder / "plans").glob("*.json"))
    told = [f"The sweep {name}: {_sweep_command(name)}" for name in sweeps]
    if sweeps:
        told.append(
            "Settings given on a sweep's command line are not repeated here; the folder plans "
            "says which runs it meant to make, their config.yaml with what."
        )
    run = next((run for run in results.runs if run.stage == "comparison"), None)
    if run is not None:
        told.append(
            f"A single run: python main.py {_arguments(run)}, and the settings by which its "
            "config.yaml differs from what --print-config says."
        )
    told.append(
        "This report: python -m experiments report, followed by the folder. It is a function of "
        "the files of that folder alone."
    )
    tables = _filled((_names_table(comparison),))
    return Section("reproduce", "How to get these numbers", tuple(told), tables=tables)


def _sweep_command(name: str) -> str:
    program = _SWEEPS.get(name, f"run_multiple.py --sweep {shlex.quote(name)}")
    return f"python {program}"


def _names_table(comparison: Comparison) -> Table:
    """The experiments and optimizers that are called otherwise in files."""
    tuned = [(run.row, run.label) for run in comparison.results.runs if run.stage == "tuning"]
    rows = dict.fromkeys([*comparison.rows, *(row for row, _ in tuned)])
    labels = dict.fromkeys([*comparison.labels, *(label for _, label in tuned)])
    named = [(row_title(row), "experiment", row) for row in rows]
    named += [(label_title(label), "optimizer", label) for label in labels]
    return Table(
        key="names",
        title="Names",
        caption="What the names of this report are in commands, folders and runs.csv.",
        columns=("name", "of", "in files"),
        rows=tuple(
            (Cell(title), Cell(what), Cell(name)) for title, what, name in named if title != name
        ),
    )


def _arguments(run: RunRecord) -> str:
    choices = dict(run.config["choices"])
    if choices.get("experiment") == "default":
        del choices["experiment"]
    pairs = [f"{key}={value}" for key, value in choices.items()]
    return shlex.join([*pairs, f"seed={run.seed}"])


def _filled(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)
