"""SLURM: submitit's debug cluster, and a real cluster of one node where one can be started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import UserError
from experiments.sweep.conduct import launcher_of
from experiments.sweep.launchers.process import Job
from experiments.sweep.launchers.slurm import SlurmLauncher
from experiments.sweep.schema import SlurmSettings
from tests.experiments.sweep.launchers.slurm_cluster import slurm_cluster
from tests.experiments.sweep.processes import (
    RESUMABLE,
    ROOT,
    Record,
    interrupted_conductor,
    is_alive,
    job,
)


def settings(**values: Any) -> SlurmSettings:
    """Of a job that the smallest node has room for."""
    return SlurmSettings(**{"time": 10, "gpus": 0, "cpus": 1, **values})


IMPORT = """
from experiments.sweep.launchers.slurm import SlurmLauncher
from tests.experiments.sweep.launchers.test_slurm import settings
"""


# ------------------------------------------------------------------------------ debug cluster


# In a process of its own: submitit's debug jobs run in their conductor, and what they raise there
# opens a debugger, which would end pytest.
IN_TURN = (
    IMPORT
    + """
import sys
from pathlib import Path
from tests.experiments.sweep.processes import Record, job
folder, record = Path(sys.argv[1]), Record()
jobs = [
    job(folder / "a", "print('one'); raise SystemExit(5)"),
    job(folder / "b", "print('two')"),
]
launcher = SlurmLauncher(settings(), folder / "scratch", cluster="debug")
launcher.launch(jobs, ended=record.ended, tick=record.tick)
print(record.exit_codes())
"""
)


def test_the_debug_cluster_runs_jobs_in_turn_and_a_failing_one_stops_no_other(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IN_TURN, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ended.stdout == "{'a': 5, 'b': 0}\n", ended.stderr
    assert ended.stderr == ""
    assert (tmp_path / "b" / "output.log").read_text().endswith("two\n")


def test_ctrl_c_on_the_debug_cluster_leaves_a_checkpoint(tmp_path: Path) -> None:
    ended = interrupted_conductor(
        IMPORT + "launcher = SlurmLauncher(settings(), scratch, cluster='debug')",
        tmp_path,
        jobs=2,
        running=1,
    )

    assert ended.stdout == "interrupted {}\n", ended.stderr
    assert (tmp_path / "0" / "checkpoint").read_text() == "whole\n"
    assert not (tmp_path / "1" / "pid").exists()


def test_missing_submitit_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, SlurmLauncher.__module__)
    with pytest.raises(UserError, match=r"slurm needs submitit: pip install '\.\[cluster\]'"):
        launcher_of(settings(), tmp_path)


def test_a_machine_without_slurm_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"launcher=slurm: .*srun") as caught:
        run(SlurmLauncher(settings(), tmp_path / "scratch"), [job(tmp_path / "a", "")])
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------- real cluster


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as conf:
        yield conf


@pytest.fixture
def on_slurm(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(conf))
    # Jobs start in the folder that they were submitted from, which need not be the repository.
    monkeypatch.chdir(tmp_path)


class Hurried(Record):
    """Does something once to the job that runs, when a file is there."""

    def __init__(self, file: Path, command: list[str]) -> None:
        super().__init__()
        self._file = file
        self._command = command

    def tick(self) -> None:
        super().tick()
        if self._command and self._file.exists():
            subprocess.run([*self._command, *queued("RUNNING")], check=True, timeout=30)
            self._command = []
        elif not self._command:
            # SLURM holds a requeued job back for two minutes, until its credential has expired.
            for waiting in queued("PENDING"):
                command = ["scontrol", "update", f"JobId={waiting}", "StartTime=now"]
                subprocess.run(command, capture_output=True, timeout=30)


def queued(state: str) -> list[str]:
    command = ["squeue", "--noheader", "--array", f"--states={state}", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def run(launcher: SlurmLauncher, jobs: list[Job], record: Record | None = None) -> dict[str, int]:
    record = Record() if record is None else record
    launcher.launch(jobs, ended=record.ended, tick=record.tick)
    return record.exit_codes()


@pytest.mark.usefixtures("on_slurm")
def test_an_array_runs_and_a_failing_job_stops_no_other(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path / "a", "import os; print(os.environ['SLURM_ARRAY_TASK_ID'])"),
        job(tmp_path / "b", "raise SystemExit(5)"),
    ]
    launcher = SlurmLauncher(settings(partition="tests", workers=2), tmp_path / "scratch")

    assert run(launcher, jobs) == {"a": 0, "b": 5}
    assert (tmp_path / "a" / "output.log").read_text().endswith("0\n")


# USR2 is what SLURM sends before the time is up; TERM comes with a requeue by others.
@pytest.mark.usefixtures("on_slurm")
@pytest.mark.slow  # SLURM needs ten seconds to end a job and to start it again
@pytest.mark.parametrize(
    "command", [["scancel", "--signal=USR2"], ["scontrol", "requeue"]], ids=["time", "requeue"]
)
def test_a_job_that_is_cut_off_leaves_a_checkpoint_and_resumes(
    command: list[str], tmp_path: Path
) -> None:
    jobs = [job(tmp_path / "a", RESUMABLE)]
    record = Hurried(tmp_path / "a" / "pid", command)

    codes = run(SlurmLauncher(settings(), tmp_path / "scratch"), jobs, record)

    assert codes == {"a": 0}
    assert (tmp_path / "a" / "checkpoint").read_text() == "whole\n"
    # Whole lines: the line that says what was started quotes the job's code.
    log = (tmp_path / "a" / "output.log").read_text().splitlines()
    assert log.index("began") < log.index("resumed")


@pytest.mark.usefixtures("on_slurm")
@pytest.mark.slow  # only a job missed twice in the queue has ended
def test_a_cancelled_job_ends_by_a_signal_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [job(tmp_path / "a", RESUMABLE), job(tmp_path / "b", "print('after')")]
    record = Hurried(tmp_path / "a" / "pid", ["scancel"])
    launcher = SlurmLauncher(settings(workers=1), tmp_path / "scratch", queue_every=1)

    assert run(launcher, jobs, record) == {"a": -signal.SIGKILL, "b": 0}
    assert "without a result" in (tmp_path / "a" / "output.log").read_text()


@pytest.mark.usefixtures("on_slurm")
def test_ctrl_c_leaves_checkpoints_and_cancels_what_waits(tmp_path: Path) -> None:
    ended = interrupted_conductor(
        IMPORT + "launcher = SlurmLauncher(settings(workers=1), scratch, queue_every=1)",
        tmp_path,
        jobs=2,
        running=1,
    )

    assert ended.stdout == "interrupted {}\n", ended.stderr
    assert (tmp_path / "0" / "checkpoint").read_text() == "whole\n"
    assert not is_alive(int((tmp_path / "0" / "pid").read_text()))
    assert not (tmp_path / "1" / "pid").exists()
    assert queued("PENDING") == queued("RUNNING") == []


@pytest.mark.usefixtures("on_slurm")
def test_a_partition_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    launcher = SlurmLauncher(settings(partition="nowhere"), tmp_path / "scratch")
    with pytest.raises(UserError, match=r"launcher=slurm: .*partition") as caught:
        run(launcher, [job(tmp_path / "a", "")])
    assert "\n" not in str(caught.value)
