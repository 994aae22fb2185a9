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
    configs: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for run in (run for run in runs if run.stage == "comparison"):
        configs[run.row, run.label].append(_settings(run.config))
    differing = {place: _differing(of_label) for place, of_label in configs.items()}

    def label(run: RunRecord) -> str:
        settings = _settings(run.config)
        keys = differing[run.row, run.label]
        words = [f"{key.removeprefix('optimizer.')}={settings[key]}" for key in keys]
        return _bounded(" ".join([run.label, *words]))

    return [replace(r, label=label(r)) if r.stage == "comparison" else r for r in runs]


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """`{"optimizer.lr": "0.01", …}` of all that can make a difference."""
    settings = flat({key: value for key, value in config.items() if key not in _LEFT_OUT})
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
        if key not in _LEFT_OUT_BELOW
    }


def _differing(configs: Sequence[Mapping[str, str]]) -> list[str]:
    shared = set.intersection(*(set(one) for one in configs))
    return sorted(key for key in shared if len({one[key] for one in configs}) > 1)


def _bounded(label: str) -> str:
    """A label that tables and figures can hold; different ones stay different."""
    if len(label) <= _LONGEST:
        return label
    return f"{label[:_LONGEST]}… {zlib.crc32(label.encode(errors='replace')):08x}"
