"""Several GPUs in one box: a process on each, by parsl's HighThroughputExecutor."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.sweep.launchers import interchange
from experiments.sweep.launchers.job import Ended, Job, Outcome, Tick
from experiments.sweep.launchers.orders import (
    PACKAGE_ROOT,
    Orders,
    note,
    run_until,
    was_interrupted,
)


class GpusLauncher:
    """Runs as many jobs at a time as there are GPUs, each with one GPU to see.

    `workers` is the number of GPUs to use, None for all. `accelerators` names them, as
    CUDA_VISIBLE_DEVICES does, in place of the ones that are found. parsl's logs, and they only,
    go below `scratch`.

    Raises:
        UserError: if parsl is missing, if there is no GPU or fewer than `workers`.
    """

    def __init__(
        self, workers: int | None, scratch: Path, *, accelerators: Sequence[str] | None = None
    ) -> None:
        _need_parsl()
        names = visible_gpus() if accelerators is None else tuple(accelerators)
        if not names:
            raise UserError(
                "launcher=gpus: no GPU is visible here (CUDA_VISIBLE_DEVICES, nvidia-smi); "
                "launcher=local runs without"
            )
        if workers is not None and workers > len(names):
            raise UserError(
                f"launcher=gpus: {workers} workers, but only {len(names)} GPUs are visible "
                f"({', '.join(names)})"
            )
        self._accelerators = names[:workers]
        self._scratch = Path(scratch).absolute()

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`. A job whose worker dies ends with a negative exit code.

        Raises:
            UserError: if parsl's workers cannot be started.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        waiting = list(jobs)
        while waiting:
            # The manager of all workers can be lost; what had not begun gets a new one.
            folder = Path(tempfile.mkdtemp(prefix="parsl-", dir=self._scratch))
            left = _Session(folder, self._accelerators, ended, tick).run(waiting)
            if len(left) == len(waiting):
                raise UserError(f"launcher=gpus: no worker could start; {folder} has parsl's logs")
            waiting = left


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that a process started here would see, named as in CUDA_VISIBLE_DEVICES."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        # CUDA reads the list up to the first name that is none.
        end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return tuple(names[:end])
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    answer = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return tuple(str(index) for index in range(count)) if answer.returncode == 0 else ()


@dataclass(frozen=True)
class _Placed:
    """What a worker is told besides its job. Plain data, since it is pickled."""

    job: Job
    accelerators: tuple[str, ...]
    orders: Orders
    begun: Path
    """Written when the job begins: one that a lost worker had not begun can be begun anew."""
    conductor: int


def _work(placed: _Placed) -> Outcome | None:
    """What a worker does. It stops with the order to, and when conductor or manager are gone."""
    manager = os.getppid()

    def stop() -> bool:
        alone = os.getppid() != manager or not _alive(placed.conductor)
        return alone or placed.orders.stopped()

    # parsl sets CUDA_VISIBLE_DEVICES too, but divides by the number of GPUs that nvidia-smi lists.
    own = placed.accelerators[int(os.environ["PARSL_WORKER_RANK"])]
    environment = (*placed.job.environment, ("CUDA_VISIBLE_DEVICES", own))
    placed.begun.touch()
    return run_until(replace(placed.job, environment=environment), stop)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class _Session:
    """One life of parsl's processes."""

    def __init__(
        self, folder: Path, accelerators: tuple[str, ...], ended: Ended, tick: Tick
    ) -> None:
        self._folder = folder
        self._accelerators = accelerators
        self._ended = ended
        self._tick = tick
        self._orders = Orders(folder / "orders")
        self._futures: dict[Future[Outcome | None], _Placed] = {}
        self._left: list[Job] = []

    def run(self, jobs: Sequence[Job]) -> list[Job]:
        """Run the jobs; returns those that had not begun when the workers were lost."""
        import parsl

        with (
            _log_in(self._folder / "parsl.log"),
            _data_flow_kernel(self._folder, self._accelerators) as kernel,
        ):
            work = parsl.python_app(_work, data_flow_kernel=kernel)
            try:
                for number, job in enumerate(jobs):
                    begun = self._folder / f"begun-{number}"
                    placed = _Placed(job, self._accelerators, self._orders, begun, os.getpid())
                    self._futures[work(placed)] = placed
                while self._futures:
                    self._collect()
            except KeyboardInterrupt:
                self._orders.stop()
                # A second Ctrl-C does not wait for them: it ends the workers.
                while self._futures:
                    self._collect()
                raise
        return self._left

    def _collect(self) -> None:
        done, _ = wait(self._futures, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in [future for future in self._futures if future in done]:
            self._end(self._futures.pop(future), future)
        self._tick()

    def _end(self, placed: _Placed, future: Future[Outcome | None]) -> None:
        fault = future.exception()
        if fault is not None and not placed.begun.exists():
            self._left.append(placed.job)
            return
        outcome = future.result() if fault is None else _explained(placed, fault)
        stopped = self._orders.stopped()
        if outcome is not None and not (stopped and was_interrupted(outcome)):
            self._ended(placed.job, outcome)


def _explained(placed: _Placed, fault: BaseException) -> Outcome:
    """The outcome of a job whose worker died, or could not start the job's process."""
    seconds = max(0.0, time.time() - placed.begun.stat().st_mtime)
    if isinstance(fault, OSError):
        note(placed.job, f"The process could not be started: {fault}")
        return Outcome(1, seconds)
    note(placed.job, f"The process was lost with its worker ({type(fault).__name__}).")
    return Outcome(-signal.SIGKILL, seconds)


def _need_parsl() -> None:
    try:
        import parsl  # noqa: F401
    except ImportError as error:
        raise UserError("launcher=gpus needs parsl: pip install '.[cluster]'") from error


@contextmanager
def _data_flow_kernel(folder: Path, accelerators: tuple[str, ...]) -> Iterator[Any]:
    from parsl import DataFlowKernel
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    paths = {"PATH": sysconfig.get_path("scripts"), "PYTHONPATH": PACKAGE_ROOT}
    provider = LocalProvider(
        init_blocks=1,
        min_blocks=1,
        max_blocks=1,
        worker_init="\n".join(
            f"export {name}={shlex.quote(first)}${{{name}:+:${name}}}"
            for name, first in paths.items()
        ),
    )
    executor = HighThroughputExecutor(
        label="gpus",
        provider=provider,
        interchange_launch_cmd=[sys.executable, "-P", str(interchange.__file__)],
        address="127.0.0.1",
        available_accelerators=list(accelerators),
        max_workers_per_node=len(accelerators),
        cores_per_worker=0.001,  # GPUs are counted here, not cores.
        heartbeat_period=5,  # So often dead workers are looked for as well.
    )
    kernel = DataFlowKernel(
        Config(
            executors=[executor],
            run_dir=str(folder / "runinfo"),
            strategy="none",
            usage_tracking=0,
            initialize_logging=False,
        )
    )
    try:
        yield kernel
    finally:
        kernel.cleanup()


@contextmanager
def _log_in(file: Path) -> Iterator[None]:
    """Keep parsl's log in a file, off the console, and close it, which parsl's own never is."""
    logger = logging.getLogger("parsl")
    before = logger.propagate, logger.level
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.propagate, level = before
        logger.setLevel(level)
