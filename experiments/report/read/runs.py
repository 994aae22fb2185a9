"""A folder of results → `Results`; what cannot be read is told and never stops the report."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, is_valid, read_json, read_yaml
from experiments.files.run_folder import RunFolder, has_ended
from experiments.files.shapes import Environment, Git, ReportedConfig, ReportedSummary
from experiments.report.read.labels import distinct_labels
from experiments.report.read.metrics import Metrics, read_metrics
from experiments.report.read.plans import Place, Plans, read_plans
from experiments.report.read.records import Results, RunRecord, Stage, Status
from experiments.report.titles import label_title, row_title

LAYOUT = "<experiment>/<task>-<model>/<optimizer>/s<seed>-<hash>"

_PATTERN = "*/*/*/s*-*/config.yaml"
_NO_EXPERIMENT = "default"
_KNOWN_LOSSES = ("val_loss", "train_loss", "perplexity")


def read_results(folder: Path) -> Results:
    """All runs in `folder` and in `folder/tuning`, in the order of their paths.

    Runs are folders of the layout `LAYOUT` with a `config.yaml`. A run whose config cannot be
    read is left out; whatever else cannot be is empty. Each such thing is a warning, as are runs
    of different versions of the code.
    """
    folder = Path(folder)
    plans = read_plans(folder)
    warnings = list(plans.warnings)
    paths = run_folders(folder)
    # Most of the time goes into metrics.jsonl, and pyarrow lets other threads run meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        metrics = pool.map(read_metrics, (RunFolder(path).metrics_file for path in paths))
        found = [
            _read(path, folder, of_run, warnings)
            for path, of_run in zip(paths, metrics, strict=True)
        ]
    runs = _settled([run for run in found if run is not None], plans, folder, warnings)
    warnings += _mixed_versions(runs)
    return Results(folder, tuple(runs), plans.cells, tuple(warnings), plans.tuned_by)


def run_folders(folder: Path) -> list[Path]:
    """The folders of runs in `folder` and in `folder/tuning`, sorted."""
    configs = [*folder.glob(_PATTERN), *folder.glob(f"tuning/{_PATTERN}")]
    return sorted(path.parent for path in configs)


# ------------------------------------------------------------------------------- a single run


@dataclass(frozen=True)
class _Files:
    """The files of a run, as far as they can be read."""

    folder: RunFolder
    config: Mapping[str, Any]
    env: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    metrics: Metrics


def _read(path: Path, root: Path, metrics: Metrics, warnings: list[str]) -> RunRecord | None:
    """The run with a provisional place; None, and a warning, if its config cannot be read."""
    folder = RunFolder(path)
    where = path.relative_to(root)
    stored = _Stored(root, warnings)
    config = stored.get(read_yaml, folder.config_file, ReportedConfig, "the run is left out")
    if config is None:
        return None
    env = stored.get(read_json, folder.env_file, Environment) or {}
    if not is_valid(env.get("git") or {}, Git):
        warnings.append(f"{where}/env.json does not say the commit.")
        env["git"] = {}
    consequence = "the run counts as unfinished"
    summary = stored.get(read_json, folder.summary_file, ReportedSummary, consequence)
    if summary is not None and not has_ended(summary):
        warnings.append(f"{where}/summary.json does not say how the run ended; {consequence}.")
        summary = None
    warnings += [f"{where}/metrics.jsonl: {fault}." for fault in metrics.faults]
    files = _Files(folder, config, env, summary, metrics)
    return _record(files, *_identity(config))


@dataclass(frozen=True)
class _Stored:
    """Reads files; what cannot be read is a warning."""

    root: Path
    warnings: list[str]

    def get(
        self,
        read: Callable[[Path, type[BaseModel]], dict[str, Any] | None],
        path: Path,
        shape: type[BaseModel],
        consequence: str = "",
    ) -> dict[str, Any] | None:
        """The contents; None if there are none that can be used."""
        try:
            return read(path, shape)
        except (BrokenFileError, DiskError) as error:
            told = f"{path.relative_to(self.root)} cannot be read ({error.reason})"
            self.warnings.append(f"{told}; {consequence}." if consequence else f"{told}.")
        return None


def _identity(config: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """Row, label, the optimizer's kind, seed."""
    choices = config["choices"]
    names = {key: choices[key].replace("/", "_") for key in ("experiment", "task", "model")}
    row = names["experiment"]
    if row == _NO_EXPERIMENT:
        row = f"{names['task']}-{names['model']}"
    return row, choices["optimizer"], config["optimizer"]["kind"], config["seed"]


def _record(files: _Files, row: str, label: str, optimizer: str, seed: int) -> RunRecord:
    score, is_loss = _score(files)
    stage: Stage = "tuning" if _holds_out(files.config) else "other"
    return RunRecord(
        folder=files.folder.path,
        stage=stage,
        row=row,
        label=label,
        optimizer=optimizer,
        seed=seed,
        hash=files.folder.path.name.partition("-")[2],
        status=_status(files.summary),
        config=files.config,
        env=files.env,
        summary=files.summary,
        score=score,
        score_is_loss=is_loss,
        steps=files.metrics.steps,
        evaluations=files.metrics.evaluations,
    )


def _holds_out(config: Mapping[str, Any]) -> bool:
    trainer = config.get("trainer")
    return isinstance(trainer, Mapping) and trainer.get("hold_out") is not None


def _status(summary: Mapping[str, Any] | None) -> Status:
    if summary is None:
        return "unfinished"
    status: Status = summary["status"]
    return status


def _score(files: _Files) -> tuple[str, bool]:
    """The metric that decides, and whether lower is better.

    Summaries of earlier versions do not say the second, and a run without a summary neither; a
    task that predicts tokens reports a perplexity, and is judged by its loss.
    """
    if files.summary is not None:
        score = str(files.summary["score"])
        return score, bool(files.summary.get("score_is_loss", score in _KNOWN_LOSSES))
    columns = files.metrics.evaluations.columns
    if "accuracy" in columns and "perplexity" not in columns:
        return "accuracy", False
    return "val_loss", True


# ------------------------------------------------------------------------ runs among each other


def _settled(
    runs: Sequence[RunRecord], plans: Plans, root: Path, warnings: list[str]
) -> list[RunRecord]:
    """The runs with the stage, row and label that plans, or the other runs, give them."""
    settled = [_placed(run, plans, run.folder.relative_to(root).as_posix()) for run in runs]
    if not plans.there_are_any:
        settled = _labelled(settled)
    settled = _same_score(settled)
    warnings += _twice(settled)
    return settled


def _placed(run: RunRecord, plans: Plans, where: str) -> RunRecord:
    if run.stage == "tuning" or where.startswith("tuning/"):
        place = plans.tuning.get(where, Place(run.row, run.label))
        return replace(
            run, stage="tuning", row=place.row, label=place.label, reference=place.reference
        )
    if not plans.there_are_any:
        return replace(run, stage="comparison")
    if where in plans.comparison:
        place = plans.comparison[where]
        return replace(run, stage="comparison", row=place.row, label=place.label)
    return run


def _labelled(runs: Sequence[RunRecord]) -> list[RunRecord]:
    of_row: dict[str, list[int]] = defaultdict(list)
    for i, run in enumerate(runs):
        if run.stage == "comparison":
            of_row[run.row].append(i)
    labelled = list(runs)
    for indices in of_row.values():
        labels = distinct_labels([(runs[i].label, runs[i].config) for i in indices])
        for i, label in zip(indices, labels, strict=True):
            labelled[i] = replace(runs[i], label=label)
    return labelled


def _same_score(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """A run without a summary is judged as those of its row that have one."""
    known = {run.row: run for run in runs if run.summary is not None}
    return [
        replace(run, score=known[run.row].score, score_is_loss=known[run.row].score_is_loss)
        if run.summary is None and run.row in known
        else run
        for run in runs
    ]


def _twice(runs: Iterable[RunRecord]) -> list[str]:
    counts = Counter((r.row, r.label, r.seed) for r in runs if r.stage == "comparison")
    return [
        f"{row_title(row)} with {label_title(label)} has {count} runs of seed {seed}, whose "
        "configs differ only in what one version of the code knows and another does not; each "
        "counts as a run."
        for (row, label, seed), count in counts.items()
        if count > 1
    ]


def _mixed_versions(runs: Sequence[RunRecord]) -> list[str]:
    """A sentence for each thing that is not the same in all runs."""
    things: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "versions of this code (commits)": _commit,
        "versions of torch": lambda env: str(env.get("torch", "unknown")),
        "versions of sls": lambda env: str(env.get("sls", "unknown")),
        "devices, so that their seconds cannot be compared": _device,
    }
    sentences = []
    for thing, value_of in things.items():
        counts = Counter(value_of(run.env) for run in runs)
        if len(counts) > 1:
            listed = ", ".join(
                f"{value} ({_runs(count)})" for value, count in sorted(counts.items())
            )
            sentences.append(f"The runs are of different {thing}: {listed}.")
    return sentences


def _device(env: Mapping[str, Any]) -> str:
    return str(env.get("device_name", "unknown"))


def _commit(env: Mapping[str, Any]) -> str:
    git = env.get("git") or {}
    commit = str(git.get("commit") or "unknown")[:7]
    return f"{commit} with uncommitted changes" if git.get("dirty") else commit


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
