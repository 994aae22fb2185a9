"""The runs of a folder of results; what cannot be read is a warning and never stops the report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, is_valid, read_json, read_yaml
from experiments.files.run_folder import NO_EXPERIMENT, RunFolder, RunPlace, has_ended, run_folders
from experiments.files.shapes import Environment, Git, ReportedConfig, ReportedSummary
from experiments.report.read.labels import with_settings
from experiments.report.read.metrics import Metrics, read_metrics
from experiments.report.read.plans import Place, Plans, read_plans
from experiments.report.read.records import Results, RunRecord
from experiments.report.titles import counted, label_title, row_title

_KNOWN_LOSSES = ("val_loss", "train_loss", "perplexity")


def read_results(folder: Path) -> Results:
    """All runs in `folder` and in `folder/tuning`, in the order of their paths.

    A run whose config cannot be read is left out; any other file that cannot be read counts as
    empty. Each such file is a warning, as are runs of different versions of the code.
    """
    plans = read_plans(folder)
    warnings = list(plans.warnings)
    paths = run_folders(folder)
    # Most of the time goes into metrics.jsonl, and pyarrow lets other threads run meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        metrics = pool.map(read_metrics, (RunFolder(path).metrics_file for path in paths))
        read = [_read(path, folder, m, warnings) for path, m in zip(paths, metrics, strict=True)]
    runs = [_placed(run, plans, folder) for run in read if run is not None]
    if not plans.found:
        runs = with_settings(runs)
    # A run without a summary is judged like the runs of its row that have one.
    judged = {run.row: run for run in runs if run.summary is not None}
    for i, run in enumerate(runs):
        if run.summary is None and (other := judged.get(run.row)):
            runs[i] = replace(run, score=other.score, score_is_loss=other.score_is_loss)
    warnings += [*_repeated_seeds(runs), *_mixed_versions(runs)]
    return Results(folder, tuple(runs), plans.cells, tuple(warnings), plans.tuned_by)


# ------------------------------------------------------------------------------- a single run


def _read(path: Path, root: Path, metrics: Metrics, warnings: list[str]) -> RunRecord | None:
    """The run with a provisional place; None, and a warning, if its config cannot be read."""
    folder, where = RunFolder(path), path.relative_to(root)

    def stored(
        read: Callable[[Path, type[BaseModel]], dict[str, Any] | None],
        file: Path,
        shape: type[BaseModel],
        consequence: str = "",
    ) -> dict[str, Any] | None:
        try:
            return read(file, shape)
        except (BrokenFileError, DiskError) as error:
            name = file.relative_to(root)
            warnings.append(f"{name} cannot be read ({error.reason}){consequence}.")
            return None

    config = stored(read_yaml, folder.config_file, ReportedConfig, "; the run is left out")
    if config is None:
        return None
    env = stored(read_json, folder.env_file, Environment) or {}
    if not is_valid(env.get("git") or {}, Git):
        warnings.append(f"{where}/env.json does not say the commit.")
        env["git"] = {}
    consequence = "; the run counts as unfinished"
    summary = stored(read_json, folder.summary_file, ReportedSummary, consequence)
    if summary is not None and not has_ended(summary):
        warnings.append(f"{where}/summary.json does not say how the run ended{consequence}.")
        summary = None
    warnings += [f"{where}/metrics.jsonl: {fault}." for fault in metrics.faults]

    choices = config["choices"]
    row, task, model = (choices[k].replace("/", "_") for k in ("experiment", "task", "model"))
    holds_out = (config.get("trainer") or {}).get("hold_out") is not None
    score, score_is_loss = _score(summary, metrics)
    return RunRecord(
        folder=path,
        stage="tuning" if holds_out else "other",
        row=f"{task}-{model}" if row == NO_EXPERIMENT else row,
        label=choices["optimizer"],
        optimizer=config["optimizer"]["kind"],
        seed=config["seed"],
        hash=RunPlace.of(path).hash,
        status="unfinished" if summary is None else summary["status"],
        config=config,
        env=env,
        summary=summary,
        score=score,
        score_is_loss=score_is_loss,
        steps=metrics.steps,
        evaluations=metrics.evaluations,
    )


def _score(summary: dict[str, Any] | None, metrics: Metrics) -> tuple[str, bool]:
    """The metric that decides, and whether lower is better."""
    if summary is not None:
        score = summary["score"]
        # Summaries of earlier versions do not say whether it is a loss.
        return score, bool(summary.get("score_is_loss", score in _KNOWN_LOSSES))
    # A task that predicts tokens reports a perplexity, and is judged by its loss.
    if "accuracy" in metrics.evaluations and "perplexity" not in metrics.evaluations:
        return "accuracy", False
    return "val_loss", True


# ------------------------------------------------------------------------ runs among each other


def _placed(run: RunRecord, plans: Plans, root: Path) -> RunRecord:
    """The run with the stage, row and label that the plans give it."""
    where = run.folder.relative_to(root).as_posix()
    if run.stage == "tuning" or where.startswith("tuning/"):
        row, label, reference = plans.tuning.get(where, Place(run.row, run.label))
        return replace(run, stage="tuning", row=row, label=label, reference=reference)
    if not plans.found:
        return replace(run, stage="comparison")
    if place := plans.comparison.get(where):
        return replace(run, stage="comparison", row=place.row, label=place.label)
    return run


def _repeated_seeds(runs: Sequence[RunRecord]) -> list[str]:
    counts = Counter((r.row, r.label, r.seed) for r in runs if r.stage == "comparison")
    return [
        f"{row_title(row)} with {label_title(label)} has {count} runs of seed {seed}, whose "
        "configs differ only in keys that one version of the code has and another does not; each "
        "counts as a run."
        for (row, label, seed), count in counts.items()
        if count > 1
    ]


def _mixed_versions(runs: Sequence[RunRecord]) -> list[str]:
    things = {
        "versions of this code (commits)": [run.version[0] for run in runs],
        "versions of torch": [run.version[1] for run in runs],
        "versions of sls": [run.env.get("sls") or "unknown" for run in runs],
        "devices, so that their seconds cannot be compared": [run.version[3] for run in runs],
    }
    sentences = []
    for thing, values in things.items():
        counts = Counter(values)
        if len(counts) > 1:
            listed = ", ".join(f"{v} ({counted(n, 'run')})" for v, n in sorted(counts.items()))
            sentences.append(f"The runs are of different {thing}: {listed}.")
    return sentences
