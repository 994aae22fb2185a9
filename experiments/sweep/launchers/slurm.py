"""A SLURM cluster: a sweep as an array of jobs, by submitit. A run that is cut off goes on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import DelayedSubmission

from experiments.errors import UserError
from experiments.sweep.launchers.process import Ended, Job, Outcome, Tick, note, run_job
from experiments.sweep.schema import SlurmSettings

# In the PYTHONPATH of the nodes, so that they can unpickle a job.
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
# Between the warning that the time is up and the end: a step, a checkpoint and the requeue.
_WARNING_SECONDS = 120
_WARNING_SHARE = 0.25  # of the time at most, so that a job of few minutes does something too
# A run may need its time this often; every time it goes on from its checkpoint.
_REQUEUES = 100
# How long a process that SLURM interrupted waits for SLURM to end it.
_PATIENCE = 600


@dataclass(frozen=True)
class SlurmLauncher:
    """Runs jobs as one SLURM array, and those that SLURM cuts off again from their checkpoint.

    `scratch` must lie on a file system that the nodes share; submitit's files go below it.
    With `cluster="debug"` the jobs run in this process in turn, for tests. SLURM's queue is read
    every `queue_every` seconds to find jobs that ended without a result, as where a node failed.
    """

    settings: SlurmSettings
    scratch: Path
    cluster: str = "slurm"
    queue_every: float = 15.0

    @property
    def workers(self) -> int | None:
        """See `Launcher`."""
        return self.settings.workers

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`. A job that SLURM loses ends with a negative exit code.

        Raises `UserError` if SLURM refuses the array, or is not on this machine.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=self.scratch.absolute()))
        orders = folder / "orders"
        orders.write_text("go")
        functions = [
            _Resumable(job, orders, folder / f"process-{number}") for number, job in enumerate(jobs)
        ]
        try:
            executor = submitit.AutoExecutor(
                folder / "%j", cluster=self.cluster, slurm_max_num_timeout=_REQUEUES
            )
            executor.update_parameters(**self._parameters(len(jobs)))
            pairs = list(zip(jobs, executor.submit_array(functions), strict=True))
        except (RuntimeError, OSError) as error:
            # submitit repeats the command and its output; SLURM's reason is the last line.
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"launcher=slurm: {reason}") from error
        if self.cluster == "debug":
            _in_turn(pairs, ended, tick)
        else:
            _Array(pairs, orders, self.queue_every, ended, tick).watch()

    def _parameters(self, count: int) -> dict[str, Any]:
        settings = self.settings
        path = f"{shlex.quote(str(_PACKAGE_ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}"
        parameters: dict[str, Any] = {
            "name": "sls-sweep",
            "timeout_min": settings.minutes,
            "cpus_per_task": settings.cpus,
            "slurm_array_parallelism": settings.workers or count,
            "slurm_signal_delay_s": min(
                _WARNING_SECONDS, int(_WARNING_SHARE * 60 * settings.minutes)
            ),
            "slurm_setup": [f"export PYTHONPATH={path}"],
            # Since SLURM 22.05 srun does not take the cores over from the job.
            "slurm_srun_args": [f"--cpus-per-task={settings.cpus}"],
            "slurm_additional_parameters": {"requeue": True},
            "slurm_partition": settings.partition,
            "mem_gb": settings.memory_gb,
            "gpus_per_node": settings.gpus or None,
        }
        return {key: value for key, value in parameters.items() if value is not None}


def _stopped(orders: Path) -> bool:
    """Whether the conductor has written into this file that the nodes should stop.

    A file and not a signal: it reaches a job that is just starting as surely as a running one, and
    each job exactly once, where a second SIGINT would end it before its checkpoint. The file is
    there from the start and only its content changes, since a network file system looks at an
    opened file anew, but may remember for a minute that there was none.
    """
    with suppress(OSError):
        return orders.read_text() == "stop"
    return False


# --------------------------------------------------------------------------------- on the node


@dataclass(frozen=True)
class _Resumable:
    """What a node does with a job. submitit calls `checkpoint` before the time is up."""

    job: Job
    orders: Path
    process_file: Path

    def __call__(self) -> Outcome | None:
        if _stopped(self.orders):
            return None
        self.process_file.unlink(missing_ok=True)
        # SLURM may send its warnings to all processes of a job, and each would end a process that
        # does not know it before its checkpoint. Ignored signals stay so in what `exec` starts.
        script = 'trap "" USR2 TERM; echo $$ >"$0"; exec "$@"'
        shielded = ("/bin/sh", "-c", script, str(self.process_file), *self.job.command)
        outcome = run_job(replace(self.job, command=shielded), lambda: _stopped(self.orders))
        if outcome.was_interrupted and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            # SLURM interrupted it, and may requeue the job (preempted, `scontrol requeue`) or not
            # (`scancel`). A result written now would mark the job as ended.
            patient_until = time.monotonic() + _PATIENCE
            while not _stopped(self.orders) and time.monotonic() < patient_until:
                time.sleep(1)
        return outcome

    def checkpoint(self) -> Any:
        """Interrupt the job's process and wait for its end; the same job is to run again.

        Called by submitit's signal handler, within `run_job`, which must still find the process: so
        its end is looked at, not collected.
        """
        with suppress(OSError, ValueError):  # There is none yet, or none any more.
            process = int(self.process_file.read_text())
            os.kill(process, signal.SIGINT)
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(self)


# ---------------------------------------------------------------------------- at the conductor


def _in_turn(pairs: list[tuple[Job, Any]], ended: Ended, tick: Tick) -> None:
    for job, submitted in pairs:
        outcome = submitted.result()
        # Ctrl-C reaches this process only while it waits for the job's.
        if outcome is None or outcome.was_interrupted:
            raise KeyboardInterrupt
        ended(job, outcome)
        tick()


@dataclass
class _Array:
    """A submitted array, watched from the conductor until all of it has ended.

    submitit asks `sacct`, which many small clusters do not have; so ends are seen by the result
    that a job leaves, and jobs that left none by their absence from `squeue`.
    """

    pairs: list[tuple[Job, Any]]
    orders: Path
    queue_every: float
    ended: Ended
    tick: Tick
    queue_read: float = field(default_factory=time.monotonic)
    absent: set[str] = field(default_factory=set)

    def watch(self) -> None:
        array = str(self.pairs[0][1].job_id).split("_")[0]
        try:
            self._look_until_ended()
        except KeyboardInterrupt:
            self.orders.write_text("stop")
            try:
                # What waits need not start; what runs sees the order, leaves a checkpoint, ends.
                _slurm("scancel", "--quiet", "--state=PENDING", array)
                self._look_until_ended()
            finally:
                # Nothing is left to cancel, unless there was a second Ctrl-C.
                _slurm("scancel", "--quiet", array)
            raise

    def _look_until_ended(self) -> None:
        while self.pairs:
            for job, submitted in [pair for pair in self.pairs if _has_result(pair[1])]:
                self._end(job, submitted, _outcome(job, submitted))
            if time.monotonic() - self.queue_read >= self.queue_every:
                self.queue_read = time.monotonic()
                self._end_lost()
            self.tick()
            if self.pairs:
                time.sleep(1)

    def _end_lost(self) -> None:
        """End the jobs that are missing in `squeue` and have no result either.

        Twice in a row: a result may take some seconds to be seen here.
        """
        answer = _slurm("squeue", "--me", "--array", "--noheader", "--format=%i")
        if answer.returncode != 0:
            return
        absent = {str(submitted.job_id) for _, submitted in self.pairs}
        absent -= set(answer.stdout.split())  # `<array>_<index>` each
        for job, submitted in list(self.pairs):
            if str(submitted.job_id) in absent & self.absent and not _has_result(submitted):
                self._end(job, submitted, None if _stopped(self.orders) else _lost(job, submitted))
        self.absent = absent

    def _end(self, job: Job, submitted: Any, outcome: Outcome | None) -> None:
        self.pairs.remove((job, submitted))
        if outcome is not None and not (_stopped(self.orders) and outcome.was_interrupted):
            self.ended(job, outcome)


def _has_result(submitted: Any) -> bool:
    return bool(submitted.paths.result_pickle.exists())


def _outcome(job: Job, submitted: Any) -> Outcome | None:
    """The job's result; where it left an exception, exit code 1 and a line in its log."""
    error = submitted.exception()
    if error is None:
        outcome: Outcome | None = submitted.result()
        return outcome
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    # submitit's own message is around the traceback; its last line names the error.
    errors = [line for line in lines if "Error" in line and not line.startswith("Job ")]
    note(job, f"The job failed on its node: {errors[-1] if errors else lines[0]}")
    return Outcome(1)


def _lost(job: Job, submitted: Any) -> Outcome:
    note(job, f"SLURM ended job {submitted.job_id} without a result (see scontrol, sacct).")
    for line in (submitted.stderr() or "").strip().splitlines()[-3:]:
        note(job, line)
    return Outcome(-signal.SIGKILL)


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
