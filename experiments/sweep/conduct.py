"""The conductor of a sweep: it starts runs, records their ends, and gives the exit code. No torch.

The state of a run is read from its folder: nothing is remembered between two starts of a sweep,
and several conductors can work on one folder.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.errors import FAILED, OK, UserError
from experiments.files.plan_file import write_plan
from experiments.files.run_folder import ENDS
from experiments.stopping import exit_code_of, line_of, signal_of, unwinding
from experiments.sweep.display import LiveTable, PlainLines, count_of_runs, open_display
from experiments.sweep.launchers.local import LocalLauncher, visible_gpus
from experiments.sweep.launchers.process import Job, Launcher, Outcome
from experiments.sweep.plan import PlannedRun, Sweep
from experiments.sweep.run_state import RunState, failure_of, state_of
from experiments.sweep.schema import LauncherSettings, LocalSettings, SlurmSettings
from experiments.sweep.status import Watch, planned_runs

_MAIN = Path(__file__).resolve().parents[2] / "main.py"
_LINES_SHOWN = 5
_PAUSE_SECONDS = 1.0


def build_report(results_dir: Path) -> Path:
    """Write the report on all results below a folder; returns its path."""
    # Late: figures and tables take seconds to import.
    from experiments.report.build import write_report

    return write_report(results_dir) / "report.html"


def launcher_of(settings: LauncherSettings, scratch: Path) -> Launcher:
    """The launcher for these settings, with its files below `scratch`; or `UserError`."""
    if isinstance(settings, LocalSettings):
        return LocalLauncher(settings.workers, visible_gpus())
    # Late: only the chosen launcher's library is imported.
    library = "submitit" if isinstance(settings, SlurmSettings) else "ray"
    try:
        if isinstance(settings, SlurmSettings):
            from experiments.sweep.launchers.slurm import SlurmLauncher

            return SlurmLauncher(settings, scratch)
        from experiments.sweep.launchers.ray import RayLauncher

        return RayLauncher(settings)
    except ImportError as error:
        text = f"launcher={settings.kind} needs {library}: pip install '.[cluster]'"
        raise UserError(text) from error


def conduct(
    sweep: Sweep,
    *,
    retry_failed: bool,
    write_report: Callable[[Path], Path] = build_report,
) -> int:
    """Run a sweep to its end: tuning, then the comparison, then the report.

    Returns the exit code: 0 if every run has ended, diverged and stuck ones included; 1 if one
    failed or has no rate; 130 or 143 if the sweep was interrupted or terminated, then there is no
    report. Raises `UserError` if the launcher cannot work here or the plan cannot be written, and
    at the end if the report cannot.
    """
    try:
        with unwinding():
            launcher = launcher_of(sweep.launcher, sweep.results_dir / "launcher")
            with open_display(launcher.workers) as display:
                failures = _run_stages(sweep, launcher, display, retry_failed=retry_failed)
            untuned = sweep.untuned()
            _say(*(f"not compared: {row} {label}: {reason}" for row, label, reason in untuned))
            _say(*(line for item in failures.items() for line in _lines_about(*item)))
            if failures:
                again = "with --retry-failed, the same command tries failed runs again"
                _say(f"{count_of_runs(len(failures))} failed; {again}")
            # After the failures, which are listed even if it cannot be written.
            _say(f"report: {write_report(sweep.results_dir)}")
    except KeyboardInterrupt as error:
        number = signal_of(error) or signal.SIGINT
        _say(f"{line_of(number)}; runs keep their checkpoints, and the same command resumes them")
        return exit_code_of(number)
    return FAILED if failures or untuned else OK


def _run_stages(
    sweep: Sweep, launcher: Launcher, display: LiveTable | PlainLines, *, retry_failed: bool
) -> dict[Path, RunState]:
    failures: dict[Path, RunState] = {}
    for stage in (sweep.tuning_runs, sweep.comparison_runs):
        # Before each: the comparison's runs are known once the tuning has ended.
        plan = sweep.plan()
        try:
            write_plan(sweep.with_earlier(plan), sweep.results_dir)
        except UserError as error:
            # A disk that has become full since the first one ends no sweep.
            if stage == sweep.tuning_runs:
                raise
            display.say(f"warning: {error}; the report will not know all runs of this sweep")
        watch = Watch(planned_runs(plan, sweep.results_dir))

        def tick(watch: Watch = watch) -> None:
            display.show(watch.entries())

        tick()
        failures |= run_all(stage(), launcher, retry_failed=retry_failed, tick=tick)
        tick()
    return failures


def run_all(
    runs: Sequence[PlannedRun],
    launcher: Launcher,
    *,
    retry_failed: bool,
    tick: Callable[[], None] = lambda: None,
    pause: float = _PAUSE_SECONDS,
) -> dict[Path, RunState]:
    """Bring every run to its end, by this process's launcher or by waiting for another process.

    Runs that have ended are left alone, failed ones too unless `retry_failed`. Runs that another
    process holds are waited for, with `pause` seconds between two looks, and taken over if they
    are left unfinished. No run fails twice in one call. Returns the failures by their folders, in
    the runs' order.
    """
    failures: dict[Path, RunState] = {}
    ready: dict[Job, PlannedRun] = {}

    def ended(job: Job, outcome: Outcome) -> None:
        folder = ready[job].folder
        failure = failure_of(folder, outcome)
        if failure is not None:
            failures[folder.path] = failure

    pending = list(runs)
    while pending:
        ready, held = {}, []
        for run in pending:
            state = state_of(run.folder)
            if state.kind == "running":
                held.append(run)
            elif state.kind == "failed" and not retry_failed:
                failures[run.folder.path] = state
            elif state.kind not in ENDS:
                try:
                    run.folder.create()
                    ready[_job(run)] = run
                except UserError as error:
                    failures[run.folder.path] = RunState("failed", reason=str(error))
        if ready:
            launcher.launch(list(ready), ended=ended, tick=tick)
        elif held:
            tick()
            time.sleep(pause)
        # The runs just tried are looked at again: another process may have held them.
        pending = [run for run in (*ready.values(), *held) if run.folder.path not in failures]
    paths = [run.folder.path for run in runs]
    return {path: failures[path] for path in paths if path in failures}


def _job(run: PlannedRun) -> Job:
    folder = run.folder
    return Job(
        command=(sys.executable, str(_MAIN), *run.arguments),
        log_file=str(folder.output_file.absolute()),
        # Where relative paths among the arguments start.
        working_directory=str(Path.cwd()),
    )


def _lines_about(folder: Path, failure: RunState) -> list[str]:
    output = list(failure.output)
    # The reason mostly is the last line.
    if output and output[-1].removeprefix("error: ") == failure.reason:
        output.pop()
    last = [f"    {line}" for line in output[-_LINES_SHOWN:]]
    return [f"failed: {folder}: {failure.reason}", *last]


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
