"""Data and machine that a run began with: kept in its `plan.json`, compared when it resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from experiments.data.base import contents_of
from experiments.data.contents import digest
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.tasks.base import Task

Say = Callable[[str], None]
Plan = Mapping[str, Any]

# A plan with more threads than any machine has is not believed.
_MOST_THREADS = 4096
_MACHINE = ("torch", "device", "device_name", "commit")


def plan_to_resume(folder: RunFolder) -> Plan | None:
    """The plan of a run that has a checkpoint; None for a new run."""
    return folder.plan() if folder.checkpoint_file.exists() else None


def data_fingerprint(task: Task) -> dict[str, Any]:
    """For each split its number of examples and classes, an example's sizes, a digest of all."""
    splits = {"train": task.train, "validation": task.validation}
    splits |= {f"validation_{suffix}": source for suffix, source in task.also_validation.items()}
    result: dict[str, Any] = {}
    for name, source in splits.items():
        example = source.batch(torch.tensor([0]), None)
        split: dict[str, Any] = {"examples": len(source)}
        labels = getattr(source, "labels", None)
        if labels is not None and labels.dtype == torch.int64:
            split["classes"] = len(labels.unique())
        split["example"] = {key: list(example[key].shape[1:]) for key in sorted(example)}
        split["digest"] = digest(contents_of(source))
        result[name] = split
    return result


def machine_of(env: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `env.json` that decides the last bits of a result."""
    git = env["git"] or {}
    changed = " with changes" if git.get("dirty") else ""
    commit = f"{git['commit'][:9]}{changed}" if git.get("commit") else None
    return {**{name: env[name] for name in ("threads", *_MACHINE[:-1])}, "commit": commit}


def keep_threads(before: Plan | None, tell: Say) -> None:
    """Use as many threads as the run began with: sums are split by them."""
    threads = _part(before, "machine").get("threads")
    if type(threads) is not int or not 0 < threads <= _MOST_THREADS:
        return
    now = torch.get_num_threads()
    if threads != now:
        torch.set_num_threads(threads)
        tell(f"using {threads} threads, as when the run began, instead of {now}")


def tell_other_machine(before: Plan | None, machine: Mapping[str, Any], tell: Say) -> None:
    """Report in one line that torch, device or commit differ, so that last bits will."""
    then = _part(before, "machine")
    compared = {name: then[name] for name in _MACHINE if name in then}
    differences = "; ".join(_changes(compared, machine))
    if differences:
        tell(f"the run began on another machine or version, so last bits differ: {differences}")


def refuse_other_data(before: Plan | None, now: Plan, folder: RunFolder) -> None:
    """Raise UserError, naming the changes, if the data differ from those at the run's beginning.

    Only what is in both plans is compared: earlier versions recorded less.
    """
    lengths = ("total_steps", "steps_per_epoch")
    known = {name: before[name] for name in lengths if before is not None and name in before}
    differences = [*_changes(_part(before, "data"), now["data"]), *_changes(known, now)]
    if differences:
        raise UserError(
            f"{folder.path} was begun with other data ({'; '.join(differences)}); "
            "restore them, or delete the folder to start anew"
        )


def refuse_other_processes(before: Plan | None, count: int, folder: RunFolder) -> None:
    """Raise UserError if the run that resumes has begun with another number of processes.

    What BatchNorm and dropout do depends on it.
    """
    then = 1 if before is None else before.get("processes", 1)
    if before is not None and then != count:
        how = "without torchrun" if then == 1 else f"by torchrun with {then} processes in all"
        raise UserError(
            f"{folder.path} was begun by {then} process{'' if then == 1 else 'es'}, now {count}; "
            f"start it {how}, or delete the folder to start anew"
        )


def refuse_parted_data(data: list[dict[str, Any]]) -> None:
    """Raise UserError if the data that the processes of a run see, in their order, differ."""
    for number, its in enumerate(data[1:], start=1):
        differences = "; ".join(_changes(data[0], its, other=f"in process {number}"))
        if differences:
            raise UserError(
                f"data_root: the processes see different data ({differences}); give them the same"
            )


def _part(plan: Plan | None, name: str) -> Mapping[str, Any]:
    part = (plan or {}).get(name)
    return part if isinstance(part, Mapping) else {}


def _changes(before: Any, now: Any, name: str = "", other: str = "now") -> Iterator[str]:
    """Values that differ, each as `train examples: 64, now 128`; keys of only one are skipped."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in before:
            if key in now:
                yield from _changes(before[key], now[key], f"{name} {key}".strip(), other)
    elif before != now:
        yield f"{name}: {before}, {other} {now}"
