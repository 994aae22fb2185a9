"""One GPU a worker, with accelerators that are only pretended: real parsl, real processes."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.sweep.launchers.gpus import GpusLauncher, visible_gpus
from tests.experiments.sweep.processes import (
    RESUMABLE,
    Record,
    interrupted_conductor,
    is_alive,
    job,
    wait_for,
)

# Waits until the other job of two runs too, so that it ends well only if both run at once.
MEET = """
import os, time
from pathlib import Path
Path("gpu").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
until = time.monotonic() + 30
while not Path("../{other}/gpu").exists():
    assert time.monotonic() < until, "the other job does not run"
    time.sleep(0.05)
"""


def pretended(tmp_path: Path, workers: int | None = None) -> GpusLauncher:
    return GpusLauncher(workers, tmp_path / "scratch", accelerators=("4", "GPU-7"))


def test_two_jobs_run_at_once_on_a_gpu_each_and_a_failing_one_stops_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs = [
        job(tmp_path / "a", MEET.format(other="b")),
        job(tmp_path / "b", MEET.format(other="a") + "raise SystemExit(5)"),
        job(tmp_path / "c", "print('after')"),
    ]
    record = Record()

    pretended(tmp_path).launch(jobs, ended=record.ended, tick=record.tick)

    assert record.exit_codes() == {"a": 0, "b": 5, "c": 0}
    assert {(tmp_path / name / "gpu").read_text() for name in "ab"} == {"4", "GPU-7"}
    assert (tmp_path / "c" / "output.log").read_text().endswith("after\n")
    assert record.ticks >= 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow  # parsl needs eight seconds to start, and longer on a busy machine
def test_ctrl_c_leaves_checkpoints_and_starts_nothing_more(tmp_path: Path) -> None:
    ended = interrupted_conductor(
        "from experiments.sweep.launchers.gpus import GpusLauncher\n"
        "launcher = GpusLauncher(None, scratch, accelerators=('0', '1'))",
        tmp_path,
        jobs=3,
        running=2,
    )

    assert ended.stdout == "interrupted {}\n", ended.stderr
    assert ended.stderr == ""
    began = sorted(path.parent.name for path in tmp_path.glob("*/pid"))
    assert began == ["0", "1"]
    for name in began:
        assert (tmp_path / name / "checkpoint").read_text() == "whole\n"
        assert not is_alive(int((tmp_path / name / "pid").read_text()))


DIE_WITH_WORKER = """
import os, signal, time
from pathlib import Path
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(1)
"""


@pytest.mark.slow  # parsl looks for dead workers every five seconds only
def test_a_job_whose_worker_dies_ends_by_a_signal_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [job(tmp_path / "a", DIE_WITH_WORKER), job(tmp_path / "b", "print('after')")]
    record = Record()

    pretended(tmp_path, workers=1).launch(jobs, ended=record.ended, tick=record.tick)

    assert record.exit_codes() == {"a": -signal.SIGKILL, "b": 0}
    assert "lost with its worker" in (tmp_path / "a" / "output.log").read_text()


# Ends the manager, the worker's parent.
DIE_WITH_MANAGER = """
import os, signal, time
from pathlib import Path
worker = int(os.getppid())
manager = int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
os.kill(manager, signal.SIGKILL)
"""


@pytest.mark.slow  # parsl starts twice, and sees after some seconds that it has to
@pytest.mark.skipif(sys.platform != "linux", reason="finds the manager in /proc")
def test_jobs_that_wait_when_the_manager_is_lost_get_a_new_one(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path / "a", DIE_WITH_MANAGER + RESUMABLE),
        job(tmp_path / "b", "print('after')"),
    ]
    record = Record()

    pretended(tmp_path, workers=1).launch(jobs, ended=record.ended, tick=record.tick)

    assert record.exit_codes() == {"a": -signal.SIGKILL, "b": 0}
    wait_for((tmp_path / "a" / "checkpoint").exists, seconds=10)


def test_gpus_are_those_that_cuda_would_see(monkeypatch: pytest.MonkeyPatch) -> None:
    for listed, names in [("2, 5", ("2", "5")), ("", ()), ("-1", ()), ("0,-1,1", ("0",))]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
        assert visible_gpus() == names, listed


def test_gpus_are_counted_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n"
        "echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_gpus() == ("0", "1")


def test_without_a_gpu_the_local_launcher_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"no GPU is visible here.*launcher=local"):
        GpusLauncher(None, tmp_path)


def test_more_workers_than_gpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 workers, but only 2 GPUs are visible"):
        pretended(tmp_path, workers=3)


def test_missing_parsl_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "parsl", None)
    with pytest.raises(UserError, match=r"needs parsl: pip install '\.\[cluster\]'"):
        pretended(tmp_path)
