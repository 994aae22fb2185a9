"""Names of files and numbers in words: `cpu_mrpc_bert` is MRPC · BERT (cpu)."""

from __future__ import annotations

from pathlib import Path

import yaml

from experiments.models.settings import MODELS
from experiments.optimizers.build import OPTIMIZERS
from experiments.tasks.build import TASKS

_TITLES: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "titles.yaml").read_text(encoding="utf-8")
)
# Each task, model and optimizer has its titles in its own file.
for _group, _kinds in (("tasks", TASKS), ("models", MODELS), ("optimizers", OPTIMIZERS)):
    _TITLES[_group] = {name: title for kind in _kinds for name, title in kind.titles.items()}


def row_title(row: str) -> str:
    """`[cpu_]<task>[_small]_<model>`, `quick_<name>` or `replication_<name>` in words.

    Any other name stays as it is.

    A row without an experiment, `<task>-<model>`, has another sign between the two, so that it is
    never taken for the experiment.
    """
    quick, tasks, models = (_TITLES[kind] for kind in ("quick", "tasks", "models"))
    prefix, _, name = row.partition("_")
    if prefix == "quick" and name in quick:
        return f"{quick[name]} (quick)"
    if prefix == "replication" and name in _TITLES[prefix]:
        return _TITLES[prefix][name]
    between = "+" if "-" in row else "·"
    words = row.replace("-", "_").split("_")
    place = " (cpu)" if words[0] == "cpu" else ""
    size = " (500 examples)" if "small" in words[1:-1] else ""
    named = [word for word in words[1 if place else 0 :] if word != "small"]
    if len(named) != 2 or named[0] not in tasks or named[1] not in models:
        return row
    return f"{tasks[named[0]]}{size} {between} {models[named[1]]}{place}"


def label_title(label: str) -> str:
    """An optimizer's name as the papers write it; text after the first space is kept."""
    name, blank, rest = label.partition(" ")
    return f"{_TITLES['optimizers'].get(name, name)}{blank}{rest}"


def score_title(score: str) -> str:
    """A metric's name in words; any other as it is, without underscores."""
    return _TITLES["scores"].get(score, score.replace("_", " "))


def counted(count: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
