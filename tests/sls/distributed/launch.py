"""Launches real processes by torchrun, and reads what each of them saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import distributed

Case = Callable[[], Any]
LIMIT = 60
"""Seconds that a rank waits for another one, before it fails."""


def launch(
    worker: str, folder: Path, cases: str, *, processes: int = 2, limit: int = 285
) -> list[Any]:
    """What each rank of the worker saw; a launch that hangs or fails raises, with its output.

    Args:
        worker: a module of this package that calls `run_cases`.
        folder: where the ranks write.
        cases: which of its sets of cases.
        processes: how many ranks.
        limit: seconds until the launch is ended.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [
        f"--nproc-per-node={processes}",
        "-m",
        f"{__package__}.{worker}",
        str(folder),
        cases,
    ]
    launched = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        output, _ = launched.communicate(timeout=limit)
    except subprocess.TimeoutExpired as expired:
        os.killpg(launched.pid, signal.SIGKILL)
        raise AssertionError(f"the ranks hang:\n{launched.communicate()[0]}") from expired
    assert launched.returncode == 0, output
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def run_cases(sets: dict[str, dict[str, Case]]) -> None:
    """Run the cases of a set in order, on every rank, and write what they return.

    Floats are written so that reading them gives the same bits. An error is what a case saw, too;
    it has to be the same kind on all ranks, or they wait for each other until `LIMIT`.
    """
    distributed.init_process_group("gloo", timeout=timedelta(seconds=LIMIT))
    rank = distributed.get_rank()
    seen: dict[str, Any] = {}
    for name, case in sets[sys.argv[2]].items():
        try:
            seen[name] = case()
        except Exception as error:
            seen[name] = {"error": f"{type(error).__name__}: {error}"}
    distributed.barrier()
    (Path(sys.argv[1]) / f"{rank}.json").write_text(json.dumps(seen))
    distributed.destroy_process_group()
