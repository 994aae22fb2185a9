"""What `--dry-run` prints: every run of a sweep, its state, and how long it may take. No torch."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence

from experiments.files.run_folder import ENDS
from experiments.sweep.plan import PlannedRun, Sweep
from experiments.sweep.run_state import seconds_of, state_of, summary_of
from experiments.sweep.table import duration

_HEADER = ("state", "stage", "row", "label", "seed", "time", "arguments of main.py")


def listing(sweep: Sweep, *, retry_failed: bool) -> str:
    """A line a run, then why runs have failed and which cells wait for tuning, then the total.

    The time of a run is the mean of those that have ended with the same row and label, else with
    the same row; `-` for one that would not be started, which without `retry_failed` is a failed
    one too; `?` where there is none to go by.
    """
    left_alone = {*ENDS} if retry_failed else {*ENDS, "failed"}
    runs = (*sweep.tuning_runs(), *sweep.comparison_runs())
    seconds = _Seconds(runs)
    lines: list[tuple[str, ...]] = [_HEADER]
    estimates: list[float | None] = []
    states: Counter[str] = Counter()
    failed = []
    for run in runs:
        now = state_of(run.folder)
        state = now.kind
        states[state] += 1
        time = "-"
        if state == "failed":
            failed.append(f"failed: {run.folder.path}: {now.reason}")
        if state not in left_alone:
            estimates.append(seconds.of(run))
            time = "?" if estimates[-1] is None else duration(estimates[-1])
        seed = str(run.config.seed)
        words = shlex.join(run.arguments)
        lines.append((state, run.stage, run.row, run.label, seed, time, words))
    waiting = [
        f"{cell.row} with {cell.label}: its runs are known after tuning ({cell.reason})"
        for cell in sweep.untuned()
    ]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    summary = [f"{_runs(len(runs))}: {counts}"] if runs else ["no runs"]
    summary.append(_total(estimates, len(waiting) * len(sweep.config.seeds)))
    if failed and not retry_failed:
        summary.append(f"{_runs(len(failed))} that failed would be left alone; see --retry-failed")
    return "\n".join([*_aligned(lines), "", *failed, *waiting, *summary]) + "\n"


class _Seconds:
    """Mean seconds of the runs that finished, by row and label, and by row."""

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        self._known: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for run in runs:
            summary = summary_of(run.folder)
            if summary is None or summary["status"] != "finished":
                continue
            seconds = seconds_of(summary)
            if seconds is not None:
                self._known[run.row, run.label].append(seconds)
                self._known[run.row,].append(seconds)

    def of(self, run: PlannedRun) -> float | None:
        """The estimate of a run; None where no run of its row has finished."""
        for key in ((run.row, run.label), (run.row,)):
            if key in self._known:
                return sum(self._known[key]) / len(self._known[key])
        return None


def _total(estimates: Sequence[float | None], after_tuning: int) -> str:
    known = [seconds for seconds in estimates if seconds is not None]
    text = f"to do: {_runs(len(estimates))}"
    if after_tuning:
        text += f" and {after_tuning} after tuning"
    if not estimates and not after_tuning:
        return "nothing to do"
    if not known:
        return f"{text}; no run of their rows has finished, so there is no estimate of their time"
    text += f"; about {duration(sum(known))} one after another"
    unknown = len(estimates) - len(known) + after_tuning
    return f"{text}, without {unknown} runs whose time is not known" if unknown else text


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest word; the last is as long as it is."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
