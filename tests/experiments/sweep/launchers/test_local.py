"""Processes on this machine, a few at a time."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from experiments.sweep.launchers.local import LocalLauncher, visible_gpus
from tests.experiments.sweep.processes import Record, job, said, wait_for
from tests.experiments.sweep.runs import REPOSITORY


def make_jobs(tmp_path, codes):
    return [job(tmp_path / str(number), code) for number, code in enumerate(codes)]


def nothing():
    """Neither shown nor told."""


def test_every_job_ends_once_and_a_failing_one_stops_no_other(tmp_path):
    record = Record()
    jobs = make_jobs(tmp_path, [f"import sys; sys.exit({code})" for code in (0, 5, 0)])
    LocalLauncher(2).launch(jobs, ended=record.ended, tick=record.tick)
    assert record.exit_codes() == {"0": 0, "1": 5, "2": 0}


def test_as_many_run_at_once_as_there_are_workers(tmp_path):
    code = "import time; print(time.monotonic()); time.sleep(0.6); print(time.monotonic())"
    jobs = make_jobs(tmp_path, [code] * 4)
    LocalLauncher(2).launch(jobs, ended=lambda *_: None, tick=nothing)
    spans = [tuple(map(float, said(tmp_path / str(number)))) for number in range(4)]
    at_once = [sum(start <= at < end for start, end in spans) for at, _ in spans]
    assert max(at_once) == 2


def test_a_tick_comes_while_jobs_run(tmp_path):
    ticks = []
    jobs = make_jobs(tmp_path, ["import time; time.sleep(1.6)"])
    LocalLauncher(1).launch(jobs, ended=lambda *_: None, tick=lambda: ticks.append(1))
    assert len(ticks) >= 2


def test_an_exception_of_the_caller_leaves_no_process(tmp_path):
    def fail():
        wait_for(lambda: "here" in said(tmp_path / "0"))
        raise RuntimeError("in the table")

    code = "import time; print('here', flush=True); time.sleep(600)"
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="in the table"):
        LocalLauncher(1).launch(make_jobs(tmp_path, [code]), ended=lambda *_: None, tick=fail)
    assert time.monotonic() - start < 250, "the job was waited for instead of interrupted"


STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: print("asked", flush=True))
print("here", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    time.sleep(0.1)
"""


def test_a_second_interrupt_kills_what_does_not_end(tmp_path):
    launch = textwrap.dedent(f"""
        import signal, sys
        from pathlib import Path
        from experiments.sweep.launchers.local import LocalLauncher, visible_gpus
        from tests.experiments.sweep.launchers.test_local import STUBBORN, make_jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)
        jobs = make_jobs(Path({str(tmp_path)!r}), [STUBBORN, STUBBORN])
        try:
            LocalLauncher(1).launch(jobs, ended=lambda *_: None, tick=lambda: None)
        except KeyboardInterrupt:
            sys.exit(42)
    """)
    with subprocess.Popen([sys.executable, "-c", launch], cwd=REPOSITORY) as conductor:
        wait_for(lambda: "here" in said(tmp_path / "0"))
        conductor.send_signal(signal.SIGINT)
        wait_for(lambda: "asked" in said(tmp_path / "0"))
        assert conductor.poll() is None, "a job that has not ended is waited for"
        conductor.send_signal(signal.SIGINT)
        assert conductor.wait(200) == 42
    assert not (tmp_path / "1" / "output.log").exists(), "the second job must not have started"


# ------------------------------------------------------------------------------ GPUs and threads

SHOW = """
import os, time
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS"), flush=True)
time.sleep({seconds})
"""


def shown(tmp_path, launcher, seconds):
    """The GPU and the threads of each job, which lasts so many seconds."""
    jobs = make_jobs(tmp_path, [SHOW.format(seconds=number) for number in seconds])
    launcher.launch(jobs, ended=lambda *_: None, tick=nothing)
    return [said(tmp_path / str(number))[0].split() for number in range(len(jobs))]


def test_with_several_gpus_each_worker_takes_a_free_one_and_returns_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-7")
    launcher = LocalLauncher(gpus=visible_gpus())
    assert launcher.workers == 2
    gpus = [gpu for gpu, _ in shown(tmp_path, launcher, [3, 0, 0])]
    assert gpus == ["4", "GPU-7", "GPU-7"]


def test_more_workers_than_gpus_share_them_evenly(tmp_path):
    launcher = LocalLauncher(4, gpus=("0", "1"))
    assert [gpu for gpu, _ in shown(tmp_path, launcher, [1.5] * 4)] == ["0", "1", "0", "1"]


@pytest.mark.parametrize("gpus", [(), ("3",)])
def test_with_no_or_one_gpu_nothing_is_set(tmp_path, monkeypatch, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    launcher = LocalLauncher(gpus=gpus)
    assert launcher.workers == 1
    assert shown(tmp_path, launcher, [0])[0][0] == "None"


@pytest.mark.parametrize(
    ("workers", "given", "expected"),
    [(2, None, "2"), (64, None, "1"), (1, None, "None"), (2, "7", "7")],
)
def test_workers_share_the_cores(tmp_path, monkeypatch, workers, given, expected):
    monkeypatch.setattr("experiments.sweep.launchers.local._cores", lambda: 5)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert shown(tmp_path, LocalLauncher(workers), [0])[0][1] == expected


def test_gpus_are_those_that_cuda_would_see(monkeypatch):
    for listed, names in [("2, 5", ("2", "5")), ("", ()), ("-1", ()), ("0,-1,1", ("0",))]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
        assert visible_gpus() == names, listed


def test_gpus_are_counted_by_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n"
        "echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_gpus() == ("0", "1")
