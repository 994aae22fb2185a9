"""What a run began with, its data and its machine: kept in its plan, compared when it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.training.fingerprint import changes

Say = Callable[[str], None]
Plan = Mapping[str, Any]

# A plan that says more threads than any machine has is not believed.
_MOST_THREADS = 4096
_MACHINE = ("torch", "device", "device_name", "commit")


def plan_to_resume(folder: RunFolder) -> Plan | None:
    """The plan of a run that has a checkpoint to go on from; None for one that begins.

    Raises:
        UserError: if the file is broken.
    """
    return folder.plan() if folder.checkpoint_file.exists() else None


def machine_of(env: Mapping[str, Any]) -> dict[str, Any]:
    """What of `env.json` decides the bits of a result."""
    git = env["git"] or {}
    changed = " with changes" if git.get("dirty") else ""
    commit = f"{git['commit'][:9]}{changed}" if git.get("commit") else None
    return {**{name: env[name] for name in ("threads", *_MACHINE[:-1])}, "commit": commit}


def keep_threads(before: Plan | None, tell: Say) -> None:
    """Let torch compute with as many threads as the run began with: sums are split by them."""
    threads = _part(before, "machine").get("threads")
    if type(threads) is not int or not 0 < threads <= _MOST_THREADS:
        return
    now = torch.get_num_threads()
    if threads != now:
        torch.set_num_threads(threads)
        tell(f"threads: {threads}, as the run began with, and not {now}")


def tell_other_machine(before: Plan | None, machine: Mapping[str, Any], tell: Say) -> None:
    """Say in one line what else decides bits and is not as it was."""
    then = _part(before, "machine")
    told = changes({name: then[name] for name in _MACHINE if name in then}, machine)
    differences = "; ".join(told)
    if differences:
        tell(f"the run began elsewhere, so its last bits will differ: {differences}")


def refuse_other_data(before: Plan | None, now: Plan, folder: RunFolder) -> None:
    """Raise UserError, with what changed, if the data are not those that the run began with.

    What the plan of an earlier version does not say is not compared.
    """
    found = [*changes(_part(before, "data"), now["data"])]
    lengths = ("total_steps", "steps_per_epoch")
    known = {name: before[name] for name in lengths if before is not None and name in before}
    found += changes(known, now)
    if found:
        raise UserError(
            f"{folder.path} was begun with other data ({'; '.join(found)}); "
            "bring them back, or delete the folder to start anew"
        )


def _part(plan: Plan | None, name: str) -> Mapping[str, Any]:
    """A part of a plan; empty where there is none."""
    part = None if plan is None else plan.get(name)
    return part if isinstance(part, Mapping) else {}
