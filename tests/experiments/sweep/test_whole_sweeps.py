"""Whole sweeps as a user starts them: the scripts, real runs, every launcher, the real report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.files.run_folder import RunFolder
from experiments.sweep.run_state import state_of
from tests.experiments.sweep.launchers.slurm_cluster import slurm_cluster
from tests.experiments.sweep.processes import wait_for
from tests.experiments.sweep.runs import REPOSITORY

# Each starts several processes that import torch, and one that draws a report.
pytestmark = pytest.mark.slow

SMOKE = ("run_multiple_img.py", "--sweep", "smoke", "device=cpu", "model.width=4")


def start(*words: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background of a script hands down that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ask(*words: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    process = start(*words, environ=environ)
    out, err = process.communicate(timeout=250)
    return process.returncode, out, err


def folders(results: Path) -> list[RunFolder]:
    return [RunFolder(path) for path in sorted(results.glob("*/*/*/s*-*"))]


def kinds(results: Path) -> list[str]:
    return [state_of(folder).kind for folder in folders(results)]


def test_data_that_one_experiment_lacks_and_a_broken_summary_stop_nothing(tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = [*SMOKE, "trainer.max_steps=2", "seeds=[0]", f"results_dir={results}"]
    words += ["experiments=[digits-resnet,cpu_cifar10_resnet]", "optimizers=[adam]"]
    words.append(f"data_root={tmp_path}")

    code, out, err = ask(*words)
    assert (code, err) == (1, "")
    assert kinds(results) == ["failed", "finished"]
    failed, finished = folders(results)
    lines = out.splitlines()
    assert lines[-3].startswith(f"failed: {failed.path}: ")
    assert lines[-2].startswith("1 run failed; with --retry-failed, ")
    assert lines[-1] == f"report: {results / 'report' / 'report.html'}"
    assert "1 run finished" in (results / "report" / "report.md").read_text()

    finished.summary_file.write_text('{"status": "fin')
    code, out, err = ask(*words, "--retry-failed")
    assert (code, err) == (1, "")
    assert failed.failure()["attempts"] == 2
    said = [line for line in out.splitlines() if line.startswith(f"failed: {finished.path}: ")]
    assert len(said) == 1
    assert said[0].endswith("delete it to run again")

    finished.summary_file.unlink()
    code, out, _ = ask(*words)
    assert kinds(results) == ["failed", "finished"], out


def test_a_sweep_on_pretended_gpus(tmp_path: Path) -> None:
    words = [*SMOKE, "trainer.max_steps=2", "seeds=[0]", f"results_dir={tmp_path}"]
    code, out, err = ask(*words, "launcher=local", environ={"CUDA_VISIBLE_DEVICES": "0,1"})
    assert (code, err) == (0, ""), out
    assert kinds(tmp_path) == ["finished", "finished"]
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.timeout(600)  # two sweeps, and Ray starts a worker for each
def test_a_sweep_on_ray_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    words = [*SMOKE, "seeds=[0]", "optimizers=[adam]", f"results_dir={tmp_path}", "launcher=ray"]
    words += [f"address={cluster.address}", "gpus=0", "cpus=1", "trainer.max_steps=40"]
    words += ["trainer.epochs=100000", "trainer.checkpoint_every_steps=50"]
    try:
        with start(*words) as sweep:
            wait_for(lambda: sweep.poll() is not None or steps(tmp_path) > 3)
            sweep.send_signal(signal.SIGTERM)
            out, err = sweep.communicate(timeout=200)
        assert (sweep.returncode, err) == (143, ""), out
        assert kinds(tmp_path) == ["stopped"]
        code, out, err = ask(*words)
    finally:
        cluster.shutdown()
    assert (code, err) == (0, ""), out
    [folder] = folders(tmp_path)
    seen = [row["step"] for row in folder.rows() if row["event"] == "step"]
    assert seen == list(range(1, 41))
    assert "goes on: digits-resnet adam seed 0" in out


def test_a_sweep_on_slurm_is_shown_interrupted_and_goes_on(tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = [*SMOKE, "seeds=[0]", "optimizers=[adam]", f"results_dir={results}", "launcher=slurm"]
    words += ["gpus=0", "cpus=1", "time=0:10:00", "partition=tests"]
    words += ["trainer.epochs=100000", "trainer.checkpoint_every_steps=50"]
    with slurm_cluster(tmp_path) as conf:
        environ = {"SLURM_CONF": str(conf)}
        with start(*words, "trainer.max_steps=500", environ=environ) as sweep:
            wait_for(lambda: sweep.poll() is not None or steps(results) > 20)
            _, shown, _ = ask("-m", "experiments", "status", str(results))
            sweep.send_signal(signal.SIGINT)
            out, err = sweep.communicate(timeout=200)
        assert (sweep.returncode, err) == (130, "")
        assert shown.startswith("0 finished, 1 running, 0 waiting")
        assert out.splitlines()[-1].startswith("interrupted; runs keep their checkpoints")
        assert kinds(results) == ["stopped"]
        assert not (results / "report").exists()
        before = steps(results)

        code, out, err = ask(*words, "trainer.max_steps=500", environ=environ)
    assert (code, err) == (0, ""), out
    [folder] = folders(results)
    seen = [row["step"] for row in folder.rows() if row["event"] == "step"]
    assert seen == list(range(1, 501))
    assert before < 500
    assert "goes on: digits-resnet adam seed 0" in out
    assert (results / "report" / "report.md").exists()


def steps(results: Path) -> int:
    rows = [folder.last_step() or {"step": 0} for folder in folders(results)]
    return max((row["step"] for row in rows), default=0)
