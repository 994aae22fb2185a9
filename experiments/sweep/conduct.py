"""Conducts a sweep: which runs to start, what became of them, and the exit code. No torch.

What a run is, is read from its folder: nothing is remembered between two starts of a sweep, and
several conductors can work on one folder.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.errors import FAILED, OK, UserError
from experiments.files.run_folder import ENDS
from experiments.stopping import exit_code_of, line_of, signal_of, unwinding
from experiments.sweep.display import Display, open_display
from experiments.sweep.failures import Failure, failed_before, failure_of
from experiments.sweep.launchers.choose import environment_of, launcher_of
from experiments.sweep.launchers.job import Job, Launcher, Outcome
from experiments.sweep.plan import Cell, PlannedRun, Sweep
from experiments.sweep.run_state import RunState, state_of
from experiments.sweep.status import Watch, planned_runs

_MAIN = Path(__file__).resolve().parents[2] / "main.py"
_LINES_SHOWN = 5
_PAUSE_SECONDS = 1.0


def build_report(results_dir: Path) -> Path:
    """Write the report on all results below a folder; returns its path."""
    # Late: pictures and tables take seconds to import.
    from experiments.report.build import write_report

    return write_report(results_dir) / "report.html"


def conduct(
    sweep: Sweep,
    *,
    retry_failed: bool,
    write_report: Callable[[Path], Path] = build_report,
) -> int:
    """Run a sweep to its end: tuning, then the comparison, then the report.

    Returns:
        The exit code: 0 if every run has come to an end, which diverged and stuck are too; 1 if one
        failed or has no rate; 130 or 143 if it was interrupted or terminated, then there is no
        report.

    Raises:
        UserError: if the launcher cannot work here or the plan cannot be written, and at the end if
            the report cannot.
    """
    try:
        with unwinding():
            with open_display(sweep.launcher.workers) as display:
                failures = _run_stages(sweep, display, retry_failed=retry_failed)
            untuned = sweep.untuned()
            # Later, for a report that cannot be written takes no failure from the list.
            report = _attempt(lambda: write_report(sweep.results_dir))
    except KeyboardInterrupt as error:
        number = signal_of(error) or signal.SIGINT
        told = "runs keep their checkpoints, and the same command goes on from there"
        _say(f"{line_of(number)}; {told}")
        return exit_code_of(number)
    _say(*(line for cell in untuned for line in _about_untuned(cell)))
    _say(*(line for failure in failures for line in _about(failure)))
    if failures:
        count = f"{len(failures)} run{'s' if len(failures) > 1 else ''}"
        _say(f"{count} failed; with --retry-failed, the same command tries failed runs again")
    if isinstance(report, UserError):
        raise report
    _say(f"report: {report}")
    return FAILED if failures or untuned else OK


def _attempt(make: Callable[[], Path]) -> Path | UserError:
    try:
        return make()
    except UserError as error:
        return error


def _run_stages(sweep: Sweep, display: Display, *, retry_failed: bool) -> list[Failure]:
    launcher = launcher_of(sweep.launcher, sweep.results_dir / "launcher")
    environment = environment_of(sweep.launcher)
    failures: list[Failure] = []
    plan: Path | None = None
    for runs_of_stage in (sweep.tuning_runs, sweep.comparison_runs):
        # Before each: what is compared is known once the tuning has ended.
        plan = _written_plan(sweep, display, plan)
        watch = Watch(planned_runs(plan, sweep.results_dir))
        tick = _tick(display, watch)
        tick()
        failures += run_all(
            runs_of_stage(),
            launcher,
            retry_failed=retry_failed,
            tick=tick,
            environment=environment,
        )
        tick()
    return failures


def _written_plan(sweep: Sweep, display: Display, before: Path | None) -> Path:
    """The plan's file; a disk that has become full since the first one ends no sweep."""
    try:
        return sweep.write_plan()
    except UserError as error:
        if before is None:
            raise
        display.say(f"warning: {error}; the report will not know all runs of this sweep")
        return before


def _tick(display: Display, watch: Watch) -> Callable[[], None]:
    return lambda: display.show(watch.entries())


def run_all(
    runs: Sequence[PlannedRun],
    launcher: Launcher,
    *,
    retry_failed: bool,
    tick: Callable[[], None] = lambda: None,
    environment: tuple[tuple[str, str], ...] = (),
    pause: float = _PAUSE_SECONDS,
) -> list[Failure]:
    """Bring every run to its end, by this process's launcher or by whoever works on it.

    Runs that have come to an end are left alone, failed ones too unless `retry_failed`. Runs that
    another process holds are waited for, `pause` seconds between two looks, and taken over if they
    are left unfinished. No run fails twice in one call. Returns the failures, in the runs' order.
    """
    failures: dict[Path, Failure] = {}
    pending = list(runs)
    while pending:
        ready, held = _sort(pending, failures, retry_failed=retry_failed)
        if ready:
            _launch(ready, launcher, failures, tick, environment)
        elif held:
            tick()
            time.sleep(pause)
        # What was just tried is looked at again: it may have been held by somebody else.
        pending = [run for run in (*ready, *held) if run.folder.path not in failures]
    return [failures[run.folder.path] for run in runs if run.folder.path in failures]


def _sort(
    runs: Sequence[PlannedRun], failures: dict[Path, Failure], *, retry_failed: bool
) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Those to start and those that somebody else holds; failed ones go to `failures`."""
    ready, held = [], []
    for run in runs:
        state = state_of(run.folder)
        if state.kind == "running":
            held.append(run)
        elif state.kind == "failed" and not retry_failed:
            failures[run.folder.path] = failed_before(run.folder, state)
        elif state.kind not in ENDS:
            ready.append(run)
    return ready, held


def _launch(
    runs: Sequence[PlannedRun],
    launcher: Launcher,
    failures: dict[Path, Failure],
    tick: Callable[[], None],
    environment: tuple[tuple[str, str], ...],
) -> None:
    """Start runs and wait for their ends; what failed is written down at once."""
    jobs: dict[str, tuple[PlannedRun, Job]] = {}
    for run in runs:
        try:
            run.folder.create()
        except UserError as error:
            state = RunState("failed", reason=str(error))
            failures[run.folder.path] = failed_before(run.folder, state)
        else:
            job = _job(run, environment)
            jobs[job.folder] = (run, job)

    def ended(job: Job, outcome: Outcome) -> None:
        run, _ = jobs[job.folder]
        failure = failure_of(run.folder, outcome)
        if failure is not None:
            failures[run.folder.path] = failure

    if jobs:
        launcher.launch([job for _, job in jobs.values()], ended=ended, tick=tick)


def _job(run: PlannedRun, environment: tuple[tuple[str, str], ...]) -> Job:
    folder = run.folder
    return Job(
        name="/".join(folder.path.parts[-4:]),
        command=(sys.executable, str(_MAIN), *run.arguments),
        folder=str(folder.path.absolute()),
        log_file=str(folder.output_file.absolute()),
        # Where relative paths among the arguments start.
        working_directory=str(Path.cwd()),
        environment=environment,
    )


def _about(failure: Failure) -> list[str]:
    said = list(failure.output)
    # The reason mostly is the last line.
    if said and said[-1].removeprefix("error: ") == failure.reason:
        said.pop()
    last = [f"    {line}" for line in said[-_LINES_SHOWN:]]
    return [f"failed: {failure.folder}: {failure.reason}", *last]


def _about_untuned(cell: Cell) -> list[str]:
    return [f"not compared: {cell.row} {cell.label}: {cell.reason}"]


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
