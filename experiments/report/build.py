"""The report on a folder of results: `<folder>/report/`."""

from __future__ import annotations

import fcntl
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from experiments.errors import UserError
from experiments.files.atomic import DiskError, disk, replace_together
from experiments.files.reading import open_regular
from experiments.files.run_folder import LAYOUT, NO_EXPERIMENT, RunFolder, find_runs, run_folders
from experiments.report.figures.profiles import profile_figures
from experiments.report.figures.targets import target_figures
from experiments.report.figures.training import (
    step_size_figures,
    training_figures,
    validation_figures,
)
from experiments.report.figures.tuning_grid import tuning_figures
from experiments.report.numbers import (
    cost,
    outcomes,
    published,
    relative,
    scores,
    significance,
    summary,
    targets,
    tuning_grid,
)
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import Results
from experiments.report.read.runs import read_results
from experiments.report.titles import label_title, row_title
from experiments.report.write.csv import runs_csv
from experiments.report.write.document import MADE_BY, Document, Figure, Section, Table, filled
from experiments.report.write.render import to_html, to_latex, to_markdown

PICTURES = "pictures"
# Bytes at the start of a figure among which it says who made it.
_HEAD = 1024
# The repository's own sweeps; any other is started by its name.
_SWEEPS = {
    "text": "run_multiple.py",
    "text_cpu": "run_multiple.py --sweep cpu",
    "images": "run_multiple_img.py",
    "images_cpu": "run_multiple_img.py --sweep cpu",
}

# Each is empty where there is nothing to draw. The first three show runs of the comparison only.
DRAWING: Mapping[str, Callable[[Comparison], tuple[Figure, ...]]] = {
    "training": training_figures,
    "validation": validation_figures,
    "step_size": step_size_figures,
    "tuning": lambda compared: tuning_figures(compared, tuning_grid.tuning_points(compared)),
    "targets": lambda compared: target_figures(compared, targets.progress(compared)),
    "profiles": lambda compared: profile_figures(compared, cost.performance_profiles(compared)),
}

Part = TypeVar("Part")


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report on the runs in `folder` into `output`, which is returned.

    By default that is `folder/report`. It gets report.md with pictures/*.png, report.html,
    tables.tex and runs.csv: all of them, or none where one cannot be written. Reports that are
    written at the same time follow one another.

    Raises:
        UserError: if there is no such folder, no run in it, or the report cannot be written.
    """
    folder = Path(folder)
    _require_runs(folder)
    results = read_results(folder)
    if not results.runs:
        raise UserError(f"{folder}: no run can be read: {' '.join(results.warnings)}")
    document = compose(results)
    texts = {
        "report.md": to_markdown(document, pictures=PICTURES),
        "report.html": to_html(document),
        "tables.tex": to_latex(document),
        "runs.csv": runs_csv(results),
    }
    report = folder / "report" if output is None else Path(output)
    try:
        with disk(report):
            (report / PICTURES).mkdir(parents=True, exist_ok=True)
        with _alone(report):
            _write(report, texts, document)
    except DiskError as error:
        with suppress(OSError):  # not where an earlier report has figures
            (report / PICTURES).rmdir()
        hint = "; --output PATH writes it elsewhere" if output is None else ""
        raise UserError(f"the report cannot be written: {error}{hint}") from error
    return report


def _require_runs(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if run_folders(folder):
        return
    paths = (path for path in find_runs(folder, above="*/") if RunFolder(path).config_file.exists())
    below = sorted(path.relative_to(folder).parts[0] for path in paths)
    hint = f"; did you mean {folder / below[0]}?" if below else ""
    raise UserError(f"{folder}: no runs there: looked for {LAYOUT}/config.yaml{hint}")


@contextmanager
def _alone(report: Path) -> Iterator[None]:
    """Wait until no other process writes this report."""
    with disk(report):
        itself = os.open(report, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # without locks, each file is still a whole one
            fcntl.flock(itself, fcntl.LOCK_EX)
        yield
    finally:
        os.close(itself)


def _write(report: Path, texts: Mapping[str, str], document: Document) -> None:
    """All files; and none of the figures of an earlier report."""
    figures = {
        report / PICTURES / f"{figure.key}.png": figure.png
        for section in document.sections
        for figure in section.figures
    }
    # Names of folders may hold bytes that are no text.
    written = {report / name: text.encode(errors="replace") for name, text in texts.items()}
    replace_together(figures | written)
    for path in (report / PICTURES).glob("*.png"):
        with suppress(OSError, UserError), open_regular(path) as file:
            if path not in figures and MADE_BY.encode() in file.read(_HEAD):
                path.unlink()


# -------------------------------------------------------------------------------- the document


def compose(results: Results) -> Document:
    """The report of a folder: the summary first, then figures, tables, and how to reproduce them.

    A part that cannot be made of these results is left out with a warning.
    """
    comparison = Comparison(results)
    warnings = list(results.warnings)

    def made(name: str, make: Callable[[Comparison], Part]) -> Part | None:
        try:
            return make(comparison)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            warnings.append(f"{name} cannot be made and is left out ({reason}).")
            return None

    figures = {key: made(f"the figures {key}", draw) or () for key, draw in DRAWING.items()}
    sections = []
    for key, (title, fill, names) in _SECTIONS.items():
        content = made(f"“{title}”", fill)
        if content is not None:
            sentences, tables = content
            shown = tuple(figure for name in names for figure in figures.get(name, ()))
            filled_tables = tuple(table for table in tables if table.rows)
            sections.append(Section(key, title, tuple(sentences), shown, filled_tables))
    title = f"Report on {results.folder.resolve().name}"
    decided = made("the decision", targets.decision) or ()
    first = (*decided, *(made("the summary", summary.summary) or ()))
    return Document(title, first, tuple(warnings), tuple(sections))


# --------------------------------------------------------- its sections: sentences, and tables

Content = tuple[Iterable[str], Iterable[Table]]


def _decision(comparison: Comparison) -> Content | None:
    if not targets.targets(comparison):
        return None
    if not targets.common_rows(comparison):
        sentence = "No row has a result of every optimizer yet, so there is nothing to decide."
        return (sentence,), ()
    rules = (
        "Two rules, as in AlgoPerf: a self-tuning optimizer has the same settings in every row; a "
        "tuned one takes, in each row, the best of a grid of rates."
    )
    return (*targets.decision(comparison), rules), (targets.decision_table(comparison),)


def _glance(comparison: Comparison) -> Content:
    has_steps = any(len(run.steps) for run in comparison.runs["run"])
    return (() if has_steps else ("No run of the comparison has steps to draw yet.",)), ()


def _results(comparison: Comparison) -> Content:
    return ("Rows are experiments, columns are optimizers.",), (
        *scores.score_tables(comparison),
        scores.loss_table(comparison),
        *relative.relative_tables(comparison),
    )


def _significance(comparison: Comparison) -> Content:
    tables = (*significance.paired_tables(comparison), significance.over_rows_table(comparison))
    tested = sum(len(table.rows) for table in tables)
    if tested == 0:
        return ("No test: Adam has no finished run, or no other optimizer has one to compare.",), ()
    sentences = (
        "Every optimizer is compared with Adam. Its pairs are the runs with the same seed, that is "
        "the same first weights and the same order of the data.",
        f"{tested} comparisons are made here; if there were no differences at all, one in "
        "twenty of those with enough pairs would still show one.",
        *(
            f"{significance.too_few(n)}."
            for n in significance.numbers_of_pairs(comparison)
            if significance.smallest_p(n) > significance.ALPHA
        ),
    )
    return sentences, tables


def _cost(comparison: Comparison) -> Content:
    has_target = any(math.isfinite(cost.target(comparison, row)) for row in comparison.rows)
    no_target = "There is no time to Adam's result: Adam has no finished run."
    tables = [cost.step_cost_table(comparison), cost.time_to_target_table(comparison)]
    if targets.targets(comparison):
        tables.insert(1, targets.targets_table(comparison))
    return (() if has_target else (no_target,)), tables


def _tuning(comparison: Comparison) -> Content:
    points = tuning_grid.tuning_points(comparison)
    return tuning_grid.budget(comparison, points), (tuning_grid.grid_table(points),)


def _published(comparison: Comparison) -> Content:
    tables = published.published_tables(comparison)
    if not tables:
        return ("No row here has published numbers, nor is the small twin of one that has.",), ()
    sentence = (
        "The ALSALS paper's own tables were not available; these are the numbers of the SaLSa and "
        "PLASLS papers, from tables, or read off plots with the uncertainty given."
    )
    return (sentence,), (*tables, published.over_rows_table())


def _runs(comparison: Comparison) -> Content:
    results = comparison.results
    total = outcomes.counts(results.runs, outcomes.not_started(comparison))
    sentence = f"{total}. All of them, with all their numbers, are in runs.csv."
    return (sentence,), (outcomes.not_finished_table(results), outcomes.versions_table(results))


def _reproducing(comparison: Comparison) -> Content:
    results = comparison.results
    sweeps = sorted(path.stem for path in (results.folder / "plans").glob("*.json"))
    sentences = [
        f"The sweep {name}: python "
        + _SWEEPS.get(name, f"run_multiple.py --sweep {shlex.quote(name)}")
        for name in sweeps
    ]
    if sweeps:
        sentences.append(
            "Settings given on a sweep's command line are not repeated here; the folder plans "
            "lists the runs it planned, and their config.yaml the settings."
        )
    compared = [run for run in results.runs if run.stage == "comparison"]
    if compared:
        choices = dict(compared[0].config["choices"])
        if choices.get("experiment") == NO_EXPERIMENT:
            del choices["experiment"]
        pairs = [f"{key}={value}" for key, value in choices.items()]
        sentences.append(
            f"A single run: python main.py {shlex.join([*pairs, f'seed={compared[0].seed}'])}, and "
            "the settings by which its config.yaml differs from the output of --print-config."
        )
    sentences.append(
        "This report: python -m experiments report, followed by the folder. It is a function of "
        "the files of that folder alone."
    )
    return sentences, (_names_table(comparison),)


def _names_table(comparison: Comparison) -> Table:
    """The experiments and optimizers that have other names in files."""
    rows = dict.fromkeys([*comparison.rows, *comparison.tuning["row"]])
    labels = dict.fromkeys([*comparison.labels, *comparison.tuning["label"]])
    named = [(row_title(row), "experiment", row) for row in rows]
    named += [(label_title(label), "optimizer", label) for label in labels]
    return Table(
        key="names",
        title="Names",
        caption="The names of this report in commands, folders and runs.csv.",
        columns=("name", "of", "in files"),
        rows=filled(names for names in named if names[0] != names[2]),
    )


_SECTIONS: Mapping[str, tuple[str, Callable[[Comparison], Content | None], tuple[str, ...]]] = {
    "decision": ("Which optimizer?", _decision, ("targets",)),
    "curves": ("Training at a glance", _glance, ("training", "validation", "step_size")),
    "results": ("Results", _results, ()),
    "statistics": ("Statistical significance", _significance, ()),
    "cost": ("Cost", _cost, ("profiles",)),
    "tuning": ("Tuning", _tuning, ("tuning",)),
    "published": ("Comparison with published numbers", _published, ()),
    "runs": ("Runs and versions", _runs, ()),
    "reproduce": ("Reproducing", _reproducing, ()),
}
"""By key: the title, what fills the section (None leaves it out), and its figures in `DRAWING`."""
