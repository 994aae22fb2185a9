"""The launcher of a sweep's settings. Its library is imported only if it is the one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.sweep.job import Launcher
from experiments.sweep.launchers.local import LocalLauncher


def launcher_of(settings: Any, scratch: Path) -> Launcher:
    """The launcher that `settings.kind` says; `scratch` is for what it leaves itself.

    Raises:
        UserError: if it cannot work here.
    """
    match settings.kind:
        case "local":
            return LocalLauncher(settings.workers)
        case "gpus":
            from experiments.sweep.launchers.gpus import (  # type: ignore[import-not-found, unused-ignore]
                GpusLauncher,
            )

            gpus: Launcher = GpusLauncher(settings.workers, scratch)
            return gpus
        case "slurm":
            from experiments.sweep.launchers.slurm import (  # type: ignore[import-not-found, unused-ignore]
                SlurmLauncher,
            )

            slurm: Launcher = SlurmLauncher(settings, scratch)
            return slurm
    raise ValueError(f"no launcher is called {settings.kind!r}")


def environment_of(
    settings: Any, environ: Mapping[str, str] = os.environ
) -> tuple[tuple[str, str], ...]:
    """What a job's process has besides the conductor's variables.

    Several local processes share the cores, unless `environ` says how many threads each may have.
    """
    # A process that is killed has written its last lines.
    variables = [("PYTHONUNBUFFERED", "1")]
    if settings.kind == "local" and settings.workers > 1 and "OMP_NUM_THREADS" not in environ:
        threads = max(1, _cores() // settings.workers)
        variables.append(("OMP_NUM_THREADS", str(threads)))
    return tuple(variables)


def _cores() -> int:
    """Those that this process may use, which a scheduler may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
