"""500 runs of 10,000 steps into a report: how many seconds, how much memory.

    python benchmarks/report.py [--runs 500] [--steps 10000] [--folder FOLDER]

Writes the folders of a sweep in the files' format (five rows, five optimizers, the rest seeds;
about 1.2 GB, deleted afterwards unless a folder is named), then runs `python -m experiments report`
on it in a process of its own. Writes `benchmarks/report.json` and exits with 1 above a minute or
2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SECONDS, GIGABYTES = 60.0, 2.0

ROWS = ("mrpc_bert", "sst2_bert", "qnli_bert", "mnli_bert", "cifar10_resnet34")
OPTIMIZERS = {"alsals": None, "adam_sls": None, "salsa": None, "adam": 1e-3, "sgd": 0.1}
EVALUATIONS = 20


def write_folders(root: Path, runs: int, steps: int) -> int:
    """Write the runs, the same step lines for every seed of a cell; returns the bytes."""
    seeds = max(1, runs // (len(ROWS) * len(OPTIMIZERS)))
    written = 0
    for number in range(runs):
        cell, seed = divmod(number, seeds)
        row = ROWS[cell // len(OPTIMIZERS) % len(ROWS)]
        name, rate = list(OPTIMIZERS.items())[cell % len(OPTIMIZERS)]
        folder = root / row / f"task_{row}-model" / name / f"s{seed}-{number:08x}"
        folder.mkdir(parents=True)
        optimizer = {"kind": name} if rate is None else {"kind": name, "lr": rate}
        choices = {"experiment": row, "task": "task", "model": "model", "optimizer": name}
        config = {"choices": choices, "seed": seed, "optimizer": optimizer, "trainer": {}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        env = {"torch": "2.14.1", "sls": "0.1.0", "git": {"commit": "0" * 40, "dirty": False}}
        (folder / "env.json").write_text(json.dumps(env))
        rows = _rows(random.Random(number), steps, searches=rate is None)
        written += (folder / "metrics.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
        last = {key: rows[-1][key] for key in ("step", "train_loss", "val_loss", "accuracy")}
        summary = {
            "status": "finished",
            "steps": steps,
            "seconds_training": rows[-1]["seconds"],
            "forward_passes": rows[-1]["forward_passes"],
            "backward_passes": steps,
            "score": "accuracy",
            "score_is_loss": False,
            "final": last,
            "best": last,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return written


def _rows(chance: random.Random, steps: int, *, searches: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        where = {
            "step": step,
            "epoch": step / steps * 5,
            "seconds": step * 0.0791234567891,
            "forward_passes": step * (1 + searches),
            "backward_passes": step,
        }
        loss = 0.7 * (1 - step / steps) + 0.1 * chance.random()
        row = {"event": "step", **where, "loss": loss, "step_size": 1e-3 * chance.random()}
        if searches:
            row |= {"slope": chance.random(), "trials": 1, "loss_next": loss * 0.99}
            row |= {"searched": True, "status": "accepted", "factor": 1 - step / steps}
        rows.append(row)
        if step % max(1, steps // EVALUATIONS) == 0 or step == steps:
            metrics = {"train_loss": loss, "val_loss": loss + 0.2, "accuracy": 1 - loss}
            rows.append({"event": "evaluation", **where, **metrics})
    return rows


def measure(folder: Path) -> tuple[float, float]:
    """Seconds and peak memory (GB) of the report's process."""
    command = [sys.executable, "-m", "experiments", "report", str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT)
    seconds = time.perf_counter() - start
    # Linux gives kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    return seconds, peak


def main() -> int:
    """Write, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="empty or new; kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        written = write_folders(folder, options.runs, options.steps)
        seconds, peak = measure(folder)
    result = {
        "runs": options.runs,
        "steps": options.steps,
        "metrics_gigabytes": round(written / 1e9, 2),
        "seconds": round(seconds, 1),
        "peak_gigabytes": round(peak, 2),
        "cores": os.cpu_count(),
        "wanted": {"seconds": SECONDS, "peak_gigabytes": GIGABYTES},
    }
    text = json.dumps(result, indent=2)
    (ROOT / "benchmarks" / "report.json").write_text(text + "\n")
    print(text)
    return int(seconds > SECONDS or peak > GIGABYTES)


if __name__ == "__main__":
    sys.exit(main())
