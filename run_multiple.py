"""Run the sweeps of text, the papers' by default: `python run_multiple.py --help`."""

from __future__ import annotations

import sys

from experiments.sweep_cli import sweep_text

if __name__ == "__main__":
    sys.exit(sweep_text())
