"""`runs.csv`: every run, every number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.report.read.records import Results, RunRecord

_IDENTITY = ("stage", "row", "label", "optimizer", "seed", "hash", "status")
_VERSIONS = ("sls", "torch", "torchvision", "transformers", "numpy", "python", "device_name")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def runs_csv(results: Results) -> str:
    """A line a run, sorted by folder; a cell is empty where a run has no such number.

    Columns: what the run is, its folder relative to the results, all of its summary
    (`final.accuracy`, `best.step`, …), how far it came (`last.…`), the optimizer's settings as
    JSON, commit and versions. No text begins as a formula does, with = + - or @.
    """
    runs = sorted(results.runs, key=lambda run: run.folder)
    rows = [_row(run, results.folder) for run in runs]
    rows = [{_unformula(key): _unformula(value) for key, value in row.items()} for row in rows]
    columns = list(dict.fromkeys([*_front(), *sorted({key for row in rows for key in row})]))
    text: str = pd.DataFrame(rows, columns=columns, dtype=object).to_csv(
        index=False, lineterminator="\n"
    )
    return text


def _unformula(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe instead."""
    if isinstance(value, list):
        value = json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def _front() -> tuple[str, ...]:
    return (*_IDENTITY, "folder", "score", "score_is_loss")


def _row(run: RunRecord, root: Path) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(run, name) for name in _IDENTITY}
    row |= {
        "folder": run.folder.relative_to(root).as_posix(),
        "score": run.score,
        "score_is_loss": run.score_is_loss,
        "settings": json.dumps(run.config["optimizer"], sort_keys=True),
    }
    for key, value in _flat(run.summary or {}).items():
        row.setdefault(key, value)
    if len(run.steps):
        last = run.steps.iloc[-1]
        row |= {f"last.{name}": last[name] for name in ("step", "epoch", "seconds", "loss")}
        row["last.step"] = int(last["step"])
    git = run.env.get("git") or {}
    row |= {"commit": git.get("commit"), "commit_dirty": git.get("dirty")}
    row |= {f"version.{name}": run.env.get(name) for name in _VERSIONS}
    return row


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat
