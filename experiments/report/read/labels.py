"""Labels for runs that no sweep planned: the optimizer's file, and the settings that differ."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.read.records import flat

# Keys that make no difference between labels: places of files, what is logged, and the seed.
_LEFT_OUT = ("seed", "choices", "data_root", "results_dir", "cache_dir", "device", "logger")
_LEFT_OUT_BELOW = ("trainer.workers", "trainer.checkpoint_every_steps", "task.download")
_LONGEST = 300


def distinct_labels(named: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """A label for each (name, config) of one row.

    It is the name and, where configs of one name differ in more than the seed, the settings that
    differ: `adam lr=0.01`. Settings that not all of them have are left out: they were added in a
    later version.
    """
    of_name: dict[str, list[dict[str, str]]] = defaultdict(list)
    settings = [_settings(config) for _, config in named]
    for (name, _), of_config in zip(named, settings, strict=True):
        of_name[name].append(of_config)
    differing = {name: _differing(configs) for name, configs in of_name.items()}
    return [
        _bounded(
            " ".join(
                [name, *(f"{k.removeprefix('optimizer.')}={of_config[k]}" for k in differing[name])]
            )
        )
        for (name, _), of_config in zip(named, settings, strict=True)
    ]


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
