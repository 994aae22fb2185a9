"""Ctrl-C and SIGTERM end every program with one line and its exit code, whenever they come."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import stopping
from experiments.cli.parser import guarded
from experiments.stopping import Stopped, unwinding
from experiments.training.checkpoint import InterruptedBetweenSteps, deferred_interrupt

REPOSITORY = Path(__file__).resolve().parents[2]
BOTH = [(signal.SIGINT, "interrupted\n", 130), (signal.SIGTERM, "terminated\n", 143)]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Signals act as in a program that was just started; afterwards all is as it was."""
    before = {number: signal.getsignal(number) for number, *_ in BOTH}
    monkeypatch.setattr(stopping, "_raised", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "line", "code"), BOTH)
def test_what_a_signal_has_become_on_its_way_is_still_that_signal(number, line, code, capsys):
    def answer(_arguments):
        with unwinding():
            try:
                signal.raise_signal(number)
            except Stopped:
                raise RecursionError("maximum recursion depth exceeded") from None

    assert guarded(answer, []) == code
    assert capsys.readouterr().err == line


def test_without_a_signal_an_error_is_an_error():
    def answer(_arguments):
        with unwinding():
            raise RecursionError("of its own")

    with pytest.raises(RecursionError, match="of its own"):
        guarded(answer, [])


def test_a_signal_is_forgotten_when_the_next_work_begins():
    with unwinding(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    with unwinding():
        assert stopping.raised_signal() is None


def test_signals_that_are_ignored_stay_so():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stopping.install()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    with unwinding(), deferred_interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        interrupt.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_step_and_a_second_does_not(number):
    with unwinding(), deferred_interrupt() as interrupt:
        signal.raise_signal(number)
        with pytest.raises(InterruptedBetweenSteps) as raised:
            interrupt.check()
        assert raised.value.number == number
        with pytest.raises(Stopped):
            signal.raise_signal(number)


def test_a_signal_that_was_swallowed_before_training_stops_it_at_its_first_step():
    with unwinding():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        with deferred_interrupt() as interrupt, pytest.raises(InterruptedBetweenSteps):
            interrupt.check()


def run_python(code):
    command = [sys.executable, "-c", f"import signal\nfrom experiments import stopping\n{code}"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("number", "line", "code"), BOTH)
def test_before_there_is_work_a_signal_ends_the_process_on_the_spot(number, line, code):
    ended = run_python(
        f"signal.signal({number:d}, signal.SIG_DFL)\n"
        "stopping.install()\n"
        f"try: signal.raise_signal({number:d})\n"
        "except BaseException: print('an import would have seen it')\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", line)


@pytest.mark.parametrize("code", [0, 2, 130])
def test_after_the_work_a_signal_changes_nothing(code):
    ended = run_python(
        "import atexit\n"
        "signal.signal(2, signal.default_int_handler)\n"
        "atexit.register(lambda: signal.raise_signal(2))\n"
        "stopping.install()\n"
        f"stopping.leave(lambda: {code})\n"
    )
    assert (ended.returncode, ended.stderr) == (code, "")


# ----------------------------------------------------------------------------- at random moments

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")

RUN = [
    "main.py",
    "model.width=4",
    "optimizer=alsals",
    "trainer.epochs=20",
    "trainer.checkpoint_every_steps=5",
    "trainer.eval_every_steps=20",
]


def start(*words):
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background of a script has inherited to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def kill(process, number, seconds):
    """Send a signal so long after the program has begun; returns exit code, output and errors."""
    while process.poll() is None and not catches_sigterm(process):
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def catches_sigterm(process):
    """False while the interpreter itself starts, when no program can catch anything yet."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
@needs_proc
def test_runs_that_are_stopped_at_random_moments_leave_with_one_line_and_go_on(tmp_path):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    started = time.monotonic()
    assert subprocess.run([sys.executable, *RUN, f"results_dir={tmp_path}/whole"]).returncode == 0
    longest = time.monotonic() - started
    for i in range(8):
        (number, line, code), seconds = chance.choice(BOTH), chance.uniform(0, longest)
        ended = kill(start(*RUN, f"results_dir={tmp_path}/broken"), number, seconds)
        assert ended[0] in (code, 0), (seed, i, seconds, ended)
        assert ended[2] == ("" if ended[0] == 0 else line), (seed, i, seconds, ended)
    last = subprocess.run([sys.executable, *RUN, f"results_dir={tmp_path}/broken"])
    assert last.returncode == 0
    whole, broken = (losses_below(tmp_path / name) for name in ("whole", "broken"))
    assert whole == broken, seed


def losses_below(folder):
    (file,) = folder.rglob("metrics.jsonl")
    rows = map(json.loads, file.read_text().splitlines())
    return [row["loss"] for row in rows if row["event"] == "step"]


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(
    "words",
    [
        ["run_multiple_img.py", "--sweep", "smoke"],
        ["-m", "experiments", "report"],
        ["-m", "experiments", "landscape"],
    ],
    ids=["sweep", "report", "landscape"],
)
def test_other_programs_too(tmp_path, words):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    if words[0] == "-m":
        assert subprocess.run([sys.executable, *RUN, f"results_dir={tmp_path}"]).returncode == 0
        (summary,) = tmp_path.rglob("summary.json")
        words = [*words, str(summary.parent if words[-1] == "landscape" else tmp_path)]
    else:
        words = [*words, f"results_dir={tmp_path}"]
    for i in range(3):
        (number, line, code), seconds = chance.choice(BOTH), chance.uniform(0, 4)
        ended = kill(start(*words), number, seconds)
        assert ended[0] in (code, 0), (seed, i, seconds, ended)
        # A sweep says it among its other lines.
        assert ended[2] == "" if "same command goes on" in ended[1] else ended[2] in ("", line)
        assert "Traceback" not in ended[1] + ended[2], (seed, i, seconds, ended)
