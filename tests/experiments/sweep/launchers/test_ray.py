"""Ray: a real cluster of this machine with room for two runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.config.compose import load
from experiments.errors import UserError
from experiments.run import run as run_here
from experiments.sweep.conduct import launcher_of, run_all
from experiments.sweep.launchers.process import Job
from experiments.sweep.launchers.ray import RayLauncher
from experiments.sweep.run_state import state_of
from experiments.sweep.schema import RaySettings
from tests.experiments.sweep.processes import (
    RESUMABLE,
    Record,
    interrupted_conductor,
    is_alive,
    job,
    wait_for,
)
from tests.experiments.sweep.runs import make_run, numbers_of, output_of, wait_for_step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster with two processors."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "num_gpus": 0, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()


def settings(address: str, **values: Any) -> RaySettings:
    return RaySettings(**{"address": address, "gpus": 0, "cpus": 1, **values})


def run(settings: RaySettings, jobs: list[Job]) -> dict[str, int]:
    record = Record()
    RayLauncher(settings).launch(jobs, ended=record.ended, tick=record.tick)
    return record.exit_codes()


def parent_of(process: int) -> int:
    """The worker of Ray that started a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def kill_the_worker_of(folder: Path) -> None:
    wait_for((folder / "pid").exists)
    os.kill(parent_of(int((folder / "pid").read_text())), signal.SIGKILL)


def test_a_lost_worker_costs_nothing_and_a_failing_job_stops_no_other(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_CONDUCTOR", "here")
    jobs = [
        job(tmp_path / "a", RESUMABLE),
        job(tmp_path / "b", "import os; print(os.environ['FROM_THE_CONDUCTOR']); os._exit(5)"),
    ]
    handler = signal.getsignal(signal.SIGTERM)
    killer = threading.Thread(target=kill_the_worker_of, args=[tmp_path / "a"])
    killer.start()
    codes = run(settings(address), jobs)
    killer.join()
    assert codes == {"a": 0, "b": 5}
    # The job of the killed worker was interrupted, and the next one went on from its checkpoint.
    assert (tmp_path / "a" / "checkpoint").read_text() == "whole\n"
    log = (tmp_path / "a" / "output.log").read_text().splitlines()
    assert log.index("began") < log.index("resumed")
    assert "The process was lost with its worker (WorkerCrashedError)." in log
    assert "here" in (tmp_path / "b" / "output.log").read_text().splitlines()
    assert signal.getsignal(signal.SIGTERM) is handler


DIE_WITH_WORKER = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"


@pytest.mark.slow  # starts several workers
def test_a_job_that_loses_its_worker_too_often_ends_by_a_signal(
    address: str, tmp_path: Path
) -> None:
    jobs = [job(tmp_path / "a", DIE_WITH_WORKER), job(tmp_path / "b", "print('after')")]
    codes = run(settings(address, workers=1, retries=1), jobs)
    assert codes == {"a": -signal.SIGKILL, "b": 0}
    assert (tmp_path / "a" / "output.log").read_text().count("lost with its worker") == 2


OTHERS_TASK = """
import sys, time
from pathlib import Path
import ray

def work(file):
    Path(file).write_text("began")
    while not Path(file + ".go").exists():
        time.sleep(0.1)
    return "whole"

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="critical")
print(ray.get(ray.remote(num_cpus=1, max_retries=0)(work).remote(sys.argv[2])))
"""


@pytest.mark.slow  # three drivers, one after the other
def test_ctrl_c_leaves_checkpoints_and_stops_only_its_own_tasks(
    address: str, tmp_path: Path
) -> None:
    file = tmp_path / "other"
    command = [sys.executable, "-c", OTHERS_TASK, address, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        wait_for(file.exists)
        # One runs beside the other's task, one waits for room.
        ended = interrupted_conductor(
            "from experiments.sweep.launchers.ray import RayLauncher\n"
            "from experiments.sweep.schema import RaySettings\n"
            f"launcher = RayLauncher(RaySettings(address={address!r}, gpus=0, cpus=1))",
            tmp_path,
            jobs=2,
            running=1,
        )
        Path(f"{file}.go").touch()
        out, _ = other.communicate(timeout=100)
    assert (ended.stdout, ended.stderr) == ("interrupted {}\n", "")
    assert out == "whole\n"
    [began] = tmp_path.glob("*/pid")
    assert (began.parent / "checkpoint").read_text() == "whole\n"
    assert not is_alive(int(began.read_text()))


@pytest.mark.slow  # four processes that import torch
def test_a_run_whose_worker_is_killed_ends_like_one_that_was_not(
    address: str, tmp_path: Path
) -> None:
    words = ["trainer.epochs=3", "trainer.max_steps=60", "trainer.eval_every_steps=10"]
    words += ["trainer.eval_batch_size=1", "optimizer=alsals"]
    assert run_here(load(make_run(tmp_path / "whole", *words).arguments, environ={}))
    whole = make_run(tmp_path / "whole", *words).folder
    broken, beside = (make_run(tmp_path / "ray", *words, f"seed={seed}") for seed in (0, 1))

    def kill() -> None:
        wait_for_step(broken.folder, 9)
        os.kill(parent_of(process_of(broken.folder.path)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    failures = run_all([broken, beside], RayLauncher(settings(address)), retry_failed=False)  # type: ignore[list-item]
    killer.join()
    assert failures == {}, output_of(broken.folder)
    assert [state_of(run.folder).kind for run in (broken, beside)] == ["finished", "finished"]
    assert "lost with its worker" in output_of(broken.folder)
    assert numbers_of(broken.folder) == numbers_of(whole)


def process_of(folder: Path) -> int:
    """The process that has a run's log open."""
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if entry.readlink() == folder / "output.log":
                return int(entry.parts[2])
        except OSError:
            continue
    raise AssertionError("there is no such process")


# ------------------------------------------------------------------------------------- refused


def test_what_no_node_can_hold_is_refused_in_one_line(address: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"launcher=ray: no node .* gpus=1 cpus=1") as caught:
        run(settings(address, gpus=1), [job(tmp_path / "a", "")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_without_a_cluster_one_line_names_the_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=f"launcher=ray: no cluster at address={address}") as caught:
        run(settings(address), [job(tmp_path / "a", "")])
    assert "\n" not in str(caught.value)


def test_missing_ray_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, RayLauncher.__module__)
    with pytest.raises(UserError, match=r"launcher=ray needs ray: pip install '\.\[cluster\]'"):
        launcher_of(RaySettings(), tmp_path)
