"""The launcher of a sweep's settings. Its library is imported only if it is the one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from experiments.sweep.launchers.job import Launcher
from experiments.sweep.launchers.local import LocalLauncher
from experiments.sweep.schema import GpusSettings, LauncherSettings, LocalSettings


def launcher_of(settings: LauncherSettings, scratch: Path) -> Launcher:
    """The launcher that the settings are of; `scratch` is for what it leaves itself.

    Raises:
        UserError: if it cannot work here.
    """
    if isinstance(settings, LocalSettings):
        return LocalLauncher(settings.workers)
    if isinstance(settings, GpusSettings):
        from experiments.sweep.launchers.gpus import GpusLauncher

        return GpusLauncher(settings.workers, scratch)
    from experiments.sweep.launchers.slurm import SlurmLauncher

    return SlurmLauncher(settings, scratch)


def environment_of(
    settings: LauncherSettings, environ: Mapping[str, str] = os.environ
) -> tuple[tuple[str, str], ...]:
    """What a job's process has besides the conductor's variables.

    Several local processes share the cores, unless `environ` says how many threads each may have.
    """
    # A process that is killed has written its last lines.
    variables = [("PYTHONUNBUFFERED", "1")]
    workers = settings.workers if isinstance(settings, LocalSettings) else 1
    if workers > 1 and "OMP_NUM_THREADS" not in environ:
        threads = max(1, _cores() // workers)
        variables.append(("OMP_NUM_THREADS", str(threads)))
    return tuple(variables)


def _cores() -> int:
    """Those that this process may use, which a scheduler may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
