"""Small GPT, 300 steps: ALSALS with its defaults against Adam's best of three peak rates.

    python benchmarks/gpt_vs_adam.py [--seeds 0 1 2] [--results results/gpt_vs_adam]

Adam has linear warm-up over 10 % of the steps and then cosine to zero, and is given the best of
the grid; ALSALS is given nothing. Each run is an ordinary run of `main.py` with its own folder, and
a finished one is not run again. The loss compared is the mean of the last thirty training steps.
Writes `benchmarks/gpt_vs_adam.json` and exits with 1 where ALSALS ends higher.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.config.compose import load, run_path  # noqa: E402
from experiments.files.run_folder import RunFolder  # noqa: E402
from experiments.run import run  # noqa: E402

STEPS = 300
LAST = 30
COMMON = ["task=python_text", "model=gpt2_small", f"trainer.max_steps={STEPS}"]
CONTENDERS = {
    "alsals": ["optimizer=alsals"],
    "adam 1e-3": ["optimizer=adam", "optimizer.lr=1e-3"],
    "adam 3e-3": ["optimizer=adam", "optimizer.lr=3e-3"],
    "adam 1e-2": ["optimizer=adam", "optimizer.lr=1e-2"],
}


def end_of_run(arguments: list[str]) -> dict[str, float]:
    """Run, or read, one contender: its last losses and what they cost."""
    config = load(arguments)
    run(config)
    folder = RunFolder(run_path(config))
    losses = [row["loss"] for row in folder.rows() if row["event"] == "step"]
    summary = folder.summary()
    assert summary is not None
    return {
        "train_loss": statistics.fmean(losses[-LAST:]),
        "val_loss": summary["final"]["val_loss"],
        "forward_passes_a_step": summary["forward_passes"] / summary["steps"],
        "seconds_a_step": summary["seconds_training"] / summary["steps"],
    }


def main() -> int:
    """Run the grid, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", default=str(ROOT / "results" / "gpt_vs_adam"))
    options = parser.parse_args()
    fixed = [*COMMON, f"results_dir={options.results}"]
    results = {
        name: [end_of_run([*fixed, *choice, f"seed={seed}"]) for seed in options.seeds]
        for name, choice in CONTENDERS.items()
    }
    means = {
        name: {key: statistics.fmean(run[key] for run in runs) for key in runs[0]}
        for name, runs in results.items()
    }
    print(f"\nmean over seeds {options.seeds}, {STEPS} steps")
    for name, mean in means.items():
        print(f"{name:12}" + "".join(f"  {key} {value:.4f}" for key, value in mean.items()))
    best_adam = min(mean["train_loss"] for name, mean in means.items() if name != "alsals")
    won = means["alsals"]["train_loss"] <= best_adam
    record = {"seeds": options.seeds, "steps": STEPS, "means": means, "runs": results, "won": won}
    (ROOT / "benchmarks" / "gpt_vs_adam.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"ALSALS ends {'no higher' if won else 'HIGHER'} than the best of Adam's rates")
    return 0 if won else 1


if __name__ == "__main__":
    sys.exit(main())
