"""Processes of jobs: their output, their signals, their parents' death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from experiments.sweep.launchers.process import run_job, start
from tests.experiments.sweep.processes import job, said, wait_for
from tests.experiments.sweep.runs import REPOSITORY

SLEEPS = "import time; print('here', flush=True); time.sleep(600)"
ENDS_ITSELF_ON_INTERRUPT = """
import sys, time
try:
    print("here", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("checkpoint", flush=True)
    sys.exit(130)
"""


def test_output_is_appended_after_a_line_that_says_when(tmp_path):
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)"
    first, second = (run_job(job(tmp_path, code)) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (7, 7)
    assert said(tmp_path) == ["out", "err"] * 2
    assert (tmp_path / "output.log").read_text().count("--- started 2") == 2


def test_a_job_has_its_parents_variables_and_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FROM_THE_PARENT", "1")
    code = "import os; print(os.environ['FROM_THE_PARENT'], os.environ['OWN'], os.getcwd())"
    run_job(job(tmp_path, code, environment=(("OWN", "2"),)))
    assert said(tmp_path) == [f"1 2 {tmp_path}"]


def test_a_killed_job_has_a_negative_exit_code(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_job(job(tmp_path, code)).exit_code == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_job_as_an_interrupt_and_its_end_is_waited_for(tmp_path, number):
    def send() -> None:
        wait_for(lambda: "here" in said(tmp_path))
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        outcome = run_job(job(tmp_path, ENDS_ITSELF_ON_INTERRUPT))
    finally:
        sender.join()
    assert outcome.exit_code == 130
    assert said(tmp_path) == ["here", "checkpoint"]


def test_where_another_signals_handler_raises_the_job_is_interrupted_and_waited_for(tmp_path):
    class StopError(Exception):
        pass

    def stop(_number, _frame):
        raise StopError

    def send() -> None:
        wait_for(lambda: "here" in said(tmp_path))
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(StopError):
            run_job(job(tmp_path, ENDS_ITSELF_ON_INTERRUPT))
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert said(tmp_path) == ["here", "checkpoint"]


def test_an_order_to_stop_interrupts_the_job_once(tmp_path):
    outcome = run_job(job(tmp_path, ENDS_ITSELF_ON_INTERRUPT), lambda: "here" in said(tmp_path))
    assert outcome.was_interrupted
    assert said(tmp_path) == ["here", "checkpoint"]


def test_a_job_can_be_interrupted_where_its_parent_ignores_and_blocks_it(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = start(job(tmp_path, ENDS_ITSELF_ON_INTERRUPT))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: "here" in said(tmp_path))
    process.send_signal(signal.SIGINT)
    assert process.wait(200) == 130


def test_a_job_is_in_a_session_of_its_own(tmp_path):
    process = start(job(tmp_path, SLEEPS))
    try:
        assert os.getsid(process.pid) == process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_job_is_interrupted_when_its_parent_is_killed(tmp_path):
    parent_code = textwrap.dedent(f"""
        import sys, time
        from experiments.sweep.launchers.process import start
        from tests.experiments.sweep.launchers.test_process import *
        from pathlib import Path
        start(job(Path({str(tmp_path)!r}), ENDS_ITSELF_ON_INTERRUPT))
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", parent_code], cwd=REPOSITORY) as parent:
        wait_for(lambda: "here" in said(tmp_path))
        parent.kill()
    wait_for(lambda: "checkpoint" in said(tmp_path))
