"""The list that `--dry-run` prints: a sweep's runs, their states and times. No torch."""

from __future__ import annotations

import io
import shlex
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.files.run_folder import ENDS
from experiments.sweep.display import count_of_runs, duration
from experiments.sweep.plan import Sweep
from experiments.sweep.status import Entry, seconds_left


def listing(sweep: Sweep, *, retry_failed: bool) -> str:
    """One line per run, then why runs have failed and which cells wait for tuning, then the total.

    The time of a run is that of `seconds_left`; `-` for a run that would not be started, which
    without `retry_failed` is a failed one too; `?` where it is unknown.
    """
    runs = (*sweep.tuning_runs(), *sweep.comparison_runs())
    entries = [
        Entry(run.stage, run.row, run.label, run.config.seed, run.folder.path).now() for run in runs
    ]
    table = Table(
        "state", "stage", "row", "label", "seed", "time", "arguments of main.py",
        box=None, pad_edge=False,
    )  # fmt: skip
    estimates, failed = [], []
    for run, entry in zip(runs, entries, strict=True):
        kind, time = entry.state.kind, "-"
        if kind == "failed":
            failed.append(f"failed: {run.folder.path}: {entry.state.reason}")
        if kind not in ENDS and (retry_failed or kind != "failed"):
            estimates.append(seconds_left(entry, entries))
            time = "?" if estimates[-1] is None else duration(estimates[-1])
        cells = (kind, run.stage, run.row, run.label, str(entry.seed), time)
        # As `Text`, in which square brackets are no markup.
        table.add_row(*map(Text, (*cells, shlex.join(run.arguments))))
    # As wide as it needs, so that arguments can be copied to a shell.
    console = Console(file=io.StringIO(), width=100_000)
    with console.capture() as captured:
        console.print(table)
    waiting = [
        f"{row} with {label}: its runs are known after tuning ({reason})"
        for row, label, reason in sweep.untuned()
    ]
    counts = Counter(entry.state.kind for entry in entries)
    states = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    lines += ["", *failed, *waiting, f"{count_of_runs(len(runs))}: {states}" if runs else "no runs"]
    lines.append(_total(estimates, len(waiting) * len(sweep.config.seeds)))
    if failed and not retry_failed:
        count = count_of_runs(len(failed))
        lines.append(f"{count} that failed would be left alone; see --retry-failed")
    return "\n".join(lines) + "\n"


def _total(estimates: Sequence[float | None], after_tuning: int) -> str:
    known = [seconds for seconds in estimates if seconds is not None]
    text = f"to do: {count_of_runs(len(estimates))}"
    if after_tuning:
        text += f" and {after_tuning} after tuning"
    if not estimates and not after_tuning:
        return "nothing to do"
    if not known:
        return f"{text}; no comparable run has finished, so their time is unknown"
    text += f"; about {duration(sum(known))} one after another"
    unknown = len(estimates) - len(known) + after_tuning
    return f"{text}, without {count_of_runs(unknown)} of unknown duration" if unknown else text
