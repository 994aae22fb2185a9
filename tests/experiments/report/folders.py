"""Folders of runs in the files' format, written by hand: no training, every number chosen."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

STEPS_AN_EPOCH = 2

RATES = ("adam", "sgd")


def write_run(
    root: Path,
    *,
    row: str = "mrpc_bert",
    task: str = "glue/mrpc",
    model: str = "bert",
    optimizer: str = "adam",
    kind: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    scores: Sequence[float] = (0.5, 0.6),
    train_losses: Sequence[float] | None = None,
    val_losses: Sequence[float] | None = None,
    score: str = "accuracy",
    status: str | None = "finished",
    forward_a_step: int = 1,
    seconds_a_step: float = 0.5,
    hold_out: float | None = None,
    folder: str | None = None,
    commit: str = "a" * 40,
    tag: str = "",
) -> Path:
    """One run: an evaluation after every two steps, with the scores and losses given.

    Without losses, the training loss is 0.5 throughout and the validation loss 1 - score.
    `status` None: no summary. `folder` None: `tuning` for a run that holds out, else the root.
    Returns the run's folder, whose hash is made of the settings and `tag`.
    """
    kind = optimizer if kind is None else kind
    options = {"lr": 0.1} if kind in RATES else {}
    options = {"kind": kind, **options, **(settings or {})}
    config = {
        "choices": {"experiment": row, "task": task, "model": model, "optimizer": optimizer},
        "seed": seed,
        "optimizer": options,
        "trainer": {"epochs": len(scores), "hold_out": hold_out},
        "results_dir": str(root),
    }
    digest = f"{zlib.crc32((json.dumps(options, sort_keys=True) + tag).encode()):08x}"
    names = (row, f"{task}-{model}".replace("/", "_"), optimizer, f"s{seed}-{digest}")
    if folder is None:
        folder = "" if hold_out is None else "tuning"
    path = (root / folder).joinpath(*names)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    env = {"torch": "2.14.1", "sls": "0.1.0", "git": {"commit": commit, "dirty": False}}
    (path / "env.json").write_text(json.dumps({**env, "device_name": "a machine"}))

    trained = [0.5] * len(scores) if train_losses is None else list(train_losses)
    losses = [1.0 - s for s in scores] if val_losses is None else list(val_losses)
    rows: list[dict[str, Any]] = []
    evaluations = []
    for epoch, (value, train, val) in enumerate(zip(scores, trained, losses, strict=True)):
        for step in range(epoch * STEPS_AN_EPOCH + 1, (epoch + 1) * STEPS_AN_EPOCH + 1):
            where = _where(step, forward_a_step, seconds_a_step)
            rows.append({"event": "step", **where, "loss": train, "step_size": 0.1})
        metrics = {"train_loss": train, "val_loss": val}
        if score not in metrics:
            metrics[score] = value
        evaluations.append({"step": step, **metrics})
        rows.append({"event": "evaluation", **where, **metrics})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "metrics.jsonl").write_text(text)
    if status is not None:
        is_loss = score == "val_loss"
        best = (min if is_loss else max)(evaluations, key=lambda e: e[score])
        summary = {
            "status": status,
            "experiment": row,
            "seed": seed,
            "steps": step,
            "seconds_training": step * seconds_a_step,
            "forward_passes": step * forward_a_step,
            "backward_passes": step,
            "score": score,
            "score_is_loss": is_loss,
            "final": evaluations[-1],
            "best": best,
        }
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def _where(step: int, forward_a_step: int, seconds_a_step: float) -> dict[str, Any]:
    return {
        "step": step,
        "epoch": step / STEPS_AN_EPOCH,
        "seconds": step * seconds_a_step,
        "forward_passes": step * forward_a_step,
        "backward_passes": step,
    }


def write_plan(root: Path, cells: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    """A plan of the cells; `folders` in them may be paths below `root`."""
    written = []
    for cell in cells:
        folders = [
            None if f is None else Path(f).relative_to(root).as_posix() for f in cell["folders"]
        ]
        written.append({"optimizer": cell["label"], "tuned": False, **cell, "folders": folders})
    path = root / "plans" / f"{more.pop('sweep', 'text')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"sweep": path.stem, "cells": written, "tuning": [], **more}))
    return path
