"""A SLURM cluster: a sweep as an array of jobs, by submitit. A run that is cut off goes on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.sweep.launchers.process import (
    PACKAGE_ROOT,
    Ended,
    Job,
    Outcome,
    Tick,
    note,
    run_job,
)
from experiments.sweep.schema import SlurmSettings

# Between the warning that the time is up and the end: a step, a checkpoint and the requeue.
_WARNING_SECONDS = 120
_WARNING_SHARE = 0.25  # of the time at most, so that a job of few minutes does something too
# A run may need its time this often; every time it goes on from its checkpoint.
_REQUEUES = 100
# How long a process that SLURM interrupted waits for SLURM to end it.
_PATIENCE = 600


class SlurmLauncher:
    """Runs jobs as one SLURM array, and those that SLURM cuts off again from their checkpoint.

    `scratch` must lie on a file system that the nodes share; submitit's files go below it.
    With `cluster="debug"` the jobs run in this process in turn, for tests. SLURM's queue is read
    every `queue_every` seconds to find jobs that ended without a result, as where a node failed.

    Raises:
        UserError: if submitit or SLURM's commands are missing.
    """

    def __init__(
        self,
        settings: SlurmSettings,
        scratch: Path,
        *,
        cluster: str = "slurm",
        queue_every: float = 15.0,
    ) -> None:
        self.workers = settings.workers
        self._settings = settings
        self._scratch = Path(scratch).absolute()
        self._cluster = cluster
        self._queue_every = queue_every
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise UserError("launcher=slurm needs submitit: pip install '.[cluster]'") from error

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`. A job that SLURM loses ends with a negative exit code.

        Raises:
            UserError: if SLURM refuses the array.
        """
        if not jobs:
            return
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=self._scratch))
        orders = Orders(folder / "orders")
        functions = [
            _Resumable(job, orders, folder / f"process-{number}") for number, job in enumerate(jobs)
        ]
        pairs = list(zip(jobs, self._submit(folder, functions), strict=True))
        if self._cluster == "debug":
            _in_turn(pairs, ended, tick)
        else:
            _Array(pairs, orders, self._queue_every, ended, tick).watch()

    def _submit(self, folder: Path, functions: list[_Resumable]) -> list[Any]:
        import submitit

        try:
            executor = submitit.AutoExecutor(
                folder / "%j", cluster=self._cluster, slurm_max_num_timeout=_REQUEUES
            )
            executor.update_parameters(**self._parameters(len(functions)))
            return list(executor.submit_array(functions))
        except (RuntimeError, OSError) as error:
            # submitit repeats the command and its output; SLURM's reason is the last line.
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"launcher=slurm: {reason}") from error

    def _parameters(self, count: int) -> dict[str, Any]:
        settings = self._settings
        parameters: dict[str, Any] = {
            "name": "sls-sweep",
            "timeout_min": settings.minutes,
            "cpus_per_task": settings.cpus,
            "slurm_array_parallelism": count if settings.workers is None else settings.workers,
            "slurm_signal_delay_s": min(
                _WARNING_SECONDS, int(_WARNING_SHARE * 60 * settings.minutes)
            ),
            "slurm_setup": [
                f"export PYTHONPATH={shlex.quote(PACKAGE_ROOT)}${{PYTHONPATH:+:$PYTHONPATH}}"
            ],
            # Since SLURM 22.05 srun does not take the cores over from the job.
            "slurm_srun_args": [f"--cpus-per-task={settings.cpus}"],
            "slurm_additional_parameters": {"requeue": True},
            "slurm_partition": settings.partition,
            "mem_gb": settings.memory_gb,
            "gpus_per_node": settings.gpus or None,
        }
        return {key: value for key, value in parameters.items() if value is not None}


class Orders:
    """A file that tells the nodes to stop.

    A file and not a signal: it reaches a job that is just starting as surely as a running one, and
    each job exactly once, where a second SIGINT would end it before its checkpoint. The file is
    there from the start and only its content changes, since a network file system looks at an
    opened file anew, but may remember for a minute that there was none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text("go")

    def stop(self) -> None:
        """Order every job to interrupt its process, and others not to start one."""
        self._path.write_text("stop")

    def stopped(self) -> bool:
        """Whether the order to stop was given."""
        try:
            return self._path.read_text() == "stop"
        except OSError:
            return False


# --------------------------------------------------------------------------------- on the node


class _Resumable:
    """What a node does with a job. submitit calls `checkpoint` before the time is up."""

    def __init__(self, job: Job, orders: Orders, process_file: Path) -> None:
        self._job = job
        self._orders = orders
        self._process_file = process_file

    def __call__(self) -> Outcome | None:
        if self._orders.stopped():
            return None
        self._process_file.unlink(missing_ok=True)
        outcome = run_job(_shielded(self._job, self._process_file), self._orders.stopped)
        if outcome.was_interrupted and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            self._wait_for_slurm()
        return outcome

    def _wait_for_slurm(self) -> None:
        """Leave the job's fate to SLURM, which interrupted it.

        SLURM may requeue the job (preempted, `scontrol requeue`) or not (`scancel`). A result
        written now would mark the job as ended.
        """
        patient_until = time.monotonic() + _PATIENCE
        while not self._orders.stopped() and time.monotonic() < patient_until:
            time.sleep(1)

    def checkpoint(self) -> Any:
        """Stop the job's process, which leaves a checkpoint; the same job is to run again."""
        from submitit.helpers import DelayedSubmission

        _interrupt(self._process_file)
        return DelayedSubmission(self)


def _shielded(job: Job, process_file: Path) -> Job:
    """The job; its process ignores SLURM's warning signals, and its id is written to a file.

    SLURM may send its warnings to all processes of a job, and each would end a process that does
    not know it before its checkpoint. Signals that are ignored stay so in what `exec` starts.
    """
    script = 'trap "" USR2 TERM; echo $$ >"$0"; exec "$@"'
    return replace(job, command=("/bin/sh", "-c", script, str(process_file), *job.command))


def _interrupt(process_file: Path) -> None:
    """Send SIGINT to the process of `_shielded` and wait until it has ended.

    Called by submitit's signal handler, within `run_job`, which must still find the process: so
    its end is looked at, not collected.
    """
    try:
        process = int(process_file.read_text())
        os.kill(process, signal.SIGINT)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    except (OSError, ValueError):
        return  # There is none yet, or none any more.


# ---------------------------------------------------------------------------- at the conductor


def _in_turn(pairs: list[tuple[Job, Any]], ended: Ended, tick: Tick) -> None:
    for job, submitted in pairs:
        outcome = submitted.result()
        # Ctrl-C reaches this process only while it waits for the job's.
        if outcome is None or outcome.was_interrupted:
            raise KeyboardInterrupt
        ended(job, outcome)
        tick()


class _Array:
    """A submitted array, watched from the conductor until all of it has ended.

    submitit asks `sacct`, which many small clusters do not have; so ends are seen by the result
    that a job leaves, and jobs that left none by their absence from `squeue`.
    """

    def __init__(
        self,
        pairs: list[tuple[Job, Any]],
        orders: Orders,
        queue_every: float,
        ended: Ended,
        tick: Tick,
    ) -> None:
        self._pairs = pairs
        self._orders = orders
        self._queue_every = queue_every
        self._ended = ended
        self._tick = tick
        self._array = str(pairs[0][1].job_id).split("_")[0]
        self._began = time.monotonic()
        self._queue_read = self._began
        self._absent: set[str] = set()

    def watch(self) -> None:
        try:
            while self._pairs:
                self._look()
        except KeyboardInterrupt:
            self._orders.stop()
            try:
                # What waits need not start; what runs sees the order, leaves a checkpoint, ends.
                _slurm("scancel", "--quiet", "--state=PENDING", self._array)
                while self._pairs:
                    self._look()
            finally:
                # Nothing is left to cancel, unless there was a second Ctrl-C.
                _slurm("scancel", "--quiet", self._array)
            raise

    def _look(self) -> None:
        for pair in [pair for pair in self._pairs if _has_result(pair[1])]:
            self._end(pair, _outcome(*pair, time.monotonic() - self._began))
        if time.monotonic() - self._queue_read >= self._queue_every:
            self._queue_read = time.monotonic()
            self._end_lost()
        self._tick()
        if self._pairs:
            time.sleep(1)

    def _end_lost(self) -> None:
        """End the jobs that are missing in `squeue` and have no result either.

        Twice in a row: a result may take some seconds to be seen here.
        """
        answer = _slurm("squeue", "--me", "--array", "--noheader", "--format=%i")
        if answer.returncode != 0:
            return
        absent = {str(submitted.job_id) for _, submitted in self._pairs}
        absent -= set(answer.stdout.split())  # `<array>_<index>` each
        for pair in list(self._pairs):
            if str(pair[1].job_id) in absent & self._absent and not _has_result(pair[1]):
                seconds = time.monotonic() - self._began
                self._end(pair, None if self._orders.stopped() else _lost(*pair, seconds))
        self._absent = absent

    def _end(self, pair: tuple[Job, Any], outcome: Outcome | None) -> None:
        self._pairs.remove(pair)
        if outcome is not None and not (self._orders.stopped() and outcome.was_interrupted):
            self._ended(pair[0], outcome)


def _has_result(submitted: Any) -> bool:
    return bool(submitted.paths.result_pickle.exists())


def _outcome(job: Job, submitted: Any, seconds: float) -> Outcome | None:
    """The job's result; where it left an exception, exit code 1 and a line in its log."""
    error = submitted.exception()
    if error is None:
        outcome: Outcome | None = submitted.result()
        return outcome
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    # submitit's own message is around the traceback; its last line names the error.
    errors = [line for line in lines if "Error" in line and not line.startswith("Job ")]
    note(job, f"The job failed on its node: {errors[-1] if errors else lines[0]}")
    return Outcome(1, seconds)


def _lost(job: Job, submitted: Any, seconds: float) -> Outcome:
    note(job, f"SLURM ended job {submitted.job_id} without a result (see scontrol, sacct).")
    for line in (submitted.stderr() or "").strip().splitlines()[-3:]:
        note(job, line)
    return Outcome(-signal.SIGKILL, seconds)


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
