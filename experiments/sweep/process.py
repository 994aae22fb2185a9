"""Start the process of a job and see it to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from experiments.sweep.job import Job, Outcome


def run_job(job: Job) -> Outcome:
    """Run the job's process to its end; its output is appended to the job's log file.

    On KeyboardInterrupt the process gets SIGINT, is waited for, and the exception goes on.
    """
    began = time.monotonic()
    with Path(job.log_file).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            job.command,
            cwd=job.working_directory,
            env={**os.environ, **dict(job.environment)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    return Outcome(code, time.monotonic() - began)
