"""Labels for runs that no sweep planned: the optimizer's file, and the settings that differ."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.report.read.records import RunRecord, flat

# Keys that make no difference between labels: places of files, what is logged, and the seed.
_LEFT_OUT = ("seed", "choices", "data_root", "results_dir", "cache_dir", "device", "logger")
_LEFT_OUT_BELOW = ("trainer.workers", "trainer.checkpoint_every_steps", "task.download")
_LONGEST = 300


def with_settings(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs, those of the comparison with labels that tell their configs apart.

    A label is the optimizer's name and, where the configs of one row and name differ in more than
    the seed, the settings that differ: `adam lr=0.01`. Settings that not all of them have are left
    out: they were added in a later version.
    """
    settings = {run.folder: _settings(run.config) for run in runs if run.stage == "comparison"}
    cells = defaultdict(list)
    for run in runs:
        if run.folder in settings:
            cells[run.row, run.label].append(settings[run.folder])
    differing = {}
    for place, of_cell in cells.items():
        shared = set.intersection(*map(set, of_cell))
        differing[place] = sorted(k for k in shared if len({one[k] for one in of_cell}) > 1)

    def label(run: RunRecord) -> str:
        values = settings[run.folder]
        keys = differing[run.row, run.label]
        words = " ".join(
            [run.label, *(f"{k.removeprefix('optimizer.')}={values[k]}" for k in keys)]
        )
        if len(words) <= _LONGEST:
            return words
        # Tables and figures can hold it, and different ones stay different.
        return f"{words[:_LONGEST]}… {zlib.crc32(words.encode(errors='replace')):08x}"

    return [replace(run, label=label(run)) if run.folder in settings else run for run in runs]


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """`{"optimizer.lr": "0.01", …}` of all that can make a difference."""
    settings = flat({key: value for key, value in config.items() if key not in _LEFT_OUT})
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
        if key not in _LEFT_OUT_BELOW
    }
