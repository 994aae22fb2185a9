"""A Ray cluster: each run a task. The run of a worker that is lost goes on with another."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ray

from experiments.errors import UserError, reason_of
from experiments.sweep.launchers.process import Ended, Job, Outcome, Tick, note, run_job
from experiments.sweep.schema import RaySettings

_TICK_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
# Variables that a worker of Ray keeps.
_NOT_PASSED_ON = ("CUDA_VISIBLE_DEVICES", "PWD", "HOSTNAME", "TMPDIR")


class RayLauncher:
    """Runs jobs as tasks of a Ray cluster that is there already."""

    def __init__(self, settings: RaySettings) -> None:
        self.workers = settings.workers
        self._settings = settings

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`. A job that loses its worker too often ends with a negative exit code.

        Raises `UserError` without a cluster at the address, or a node of it that is large enough.
        """
        with _connected(self._settings.address):
            _require_room(self._settings)
            _Tasks(self._settings, deque(jobs), ended, tick).run()


@contextmanager
def _connected(address: str) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray sets its own, which would end this process without waiting for checkpoints.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _require_server(address)
        ray.init(address=address, log_to_driver=False, logging_level="critical")
    # Ray raises SystemExit where nobody answers for two minutes.
    except (OSError, RuntimeError, ValueError, SystemExit) as error:
        where = f"launcher=ray: no cluster at address={address}"
        raise UserError(f"{where} ({reason_of(error)}); see `ray start`") from error
    finally:
        signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _require_server(address: str) -> None:
    """Raise OSError unless a server answers; Ray would try for two minutes."""
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def _require_room(settings: RaySettings) -> None:
    """Refuse a size that no node has: such tasks would wait forever."""
    need = {"CPU": settings.cpus, "GPU": settings.gpus}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(kind, 0) >= need[kind] for kind in need) for node in nodes):
        raise UserError(
            f"launcher=ray: no node of the cluster has gpus={settings.gpus} cpus={settings.cpus}, "
            "which each run needs"
        )


@dataclass
class _Tasks:
    """The tasks of one launch, their jobs, and how often each job lost its worker."""

    settings: RaySettings
    waiting: deque[Job]
    ended: Ended
    tick: Tick
    running: dict[Any, Job] = field(default_factory=dict)
    lost: Counter[Job] = field(default_factory=Counter)
    stopping: bool = False

    def run(self) -> None:
        try:
            self._work_off()
        except KeyboardInterrupt:
            self.stopping = True
            self.waiting.clear()
            try:
                # What has not begun is dropped, what runs is interrupted as by Ctrl-C.
                for task in self.running:
                    ray.cancel(task)
                self._work_off()
            except KeyboardInterrupt:
                for task in self.running:
                    ray.cancel(task, force=True)
            raise

    def _work_off(self) -> None:
        cpus, gpus, workers = self.settings.cpus, self.settings.gpus, self.settings.workers
        # Retried here and not by Ray, which retries without limit where memory is short.
        work = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(run_job)
        while self.waiting or self.running:
            while self.waiting and (workers is None or len(self.running) < workers):
                job = self.waiting.popleft()
                self.running[work.remote(_with_environment(job))] = job
            done, _ = ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
            for task in done:
                self._end(task, self.running.pop(task))
            self.tick()
            if not done:
                time.sleep(_TICK_SECONDS)

    def _end(self, task: Any, job: Job) -> None:
        try:
            outcome: Outcome = ray.get(task)
            # Not interrupted by this sweep, unless it stops: its node is shut down.
            lost = outcome.was_interrupted
        except ray.exceptions.TaskCancelledError:
            return
        except ray.exceptions.RayTaskError as error:
            note(job, f"The job failed on its node: {reason_of(error.cause)}")
            outcome, lost = Outcome(1), False
        except ray.exceptions.RayError as error:
            note(job, f"The process was lost with its worker ({type(error).__name__}).")
            outcome, lost = Outcome(-signal.SIGKILL), True
        if lost and self.stopping:
            return
        self.lost[job] += lost
        if lost and self.lost[job] <= self.settings.retries:
            self.waiting.append(job)
        else:
            self.ended(job, outcome)


def _with_environment(job: Job) -> Job:
    """The job with this process's variables, as with other launchers, but for Ray's own."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_PASSED_ON and not name.startswith("RAY_")
    }
    return replace(job, environment=(*passed.items(), *job.environment))
