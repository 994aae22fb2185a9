"""A SLURM of one node that lives for some tests: munged, slurmctld and slurmd of our own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from getpass import getuser
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
COMES_UP_WITHIN = 60.0


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Path]:
    """Start a cluster of this machine in `folder`; yields its slurm.conf, for SLURM_CONF.

    Skips the test, with the reason, where a program is missing or the node does not come up.
    """
    # Debian keeps daemons where only root looks.
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = {name: shutil.which(name, path=search) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.skip(f"no SLURM here: {', '.join(missing)} not found")
    with ExitStack() as stack:
        munge = _munged(str(found["munged"]), folder, stack)
        conf = folder / "slurm.conf"
        conf.write_text(_conf(folder, munge))
        for daemon in ("slurmctld", "slurmd"):
            _start([str(found[daemon]), "-D", "-f", str(conf)], folder / f"{daemon}.out", stack)
        _wait_until_idle(conf, folder)
        stack.callback(_cancel_all, conf)
        yield conf


def _munged(program: str, folder: Path, stack: ExitStack) -> Path:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    socket_file = folder / "munge.socket"
    options = [f"--key-file={key}", f"--socket={socket_file}"]
    options += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    # By force, since it wants a socket that every user can reach, and pytest's folders are private.
    _start([program, "--foreground", "--force", *options], folder / "munged.out", stack)
    until = time.monotonic() + COMES_UP_WITHIN
    while not socket_file.exists():
        if time.monotonic() > until:
            pytest.skip(f"munged did not start: {_last_line(folder / 'munged.out')}")
        time.sleep(0.1)
    return socket_file


def _conf(folder: Path, munge: Path) -> str:
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    controller, node = _free_ports()
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={getuser()}
SlurmdUser={getuser()}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={munge}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _start(command: list[str], output: Path, stack: ExitStack) -> None:
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _wait_until_idle(conf: Path, folder: Path) -> None:
    until = time.monotonic() + COMES_UP_WITHIN
    said = ""
    while time.monotonic() < until:
        answer = _ask(conf, "sinfo", "--noheader", "--format=%t")
        if answer.stdout.strip() == "idle":
            return
        said = answer.stdout.strip() or answer.stderr.strip().split("\n")[-1]
        time.sleep(0.2)
    logs = {
        name: _last_line(folder / name)
        for name in ("munged.out", "slurmctld.out", "slurmctld.log", "slurmd.out", "slurmd.log")
    }
    pytest.skip(f"SLURM did not come up in {COMES_UP_WITHIN} s: {said}; {logs}")


def _cancel_all(conf: Path) -> None:
    _ask(conf, "scancel", "--me")
    until = time.monotonic() + 60
    while _ask(conf, "squeue", "--noheader").stdout.strip() and time.monotonic() < until:
        time.sleep(0.2)


def _ask(conf: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").split("\n") if file.exists() else []
    return next((line for line in reversed(lines) if line), "")
